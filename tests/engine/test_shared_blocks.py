"""Converted rows that runs share: only equal rows are shared, up to a limit, and no run can change those of another."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from botkit.engine.market import blocks
from botkit.engine.market.blocks import BLOCK_ROWS, BlockCache, SharedBlocks
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_MINUTE, parse_time
from botkit.model.columns import CandleColumns, TradeColumns
from botkit.model.pairs import Pair

PAIR = packaged_pairs()["btc_twd"]
T0 = parse_time("2025-03-03T10:00")
ROWS = BLOCK_ROWS + 300


def candles(rows: int = ROWS, pair: Pair = PAIR, resolution: str = "1m") -> CandleColumns:
    close = 1_000 + np.cumsum(np.random.default_rng(1).integers(-1, 2, rows))
    time = T0 + np.arange(rows, dtype=np.int64) * NS_PER_MINUTE
    lots = np.full(rows, 10**6)
    return CandleColumns(pair, resolution, time + NS_PER_MINUTE, time, close, close + 1, close - 1, close, lots)


def trades() -> TradeColumns:
    one = candles()
    return TradeColumns(PAIR, one.received, one.time, one.close, one.lots, np.ones(ROWS, np.int8))


def events(columns: CandleColumns | TradeColumns, shared: SharedBlocks | None) -> list[object]:
    """Convert all rows, as one run does."""
    cache = BlockCache(shared)
    found: list[object] = []
    for row in range(0, len(columns), BLOCK_ROWS):
        found += cache.get(columns, row).make_events()
    return found


@pytest.mark.parametrize("columns", [candles(), trades()], ids=["candles", "trades"])
def test_equal_rows_of_a_later_run_are_not_converted_again(columns: CandleColumns | TradeColumns) -> None:
    shared = SharedBlocks()
    first = events(columns, shared)
    again = events(msgspec.structs.replace(columns, received=columns.received.copy()), shared)
    assert all(one is other for one, other in zip(first, again, strict=True))
    assert again == events(columns, None)


@pytest.mark.parametrize("name", ["received", "time", "open", "high", "low", "close", "lots"])
def test_rows_that_differ_in_any_column_are_converted_again(name: str) -> None:
    shared, columns = SharedBlocks(), candles()
    events(columns, shared)
    values = getattr(columns, name).copy()
    values[-1] += 10**6  # only the last block differs
    changed = msgspec.structs.replace(columns, **{name: values})
    found = BlockCache(shared).get(changed, ROWS - 1)
    fresh = BlockCache().get(changed, ROWS - 1)
    assert found.make_events() == fresh.make_events()
    assert found.received == fresh.received
    assert found.price_list == fresh.price_list


def test_rows_of_another_pair_or_resolution_or_with_other_decimals_are_not_shared() -> None:
    shared = SharedBlocks()
    events(candles(), shared)
    rules = msgspec.structs.replace(PAIR.rules, price_decimals=PAIR.rules.price_decimals + 1)
    for columns in (
        candles(pair=packaged_pairs()["eth_twd"]),
        candles(resolution="5m"),
        candles(pair=Pair(str(PAIR), rules)),
    ):
        assert shared.find(columns.rows(0, BLOCK_ROWS)) is None
    assert shared.find(candles().rows(0, BLOCK_ROWS)) is not None


def test_a_run_over_a_changed_future_shares_only_the_unchanged_past() -> None:
    shared, columns = SharedBlocks(), candles()
    events(columns, shared)
    close = columns.close.copy()
    close[BLOCK_ROWS:] *= 2
    changed = msgspec.structs.replace(columns, close=close)
    found = events(changed, shared)
    assert found == events(changed, None)
    assert found[:BLOCK_ROWS] == events(columns, None)[:BLOCK_ROWS]


def test_no_more_rows_are_kept_than_allowed_and_the_first_ones_stay() -> None:
    shared, columns = SharedBlocks(rows_max=2 * BLOCK_ROWS), candles(3 * BLOCK_ROWS)
    first = events(columns, shared)
    assert shared.rows == 2 * BLOCK_ROWS
    again = events(columns, shared)
    assert again == first
    assert [one is other for one, other in zip(first, again, strict=True)].count(True) == 2 * BLOCK_ROWS


def test_rows_that_replace_kept_ones_are_not_counted_twice() -> None:
    shared, columns = SharedBlocks(rows_max=ROWS), candles()
    for add in range(3):
        events(msgspec.structs.replace(columns, lots=columns.lots + add), shared)
        assert shared.rows == ROWS


def test_rows_that_are_no_longer_read_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_IN_VAIN_MOST", 4)
    shared = SharedBlocks(rows_max=ROWS)
    events(candles(), shared)
    later = msgspec.structs.replace(candles(), received=candles().received + 7)
    for _ in range(3):
        events(later, shared)
    first, again = events(later, shared), events(later, shared)
    assert all(one is other for one, other in zip(first, again, strict=True))
    assert shared.rows == ROWS
    assert shared.find(candles().rows(0, BLOCK_ROWS)) is None


def test_each_run_has_its_own_arrays_and_its_own_place() -> None:
    shared, columns = SharedBlocks(), candles()
    first = BlockCache(shared).get(columns, 0)
    first.skip_to(70)
    first.prices[:] = 0.0
    for column in first.columns[1:]:
        column[:] = 0  # an indicator may write to its inputs
    second, fresh = BlockCache(shared).get(columns, 0), BlockCache().get(columns, 0)
    assert second.origin is first
    assert second.done == 0
    assert next(second.make_rows())[3] == fresh.make_events()[0]
    assert second.price_list == fresh.price_list
    for own, expected in zip((*second.columns, second.prices), (*fresh.columns, fresh.prices), strict=True):
        assert np.array_equal(own, expected)
