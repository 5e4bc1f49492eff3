"""Fees paid in a coin that had no price at the time.

An account may pay its fees in the exchange's own coin, whose pairs the bot need not trade. The bot follows such pairs
once a fee needs them. Until the coin's first price, the fees are left out of equity and loss limits, because a bot that
could not value a small fee must not lose sight of everything else. The first price makes all of them a loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botkit.engine.money.fee_coin import FeeCoin
from botkit.engine.money.stakes import Stakes
from botkit.engine.money.valuation import Valuation
from botkit.model.money import UNIT
from botkit.model.pairs import Pair


class LateFees:
    """Keeps the fees that wait for a price, and gives the coin its pairs when it needs them."""

    __slots__ = ("_coin", "_currency", "_is_valued", "_stakes", "_valuation", "_waiting")

    def __init__(self, coin: FeeCoin | None, valuation: Valuation, stakes: Stakes, currency: str) -> None:
        self._coin = coin
        self._valuation = valuation
        self._stakes = stakes
        self._currency = currency
        #: True once the coin has had a price. From then on, equity includes the fees, as it does every other coin
        self._is_valued = False
        #: fees in units, by (strategy, pair, currency)
        self._waiting: dict[tuple[str, str, str], int] = {}
        if coin is not None:
            valuation.late_coin = coin.currency

    @property
    def coin(self) -> str:
        """The coin in which fees may be paid; "" if there is none, or if the bot trades it."""
        return "" if self._coin is None else self._coin.currency

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs that only fees need, whether or not they are followed yet."""
        return () if self._coin is None else self._coin.pairs

    @property
    def is_followed(self) -> bool:
        """True if the pairs have, or will have, prices."""
        return any(pair in self._valuation.prices for pair in self.pairs)

    def unpriced(self) -> list[Pair]:
        """Return the followed pairs without a price."""
        prices = self._valuation.prices
        return [pair for pair in self.pairs if pair in prices and prices[pair].price is None]

    def follow(self) -> None:
        """Let the pairs have prices from now on."""
        for pair in self.pairs:
            self._valuation.add(pair)

    def paid(self, strategy: str, pair: Pair, currency: str, units: int) -> None:
        """Keep a fee that cannot be valued now."""
        key = (strategy, str(pair), currency)
        self._waiting[key] = self._waiting.get(key, 0) + units
        if currency == self.coin and not self.is_followed:
            self.follow()

    def first_price(self) -> None:
        """Add the fees to the positions' results, if they have a price now."""
        for (name, pair, currency), units in list(self._waiting.items()):
            stake = self._stakes.find(name)
            position = None if stake is None else stake.positions.get(pair)
            worth = self._valuation.convert(units, currency, pair.partition("_")[2])
            if position is not None and worth is not None:
                del self._waiting[name, pair, currency]
                position.apply(0, -worth)
        late = self._valuation.late_coin
        if late is not None and self._valuation.convert(UNIT, late, self._currency) is not None:
            self._is_valued = True
            self._valuation.late_coin = None

    def unvalued(self, holdings: Mapping[str, int]) -> dict[str, int]:
        """Return the fees, in units per currency, that are in no figure now. ``holdings`` are those of all
        strategies: what they owe is what they have paid with others' coins.
        """
        found = {
            currency: -units
            for currency, units in holdings.items()
            if units < 0 and self._valuation.leaves_out(currency, self._currency)
        }
        waiting: dict[str, int] = {}
        for (_, _, currency), units in self._waiting.items():
            if self._valuation.leaves_out(currency, self._currency):
                waiting[currency] = waiting.get(currency, 0) + units
        return found | {c: max(units, found.get(c, 0)) for c, units in waiting.items()}

    def may_be_valued(self, currency: str) -> bool:
        """Return True if a currency will have a value once its pairs have prices."""
        return currency == self._currency or self._valuation.find_path(currency, self._currency) is not None

    # -- restarts -------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what must survive a restart, as plain data; nothing if the coin never mattered."""
        waiting = [[*key, units] for key, units in self._waiting.items()]
        return ({"late_fees": waiting} if waiting else {}) | ({"values_fees": True} if self._is_valued else {})

    def restore(self, state: Mapping[str, Any], *, has_coins: bool) -> bool:
        """Restore the result of `state`. ``has_coins`` is True if a part of the account has the coin, or owes it.
        Returns True if these coins are from before fees were valued: their first price is neither a profit nor a loss.
        """
        for name, pair, currency, units in state.get("late_fees", ()):
            self._waiting[name, pair, currency] = units
        # without coins, nothing that was measured depends on their price
        self._is_valued = has_coins and state.get("values_fees", False)
        if self._is_valued:
            self._valuation.late_coin = None
        if has_coins or any(currency == self.coin for _, _, currency in self._waiting):
            self.follow()
        return has_coins and not self._is_valued and not self._waiting
