"""The part of an account that a strategy may spend."""

from __future__ import annotations

import msgspec

from botkit.model.pairs import Pair


class CapitalShare(msgspec.Struct, frozen=True):
    """The money that a strategy may spend: units per currency, a percentage of its quote currencies, or None.

    With None, the strategy and the other strategies without capital share the quote currency of its first pair, less
    the reserve and the sub-accounts. A percentage applies to the unreserved balance. ``pairs`` are in the order of the
    strategy's parameters: opening coins are assigned to the first pair with that base.
    """

    strategy: str
    pairs: tuple[Pair, ...] = ()
    capital: dict[str, int] | int | None = None

    def spec(self) -> dict[str, str] | str | None:
        """Return the capital as plain data, to detect later changes to the configuration."""
        if isinstance(self.capital, dict):
            return {currency: str(units) for currency, units in self.capital.items()}
        return None if self.capital is None else f"{self.capital}%"

    def quotes(self, default: str) -> tuple[str, ...]:
        """Return the currencies in which the strategy has a share: for a strategy in the pool, the quote currency of
        its first pair; for a percentage, the quote currencies of all its pairs.

        A strategy that names no pair trades in ``default``.
        """
        found = tuple(dict.fromkeys(pair.quote for pair in self.pairs)) or (default,)
        return found[:1] if self.capital is None else found
