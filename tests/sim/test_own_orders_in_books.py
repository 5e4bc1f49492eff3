"""Our orders in the published books, compared with a reference that merges and sorts the levels."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.model.order_spec import OrderSpec
from botkit.model.orders import OrderType, Side
from botkit.sim.account_setup import AccountSetup
from botkit.sim.book_feed import BookFeed, compose
from botkit.sim.fees import FixedFees
from botkit.sim.market import VenueMarket
from botkit.sim.order import Account, VenueOrder
from tests.sim.venue import BTC, LOT, T0, S, books, trades

LEVELS = st.dictionaries(st.integers(90, 110), st.integers(1, 4).map(lambda n: n * LOT), max_size=6)
#: price and lots; some amounts are not multiples of the published unit
OWN = st.lists(st.tuples(st.integers(90, 110), st.sampled_from([LOT, 2 * LOT, LOT + 1])), max_size=4)
DEPTH = 3


def _market(bids: dict[int, int], asks: dict[int, int], own_bids: list[tuple[int, int]]) -> VenueMarket:
    market = VenueMarket(BTC)
    levels = (sorted(bids.items(), reverse=True), sorted(asks.items()))
    market.load(books([(0, *levels)], depth=6))
    account = Account("ann", AccountSetup(balances={}, fees=FixedFees({"maker": "0", "taker": "0"})))
    for number, (ticks, lots) in enumerate(own_bids):
        for side in (Side.BUY, Side.SELL):
            spec = OrderSpec(
                client_id=number, strategy="s", pair=BTC, side=side, type=OrderType.LIMIT, created=T0,
                price_ticks=ticks, amount_lots=lots,
            )  # fmt: skip
            market.rest(VenueOrder(account, spec, str(number), number, T0, T0, 0))
    return market


def _merged(levels: dict[int, int], own: list[VenueOrder], *, bids: bool) -> tuple[tuple[int, int], ...]:
    amounts = dict(levels)
    for order in own:
        amounts[order.price_ticks] = amounts.get(order.price_ticks, 0) + order.remaining_lots
    return tuple(sorted(amounts.items(), reverse=bids)[:DEPTH])


@settings(max_examples=300, deadline=None)
@given(bids=LEVELS, asks=LEVELS, own=OWN)
def test_our_orders_are_shown_at_their_prices_unless_the_opposite_side_has_reached_them(
    bids: dict[int, int], asks: dict[int, int], own: list[tuple[int, int]]
) -> None:
    market = _market(bids, asks, own)
    row = market.book_row(T0)
    best_bid, best_ask = max(bids, default=-1), min(asks, default=1 << 62)
    standing_bids = [order for order in market.buys if order.price_ticks < best_ask]
    standing_asks = [order for order in market.sells if order.price_ticks > best_bid]
    # only the best recorded level can be shown
    shown_bids, shown_asks = dict(sorted(bids.items(), reverse=True)[:DEPTH]), dict(sorted(asks.items())[:DEPTH])
    expected = _merged(shown_bids, standing_bids, bids=True), _merged(shown_asks, standing_asks, bids=False)
    assert compose(market, row, DEPTH) == expected


@settings(max_examples=200, deadline=None)
@given(bids=LEVELS, asks=LEVELS, own=OWN)
def test_amounts_are_rounded_to_the_units_used_on_the_wire(
    bids: dict[int, int], asks: dict[int, int], own: list[tuple[int, int]]
) -> None:
    market = _market(bids, asks, [])
    feed = BookFeed(market, DEPTH, S, T0)
    feed.publish(T0)  # the first frame is exact
    with_own = _market(bids, asks, own)
    market.buys, market.sells = with_own.buys, with_own.sells
    feed.note_change(T0)
    book = feed.publish(T0 + S)
    exact = compose(market, market.book_row(T0), DEPTH)
    unit = market.display_unit
    rounded = tuple(tuple((ticks, (lots + unit // 2) // unit * unit) for ticks, lots in side) for side in exact)
    if book is not None:
        assert (book.bid_levels, book.ask_levels) == rounded
    else:
        assert rounded == compose(market, market.book_row(T0), DEPTH, own=False)


@settings(max_examples=200, deadline=None)
@given(
    bids=LEVELS, asks=LEVELS,
    prints=st.lists(st.tuples(st.integers(90, 110), st.integers(1, 3), st.sampled_from([-1, 0, 1])), max_size=4),
    taken=st.integers(0, 3),
)  # fmt: skip
def test_remaining_levels_never_start_at_a_better_price_than_the_recorded_best(
    bids: dict[int, int], asks: dict[int, int], prints: list[tuple[int, int, int]], taken: int
) -> None:
    """Check the condition that allows the code to skip the remaining levels when an order does not reach the best
    recorded price.
    """
    market = _market(bids, asks, [])
    if prints:
        market.load(trades([(1, ticks, lots * LOT, side) for ticks, lots, side in prints]))
    row = market.book_row(T0)
    assert market.books is not None
    for is_bids, side in ((True, bids), (False, asks)):
        if side and taken:
            best = max(side) if is_bids else min(side)
            market.take(row, best, min(taken * LOT, side[best]), bids=is_bids)
        left = market.levels_left(row, T0 + S, None, bids=is_bids)
        best = market.books.best(row, bids=is_bids)
        assert all(ticks <= best if is_bids else ticks >= best for ticks, _ in left)
        assert left or not side or prints or taken
