"""Compares the exchange's balances with our books.

Balances do not change the books. A difference that our orders cannot explain (a deposit, a manual trade) is booked to
``unassigned``. If ``unassigned`` drops below zero, somebody has taken money that a strategy owns: a `Shortage`.
"""

from __future__ import annotations

from botkit.engine.money.discrepancies import Discrepancy, Shortage
from botkit.engine.money.ledger import AccountLedger
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import BalanceReport

#: how long a difference that live orders cannot explain must stay unchanged before it is treated as an outside change;
#: balances and fills arrive on different streams, in either order
SETTLE_NS = 2 * NS_PER_S


class BalanceCheck:
    """Compares balance reports with the books and remembers unsettled differences."""

    __slots__ = ("_ledger", "reported", "rounding_units", "suspects")

    def __init__(self, ledger: AccountLedger) -> None:
        self._ledger = ledger
        #: differences that may still be explained: currency -> (units, first seen)
        self.suspects: dict[str, tuple[int, Nanos]] = {}
        #: the account's balances by currency, from the latest report compared
        self.reported: dict[str, int] = {}
        #: one unit of 1e-8 per fill is tolerated: the exchange does not document how it rounds fees and values
        self.rounding_units = 0

    def compare(self, report: BalanceReport, now: Nanos, *, quiet: bool) -> list[Discrepancy]:
        """Book outside changes, and return every reported currency that differs.

        If ``quiet``, no fill can be in flight (no order is resting, sent or unknown). Every difference then has an
        outside cause and is booked to unassigned immediately. Otherwise, a difference that the locks of live orders can
        explain is left alone, and any other difference is booked once it has been unchanged for SETTLE_NS.
        """
        ledger = self._ledger
        found = []
        names = list(report.balances)
        if report.snapshot:
            names += [currency for currency in ledger.account if currency not in report.balances]
        for currency in names:
            actual = self.reported[currency] = report.balances.get(currency, (0, 0))[0]
            expected = ledger.account.get(currency, 0)
            if actual == expected:
                self.suspects.pop(currency, None)
                continue
            adopted = self._adoptable(currency, actual - expected, now, quiet)
            if adopted:
                ledger.account[currency] = expected + adopted
                ledger.unassigned[currency] = ledger.unassigned.get(currency, 0) + adopted
            found.append(Discrepancy(currency, expected, actual, adopted, self.shortage(currency)))
        return found

    def _adoptable(self, currency: str, difference: int, now: Nanos, quiet: bool) -> int:
        if quiet:
            self.suspects.pop(currency, None)
            return difference
        if difference < 0:
            unexplained = min(0, difference + self._ledger.locked_units(currency))
        else:
            # our books set no upper bound on an order's proceeds, so any live order may explain extra coins
            unexplained = 0 if self._ledger.locks else difference
        if not unexplained:
            self.suspects.pop(currency, None)
            return 0
        seen, since = self.suspects.get(currency, (0, now))
        if seen != unexplained:
            self.suspects[currency] = (unexplained, now)
            return 0
        if now - since < SETTLE_NS:
            return 0
        del self.suspects[currency]
        return unexplained

    def shortage(self, currency: str) -> Shortage | None:
        """Return a currency's shortage, or None if the account covers all parts."""
        missing = -self._ledger.unassigned.get(currency, 0)
        return Shortage(currency, missing) if missing > self.rounding_units else None

    def shortages(self) -> list[Shortage]:
        """Return a shortage for every currency in which the account has less than its parts own in total."""
        found = (self.shortage(currency) for currency in self._ledger.unassigned)
        return [shortage for shortage in found if shortage is not None]
