"""The engine: everything that must behave the same in a backtest, on the emulator and live, behind one method.

    engine.turn(given, now, out)     the entry point: one input, or None to do the work that is due
    engine.turns(inputs, now, out)   the same for several simultaneous inputs
    engine.wake_at()                 when the engine needs a turn without an input
    engine.span(rows, begin, end, out)   many rows of recorded data at once, as if by one turn per row
    engine.view                      values for display

A driver only passes inputs in, sends the outcome's requests, and moves time forward. Inputs are totally ordered: by the
time at which the bot receives them, then by `botkit.model.moment.rank`, then by pair and row. At equal times a driver
passes market events in before it wakes the engine; the engine itself closes the bars that are due before it processes a
market event with the same timestamp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botkit.engine.commands import Commands
from botkit.engine.decisions import DecisionLog
from botkit.engine.market.blocks import SharedBlocks
from botkit.engine.money.portfolio import Portfolio
from botkit.engine.outcome import Outcome
from botkit.engine.risk.review import RiskDesk
from botkit.engine.rooms import BotRooms, FindCallback
from botkit.engine.router.router import Router
from botkit.engine.settings import EngineSettings, StrategySpec
from botkit.engine.spans import Spans
from botkit.engine.stages import Stages
from botkit.engine.view import EngineView
from botkit.model.clock import Nanos
from botkit.model.events import (
    BalanceReport,
    Candle,
    Connection,
    OrderBook,
    OrderReport,
    Ticker,
    Trade,
    TradeReport,
)
from botkit.model.extension import FeeRates
from botkit.model.inputs import (
    AccountEvents,
    Begin,
    CancelByHand,
    CancelOrphans,
    Compare,
    Flatten,
    Forget,
    Halt,
    History,
    Input,
    JournalFailed,
    LeaveOrphans,
    MoveCapital,
    Pause,
    Restore,
    Resume,
    SetParameter,
    Stop,
)
from botkit.model.limits import SlotsChanged
from botkit.model.merged_rows import MergedRows
from botkit.model.pairs import Pair
from botkit.model.published_books import PublishedBooks
from botkit.model.requests import Answer


class Engine:
    """The bot, built by `botkit.assembly`."""

    def __init__(
        self,
        *,
        pairs: Mapping[str, Pair],
        strategies: Sequence[StrategySpec],
        portfolio: Portfolio,
        risk: RiskDesk,
        router: Router,
        fee_rates: Callable[[Pair, Nanos], FeeRates],
        decisions: DecisionLog,
        settings: EngineSettings | None = None,
        find_callback: FindCallback | None = None,
        shared_blocks: SharedBlocks | None = None,
    ) -> None:
        """``fee_rates`` returns a pair's fee rates at a given time; ``find_callback`` returns a plugin's wrapper around
        a callback. Successive runs over the same rows may share ``shared_blocks``.
        """
        self._rooms = rooms = BotRooms(
            pairs=pairs,
            strategies=strategies,
            portfolio=portfolio,
            risk=risk,
            router=router,
            fee_rates=fee_rates,
            decisions=decisions,
            settings=settings or EngineSettings(),
            find_callback=find_callback,
        )
        # objects used in every turn
        self._clock = rooms.clock
        self._outbox = rooms.outbox
        self._router = router
        self._router_slot = rooms.router_slot
        self._callbacks = rooms.callbacks
        self._quoter = rooms.quoter
        self._targets = rooms.targets
        self._protector = rooms.protector
        self._agreement = rooms.agreement
        self._past = rooms.past
        self._stages = Stages(rooms, rooms.reads)
        self._spans = Spans(
            clock=rooms.clock,
            changes=rooms.changes,
            markets=rooms.markets,
            callbacks=rooms.callbacks,
            risk=risk,
            protector=rooms.protector,
            shared_blocks=shared_blocks,
        )
        self.view = EngineView(rooms)
        #: its count stays constant while turns produce no outcome and leave the wake time unchanged
        self.changes = rooms.changes
        #: while the agenda's head is known, `wake_at` returns it directly
        self.agenda = rooms.agenda
        self._handlers = self._by_type()

    def _by_type(self) -> dict[type, Callable[[Any, Nanos], None]]:
        rooms, stages, commands = self._rooms, self._stages, Commands(self._rooms)
        markets, desk = rooms.markets, rooms.desk
        return {
            Trade: self._on_trade if rooms.watch else markets.on_trade,
            OrderBook: self._on_book if rooms.watch else markets.on_book,
            Ticker: markets.on_ticker,
            Candle: markets.on_candle,
            Answer: desk.on_answer,
            OrderReport: desk.on_order_report,
            TradeReport: desk.on_trade_report,
            BalanceReport: rooms.balances.reported,
            Connection: self._on_connection,
            SlotsChanged: self._on_slots,
            Restore: stages.restore,
            Compare: stages.compare,
            Begin: stages.begin,
            History: stages.take_history,
            Stop: stages.stop,
            Halt: commands.halt,
            Pause: commands.pause,
            Resume: commands.resume,
            SetParameter: commands.set_parameter,
            MoveCapital: commands.move_capital,
            CancelOrphans: commands.cancel_orphans,
            LeaveOrphans: commands.leave_orphans,
            CancelByHand: commands.cancel_by_hand,
            Flatten: commands.flatten,
            Forget: commands.forget,
            JournalFailed: commands.journal_failed,
        }

    # -- entry points ---------------------------------------------------------------------------------------------

    def turn(self, given: Input | None, now: Nanos, out: Outcome) -> None:
        """Process one input, or do the work due at ``now`` if the input is None. The results are added to ``out``.

        Raises ConfigError if the restored state does not match the configuration. Any other exception is a bug in the
        engine, and nothing from that turn may be sent.
        """
        if given is not None:
            self.turns((given,), now, out)
            return
        clock = self._clock
        assert now >= clock.now, f"time went backwards from {clock.now} to {now}"
        clock.now = now
        self._outbox.out = out
        self.agenda.ring(now)
        self._finish(now, out)

    def turns(self, inputs: Sequence[Input], now: Nanos, out: Outcome) -> int:
        """Process several simultaneous inputs, with the same result as a `turn` for each. Return the number of inputs
        processed. Processing stops after an input that makes a strategy fail or request history, because the driver
        must act on that first.
        """
        clock = self._clock
        assert now >= clock.now, f"time went backwards from {clock.now} to {now}"
        clock.now = now
        self._outbox.out = out
        changes, slot, handlers = self.changes, self._router_slot, self._handlers
        done = 0
        for given in inputs:
            done += 1
            clock.events += 1
            before = changes.count
            if type(given) is AccountEvents:
                for event in given.events:
                    handlers[type(event)](event, now)
            else:
                handlers[type(given)](given, now)
            if (
                changes.count == before
                and slot.is_known
                and slot.due is None
                and not (self._callbacks.mailbox or self._past.is_wanting or self._stages.reads_history)
            ):
                continue  # the input had no effect, and no work was waiting for a turn
            self._finish(now, out)
            if out.failures or out.history:
                break
        return done

    def span(
        self,
        rows: MergedRows,
        begin: int,
        end: int,
        out: Outcome,
        books: PublishedBooks | None = None,
        until: Nanos | None = None,
    ) -> int:
        """Process rows ``begin`` to ``end`` at once and return the number of rows processed. The result equals that of
        one `turn` per row, but is computed faster. ``books`` that a simulated exchange publishes before ``until`` are
        processed in order between the rows.

        Processing stops after a row or a book that changes the agenda or the outcome. The driver must ensure that
        nothing else is due before the last row.
        """
        self._outbox.out = out
        before = self.changes.count
        if books is None:
            spans, taken = self._spans, 0
            while taken < end - begin and self.changes.count == before:
                taken += spans.take_some(rows, begin + taken, end)
            self._clock.events += taken
        else:
            taken, published = self._spans.run_with_books(rows, begin, end, books, until)
            self._clock.events += taken + published
        # an unchanged count means that the rows changed nothing and that nothing was due
        if self.changes.count != before:
            self._finish(self._clock.now, out)
        return taken

    def event_at(self, rows: MergedRows, position: int) -> Trade | Candle | OrderBook:
        """Return a row of merged streams as an input for `turn`."""
        return self._spans.event_at(rows, position)

    def wake_at(self) -> Nanos | None:
        """Return the time at which the engine needs its next turn without an input. The time is exact, so a driver need
        not poll.
        """
        agenda = self.agenda
        return agenda.known_head if agenda.is_known else agenda.head()

    def _finish(self, now: Nanos, out: Outcome) -> None:
        """Deliver the turn's effects, then collect the requests that may be sent. Repeat until there are no new
        effects.
        """
        rooms, router, slot = self._rooms, self._router, self._router_slot
        callbacks, quoter, targets, protector = self._callbacks, self._quoter, self._targets, self._protector
        while True:
            # checking the queues is cheap, and they are empty after most turns
            if callbacks.mailbox and callbacks.is_open:
                callbacks.deliver()
            if quoter.has_due:
                quoter.settle()
            elif quoter.dirty:
                quoter.dirty.clear()
            if targets.dirty or protector.again:
                rooms.work_off()
            if quoter.has_due or (callbacks.mailbox and callbacks.is_open):
                continue
            if not router.express:
                due = slot.due if slot.is_known else slot.ask()
                if due is None or due > now:
                    break
            out.requests += rooms.desk.collect(now)
        if self._agreement.is_unsettled:
            self._agreement.settle()
        if router.alarms or rooms.has_refused:
            rooms.end_of_turn()
        if self._past.is_wanting or self._stages.must_read:
            self._stages.end_of_turn(now)

    # -- events from outside -----------------------------------------------------------------------------------------

    def _on_trade(self, trade: Trade, now: Nanos) -> None:
        watch = self._rooms.watch
        assert watch is not None
        watch.on_trade_or_connection(trade, now)
        self._rooms.markets.on_trade(trade, now)

    def _on_book(self, book: OrderBook, now: Nanos) -> None:
        watch = self._rooms.watch
        assert watch is not None
        watch.books.observe(book, now)
        self._rooms.markets.on_book(book, now)

    def _on_connection(self, connection: Connection, now: Nanos) -> None:
        rooms = self._rooms
        if rooms.watch is not None:
            rooms.watch.on_trade_or_connection(connection, now)
        for record in rooms.records.values():
            if record.active and rooms.has_begun:
                rooms.callbacks.notify(record, "on_connection", connection)

    def _on_slots(self, given: SlotsChanged, now: Nanos) -> None:
        self._router.slots_changed(given)
