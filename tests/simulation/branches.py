"""Rare branches of the product, each with a name and identified by an excerpt of the source text.

The product's source is not changed. While a simulation observes branches, the function that contains the excerpt runs
with an extra call inserted before the last line of the excerpt. If the source has changed too much, `Branch.place`
raises `Stale`, and a test reports it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.simulation.sources import Stale, codes_of, differs, functions_of

_CALL: Final = "_a_branch_is_reached_"


@dataclass(frozen=True, slots=True)
class Branch:
    """``text`` occurs once in the module. The branch starts with the statement on the last line of ``text``."""

    name: str
    module: str
    text: str
    #: counted, but a long run does not have to reach it
    is_rarest: bool = False

    def place(self, source: str) -> int:
        """Return the character offset of the branch's line in ``source``. Raises Stale."""
        if source.count(self.text) != 1:
            raise Stale(f"{self.name}: {self.module} has its text {source.count(self.text)} times")
        return source.rindex("\n", 0, source.index(self.text) + self.text.rstrip().rfind("\n") + 1) + 1


_DESK, _FOLLOWED, _REPLACED, _RESOLUTION, _RECONCILE = (
    f"botkit.engine.orders.{name}" for name in ("desk", "follow_ups", "replacements", "resolution", "reconcile")
)
_ROUTER, _LIVE, _LOG = "botkit.engine.router.router", "botkit.live", "botkit.live.journal_log"
_JOURNAL, _FILLING, _DRIVER = (f"{_LIVE}.{name}" for name in ("journal", "journal_filling", "driver"))
_LEASES, _COMPARING, _GUARD = f"{_LIVE}.limits.leases", f"{_LIVE}.comparing", f"{_LIVE}.guard"

BRANCHES: Final = (
    # order protocol
    Branch("a report identified an order before its answer did", _DESK, "if order.order_id:\n            return"),
    Branch("a push settled an order before its answer came", _DESK, "self._router.resolved(order.client_id, now)"),
    Branch("an execution came before its order was known", _DESK, "self._parked_trades.setdefault("),
    Branch("an execution that came too early was booked", _DESK, "            self.on_trade_report(report, now)"),
    Branch(
        "a cancel waited for its order's id", _DESK,
        "        if order.cancel_requested and order.state not in FINAL_STATES:\n            self._router.cancel(",
    ),
    Branch("an execution was reported twice", _DESK, "if new is None:\n            return"),
    Branch("a final report waited for its executions", _DESK, "self._final_reports[order.client_id] = report"),
    Branch(
        "an order was read, for its push was overdue", _FOLLOWED,
        "> order.executed_lots\n            ):\n                self._read_order(order, now)",
    ),
    Branch("executions were read, for their push was overdue", _FOLLOWED, "            self._read_trades(order, now)"),
    Branch(
        "an execution that the stream had missed was booked", _DESK,
        "if new is not None:\n                self._book(",
    ),
    Branch("an order was read in vain", _FOLLOWED, "self.at(order, now + READ_AFTER * min("),
    Branch(
        "an order was live after its cancel", _FOLLOWED,
        "elif order.cancel_requested and report.state not in FINAL_STATES:\n            self._router.cancel(",
    ),
    Branch("a waiting replacement was cancelled", _REPLACED, "del self.waiting[self._replaced["),
    Branch("a replacement took its place in the queue", _REPLACED, "self._placing.end_unsent(old, "),
    Branch("a waiting replacement was replaced", _REPLACED, "self._placing.end_unsent(superseded[0], "),
    Branch(
        "an order was filled before its replacement left", _REPLACED,
        'end_unsent(new, OrderState.CANCELLED, now, "the order to replace was filled")',
    ),
    Branch("a resting order expired", _DESK, 'order.reason = "expired"'),
    Branch("many orders were read in one listing", _FOLLOWED, "self._list_orders(pair, group, now)"),
    Branch("an order on its way at the crash was looked up", _DESK, "self._move(order, _UNKNOWN, now)"),
    Branch("an order was held back at its grant", _DESK, "NOT_SENT, now, self._gate.when_granted("),
    # orders with unknown outcomes
    Branch("a look-up was refused", _RESOLUTION, "case.refusals += 1", is_rarest=True),
    Branch("a proof of absence waited for its bound", _RESOLUTION, "due = bound"),
    Branch(
        "an order was found while it was looked up", _RESOLUTION,
        "if self._cases.get(case.order.client_id) is not case:\n                return",
    ),
    Branch("an exit passed while its pair was blocked", _RESOLUTION, "unknown_sells <= held:\n                return"),
    Branch("an order was refused, for its pair was blocked", _RESOLUTION, 'return f"'),
    Branch("a refused create was confirmed", _RESOLUTION, "self._close(case, OrderState.REJECTED, now"),
    # comparison with the exchange
    Branch("the open orders could not be read", _RECONCILE, "self._reads.later(now + RETRY_NS, self._list_orders)"),
    Branch("the balances could not be read", _RECONCILE, "self._reads.later(now + RETRY_NS, self._list_balances)"),
    Branch("orders since the last run could not be read", _RECONCILE, "RETRY_NS, self._list_unwritten)"),
    Branch("a comparison was overtaken by an execution", _RECONCILE, "self._overtaken += 1"),
    Branch("a foreign order was seen", _RECONCILE, "self._foreign += 1"),
    Branch("an order of a lost commit was found", _RECONCILE, "self._lost_until = max("),
    Branch("a comparison had to be repeated", _COMPARING, "            self._again = True"),
    Branch("a suspicion led to a comparison", _COMPARING, "            self._suspected_at = None"),
    Branch("the exchange had orders that a journal did not know", f"{_LIVE}.starting", "bot.latch.set(JOURNAL_HALT"),
    Branch("a start found that commits are lost", f"{_LIVE}.opening", "        losses = losses_of("),
    Branch("a claim was compared again", f"{_LIVE}.starting", "await asyncio.sleep(_CLAIM_AGAIN_S)"),
    # the journal
    Branch("a write of the log failed", _LOG, "self._has_failed = self._at > 0"),
    Branch("a log went on in its next segment", _LOG, "            self._after = self._at"),
    Branch("a segment did not fit on the disk", _LOG, "if error.errno not in _NO_ROOM or size == _BLOCK:"),
    Branch("a damaged log was set aside", _JOURNAL, "            self._set_aside(found)"),
    Branch("a start took commits over from the log", _JOURNAL, "writer.write(db, _operations(record.body)"),
    Branch("SQLite could not be filled", _FILLING, "            self.fault = error"),
    Branch("the journal failed", _DRIVER, "self.journal_fault = str(error)"),
    Branch("the journal could be written again", _DRIVER, "self.sink(JournalFailed(None))"),
    Branch("a request was cancelled within the bot", _DRIVER, 'self._unclear(request_id, "its request was cancelled'),
    # order gates and halts
    Branch("an order was held back at the last gate", _DRIVER, 'return f"not sent: {closed}"'),
    Branch("the latch held an order back", _DRIVER, 'return f"not sent: the bot is halted:'),
    Branch("the bot stood still", f"{_LIVE}.standstill", "self._on_wake(self._slept_s)"),
    # router and shared limits
    Branch("a cancel was asked for twice", _ROUTER, "return Withdrawal.DUPLICATE"),
    Branch("an order expired in the router", "botkit.engine.router.sending", "due.expired.append(item.order)"),
    Branch("a 429 closed a counter", _ROUTER, "        self.alarms.append("),
    Branch("a run told the ledger what the one before had sent", _LEASES, "self._knows_earlier = True"),
    Branch("a bot took another name in the ledger, for its journal failed", _LEASES, "await self._rename()"),
    Branch("the ledger could not be reached", _LEASES, "self._tell_lost(error)"),
    # the guard
    Branch("a guard found its bot silent", _GUARD, "has_struck = self._strike(silent_s)"),
    Branch(
        "a guard could not cancel", _GUARD, "        if result.left != ():\n            return False", is_rarest=True,
    ),
)  # fmt: skip


def is_compiled(module: types.ModuleType) -> bool:
    """Return True for a module in the compiled form, whose functions have no code to replace."""
    assert module.__file__ is not None
    return not module.__file__.endswith(".py")


def unwatched() -> frozenset[str]:
    """Return the names of the branches that cannot be watched, because their modules are compiled."""
    return frozenset(branch.name for branch in BRANCHES if is_compiled(importlib.import_module(branch.module)))


def prepare() -> None:
    """Read the sources before any function is patched."""
    _prepared()


@functools.cache
def _prepared() -> tuple[tuple[types.FunctionType, types.CodeType, types.CodeType], ...]:
    """Return (function, its code, the code that reports its branches) for each function with a branch."""
    found = []
    for module_name in dict.fromkeys(branch.module for branch in BRANCHES):
        module = importlib.import_module(module_name)
        if is_compiled(module):
            continue
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        changed = source
        for branch in (branch for branch in BRANCHES if branch.module == module_name):
            at = branch.place(changed)
            line = changed[at : changed.index("\n", at)]
            indent = line[: len(line) - len(line.lstrip())]
            changed = f"{changed[:at]}{indent}{_CALL}({branch.name!r})\n{changed[at:]}"
        was = codes_of(compile(source, module.__file__, "exec"))
        fresh = codes_of(compile(changed, module.__file__, "exec"))
        touched = {name for name, code in fresh.items() if name in was and differs(code, was[name])}
        for path, function in functions_of(module, module_name):
            if ".".join(path) in touched:
                found.append((function, function.__code__, fresh[".".join(path)]))
    return tuple(found)


def missing() -> list[str]:
    """Return the branches that are no longer in any function. Raises Stale if a branch's text is gone."""
    text = "".join(str(_constants(fresh)) for _, _, fresh in _prepared())
    return [branch.name for branch in BRANCHES if branch.name not in text]


def _constants(code: types.CodeType) -> list[object]:
    return [_constants(one) if isinstance(one, types.CodeType) else one for one in code.co_consts]


@contextlib.contextmanager
def reported(to: Callable[[str], None]) -> Iterator[None]:
    """Call ``to`` with the name of every branch that is reached, until the block exits.

    A function patched by a planted fault is left unchanged.
    """
    swapped = []
    for function, was, fresh in _prepared():
        if function.__code__ is was:
            function.__globals__[_CALL] = to
            function.__code__ = fresh
            swapped.append((function, was))
    try:
        yield
    finally:
        for function, was in swapped:
            function.__code__ = was
            function.__globals__.pop(_CALL, None)
