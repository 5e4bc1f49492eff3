"""Drives a run in simulated time: passes inputs to the bot and requests to the exchange, and advances the clock. It
makes no decisions.

for rows between two other events:                             a quiet span, straight from the columns
    engine.span(rows, begin, end, out)                         strategies run; `out` collects the requests
    kernel.submit(request)                                     arrives one latency later
for news from the exchange (responses, fills, books):          one turn each, in chronological order
    engine.turn(event, now, out)
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn, Protocol

from botkit.backtesting.contiguous import GapFiller
from botkit.engine.agenda import earliest
from botkit.engine.engine import Engine
from botkit.engine.outcome import Outcome
from botkit.engine.outcome_parts import HistoryWanted, StrategyFailure
from botkit.errors import BotkitError, ConfigError
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.columns import BookColumns, CandleColumns, MarketColumns, TradeColumns
from botkit.model.compiling import mypyc_attr
from botkit.model.events import Trade
from botkit.model.inputs import AccountEvents, Forget, History, Input, Stop
from botkit.model.merged_rows import MergedRows
from botkit.model.orders import Order
from botkit.model.published_books import PublishedBooks
from botkit.sim.kernel import Kernel, Publication
from botkit.tape.feed import Slice

#: how long to wait for responses after the last row, so that no order is left unresolved
DRAIN: Nanos = 10 * NS_PER_S
#: up to this many rows are searched by bisection
_NEAR = 64


class Watcher(Protocol):
    """Observes a run between its turns, without changing it."""

    #: when to call `before` next: before the first event at or after this time
    due: Nanos

    def before(self, moment: Nanos) -> None:
        """Observe the run before the next event, which occurs at ``moment`` (never earlier than ``due``)."""

    def turned(self, now: Nanos) -> None:
        """Observe the effects of a turn."""

    def see(self, rows: Sequence[MarketColumns]) -> None:
        """Observe the rows of a completed slice."""


class StrategyRaised(BotkitError):
    """Raised when a strategy raises an exception during a backtest. The message names the strategy, callback, file and
    line.
    """


@mypyc_attr(allow_interpreted_subclasses=True)
class Driver:
    """One run of one bot over one feed.

    ``observe`` receives every outcome with fills or withheld prices, and ``tell`` receives every outcome with messages
    for the user. ``history`` returns the bars before a given time, as required by series. ``watch`` observes the run
    without changing it.
    """

    def __init__(
        self,
        engine: Engine,
        kernel: Kernel,
        account: str,
        *,
        observe: Callable[[Outcome, Nanos], None],
        history: Callable[[Sequence[HistoryWanted], Nanos], History],
        tell: Callable[[Outcome, Nanos], None] | None = None,
        watch: Watcher | None = None,
    ) -> None:
        self.engine = engine
        self.kernel = kernel
        self.account = account
        self.gap_fillers: dict[str, GapFiller] = {}
        #: when the bot first halted itself
        self.halted_at: Nanos | None = None
        self._observe = observe
        self._tell = tell
        self._history = history
        self._watch = watch
        self._out = Outcome()
        #: Our executions, to be merged with the recorded trades. With zero latency, an order may react to one of
        #: several simultaneous trades. Its execution then comes after all of those trades, because they were already in
        #: transit.
        self._prints: deque[tuple[Publication, bool]] = deque()

    def run(self, slices: Iterable[Slice], on_slice: Callable[[Slice, list[MarketColumns]], None]) -> None:
        """Run until there are no more slices. ``on_slice`` is called after every slice, with the slice and the rows as
        the bot received them.
        """
        ahead: Slice | None = None
        delivered: list[MarketColumns] = []
        for following in slices:
            rows = self._load(following)
            if ahead is not None:
                self._rows(MergedRows(delivered))
                on_slice(ahead, delivered)
            ahead, delivered = following, rows
        if ahead is not None:
            self._rows(MergedRows(delivered))
            self._close(ahead.end)
            on_slice(ahead, delivered)

    def turn(self, given: Input | None, now: Nanos) -> None:
        """Run one turn and process its outcome."""
        changes = self.engine.changes
        before = changes.count
        self.engine.turn(given, now, self._out)
        if changes.count != before:
            self._leave(now)
        if self._watch is not None:
            self._watch.turned(now)

    def forget_before(self, time: Nanos) -> tuple[Order, ...]:
        """Make the bot and the exchange drop orders that reached a final state before ``time``. Returns the orders that
        the bot dropped.
        """
        self.kernel.forget_before(time)
        now, changes = self.engine.view.now, self.engine.changes.count
        self.engine.turn(Forget(time), now, self._out)
        reply, self._out.reply = self._out.reply, None
        if self.engine.changes.count != changes:
            self._leave(now)
        assert reply is not None
        forgotten: tuple[Order, ...] = reply.value
        return forgotten

    def _leave(self, now: Nanos) -> None:
        out = self._out
        if out.requests:
            submit, account = self.kernel.submit, self.account
            for request in out.requests:
                submit(account, request, now)
            out.requests.clear()
        if out.failures:
            raise_failure(out.failures[0])
        if out.fills or out.withheld:
            self._observe(out, now)
            out.fills.clear()
        if out.notes and self._tell is not None:
            self._tell(out, now)
        out.states.clear()
        if not (out.withheld or out.notes or out.history or out.streams or out.halts):
            return  # clearing a single list costs as much as checking three of them
        if out.halts and self.halted_at is None:
            self.halted_at = now
        wanted = list(out.history)
        out.clear()
        if wanted:
            self.turn(self._history(wanted, now), now)

    def _load(self, piece: Slice) -> list[MarketColumns]:
        """Pass a slice to the exchange. Returns the rows that the bot will receive, in the slice's order.

        The exchange is always one slice ahead, because an order may fill at the open of a bar that ends in the next
        slice.
        """
        rows: list[MarketColumns] = []
        for columns in piece.columns:
            if isinstance(columns, CandleColumns):
                columns = self.gap_fillers.setdefault(columns.pair, GapFiller()).fill(columns)
            self.kernel.load(columns)
            if not isinstance(columns, BookColumns):  # the exchange publishes books that include our orders
                rows.append(columns)
        return rows

    def _rows(self, rows: MergedRows) -> None:
        engine, kernel, watch = self.engine, self.kernel, self._watch
        received, axis = rows.received, rows.received.data
        prints, changes, agenda = self._prints, engine.changes, engine.agenda
        row, stop = 0, len(rows)
        # most spans end at the same distant time, such as the next midnight, so its row is looked up once
        far: Nanos | None = None
        far_row = stop
        while row < stop:
            at: int = axis[row]
            seen = changes.count
            wake = agenda.known_head if agenda.is_known else agenda.head()
            told_at = prints[0][0].at if prints else None
            if watch is None and kernel.is_calm:  # a watcher also observes the run between books
                books = kernel.books_ahead()
                if books is not None:
                    assert not prints, "an execution is reported before the book that follows it"
                    limit = earliest(books.until, wake)
                    if limit is None or at < limit or books.times[books.done] < limit:
                        row += self._span_with_books(rows, row, books, limit)
                        continue
            if not kernel.is_news_known:
                kernel.update_news()
            due = kernel.next_news  # the bot may run ahead until the exchange has news for it
            if watch is not None:
                moment = earliest(at, due, wake, told_at)
                assert moment is not None
                if watch.due <= moment:
                    watch.before(moment)
                    continue  # the exchange's clock may have advanced
            if due is not None and due <= at and (wake is None or due <= wake) and (told_at is None or due <= told_at):
                until = at if wake is None or at < wake else wake
                if told_at is not None and told_at < until:
                    until = told_at
                # a watcher also observes the run between events at the exchange
                self._publish(until if watch is None else due, rows, row)
            elif wake is not None and wake < at and (told_at is None or wake < told_at):
                self.turn(None, max(wake, engine.view.now))
            elif prints and self._print_comes_first(rows.at(row)[0], at):
                self._tell_print()
            elif wake == at or told_at == at:
                # Bars that end now come before the rows with this timestamp, and timers come after those rows. The turn
                # handles this order.
                self.turn(engine.event_at(rows, row), at)
                row += 1
            else:
                limit = due if wake is None or (due is not None and due < wake) else wake
                if told_at is not None and (limit is None or told_at < limit):
                    limit = told_at  # rows with equal timestamps must be merged one by one
                if watch is not None and (limit is None or watch.due < limit):
                    limit = watch.due
                near = row + _NEAR  # in nearly all cases, the end is before this row
                if limit is None or (near < stop and axis[near] < limit):
                    if limit != far:
                        far, far_row = limit, _first_from(rows, row, limit)
                    end = far_row
                else:
                    end = bisect_left(axis, limit, row, near if near < stop else stop)
                row += engine.span(rows, row, end, self._out)
                if changes.count != seen:
                    self._leave(received.item(row - 1))
                if watch is not None:
                    watch.turned(received.item(row - 1))

    def _span_with_books(self, rows: MergedRows, row: int, books: PublishedBooks, limit: Nanos | None) -> int:
        """Process rows and books before ``limit``. Returns the number of rows processed."""
        engine, before = self.engine, self.engine.changes.count
        taken = engine.span(rows, row, _first_from(rows, row, limit), self._out, books, limit)
        self.kernel.update_news()
        if engine.changes.count != before:
            self._leave(engine.view.now)
        return taken

    def _publish(self, until: Nanos, rows: MergedRows | None = None, row: int = 0) -> None:
        """Deliver the exchange's next publications, up to and including time ``until``. ``row`` is the index of the
        next row for the bot.
        """
        engine, changes = self.engine, self.engine.changes
        inputs: list[Input] = []
        at = until
        for publication in self.kernel.advance(until, pause=True, to_news=True):
            event = publication.event
            at = publication.at  # all publications in this batch have the same time
            if isinstance(event, Trade):
                # the bot may already have received some of the trades recorded at that time
                amid_trades = (
                    rows is not None
                    and row > 0
                    and rows.received.item(row - 1) == publication.at
                    and isinstance(rows.at(row - 1)[0], TradeColumns)
                )
                self._prints.append((publication, amid_trades))
            elif publication.account is None or publication.account == self.account:
                inputs.append(AccountEvents(event) if isinstance(event, tuple) else event)
        while inputs:
            before = changes.count
            del inputs[: engine.turns(inputs, at, self._out)]
            if changes.count != before:
                self._leave(at)
        if self._watch is not None:
            self._watch.turned(until)

    def _print_comes_first(self, columns: MarketColumns, at: Nanos) -> bool:
        """Return True if our next execution must be delivered before a row received at ``at``. Trades with equal
        timestamps are ordered by pair and come after candles.
        """
        told, is_late = self._prints[0]
        assert isinstance(told.event, Trade)
        if told.at < at:
            return True
        return not is_late and isinstance(columns, TradeColumns) and told.event.pair <= columns.pair

    def _tell_print(self) -> None:
        told, _ = self._prints.popleft()
        assert isinstance(told.event, Trade)
        self.turn(told.event, told.at)

    def _close(self, end: Nanos) -> None:
        """Stop the bot at ``end``, and wait for the responses to pending requests."""
        self.drain(end)
        now = max(end, self.engine.view.now)
        self.turn(Stop(), now)
        self.drain(now + DRAIN)

    def drain(self, until: Nanos) -> None:
        """Process all events up to ``until`` that do not require another row: news from the exchange, and engine
        wake-ups.
        """
        while True:
            due, wake = self.kernel.next_at(), self.engine.wake_at()
            earliest = due if wake is None or (due is not None and due <= wake) else wake
            if self._watch is not None:
                moment = until if earliest is None else min(earliest, until)
                if self._watch.due <= moment:
                    self._watch.before(moment)
                    continue
            if self._prints and (earliest is None or self._prints[0][0].at < earliest or earliest != due):
                self._tell_print()
                continue
            if earliest is None or earliest > until:
                return
            if earliest == due:
                self._publish(earliest)
            else:
                self.turn(None, max(earliest, self.engine.view.now))


def _first_from(rows: MergedRows, begin: int, time: Nanos | None) -> int:
    """Return the index of the first row at or after ``begin`` that is received at ``time`` or later."""
    received, axis = rows.received, rows.received.data
    stop = len(received)
    if time is None or received.item(stop - 1) < time:
        return stop
    near = begin + _NEAR  # up to this size, Python's bisect is faster than numpy's search
    if near < stop and axis[near] < time:
        return near + int(received[near:stop].searchsorted(time))
    return bisect_left(axis, time, begin, min(near, stop))


def raise_failure(failure: StrategyFailure) -> NoReturn:
    """Re-raise a strategy's failure as an error that ends the run."""
    if failure.is_config:
        raise ConfigError(f"strategy {failure.strategy!r}: {failure.error.partition(': ')[2]}")
    raise StrategyRaised(
        f"strategy {failure.strategy!r} raised in {failure.callback} at {failure.where}: {failure.error}\n"
        f"{failure.text.rstrip()}"
    )
