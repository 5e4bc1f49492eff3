"""Follows what the exchange lists for each pair while the bot runs: its minima and maxima, and its maintenance.

A pair that is in maintenance, or is not listed, is closed: its orders are refused at once until the exchange lists it
as open again. Changed minima and maxima apply from then on. A tick or lot of another size cannot be followed, because
every price and amount in the bot is an integer that counts the old ones: such a pair is halted until the next start.

The list is read once an hour, and once a minute while one of the bot's pairs is closed. Orders that the exchange
rejects may mean that the rules have changed, so a rejection brings the next read forward, to a minute after the last
one. Before rejections halt the bot, the list is read in any case: if they were in pairs that the exchange has closed,
nothing is wrong with the bot.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal

from botkit.engine.agenda import Agenda, BotClock
from botkit.engine.decisions import DecisionLog
from botkit.engine.orders.closed_pairs import ClosedPairs
from botkit.engine.orders.reads import Reads
from botkit.engine.orders.rejections import Rejections
from botkit.engine.outcome import Outbox
from botkit.engine.router.router import Priority
from botkit.model.clock import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S, Nanos
from botkit.model.money import format_units
from botkit.model.pairs import Pair, PairRules
from botkit.model.requests import Answer, Ending, GetPairs, ListedRules

#: interval between reads
EVERY_NS: Final = NS_PER_HOUR
#: interval between reads while a pair is closed, after rejections, and after a failed read
SOON_NS: Final = NS_PER_MINUTE
#: how long rejections in a row wait for the list before they halt the bot, in machine time
_PATIENCE_S: Final = 10
#: this many failed reads in a row are reported
_FAILURES_TOLD: Final = 10


class ListedRulesWatch:
    """Reads the list and applies it to the bot's pairs. ``used`` returns the pairs that the bot trades or watches.

    ``trip(reason)`` halts the bot, ``cancel(pair)`` cancels the bot's orders in a pair, and ``reopened(pair)`` is
    called when orders in a pair can be sent again.
    """

    def __init__(
        self,
        *,
        clock: BotClock,
        agenda: Agenda,
        reads: Reads,
        outbox: Outbox,
        decisions: DecisionLog,
        pairs: Mapping[str, Pair],
        closed: ClosedPairs,
        rejections: Rejections,
        used: Callable[[], Collection[Pair]],
        trip: Callable[[str], None],
        cancel: Callable[[Pair], None],
        reopened: Callable[[Pair], None],
        speed: float = 1.0,
    ) -> None:
        self._clock = clock
        self._reads = reads
        self._outbox = outbox
        self._decisions = decisions
        self._pairs = pairs
        self._closed = closed
        self._rejections = rejections
        self._used = used
        self._trip = trip
        self._cancel = cancel
        self._reopened = reopened
        self._patience_ns: Nanos = int(_PATIENCE_S * NS_PER_S * max(1.0, speed))
        #: the next read; None before the bot trades, and while a read is in flight
        self._due: Nanos | None = None
        self._is_asking = False
        #: True if a rejection arrived while a read was in flight
        self._is_doubted = False
        self._asked_at: Nanos = 0
        self._failures = 0
        #: why the bot must halt unless the list explains the rejections, and by when
        self._halts_for: str | None = None
        self._halts_by: Nanos = 0
        self._slot = agenda.slot("pair rules", lambda: self._due, self._ask)
        for pair in pairs.values():  # the list was also read just before a start
            if pair.rules.maintenance:
                closed.reasons[pair] = _in_maintenance(pair)

    def begin(self, now: Nanos) -> None:
        """Start to read. Called when the bot starts trading."""
        for pair in self._used_closed():
            self._tell_closed(pair)
        self._plan(now, EVERY_NS)

    # -- when to read ---------------------------------------------------------------------------------------------

    def doubt(self) -> None:
        """Bring the next read forward, because the exchange rejected an order that its rules, as known, allow."""
        if self._is_asking:
            self._is_doubted = True  # the answer may be older than this rejection
        if self._due is None:
            return
        now, soon = self._clock.now, self._asked_at + SOON_NS
        if now >= soon:
            self._ask(now)
        elif soon < self._due:
            self._due = soon
            self._slot.changed()

    def halt_unless_closed(self, reason: str) -> None:
        """Halt the bot for rejections in a row, unless the list shows that their pairs are closed."""
        now = self._clock.now
        self._halts_for, self._halts_by = reason, now + self._patience_ns
        if not self._is_asking:
            self._ask(now)
        self._reads.later(self._halts_by, self._halt_at_last)

    def _halt_at_last(self, now: Nanos) -> None:
        if now >= self._halts_by:  # otherwise, other rejections than these wait now
            self._decide()

    def _decide(self) -> None:
        """Halt the bot if rejections have waited for the list and still count."""
        reason, self._halts_for = self._halts_for, None
        if reason is not None and self._rejections.are_too_many:
            self._trip(reason)

    def _plan(self, now: Nanos, wait: Nanos) -> None:
        self._due = now + (SOON_NS if self._is_doubted or self._used_closed() else wait)
        self._is_doubted = False
        self._slot.changed()

    def _used_closed(self) -> list[Pair]:
        """Return the pairs in use that may open again."""
        closed = self._closed
        return [pair for pair in sorted(self._used()) if pair in closed.reasons and pair not in closed.halted]

    def _ask(self, now: Nanos) -> None:
        self._due = None
        self._slot.changed()
        self._is_asking = True
        self._asked_at = now
        self._reads.read(
            lambda i: GetPairs(id=i),
            self._take,
            endpoint=GetPairs.endpoint,
            owner="(pair rules)",
            now=now,
            priority=Priority.PUBLIC_READ,
            urgent=False,
        )

    # -- what the exchange lists ----------------------------------------------------------------------------------

    def _take(self, answer: Answer, now: Nanos) -> None:
        self._is_asking = False
        rows = answer.body if isinstance(answer.body, tuple) else ()
        listed = {row.pair: row.rules for row in rows if isinstance(row, ListedRules)}
        is_read = answer.outcome is Ending.OK and bool(listed)
        if is_read:
            self._failures = 0
            for pair in sorted(self._pairs.values()):  # a replay's pairs may have another order
                self._apply(pair, listed.get(pair))
            self._plan(now, EVERY_NS)
        else:
            self._failed(answer)
            # an exchange that refuses to tell is not asked every minute
            self._plan(now, EVERY_NS if answer.outcome is Ending.REFUSED else SOON_NS)
        self._decide()

    def _failed(self, answer: Answer) -> None:
        self._failures += 1
        if self._failures == _FAILURES_TOLD:
            self._tell(
                "warning",
                f"the rules of the pairs could not be read {_FAILURES_TOLD} times in a row: "
                f"{answer.text or answer.outcome.value}; the bot goes on with those that it has",
            )

    def _apply(self, pair: Pair, listed: PairRules | None) -> None:
        if pair in self._closed.halted:
            return
        if listed is None:
            self._close(pair, f"{pair} is no longer among the exchange's pairs")
            return
        rules = pair.changed_to(listed)
        if rules is None:
            self._halt(pair, listed)
            return
        if rules != pair.rules:
            self._update(pair, rules)
        if rules.maintenance:
            self._close(pair, _in_maintenance(pair))
        elif self._closed.reasons.pop(pair, None) is not None:
            self._reopened(pair)
            if pair in self._used():
                self._tell("info", f"{pair} is open again: its orders are sent")

    def _update(self, pair: Pair, rules: PairRules) -> None:
        old = pair.rules
        pair.update(rules)
        changes = _changes(_bounds(old), _bounds(rules))
        if changes and pair in self._used():
            self._tell("info", f"{pair}: the exchange changed its {changes}")

    def _close(self, pair: Pair, reason: str) -> None:
        if self._closed.reasons.get(pair) == reason:
            return
        self._closed.reasons[pair] = reason
        self._rejections.forget(pair)
        if pair in self._used():
            self._tell_closed(pair)

    def _tell_closed(self, pair: Pair) -> None:
        self._tell(
            "warning",
            f"{self._closed.reasons[pair]}: its orders are refused until it is open again, which is checked every "
            f"minute; other pairs go on",
        )

    def _halt(self, pair: Pair, listed: PairRules) -> None:
        changes = _changes(_sizes(pair.rules), _sizes(listed))
        reason = f"{pair} is halted: the exchange changed its {changes}, which the bot can follow only after a restart"
        self._closed.reasons[pair] = reason
        self._closed.halted.add(pair)
        self._rejections.forget(pair)
        self._cancel(pair)
        if pair in self._used():
            self._tell(
                "error",
                f"{reason}. Its open orders are cancelled, and only orders that reduce a position are sent; other "
                "pairs go on",
            )

    def _tell(self, level: Literal["info", "warning", "error"], text: str) -> None:
        self._decisions.note("rules", self._clock.now, text)
        self._outbox.note(level, text, "rules")


def _in_maintenance(pair: Pair) -> str:
    return f"{pair} is in maintenance"


def _changes(old: dict[str, str], new: dict[str, str]) -> str:
    """Return the rules that differ, with their old and new values."""
    return " and ".join(f"{name} from {old[name]} to {new[name]}" for name in old if old[name] != new[name])


def _bounds(rules: PairRules) -> dict[str, str]:
    """Return the rules that a running bot can follow, under the exchange's names."""
    return {
        "minLimitBaseAmount": rules.amount_text(rules.least_lots),
        "maxLimitBaseAmount": rules.amount_text(rules.most_lots),
        "minMarketBuyQuoteAmount": format_units(rules.least_spend_units),
        "orderOpenLimit": str(rules.open_orders_max),
        "amountPrecision": str(rules.display_decimals),
    }


def _sizes(rules: PairRules) -> dict[str, str]:
    """Return the rules that a running bot cannot follow, under the exchange's names."""
    return {"quotePrecision": str(rules.price_decimals), "basePrecision": str(rules.amount_decimals)}
