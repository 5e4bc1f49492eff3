"""The stages of a run: restore, begin, history and stop, including deferred events and calls made too early."""

from __future__ import annotations

from typing import Any

import pytest

from botkit.engine.outcome import Outcome
from botkit.engine.outcome_parts import HistoryWanted, StreamWanted
from botkit.errors import ConfigError, NotReadyError
from botkit.model.clock import NS_PER_DAY
from botkit.model.events import Bar, Candle, Trade
from botkit.model.inputs import Begin, History, PastBars, Restore, RestoredOrder, Stop
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import Order, OrderState, OrderType, Side
from botkit.model.pairs import Pair
from botkit.model.requests import CreateOrder, GetCandles
from tests.engine_world import BTC, ETH, MINUTE, PAIRS, RICH, T0, Bot, Listener, S, cancelled_ids, order_id_of


def bars(count: int, pair: Pair = BTC) -> tuple[Bar, ...]:
    """Create finished bars, the last of which ends at the start time. The first closes at 900, and each closes higher
    than the previous one.
    """
    return tuple(
        Bar(pair, T0 - (count - i) * MINUTE, 900.0 + i, 900.0 + i, 900.0 + i, 900.0 + i, 1.0, "1m")
        for i in range(count)
    )


def turn(b: Bot, given: Any) -> Outcome:
    """Run a single turn without the history that `Bot` provides automatically."""
    out = Outcome()
    b.engine.turn(given, b.now, out)
    return out


def started(*strategies: Listener, **more: Any) -> tuple[Bot, Outcome]:
    """Return a bot that has started and is waiting for its history."""
    b = Bot(*strategies, start=False, **more)
    turn(b, Restore(balances=b.balances))
    return b, turn(b, Begin())


def test_begin_returns_the_required_streams_and_history() -> None:
    def start(s: Any) -> None:
        s.subscribe_trades(BTC)
        s.subscribe_book(ETH, depth=10)
        s.subscribe_bars(BTC, "5m", warm_up=7)
        s.subscribe_bars(ETH, "1m")

    _, out = started(Listener(start=start))
    assert out.streams == [
        StreamWanted(BTC, "trades"),
        StreamWanted(ETH, "books", depth=10),
        StreamWanted(BTC, "bars", resolution="5m"),
        StreamWanted(ETH, "bars", resolution="1m"),
    ]
    # at least one bar, because the builder must know which bar precedes the first new one
    assert out.history == [HistoryWanted(BTC, "5m", 7), HistoryWanted(ETH, "1m", 1)]


def test_on_start_and_on_ready_run_once_each_with_the_history_read_in_between() -> None:
    order: list[Any] = []

    def start(s: Any) -> None:
        s.series = [s.subscribe_bars(BTC, "1m", warm_up=3)]
        with pytest.raises(NotReadyError, match="move this code to on_ready"):
            len(s.series[0])
        order.append("start")

    b, _ = started(Listener(start=start, ready=lambda s: order.append(("ready", len(s.series[0])))))
    assert order == ["start"]
    turn(b, History(bars=(PastBars(BTC, "1m", bars(3)),)))
    turn(b, History())
    assert order == ["start", ("ready", 3)]


def test_an_order_in_on_start_is_refused_with_a_reason_that_mentions_on_ready() -> None:
    placed: list[Order] = []

    def start(s: Any) -> None:
        placed.extend([s.buy(BTC, amount=1, price=900), s.market_buy(BTC, spend=1_000), s.close(BTC)])

    b = Bot(Listener(start=start, ready=lambda s: placed.append(s.buy(BTC, amount=1, price=900))))
    *early, ready = placed
    told = "orders can be placed from on_ready on; move this call out of on_start"
    assert [order.reason for order in early] == [told] * 3
    assert ready.state is OrderState.SENDING
    assert len(b.all(CreateOrder)) == 1


def rested(client_id: int = 1) -> Order:
    """Return an order from an earlier run that is resting at the exchange."""
    order = Order(
        OrderSpec(
            client_id=client_id,
            strategy="s0",
            pair=BTC,
            side=Side.BUY,
            type=OrderType.LIMIT,
            created=T0 - S,
            price_ticks=900,
            amount_lots=20_000,
        )
    )
    order.move(OrderState.SENDING, T0 - S)
    order.move(OrderState.OPEN, T0 - S)
    order.sent = T0 - S
    order.order_id = order_id_of(order)
    return order


def test_events_between_begin_and_history_are_delivered_after_on_ready() -> None:
    heard: list[str] = []
    b = Bot(
        Listener(ready=lambda s: heard.append("ready"), fill=lambda s, _: heard.append("fill")),
        first_client_id=2,
        start=False,
        capital=[dict(RICH)],
    )
    turn(b, Restore(balances=b.balances, orders=(RestoredOrder(rested()),)))
    turn(b, Begin())
    b.execute(rested(), 10_000)
    b.push(rested(), 1, executed=10_000)
    assert b.s.position(BTC).amount == 101.0, "money is booked at once"
    assert heard == []
    turn(b, History())
    assert heard == ["ready", "fill"]


def test_timers_set_in_on_start_do_not_fire_until_the_history_has_arrived() -> None:
    b, _ = started(Listener(start=lambda s: s.set_timer(every_s=10)))
    assert b.engine.view.has_timers()
    b.to(25)
    assert not b.s.of("timer")
    turn(b, History())
    b.to(30)
    assert [timer.due for timer in b.s.of("timer")] == [T0 + 30 * S]


def test_a_bot_that_reads_history_itself_starts_once_the_history_arrives() -> None:
    ready: list[int] = []
    b = Bot(
        Listener(
            start=lambda s: s.series.append(s.subscribe_bars(BTC, "1m", warm_up=2)),
            ready=lambda s: ready.append(len(s.series[0])),
        ),
        start=False,
    )
    turn(b, Restore(balances=b.balances))
    turn(b, Begin(reads_history=True))
    b.to(0)
    asked = b.all(GetCandles)
    assert {(request.pair, request.resolution) for request in asked} == {(BTC, "1m"), (ETH, "1m")}
    for request in asked:
        assert not ready
        rows = tuple(
            Candle(request.pair, "1m", bar.time, bar.open, bar.high, bar.low, bar.close, bar.volume)
            for bar in bars(5, request.pair)
        )
        b.answer(request, body=rows)
    assert ready == [2]
    assert b.s.last_price(BTC) == 904.0


def test_no_market_callback_runs_before_on_ready() -> None:
    def listen(s: Any) -> None:
        s.subscribe_trades(BTC)
        s.subscribe_book(BTC)
        s.series.append(s.subscribe_bars(BTC, "1m"))

    b, _ = started(Listener(start=listen))
    b.trade(100_000)
    b.book([(99_900, 100)], [(100_100, 100)])
    b.to(70)
    assert b.s.heard == []
    turn(b, History())
    b.trade(100_000)
    assert [kind for kind, _ in b.s.heard] == ["trade"]
    assert b.s.book(BTC).best_bid == 99_900.0  # the book is up to date although no callback ran


def reading(now_s: float) -> Bot:
    """Return a bot that started ``now_s`` seconds into a minute and has requested the preceding bars."""
    b = Bot(
        Listener(start=lambda s: s.series.append(s.subscribe_bars(BTC, "1m", warm_up=2))),
        start=False,
    )
    b.now = T0 + int(now_s * S)
    turn(b, Restore(balances=b.balances))
    turn(b, Begin(reads_history=True))
    b.to(now_s)
    return b


def give(b: Bot, *rows: Candle) -> list[GetCandles]:
    """Answer the pending candle requests. ETH has no candles."""
    asked = [request for request in b.all(GetCandles) if request.id not in b.s.state.setdefault("answered", [])]
    for request in asked:
        b.s.state["answered"].append(request.id)
        b.answer(request, body=rows if request.pair == BTC else ())
    return asked


def candle(time: int, opened: float, high: float, low: float, close: float, volume: float) -> Candle:
    return Candle(BTC, "1m", time, opened, high, low, close, volume)


def test_the_unfinished_bar_at_a_live_start_is_completed_with_the_exchanges_candle() -> None:
    b = reading(30)
    b.tell(Trade(BTC, b.now, 905.0, 2.0))  # the candle already includes this trade
    past = [candle(bar.time, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars(2)]
    asked = give(b, *past, candle(T0, 902.0, 910.0, 890.0, 905.0, 7.0))
    assert {(request.end, request.running) for request in asked} == {(T0 + MINUTE, True)}
    assert [bar.close for bar in b.s.series[0]] == [900.0, 901.0]
    b.tell(Trade(BTC, b.now, 908.0, 1.0))
    b.to(70)
    (bar,) = b.s.of("bar")
    assert (bar.time, bar.open, bar.high, bar.low, bar.close, bar.volume) == (T0, 902.0, 910.0, 890.0, 908.0, 8.0)
    assert len(b.s.series[0]) == 3


def test_a_bar_that_closes_during_the_history_read_is_read_again() -> None:
    b = reading(58)
    b.tell(Trade(BTC, b.now, 905.0, 2.0))
    past = [candle(bar.time, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars(2)]
    other, btc = sorted(b.all(GetCandles), key=lambda request: request.pair == BTC)
    b.answer(btc, body=(*past, candle(T0, 902.0, 910.0, 890.0, 905.0, 7.0)))
    b.to(63)
    b.answer(other, body=())
    b.s.state["answered"] = [other.id, btc.id]
    with pytest.raises(NotReadyError):
        len(b.s.series[0])
    again = give(b, *past, candle(T0, 902.0, 910.0, 890.0, 906.0, 7.5))
    assert [(request.pair, request.end) for request in again] == [(BTC, T0 + 2 * MINUTE)]
    warmed = [(bar.time, bar.open, bar.close, bar.volume) for bar in b.s.series[0]]
    assert warmed == [(T0 - MINUTE, 901.0, 901.0, 1.0), (T0, 902.0, 906.0, 7.5)]
    b.to(130)
    assert [bar.time for bar in b.s.of("bar")] == [T0 + MINUTE]


def test_a_series_added_during_a_run_is_warmed_up_by_a_second_history_read() -> None:
    b = Bot(Listener(), history=lambda pair, resolution, count: bars(count, pair))
    b.s.series.append(b.s.subscribe_bars(ETH, "1m", warm_up=4))
    with pytest.raises(NotReadyError):
        len(b.s.series[0])
    b.end_turn()
    assert [bar.close for bar in b.s.series[0]] == [900.0, 901.0, 902.0, 903.0]


def test_subscribing_later_to_data_that_the_run_does_not_receive_raises_an_error() -> None:
    b, _ = started(Listener(start=lambda s: s.subscribe_trades(BTC)))
    turn(b, History(kinds=frozenset({("btc_twd", "trades")})))
    b.s.subscribe_bars(BTC, "1m")  # these bars can be built from trades that the run already receives
    told = (
        r"this run reads no books of btc_twd, since no strategy subscribed to them in on_start; it reads btc_twd trades"
    )
    with pytest.raises(ValueError, match=told):
        b.s.subscribe_book(BTC)
    with pytest.raises(ValueError, match="this run reads no bars of eth_twd"):
        b.s.subscribe_bars(ETH, "1m")


def test_using_a_pair_without_prices_raises_an_error_with_a_suggested_fix() -> None:
    other = Pair("doge_twd", BTC.rules)
    b = Bot(Listener(), pairs={**PAIRS, "doge_twd": other}, traded=PAIRS)
    with pytest.raises(ValueError, match=r"no prices for doge_twd: declare the pair as a parameter of the strategy"):
        b.s.last_price("doge_twd")


def test_restoring_state_that_contradicts_the_configuration_raises_an_error() -> None:
    b = Bot(Listener(), capital=[{"twd": 2 * RICH["twd"]}], start=False)
    with pytest.raises(ConfigError, match="twd"):
        turn(b, Restore(balances=RICH))


def test_halts_parameters_and_state_are_restored_before_on_start() -> None:
    seen: list[Any] = []
    b = Bot(Listener(start=lambda s: seen.append(dict(s.state))), Listener(), start=False)
    kept: dict[str, dict[str, Any]] = {"s0": {"state": {"n": 1}, "timers": {}}, "gone": {"state": {}, "timers": {}}}
    turn(b, Restore(balances=b.balances, kept=kept, halts={"s1": "by hand"}, halted="panic"))
    turn(b, Begin())
    turn(b, History())
    assert seen == [{"n": 1}]
    assert b.engine.view.halted == "panic"
    assert [shown.halted for shown in b.engine.view.strategies()] == [None, "by hand"]


def test_an_unsent_order_from_an_earlier_run_is_dropped() -> None:
    never_sent = Order(
        OrderSpec(
            client_id=1,
            strategy="s0",
            pair=BTC,
            side=Side.BUY,
            type=OrderType.LIMIT,
            created=T0 - S,
            price_ticks=900,
            amount_lots=20_000,
        )
    )
    b = Bot(Listener(), start=False)
    turn(b, Restore(balances=b.balances, orders=(RestoredOrder(never_sent), RestoredOrder(rested(2)))))
    assert [order.client_id for order in b.engine.view.orders()] == [2]


def test_an_order_whose_create_was_in_flight_when_the_bot_died_still_expires() -> None:
    order = Order(
        OrderSpec(
            client_id=1,
            strategy="s0",
            pair=BTC,
            side=Side.BUY,
            type=OrderType.LIMIT,
            created=T0 - S,
            price_ticks=900,
            amount_lots=20_000,
            expires=T0 + 5 * S,
        )
    )
    order.move(OrderState.SENDING, T0 - S)
    order.sent = T0 - S
    b = Bot(Listener(), first_client_id=2, start=False)
    b.begin(Restore(balances=b.balances, orders=(RestoredOrder(order),)))
    b.push(order, 0)
    assert order.state is OrderState.OPEN
    assert not cancelled_ids(b.to(4.9))
    assert cancelled_ids(b.to(5)) == [1]


def test_the_trading_day_changes_even_without_loss_limits() -> None:
    b = Bot(Listener(start=lambda s: None))
    assert b.engine.wake_at() == T0 + NS_PER_DAY
    b.to(2 * NS_PER_DAY / S)
    assert b.engine.wake_at() == T0 + 3 * NS_PER_DAY


def test_after_the_stop_new_orders_are_refused_and_orders_marked_to_be_kept_stay_open() -> None:
    b = Bot(Listener(), Listener())
    b.trade(1_000)
    resting = []
    for strategy in b.strategies:
        order = strategy.buy(BTC, amount=1, price=900)
        b.end_turn()
        resting.append(b.rest(order))
    leaving = b.tell(Stop(withdraws=True, keep=frozenset({"s1"})))
    assert cancelled_ids(leaving) == [resting[0].client_id]
    assert b.s.buy(BTC, amount=1, price=900).reason == "the bot is being stopped"
