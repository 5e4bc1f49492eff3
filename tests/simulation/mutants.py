"""Planted faults that a useful simulation must find. Each is a small patch of one function.

A mutant is applied within the process, by giving the function the code compiled from its changed source, so worker
processes and files stay as they are. `applied` raises `Stale` if the source has changed too much.
"""

from __future__ import annotations

import contextlib
import importlib
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.sources import Stale, codes_of, differs, functions_of


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
        '            order.reason = "the bot ended before the answer came"',
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
        "            self._router.cancel(order, now)  # still live after its cancel: cancel again\n",
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


@contextlib.contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """Apply the mutant until the end of the block. Raises Stale."""
    module = importlib.import_module(mutant.module)
    assert module.__file__ is not None
    source = Path(module.__file__).read_text(encoding="utf-8")
    if source.count(mutant.before) != 1:
        raise Stale(f"{mutant.name}: {mutant.module} has its text {source.count(mutant.before)} times")
    changed = compile(source.replace(mutant.before, mutant.after), module.__file__, "exec")
    fresh = codes_of(changed)
    was = codes_of(compile(source, module.__file__, "exec"))
    touched = {name for name, code in fresh.items() if name in was and differs(code, was[name])}
    before: list[tuple[types.FunctionType, types.CodeType]] = []
    for path, function in functions_of(module, mutant.module):
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
