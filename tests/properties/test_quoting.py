"""Quotes converge: after the exchange has answered all requests, the most recently set quote rests in the book."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.model.orders import Order, OrderState, Side
from botkit.model.requests import Ending
from tests.engine_world import BTC, BTC_LOTS, RULES, Bot, Listener

_level = st.tuples(st.integers(-30, 30), st.integers(1, 300))
#: after an order ends in one of these states, the quote is not retried until the strategy sets a new quote
_GIVEN_UP = (
    OrderState.REFUSED,
    OrderState.NOT_SENT,
    OrderState.REJECTED,
    OrderState.ABSENT,
    OrderState.POST_ONLY_CANCELLED,
)
_quote = st.tuples(st.lists(_level, max_size=5), st.lists(_level, max_size=5), st.sampled_from([0, 10, 50]))


def _wanted(rows: list[tuple[int, int]], side: Side) -> dict[int, int]:
    base = 960 if side is Side.BUY else 1_040
    wanted: dict[int, int] = {}
    for offset, lots in rows:
        wanted[base + offset] = wanted.get(base + offset, 0) + lots
    return {price: lots for price, lots in wanted.items() if lots >= RULES.least_lots}


@settings(deadline=None, max_examples=60)
@given(st.lists(_quote, min_size=1, max_size=6), st.integers(0, 10**6))
def test_the_most_recently_set_quote_rests_after_all_answers(statements: list[tuple], seed: int) -> None:  # type: ignore[type-arg]
    random = Random(seed)
    given_up: set[tuple[Side, int]] = set()

    def on_order(s: Any, event: Any) -> None:
        order, state = event
        if order.is_quote and state in _GIVEN_UP:
            given_up.add((order.side, order.price_ticks))

    b = Bot(Listener(order=on_order))
    b.trade(1_000)
    for bids, asks, tolerance in statements:
        wanted = _wanted(bids, Side.BUY), _wanted(asks, Side.SELL)
        crossing = bool(wanted[0] and wanted[1]) and max(wanted[0]) >= min(wanted[1])
        assert not crossing
        given_up.clear()  # setting a new quote retries orders that had been given up on
        b.s.quote(
            BTC,
            bids=[(960 + offset, lots / BTC_LOTS) for offset, lots in bids],
            asks=[(1_040 + offset, lots / BTC_LOTS) for offset, lots in asks],
            tolerance_bps=tolerance,
        )
        b.end_turn()
        for _ in range(random.randint(0, 6)):
            step(b, random)
    for _ in range(200):
        if not step(b, random, calm=True):
            break
    assert not step(b, random, calm=True), "the quote does not converge"
    resting = b.s.open_orders(BTC)
    assert {order.state for order in resting} <= {OrderState.OPEN, OrderState.PARTLY_FILLED}
    assert len(resting) <= RULES.open_orders_max
    for side, levels in ((Side.BUY, wanted[0]), (Side.SELL, wanted[1])):
        have = [order for order in resting if order.side is side]
        for order in have:  # no order may rest unless the strategy has set a quote
            slack = max((price * tolerance / 10_000 for price in levels), default=0)
            assert any(abs(order.price_ticks - price) <= slack for price in levels), order
        total, rests = sum(levels.values()), sum(order.remaining_lots for order in have)
        assert rests <= total + RULES.least_lots * max(1, len(levels))
        room_was_enough = len(wanted[0]) + len(wanted[1]) <= RULES.open_orders_max - 3
        if room_was_enough and not given_up:
            assert rests >= total - RULES.least_lots * max(1, len(levels))
    b.check()


def step(b: Bot, random: Random, *, calm: bool = False) -> bool:
    """Perform one action at the exchange. Return False if no action is due."""
    todo = [
        order
        for order in b.s.open_orders()
        if order.state in (OrderState.SENDING, OrderState.UNKNOWN) or order.cancel_requested
    ]
    if not todo:
        if not calm:
            fill(b, random)
        return False
    order = random.choice(todo)
    if order.state is OrderState.SENDING:
        dice = 1.0 if calm else random.random()
        if dice < 0.15:
            b.answer(b.create_of(order), Ending.UNKNOWN)
        elif dice < 0.25:
            b.accept(order)
            b.push(order, 6)
        else:
            b.rest(order)
    elif order.state is OrderState.UNKNOWN:
        b.push(order, 0)
    elif order.order_id:
        b.push(order, 3 if order.executed_lots else 4)
    return True


def fill(b: Bot, random: Random) -> None:
    resting: list[Order] = [order for order in b.s.open_orders() if order.order_id]
    if not resting:
        return
    order = random.choice(resting)
    lots = random.randint(1, order.remaining_lots)
    b.execute(order, lots)
    b.push(order, 1 if order.remaining_lots else 2)
