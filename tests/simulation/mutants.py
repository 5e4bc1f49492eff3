"""Planted faults that a useful simulation must find. Each is a small patch to one function.

A mutant is applied within the process: the function receives the code compiled from its changed source. Worker
processes and files are not changed. `applied` raises `Stale` if the source has changed too much.
"""

from __future__ import annotations

import contextlib
import importlib
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from botkit.compiled import SOURCES
from tests.simulation import branches
from tests.simulation.plan import Plan, draw, features
from tests.simulation.sources import Stale, codes_of, differs, functions_of


@dataclass(frozen=True, slots=True)
class Mutant:
    """A planted fault. ``before`` occurs exactly once in the module and is replaced with ``after``. ``layer`` is the
    layer that finds the mutant faster.
    """

    name: str
    part: str
    module: str
    before: str
    after: str
    layer: str = "core"
    #: only plans with one of these features (`tests.simulation.plan.features`) can find the mutant; empty: any plan can
    needs: tuple[str, ...] = ()
    #: True if only long plans are searched, because short ones hardly ever show the mutant
    is_long: bool = False

    @property
    def path(self) -> str:
        """The module's source file within the checkout."""
        return f"{self.module.replace('.', '/')}.py"

    def changed(self, source: str) -> str:
        """Return the module's source with the fault. Raises Stale."""
        if source.count(self.before) != 1:
            raise Stale(f"{self.name}: {self.module} has its text {source.count(self.before)} times")
        return source.replace(self.before, self.after)


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
        "a cancel that was answered counts as the end", "protocol", "botkit.engine.orders.follow_ups",
        "            self._router.cancel(order, now)  # the order is still live despite its cancel\n",
        "            self._results.finish(order, OrderState.CANCELLED, now)\n",
    ),
    Mutant(
        "executions that were already seen are booked again", "ledger", "botkit.engine.orders.desk",
        "        new = self._executions[order.client_id].take(report, listed=False)\n", "        new = report\n",
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
        "        self._desk.follow_ups.look_at((order for order, _, _ in stale), now)\n", "",
    ),
    Mutant(
        "a commit leaves out the strategies' state", "log", "botkit.live.persistence",
        "            states=states,\n", "            states=(),\n",
    ),
    Mutant(
        "fills that were not reported are forgotten", "log", "botkit.engine.stages",
        'rooms.untold.recalled(kept.get("untold", ()),', "rooms.untold.recalled((),",
    ),
    # -- the protocol of an order
    Mutant(
        "an order of unknown outcome is looked up once", "protocol", "botkit.engine.orders.resolution",
        "        case.due = max(due, now + 100 * NS_PER_MS)", "        case.due = now + 10**15",
    ),
    Mutant(
        "a restart forgets which cancels were asked for", "protocol", "botkit.engine.orders.desk",
        "        elif order.cancel_requested or order.expires is not None:\n            self.follow_ups.at(",
        "        elif order.expires is not None:\n            self.follow_ups.at(",
    ),
    Mutant(
        "executions that a report shows are not waited for", "protocol", "botkit.engine.orders.follow_ups",
        "            self.shown_lots[order.client_id] = lots\n            self.at(order, now + READ_AFTER)\n",
        "            self.shown_lots[order.client_id] = lots\n",
    ),
    Mutant(
        "a final report ends an order before its executions", "protocol", "botkit.engine.orders.desk",
        "            if behind:\n                self._final_reports",
        "            if False:\n                self._final_reports",
    ),
    Mutant(
        "listed executions are not booked", "protocol", "botkit.engine.orders.desk",
        "            if new is not None:\n", "            if False:\n",
    ),
    Mutant(
        "a cancel that waited for an order's id is forgotten", "protocol", "botkit.engine.orders.desk",
        "        if order.cancel_requested and order.state not in FINAL_STATES:\n"
        "            self._router.cancel(order, now)\n",
        "        pass\n",
    ),
    Mutant(
        "a cancel is never followed up", "protocol", "botkit.engine.orders.desk",
        "                if order.state not in FINAL_STATES:\n"
        "                    self.follow_ups.at(order, now + READ_AFTER)\n",
        "                pass\n",
    ),
    Mutant(
        "an order that ended keeps its money locked", "protocol", "botkit.engine.orders.desk",
        "            order.reason = reason\n        self._portfolio.release(order)\n",
        "            order.reason = reason\n",
    ),
    Mutant(
        "a cancelled request is never answered", "protocol", "botkit.live.driver",
        "        if self._is_ending:\n            return", "        if True:\n            return",
        needs=("request_cancelled",),
    ),
    # -- the router and the shared limits
    Mutant(
        "a slot is free as soon as its answer is read", "router", "botkit.engine.router.windows",
        "        until = now + self.hold\n        cooling = self._cooling\n",
        "        until = now\n        cooling = self._cooling\n",
    ),
    Mutant(
        "a request without an answer gives its slot back", "router", "botkit.engine.router.flights",
        "            window.hold_late(request_id, arrives_by)", "            window.give_back()",
        needs=("full_windows_late",),
    ),
    Mutant(
        "a restart forgets what was sent before", "router", "botkit.live.starting",
        "            sends=() if parts.is_new_world else tuple(_sent_before(bot, opened)),", "            sends=(),",
        needs=("full_windows_death",),
    ),
    Mutant(
        "the ledger lends a slot again as soon as it is returned", "ledger", "botkit.live.limits.ledger",
        '                window.hold_until(now + wait + window.hold, f"{name}:{key}" if key else None)\n'
        "            window.advance",
        "                pass\n            window.advance",
        needs=("full_windows_shared",),
    ),
    Mutant(
        "a write of the log that failed counts as written", "log", "botkit.live.journal_log",
        "            self._has_failed = self._at > 0\n            raise\n",
        "            self._has_failed = self._at > 0\n            return self.place\n",
        needs=("disk_read_only", "disk_failing"),
    ),
    Mutant(
        "a start deletes the log before SQLite has reached the disk", "log", "botkit.live.journal",
        "        synced(db, True)\n", "        synced(db, False)\n",
        needs=("power_cut",),
    ),
    Mutant(
        "a start does not read the log", "log", "botkit.live.journal",
        "            tail = read_tail(self.path, files, place)\n            end =",
        "            tail = Tail([])\n            end =",
    ),
    Mutant(
        "damage of the log is passed over", "log", "botkit.live.journal",
        "            if tail.damage is not None:\n"
        "                self.damage = commits_lost(self.path, tail.damage)\n            self.run",
        "            self.run",
        needs=("log_corrupt", "log_cut", "log_gone"),
    ),
    Mutant(
        "a torn record counts as a commit", "log", "botkit.live.journal_log",
        "    if zlib.crc32(body, zlib.crc32(_NUMBER.pack(number))) != crc:\n        return None\n", "",
        needs=("power_cut",),
    ),
    Mutant(
        "client ids that the journal has lost are not noticed", "log", "botkit.live.journal_losses",
        "    return not journal.is_new and reach.counted > reach.reserved", "    return False",
        needs=("journal_restored",),
    ),
    Mutant(
        "ids of later starts are not looked for at the exchange", "log", "botkit.live.journal_losses",
        "_LOST_STARTS * SKIPPED_MAX", "0 * SKIPPED_MAX",
        needs=("folder_restored",),
    ),
    Mutant(
        "orders leave while the journal cannot be written", "log", "botkit.live.driver",
        "        if self.journal_fault is not None:\n            return f\"not sent: {self.journal_fault}\"\n", "",
        needs=("disk_read_only", "disk_failing"),
    ),
    Mutant(
        "outdated books may still sell", "log", "botkit.live.driver",
        "            if not reduces or (halt is not None and halt.kind == JOURNAL_HALT):",
        "            if not reduces:",
        needs=("log_corrupt", "log_cut", "log_gone", "journal_restored"),
    ),
    Mutant(
        "fills are not journaled", "log", "botkit.live.persistence",
        "            fills=self._fills,\n", "            fills=(),\n",
    ),
    Mutant(
        "the books are written only with an order", "log", "botkit.live.persistence",
        "        states = self._states(books=self._heard or not requests)",
        "        states = self._states(books=False)",
    ),
    # -- comparisons with the exchange
    Mutant(
        "a difference is adopted while orders may explain it", "reconcile", "botkit.engine.orders.reconcile",
        "quiet=not self._table.has_live)", "quiet=True)",
        is_long=True,
    ),
    Mutant(
        "balances are compared while executions are being read", "reconcile", "botkit.engine.orders.reconcile",
        "        return any(self._desk.is_unread(order) for order in self._unsure)", "        return False",
    ),
    Mutant(
        "after a standstill orders leave at once", "reconcile", "botkit.live.standstill",
        "        if self._compared_at() >= self._woke_at:", "        if True:",
        needs=("suspend_process", "suspend_machine"),
    ),
    # -- untold fills, claims, guard, panic
    Mutant(
        "fills in the mailbox are not kept", "untold", "botkit.engine.strategy.untold",
        "            for fill in (*self.mailed, *self.held)\n", "            for fill in self.held\n",
    ),
    Mutant(
        "fills that were told are kept as untold", "untold", "botkit.engine.rooms",
        "                self.untold.held.remove(event)\n", "                pass\n",
    ),
    Mutant(
        "a claim is compared with the books", "claims", "botkit.live.starting",
        "money.holdings(None), money.reported,", "money.holdings(None), money.account,",
        needs=("second_dies",),
    ),
    Mutant(
        "a guard strikes after a second", "guard", "botkit.live.guard",
        "            if silent_s < self._guard_s:\n", "            if silent_s < 1.0:\n",
        needs=("guard_strikes",),
    ),
    Mutant(
        "guard and panic know only orders that were answered", "guard", "botkit.live.panic",
        '                self._sent.add((row["client_id"], name, row["side"], price))',
        "                pass",
        needs=("guard_strikes", "panic_own"),
    ),
    Mutant(
        "a panic leaves no latch", "guard", "botkit.live.panic",
        "    folder.set_halt(", "    repr(",
        needs=("panic", "panic_own"),
    ),
    Mutant(
        "the latch is not looked at before an order leaves", "guard", "botkit.live.driver",
        "        if self.folder.is_halted():\n", "        if False:\n",
        needs=("panic", "panic_own"),
    ),
    # -- written by someone who had not read the checkers
    Mutant(
        "an order that a read does not find counts as cancelled", "protocol", "botkit.engine.orders.follow_ups",
        "            else:\n                self.unread.add(order.client_id)\n",
        "            elif answer.outcome is Ending.REFUSED:\n"
        '                self._results.finish(order, OrderState.CANCELLED, at, "the exchange has no such order")\n'
        "            else:\n                self.unread.add(order.client_id)\n",
        needs=("read_refused",),
    ),
    Mutant(
        "what fills before a replacement leaves is ordered again", "protocol", "botkit.engine.orders.replacements",
        "        filled_since = old.executed_lots - executed_before\n", "        filled_since = 0\n",
        needs=("filled_while_replaced",),
    ),
    Mutant(
        "a cancel without an answer is never repeated", "router", "botkit.engine.router.router",
        "        if kind is CANCEL:\n            self._cancelling.difference_update",
        "        if kind is CANCEL and outcome is not Ending.UNKNOWN:\n            self._cancelling.difference_update",
    ),
    Mutant(
        "an order that was found frees its slot at once", "router", "botkit.engine.router.windows",
        "        held = self._late_until.get(key)\n        until = arrives_by + self.hold\n",
        "        held = self._late_until.get(key)\n        until = arrives_by\n",
        needs=("few_creates",),
    ),
    Mutant(
        "a restart keeps positions locked by orders that are gone", "ledger", "botkit.live.persistence",
        "[amount, cost, realised, 0, *rest] for pair, (amount, cost, realised, _, *rest)",
        "[amount, cost, realised, locked, *rest] for pair, (amount, cost, realised, locked, *rest)",
    ),
    Mutant(
        "a fee in coins is not taken off the position", "ledger", "botkit.engine.money.portfolio",
        "                base_units -= fee\n", "                pass\n",
    ),
    Mutant(
        "a restart forgets when orders expire", "log", "botkit.engine.orders.desk",
        "        elif order.cancel_requested or order.expires is not None:\n            self.follow_ups.at(",
        "        elif order.cancel_requested:\n            self.follow_ups.at(",
    ),
    Mutant(
        "books that could not be written count as written", "log", "botkit.live.persistence",
        "        states = self._states(books=self._heard or not requests)\n",
        "        states = self._states(books=self._heard or not requests)\n"
        "        self._written.update(states)\n",
        needs=("disk_full", "disk_read_only", "disk_failing"),
    ),
    Mutant(
        "a request of unknown outcome counts as answered after a restart", "log", "botkit.live.driver",
        "            if type(given) is Answer and (given.outcome is not Ending.UNKNOWN"
        " or given.request_id in self._responded):\n",
        "            if type(given) is Answer:\n",
        needs=("full_windows_late_death",),
    ),
    Mutant(
        "a comparison that began before a standstill ends it", "reconcile", "botkit.live.bot",
        "lambda: self.comparisons.began, speed", "lambda: self.comparisons.ended, speed",
        needs=("asleep_while_comparing",),
    ),
    Mutant(
        "an order that was refused is not recognised when it turns up", "reconcile", "botkit.engine.orders.desk",
        "order.state not in _MAY_APPEAR:", "order.state not in _MAY_APPEAR - {OrderState.REJECTED}:",
        needs=("refused_though_done",),
    ),
)  # fmt: skip


@contextlib.contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """Apply the mutant until the block exits. Raises Stale."""
    branches.prepare()
    module = importlib.import_module(mutant.module)
    assert module.__file__ is not None
    source = Path(module.__file__).read_text(encoding="utf-8")
    changed = compile(mutant.changed(source), module.__file__, "exec")
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


def chosen(part: str) -> list[Mutant]:
    """Return the mutants in one part of the product, or those with the text in their names; all without a text."""
    return [mutant for mutant in MUTANTS if part in ("", mutant.part) or part in mutant.name]


def hunt(seeds: int, first: int, part: str, run: Callable[[Plan], str], planted: str = "") -> int:
    """Search for each mutant, or for the mutants in one part of the product, with up to ``seeds`` seeds, and print how
    many seeds each search required. Return 1 if a mutant survived.

    Seeds whose plans lack a feature required by the mutant are skipped and not counted. ``planted`` is the SHA-256 of
    the source from which a mutant's compiled module was built; without it, mutants in compiled modules are skipped.
    """
    lived = 0
    for mutant in chosen(part):
        planting = applied(mutant)
        if branches.is_compiled(importlib.import_module(mutant.module)):
            if not planted:
                print(f"{mutant.part:10} {mutant.name}: not planted, {mutant.module} is compiled", flush=True)
                continue
            assert SOURCES[mutant.path] == planted, f"{mutant.module} was compiled from another source"
            planting = contextlib.nullcontext()
        found, count, seed = "", 0, first - 1
        with planting:
            while not found and count < seeds:
                seed += 1
                is_long = True if mutant.is_long else None
                plan = draw(seed, mutant.layer, is_long=is_long)  # type: ignore[arg-type]
                if mutant.needs and not features(plan).intersection(mutant.needs):
                    continue
                count += 1
                found = run(plan)
        lived += not found
        what = found.splitlines()[0][:140] if found else ""
        verdict = f"caught after {count} seeds, by seed {seed}: {what}" if found else f"LIVED {seeds} seeds"
        print(f"{mutant.part:10} {mutant.name}: {verdict}", flush=True)
    return 1 if lived else 0
