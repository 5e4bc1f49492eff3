"""The exchange's own balances against our books.

Balances do not drive the books. What our orders cannot explain is not the strategies' doing (a deposit, a manual
trade) and goes to ``unassigned``. Below zero there means that somebody took what belongs to a strategy: a `Shortage`.
"""

from __future__ import annotations

import msgspec

from botkit.engine.money.ledger import AccountLedger
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import BalanceReport
from botkit.model.money import format_units

#: how long a difference that live orders cannot explain must stand still before it counts as somebody else's doing:
#: balances and fills come by different streams, and either may be ahead of the other
SETTLE_NS = 2 * NS_PER_S


class Shortage(msgspec.Struct, frozen=True):
    """The account has less of a currency than the strategies own together. Creates halt until it is back."""

    currency: str
    missing_units: int

    def __str__(self) -> str:
        return (
            f"the account has {format_units(self.missing_units)} {self.currency} less than its strategies own: it was "
            f"withdrawn or traded away by hand. Put it back, or take capital from a strategy."
        )


class Discrepancy(msgspec.Struct, frozen=True):
    """The exchange reports another balance than our books. ``adopted_units`` of the difference went to unassigned."""

    currency: str
    expected_units: int
    actual_units: int
    adopted_units: int
    shortage: Shortage | None = None


class BalanceCheck:
    """Compares reports with the books and remembers what has not settled yet."""

    __slots__ = ("_ledger", "_suspects", "rounding_units")

    def __init__(self, ledger: AccountLedger) -> None:
        self._ledger = ledger
        self._suspects: dict[str, tuple[int, Nanos]] = {}  # currency -> (unexplained difference, first seen)
        #: one unit of 1e-8 a fill is forgiven: how the exchange rounds a fee or a value is not documented
        self.rounding_units = 0

    def compare(self, report: BalanceReport, now: Nanos, *, quiet: bool) -> list[Discrepancy]:
        """Every currency of the report that differs, after adopting what is somebody else's doing.

        ``quiet``: no fill can be on its way (nothing resting, sent or unknown), so that every difference is somebody
        else's doing and goes to unassigned at once. Otherwise a difference that the live orders' locks can explain is
        left to them, and the rest is adopted when it has stood unchanged for SETTLE_NS.
        """
        ledger = self._ledger
        found = []
        names = list(report.balances)
        if report.snapshot:
            names += [currency for currency in ledger.account if currency not in report.balances]
        for currency in names:
            actual = report.balances.get(currency, (0, 0))[0]
            expected = ledger.account.get(currency, 0)
            if actual == expected:
                self._suspects.pop(currency, None)
                continue
            adopted = self._adoptable(currency, actual - expected, now, quiet)
            if adopted:
                ledger.account[currency] = expected + adopted
                ledger.unassigned[currency] = ledger.unassigned.get(currency, 0) + adopted
            found.append(Discrepancy(currency, expected, actual, adopted, self.shortage(currency)))
        return found

    def _adoptable(self, currency: str, difference: int, now: Nanos, quiet: bool) -> int:
        if quiet:
            self._suspects.pop(currency, None)
            return difference
        if difference < 0:
            unexplained = min(0, difference + self._ledger.locked_units(currency))
        else:
            # what an order brings in has no upper bound that our books know: any live order may explain more coins
            unexplained = 0 if self._ledger.locks else difference
        if not unexplained:
            self._suspects.pop(currency, None)
            return 0
        seen, since = self._suspects.get(currency, (0, now))
        if seen != unexplained:
            self._suspects[currency] = (unexplained, now)
            return 0
        if now - since < SETTLE_NS:
            return 0
        del self._suspects[currency]
        return unexplained

    def shortage(self, currency: str) -> Shortage | None:
        """What is missing of a currency for the parts to be covered, if anything."""
        missing = -self._ledger.unassigned.get(currency, 0)
        return Shortage(currency, missing) if missing > self.rounding_units else None

    @property
    def may_be_short(self) -> bool:
        """False when `shortages` would surely be empty; asked at every report of balances."""
        return min(self._ledger.unassigned.values(), default=0) < 0

    def shortages(self) -> list[Shortage]:
        """Every currency of which the account has less than its parts own together."""
        found = (self.shortage(currency) for currency in self._ledger.unassigned)
        return [shortage for shortage in found if shortage is not None]
