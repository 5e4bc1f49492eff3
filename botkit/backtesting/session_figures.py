"""Aggregates a real session's fills: each strategy's buys and sells in each pair, with their prices and fees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from botkit.backtesting.audit import Execution
from botkit.model.money import format_units
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import Side


class SideFigures(msgspec.Struct, kw_only=True):
    """Totals of one strategy's buys, or of its sells, in one pair. ``value`` is in quote currency."""

    fills: int = 0
    makers: int = 0
    amount: float = 0.0
    value: float = 0.0

    @property
    def price(self) -> float | None:
        """The average price, or None without fills."""
        return self.value / self.amount if self.amount else None


class TradedPair(msgspec.Struct, kw_only=True):
    """One strategy's trading in one pair. ``fees`` maps currencies to exact amounts as text."""

    strategy: str
    pair: str
    base: str
    quote: str
    decimals: int
    bought: SideFigures = msgspec.field(default_factory=SideFigures)
    sold: SideFigures = msgspec.field(default_factory=SideFigures)
    fee_units: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def fees(self) -> dict[str, str]:
        """The exact fees as text, keyed by currency."""
        return {currency: format_units(units) for currency, units in self.fee_units.items() if units}

    @property
    def spread_earned(self) -> float | None:
        """The average sell price minus the average buy price, in quote currency and before fees, or None if there were
        no buys or no sells.
        """
        bought, sold = self.bought.price, self.sold.price
        return None if bought is None or sold is None else sold - bought


def traded(orders: Mapping[int, OrderSpec], executions: Iterable[Execution]) -> list[TradedPair]:
    """Return each strategy's trading in each pair, ordered by first fill."""
    found: dict[tuple[str, str], TradedPair] = {}
    for one in executions:
        order = orders[one.client_id]
        pair, rules = order.pair, order.pair.rules
        row = found.get((order.strategy, pair))
        if row is None:
            row = found[order.strategy, pair] = TradedPair(
                strategy=order.strategy,
                pair=str(pair),
                base=pair.base,
                quote=pair.quote,
                decimals=rules.price_decimals,
            )
        side = row.bought if order.side is Side.BUY else row.sold
        side.fills += 1
        side.makers += one.is_maker
        side.amount += rules.amount(one.lots)
        side.value += rules.amount(one.lots) * rules.price(one.price_ticks)
        row.fee_units[one.fee_currency] = row.fee_units.get(one.fee_currency, 0) + one.fee_units
    return list(found.values())
