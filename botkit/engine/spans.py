"""Quiet spans: runs many rows of recorded data through the strategies in one tight loop.

While nothing can happen to the bot or its orders, only the strategy's own code needs to run. The driver determines the
end of such a span. This module passes the span's rows directly to the callbacks and bypasses dispatch, router and
portfolio. The result equals that of a turn for each row (tests/properties/test_spans.py): a loop ends after a row that
changes the agenda or the outcome (`botkit.engine.agenda.Changes`), and before a row that would breach a loss limit.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from botkit.engine.agenda import BotClock, Changes
from botkit.engine.market.blocks import Block, BlockCache, CandleBlock, SeriesSource, SharedBlocks
from botkit.engine.market.book_run import BookRun
from botkit.engine.market.markets import Markets
from botkit.engine.market.pair_market import BarFeed, PairMarket
from botkit.engine.orders.protection import Protector
from botkit.engine.risk.review import RiskDesk
from botkit.engine.strategy.callbacks import Callback, Callbacks
from botkit.engine.strategy.record import StrategyRecord
from botkit.model.clock import Nanos
from botkit.model.columns import BookColumns, MarketColumns, TradeColumns
from botkit.model.events import Bar, Candle, OrderBook, Trade
from botkit.model.merged_rows import MergedRows
from botkit.model.published_books import PublishedBooks


class Spans:
    """Processes rows of merged streams."""

    def __init__(
        self,
        *,
        clock: BotClock,
        changes: Changes,
        markets: Markets,
        callbacks: Callbacks,
        risk: RiskDesk,
        protector: Protector,
        shared_blocks: SharedBlocks | None = None,
    ) -> None:
        self._clock = clock
        self._changes = changes
        self._markets = markets
        self._callbacks = callbacks
        self._risk = risk
        self._protector = protector
        self._blocks = BlockCache(shared_blocks)
        # where the last span stopped within consecutive rows of one stream and block; the next span continues there
        self._rows: MergedRows | None = None
        self._columns: MarketColumns | None = None
        self._block: Any = None
        self._market: PairMarket | None = None
        self._first = self._until = 0  # the positions of those rows
        self._book_run: BookRun | None = None  # the books of the last span with books
        self._offset = 0  # a row's position minus its index in the block, or in the stream for books

    def event_at(self, rows: MergedRows, position: int) -> Trade | Candle | OrderBook:
        """Return one row as an event for a turn."""
        columns, row, _ = rows.at(position)
        return self._blocks.event_at(columns, row)

    def run_with_books(
        self, rows: MergedRows, begin: int, end: int, books: PublishedBooks, until: Nanos | None
    ) -> tuple[int, int]:
        """Process rows as `run` does, together with an exchange's books: those before ``until``, each processed before
        any rows with the same timestamp. Returns the number of rows and the number of books processed.
        """
        run, changes, times = self._run_of(rows, books), self._changes, books.times
        before, position, taken = changes.count, begin, 0
        count, stop = len(times), len(rows)
        while books.done < count and changes.count == before:
            index = books.done
            at, place = times[index], run.places[index]
            if (until is not None and at >= until) or place == stop:
                break  # books after the last row are processed once the next rows are known
            if position < place:
                books.is_latest = False
                position += self.run(rows, position, place)
                continue
            books.done = index + 1
            book, market = books.books[index], run.markets[index]
            if book is not None:
                books.is_latest = True
                taken += 1
                self._clock.now = at
                if run.is_ordinary[index] and not market.doubts:
                    self._take_book(market, book, at, books.depth)
                else:
                    self._markets.on_book(book, at)
        if position < end and changes.count == before:
            books.is_latest = False
            position += self.run(rows, position, end)
        return position - begin, taken

    def _run_of(self, rows: MergedRows, books: PublishedBooks) -> BookRun:
        run = self._book_run
        if run is None or run.books is not books or run.rows is not rows:
            run = self._book_run = BookRun(rows, books, self._markets)
        return run

    def _take_book(self, market: PairMarket, book: OrderBook, now: Nanos, depth: int) -> None:
        """Set a pair's book, which has at most ``depth`` levels, and call the strategies."""
        market.book = book
        market.book_seen = now
        for record, callback, wanted in market.book_listeners:
            try:
                callback(book if depth <= wanted else book.cut(wanted))
            except BaseException as error:
                self._callbacks.failed(record, callback, error)

    def run(self, rows: MergedRows, begin: int, end: int) -> int:
        """Process rows starting at ``begin``, up to ``end`` at most. Returns the number of rows processed."""
        before = self._changes.count
        position = begin
        while position < end and self._changes.count == before:
            position += self.take_some(rows, position, end)
        return position - begin

    def _find(self, rows: MergedRows, position: int) -> None:
        """Find the stream, block and market of the row at a position."""
        columns, row, until = rows.at(position)
        self._rows, self._columns, self._first = rows, columns, position
        if isinstance(columns, BookColumns):
            self._offset, self._until = position - row, until
            return
        self._block = block = self._blocks.get(columns, row)
        self._market = self._markets.of(columns.pair)
        self._offset = position - row + block.start
        self._until = min(until, self._offset + block.count)

    def take_some(self, rows: MergedRows, position: int, stop: int) -> int:
        """Process rows from ``position`` on: all rows up to ``stop``, the rows of one block, or only the first row.
        Return the number of rows processed.
        """
        if not self._first <= position < self._until or rows is not self._rows:
            self._find(rows, position)
        columns, offset = self._columns, self._offset
        begin = position - offset
        if isinstance(columns, BookColumns):
            self._clock.now = int(columns.received[begin])
            self._markets.on_book(self._blocks.event_at(columns, begin), self._clock.now)  # type: ignore[arg-type]
            return 1
        end = (self._until if self._until < stop else stop) - offset
        market, block = self._market, self._block
        assert market is not None
        feeds, last = market.bar_feeds, market.last.price
        if feeds and isinstance(columns, TradeColumns) and any(f.builder.next_close() is None for f in feeds.values()):
            end = begin + 1  # the first trade determines when its bar ends, and the driver needs the bar's end time
        if last is None or self._protector.watches:
            return self._row_by_row(block, begin, end if last is not None else begin + 1)
        if market.doubts:
            end = begin
        elif 0 < begin < block.calm_end and last == block.price_list[begin - 1]:
            end = min(end, block.calm_end)  # the last price is still that of the previous row
        else:
            end = block.calm_until(begin, end, last)
        if end == begin:  # the row may be withheld, and later rows are then compared with a different price
            return self._row_by_row(block, begin, begin + 1)
        if self._risk.has_loss_limits:
            breach = self._risk.first_breach(market.pair, block.prices[begin:end], self._clock.now)
            if breach == 0:
                return self._row_by_row(block, begin, begin + 1)
            if breach is not None:
                end = begin + breach
        if isinstance(columns, TradeColumns):
            listeners, sources = market.trade_listeners, market.trade_sources
            if feeds or len(listeners) > 1:
                taken = self._row_by_row(block, begin, end)
            else:
                if market.trade_series and not (sources and sources[0].block is block):
                    market.take_trades_from(block, begin)
                if listeners:
                    taken = self._call(listeners[0][0], listeners[0][1], market, block, begin, end)
                else:
                    taken = self._skip(market, block, end, end - begin)
        elif not feeds:
            taken = self._skip(market, block, end, end - begin)
        elif len(feeds) == 1 and (feed := feeds.get(columns.resolution)) is not None:  # type: ignore[union-attr]
            taken = self._bars(market, feed, block, begin, end)
        else:
            taken = self._row_by_row(block, begin, end)
        if self._risk.has_drawdowns:
            self._risk.passed(market.pair, block.prices[begin : begin + taken])
        return taken

    def _skip(self, market: PairMarket, block: Block, end: int, count: int) -> int:
        """Skip rows that no callback needs. Only the last row has an effect."""
        if market.trade_series:
            block.skip_to(end)
        self._clock.now = block.received[end - 1]
        market.last.price = block.price_list[end - 1]
        return count

    def _bars(self, market: PairMarket, feed: BarFeed, block: CandleBlock, begin: int, end: int) -> int:
        """Process bars at the tape's own resolution: each row is a finished bar."""
        builder = feed.builder
        events = block.events or block.make_events()
        if not builder.follows(events[begin]):
            return self._row_by_row(block, begin, begin + 1)  # the builder must fill the gap before this row
        if len(feed.listeners) != 1 or feed.listeners[0][2] is None:
            return self._row_by_row(block, begin, end)
        record, series, callback = feed.listeners[0]
        assert callback is not None
        source = feed.source
        if source is None or source.block is not block:
            feed.settle()
            feed.source = SeriesSource(series, block, begin)
        assert feed.source is not None
        assert feed.source.series is series
        taken = self._call(record, callback, market, block, begin, end)
        builder.follow(events[block.done - 1])
        return taken

    def _call(
        self, record: StrategyRecord, callback: Callback, market: PairMarket, block: Block, begin: int, end: int
    ) -> int:
        """Call one strategy for each row until a call causes a change. Returns the number of rows processed."""
        clock, last, changes = self._clock, market.last, self._changes
        if block.done != begin:
            block.skip_to(begin)
        before, rows = changes.count, block.rows or block.make_rows()
        if end != block.count:
            rows = islice(rows, end - begin)
        try:
            for block.done, clock.now, last.price, event in rows:
                callback(event)
                if changes.count != before:
                    break
        except BaseException as error:
            self._callbacks.failed(record, callback, error)
        return block.done - begin

    def _row_by_row(self, block: Any, begin: int, end: int) -> int:
        """Process rows one by one, in all cases that the loops above do not cover."""
        clock, changes = self._clock, self._changes
        before = changes.count
        count = 0
        events = block.events or block.make_events()
        for now, event in zip(block.received[begin:end], events[begin:end], strict=True):
            clock.now = now
            self._take(event, now)
            count += 1
            if changes.count != before:
                break
        return count

    def _take(self, event: Trade | Bar, now: Nanos) -> None:
        if isinstance(event, Trade):
            self._markets.on_trade(event, now)
        else:
            self._markets.on_candle(event, now)
