"""Quiet spans: many rows of recorded data through the strategies in one tight loop.

Between two moments at which anything can happen to the bot or to one of its orders nothing but the strategy's own
arithmetic goes on. The driver finds the end of such a span; here its rows reach the callbacks without dispatch, router
or portfolio in between. The result equals a turn for each row (tests/properties/test_spans.py): the loop ends with the
row in which a callback acts, and before the row in which a loss limit would break.

Rows become objects a block at a time, so that a strategy that acts often does not convert the same rows again and
again, and a long quiet tape does not stand in memory as objects.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from botkit.engine.market.quarantine import CANDLE_MOST, MOST, jumps
from botkit.model.columns import CandleColumns, IntArray, MarketColumns, TradeColumns
from botkit.model.events import Bar, Candle, Trade
from botkit.model.orders import Side

if TYPE_CHECKING:
    from botkit.engine.market.pair_market import BarFeed, PairMarket
    from botkit.engine.strategy.series import BarSeries
    from botkit.engine.turn import Engine

BLOCK_ROWS = 8_192
#: up to so many bars are handed to a series one by one; numpy takes ten times as long for a single row
_FEW_BARS = 8

#: taker sides by column value + 1
_SIDES = np.array([Side.SELL, None, Side.BUY], dtype=object)


class _Block:
    """Some rows as objects. ``start`` is the row of the first; indices below count from there.

    ``done`` is how many of them a loop over `rows` has taken: the loop itself writes it, so that whoever is called
    from within it (a series that is read) knows how far the run has come, and that the next loop goes on there.
    """

    __slots__ = ("_jumps", "_prices", "_rows", "done", "events", "most", "prices", "range", "received", "start")

    def __init__(
        self,
        start: int,
        received: IntArray,
        prices: npt.NDArray[np.float64],
        price_list: list[float],
        events: list[Any],
        range_: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
        most: float,
    ) -> None:
        #: the lowest and highest price of each row, and how many times the last price they may be
        self.range = range_
        self.most = most
        self._jumps: list[int] | None = None
        self.start = start
        self.received: list[int] = received.tolist()
        self.prices = prices
        self.events = events
        self._prices = price_list
        self.done = 0
        self._rows = self._from(0)

    def calm_until(self, begin: int, end: int, last: float) -> int:
        """The first row from ``begin`` on that does not follow from the price before it, at the most ``end``."""
        low, high = self.range
        # item gives plain floats: numpy's own single numbers take half as long again to make and to compare
        if not (last * (1 / self.most) < low.item(begin) and high.item(begin) < last * self.most):
            return begin
        if self._jumps is None:
            self._jumps = jumps(self.prices, low, high, self.most)
        at = bisect_right(self._jumps, begin)
        return min(end, self._jumps[at]) if at < len(self._jumps) else end

    def _from(self, begin: int) -> Iterator[tuple[int, int, float, Any]]:
        count = len(self.events)
        return zip(
            range(begin + 1, count + 1),
            islice(self.received, begin, None),
            islice(self._prices, begin, None),
            islice(self.events, begin, None),
            strict=True,
        )

    def rows(self, begin: int, end: int) -> Iterator[tuple[int, int, float, Any]]:
        """(index + 1, receive time, price, event) from ``begin`` to ``end``.

        One iterator serves one loop after another: cutting lists anew for every order cost more than the orders.
        """
        if self.done != begin:
            self._rows = self._from(begin)
            self.done = begin
        return self._rows if end == len(self.events) else islice(self._rows, end - begin)


class _TradeBlock(_Block):
    """Trades."""

    __slots__ = ()

    def __init__(self, columns: TradeColumns, start: int, stop: int) -> None:
        rules = columns.pair.rules
        prices = columns.ticks[start:stop] / 10**rules.price_decimals
        amounts = (columns.lots[start:stop] / 10**rules.amount_decimals).tolist()
        sides = _SIDES[columns.side[start:stop] + 1].tolist()
        times = columns.time[start:stop].tolist()
        price_list = prices.tolist()
        events = list(map(Trade, repeat(columns.pair), times, price_list, amounts, sides))
        super().__init__(start, columns.received[start:stop], prices, price_list, events, (prices, prices), MOST)


class _CandleBlock(_Block):
    """Candles as finished bars, with the columns that a `BarSeries` keeps of them."""

    __slots__ = ("columns",)

    def __init__(self, columns: CandleColumns, start: int, stop: int) -> None:
        rules = columns.pair.rules
        scale = 10**rules.price_decimals
        lots = columns.lots[start:stop]
        high, low = columns.high[start:stop], columns.low[start:stop]
        close = columns.close[start:stop] / scale
        #: time, open, high, low, close, volume, empty
        self.columns: tuple[npt.NDArray[Any], ...] = (
            columns.time[start:stop],
            columns.open[start:stop] / scale,
            high / scale,
            low / scale,
            close,
            lots / 10**rules.amount_decimals,
            (lots == 0) & (high == low),
        )
        *figures, empty = [column.tolist() for column in self.columns]
        events = list(map(Bar, repeat(columns.pair), *figures, repeat(columns.resolution), empty))
        range_ = (self.columns[3], self.columns[2])
        super().__init__(start, columns.received[start:stop], close, figures[4], events, range_, CANDLE_MOST)


class SeriesSource:
    """Brings a series up to where the loop over a block of candles has come, but only when somebody reads it.

    A bar that no strategy reads from its series then costs nothing: whole blocks go in as columns.
    """

    __slots__ = ("block", "given", "series")

    def __init__(self, series: BarSeries, block: _CandleBlock, begin: int) -> None:
        self.series = series
        self.block = block
        self.given = begin
        series.pull_from(self.pull)

    def pull(self) -> None:
        """Give the series the bars that have finished since the last time."""
        given, done = self.given, self.block.done
        if given == done:
            return
        self.given = done
        if done - given < _FEW_BARS:
            self.series.append_all(self.block.events[given:done])
        else:
            self.series.extend(*(column[given:done] for column in self.block.columns))

    def end(self) -> None:
        """Give what is left, and let bars be appended one by one again."""
        self.series.pull_from(None)


class BlockCache:
    """The block of each stream that was converted last."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, str], tuple[MarketColumns, Any]] = {}

    def get(self, columns: TradeColumns | CandleColumns, row: int) -> Any:
        """The block that holds ``row``."""
        key = (columns.pair, columns.kind)
        found = self._blocks.get(key)
        start = row // BLOCK_ROWS * BLOCK_ROWS
        if found is not None and found[0] is columns and found[1].start == start:
            return found[1]
        stop = min(start + BLOCK_ROWS, len(columns))
        block: Any
        if isinstance(columns, TradeColumns):
            block = _TradeBlock(columns, start, stop)
        else:
            block = _CandleBlock(columns, start, stop)
        self._blocks[key] = (columns, block)
        return block


def event_at(cache: BlockCache, columns: TradeColumns | CandleColumns, row: int) -> Trade | Candle:
    """One row as the event that `Engine.turn` takes."""
    block = cache.get(columns, row)
    event = block.events[row - block.start]
    if isinstance(event, Trade):
        return event
    return Candle(
        event.pair, event.resolution, event.time, event.open, event.high, event.low, event.close, event.volume
    )


def run(engine: Engine, columns: MarketColumns, start: int, stop: int) -> int:
    """Take in rows from ``start`` on, at the most up to ``stop``; returns how many."""
    assert isinstance(columns, (TradeColumns, CandleColumns)), "books are published one by one"
    market = engine.market(columns.pair)
    row = start
    while row < stop:
        block = engine.blocks.get(columns, row)
        begin = row - block.start
        end = min(len(block.events), stop - block.start)
        taken = _run_block(engine, market, block, columns, begin, end)
        row += taken
        if engine.touched or taken < end - begin:
            break
    return row - start


def _run_block(
    engine: Engine, market: PairMarket, block: Any, columns: TradeColumns | CandleColumns, begin: int, end: int
) -> int:
    if isinstance(columns, TradeColumns) and any(f.builder.next_close() is None for f in market.bar_feeds.values()):
        end = begin + 1  # the first trade decides when its bar ends, and the driver must learn of that
    if market.last.price is None or engine.protector.is_watching:
        return _row_by_row(engine, block, begin, end if market.last.price is not None else begin + 1)
    end = begin if market.doubts else block.calm_until(begin, end, market.last.price)
    if end == begin:  # withheld, perhaps: the rows after it are held against another price
        return _row_by_row(engine, block, begin, begin + 1)
    if engine.risk.has_loss_limits:
        breach = engine.risk.first_breach(market.pair, block.prices[begin:end], engine.now)
        if breach == 0:
            return _row_by_row(engine, block, begin, begin + 1)
        if breach is not None:
            end = begin + breach
    if isinstance(columns, TradeColumns):
        if not market.bar_feeds:
            return _trades(engine, market, block, begin, end)
        return _row_by_row(engine, block, begin, end)
    feeds = list(market.bar_feeds.values())
    if not feeds:
        return _skip(engine, market, block, end, end - begin)
    if len(feeds) == 1 and feeds[0].resolution == columns.resolution:
        return _bars(engine, market, feeds[0], block, begin, end)
    return _row_by_row(engine, block, begin, end)


def _skip(engine: Engine, market: PairMarket, block: _Block, end: int, count: int) -> int:
    """Nobody hears of these rows: only the last of them counts."""
    engine.now = block.received[end - 1]
    market.last.price = float(block.prices[end - 1])
    return count


def _trades(engine: Engine, market: PairMarket, block: _Block, begin: int, end: int) -> int:
    listeners = market.trade_listeners
    if not listeners:
        return _skip(engine, market, block, end, end - begin)
    last = market.last
    if len(listeners) > 1:
        return _row_by_row(engine, block, begin, end)
    context, callback = listeners[0]
    rows = block.rows(begin, end)
    try:
        for block.done, engine.now, last.price, trade in rows:
            callback(trade)
            if engine.touched:
                break
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        engine.failed(context, callback, error)
    return block.done - begin


def _bars(engine: Engine, market: PairMarket, feed: BarFeed, block: _CandleBlock, begin: int, end: int) -> int:
    """Bars of the tape's own resolution: each row is a finished bar."""
    builder = feed.builder
    if not builder.follows(block.events[begin]):
        return _row_by_row(engine, block, begin, begin + 1)  # a gap before it: the builder fills it
    if len(feed.listeners) != 1 or feed.listeners[0][2] is None:
        return _row_by_row(engine, block, begin, end)
    context, series, callback = feed.listeners[0]
    assert callback is not None
    source = feed.source
    if source is None or source.block is not block:
        feed.settle()
        feed.source = SeriesSource(series, block, begin)
    assert feed.source is not None
    assert feed.source.series is series
    last = market.last
    rows = block.rows(begin, end)
    try:
        for block.done, engine.now, last.price, bar in rows:
            callback(bar)
            if engine.touched:
                break
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        engine.failed(context, callback, error)
    builder.follow(block.events[block.done - 1])
    return block.done - begin


def _row_by_row(engine: Engine, block: Any, begin: int, end: int) -> int:
    """The plain way, for whatever the loops above do not cover."""
    count = 0
    for now, event in zip(block.received[begin:end], block.events[begin:end], strict=True):
        engine.now = now
        engine.take_in(event)
        count += 1
        if engine.touched:
            break
    return count
