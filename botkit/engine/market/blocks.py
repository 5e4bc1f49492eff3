"""Converts rows of recorded data to objects, one block at a time.

A converted block is kept, so that rows are not converted repeatedly when a strategy acts often. Only one block is
converted at a time, so that a long quiet tape does not stay in memory as objects.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice, repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from botkit.engine.market.plausible import CANDLE_MOST, MOST, jumps
from botkit.engine.strategy.bar_series import BarSeries
from botkit.engine.strategy.trade_series import TradeSeries
from botkit.model.columns import BookColumns, CandleColumns, IntArray, MarketColumns, TradeColumns
from botkit.model.events import Bar, Candle, OrderBook, Trade
from botkit.model.orders import Side

BLOCK_ROWS = 8_192
#: the most rows that runs share as objects: some 45 MB of candles
SHARED_ROWS = 131_072
#: blocks that are no longer found are dropped after this many conversions in a row
_IN_VAIN_MOST = 1_024
#: up to this many bars are added to a series one by one, because numpy takes ten times as long for a single row
_FEW_BARS = 8
#: with fewer rows left in a block, window indicators are fed row by row
_PREPARED_LEAST = 64

#: taker sides, indexed by the column's value + 1
_SIDES = np.array([Side.SELL, None, Side.BUY], dtype=object)


class Block:
    """A range of rows, converted to objects on demand.

    ``start`` is the index of the first row in the tape; all other indices are relative to it.

    ``done`` is the number of rows that a loop over `rows` has processed. The loop itself updates ``done``. Code called
    from within the loop (such as a read of a series) can therefore determine how far the run has progressed, and the
    next loop continues from there.
    """

    __slots__ = (
        "_jumps",
        "calm_end",
        "columns",
        "count",
        "done",
        "events",
        "most",
        "origin",
        "price_list",
        "prices",
        "range",
        "received",
        "rows",
        "start",
    )

    def __init__(
        self,
        start: int,
        received: IntArray,
        prices: npt.NDArray[np.float64],
        origin: Block | None,
        range_: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
        most: float,
        columns: tuple[npt.NDArray[Any], ...],
    ) -> None:
        #: the columns that a series stores, in the order of the arguments of its ``extend``
        self.columns = columns
        #: the lowest and highest price of each row, and the largest allowed ratio to the last price
        self.range = range_
        self.most = most
        self._jumps: list[int] | None = None
        self.start = start
        #: a block of equal rows from an earlier run, whose converted rows this block shares. The arrays are its own,
        #: because an indicator may write to its inputs
        self.origin = origin
        self.received: list[int] = received.tolist() if origin is None else origin.received
        self.prices = prices
        self.count = len(prices)
        #: the rows as events, empty until `make_events` is called
        self.events: list[Any] = []
        self.price_list: list[float] = prices.tolist() if origin is None else origin.price_list
        self.done = 0
        #: every price from the row of the last `calm_until` call up to this row is plausible relative to the previous
        #: price
        self.calm_end = 0
        #: the rows after ``done`` as (index + 1, receive time, price, event), or None until `make_rows` is called. A
        #: single iterator serves successive loops, because slicing new lists for every order cost more than processing
        #: the orders
        self.rows: Iterator[tuple[int, int, float, Any]] | None = None

    def make_events(self) -> list[Any]:
        """Create the events of the rows, on demand."""
        origin = self.origin
        self.events = self._converted() if origin is None else origin.events
        return self.events

    def _converted(self) -> list[Any]:
        """Convert the rows to events."""
        raise NotImplementedError

    def make_rows(self) -> Iterator[tuple[int, int, float, Any]]:
        """Create `rows`."""
        events, begin = self.events or self.make_events(), self.done
        rows = self.rows = zip(
            range(begin + 1, self.count + 1),
            islice(self.received, begin, None),
            islice(self.price_list, begin, None),
            islice(events, begin, None),
            strict=True,
        )
        return rows

    def calm_until(self, begin: int, end: int, last: float) -> int:
        """Return the first row at or after ``begin`` with an implausible price, or ``end`` if there is none."""
        low, high = self.range
        # `item` is used because it returns plain floats: numpy scalars take 50 % longer to create and compare
        if not (last * (1 / self.most) < low.item(begin) and high.item(begin) < last * self.most):
            return begin
        if self._jumps is None:
            self._jumps = jumps(self.prices, low, high, self.most)
        at = bisect_right(self._jumps, begin)
        self.calm_end = self._jumps[at] if at < len(self._jumps) else self.count
        return min(end, self.calm_end)

    def skip_to(self, end: int) -> None:
        """Continue at ``end``, without looping over the skipped rows."""
        self.done = end
        self.rows = None


class TradeBlock(Block):
    """A block of trades."""

    __slots__ = ("_pair",)

    def __init__(self, columns: TradeColumns, start: int, stop: int, origin: Block | None = None) -> None:
        rules = columns.pair.rules
        prices = columns.ticks[start:stop] / 10**rules.price_decimals
        self._pair = columns.pair
        series = (columns.time[start:stop], prices, columns.lots[start:stop] / 10**rules.amount_decimals)
        super().__init__(
            start,
            columns.received[start:stop],
            prices,
            origin,
            (prices, prices),
            MOST,
            (*series, columns.side[start:stop]),
        )

    def _converted(self) -> list[Any]:
        time, _, amounts, side = self.columns
        return list(
            map(Trade, repeat(self._pair), time.tolist(), self.price_list, amounts.tolist(), _SIDES[side + 1].tolist())
        )


class CandleBlock(Block):
    """A block of candles as finished bars."""

    __slots__ = ("_pair", "_resolution")

    def __init__(self, columns: CandleColumns, start: int, stop: int, origin: Block | None = None) -> None:
        rules = columns.pair.rules
        scale = 10**rules.price_decimals
        lots = columns.lots[start:stop]
        high, low = columns.high[start:stop], columns.low[start:stop]
        close = columns.close[start:stop] / scale
        series: tuple[npt.NDArray[Any], ...] = (
            columns.time[start:stop],
            columns.open[start:stop] / scale,
            high / scale,
            low / scale,
            close,
            lots / 10**rules.amount_decimals,
            (lots == 0) & (high == low),
        )
        self._pair, self._resolution = columns.pair, columns.resolution
        range_ = (series[3], series[2])
        super().__init__(start, columns.received[start:stop], close, origin, range_, CANDLE_MOST, series)

    def _converted(self) -> list[Any]:
        *figures, empty = [column.tolist() for column in self.columns]
        return list(map(Bar, repeat(self._pair), *figures, repeat(self._resolution), empty))


class SeriesSource:
    """Brings a series up to date with the row that the loop over a block has reached, but only when the series is read.

    A bar or trade that no strategy reads then costs nothing, because entire blocks are added as columns.
    """

    __slots__ = ("block", "given", "series")

    def __init__(self, series: BarSeries | TradeSeries, block: Block, begin: int) -> None:
        self.series = series
        self.block = block
        self.given = begin
        series.pull_from(self.pull, self.prepare)

    def pull(self) -> None:
        """Append the rows since the last call to the series."""
        given, done = self.given, self.block.done
        if given == done:
            return
        self.given = done
        if done - given < _FEW_BARS:
            self.series.append_all((self.block.events or self.block.make_events())[given:done])
        else:
            self.series.extend(*(column[given:done] for column in self.block.columns))

    def takes(self, bar: object) -> bool:
        """Return True if a bar that a turn has processed is the block's next row, which the series will then pull like
        the rows of a loop. Otherwise the quiet span must end.
        """
        block = self.block
        done = block.done
        if done == block.count or not block.events or block.events[done] != bar:
            return False
        if block.rows is not None:
            next(block.rows)
        block.done = done + 1
        return True

    def prepare(self) -> None:
        """Let the series compute its window indicators over the rest of the block, if enough rows are left."""
        done = self.block.done
        if self.block.count - done >= _PREPARED_LEAST:
            self.series.prepare(self.block, done, self.block.columns)

    def end(self) -> None:
        """Add the remaining rows. Later rows are appended one by one again."""
        self.series.pull_from(None)


class SharedBlocks:
    """Converted blocks that successive runs share, with ``rows_max`` rows at most.

    A block is shared only if the rows are equal in every column. The rows of another tape, or of a tape that was
    changed, are converted again, so sharing never changes a run.
    """

    def __init__(self, rows_max: int = SHARED_ROWS) -> None:
        self._rows_max = rows_max
        self._kept: dict[tuple[str, str, int, int], tuple[TradeColumns | CandleColumns, Block]] = {}
        self._rows = 0
        #: blocks converted in a row without finding any of those kept
        self._in_vain = 0

    @property
    def rows(self) -> int:
        """The number of rows in the blocks that are kept."""
        return self._rows

    def find(self, rows: TradeColumns | CandleColumns) -> Block | None:
        """Return a block of equal rows, or None if there is none."""
        found = self._kept.get(_key(rows))
        if found is None or not _are_equal(found[0], rows):
            return None
        self._in_vain = 0
        return found[1]

    def keep(self, rows: TradeColumns | CandleColumns, block: Block) -> None:
        """Keep a new block for later runs, if there is room. The first blocks of a long tape stay, because a run reads
        its tape from the start. They are dropped once they have not been found for long.
        """
        self._in_vain += 1
        if self._in_vain > _IN_VAIN_MOST:
            self._kept.clear()
            self._rows = self._in_vain = 0
        key, count = _key(rows), len(rows)
        there = count if key in self._kept else 0  # rows that differ replace those kept
        if self._rows - there + count <= self._rows_max:
            self._rows += count - there
            self._kept[key] = rows, block
            block.make_events()  # before an indicator can write to the block's arrays


def _key(rows: TradeColumns | CandleColumns) -> tuple[str, str, int, int]:
    return rows.pair, rows.kind, int(rows.received[0]), len(rows)


def _are_equal(kept: MarketColumns, rows: MarketColumns) -> bool:
    """Return True if all columns are equal, and prices and amounts have the same decimals."""
    if type(kept) is not type(rows) or kept.pair.rules != rows.pair.rules:
        return False
    for name in rows.__struct_fields__:
        one, other = getattr(kept, name), getattr(rows, name)
        if not (np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other):
            return False
    return True


class BlockCache:
    """The most recently converted block of each stream. With ``shared``, converted rows are shared with other runs."""

    def __init__(self, shared: SharedBlocks | None = None) -> None:
        self._shared = shared
        self._blocks: dict[tuple[str, str], tuple[MarketColumns, Any]] = {}

    def get(self, columns: TradeColumns | CandleColumns, row: int) -> Any:
        """Return the block that contains ``row``."""
        key = (columns.pair, columns.kind)
        found = self._blocks.get(key)
        start = row // BLOCK_ROWS * BLOCK_ROWS
        if found is not None and found[0] is columns and found[1].start == start:
            return found[1]
        stop = min(start + BLOCK_ROWS, len(columns))
        shared, rows, origin = self._shared, columns, None
        if shared is not None:
            rows = columns.rows(start, stop)
            origin = shared.find(rows)
        block: Any
        if isinstance(columns, TradeColumns):
            block = TradeBlock(columns, start, stop, origin)
        else:
            block = CandleBlock(columns, start, stop, origin)
        if shared is not None and origin is None:
            shared.keep(rows, block)
        self._blocks[key] = (columns, block)
        return block

    def event_at(self, columns: MarketColumns, row: int) -> Trade | Candle | OrderBook:
        """Return one row as an event for a turn."""
        if isinstance(columns, BookColumns):
            return _book_at(columns, row)
        block = self.get(columns, row)
        event = (block.events or block.make_events())[row - block.start]
        if isinstance(event, Trade):
            return event
        return Candle(
            event.pair, event.resolution, event.time, event.open, event.high, event.low, event.close, event.volume
        )


def _book_at(columns: BookColumns, row: int) -> OrderBook:
    def side(ticks: IntArray, lots: IntArray) -> tuple[tuple[int, int], ...]:
        pairs = zip(ticks[row].tolist(), lots[row].tolist(), strict=True)
        return tuple((level, amount) for level, amount in pairs if amount)

    bids = side(columns.bid_ticks, columns.bid_lots)
    return OrderBook(columns.pair, int(columns.time[row]), bids, side(columns.ask_ticks, columns.ask_lots))
