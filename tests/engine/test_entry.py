"""Orders refused before they are sent, and the reasons reported to the strategy."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from botkit.engine.market.pair_market import PairMarket
from botkit.engine.orders.checks import expected_price
from botkit.model.events import BalanceReport, OrderBook
from botkit.model.inputs import Halt, Resume
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import Order, OrderState, OrderType, Side
from botkit.model.pairs import Pair
from botkit.model.requests import CreateOrder, Ending
from tests.engine_world import BTC, PAIRS, RICH, RULES, UNIT, Bot, Listener, S


def bot(**more: Any) -> Bot:
    b = Bot(Listener(), **more)
    b.trade(1_000)
    return b


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ({"amount": "0.0009", "price": 900}, "amount 0.0009 btc is below the minimum 0.001"),
        ({"amount": 10**6, "price": 900}, "amount 1000000 btc is above the maximum 100000"),
        ({"amount": 1, "price": 0.4}, "price rounds to 0; the smallest is 1 twd"),
        ({"amount": 1, "price": -5}, "price is -5; it must be above 0"),
        ({"amount": float("nan"), "price": 900}, "amount is nan"),
        ({"amount": 1, "price": float("inf")}, "price is inf"),
        ({"amount": "1_000", "price": 900}, "1_000"),
        ({"amount": None, "price": 900}, "amount must be a number"),
        ({"amount": 1, "price": 900, "expire_s": 0}, "expire_s is 0"),
        ({"amount": 1, "price": 900, "expire_s": float("inf")}, "expire_s is inf"),
        ({"amount": 2_000, "price": 900}, "needs 1800000 twd, 1000000 available"),
        ({"amount": 1, "price": 1_100, "stop_price": 1_000}, "the stop condition >= 1000 is already met at 1000"),
        ({"amount": 1, "price": 1_100, "stop_price": 1_050, "condition": "<="}, "stop condition <= 1050 is already"),
        ({"amount": 1, "price": 1_100, "stop_price": 1_050, "post_only": True}, "a stop order cannot be post-only"),
        ({"amount": 1, "price": 1_100, "stop_price": 0}, "stop_price must be above 0"),
    ],
)
def test_an_invalid_buy_is_refused_with_a_reason(order: Any, why: str) -> None:
    b = bot()
    placed = b.s.buy(BTC, **order)
    assert placed.is_refused
    assert why in placed.reason
    assert b.s.balance("twd").locked == 0
    assert not b.end_turn()


def test_amounts_and_prices_are_rounded_against_the_user() -> None:
    b = bot()
    buy, sell = b.s.buy(BTC, amount=1.00019, price=900.9), b.s.sell(BTC, amount=1.00019, price=1_100.1)
    assert (buy.amount_lots, buy.price_ticks) == (10_001, 900)
    assert (sell.amount_lots, sell.price_ticks) == (10_001, 1_101)
    assert b.s.buy(BTC, amount=0.3 - 0.1, price=900).amount_lots == 2_000


def test_coins_in_open_orders_cannot_be_spent_twice() -> None:
    b = bot()
    b.s.sell(BTC, amount=60, price=1_100)
    refused = b.s.sell(BTC, amount=60, price=1_100)
    assert refused.reason == "needs 60 btc, 40 available (60 locked in 1 order)"


def test_stop_orders_use_the_default_trigger_direction_or_the_requested_one() -> None:
    b = bot()
    sell = b.s.sell(BTC, amount=1, price=900, stop_price=950)
    buy = b.s.buy(BTC, amount=1, price=1_100, stop_price=1_050)
    dip = b.s.buy(BTC, amount=1, price=960, stop_price=950, condition="<=")
    assert [order.type for order in (sell, buy, dip)] == [OrderType.STOP_LIMIT] * 3
    assert [order.condition.value for order in (sell, buy, dip)] == ["<=", ">=", "<="]


def test_a_stop_order_whose_condition_is_already_met_can_become_a_market_order() -> None:
    b = bot()
    sell = b.s.sell(BTC, amount=1, price=900, stop_price=1_000, on_met="market")
    assert sell.type is OrderType.MARKET
    assert sell.is_open
    buy = b.s.buy(BTC, amount=1, price=1_100, stop_price=1_000, on_met="market")
    assert buy.spend == 1_000.0


def test_a_stop_order_without_a_last_price_is_refused() -> None:
    b = Bot(Listener())
    assert "no last price" in b.s.sell(BTC, amount=1, price=900, stop_price=950).reason


def test_a_stop_order_replacement_is_refused_if_its_condition_is_already_met() -> None:
    b = bot()
    old = b.s.buy(BTC, amount=1, price=1_100, stop_price=1_050)
    b.end_turn()
    b.accept(old)
    assert old.state is OrderState.UNTRIGGERED
    b.trade(1_060)
    new = b.s.replace(old, price=1_200)
    assert new.reason == "the stop condition >= 1050 is already met at 1060"
    assert not old.cancel_requested


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ({}, "pass either spend"),
        ({"spend": 1_000, "amount": 1}, "pass either spend"),
        ({"spend": 189}, "spend 189 twd is below the minimum 190"),
        ({"amount": -1}, "amount is -1; it must be above 0"),
        ({"spend": 1_000, "max_slippage_pct": float("nan")}, "max_slippage_pct is nan; it must be a percentage"),
        ({"spend": 1_000, "max_slippage_pct": 101}, "max_slippage_pct is 101"),
        ({"spend": "x"}, "x"),
        ({"amount": 500}, "the visible book does not hold 500 btc"),
        ({"spend": 30_000}, "the visible book holds only 20100 twd within 1 % of the best price"),
    ],
)
def test_an_invalid_market_buy_is_refused_with_a_reason(order: Any, why: str) -> None:
    b = bot()
    b.book([(990, 100_000)], [(1_000, 100_000), (1_010, 100_000), (1_020, 100_000)])
    placed = b.s.market_buy(BTC, **order)
    assert placed.is_refused
    assert why in placed.reason


def test_slippage_is_measured_from_the_best_visible_price() -> None:
    b = bot()
    b.book([(1_000, 10_000), (991, 10_000), (980, 10_000)], [(1_010, 10_000)])
    assert "holds only 2 btc within 1 %" in b.s.market_sell(BTC, amount="2.1").reason
    assert b.s.market_sell(BTC, amount=2).is_open
    assert b.s.market_sell(BTC, amount="2.1", max_slippage_pct=2).is_open
    b.book([], [(1_010, 10_000)])
    assert "shows no bids" in b.s.market_sell(BTC, amount=1).reason


def test_slippage_is_rechecked_when_the_order_leaves_the_queue() -> None:
    b = bot(limits={"create_order": "2/1m"}, batching=False)
    b.book([(990, 10**6)], [(1_000, 10**6)])
    orders = [b.s.market_buy(BTC, spend=1_000) for _ in range(3)]
    b.end_turn()
    waiting = [order for order in orders if order.state is OrderState.QUEUED]
    assert waiting
    for request in b.all(CreateOrder):
        b.book([(990, 10**6)], [(1_000, 1), (1_100, 10**6)])
        b.answer(request, Ending.NOT_SENT)  # the slot is returned
    assert {order.state for order in waiting} == {OrderState.NOT_SENT}
    assert all("visible book" in order.reason for order in waiting)


def test_close_sells_the_sellable_amount_or_reports_that_there_is_none() -> None:
    b = bot()
    order = b.s.close(BTC)
    assert (order.amount_lots, order.reduces) == (10**6, True)
    again = b.s.close(BTC)
    assert again.reason == "there is nothing to sell in btc_twd now (position 100 btc)"


def test_all_orders_are_refused_during_maintenance() -> None:
    pair = Pair("btc_twd", msgspec.structs.replace(RULES, maintenance=True))
    b = Bot(Listener(pair), pairs={**PAIRS, "btc_twd": pair})
    b.trade(1_000, pair=pair)
    for order in (
        b.s.buy(pair, amount=1, price=900),
        b.s.market_buy(pair, spend=1_000),
        b.s.market_sell(pair, amount=1),
    ):
        assert order.reason == "btc_twd is in maintenance"


def test_all_strategies_share_the_exchanges_open_order_cap() -> None:
    b = Bot(Listener(), Listener())
    b.trade(1_000)
    first, second = b.strategies
    orders = [first.buy(BTC, amount="0.01", price=900) for _ in range(8)]
    refused = second.buy(BTC, amount="0.01", price=900)
    assert refused.reason == "8 orders for btc_twd are open, which is the exchange's maximum"
    assert first.replace(orders[0], price=910).is_open  # allowed because it replaces an open order
    assert second.market_buy(BTC, spend=1_000).is_open


def test_an_unknown_pair_raises_an_error() -> None:
    b = bot()
    with pytest.raises(ValueError, match="'doge_twd' is not traded on this exchange; its pairs are btc_twd, eth_twd"):
        b.s.buy("doge_twd", amount=1, price=1)


# -- the bot as a whole -----------------------------------------------------------------------------------------------


def test_a_halted_bot_accepts_only_reducing_orders_until_resumed() -> None:
    b = bot()
    rest = b.s.buy(BTC, amount=1, price=900)
    b.end_turn()
    b.rest(rest)
    b.tell(Halt("panic"))
    assert b.engine.view.halted == "panic"
    assert b.risk.halts == {None: "panic"}
    assert rest.cancel_requested
    assert b.s.buy(BTC, amount=1, price=900).reason == "the bot is halted: panic"
    assert b.s.close(BTC).is_open
    b.tell(Resume())
    assert b.engine.view.halted is None
    assert b.s.buy(BTC, amount=1, price=900).is_open


def test_orders_queued_when_the_bot_is_halted_are_never_sent() -> None:
    b = bot()
    order = b.s.buy(BTC, amount=1, price=900)
    b.risk.halt(None, "test")  # even if no cancel was sent for the order
    assert not b.end_turn()
    assert order.state is OrderState.NOT_SENT
    assert order.reason == "the bot is halted: test"


def test_a_shortage_message_names_the_coin_and_new_orders_are_blocked_until_it_is_resolved() -> None:
    b = Bot(Listener(), capital=[{"twd": RICH["twd"], "btc": RICH["btc"]}])
    b.trade(1_000)
    actual = {"twd": (RICH["twd"], RICH["twd"]), "btc": (60 * UNIT, 60 * UNIT)}
    b.tell(BalanceReport(actual, snapshot=True))
    refused = b.s.buy(BTC, amount=1, price=900)
    assert refused.is_refused
    assert "the account has 40 btc less than its strategies own" in refused.reason
    ((level, told),) = b.messages
    assert level == "error"
    assert "40 btc" in told
    way_out = b.s.close(BTC)
    b.end_turn()
    assert way_out.state is OrderState.SENDING
    b.answer(b.create_of(way_out), Ending.NOT_SENT)
    b.to(10)
    for second in (10, 13):
        b.to(second)
        b.tell(BalanceReport({"btc": (RICH["btc"], RICH["btc"])}))
    assert b.messages[1:] == [("info", "the account again holds everything its strategies own; new orders are allowed")]
    assert b.s.buy(BTC, amount=1, price=900).is_open
    b.decisions.flush()
    assert b"".join(b.log).count(b'"k":"shortage"') == 2


# -- stale books -----------------------------------------------------------------------------------------------


def test_a_market_order_on_a_stale_book_is_refused_with_the_book_age() -> None:
    b = bot()
    b.book([(990, 10**6)], [(1_010, 10**6)])
    b.to(300)
    b.trade(1_000)
    assert b.s.market_buy(BTC, spend=1_000).is_open
    b.to(301)
    b.trade(1_000)
    why = "the book of btc_twd is 301 s old; a market order needs one no older than 300 s (max_book_age_s)"
    assert b.s.market_buy(BTC, spend=1_000).reason == why
    assert b.s.market_sell(BTC, amount=1).reason == why
    assert b.s.sell(BTC, amount=1, price=1_010).is_open
    b.book([(990, 10**6)], [(1_010, 10**6)])
    assert b.s.market_sell(BTC, amount=1).is_open


def test_the_book_age_is_not_checked_in_a_run_without_book_data() -> None:
    b = bot()
    b.to(10_000)
    assert b.s.market_buy(BTC, spend=1_000).is_open


# -- the price collar -------------------------------------------------------------------------------------------------


def test_the_collar_checks_market_orders_against_the_visible_book() -> None:
    b = bot(risk={"price_collar_pct": 5})
    b.book([(900, 10**6)], [(1_100, 10**6)])
    assert "expected price 1100 is 10.00 % above the last price 1000" in b.s.market_buy(BTC, spend=1_000).reason
    assert "expected price 900 is 10.00 % below" in b.s.market_sell(BTC, amount=1).reason
    b.book([(990, 10**6)], [(1_010, 10**6)])
    assert b.s.market_buy(BTC, spend=1_000).is_open


def test_the_expected_price_is_the_average_over_the_levels_that_the_order_would_consume() -> None:
    b = bot()
    spend = _order(b, Side.BUY, spend_units=2_050 * UNIT)
    market = PairMarket(BTC, b.portfolio.prices[BTC])
    assert expected_price(spend, market) is None
    market.book = OrderBook(BTC, b.now, ((900, 10_000), (800, 10_000)), ((1_000, 10_000), (1_050, 10_000)))
    market.book_seen = b.now
    assert expected_price(spend, market) == 1_025.0
    assert expected_price(_order(b, Side.SELL, amount_lots=20_000), market) == 850.0
    assert expected_price(_order(b, Side.SELL, amount_lots=90_000), market) == 850.0
    assert expected_price(_order(b, Side.BUY, spend_units=1_000 * UNIT), market) == 1_000.0


def _order(b: Bot, side: Side, **more: Any) -> Any:
    return Order(
        OrderSpec(client_id=1, strategy="s0", pair=BTC, side=side, type=OrderType.MARKET, created=b.now, **more)
    )


# -- how a refusal is reported ------------------------------------------------------------------------------------


def test_a_refusal_is_reported_after_the_callback_without_advancing_now() -> None:
    told: list[tuple[str, int]] = []

    def on_trade(s: Any, _: Any) -> None:
        if not told:
            order = s.buy(BTC, amount=0, price=1)
            assert order.state is OrderState.REFUSED
            told.append(("after the call", s.now))

    def on_order(s: Any, event: Any) -> None:
        told.append((event[1].value, s.now))

    b = Bot(Listener(start=lambda s: s.subscribe_trades(BTC), trade=on_trade, order=on_order))
    b.now += S
    b.trade(1_000)
    assert told == [("after the call", b.now), ("refused", b.now)]


def test_more_than_a_hundred_refusals_in_one_turn_stop_the_strategy() -> None:
    b = bot()
    for _ in range(100):
        b.s.buy(BTC, amount=0, price=1)
    b.end_turn()
    assert b.seen().active
    for _ in range(101):
        b.s.buy(BTC, amount=0, price=1)
    assert not b.seen().active
    assert "more than 100 orders were refused in one turn" in b.seen().stopped_because
    assert b.s.buy(BTC, amount=1, price=900).reason == "the strategy is stopped"


def test_many_refusals_caused_by_a_halt_in_one_turn_do_not_stop_the_strategy() -> None:
    b = bot()
    b.tell(Halt("botkit panic"))
    for _ in range(1_000):
        assert b.s.buy(BTC, amount=1, price=900).reason == "the bot is halted: botkit panic"
    b.end_turn()
    assert b.seen().active
    for _ in range(1_001):  # beyond 1000 refusals, assume an endless loop
        b.s.buy(BTC, amount=1, price=900)
    assert "more than 1000 orders were refused in one turn" in b.seen().stopped_because
