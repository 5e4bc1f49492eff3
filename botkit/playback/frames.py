"""Captures the frames of a playback from a run, between the run's turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from botkit.engine.decisions import CANCEL, INTENT, DecisionLog
from botkit.engine.view import EngineView
from botkit.model.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, NS_PER_S, Nanos
from botkit.model.columns import MarketColumns, TradeColumns
from botkit.model.events import Trade
from botkit.model.pairs import Pair
from botkit.model.playback import BookSides, Gauge, Moment, PairFrames, QueuePlace, SkipCount
from botkit.model.results import IndicatorLine

#: maximum number of frames for all pairs combined: four hours at one frame per second
FRAMES_MAX = 14_400
#: number of levels on each side of a book, for all pairs combined
LEVELS_MAX = 20
#: number of levels on each side of the books recorded with decisions
LEVELS_SEEN = 10
#: maximum number of decisions recorded together with the strategy's view of the book
MOMENTS_MAX = 6_000
PAIRS_MAX = 4

_NEVER: Nanos = 1 << 62
_STEPS: tuple[Nanos, ...] = (
    *(n * NS_PER_MS for n in (250, 500)),
    *(n * NS_PER_S for n in (1, 2, 5, 10, 20, 30)),
    *(n * NS_PER_MINUTE for n in (1, 2, 5, 10, 20, 30)),
    *(n * NS_PER_HOUR for n in (1, 2, 4, 12)),
)


class ExchangeSide(Protocol):
    """The exchange's side of a run, known only in a simulation."""

    def to(self, before: Nanos) -> None:
        """Advance the simulation to just before a given time."""

    def book(self, pair: Pair, depth: int) -> BookSides:
        """Return the market's book, without the bot's own orders."""

    def standing(self) -> list[QueuePlace]:
        """Return the bot's own orders in the books, with their queue positions."""


def step_of(span: Nanos, pairs: int) -> Nanos:
    """Return the time between frames for a run of length ``span``."""
    most = FRAMES_MAX // max(1, pairs)
    return next((step for step in _STEPS if span <= step * most), -(-span // (most * NS_PER_DAY)) * NS_PER_DAY)


class FrameTaker:
    """Observes a run whenever a frame is ``due``, and at every decision from ``start`` to ``end``.

    Without an ``exchange``, as in a live run, books are those that the bot received, and queue positions are unknown.
    """

    def __init__(
        self,
        view: EngineView,
        decisions: DecisionLog,
        pairs: Sequence[Pair],
        start: Nanos,
        end: Nanos,
        exchange: ExchangeSide | None = None,
    ) -> None:
        self._view = view
        self._decisions = decisions
        self._exchange = exchange
        self.start, self.end = start, end
        self.step = step_of(end - start, len(pairs[:PAIRS_MAX]))
        #: the time of the next frame
        self.due: Nanos = start
        self._depth = max(5, LEVELS_MAX // max(1, len(pairs[:PAIRS_MAX])))
        self.pairs = [PairFrames(pair, [], [], []) for pair in pairs[:PAIRS_MAX]]
        self.left_out = [str(pair) for pair in pairs[PAIRS_MAX:]]
        self.frames = 0
        self.equity: list[int | None] = []
        self.holdings: dict[str, dict[str, list[int]]] = {name: {} for name in view.names()}
        self.gauges: list[Gauge] = []
        self.waiting: list[int] = []
        self.standing: list[list[QueuePlace]] = []
        self.skips: list[SkipCount] = []
        self.moments: list[Moment] = []
        #: the strategy's view is recorded at every ``stride``-th decision
        self.stride = 1
        self._moments_seen = 0
        self._heard: dict[str, list[tuple[Nanos, Nanos, int, int, int]]] = {}
        self._skips_before: dict[str, dict[str, int]] = {}
        self._written = decisions.count + len(decisions.pending)

    def before(self, moment: Nanos) -> None:
        """Capture the frames that are due by ``moment``, just before the next event."""
        while self.due <= moment:
            self._take()
            self.due += self.step
            if self.due > self.end:
                self.due = _NEVER

    def turned(self, now: Nanos) -> None:
        """Record the decisions of a turn."""
        log = self._decisions
        written = log.count + len(log.pending)
        new = written - self._written
        if not new:
            return
        self._written = written
        if not self.start <= now <= self.end:
            return
        # entries that have been flushed can no longer be inspected, so assume that they contain a decision
        if new > len(log.pending) or any(entry[0] in (INTENT, CANCEL) for entry in log.pending[-new:]):
            self._moments_seen += 1
            if self._moments_seen % self.stride == 0:
                self.moments.append(self._moment(now))
                if len(self.moments) > MOMENTS_MAX:
                    del self.moments[::2]
                    self.stride *= 2

    def see(self, rows: Sequence[MarketColumns]) -> None:
        """Store the public trades of a completed slice."""
        for columns in rows:
            if isinstance(columns, TradeColumns):
                for frames in self.pairs:
                    if frames.pair == columns.pair:
                        first, stop = columns.received.searchsorted([self.start, self.end + 1]).tolist()
                        if stop > first:
                            frames.trades.append(columns.rows(first, stop))

    def heard(self, now: Nanos, trade: Trade) -> None:
        """Store a public trade that a running bot received."""
        for frames in self.pairs:
            if frames.pair == trade.pair and self.start <= now <= self.end:
                self._heard.setdefault(str(frames.pair), []).append(
                    (
                        now,
                        trade.time,
                        round(trade.price * 10**frames.pair.rules.price_decimals),
                        round(trade.amount * 10**frames.pair.rules.amount_decimals),
                        trade.side.sign if trade.side is not None else 0,
                    )
                )

    def taken(self) -> list[PairFrames]:
        """Return the frames of each pair, with all public trades."""
        for frames in self.pairs:
            heard = self._heard.pop(str(frames.pair), [])
            if heard:
                received, time, ticks, lots, side = np.array(heard, np.int64).T
                frames.trades.append(TradeColumns(frames.pair, received, time, ticks, lots, side.astype(np.int8)))
        return self.pairs

    def lines(self) -> list[IndicatorLine]:
        """Return the indicators and plots of the run so far."""
        return self._view.lines()

    def _take(self) -> None:
        view, exchange = self._view, self._exchange
        if exchange is not None:
            exchange.to(self.due)
        markets = {str(market.pair): market for market in view.markets()}
        for frames in self.pairs:
            market = markets.get(str(frames.pair))
            if exchange is not None:
                frames.books.append(exchange.book(frames.pair, self._depth))
            elif market is not None:
                frames.books.append(_sides(market.book.bid_levels, market.book.ask_levels, self._depth))
            else:
                frames.books.append(((), ()))
            frames.last_ticks.append(None if market is None else _ticks(frames.pair, market.last))
        self.equity.append(view.money.equity(None))
        for name, kept in self.holdings.items():
            held = view.money.holdings(name)
            for currency in held.keys() | kept.keys():
                column = kept.setdefault(currency, [0] * self.frames)
                column.append(held.get(currency, 0))
        usage = view.router.usage(self.due)
        if not self.gauges:
            self.gauges = [Gauge(row.pool, row.scope.value, row.limit, row.per_s, []) for row in usage]
        for gauge, row in zip(self.gauges, usage, strict=True):
            gauge.held.append(row.held)
        self.waiting.append(view.router.waiting)
        self.standing.append(self._standing())
        self._count_skips()
        self.frames += 1

    def _standing(self) -> list[QueuePlace]:
        if self._exchange is not None:
            return self._exchange.standing()
        return [
            QueuePlace(order.client_id, None, order.amount_lots - order.executed_lots)
            for order in self._view.open_orders()
            if order.order_id
        ]

    def _count_skips(self) -> None:
        for strategy in self._view.strategies():
            before = self._skips_before.get(strategy.name, {})
            for reason, count in strategy.skips.items():
                times = count - before.get(reason, 0)
                if times and self.frames:
                    self.skips.append(SkipCount(self.frames, strategy.name, reason, times))
            self._skips_before[strategy.name] = dict(strategy.skips)

    def _moment(self, now: Nanos) -> Moment:
        view = self._view
        books, last = {}, {}
        markets = {str(market.pair): market for market in view.markets()}
        for frames in self.pairs:
            market = markets.get(str(frames.pair))
            if market is not None:
                sides = _sides(market.book.bid_levels, market.book.ask_levels, LEVELS_SEEN)
                books[str(frames.pair)] = (market.book_seen, sides)
                last[str(frames.pair)] = _ticks(frames.pair, market.last)
        return Moment(now, books, last, {name: view.money.holdings(name) for name in self.holdings})


def _sides(bids: Sequence[tuple[int, int]], asks: Sequence[tuple[int, int]], depth: int) -> BookSides:
    return tuple(bids[:depth]), tuple(asks[:depth])


def _ticks(pair: Pair, price: float | None) -> int | None:
    return None if price is None else round(price * 10**pair.rules.price_decimals)
