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
        price_list: list[float],
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
        self.received: list[int] = received.tolist()
        self.prices = prices
        self.count = len(price_list)
        #: the rows as events, empty until `make_events` is called
        self.events: list[Any] = []
        self.price_list = price_list
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

    def __init__(self, columns: TradeColumns, start: int, stop: int) -> None:
        rules = columns.pair.rules
        prices = columns.ticks[start:stop] / 10**rules.price_decimals
        self._pair = columns.pair
        series = (columns.time[start:stop], prices, columns.lots[start:stop] / 10**rules.amount_decimals)
        super().__init__(
            start,
            columns.received[start:stop],
            prices,
            prices.tolist(),
            (prices, prices),
            MOST,
            (*series, columns.side[start:stop]),
        )

    def make_events(self) -> list[Any]:
        """Create the trades."""
        time, _, amounts, side = self.columns
        self.events = list(
            map(Trade, repeat(self._pair), time.tolist(), self.price_list, amounts.tolist(), _SIDES[side + 1].tolist())
        )
        return self.events


class CandleBlock(Block):
    """A block of candles as finished bars."""

    __slots__ = ("_pair", "_resolution")

    def __init__(self, columns: CandleColumns, start: int, stop: int) -> None:
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
        super().__init__(start, columns.received[start:stop], close, close.tolist(), range_, CANDLE_MOST, series)

    def make_events(self) -> list[Any]:
        """Create the bars."""
        *figures, empty = [column.tolist() for column in self.columns]
        self.events = list(map(Bar, repeat(self._pair), *figures, repeat(self._resolution), empty))
        return self.events


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


class BlockCache:
    """The most recently converted block of each stream."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, str], tuple[MarketColumns, Any]] = {}

    def get(self, columns: TradeColumns | CandleColumns, row: int) -> Any:
        """Return the block that contains ``row``."""
        key = (columns.pair, columns.kind)
        found = self._blocks.get(key)
        start = row // BLOCK_ROWS * BLOCK_ROWS
        if found is not None and found[0] is columns and found[1].start == start:
            return found[1]
        stop = min(start + BLOCK_ROWS, len(columns))
        block: Any
        if isinstance(columns, TradeColumns):
            block = TradeBlock(columns, start, stop)
        else:
            block = CandleBlock(columns, start, stop)
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
