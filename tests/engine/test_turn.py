"""One turn: the order of simultaneous events, which strategies receive them, and which requests are sent."""

from __future__ import annotations

from typing import Any

import pytest

from botkit.engine.outcome import Outcome
from botkit.model.events import BalanceReport, Bar, Connection, ConnectionState, Ticker
from botkit.model.inputs import Resume, Stop
from botkit.model.orders import OrderState
from botkit.model.requests import CreateOrder
from tests.engine_world import BTC, ETH, MINUTE, RICH, T0, UNIT, Bot, Listener, S


def names(b: Bot) -> list[str]:
    return [name for name, _ in b.s.heard]


def listens(*resolutions: str, **options: Any) -> Any:
    def start(s: Any) -> None:
        s.subscribe_trades(BTC)
        s.series = [s.subscribe_bars(BTC, resolution, **options) for resolution in resolutions]

    return start


# -- bars -------------------------------------------------------------------------------------------------------------


def test_the_trade_that_closes_a_bar_is_delivered_after_the_bar() -> None:
    b = Bot(Listener(start=listens("1m")))
    b.trade(1_000)
    b.now = T0 + MINUTE
    b.trade(1_010)
    assert names(b) == ["trade", "bar", "trade"]
    (bar,) = b.s.of("bar")
    assert (bar.open, bar.close, bar.volume, bar.empty) == (1_000.0, 1_000.0, 0.01, False)


def test_the_timer_closes_a_bar_after_its_grace_period() -> None:
    b = Bot(Listener(start=listens("1m")), bar_grace_s=2)
    b.trade(1_000)
    b.to(61.9)
    assert not b.s.of("bar")
    b.to(62)
    assert len(b.s.of("bar")) == 1
    assert b.engine.view.now == T0 + 62 * S


def test_an_interval_without_trades_produces_a_flat_empty_bar() -> None:
    b = Bot(Listener(start=listens("1m")))
    b.trade(1_000)
    b.to(180)
    assert [(bar.close, bar.volume, bar.empty) for bar in b.s.of("bar")] == [
        (1_000.0, 0.01, False),
        (1_000.0, 0.0, True),
        (1_000.0, 0.0, True),
    ]


def test_all_series_contain_their_new_bar_before_any_bar_callback_runs() -> None:
    lengths: list[tuple[str, int, int]] = []

    def on_bar(s: Any, bar: Bar) -> None:
        lengths.append((bar.resolution, len(s.series[0]), len(s.series[1])))

    b = Bot(Listener(start=listens("1m", "5m"), bar=on_bar))
    b.trade(1_000)
    b.to(300)
    assert lengths == [*(("1m", i, 0) for i in range(1, 6)), ("5m", 5, 1)]


def test_bars_that_close_simultaneously_are_ordered_by_pair() -> None:
    def start(s: Any) -> None:
        s.subscribe_bars(ETH, "1m")
        s.subscribe_bars(BTC, "1m")

    b = Bot(Listener(start=start))
    b.trade(100, pair=ETH)
    b.trade(1_000)
    b.to(60)
    assert [bar.pair for bar in b.s.of("bar")] == [BTC, ETH]


def test_a_series_may_have_its_own_callback() -> None:
    class Two(Listener):
        def fast_bar(self, bar: Bar) -> None:
            self._hear("fast", bar)

    def start(s: Any) -> None:
        s.subscribe_bars(BTC, "1m", on="fast_bar")
        s.subscribe_bars(BTC, "5m", on=s.fast_bar)
        s.subscribe_bars(BTC, "1m")

    b = Bot(Two(start=start))
    b.trade(1_000)
    b.to(60)
    assert names(b) == ["fast", "bar"]
    with pytest.raises(ValueError, match="no method of that name"):
        b.s.subscribe_bars(BTC, "1m", on="nothing")
    with pytest.raises(ValueError, match="names that start with on_ are hooks"):
        b.s.subscribe_bars(BTC, "1m", on="on_trade")


def test_warm_up_fills_the_series_without_triggering_callbacks() -> None:
    def history(pair: Any, resolution: str, count: int) -> list[Bar]:
        return [
            Bar(pair, T0 - (count - i) * MINUTE, 900.0 + i, 900.0 + i, 900.0 + i, 900.0 + i, 1.0, resolution)
            for i in range(count)
        ]

    b = Bot(Listener(start=listens("1m", warm_up=3)), history=history)
    assert [bar.close for bar in b.s.series[0]] == [900.0, 901.0, 902.0]
    assert not b.s.of("bar")
    b.to(60)  # no trade has occurred since then, so a flat bar follows the last bar of the history
    assert [(bar.close, bar.empty) for bar in b.s.of("bar")] == [(902.0, True)]


def test_a_bar_callback_may_look_up_and_subscribe_to_a_new_pair() -> None:
    def on_bar(s: Any, bar: Bar) -> None:
        s.last_price(ETH)
        if len(s.of("bar")) == 1:
            s.subscribe_bars(BTC, "5m")
            s.subscribe_bars(ETH, "1m")

    b = Bot(Listener(start=listens("1m"), bar=on_bar))
    b.trade(1_000)
    b.to(120)
    assert len(b.s.of("bar")) == 2
    assert not b.failures


# -- deliveries ---------------------------------------------------------------------------------------------------


def test_events_are_delivered_to_subscribers_in_configuration_order() -> None:
    told: list[str] = []
    b = Bot(
        *(Listener(start=lambda s: s.subscribe_trades(BTC), trade=lambda s, _: told.append(s.name)) for _ in range(3))
    )
    b.trade(1_000)
    assert told == ["s0", "s1", "s2"]
    b.trade(1_000, pair=ETH)
    assert told == ["s0", "s1", "s2"]


def test_a_second_subscription_does_not_deliver_events_twice() -> None:
    b = Bot(Listener(start=lambda s: (s.subscribe_trades(BTC), s.subscribe_trades(BTC), s.subscribe_book(BTC))))
    b.s.subscribe_book(BTC, depth=1)
    b.trade(1_000)
    b.book([(990, 1), (980, 1)], [(1_010, 1)])
    assert names(b) == ["trade", "book"]
    assert len(b.s.of("book")[0].bid_levels) == 1  # the most recently requested depth applies
    with pytest.raises(ValueError, match="depth is 7"):
        b.s.subscribe_book(BTC, depth=7)


def test_the_book_can_be_read_with_and_without_the_bots_orders() -> None:
    b = Bot(Listener())
    b.s.last_price(BTC)
    order = b.s.buy(BTC, amount=1, price=990)
    b.end_turn()
    b.rest(order)
    b.book([(990, 30_000), (980, 10_000)], [(1_010, 10_000)])
    assert [level.amount for level in b.s.book(BTC).bids] == [3.0, 1.0]
    assert [level.amount for level in b.s.book(BTC, own=False).bids] == [2.0, 1.0]
    b.now += 3 * S
    b.trade(1_000)
    assert b.s.book(BTC).age_s == 3.0
    assert b.s.book(ETH).mid is None
    assert b.s.book(ETH).age_s == float("inf")


def test_tickers_and_connection_changes_are_delivered() -> None:
    b = Bot(Listener(start=lambda s: s.subscribe_ticker(BTC)))
    ticker = Ticker(BTC, T0, 1.0, 1.0, 1.0, 1.0, 0.0, True)
    lost = Connection(ConnectionState.LOST, "trades", BTC)
    b.tell(ticker)
    b.tell(lost)
    assert b.s.heard == [("ticker", ticker), ("connection", lost)]


def test_on_balance_reports_each_balance_change_once() -> None:
    b = Bot(Listener(), capital=[{"twd": RICH["twd"]}])
    b.tell(BalanceReport({"twd": (RICH["twd"], RICH["twd"])}))
    b.tell(BalanceReport({"twd": (RICH["twd"], RICH["twd"])}))
    assert [(x.currency, x.available) for x in b.s.of("balance")] == [("twd", 10.0**6)]
    b.s.buy(BTC, amount=1, price=900)
    b.end_turn()
    b.tell(BalanceReport({"twd": (RICH["twd"], RICH["twd"] - 900 * UNIT)}))
    assert b.s.of("balance")[-1].locked == 900.0


def test_a_deposit_is_booked_as_unassigned() -> None:
    b = Bot(Listener(), capital=[{"twd": RICH["twd"]}])
    b.tell(BalanceReport({"twd": (2 * RICH["twd"], 2 * RICH["twd"])}))
    assert b.s.balance("twd").total == 10.0**6
    assert b.portfolio.unassigned["twd"] == RICH["twd"]
    assert not b.messages
    assert not b.s.buy(BTC, amount=1, price=900).is_refused


# -- effects of a turn -----------------------------------------------------------------------------------------------


def test_an_order_placed_in_a_callback_is_sent_in_the_same_turn() -> None:
    b = Bot(Listener(start=lambda s: s.subscribe_trades(BTC), trade=lambda s, _: s.buy(BTC, amount=1, price=900)))
    (request,) = b.trade(1_000)
    assert isinstance(request, CreateOrder)
    assert request.timestamp == b.now


def test_an_order_placed_in_on_fill_is_sent_in_the_same_turn() -> None:
    b = Bot(Listener(fill=lambda s, fill: s.sell(BTC, amount=fill.amount, price=1_100)))
    b.trade(1_000)
    order = b.s.buy(BTC, amount=1, price=900)
    b.end_turn()
    b.rest(order)
    b.push(order, 2, executed=10_000)
    (request,) = b.execute(order, 10_000)
    assert request.order.amount_lots == 10_000
    assert names(b)[-2:] == ["fill", "order"]


def test_position_and_balance_already_reflect_a_fill_when_it_is_reported() -> None:
    seen: list[tuple[float, float]] = []
    b = Bot(
        Listener(fill=lambda s, _: seen.append((s.position(BTC).amount, s.balance("twd").total))),
        balances={"twd": RICH["twd"]},
    )
    b.trade(1_000)
    order = b.s.buy(BTC, amount=1, price=900)
    b.end_turn()
    b.rest(order)
    b.push(order, 2, executed=10_000)
    b.execute(order, 10_000)
    assert seen == [(1.0, 10.0**6 - 900)]


def test_on_stop_may_still_place_orders() -> None:
    b = Bot(Listener(stop=lambda s, _: s.close(BTC)))
    b.trade(1_000)
    (request,) = b.tell(Stop())
    assert isinstance(request, CreateOrder)
    assert not b.engine.view.has_timers()


def test_time_going_backwards_fails_an_assertion() -> None:
    b = Bot(Listener())
    b.to(5)
    b.trade(1_000)
    with pytest.raises(AssertionError, match="time went back"):
        b.engine.turn(None, T0, Outcome())


# -- losses -----------------------------------------------------------------------------------------------------------


def test_a_strategys_loss_limit_stops_only_that_strategy() -> None:
    b = Bot(
        Listener(start=lambda s: s.subscribe_trades(BTC)),
        Listener(start=lambda s: s.subscribe_trades(BTC)),
        balances={"twd": 2 * RICH["twd"]},
        capital=[50, 50],
        strategy_risk={"s0": {"max_daily_loss": {"twd": 100}}},
    )
    b.trade(1_000)
    order = b.s.buy(BTC, amount=1, price=1_000)
    rest = b.s.buy(BTC, amount=1, price=500)
    b.end_turn()
    b.rest(order)
    b.rest(rest)
    b.execute(order, 10_000)
    b.push(order, 2, 10_000)
    b.trade(901)
    assert b.seen().active
    b.trade(900)
    assert not b.seen().active
    assert "has reached max_daily_loss" in b.seen().stopped_because
    assert rest.cancel_requested
    assert b.seen(1).active
    heard = len(b.s.of("trade"))
    b.trade(800)
    assert len(b.s.of("trade")) == heard
    assert b.risk.halted("s0")


def test_the_bots_loss_limit_halts_all_strategies() -> None:
    b = Bot(Listener(), balances={"twd": RICH["twd"]}, risk={"max_daily_loss": {"twd": 100}})
    b.trade(1_000)
    order = b.s.buy(BTC, amount=1, price=1_000)
    rest = b.s.buy(BTC, amount=1, price=500)
    b.end_turn()
    b.rest(order)
    b.rest(rest)
    b.execute(order, 10_000)
    b.push(order, 2, 10_000)
    b.trade(900)
    assert "max_daily_loss" in (b.engine.view.halted or "")
    assert rest.cancel_requested
    assert b.s.buy(BTC, amount=1, price=500).is_refused
    b.tell(Resume())
    b.trade(899)
    assert b.engine.view.halted is None  # after a resume, daily profit is measured from the resume


def test_if_the_bot_and_a_strategy_breach_loss_limits_simultaneously_both_are_halted() -> None:
    b = Bot(
        Listener(),
        balances={"twd": RICH["twd"]},
        risk={"max_daily_loss": {"twd": 100}},
        strategy_risk={"s0": {"max_daily_loss": {"twd": 50}}},
    )
    b.trade(1_000)
    order = b.s.buy(BTC, amount=1, price=1_000)
    b.end_turn()
    b.rest(order)
    b.execute(order, 10_000)
    b.push(order, 2, 10_000)
    b.trade(800)
    assert set(b.risk.halts) == {None, "s0"}
    assert not b.seen().active


def test_the_trading_day_changes_at_midnight() -> None:
    b = Bot(Listener(), balances={"twd": RICH["twd"]}, risk={"max_daily_loss": {"twd": 100}})
    b.trade(1_000)
    order = b.s.buy(BTC, amount=1, price=1_000)
    b.end_turn()
    b.rest(order)
    b.execute(order, 10_000)
    b.push(order, 2, 10_000)
    b.trade(950)
    b.to(86_400)
    b.trade(880)  # 70 below the price at midnight, 120 below the entry price
    assert b.engine.view.halted is None


# -- nested effects ------------------------------------------------------------------------------------


def test_orders_placed_in_on_order_are_processed_in_the_same_turn() -> None:
    def on_order(s: Any, event: Any) -> None:
        _, state = event
        if state is OrderState.CANCELLED and len(s.of("order")) < 50:
            s.cancel(s.buy(BTC, amount=1, price=900))

    b = Bot(Listener(order=on_order))
    b.trade(1_000)
    b.s.cancel(b.s.buy(BTC, amount=1, price=900))
    b.end_turn()
    assert len(b.s.of("order")) == 50
    assert not b.all(CreateOrder)
    b.check()


# -- several inputs of one moment -------------------------------------------------------------------------------------


def test_simultaneous_inputs_passed_in_one_call_have_the_same_effects_as_in_separate_calls() -> None:
    def ask(s: Any, ticker: Ticker) -> None:
        s.buy(BTC, amount=0.1, price=ticker.last_price)

    def start(s: Any) -> None:
        s.subscribe_ticker(BTC)

    tickers = [Ticker(BTC, T0, price, price, price, 1.0, 0.0, True) for price in (900.0, 910.0, 920.0)]
    one, several = (Bot(Listener(start=start, ticker=ask)) for _ in range(2))
    for given in tickers:
        one.tell(given)
    out = Outcome()
    assert several.engine.turns(tickers, several.now, out) == 3
    assert [request.order.price_ticks for request in out.requests if isinstance(request, CreateOrder)] == [
        request.order.price_ticks for request in one.requests if isinstance(request, CreateOrder)
    ]
    assert several.engine.view.events == one.engine.view.events
    assert names(several) == names(one) == ["ticker"] * 3


def test_inputs_that_follow_a_failure_are_left_to_the_driver() -> None:
    def fail(s: Any, ticker: Ticker) -> None:
        raise RuntimeError("no")

    def start(s: Any) -> None:
        s.subscribe_ticker(BTC)

    b = Bot(Listener(start=start, ticker=fail))
    out = Outcome()
    ticker = Ticker(BTC, T0, 900.0, 900.0, 900.0, 1.0, 0.0, True)
    assert b.engine.turns([ticker, ticker], b.now, out) == 1
    assert len(out.failures) == 1
