"""The books of one account: the available and locked funds of each part, and each order's lock. The amounts are exact,
and each change takes O(1) time.

Every unit is in one part or in ``unassigned``. Their sum is ``account``, the balance that the exchange should report.
`check` asserts this for the entire ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botkit.engine.money.subaccounts import SubAccount
from botkit.model.money import format_units


class AccountLedger:
    """Parts by name, unassigned funds, and locks by client id. Amounts are units of 1e-8."""

    __slots__ = ("account", "locks", "parts", "unassigned")

    def __init__(self) -> None:
        self.parts: dict[str, SubAccount] = {}
        self.unassigned: dict[str, int] = {}
        self.account: dict[str, int] = {}
        self.locks: dict[int, int] = {}

    def part(self, name: str) -> SubAccount:
        """Return the part with that name, creating it if needed."""
        found = self.parts.get(name)
        if found is None:
            found = self.parts[name] = SubAccount(name)
        return found

    # -- locks ----------------------------------------------------------------------------------------------------

    def lock(self, part: SubAccount, client_id: int, currency: str, units: int) -> str | None:
        """Move units from available to locked. If there are too few, return the reason, including the amounts."""
        fund = part.funds[currency]
        assert units > 0, (client_id, units)
        assert client_id not in self.locks, client_id
        if units > fund.available:
            return self.shortfall(part, currency, units)
        fund.available -= units
        fund.locked += units
        fund.orders += 1
        self.locks[client_id] = units
        return None

    def lock_more(self, part: SubAccount, client_id: int, currency: str, units: int) -> int:
        """Add up to ``units`` to a lock, creating the lock if needed. Returns the number of units that were
        available.
        """
        fund = part.funds[currency]
        units = min(units, fund.available)
        if units <= 0:
            return 0
        held = self.locks.get(client_id, 0)
        fund.available -= units
        fund.locked += units
        fund.orders += not held
        self.locks[client_id] = held + units
        return units

    def unlock(self, part: SubAccount, client_id: int, currency: str) -> int:
        """Release the rest of an order's lock and return the released units; 0 if already released."""
        units = self.locks.pop(client_id, 0)
        if units:
            fund = part.funds[currency]
            fund.available += units
            fund.locked -= units
            fund.orders -= 1
            assert fund.locked >= 0, (client_id, currency, fund.locked)
            assert fund.orders >= 0, (client_id, currency, fund.orders)
        return units

    def shortfall(self, part: SubAccount, currency: str, need: int) -> str:
        """Return the reason why this many units cannot be locked."""
        fund = part.funds[currency]
        held = ""
        if fund.locked:
            orders = f"{fund.orders} order{'s' if fund.orders != 1 else ''}"
            held = f" ({format_units(fund.locked)} locked in {orders})"
        text = f"needs {format_units(need)} {currency}, {format_units(fund.available)} available{held}"
        unowned = self.unassigned.get(currency, 0)
        if unowned >= need - fund.available:
            text += f"; {format_units(unowned)} {currency} of the account belongs to no strategy"
        return text

    # -- capital --------------------------------------------------------------------------------------------------

    def assign(self, part: SubAccount, currency: str, units: int) -> None:
        """Move unassigned units to a part, or back if negative. The caller must have checked that they are
        available.
        """
        fund = part.funds[currency]
        assert -fund.available <= units <= max(0, self.unassigned.get(currency, 0)), (part, currency, units)
        self.unassigned[currency] = self.unassigned.get(currency, 0) - units
        fund.available += units
        if units > 0 and fund.claims < 0:
            self._repay(part, currency)

    # -- fills ----------------------------------------------------------------------------------------------------

    def swap(
        self, part: SubAccount, client_id: int, currency: str, units: int, needed: int, got: str, got_units: int
    ) -> int:
        """Book a fill's cost, ``units`` of one currency, and its proceeds, ``got_units`` of another. Returns the amount
        by which the order's lock shrank.

        The cost is taken from that lock first. ``needed`` is the amount that the rest of the order must keep locked.
        Any excess in the lock becomes available.
        """
        self.account[currency] = self.account.get(currency, 0) - units
        fund = part.funds[currency]
        held = self.locks.get(client_id, 0)
        # An exact lock always covers the fill: ceil(P(r + l)) - ceil(P r) >= floor(p l) for p <= P. A lock that is too
        # small (see lock_more) pays for the fill first and keeps the remainder.
        keep = min(needed, max(0, held - units))
        freed = held - keep
        fund.locked -= freed
        fund.available += freed
        assert fund.locked >= 0, (client_id, currency, fund.locked)
        if keep:
            self.locks[client_id] = keep
        elif held:
            del self.locks[client_id]
            fund.orders -= 1
        if units <= fund.available:
            fund.available -= units
        else:
            self._borrow(part, currency, units)
        self.account[got] = self.account.get(got, 0) + got_units
        gain = part.funds[got]
        gain.available += got_units
        if gain.claims < 0:
            self._repay(part, got)
        return freed

    def charge(self, part: SubAccount, currency: str, units: int) -> None:
        """Book units, such as a fee, that the account paid on behalf of ``part``."""
        self.account[currency] = self.account.get(currency, 0) - units
        fund = part.funds[currency]
        if units <= fund.available:
            fund.available -= units
        else:
            self._borrow(part, currency, units)

    def _borrow(self, part: SubAccount, currency: str, units: int) -> None:
        """Take as many units from ``part`` as are available. Take the rest from other parts, which gain a claim on
        ``part``.
        """
        fund = part.funds[currency]
        units -= fund.available
        fund.available = 0
        # no strategy owns unassigned money, so it is used first
        taken = min(max(0, self.unassigned.get(currency, 0)), units)
        if taken:
            self.unassigned[currency] -= taken
            units -= taken
            fund.claims -= taken
        for other in self.parts.values():
            if not units:
                return
            if other is part or currency not in other.funds:
                continue
            lender = other.funds[currency]
            taken = min(lender.available, units)
            lender.available -= taken
            lender.claims += taken
            fund.claims -= taken
            units -= taken
        # according to our books, the exchange took money that no part has: the next balance report will show a shortage
        if units:
            self.unassigned[currency] = self.unassigned.get(currency, 0) - units
            fund.claims -= units

    def _repay(self, part: SubAccount, currency: str) -> None:
        """Pay the debts of ``part`` from its available funds: first to other parts, and last to unassigned."""
        fund = part.funds[currency]
        for other in self.parts.values():
            if other is not part and currency in other.funds and other.funds[currency].claims > 0:
                lender = other.funds[currency]
                paid = min(-fund.claims, lender.claims, fund.available)
                fund.available -= paid
                fund.claims += paid
                lender.available += paid
                lender.claims -= paid
        # all claims, including those of unassigned, sum to zero, so a debt that no other part claims is owed to
        # unassigned
        owed = -sum(other.funds[currency].claims for other in self.parts.values() if currency in other.funds)
        paid = max(0, min(-fund.claims, owed, fund.available))
        fund.available -= paid
        fund.claims += paid
        self.unassigned[currency] = self.unassigned.get(currency, 0) + paid

    # -- the whole ------------------------------------------------------------------------------------------------

    def sums(self) -> dict[str, int]:
        """Return the sum of the parts and unassigned for each currency."""
        sums = dict(self.unassigned)
        for part in self.parts.values():
            for currency, fund in part.funds.items():
                sums[currency] = sums.get(currency, 0) + fund.available + fund.locked
        return sums

    def holdings(self) -> dict[str, int]:
        """Return the total funds of all parts, including claims on each other and on unassigned."""
        total: dict[str, int] = {}
        for part in self.parts.values():
            for currency, fund in part.funds.items():
                total[currency] = total.get(currency, 0) + fund.available + fund.locked + fund.claims
        return total

    def has(self, currency: str) -> bool:
        """Return True if a part has a currency, or owes it."""
        return any(part.holdings().get(currency) for part in self.parts.values())

    def locked_units(self, currency: str) -> int:
        """Return the total number of units of a currency that orders have locked."""
        return sum(part.funds[currency].locked for part in self.parts.values() if currency in part.funds)

    def check(self) -> None:
        """Assert I5: parts + unassigned = account, no amount is negative, and the locks add up."""
        sums = self.sums()
        for currency in {**self.account, **sums}:
            assert sums.get(currency, 0) == self.account.get(currency, 0), (currency, sums, self.account)
        locked = orders = 0
        for part in self.parts.values():
            for currency, fund in part.funds.items():
                assert fund.available >= 0, (part, currency, fund.available)
                assert fund.locked >= 0, (part, currency, fund.locked)
                locked, orders = locked + fund.locked, orders + fund.orders
        assert locked == sum(self.locks.values()), (locked, self.locks)
        assert orders == len(self.locks), (orders, self.locks)

    def state(self) -> dict[str, Any]:
        """Return the books as plain data."""
        return {
            "parts": {
                name: {c: [f.available, f.locked, f.orders, f.claims] for c, f in part.funds.items()}
                for name, part in self.parts.items()
            },
            "unassigned": dict(self.unassigned),
            "locks": {str(client_id): units for client_id, units in self.locks.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the result of `state`. A part whose strategy is no longer configured keeps its money."""
        for name, funds in state["parts"].items():
            part = self.part(name)
            for currency, (available, locked, orders, claims) in funds.items():
                fund = part.funds[currency]
                fund.available, fund.locked, fund.orders, fund.claims = available, locked, orders, claims
        self.unassigned = dict(state["unassigned"])
        self.locks = {int(client_id): units for client_id, units in state["locks"].items()}
        self.account = self.sums()
