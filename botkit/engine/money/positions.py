"""A strategy's position in one pair: holdings, cost and profit, as exact integers at average cost.

A position is two signed numbers: ``amount_units`` of the base currency, and their cost, ``cost_units`` of the quote
currency. A fill in the direction of the position adds to both numbers. A fill in the opposite direction removes the
same fraction of each, and the proceeds minus the removed cost become realised profit. Realised profit plus (value -
cost) is therefore the exact cash flow, regardless of how the fractions were rounded.

An amount may be negative: a strategy that buys coins through ``btc_twd`` and sells them through ``btc_usdt`` is long in
one pair and short in the other.
"""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from botkit.engine.money.subaccounts import Fund
from botkit.engine.money.valuation import LastPrice
from botkit.model.money import UNIT, UNIT_DECIMALS, from_units
from botkit.model.pairs import Pair


class Position:
    """A strategy's net amount in a pair since the strategy first started, after fees charged in base currency.

    The object is always current: for a later comparison, keep its numbers, not the object. Figures are floats in base
    currency (``amount``, ``sellable``) or quote currency; ``.exact`` provides attributes with the same names as
    Decimals.
    """

    __slots__ = (
        "_fund", "_price", "amount_units", "cost_units", "given_units", "locked_units", "pair", "realised_units",
        "unpriced",
    )  # fmt: skip

    def __init__(self, pair: Pair, fund: Fund, price: LastPrice) -> None:
        self.pair = pair
        self._fund = fund
        self._price = price
        self.amount_units = 0
        self.cost_units = 0
        self.realised_units = 0
        #: base units locked by the strategy's own sell orders in this pair
        self.locked_units = 0
        #: base units of opening capital that get their cost from the pair's first price; part of ``amount_units``
        self.unpriced = 0
        #: base units given to the strategy as capital, less those taken out; negative if bought coins were also taken
        #: out
        self.given_units = 0

    # -- reads by the strategy -------------------------------------------------------------------------------------

    @property
    def amount(self) -> float:
        """The strategy's holdings in base currency, including coins locked in its orders."""
        return self.amount_units / UNIT

    @property
    def given(self) -> float:
        """The amount of base currency handed over by `capital:` and `botkit capital add`, less `botkit capital take`;
        never below 0. Trades do not change it, and restarts keep it.
        """
        return max(0, self.given_units) / UNIT

    @property
    def lots(self) -> int:
        """Full lots held, including locked ones; negative for a short position."""
        units_per_lot = int(10 ** (UNIT_DECIMALS - self.pair.rules.amount_decimals))
        return self.amount_units // units_per_lot if self.amount_units >= 0 else -(-self.amount_units // units_per_lot)

    @property
    def sellable_lots(self) -> int:
        """Lots that can be sold now (not locked, and covered by the balance); 0 if below the minimum order size."""
        units = min(self.amount_units - self.locked_units, self._fund.available)
        if units <= 0:
            return 0
        rules = self.pair.rules
        lots = min(rules.lots_of_units(units), rules.most_lots)
        return lots if lots >= rules.least_lots else 0

    @property
    def sellable(self) -> float:
        """The amount that can be sold now, in base currency; 0.0 if below the minimum order size."""
        return self.pair.rules.amount(self.sellable_lots)

    @property
    def is_flat(self) -> bool:
        """True if the total amount, including locked coins, is below the minimum order size, so only dust is left."""
        rules = self.pair.rules
        return rules.lots_of_units(abs(self.amount_units)) < rules.least_lots

    @property
    def average_entry(self) -> float:
        """The average price paid, including fees; 0.0 if the amount is zero or the opening coins have no first price
        yet.
        """
        if not self.amount_units or self.unpriced:
            return 0.0
        return self.cost_units / self.amount_units

    @property
    def unrealised_units(self) -> int:
        """The value at the last price minus the cost, in quote units; 0 before the first price."""
        ticks = self._price.ticks
        if ticks is None or not self.amount_units:
            return 0
        return self.amount_units * ticks // self._price.scale - self.cost_units

    @property
    def unrealised(self) -> float:
        """Profit from selling the full amount at the last price, before fees, in quote currency."""
        return self.unrealised_units / UNIT

    @property
    def realised(self) -> float:
        """Profit on the part already sold, after fees, in quote currency."""
        return self.realised_units / UNIT

    @property
    def exact(self) -> Any:
        """The amount, given, sellable, average_entry, unrealised and realised as Decimals."""
        known = self.amount_units and not self.unpriced
        return SimpleNamespace(
            amount=from_units(self.amount_units),
            given=from_units(max(0, self.given_units)),
            sellable=self.pair.rules.exact_amount(self.sellable_lots),
            average_entry=Decimal(self.cost_units) / Decimal(self.amount_units) if known else Decimal(0),
            unrealised=from_units(self.unrealised_units),
            realised=from_units(self.realised_units),
        )

    def __repr__(self) -> str:
        return f"<Position {self.amount} {self.pair} at {self.average_entry}>"

    # -- writes by the portfolio ---------------------------------------------------------------------------------

    def open_with(self, units: int) -> None:
        """Assign existing coins. The pair's first price determines their cost."""
        self.given_units += units
        self.amount_units += units
        self.unpriced += units

    def room_for(self, units: int) -> int:
        """Return how many of the given coins (or taken coins, if negative) are booked in this position.

        Coins taken in excess of all positions were never bought by a strategy, so they do not make a position short.
        """
        return units if units >= 0 else max(units, min(0, self.locked_units - self.amount_units))

    def move_coins(self, units: int, cost_e8: int | None = None) -> None:
        """Give coins at the last price, or take them if negative, without profit or loss.

        ``cost_e8`` is the cost of one given coin, in quote units. If there is no price (the bot is stopped), coins
        given without a cost wait for the first price, like opening coins, and taken coins are removed at cost.
        """
        ticks = self._price.ticks
        if ticks is None and cost_e8 is None and units >= 0:
            self.open_with(units)
            return
        self.given_units += units
        if cost_e8 is not None and units >= 0:
            self.apply(units, -(units * cost_e8 // UNIT))
        elif ticks is not None:
            self.apply(units, -(units * ticks // self._price.scale))
        else:
            waiting = min(-units, self.unpriced)
            self.unpriced -= waiting
            priced = self.amount_units - self.unpriced - waiting
            self.amount_units += units
            if priced:
                self.cost_units -= self.cost_units * (-units - waiting) // priced

    def price_opening(self, ticks: int) -> None:
        """Set the cost of the opening coins from the pair's first price."""
        self.cost_units += self.unpriced * ticks // self._price.scale
        self.unpriced = 0

    def apply(self, base_units: int, quote_units: int) -> None:
        """Apply a fill of ``base_units`` and ``quote_units``, fees included: (+, -) for a buy, (-, +) for a sell."""
        held = self.amount_units
        if not base_units:  # the fee consumed the fill's entire amount
            self.realised_units += quote_units
        elif held == 0 or (held > 0) == (base_units > 0):
            self.amount_units = held + base_units
            self.cost_units -= quote_units
        elif abs(base_units) <= abs(held):
            cost = self.cost_units * base_units // -held
            self.amount_units = held + base_units
            self.cost_units -= cost
            self.realised_units += quote_units - cost
            assert self.amount_units or not self.cost_units, self
        else:  # the fill crosses zero: close the position, then open a new one with the remainder
            closing = quote_units * held // -base_units
            self.realised_units += closing - self.cost_units
            self.amount_units = held + base_units
            self.cost_units = closing - quote_units

    def state(self) -> list[int]:
        """Return the figures as plain integers, for the journal."""
        return [
            self.amount_units,
            self.cost_units,
            self.realised_units,
            self.locked_units,
            self.unpriced,
            self.given_units,
        ]

    def restore(self, figures: list[int]) -> None:
        """Restore the result of `state`."""
        self.amount_units, self.cost_units, self.realised_units, self.locked_units, self.unpriced = figures[:5]
        self.given_units = figures[5]
