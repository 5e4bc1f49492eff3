"""Divides an account into sub-accounts with their own capital, a pool for the other strategies, and unassigned funds.

No strategy owns coins in the account until they are handed over by name: ``capital: {btc: "0.05"}``. The pool and
percentages apply to quote currencies only. ``unassigned`` holds the rest: coins that were not handed over, the reserve,
deposits, and the proceeds of manual trades. For each currency, the parts and unassigned add up to the account.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction

from botkit.engine.money.capital_share import CapitalShare
from botkit.model.money import format_units

#: the name of the part shared by all strategies without capital; no strategy may have this name
POOL = "(pool)"


class Fund:
    """The funds of one part in one currency, in units of 1e-8. ``available`` and ``locked`` are never negative.

    ``claims`` is the debt of other parts to this one or, if negative, the debt of this part to others. For example, a
    fee in the exchange's own coin is paid by any part that has the coin, but charged to the order's strategy. All
    claims in a currency sum to zero.
    """

    __slots__ = ("available", "claims", "locked", "orders")

    def __init__(self, available: int = 0, locked: int = 0, orders: int = 0, claims: int = 0) -> None:
        self.available = available
        self.locked = locked
        #: number of orders that lock part of the fund
        self.orders = orders
        self.claims = claims


class SubAccount:
    """The exact ledger of one part of the account."""

    __slots__ = ("funds", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        #: funds by currency, created empty if needed
        self.funds: defaultdict[str, Fund] = defaultdict(Fund)

    def holdings(self) -> dict[str, int]:
        """Return all funds, including claims, in units per currency."""
        return {currency: f.available + f.locked + f.claims for currency, f in self.funds.items()}

    def __repr__(self) -> str:
        figures = ", ".join(f"{format_units(f.available + f.locked)} {c}" for c, f in self.funds.items())
        return f"<SubAccount {self.name}: {figures}>"


def opening_split(
    balances: Mapping[str, int],
    shares: Sequence[CapitalShare],
    reserve: Mapping[str, int],
    known: Sequence[str],
    currency: str,
) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Divide an account. Returns each part's units per currency, by part name, and the units that stay unassigned.

    ``known`` are the currencies that the bot's pairs can trade. ``currency`` is the quote currency of strategies that
    name no pair. Raises ValueError, including the amounts, if the shares exceed the account's money.
    """
    parts: dict[str, dict[str, int]] = {}
    free = {currency: max(0, units - reserve.get(currency, 0)) for currency, units in balances.items()}
    unreserved = dict(free)
    percent = sum(share.capital for share in shares if isinstance(share.capital, int))
    if percent > 100:
        raise ValueError(f"the strategies' capital adds up to {percent}%, which is more than the account")
    for share in shares:
        if share.capital is None:
            continue
        if isinstance(share.capital, dict):
            wanted = dict(share.capital)
        else:
            quotes = [c for c in share.quotes(currency) if c in unreserved]
            wanted = {c: int(unreserved[c] * Fraction(share.capital, 100)) for c in quotes}
        for name, units in wanted.items():
            if name not in known:
                raise ValueError(
                    f"capital of {share.strategy!r} is in {name}, which is neither base nor quote of a pair of "
                    f"this bot ({', '.join(known)})"
                )
            if units > free.get(name, 0):
                raise ValueError(_too_little(share.strategy, name, units, balances, reserve, free))
            free[name] -= units
        parts[share.strategy] = wanted
    if any(share.capital is None for share in shares):
        pooled = pool_currencies(shares, currency)
        parts[POOL] = {name: units for name, units in free.items() if name in pooled}
    unassigned = {c: units - sum(part.get(c, 0) for part in parts.values()) for c, units in balances.items()}
    return parts, unassigned


def pool_currencies(shares: Sequence[CapitalShare], currency: str) -> tuple[str, ...]:
    """Return the currencies shared by the strategies without capital. A strategy that names no pair uses
    ``currency``.
    """
    return tuple(dict.fromkeys(c for share in shares if share.capital is None for c in share.quotes(currency)))


def _too_little(
    strategy: str,
    currency: str,
    units: int,
    balances: Mapping[str, int],
    reserve: Mapping[str, int],
    free: Mapping[str, int],
) -> str:
    has, kept, left = balances.get(currency, 0), reserve.get(currency, 0), free.get(currency, 0)
    given = max(0, has - kept) - left
    return (
        f"capital of {strategy!r} is {format_units(units)} {currency}, but only {format_units(left)} is left of the "
        f"account's {format_units(has)} {currency} ({format_units(kept)} reserved, {format_units(given)} given to "
        f"other strategies). Lower it, or deposit money into the account."
    )
