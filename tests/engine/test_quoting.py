"""Quotes set by a strategy are turned into orders: matching orders stay, others are replaced, and refused ones are not
retried.
"""

from __future__ import annotations

from typing import Any

from botkit.model.inputs import Stop
from botkit.model.orders import Order, OrderState, Side
from botkit.model.requests import CreateOrder, Ending
from tests.engine_world import BTC, Bot, Exchange, Listener, cancelled_ids


def bot(**more: Any) -> Bot:
    made = Bot(Listener(), **more)
    made.trade(1_000)
    return made


def quote(b: Bot, bids: Any = (), asks: Any = (), **more: Any) -> list[Order]:
    """Set a quote, let the exchange accept the sent orders, and return the open orders."""
    b.s.quote(BTC, bids=bids, asks=asks, **more)
    b.end_turn()
    settle(b)
    return resting(b)


def settle(b: Bot) -> None:
    """Let the exchange accept every create and confirm every cancel."""
    busy = True
    while busy:
        busy = False
        for order in b.s.open_orders():
            if order.state is OrderState.SENDING:
                b.rest(order)
                busy = True
            elif order.cancel_requested and order.order_id:
                b.push(order, 3 if order.executed_lots else 4)
                busy = True


def resting(b: Bot, pair: Any = BTC) -> list[Order]:
    return sorted(b.s.open_orders(pair), key=lambda o: (o.side.value, o.price_ticks))


def levels(b: Bot) -> list[tuple[str, int, int]]:
    return [(o.side.value, o.price_ticks, o.remaining_lots) for o in resting(b)]


def test_a_quote_is_placed_post_only() -> None:
    b = bot()
    orders = quote(b, bids=[(990, 1), (980, 2)], asks=[(1_010, 1)])
    assert levels(b) == [("buy", 980, 20_000), ("buy", 990, 10_000), ("sell", 1_010, 10_000)]
    assert all(order.post_only for order in orders)


def test_setting_an_identical_quote_again_sends_nothing() -> None:
    b = bot()
    quote(b, bids=[(990, 1)])
    before = len(b.requests)
    quote(b, bids=[(990, 1)])
    assert len(b.requests) == before


def test_orders_within_the_tolerance_are_kept_and_others_are_replaced() -> None:
    b = bot()
    (order,) = quote(b, bids=[(990, 1)], tolerance_bps=20)
    assert quote(b, bids=[(991, 1)], tolerance_bps=20) == [order]
    (other,) = quote(b, bids=[(995, 1)], tolerance_bps=20)
    assert other is not order
    assert other.price_ticks == 995


def test_no_order_is_placed_on_a_side_until_its_cancels_are_confirmed() -> None:
    b = bot()
    (old,) = quote(b, bids=[(990, 1)])
    b.s.quote(BTC, bids=[(900, 1)], asks=[(1_010, 1)])
    leaving = b.end_turn()
    assert cancelled_ids(leaving) == [old.client_id]
    assert [r.order.side for r in leaving if isinstance(r, CreateOrder)] == [Side.SELL]
    leaving = b.push(old, 4)
    assert [r.order.price_ticks for r in leaving if isinstance(r, CreateOrder)] == [900]


def test_a_quote_replenishes_filled_amounts() -> None:
    b = bot()
    (order,) = quote(b, bids=[(990, 1)])
    b.execute(order, 4_000)
    b.push(order, 1, 4_000)
    settle(b)
    assert levels(b) == [("buy", 990, 4_000), ("buy", 990, 6_000)] or levels(b) == [
        ("buy", 990, 6_000),
        ("buy", 990, 4_000),
    ]
    b.execute(order, 2_000)  # a second partial fill: the state is unchanged, but the remaining amount changes
    settle(b)
    assert sum(lots for _, _, lots in levels(b)) == 10_000


def test_a_remainder_below_the_minimum_order_size_is_not_replenished() -> None:
    b = bot()
    (order,) = quote(b, bids=[(990, 1)])
    b.execute(order, 5)
    b.push(order, 1, 5)
    assert len(b.all(CreateOrder)) == 1


def test_levels_below_the_minimum_order_size_are_skipped_and_counted() -> None:
    b = bot()
    quote(b, bids=[(990, 1), (980, "0.0005")])
    assert levels(b) == [("buy", 990, 10_000)]
    assert sum(b.seen().skips.values()) == 1


def test_levels_with_equal_prices_are_merged_into_one_order() -> None:
    b = bot()
    quote(b, bids=[(990, 1), (990.4, 1)])
    assert levels(b) == [("buy", 990, 20_000)]


def test_a_quote_whose_bid_is_at_or_above_its_ask_is_ignored() -> None:
    b = bot()
    quote(b, bids=[(990, 1)])
    quote(b, bids=[(1_000, 1)], asks=[(1_000, 1)])
    assert levels(b) == [("buy", 990, 10_000)]
    assert b.seen().skips == {"quote: a bid at or above an ask": 1}


def test_an_order_cancelled_as_post_only_is_not_retried_until_the_quote_is_set_again() -> None:
    b = bot()
    b.s.quote(BTC, bids=[(990, 1)])
    b.end_turn()
    (order,) = b.s.open_orders()
    b.accept(order)
    b.push(order, 6)
    assert order.state is OrderState.POST_ONLY_CANCELLED
    b.trade(1_001)
    assert len(b.all(CreateOrder)) == 1
    quote(b, bids=[(990, 1)])
    assert len(b.all(CreateOrder)) == 2


def test_a_refused_level_is_not_retried_until_the_quote_is_set_again() -> None:
    b = bot()
    quote(b, bids=[(990, 10**5), (980, 1)])
    assert levels(b) == [("buy", 980, 10_000)]
    b.trade(1_001)
    b.s.buy(BTC, amount=1, price=900)
    b.end_turn()
    assert sum(b.seen().refusals.values()) == 1


def test_no_order_is_placed_until_an_order_with_an_unknown_outcome_is_resolved() -> None:
    b = bot()
    other = b.s.buy(BTC, amount=1, price=900)  # this order is not part of the quote
    b.end_turn()
    b.answer(b.create_of(other), Ending.UNKNOWN)
    quote(b, bids=[(990, 1)])
    assert len(b.all(CreateOrder)) == 1
    b.push(other, 0)
    settle(b)
    assert [level for level in levels(b) if level[1] == 990] == [("buy", 990, 10_000)]


def test_a_quote_order_with_an_unknown_outcome_is_treated_as_resting() -> None:
    b = bot()
    b.s.quote(BTC, bids=[(990, 1)])
    b.end_turn()
    (order,) = b.s.open_orders()
    b.answer(b.create_of(order), Ending.UNKNOWN)
    b.s.quote(BTC, bids=[(990, 1)])
    b.end_turn()
    b.push(order, 0)
    assert len(b.all(CreateOrder)) == 1


def test_a_quote_order_proved_absent_is_not_automatically_resent() -> None:
    b = bot()
    b.s.quote(BTC, bids=[(990, 1)])
    b.end_turn()
    (order,) = b.s.open_orders()
    b.answer(b.create_of(order), Ending.UNKNOWN)
    Exchange(b).serve(5)
    assert order.state is OrderState.ABSENT
    assert len(b.all(CreateOrder)) == 1
    quote(b, bids=[(990, 1)])
    assert len(b.all(CreateOrder)) == 2


def test_the_order_cap_keeps_the_levels_nearest_to_the_touch_on_both_sides() -> None:
    b = bot()
    quote(b, bids=[(990 - i, 1) for i in range(8)], asks=[(1_010 + i, 1) for i in range(8)])
    assert [(side, price) for side, price, _ in levels(b)] == [
        *(("buy", 987 + i) for i in range(4)),
        *(("sell", 1_010 + i) for i in range(4)),
    ]


def test_far_levels_are_cancelled_to_make_room_for_near_ones_when_the_market_moves() -> None:
    b = bot()
    quote(b, bids=[(990 - i, 1) for i in range(8)])
    quote(b, bids=[(992 - i, 1) for i in range(10)])
    assert [price for _, price, _ in levels(b)] == list(range(985, 993))


def test_a_quote_uses_an_open_order_slot_freed_by_another_order() -> None:
    b = bot()
    others = [b.rest(order) for order in [_buy(b, 800 + i) for i in range(7)]]
    quote(b, bids=[(990, 1), (980, 1)])
    assert [price for _, price, _ in levels(b) if price > 900] == [990]
    b.s.cancel(others[0])
    b.end_turn()
    settle(b)
    assert [price for _, price, _ in levels(b) if price > 900] == [980, 990]


def _buy(b: Bot, price: int) -> Order:
    order: Order = b.s.buy(BTC, amount="0.01", price=price)
    b.end_turn()
    return order


def test_a_queued_order_is_withdrawn_when_its_quote_changes() -> None:
    b = bot(limits={"create_order": "2/1m"}, batching=False)
    b.s.quote(BTC, bids=[(990 - i, 1) for i in range(6)])
    b.end_turn()
    waiting = [order for order in b.s.open_orders() if order.state is OrderState.QUEUED]
    assert waiting
    b.s.quote(BTC)
    b.end_turn()
    assert {order.state for order in waiting} == {OrderState.CANCELLED}
    settle(b)
    assert not levels(b)


def test_an_empty_quote_cancels_only_the_orders_with_its_tag() -> None:
    b = bot()
    quote(b, bids=[(990, 1)], tag="a")
    quote(b, bids=[(980, 1)], tag="b")
    quote(b, tag="a")
    assert levels(b) == [("buy", 980, 10_000)]


def test_a_stopped_strategy_no_longer_quotes() -> None:
    b = bot()
    quote(b, bids=[(990, 1)])
    b.break_strategy()
    settle(b)
    assert not levels(b)
    assert len(b.all(CreateOrder)) == 1


def test_only_the_last_of_several_quotes_set_in_one_turn_is_placed() -> None:
    b = bot()
    b.s.quote(BTC, bids=[(990, 1)])
    b.s.quote(BTC, bids=[(980, 1)])
    b.end_turn()
    assert [r.order.price_ticks for r in b.all(CreateOrder)] == [980]


def test_a_quote_does_not_replenish_fills_after_the_strategy_stops() -> None:
    b = bot()
    (order,) = quote(b, bids=[(990, 1)])
    b.tell(Stop())
    b.execute(order, 10_000)
    b.push(order, 2, 10_000)
    assert len(b.all(CreateOrder)) == 1


def test_levels_delayed_by_an_order_with_an_unknown_outcome_are_placed_once_it_is_resolved() -> None:
    b = bot(limits={"create_order": "3/1m"}, batching=False)
    b.s.quote(BTC, bids=[(990 - i, 1) for i in range(5)])
    b.end_turn()
    first = b.s.open_orders()[0]
    assert any(order.state is OrderState.QUEUED for order in b.s.open_orders())
    b.answer(b.create_of(first), Ending.UNKNOWN)
    for order in b.s.open_orders():
        if order.state is OrderState.SENDING:
            b.rest(order)
    b.to(70)
    assert all(order.state is not OrderState.QUEUED for order in b.s.open_orders())
    b.push(first, 0)
    b.to(300)
    settle(b)
    b.to(600)
    settle(b)
    assert len(levels(b)) == 5
