"""Decides when to reconcile with the exchange: every minute, after a stream outage, and when a difference is
suspected.
"""

from __future__ import annotations

from collections.abc import Callable

from botkit.engine.outcome import Outcome
from botkit.engine.outcome_parts import Comparison, Reply
from botkit.live.notices import Notices
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.inputs import Compare, Input, Unwritten
from botkit.model.money import format_units
from botkit.model.requests import Ending

#: the interval when nothing suspicious happens; this uses three reads a minute out of the hundreds allowed
EVERY: Nanos = 60 * NS_PER_S
#: the delay between a suspicious event and the comparison
_SUSPECTED_FOR: Nanos = 2 * NS_PER_S
_SUSPECTED_EVERY: Nanos = 10 * NS_PER_S
#: consecutive failures before the user is notified
_FAILURES_TOLD = 3


class Comparisons:
    """Requests comparisons of the bot's records with the exchange and reports the differences. ``others`` names the
    other bots on the account.
    """

    def __init__(
        self,
        notices: Notices,
        note: Callable[[str, str], None],
        *,
        say: Callable[[Input], Reply],
        others: tuple[str, ...],
        speed: float,
    ) -> None:
        """``note`` writes a kind and a text to the journal."""
        self._notices = notices
        self._note = note
        self._say = say
        self._others = others
        self._every = EVERY * max(1, int(speed))
        #: when the latest finished comparison started and when it finished
        self.began: Nanos = 0
        self.ended: Nanos = 0
        self.first: Comparison | None = None
        self._suspected_at: Nanos | None = None
        self._is_under_way = False
        #: True if an event during the current comparison requires another one, because its data may have been read too
        #: early
        self._again = False
        self.last_failure = ""
        #: number of consecutive requests for which no connection could be made
        self.unreachable = 0
        self._failures = 0
        self._is_told = False

    @property
    def has_begun(self) -> bool:
        """True once the first comparison has been requested."""
        return self._is_under_way or self.first is not None

    def suspect(self, now: Nanos) -> None:
        """Record a suspicion that the books may be wrong. The comparison starts soon, once messages in flight have
        arrived.
        """
        if self._suspected_at is None:
            self._suspected_at = now

    def at_once(self, unwritten: Unwritten | None = None) -> None:
        """Start a comparison now. A comparison that is already in progress may have read its data too early, so in that
        case another comparison is started after it.

        For the first comparison, ``unwritten`` selects the orders that can be missing from the journal only if it has
        lost commits.
        """
        if self._is_under_way:
            self._again = True
        else:
            self._is_under_way = True
            self._say(Compare(unwritten=unwritten))

    def look(self, now: Nanos) -> None:
        """Start a comparison if one is due."""
        if self._is_under_way:
            return
        suspected = self._suspected_at
        # constant manual trading on the account must not exhaust the read limits
        if suspected is not None and now >= suspected + _SUSPECTED_FOR and now >= self.ended + _SUSPECTED_EVERY:
            self._suspected_at = None
            self.at_once()
        elif now - self.ended >= self._every:
            self.at_once()

    def came_out(self, out: Outcome, now: Nanos) -> bool:
        """Process the comparison results of a turn. Return True if the caller must call `at_once` after the turn to
        start another comparison.
        """
        for why, ending in out.compare_failures:
            self.unreachable = self.unreachable + 1 if ending is Ending.NOT_SENT else 0
            self._failed(why)
        for comparison in out.comparisons:
            self.began, self.ended = comparison.began, now
            self._is_under_way = False
            if self.first is None:
                self.first = comparison
            if self._is_told:
                self._notices.tell("info", "the bot is reconciled with the exchange again")
            self._failures, self._is_told = 0, False
            self._tell(comparison)
        if self._is_under_way or not self._again:
            return False
        self._again = False
        return True

    def _failed(self, why: str) -> None:
        self._failures += 1
        self.last_failure = why
        if self._failures == _FAILURES_TOLD:
            self._is_told = True
            self._notices.tell(
                "warning",
                f"the bot cannot be reconciled with the exchange: {why}; retrying every second, relying on the "
                f"streams alone until then",
            )

    def _tell(self, comparison: Comparison) -> None:
        for difference in comparison.differences:
            if difference.kind == "balance" and self._others:
                continue  # fills of other bots' orders also change the account, so only a shortage is worth reporting
            self._notices.tell("warning", difference.text)
            self._note("difference", difference.text)
        siblings = f" ({', '.join(self._others)} trade there too)" if self._others else ""
        for currency, units in comparison.adopted:
            self._notices.tell(
                "info" if self._others else "warning",
                f"{format_units(abs(units))} {currency} {'entered' if units > 0 else 'left'} the account outside this "
                f"bot{siblings}; it is booked as unassigned",
            )
