"""Planted faults that a useful simulation must find. Each is a small patch of one function.

A mutant is applied within the process, by giving the function the code compiled from its changed source, so worker
processes and files stay as they are. `applied` raises `Stale` if the source has changed too much.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Stale(LookupError):
    """A mutant's source has changed since the mutant was written."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """``before`` occurs exactly once in the module and becomes ``after``. ``layer`` is the one that shows it
    soonest.
    """

    name: str
    part: str
    module: str
    before: str
    after: str
    layer: str = "core"


MUTANTS = (
    Mutant(
        "the journal is written after the send", "log", "botkit.live.driver",
        "            self._commit(requests, now)\n        elif",
        "            self._loop.call_later(0.02, self._commit, list(requests), now)\n        elif",
    ),
    Mutant(
        "an order that was on its way at the crash counts as never sent", "protocol", "botkit.engine.orders.desk",
        "            self._move(order, _UNKNOWN, now)\n"
        '            order.reason = "the bot ended before the answer arrived"',
        "            self.finish(order, OrderState.NOT_SENT, now)\n            return",
    ),
    Mutant(
        "absent without waiting for late arrivals", "protocol", "botkit.engine.orders.resolution",
        "        return case.abort + self._latest_accept_ns", "        return case.abort",
    ),
    Mutant(
        "a create without an answer counts as not sent", "protocol", "botkit.engine.orders.desk",
        "            if answer.outcome is Ending.NOT_SENT:\n",
        "            if answer.outcome is Ending.NOT_SENT or answer.outcome is Ending.UNKNOWN:\n",
    ),
    Mutant(
        "a cancel that was answered counts as the end", "protocol", "botkit.engine.orders.desk",
        "            self._router.cancel(order, now)  # it is still live after its cancel, so cancel it again\n",
        "            self.finish(order, OrderState.CANCELLED, now)\n",
    ),
    Mutant(
        "executions that were already seen are booked again", "ledger", "botkit.engine.orders.desk",
        "        if not self._table.executions_of(order).is_new(report, listed=False):\n            return\n", "",
    ),
    Mutant(
        "fees are not charged", "ledger", "botkit.engine.money.portfolio",
        "            ledger.charge(part, fee_currency, fee)\n", "            pass\n",
    ),
    Mutant(
        "queued and unknown buys do not count as exposure", "router", "botkit.engine.risk.rules",
        "    return pair.rules.base_units(view.position_lots(pair) + view.orders.pending_lots(pair, BUY))",
        "    return pair.rules.base_units(view.position_lots(pair))",
    ),
    Mutant(
        "client ids begin again at a restart", "log", "botkit.live.journal",
        "            first = reserved + ID_BLOCK * random.randrange(_BLOCKS_SKIPPED)",
        "            first = reserved - ID_BLOCK",
    ),
    Mutant(
        "orders that ended during an outage are not read", "reconcile", "botkit.engine.orders.reconcile",
        "        self._desk.look_at((order for order, _, _ in stale), now)\n", "",
    ),
    Mutant(
        "a commit leaves out the strategies' state", "log", "botkit.live.persistence",
        "            states=states,\n", "            states=(),\n",
    ),
    Mutant(
        "fills that were not reported are forgotten", "log", "botkit.engine.stages",
        'rooms.untold.recalled(kept.get("untold", ()),', "rooms.untold.recalled((),",
    ),
)  # fmt: skip


def _functions(owner: Any, module: str) -> Iterator[tuple[tuple[str, ...], types.FunctionType]]:
    """Yield every function of a module and its classes, under its path."""
    for name, thing in list(vars(owner).items()):
        if isinstance(thing, types.FunctionType) and thing.__module__ == module:
            yield (name,), thing
        elif isinstance(thing, property) and isinstance(thing.fget, types.FunctionType):
            yield (name,), thing.fget
        elif inspect.isclass(thing) and thing.__module__ == module and owner is not thing:
            for path, function in _functions(thing, module):
                yield (name, *path), function


@contextlib.contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """Apply the mutant until the end of the block. Raises Stale."""
    module = importlib.import_module(mutant.module)
    assert module.__file__ is not None
    source = Path(module.__file__).read_text(encoding="utf-8")
    if source.count(mutant.before) != 1:
        raise Stale(f"{mutant.name}: {mutant.module} has its text {source.count(mutant.before)} times")
    changed = compile(source.replace(mutant.before, mutant.after), module.__file__, "exec")
    fresh = _codes(changed)
    was = _codes(compile(source, module.__file__, "exec"))
    touched = {name for name, code in fresh.items() if name in was and _differs(code, was[name])}
    before: list[tuple[types.FunctionType, types.CodeType]] = []
    for path, function in _functions(module, mutant.module):
        name = ".".join(path)
        if name in touched:
            before.append((function, function.__code__))
            function.__code__ = fresh[name]
    if not before:
        raise Stale(f"{mutant.name}: no function of {mutant.module} changes")
    try:
        yield
    finally:
        for function, code in before:
            function.__code__ = code


def _codes(code: types.CodeType, path: str = "") -> dict[str, types.CodeType]:
    found = {}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            name = constant.co_qualname
            if "<" not in name:
                found[name] = constant
                found |= _codes(constant)
    return found


def _differs(one: types.CodeType, other: types.CodeType) -> bool:
    """Return whether two functions behave differently, regardless of their position in the file."""
    if one.co_code != other.co_code or one.co_names != other.co_names or len(one.co_consts) != len(other.co_consts):
        return True
    for a, b in zip(one.co_consts, other.co_consts, strict=True):
        if isinstance(a, types.CodeType) and isinstance(b, types.CodeType):
            if _differs(a, b):
                return True
        elif isinstance(a, types.CodeType) or isinstance(b, types.CodeType) or a != b:
            return True
    return False


def hunt(seeds: int, first: int, run: Callable[[int, str], str]) -> int:
    """Look for each mutant with up to this many seeds, and print how many each took. Return 1 if one survived."""
    lived = 0
    for mutant in MUTANTS:
        found = ""
        with applied(mutant):
            for count in range(1, seeds + 1):
                found = run(first + count - 1, mutant.layer)
                if found:
                    break
        lived += not found
        verdict = f"caught after {count} seeds: {found.splitlines()[0][:120]}" if found else f"LIVED {seeds} seeds"
        print(f"{mutant.part:10} {mutant.name}: {verdict}", flush=True)
    return 1 if lived else 0
