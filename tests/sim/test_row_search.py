"""The search for the next row that can affect an order, compared with a check of every row."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.sim import streams
from botkit.sim.bounds import NEVER_DOWN, NEVER_UP, Bounds
from botkit.sim.streams import BookStream, CandleStream, TradeStream, VenueStream
from tests.sim.venue import LOT, MINUTE, T0, S, books, candles, trades

LOW, HIGH = 95, 105
PRICES = st.integers(LOW, HIGH)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use small blocks, so that even a short tape has several blocks."""
    monkeypatch.setattr(streams, "_BLOCK", 4)
    monkeypatch.setattr(streams, "_FEW", 2)


BOUNDS = st.builds(
    Bounds,
    buy=st.sampled_from([NEVER_DOWN, LOW - 1, LOW, 98]),
    sell=st.sampled_from([NEVER_UP, HIGH + 1, HIGH, 102]),
    stop_up=st.sampled_from([NEVER_UP, NEVER_UP, HIGH]),
    stop_down=st.sampled_from([NEVER_DOWN, NEVER_DOWN, LOW]),
    take_buy=st.sampled_from([NEVER_DOWN, NEVER_DOWN, LOW]),
    take_sell=st.sampled_from([NEVER_UP, NEVER_UP, HIGH]),
)
#: seconds between rows (0 for simultaneous rows), and each row's prices
ROWS = st.lists(st.tuples(st.integers(0, 2), PRICES, PRICES, st.sampled_from([-1, 0, 1])), min_size=1, max_size=40)


def _walk(stream: VenueStream[object], bounds: Bounds, touching: Sequence[bool], untils: Sequence[int | None]) -> None:
    """Run the search to the end of the tape. The search must stop at each row that affects an order, and otherwise not
    before ``until``.
    """
    times = stream.received.tolist()
    stream.watch(bounds, T0 - 1)
    if stream.is_idle:
        assert stream.next_touch(None) is None
        assert not any(touching)
        return
    row = 0  # earlier rows have been processed
    for until in [*untils, *[None] * (len(times) + 1)]:
        following = next((i for i in range(row, len(times)) if touching[i]), None)
        found = stream.next_touch(until)
        if following is None:
            assert found is None or (until is not None and found > until)
        elif until is not None and times[following] > until:
            assert found is not None
            assert until < found <= times[following]
        else:
            assert found == times[following]
            assert stream.touch_row == stream.first + following
            stream.scanned, stream.touch_row = stream.first + following + 1, -1
            row = following + 1
    assert row > max((i for i, touches in enumerate(touching) if touches), default=-1)


UNTILS = st.lists(st.none() | st.integers(0, 60), max_size=30).map(
    lambda seconds: sorted(T0 + second * S for second in seconds if second is not None) + [None] * seconds.count(None)
)


@settings(max_examples=300, deadline=None)
@given(rows=ROWS, bounds=BOUNDS, untils=UNTILS)
def test_the_search_stops_at_every_trade_that_affects_an_order(
    rows: list[tuple[int, int, int, int]], bounds: Bounds, untils: list[int | None]
) -> None:
    stream, now, table = TradeStream(), 0, []
    for wait, price, _, side in rows:
        now += wait
        table.append((now, price, LOT, side))
    stream.load(trades(table))
    touching = [
        price + (side > 0) <= bounds.buy
        or price - (side < 0) >= bounds.sell
        or price >= min(bounds.stop_up, bounds.take_sell)
        or price <= max(bounds.stop_down, bounds.take_buy)
        for _, price, _, side in table
    ]
    _walk(stream, bounds, touching, untils)  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(rows=ROWS, bounds=BOUNDS, untils=UNTILS)
def test_the_search_stops_at_every_book_that_affects_an_order(
    rows: list[tuple[int, int, int, int]], bounds: Bounds, untils: list[int | None]
) -> None:
    stream, now, table = BookStream(), 0, []
    for wait, one, other, side in rows:
        now += wait
        bid, ask = min(one, other), max(one, other) + 1
        # occasionally a side is empty
        table.append((now, [(bid, LOT)] if side >= 0 else [], [(ask, LOT)] if side <= 0 else []))
    stream.load(books(table))
    touching = [
        (bool(asks) and asks[0][0] <= bounds.buy) or (bool(bids) and bids[0][0] >= bounds.sell)
        for _, bids, asks in table
    ]
    _walk(stream, bounds.of_book(), touching, untils)  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(rows=ROWS, bounds=BOUNDS)
def test_the_search_stops_at_every_candle_that_affects_an_order(
    rows: list[tuple[int, int, int, int]], bounds: Bounds
) -> None:
    stream, table = CandleStream(), []
    for minute, (_, one, other, side) in enumerate(rows):
        low, high = min(one, other), max(one, other)
        table.append((minute, low, high, low, high, LOT if side >= 0 else 0))
    stream.load(candles(table))
    touching = [
        bool(lots) and (low < bounds.buy or high > bounds.sell or high >= bounds.stop_up or low <= bounds.stop_down)
        for _, _, high, low, _, lots in table
    ]
    bounds = Bounds(bounds.buy, bounds.sell, bounds.stop_up, bounds.stop_down)
    untils = [T0 + minute * MINUTE for minute in range(0, len(rows), 3)]
    _walk(stream, bounds, touching, untils)  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(levels=st.dictionaries(PRICES, st.sampled_from([0, LOT, 3 * LOT]), max_size=3), ticks=st.integers(90, 110))
def test_the_amount_at_a_price_is_the_amount_of_the_level_with_that_price(levels: dict[int, int], ticks: int) -> None:
    for bids in (True, False):
        side = sorted(levels.items(), reverse=bids)
        stream = BookStream()
        stream.load(books([(0, side if bids else [], [] if bids else side)]))
        shown = stream.levels(0, bids=bids)
        expected: int | None = dict(shown).get(ticks, 0)
        if shown and (ticks < shown[-1][0] if bids else ticks > shown[-1][0]):
            expected = None  # beyond the recorded depth
        assert stream.lots_at(0, ticks, bids=bids) == expected
