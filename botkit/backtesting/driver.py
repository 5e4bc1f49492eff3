"""The driver on simulated time: carries events in, requests out, and time forward. It decides nothing.

for rows between two moments at which anything can happen:    a quiet span, straight from the columns
    requests = engine.span(rows)                               strategies run; out comes what may be sent
    kernel.submit(request)                                     arrives one latency later
for what the exchange says (answers, fills, books):            one turn each, in order of time
    requests = engine.turn(event)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from botkit.backtesting.contiguous import GapFiller
from botkit.backtesting.merge import runs
from botkit.engine import spans
from botkit.engine.turn import Engine
from botkit.errors import BotkitError, ConfigError
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.columns import BookColumns, CandleColumns, MarketColumns, TradeColumns
from botkit.model.events import Trade
from botkit.model.requests import Request
from botkit.sim.kernel import Kernel, Publication
from botkit.tape.feed import Slice

#: how long after the last row answers are still awaited, so that no order ends a run half-way
DRAIN: Nanos = 10 * NS_PER_S


class StrategyRaised(BotkitError):
    """A strategy raised during a backtest. The message names strategy, callback, file and line."""


class Driver:
    """One run of one bot over one feed."""

    def __init__(self, engine: Engine, kernel: Kernel, account: str) -> None:
        self.engine = engine
        self.kernel = kernel
        self.account = account
        self.gap_fillers: dict[str, GapFiller] = {}
        self._prints: deque[Publication] = deque()  # our executions, on their way to their place among recorded trades

    def run(
        self,
        slices: Iterable[Slice],
        opening: Sequence[Request],
        start: Nanos,
        on_slice: Callable[[Slice, list[MarketColumns]], None],
    ) -> None:
        """Run to the end of the slices. ``opening`` are the requests of the engine's start, at ``start``.

        ``on_slice`` is told of every slice that is done, with its rows as they were delivered.
        """
        self._send(opening, start)
        ahead: Slice | None = None
        delivered: list[MarketColumns] = []
        for following in slices:
            rows = self._load(following)
            if ahead is not None:
                self._slice(delivered)
                on_slice(ahead, delivered)
            ahead, delivered = following, rows
        if ahead is not None:
            self._slice(delivered)
            self._close(ahead.end)
            on_slice(ahead, delivered)

    def _load(self, piece: Slice) -> list[MarketColumns]:
        """Give a slice to the exchange; returns the rows that the bot will be shown, in the order of slices.

        The exchange is always one slice ahead: an order may fill at the open of a bar that ends in the next slice.
        """
        rows: list[MarketColumns] = []
        for columns in piece.columns:
            if isinstance(columns, CandleColumns):
                columns = self.gap_fillers.setdefault(columns.pair, GapFiller()).fill(columns)
            self.kernel.load(columns)
            if not isinstance(columns, BookColumns):  # books are published by the exchange, with our orders in them
                rows.append(columns)
        return rows

    def _slice(self, rows: Sequence[MarketColumns]) -> None:
        for columns, first, stop in runs(rows):
            self._rows(columns, first, stop)

    def _rows(self, columns: MarketColumns, row: int, stop: int) -> None:
        engine, kernel, received = self.engine, self.kernel, columns.received
        assert isinstance(columns, (TradeColumns, CandleColumns))
        last: int = received.item(stop - 1) if row < stop else 0
        while row < stop:
            at: int = received.item(row)
            due, wake = kernel.next_at(), engine.wake_at()
            if due is not None and due <= at and (wake is None or due <= wake) and not self._printed_before(due):
                self._publish(due)
            elif wake is not None and wake < at and not self._printed_before(wake):
                self._send(engine.turn(None, wake), wake)
            elif self._prints and self._print_comes_first(columns, at):
                self._tell_print()
            elif wake == at:
                # timers of this moment ring after its rows, and bars that end now before them: the turn does both
                self._send(engine.turn(spans.event_at(engine.blocks, columns, row), at), at)
                row += 1
            else:
                earliest = due if wake is None or (due is not None and due < wake) else wake
                if self._prints:  # it comes after the rows of its moment
                    after = self._prints[0].at + 1
                    earliest = after if earliest is None else min(earliest, after)
                if earliest is None or last < earliest:
                    end = stop
                else:
                    end = row + int(received[row:stop].searchsorted(earliest))
                taken, requests = engine.span(columns, row, end)
                row += taken
                if requests:
                    self._send(requests, engine.now)
            if engine.failures:
                self.raise_failure()

    def _publish(self, due: Nanos) -> None:
        turn = self.engine.turn
        for publication in self.kernel.advance(due, pause=True):
            if isinstance(publication.event, Trade):
                self._prints.append(publication)
            elif publication.account is None or publication.account == self.account:
                for event in publication.events:
                    requests = turn(event, publication.at)
                    if requests:
                        self._send(requests, publication.at)

    def _printed_before(self, moment: Nanos) -> bool:
        return bool(self._prints) and self._prints[0].at < moment

    def _print_comes_first(self, columns: MarketColumns, at: Nanos) -> bool:
        """True when the next of our executions comes before a row received at ``at``: trades of one moment are told by
        pair, and come after candles."""
        told = self._prints[0]
        assert isinstance(told.event, Trade)
        return told.at < at or (isinstance(columns, TradeColumns) and told.event.pair <= columns.pair)

    def _tell_print(self) -> None:
        told = self._prints.popleft()
        assert isinstance(told.event, Trade)
        self._send(self.engine.turn(told.event, told.at), told.at)

    def _send(self, requests: Sequence[Request], now: Nanos) -> None:
        for request in requests:
            self.kernel.submit(self.account, request, now)

    def _close(self, end: Nanos) -> None:
        """Let the bot stop at ``end``, and wait for the answers to what is on its way."""
        self._drain(end)
        now = max(end, self.engine.now)
        self._send(self.engine.stop(now), now)
        self._drain(now + DRAIN)
        if self.engine.failures:
            self.raise_failure()

    def _drain(self, until: Nanos) -> None:
        while True:
            due, wake = self.kernel.next_at(), self.engine.wake_at()
            earliest = due if wake is None or (due is not None and due <= wake) else wake
            if self._prints and (earliest is None or self._prints[0].at < earliest or earliest != due):
                self._tell_print()
                continue
            if earliest is None or earliest > until:
                return
            if earliest == due:
                self._publish(earliest)
            else:
                self._send(self.engine.turn(None, earliest), earliest)
            if self.engine.failures:
                self.raise_failure()

    def raise_failure(self) -> NoReturn:
        """Turn the first failure of a strategy into an error that ends the run."""
        failure = self.engine.failures[0]
        if failure.is_config:
            raise ConfigError(f"strategy {failure.strategy!r}: {failure.error.partition(': ')[2]}")
        raise StrategyRaised(
            f"strategy {failure.strategy!r} raised in {failure.callback} at {failure.where}: {failure.error}\n"
            f"{failure.text.rstrip()}"
        )
