"""Recorded columns of one pair, loaded chunk by chunk, and the search for the next row that can touch an order.

Rows are numbered consecutively over the entire run, and ``first`` is the number of the first row still in memory. Row
numbers therefore stay valid when past rows are dropped. No code here loops over all rows in Python.

The search examines the rows of the current block, then the extremes of all later blocks at once, then the rows of the
block that it found. It remembers its progress: rows before ``scanned`` touch nothing. An order far from the market
costs one comparison per block, even if it is replaced repeatedly.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from botkit.model.clock import Nanos
from botkit.model.columns import BookColumns, CandleColumns, IntArray, TradeColumns
from botkit.model.resolutions import bucket_end, fixed_length
from botkit.sim.bounds import NEVER_DOWN, NEVER_UP, NO_BOUNDS, Bounds

_FEW = 8  # up to this many rows are compared in Python, because a numpy call takes longer
#: rows per block; the extremes of each block are stored
_BLOCK = 256
_STEPS = 3  # how many rows to try individually before a binary search
# for this many rows or fewer, Python's bisect beats numpy's search, which has a fixed cost of a microsecond
_NEAR = 64

#: how many books to convert to lists at a time
_ROWS_AT_ONCE = 128

#: arrays by name, and whether they contain the highest or the lowest value among several rows
_Extremes: TypeAlias = dict[tuple[str, bool], npt.NDArray[Any]]

_Columns = TypeVar("_Columns", TradeColumns, BookColumns, CandleColumns)


class VenueStream(Generic[_Columns]):
    """Columns of one kind, contiguous from the most recent past row onward."""

    #: the names of the arrays to slice and concatenate
    arrays: ClassVar[tuple[str, ...]] = ()
    #: the arrays whose lowest values matter to the search, and those whose highest values do
    lowest: ClassVar[tuple[str, ...]] = ()
    highest: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.first = 0
        self.held = 0
        self.received: IntArray = np.empty(0, dtype=np.int64)
        # the same numbers as a memoryview, from which a number is read in a third of the time needed for a numpy scalar
        self._axis = self.received.data
        self._cursor = 0
        self.bounds = Bounds()
        self.scanned = 0
        #: the number of the row found by `next_touch`
        self.touch_row = -1
        #: the values compared by the search, for each row and for each block, keyed by (array, whether it is the
        #: highest)
        self._each: _Extremes = {}
        self._blocks: _Extremes = {}
        #: for each row, the prices that may touch the best resting buy from above and the best resting sell from below;
        #: None for candles
        self._lows: memoryview | None = None
        self._highs: memoryview | None = None
        #: True while the stream is not being searched
        self.is_idle = True
        #: True if only the best resting buy and sell matter
        self._only_resting = True

    # -- loading ------------------------------------------------------------------------------------------------------

    def _derive(self, columns: _Columns) -> dict[str, npt.NDArray[Any]]:
        raise NotImplementedError

    def load(self, columns: _Columns) -> None:
        """Append rows, and drop those before the current row. Raises ValueError if the new rows are older than existing
        rows.
        """
        fresh = self._derive(columns)
        rows = len(columns)
        if not rows:
            return
        received = fresh["received"]
        if self.held and received[0] < self.received[-1]:
            raise ValueError(
                f"{columns.pair} {columns.kind} must be loaded in order of receive time:"
                f" {int(received[0])} comes after {int(self.received[-1])}"
            )
        # the current row (the book, the last price) is the row before the cursor
        keep = max(0, self._cursor - 1)
        if keep >= self.held:
            for name in self.arrays:
                setattr(self, name, fresh[name])
        else:
            for name in self.arrays:
                setattr(self, name, self._join(getattr(self, name)[keep:], fresh[name]))
        self.first += keep
        self._cursor -= keep
        self.held = self.held - keep + rows
        self._view()

    def _view(self) -> None:
        self._axis = self.received.data
        begins = np.arange(0, self.held, _BLOCK)
        for is_high, names in ((False, self.lowest), (True, self.highest)):
            extreme = np.maximum if is_high else np.minimum
            for name in names if self.held else ():
                self._each[name, is_high] = values = getattr(self, name)
                self._blocks[name, is_high] = extreme.reduceat(values, begins)

    def _join(self, old: npt.NDArray[Any], new: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.concatenate((old, new))

    # -- position ---------------------------------------------------------------------------------------------

    def position(self, time: Nanos) -> int:
        """Return how many rows were received up to and including ``time``. This is also the row number of the next row.
        The result never decreases.
        """
        cursor = self._cursor
        axis, held = self._axis, self.held
        if cursor < held and axis[cursor] <= time:
            near = cursor + _NEAR
            if near < held and axis[near] <= time:
                cursor += int(self.received[cursor:].searchsorted(time, side="right"))
            else:
                cursor = bisect_right(axis, time, cursor + 1, near if near < held else held)
            self._cursor = cursor
        return self.first + cursor

    @property
    def current(self) -> int:
        """The row number of the newest past row, or one less than the first row in memory if there is no past row."""
        return self.first + self._cursor - 1

    def time_of(self, row: int) -> Nanos | None:
        """Return the receipt time of a row, or None if the row is not loaded."""
        index = row - self.first
        return self._axis[index] if index < self.held else None

    # -- the search -----------------------------------------------------------------------------------------------

    def watch(self, bounds: Bounds, now: Nanos, floor: int | None = None) -> None:
        """Search for ``bounds``. If they extend further than before, restart the search at row ``floor``, by default
        the first row after ``now``.

        If the bounds become narrower, the search result is kept, because a row that no longer touches any order is
        harmless.
        """
        old = self.bounds
        if bounds == old:
            return
        if (
            bounds.buy > old.buy
            or bounds.sell < old.sell
            or bounds.stop_up < old.stop_up
            or bounds.stop_down > old.stop_down
            or bounds.take_buy > old.take_buy
            or bounds.take_sell < old.take_sell
        ):
            cursor = self._cursor
            if floor is not None:
                self.scanned = floor
            elif cursor < self.held and self._axis[cursor] <= now:
                self.scanned = self.position(now)
            else:
                self.scanned = self.first + cursor
            self.touch_row = -1
        self.bounds = bounds
        self.is_idle = bounds == NO_BOUNDS
        self._only_resting = (
            bounds.stop_up == NEVER_UP
            and bounds.stop_down == NEVER_DOWN
            and bounds.take_buy == NEVER_DOWN
            and bounds.take_sell == NEVER_UP
        )

    def next_touch(self, until: Nanos | None) -> Nanos | None:
        """Return the receipt time of the next row that can touch an order, or None if there is no such row.

        Another event happens at ``until`` in any case. Beyond ``until``, the search may therefore stop early and return
        the time at which to continue.
        """
        if self.is_idle:
            return None
        axis, held = self._axis, self.held
        if self.touch_row >= self.first and self.touch_row >= 0:
            return axis[self.touch_row - self.first]
        start = self.scanned - self.first
        if start >= held:
            return None
        end = min((start // _BLOCK + 1) * _BLOCK, held)
        if until is not None:
            if until < axis[start]:
                return axis[start]
            near = start + _FEW
            if near < end and until < axis[near]:
                end = bisect_right(axis, until, start, near)
        found = self._first_touch(start, end) if end - start > _FEW else self._first_of_few(start, end)
        if found == end and end < held and (until is None or axis[end] <= until):
            found = self._first_block(end // _BLOCK) * _BLOCK
            if found < held:
                end = min(found + _BLOCK, held)
                found = self._first_touch(found, end)
                assert found < end, "a block's extremes must match its rows"
            else:
                found = end = held
        self.scanned = self.first + found
        if found < end:
            self.touch_row = self.scanned
        return axis[found] if found < held else None

    def _touched(self, columns: _Extremes, begin: int, end: int | None) -> npt.NDArray[np.bool_]:
        """Return a mask of the rows (or blocks of rows) that can touch an order."""
        raise NotImplementedError

    def _first_touch(self, begin: int, end: int) -> int:
        """Return the first row marked by `_touched` with ``begin`` <= row < ``end``, or ``end`` if there is none."""
        mask = self._touched(self._each, begin, end)
        found = int(mask.argmax())
        return begin + found if mask[found] else end

    def _first_of_few(self, begin: int, end: int) -> int:
        """Return the same result as `_first_touch`, without numpy if possible."""
        bounds = self.bounds
        buy, sell, lows, highs = bounds.buy, bounds.sell, self._lows, self._highs
        if lows is None or highs is None or not self._only_resting:
            return self._first_touch(begin, end)
        for row in range(begin, end):
            if lows[row] <= buy or highs[row] >= sell:
                return row
        return end

    def _first_block(self, begin: int) -> int:
        """Return the first block, from ``begin`` on, that contains a row marked by `_touched`, or the number of blocks
        if there is none.
        """
        mask = self._touched(self._blocks, begin, None)
        found = int(mask.argmax())
        return begin + found if mask[found] else begin + len(mask)


class TradeStream(VenueStream[TradeColumns]):
    """Public trades."""

    arrays = ("received", "time", "ticks", "lots", "side", "_low", "_high")
    lowest = ("_low", "ticks")
    highest = ("_high", "ticks")

    def __init__(self) -> None:
        super().__init__()
        self.time: IntArray
        self.ticks: IntArray
        self.lots: IntArray
        self.side: npt.NDArray[np.int8]
        self._low: IntArray
        self._high: IntArray

    def _derive(self, columns: TradeColumns) -> dict[str, npt.NDArray[Any]]:
        return {
            "received": columns.received,
            "time": columns.time,
            "ticks": columns.ticks,
            "lots": columns.lots,
            "side": columns.side,
            # a buyer's trade reaches only resting buys above its price, so compare resting buys with its price plus one
            # tick
            "_low": columns.ticks + (columns.side > 0),
            "_high": columns.ticks - (columns.side < 0),
        }

    def _view(self) -> None:
        super()._view()
        self._lows, self._highs = self._low.data, self._high.data

    def first_from(self, time: Nanos) -> int:
        """Return the number of the first row in memory received at ``time`` or later."""
        return self.first + int(self.received.searchsorted(time, side="left"))

    def sweep(self, start: int, stop: int, so_far: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """Return (highest price of buyers, lots there, lowest price of sellers, lots there) for ``so_far`` and these
        rows combined.

        A trade with an unknown side counts for both sides, which is the pessimistic choice.
        """
        buy, buy_lots, sell, sell_lots = so_far
        cut = slice(max(start - self.first, 0), stop - self.first)
        ticks, lots, side = self.ticks[cut], self.lots[cut], self.side[cut]
        bought, sold = side >= 0, side <= 0
        if bought.any():
            high = int(ticks[bought].max())
            if high >= buy:
                there = sum(lots[bought & (ticks == high)].tolist())
                buy, buy_lots = high, there + (buy_lots if high == buy else 0)
        if sold.any():
            low = int(ticks[sold].min())
            if low <= sell:
                there = sum(lots[sold & (ticks == low)].tolist())
                sell, sell_lots = low, there + (sell_lots if low == sell else 0)
        return buy, buy_lots, sell, sell_lots

    def _touched(self, columns: _Extremes, begin: int, end: int | None) -> npt.NDArray[np.bool_]:
        bounds = self.bounds
        mask: npt.NDArray[np.bool_] = columns["_low", False][begin:end] <= bounds.buy
        if bounds.sell != NEVER_UP:
            mask |= columns["_high", True][begin:end] >= bounds.sell
        up, down = (min(bounds.stop_up, bounds.take_sell), max(bounds.stop_down, bounds.take_buy))
        if up != NEVER_UP:
            mask |= columns["ticks", True][begin:end] >= up
        if down != NEVER_DOWN:
            mask |= columns["ticks", False][begin:end] <= down
        return mask


class BookStream(VenueStream[BookColumns]):
    """Book snapshots."""

    arrays = ("received", "time", "bid_ticks", "bid_lots", "ask_ticks", "ask_lots", "best_bid", "best_ask")
    lowest = ("best_ask",)
    highest = ("best_bid",)

    def __init__(self) -> None:
        super().__init__()
        self.time: IntArray
        self.bid_ticks: IntArray
        self.bid_lots: IntArray
        self.ask_ticks: IntArray
        self.ask_lots: IntArray
        self.best_bid: IntArray
        self.best_ask: IntArray
        #: rows as lists, starting at a given index, by side and depth
        self._converted: dict[tuple[bool, int | None], tuple[int, list[list[int]], list[list[int]]]] = {}

    def _view(self) -> None:
        super()._view()
        self._lows, self._highs = self.best_ask.data, self.best_bid.data
        self._converted = {}

    def _derive(self, columns: BookColumns) -> dict[str, npt.NDArray[Any]]:
        return {
            "received": columns.received,
            "time": columns.time,
            "bid_ticks": columns.bid_ticks,
            "bid_lots": columns.bid_lots,
            "ask_ticks": columns.ask_ticks,
            "ask_lots": columns.ask_lots,
            "best_bid": np.where(columns.bid_lots[:, 0] > 0, columns.bid_ticks[:, 0], NEVER_DOWN),
            "best_ask": np.where(columns.ask_lots[:, 0] > 0, columns.ask_ticks[:, 0], NEVER_UP),
        }

    def _join(self, old: npt.NDArray[Any], new: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if old.ndim == 2 and old.shape[1] != new.shape[1]:
            depth = max(old.shape[1], new.shape[1])
            old, new = (np.pad(a, ((0, 0), (0, depth - a.shape[1]))) for a in (old, new))
        return np.concatenate((old, new))

    def _touched(self, columns: _Extremes, begin: int, end: int | None) -> npt.NDArray[np.bool_]:
        bounds = self.bounds
        mask: npt.NDArray[np.bool_] = columns["best_ask", False][begin:end] <= bounds.buy
        if bounds.sell != NEVER_UP:
            mask |= columns["best_bid", True][begin:end] >= bounds.sell
        return mask

    def best(self, row: int, *, bids: bool) -> int:
        """Return the best price on one side of a row, or a price that no order reaches if the side is empty."""
        found: int = (self.best_bid if bids else self.best_ask).item(row - self.first)
        return found

    def lots_at(self, row: int, ticks: int, *, bids: bool) -> int | None:
        """Return the lots that a row shows at a price: 0 between its levels, None beyond its last level."""
        index = row - self.first
        rows = self._converted.get((bids, None))
        if rows is None or not 0 <= index - rows[0] < len(rows[1]):
            rows = self._convert(index, bids, None)
        prices, amounts = rows[1][index - rows[0]], rows[2][index - rows[0]]
        if 0 in amounts:
            prices = [price for price, lots in zip(prices, amounts, strict=True) if lots]
            amounts = [lots for lots in amounts if lots]
        if ticks in prices:
            return amounts[prices.index(ticks)]
        if not prices:
            return 0
        return 0 if (ticks > prices[-1] if bids else ticks < prices[-1]) else None

    def levels(self, row: int, *, bids: bool, depth: int | None = None) -> list[tuple[int, int]]:
        """Return (ticks, lots) of one side of a row, best first, with at most ``depth`` levels."""
        index = row - self.first
        rows = self._converted.get((bids, depth))
        if rows is None or not 0 <= index - rows[0] < len(rows[1]):
            rows = self._convert(index, bids, depth)
        amounts = rows[2][index - rows[0]]
        levels = list(zip(rows[1][index - rows[0]], amounts, strict=True))
        return levels if 0 not in amounts else [level for level in levels if level[1]]

    def _convert(self, index: int, bids: bool, depth: int | None) -> tuple[int, list[list[int]], list[list[int]]]:
        """Convert several rows at once, because the first numpy call for a row costs as much as converting twenty of
        its levels.
        """
        cut = slice(index, index + _ROWS_AT_ONCE)
        ticks, lots = (self.bid_ticks, self.bid_lots) if bids else (self.ask_ticks, self.ask_lots)
        rows = (index, ticks[cut, :depth].tolist(), lots[cut, :depth].tolist())
        self._converted[bids, depth] = rows
        return rows

    def stands(self, after: int, upto: int, level: tuple[int, int], *, bids: bool) -> bool:
        """Return True if every row ``after`` < row <= ``upto`` shows exactly this (ticks, lots)."""
        width = 4  # levels change quickly, so checking the next few rows is nearly always enough
        while after < upto:
            stop = min(after + width, upto)
            if any(shown != level[1] for shown in self.shown(after, stop, level[0], bids=bids)):
                return False
            after, width = stop, width * 4
        return True

    def shown(self, after: int, upto: int, ticks: int, *, bids: bool) -> list[int]:
        """Return the lots shown at a price by rows ``after`` < row <= ``upto``; -1 for a row whose levels do not reach
        that price.
        """
        cut = slice(max(after + 1 - self.first, 0), upto + 1 - self.first)
        prices, lots = (self.bid_ticks[cut], self.bid_lots[cut]) if bids else (self.ask_ticks[cut], self.ask_lots[cut])
        amounts = np.where(prices == ticks, lots, 0).sum(axis=1)
        there = lots > 0
        worst = np.where(there, prices, NEVER_UP).min(axis=1) if bids else np.where(there, prices, -1).max(axis=1)
        # a row with an empty side does not show the amount at the price either
        reaches = (worst <= ticks) & (worst >= 0) if bids else (worst >= ticks)
        result: list[int] = np.where(reaches, amounts, -1).tolist()
        return result


class CandleStream(VenueStream[CandleColumns]):
    """Completed candles of one resolution."""

    arrays = ("received", "time", "end", "open", "high", "low", "close", "lots", "_low", "_high")
    lowest = ("_low",)
    highest = ("_high",)

    def __init__(self) -> None:
        super().__init__()
        self.resolution = ""
        self.time: IntArray
        self.end: IntArray
        self.open: IntArray
        self.high: IntArray
        self.low: IntArray
        self.close: IntArray
        self.lots: IntArray
        self._low: IntArray
        self._high: IntArray
        self._view()

    def _view(self) -> None:
        super()._view()
        if self.held:
            self._starts, self._ends = self.time.data, self.end.data
            self._opens, self._volumes = self.open.data, self.lots.data

    def _derive(self, columns: CandleColumns) -> dict[str, npt.NDArray[Any]]:
        if self.resolution not in ("", columns.resolution):
            raise ValueError(f"candles of {columns.pair}: {columns.resolution} follows {self.resolution}")
        self.resolution = columns.resolution
        length = fixed_length(columns.resolution)
        if length is not None:
            end = columns.time + length
        else:
            ends = [bucket_end(start, columns.resolution) for start in columns.time.tolist()]
            end = np.array(ends, dtype=np.int64)
        traded = columns.lots > 0
        return {
            "received": columns.received,
            "time": columns.time,
            "end": end,
            "open": columns.open,
            "high": columns.high,
            "low": columns.low,
            "close": columns.close,
            "lots": columns.lots,
            # a bar without volume is empty, so nothing fills in it
            "_low": np.where(traded, columns.low, NEVER_UP),
            "_high": np.where(traded, columns.high, NEVER_DOWN),
        }

    def _touched(self, columns: _Extremes, begin: int, end: int | None) -> npt.NDArray[np.bool_]:
        bounds, low, high = self.bounds, columns["_low", False][begin:end], columns["_high", True][begin:end]
        mask: npt.NDArray[np.bool_] = low < bounds.buy
        if bounds.sell != NEVER_UP:
            mask |= high > bounds.sell
        if bounds.stop_up != NEVER_UP:
            mask |= high >= bounds.stop_up
        if bounds.stop_down != NEVER_DOWN:
            mask |= low <= bounds.stop_down
        return mask

    def first_open(self, sent: Nanos, arrived: Nanos) -> tuple[Nanos, int, int] | None:
        """Return (start, open in ticks, lots) of the bar at whose open an order is processed: the first bar with trades
        that opens no earlier than the order was sent and ends after the order arrived. Returns None while that bar is
        not loaded.
        """
        # the bar is nearly always the current bar or the next bar, so check these two before searching
        row, steps = self._cursor, 0
        starts, ends = self._starts, self._ends
        while row < self.held and (ends[row] <= arrived or starts[row] < sent):
            row += 1
            steps += 1
            if steps > _STEPS:
                low = int(self.time.searchsorted(sent, side="left"))
                row = max(low, int(self.end.searchsorted(arrived, side="right")))
                break
        while row < self.held and not self._volumes[row]:
            traded = self.lots[row : row + _BLOCK] > 0
            found = int(traded.argmax())
            row += found if traded[found] else _BLOCK
        return (starts[row], self._opens[row], self._volumes[row]) if row < self.held else None
