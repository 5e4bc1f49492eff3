"""`order_target` and `rebalance`: a strategy sets target holdings, and the proceeds of sales pay for purchases."""

from __future__ import annotations

from typing import Any

import pytest

from botkit.model.inputs import Halt
from botkit.model.orders import Order, OrderState, Side
from tests.engine_world import BTC, ETH, UNIT, Bot, Listener

FUNDS = {"twd": 10_000 * UNIT, "btc": 10 * UNIT, "eth": 0}


def start(s: Any) -> None:
    s.subscribe_trades(BTC)
    s.subscribe_trades(ETH)


def bot(funds: dict[str, int] = FUNDS) -> Bot:
    b = Bot(Listener(BTC, ETH, start=start), balances=funds, capital=[dict(funds)])
    b.trade(1_000)
    b.trade(100, pair=ETH)
    return b


def fill_whole(b: Bot, order: Order, price: int) -> None:
    """Let the exchange fill a market order completely at a given price."""
    b.accept(order)
    lots = order.spec.amount_lots or int(order.spec.spend_units * 10_000 // (price * UNIT))
    b.execute(order, lots, price)
    b.push(order, 2, lots)
    assert order.state is OrderState.FILLED


def new_orders(b: Bot, known: list[Order]) -> list[Order]:
    found = [order for order in b.engine.view.orders() if order not in known]
    known += found
    return found


def test_the_difference_from_the_target_is_bought_or_sold() -> None:
    b = bot()
    order = b.s.order_target(BTC, 12, tag="more")
    b.end_turn()
    assert order is not None
    assert (order.side, order.spec.spend_units, order.tag) == (Side.BUY, 2_000 * UNIT, "more")
    fill_whole(b, order, 1_000)
    order = b.s.order_target("btc_twd", "7.5")
    assert (order.side, order.amount) == (Side.SELL, 4.5)


def test_no_order_is_sent_if_the_target_is_already_reached() -> None:
    b = bot()
    assert b.s.order_target(BTC, 10) is None
    assert b.s.order_target(BTC, 10.0005) is None  # the difference is below the minimum order size
    assert not b.engine.view.orders()


def test_a_purchase_waits_for_the_proceeds_of_a_sale_and_then_spends_the_available_money() -> None:
    b = bot()
    sale = b.s.order_target(BTC, 0)
    assert sale is not None
    assert b.s.order_target(ETH, 199) is None  # 19,900 TWD, of which 10,000 are available
    b.end_turn()
    known = [sale]
    assert not new_orders(b, known)
    fill_whole(b, sale, 990)  # slightly below the last price: proceeds of 9,900 TWD
    [purchase] = new_orders(b, known)
    assert (purchase.side, purchase.pair) == (Side.BUY, ETH)
    assert purchase.spec.spend_units == 19_900 * UNIT
    fill_whole(b, purchase, 100)
    assert not new_orders(b, known)
    assert b.s.position(ETH).amount == pytest.approx(199)


def test_a_purchase_without_a_pending_sale_spends_the_available_money() -> None:
    b = bot()
    order = b.s.order_target(ETH, 500)
    assert order is not None
    assert order.spec.spend_units == 10_000 * UNIT


def test_if_the_sale_fails_the_purchase_proceeds_with_the_available_money() -> None:
    b = bot()
    sale = b.s.order_target(BTC, 0)
    assert sale is not None
    b.s.order_target(ETH, 199)
    b.end_turn()
    known = [sale]
    b.s.cancel(sale)
    b.end_turn()
    if not sale.is_final:
        b.accept(sale)
        b.push(sale, 4, 0)
    [purchase] = new_orders(b, known)
    assert purchase.spec.spend_units == 10_000 * UNIT


def test_a_new_target_replaces_a_pending_target() -> None:
    b = bot()
    sale = b.s.order_target(BTC, 0)
    assert sale is not None
    b.s.order_target(ETH, 199)
    assert b.s.order_target(ETH, 0) is None
    b.end_turn()
    known = [sale]
    fill_whole(b, sale, 1_000)
    assert not new_orders(b, known)


def test_rebalance_sells_first_and_leaves_the_unallocated_weight_in_money() -> None:
    b = bot()  # 10 BTC at 1,000 and 10,000 TWD: 20,000 in total
    b.s.rebalance({"btc_twd": 0.2, ETH: 0.75})
    b.end_turn()
    known: list[Order] = []
    [sale] = new_orders(b, known)
    assert (sale.side, sale.pair, sale.amount) == (Side.SELL, BTC, 6.0)
    fill_whole(b, sale, 1_000)
    [purchase] = new_orders(b, known)
    assert (purchase.side, purchase.pair) == (Side.BUY, ETH)
    assert purchase.spec.spend_units == 15_000 * UNIT
    fill_whole(b, purchase, 100)
    assert b.s.balance("twd").total == pytest.approx(1_000)
    b.s.rebalance({"btc_twd": 0.2, ETH: 0.75}, tolerance=0.01)
    b.end_turn()
    assert not new_orders(b, known)


def test_a_later_rebalance_replaces_purchases_that_still_wait_for_proceeds() -> None:
    b = bot()
    b.s.rebalance({BTC: 0.2, ETH: 0.75})
    b.end_turn()
    known: list[Order] = []
    (sale,) = new_orders(b, known)
    b.s.rebalance({BTC: 0.2, ETH: 0})  # the signal has turned before the sale has filled
    b.end_turn()
    fill_whole(b, sale, 1_000)
    assert new_orders(b, known) == []


def test_rebalance_trades_on_from_what_an_order_on_its_way_leaves() -> None:
    b = bot()
    b.s.rebalance({BTC: 0.2})  # 10 BTC and 10,000 TWD: sells 6
    b.end_turn()
    known: list[Order] = []
    (sale,) = new_orders(b, known)
    b.s.rebalance({BTC: 0.5})  # what it still holds
    b.end_turn()
    assert new_orders(b, known) == []
    fill_whole(b, sale, 1_000)
    (bought,) = new_orders(b, known)
    assert (bought.side, bought.spec.spend_units) == (Side.BUY, 6_000 * UNIT)


@pytest.mark.parametrize("dropped_by", ["close", "cancel_all", "cancel_all of the pair"])
def test_a_target_that_waits_is_dropped_by(dropped_by: str) -> None:
    b = bot()
    sale = b.s.order_target(BTC, 0)
    b.s.order_target(ETH, 199)
    b.end_turn()
    assert sale is not None
    if dropped_by == "close":
        assert b.s.close(ETH).state is OrderState.REFUSED  # there is nothing to sell yet
    else:
        b.s.cancel_all(*(("eth_twd",) if "pair" in dropped_by else ()))
    b.end_turn()
    fill_whole(b, sale, 990)
    assert [
        order for order in b.engine.view.orders() if order.pair == ETH and order.state is not OrderState.REFUSED
    ] == []


def test_rebalance_with_a_missing_price_is_recorded_as_skipped_and_places_no_orders() -> None:
    b = Bot(Listener(BTC, ETH, start=start), balances=FUNDS, capital=[dict(FUNDS)])
    b.trade(1_000)
    b.s.rebalance({BTC: 0.5, ETH: 0.5})
    assert dict(b.seen().skips) == {"rebalance: eth_twd has no price yet": 1}
    assert not b.engine.view.orders()


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({BTC: 50}, "the weight of btc_twd is 50; weights are fractions: 0.25 is 25 %"),
        ({BTC: -0.1}, "weights are fractions"),
        ({BTC: 0.7, ETH: 0.4}, "the weights add up to 1.1"),
    ],
)
def test_invalid_weights_are_refused(weights: dict[Any, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        bot().s.rebalance(weights)


@pytest.mark.parametrize("how", ["order_target", "rebalance"])
def test_a_target_of_zero_is_an_exit_that_a_halt_lets_through(how: str) -> None:
    b = bot()
    b.tell(Halt("the day's loss"))
    assert b.s.market_sell(BTC, amount=1).state is OrderState.REFUSED, "it may be meant as a trade"
    assert b.s.order_target(BTC, 5) is not None
    b.end_turn()
    known = list(b.engine.view.orders())
    assert all(order.state is OrderState.REFUSED for order in known)
    if how == "rebalance":
        b.s.rebalance({BTC: 0})
    else:
        b.s.order_target(BTC, 0)
    b.end_turn()
    (sale,) = new_orders(b, known)
    assert (sale.state, sale.side, sale.amount) == (OrderState.SENDING, Side.SELL, 10)


def test_a_negative_target_is_refused() -> None:
    with pytest.raises(ValueError, match="a target must be at least 0, because spot positions cannot be short"):
        bot().s.order_target(BTC, -1)


def test_a_stopped_strategy_makes_no_further_purchases() -> None:
    b = bot()
    sale = b.s.order_target(BTC, 0)
    assert sale is not None
    b.s.order_target(ETH, 199)
    b.end_turn()
    known = [sale]
    b.break_strategy()
    if not sale.is_final:
        fill_whole(b, sale, 1_000)
    assert not new_orders(b, known)
