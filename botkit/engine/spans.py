"""Quiet spans: many rows of recorded data through the strategies in one tight loop.

Between two moments at which anything can happen to the bot or to one of its orders nothing but the strategy's own
arithmetic goes on. The driver finds the end of such a span; here its rows reach the callbacks without dispatch, router
or portfolio in between. The result equals a turn for each row (tests/properties/test_spans.py): a loop ends with the
row that changed the agenda or the outcome (`botkit.engine.agenda.Changes`), and before the row in which a loss limit
would break.
"""

from __future__ import annotations

from typing import Any

from botkit.engine.agenda import BotClock, Changes
from botkit.engine.market.blocks import Block, BlockCache, CandleBlock, SeriesSource
from botkit.engine.market.markets import Markets
from botkit.engine.market.pair_market import BarFeed, PairMarket
from botkit.engine.orders.protection import Protector
from botkit.engine.risk.review import RiskDesk
from botkit.engine.strategy.callbacks import Callbacks
from botkit.model.clock import Nanos
from botkit.model.columns import BookColumns, CandleColumns, MergedRows, TradeColumns
from botkit.model.events import Bar, Candle, OrderBook, Trade


class Spans:
    """Takes rows of merged streams in."""

    def __init__(
        self,
        *,
        clock: BotClock,
        changes: Changes,
        markets: Markets,
        callbacks: Callbacks,
        risk: RiskDesk,
        protector: Protector,
    ) -> None:
        self._clock = clock
        self._changes = changes
        self._markets = markets
        self._callbacks = callbacks
        self._risk = risk
        self._protector = protector
        self._blocks = BlockCache()

    def event_at(self, rows: MergedRows, position: int) -> Trade | Candle | OrderBook:
        """One row as the event that a turn takes in."""
        columns, row, _ = rows.at(position)
        return self._blocks.event_at(columns, row)

    def run(self, rows: MergedRows, begin: int, end: int) -> int:
        """Take in rows from ``begin`` on, at the most up to ``end``; returns how many."""
        before = self._changes.count
        position = begin
        while position < end and self._changes.count == before:
            columns, row, until = rows.at(position)
            until = min(until, end)
            if isinstance(columns, BookColumns):
                self._clock.now = int(columns.received[row])
                self._markets.on_book(self._blocks.event_at(columns, row), self._clock.now)  # type: ignore[arg-type]
                position += 1
            else:
                position += self._stream(columns, row, row + until - position)
        return position - begin

    def _stream(self, columns: TradeColumns | CandleColumns, start: int, stop: int) -> int:
        """Rows of one stream; how many were taken in."""
        market = self._markets.of(columns.pair)
        before = self._changes.count
        row = start
        while row < stop:
            block = self._blocks.get(columns, row)
            begin = row - block.start
            end = min(len(block.events), stop - block.start)
            taken = self._block(market, block, columns, begin, end)
            row += taken
            if self._changes.count != before or taken < end - begin:
                break
        return row - start

    def _block(
        self, market: PairMarket, block: Any, columns: TradeColumns | CandleColumns, begin: int, end: int
    ) -> int:
        if isinstance(columns, TradeColumns) and any(f.builder.next_close() is None for f in market.bar_feeds.values()):
            end = begin + 1  # the first trade decides when its bar ends, and the driver must learn of that
        if market.last.price is None or self._protector.is_watching:
            return self._row_by_row(block, begin, end if market.last.price is not None else begin + 1)
        end = begin if market.doubts else block.calm_until(begin, end, market.last.price)
        if end == begin:  # withheld, perhaps: the rows after it are compared with another price
            return self._row_by_row(block, begin, begin + 1)
        if self._risk.has_loss_limits:
            breach = self._risk.first_breach(market.pair, block.prices[begin:end], self._clock.now)
            if breach == 0:
                return self._row_by_row(block, begin, begin + 1)
            if breach is not None:
                end = begin + breach
        taken = self._quiet(market, block, columns, begin, end)
        if self._risk.has_drawdowns:
            self._risk.passed(market.pair, block.prices[begin : begin + taken])
        return taken

    def _quiet(
        self, market: PairMarket, block: Any, columns: TradeColumns | CandleColumns, begin: int, end: int
    ) -> int:
        """Rows among which no loss limit is reached and no price is withheld."""
        if isinstance(columns, TradeColumns):
            if not market.bar_feeds:
                return self._trades(market, block, begin, end)
            return self._row_by_row(block, begin, end)
        feeds = list(market.bar_feeds.values())
        if not feeds:
            return self._skip(market, block, end, end - begin)
        if len(feeds) == 1 and feeds[0].resolution == columns.resolution:
            return self._bars(market, feeds[0], block, begin, end)
        return self._row_by_row(block, begin, end)

    def _skip(self, market: PairMarket, block: Block, end: int, count: int) -> int:
        """Nobody hears of these rows: only the last of them counts."""
        if market.trade_series:
            block.skip_to(end)
        self._clock.now = block.received[end - 1]
        market.last.price = float(block.prices[end - 1])
        return count

    def _trades(self, market: PairMarket, block: Block, begin: int, end: int) -> int:
        listeners = market.trade_listeners
        if len(listeners) > 1:
            return self._row_by_row(block, begin, end)
        if market.trade_series:
            market.take_trades_from(block, begin)
        if not listeners:
            return self._skip(market, block, end, end - begin)
        record, callback = listeners[0]
        clock, last, changes = self._clock, market.last, self._changes
        before, rows = changes.count, block.rows(begin, end)
        try:
            for block.done, clock.now, last.price, trade in rows:
                callback(trade)
                if changes.count != before:
                    break
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._callbacks.failed(record, callback, error)
        return block.done - begin

    def _bars(self, market: PairMarket, feed: BarFeed, block: CandleBlock, begin: int, end: int) -> int:
        """Bars of the tape's own resolution: each row is a finished bar."""
        builder = feed.builder
        if not builder.follows(block.events[begin]):
            return self._row_by_row(block, begin, begin + 1)  # a gap before it: the builder fills it
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
        clock, last, changes = self._clock, market.last, self._changes
        before, rows = changes.count, block.rows(begin, end)
        try:
            for block.done, clock.now, last.price, bar in rows:
                callback(bar)
                if changes.count != before:
                    break
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._callbacks.failed(record, callback, error)
        builder.follow(block.events[block.done - 1])
        return block.done - begin

    def _row_by_row(self, block: Any, begin: int, end: int) -> int:
        """The plain way, for whatever the loops above do not cover."""
        clock, changes = self._clock, self._changes
        before = changes.count
        count = 0
        for now, event in zip(block.received[begin:end], block.events[begin:end], strict=True):
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
