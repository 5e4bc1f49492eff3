"""Trading pairs and the exchange's rules for their prices, amounts and orders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

from botkit.model.money import UNIT_DECIMALS, Number, divide_up, format_scaled, parse_decimal, steps_of

__all__ = [
    "Pair",
    "PairRules",
    "pairs_from_wire",
]

#: more decimals than any currency has
_DECIMALS_MAX = 18
#: powers of ten by exponent; a lookup takes a third of the time of a calculation, and every order needs a dozen powers
_TEN: Final[dict[int, int]] = {exponent: 10**exponent for exponent in range(2 * _DECIMALS_MAX + 1)}


class PairRules(msgspec.Struct, frozen=True, kw_only=True):
    """The exchange's rules for one pair's orders, from ``GET /provisioning/trading-pairs``.

    Prices are integer *ticks* of 10^-price_decimals, amounts are integer *lots* of 10^-amount_decimals, and money is in
    integer *units* of 1e-8.

    Order amounts are multiples of ``amount_step`` lots. The step is 1 (basePrecision) unless the configuration selects
    the coarser amountPrecision. The documentation does not state which of the two applies to orders (Q11).
    """

    price_decimals: int  # quotePrecision
    amount_decimals: int  # basePrecision
    display_decimals: int  # amountPrecision: the streams round book amounts to this many decimals
    least_lots: int  # minLimitBaseAmount
    most_lots: int  # maxLimitBaseAmount
    least_spend_units: int  # minMarketBuyQuoteAmount
    open_orders_max: int  # orderOpenLimit, per account and pair
    maintenance: bool = False  # maintain: trading is suspended
    amount_step: int = 1
    book_scale_max: int = 0  # orderBookQuoteScaleLevel

    @classmethod
    def from_wire(cls, row: Mapping[str, Any], *, amount_step: Literal["base", "amount"] = "base") -> PairRules:
        """Parse one row of trading-pairs, in which numbers are strings. Raises ValueError or KeyError for an invalid
        row.
        """
        amount_decimals = int(row["basePrecision"])
        display_decimals = int(row["amountPrecision"])
        for decimals in (amount_decimals, display_decimals, int(row["quotePrecision"])):
            # these values become exponents of ten: a precision of a million digits would exhaust memory
            if not 0 <= decimals <= _DECIMALS_MAX:
                raise ValueError(f"a precision of {str(decimals)[:20]} decimals is not between 0 and {_DECIMALS_MAX}")
        step = 10 ** max(0, amount_decimals - display_decimals) if amount_step == "amount" else 1

        def lots(key: str) -> int:
            return int(parse_decimal(str(row[key]), key).scaleb(amount_decimals))

        return cls(
            price_decimals=int(row["quotePrecision"]),
            amount_decimals=amount_decimals,
            display_decimals=display_decimals,
            least_lots=divide_up(lots("minLimitBaseAmount"), step) * step,
            most_lots=lots("maxLimitBaseAmount"),
            least_spend_units=int(parse_decimal(str(row["minMarketBuyQuoteAmount"])).scaleb(UNIT_DECIMALS)),
            open_orders_max=int(row["orderOpenLimit"]),
            maintenance=bool(row["maintain"]),
            amount_step=step,
            book_scale_max=int(row.get("orderBookQuoteScaleLevel", 0)),
        )

    def in_display_steps(self) -> PairRules:
        """Return the same rules with amounts in steps of amountPrecision, the coarser interpretation of Q11."""
        step = int(10 ** max(0, self.amount_decimals - self.display_decimals))
        return msgspec.structs.replace(self, amount_step=step, least_lots=divide_up(self.least_lots, step) * step)

    # -- for strategies ------------------------------------------------------------------------------------

    @property
    def tick_size(self) -> Decimal:
        """The tick size, in quote currency."""
        return Decimal(1).scaleb(-self.price_decimals)

    @property
    def least_amount(self) -> Decimal:
        """The minimum amount of a limit order, in base currency."""
        return Decimal(self.least_lots).scaleb(-self.amount_decimals)

    @property
    def most_amount(self) -> Decimal:
        """The maximum amount of a limit order, in base currency."""
        return Decimal(self.most_lots).scaleb(-self.amount_decimals)

    @property
    def least_spend(self) -> Decimal:
        """The minimum spend of a market buy, in quote currency."""
        return Decimal(self.least_spend_units).scaleb(-UNIT_DECIMALS)

    # -- numbers into steps ---------------------------------------------------------------------------------------

    def ticks(self, price: Number, *, up: bool) -> int:
        """Return a price in ticks, rounded up or down. Order prices are rounded in the user's favor: down for a buy, up
        for a sell.
        """
        return steps_of(price, self.price_decimals, up=up, what="price")

    def lots(self, amount: Number) -> int:
        """Return an amount in lots, rounded down to a multiple of the exchange's step."""
        lots = steps_of(amount, self.amount_decimals, up=False, what="amount")
        return lots - lots % self.amount_step

    def spend_units(self, spend: Number) -> int:
        """Return a quote amount in units, rounded down to quotePrecision as required for market buys."""
        steps = steps_of(spend, self.price_decimals, up=False, what="spend")
        return steps * _TEN[UNIT_DECIMALS - self.price_decimals]

    # -- steps into numbers ---------------------------------------------------------------------------------------

    def price(self, ticks: int) -> float:
        """Return the float nearest to the price of ``ticks``. A single correctly rounded division yields the same float
        on every machine.
        """
        return ticks / _TEN[self.price_decimals]

    def amount(self, lots: int) -> float:
        """Return the float nearest to the amount of ``lots``."""
        return lots / _TEN[self.amount_decimals]

    def exact_price(self, ticks: int) -> Decimal:
        """Return the price as a Decimal."""
        return Decimal(ticks).scaleb(-self.price_decimals)

    def exact_amount(self, lots: int) -> Decimal:
        """Return the amount as a Decimal."""
        return Decimal(lots).scaleb(-self.amount_decimals)

    def price_text(self, ticks: int) -> str:
        """Return the price as written on the wire, without trailing zeros."""
        return format_scaled(ticks, self.price_decimals)

    def amount_text(self, lots: int) -> str:
        """Return the amount as written on the wire, without trailing zeros."""
        return format_scaled(lots, self.amount_decimals)

    def base_units(self, lots: int) -> int:
        """Convert lots of the base currency to units of 1e-8."""
        return lots * _TEN[UNIT_DECIMALS - self.amount_decimals]

    def lots_of_units(self, units: int) -> int:
        """Convert units of the base currency to lots, rounded down to a multiple of the amount step."""
        lots = units // _TEN[UNIT_DECIMALS - self.amount_decimals]
        return lots - lots % self.amount_step

    def value_units(self, ticks: int, lots: int) -> int:
        """Return the value of ``lots`` at ``ticks`` in quote units. It is rounded down only once, and is identical for
        buyer and seller.
        """
        shift = UNIT_DECIMALS - self.price_decimals - self.amount_decimals
        product = ticks * lots
        return product * _TEN[shift] if shift >= 0 else product // _TEN[-shift]

    def value_units_up(self, ticks: int, lots: int) -> int:
        """Return the quote units to lock for a limit buy. They are rounded up, so the locked funds always cover the
        order's fills.
        """
        shift = UNIT_DECIMALS - self.price_decimals - self.amount_decimals
        product = ticks * lots
        return product * _TEN[shift] if shift >= 0 else -(-product // _TEN[-shift])

    def lots_for_value(self, ticks: int, value_units: int) -> int:
        """Return the maximum number of lots that ``value_units`` of quote can buy at ``ticks``."""
        shift = UNIT_DECIMALS - self.price_decimals - self.amount_decimals
        # v >= floor(t*l*10^s)  <=>  l <= ((v+1)*10^-s - 1) / t  for s < 0, and l <= v / (t*10^s) otherwise
        lots = value_units // (ticks * _TEN[shift]) if shift >= 0 else ((value_units + 1) * _TEN[-shift] - 1) // ticks
        return lots - lots % self.amount_step


class Pair(str):
    """A trading pair such as ``btc_twd``: a string with the pair's currencies and rules attached.

    A pair compares equal to its name and has the same hash, so ``self.book("btc_twd")`` and ``self.book(self.pair)``
    are equivalent.

    A running bot has pairs of its own, and updates their rules when the exchange changes minima, maxima or maintenance.
    """

    __slots__ = ("base", "lot_units", "quote", "rules", "value_over", "value_times")

    base: str
    quote: str
    rules: PairRules
    # factors for the conversions that every order needs, stored here to avoid a call:
    #: lots * lot_units are units of the base currency (`PairRules.base_units`)
    lot_units: int
    #: ticks * lots * value_times // value_over are units of the quote currency (`PairRules.value_units`)
    value_times: int
    value_over: int

    def __new__(cls, name: str, rules: PairRules | None = None) -> Pair:
        if rules is None:
            raise TypeError(
                f"a pair's rules come from the exchange: write the name alone, {name!r}, or declare a parameter, "
                "`pair: Pair`"
            )
        reason = _too_fine(rules.price_decimals, rules.amount_decimals)
        if reason is not None:
            raise ValueError(f"{name} cannot be traded: {reason}")
        pair = super().__new__(cls, name)
        pair.base, _, pair.quote = name.partition("_")
        assert pair.base, name
        assert pair.quote, name
        pair.rules = rules
        pair.lot_units = rules.base_units(1)
        shift = UNIT_DECIMALS - rules.price_decimals - rules.amount_decimals
        pair.value_times, pair.value_over = _TEN[max(shift, 0)], _TEN[max(-shift, 0)]
        return pair

    def __repr__(self) -> str:
        return f"Pair({str(self)!r})"

    def __reduce__(self) -> tuple[type[Pair], tuple[str, PairRules]]:
        return Pair, (str(self), self.rules)

    def with_rules(self, rules: PairRules) -> Pair:
        """Return the same pair with different rules."""
        return Pair(str(self), rules)

    def copy(self) -> Pair:
        """Return the same pair as another object, whose rules can be updated apart from this one's."""
        return Pair(str(self), self.rules)

    def changed_to(self, listed: PairRules) -> PairRules | None:
        """Return the rules that the exchange lists now, with amounts in steps like this pair's, or None if ticks or
        lots have another size.
        """
        rules = self.rules
        if (listed.price_decimals, listed.amount_decimals) != (rules.price_decimals, rules.amount_decimals):
            return None
        # a step above 1 was selected by the configuration (`in_display_steps`), which the exchange knows nothing of
        return listed.in_display_steps() if rules.amount_step > 1 else listed

    def update(self, rules: PairRules) -> None:
        """Use these rules from now on, as does everything that refers to this object. Only a running bot does this to
        its own pairs, when the exchange has changed their rules (`changed_to`).
        """
        assert self.changed_to(rules) is not None, f"{self}: {rules} has other ticks or lots"
        self.rules = rules


def _too_fine(price_decimals: int, amount_decimals: int) -> str | None:
    """Return why a pair with these precisions cannot be traded, or None. Its prices and amounts must be exact in units
    of money.
    """
    for name, decimals in (("basePrecision", amount_decimals), ("quotePrecision", price_decimals)):
        if decimals > UNIT_DECIMALS:
            return f"its {name} is {str(decimals)[:20]}, and botkit calculates with {UNIT_DECIMALS} decimals"
    return None


def pairs_from_wire(
    rows: Iterable[Mapping[str, Any]],
    *,
    amount_step: Literal["base", "amount"] = "base",
    left_out: dict[str, str] | None = None,
) -> dict[str, Pair]:
    """Convert the exchange's trading-pairs rows into a mapping from lowercase name to pair.

    A pair whose steps are too fine cannot be traded. It is left out, so that all others can be, and is added to
    ``left_out`` with the reason.
    """
    pairs = {}
    for row in rows:
        name = str(row["pair"]).lower()
        base, _, quote = name.partition("_")
        if not base or not quote:
            raise ValueError(f"{name[:40]!r} is not a pair name such as btc_twd")
        reason = _too_fine(int(row["quotePrecision"]), int(row["basePrecision"]))
        if reason is None:
            pairs[name] = Pair(name, PairRules.from_wire(row, amount_step=amount_step))
        elif left_out is not None:
            left_out[name] = reason
    return pairs
