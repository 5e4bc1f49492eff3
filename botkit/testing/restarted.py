"""A backtest whose bot restarts during the run, as when a bot's process exits and a new process starts.

In the meantime, the exchange keeps running: orders keep resting and are filled. The new bot is given only the contents
of the old bot's journal: its books, its orders, and each strategy's state as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from botkit.backtesting.driver import raise_failure
from botkit.backtesting.parts import BacktestParts
from botkit.backtesting.session import Run
from botkit.engine.decisions import DecisionLog
from botkit.engine.outcome import Outcome
from botkit.engine.strategy.record import unkept
from botkit.live.journal_rows import ORDER_FIELDS, order_of, order_row
from botkit.live.persistence import without_locks
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.columns import MarketColumns
from botkit.model.inputs import Begin, BookedExecution, Restore, RestoredOrder
from botkit.model.orders import RESTING_STATES, Order
from botkit.tape.feed import Slice

__all__ = ["Restarted", "run_restarted"]

#: maximum delay of the restart after the requested time, in seconds: orders may be in flight at that time
_PATIENCE_S = 30
_SLICE_ROWS = 1_000_000


class Restarted(msgspec.Struct, frozen=True, kw_only=True):
    """A run with a restart. ``decisions`` are the lines of both bots' decision log, oldest first.

    ``overwritten`` maps "strategy.key" to (before, after) for values of ``self.state`` that ``on_start`` reset to their
    initial values.
    """

    at: Nanos
    decisions: list[bytes]
    overwritten: dict[str, tuple[Any, Any]]


def run_restarted(parts: BacktestParts, at: Nanos) -> Restarted | str | None:
    """Run a backtest whose bot restarts at ``at``, or up to half a minute later if orders are in flight.

    Returns the reason as text if a strategy's state cannot be saved, and None if no time was suitable. Raises
    BotkitError.
    """
    run = _RestartedRun(parts, at)
    run.run(None)
    if run.restarted_at is None:
        return run.why_unkept
    run.decisions.flush()
    return Restarted(at=run.restarted_at, decisions=run.lines, overwritten=run.overwritten)


class _RestartedRun(Run):
    def __init__(self, parts: BacktestParts, at: Nanos) -> None:
        self._executions: dict[int, list[BookedExecution]] = {}
        self.lines: list[bytes] = []
        log = DecisionLog(lambda block: self.lines.extend(block.splitlines()))
        super().__init__(parts, parts.reading, log, lambda level, text, now: None)
        self._wanted = at
        self._first_states = self._states()
        self.restarted_at: Nanos | None = None
        self.why_unkept: str | None = None
        self.overwritten: dict[str, tuple[Any, Any]] = {}

    def run(self, progress: object) -> None:
        """Run to the end of the data, including the restart."""
        self.driver.turn(self._opening, self.plan.start)
        self.driver.run(self._slices(), self._after_slice)

    def _observe(self, out: Outcome, now: Nanos) -> None:
        """Record executions, as a journal does. Nothing else is needed, because only decisions are compared."""
        for fill in out.fills:
            self._executions.setdefault(fill.order.client_id, []).append(
                BookedExecution(fill.price_ticks, fill.lots, fill.fee_units)
            )

    def _slices(self) -> Iterator[Slice]:
        """Split the data at the times at which the bot may restart."""
        plan, at = self.plan, self.plan.start
        moments = [self._wanted + second * NS_PER_S for second in range(_PATIENCE_S)]
        for until in (*(moment for moment in moments if plan.start < moment < plan.end), plan.end):
            yield from self.parts.feed.slices(plan.keys, at, until, rows_max=_SLICE_ROWS)
            at = until

    def _after_slice(self, piece: Slice, delivered: list[MarketColumns]) -> None:
        is_due = piece.end >= self._wanted and piece.end < self.plan.end
        if is_due and self.restarted_at is None and self.why_unkept is None:
            self.driver.drain(piece.end - 1)
            if self._is_calm():
                self._restart(piece.end)

    def _is_calm(self) -> bool:
        """Return True if no request is in flight. After a restart, a live bot looks up the outcomes of requests that
        were in flight, but here the new bot would get no answer.
        """
        return not self.engine.view.router.waiting and all(
            order.state in RESTING_STATES and not order.cancel_requested for order in self.engine.view.open_orders()
        )

    def _restart(self, now: Nanos) -> None:
        old, parts = self.engine.view, self.parts
        held = old.all_kept()
        for found in held.values():
            why = unkept(found["state"])
            if why is not None:
                self.why_unkept = f"self.state would not survive a restart: {why}"
                return
        kept: dict[str, Any] = json.loads(json.dumps(held))
        orders = tuple(self._as_journaled(order) for order in old.orders() if order.sent)
        books = without_locks(json.loads(json.dumps(old.money.document())))
        self.engine = engine = parts.engine(self.decisions, parts.fees(), old.next_client_id)
        out = Outcome()
        engine.turn(Restore(books=books, orders=orders, kept=kept), now, out)
        engine.turn(Begin(), now, out)
        if out.failures:
            raise_failure(out.failures[0])
        self._compare_states(kept)
        self.driver.engine = engine
        self.driver.turn(self._history(out.history, now), now)
        self.restarted_at = now

    def _as_journaled(self, order: Order) -> RestoredOrder:
        row = dict(zip(ORDER_FIELDS, order_row(order), strict=True))
        return RestoredOrder(order_of(row, dict(self.parts.pairs)), tuple(self._executions.get(order.client_id, ())))

    def _states(self) -> dict[str, dict[str, Any]]:
        """Return a copy of each strategy's state, without values that cannot be saved."""
        view = self.engine.view
        return {
            name: {key: json.loads(json.dumps(value)) for key, value in state.items() if unkept({key: value}) is None}
            for name, state in ((name, found["state"]) for name, found in view.all_kept().items())
        }

    def _compare_states(self, kept: dict[str, Any]) -> None:
        for name, state in self._states().items():
            first = self._first_states[name]
            for key, value in state.items():
                before = kept[name]["state"].get(key, value)
                if before != value and first.get(key) == value:
                    self.overwritten[f"{name}.{key}"] = before, value
