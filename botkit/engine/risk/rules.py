"""The built-in risk rules. Each may veto an order before it reaches the router; a plugin adds others the same way.

Figures are exact and may be written bare or quoted; every money limit names its currency. An order that reduces
exposure passes the rules on position and daily loss: refusing the way out is no protection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from botkit.model.extension import RiskRule, RiskView
from botkit.model.money import UNIT, format_units, to_decimal, to_units
from botkit.model.orders import BUY, MARKET, SELL, Order
from botkit.model.pairs import Pair
from botkit.model.percent import check_pct


def money_text(units: int, currency: str) -> str:
    """``12,000 TWD``: units of 1e-8 for a sentence that a person reads."""
    whole, point, fraction = format_units(units).partition(".")
    return f"{int(whole):,}{point}{fraction} {currency.upper()}"


def _amounts(name: str, value: Any, example: str) -> dict[str, int]:
    """Read ``{twd: 10000}`` into units. Raises ValueError with a sentence."""
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"{name} must name what it limits, such as {example}, not {value!r}")
    amounts = {}
    for key, figure in value.items():
        if not isinstance(key, str):
            raise ValueError(f"{name} must name what it limits, such as {example}, not {key!r}")
        try:
            units = to_units(figure, f"{name} of {key}")
        except TypeError as error:
            raise ValueError(str(error)) from None
        if units <= 0:
            raise ValueError(f"{name} of {key} is {figure}; it must be above zero")
        amounts[key.lower()] = units
    return amounts


def _count(name: str, value: Any) -> int:
    try:
        number = to_decimal(value, name)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a whole number such as 50, not {value!r}") from None
    if number != int(number) or number < 1:
        raise ValueError(f"{name} is {value}; it must be a whole number of at least 1")
    return int(number)


def _last_ticks(pair: Pair, view: RiskView) -> int | None:
    price = view.last_price(pair)
    # the price came from an integer number of ticks, so rounding there gives it back
    return None if price is None else round(price * 10**pair.rules.price_decimals) or None


def order_lots(order: Order, view: RiskView) -> int | None:
    """The lots an order is for; of a market buy what its spend pays at the last price, None before the first."""
    if order.amount_lots:
        return order.amount_lots
    ticks = _last_ticks(order.pair, view)
    return None if ticks is None else order.pair.rules.lots_for_value(ticks, order.spend_units)


def order_value_units(order: Order, view: RiskView) -> int | None:
    """What an order is worth in quote units: at its price, else at the last one; None before the first."""
    if order.spend_units:
        return order.spend_units
    rules = order.pair.rules
    if order.price_ticks:
        return rules.value_units_up(order.price_ticks, order.amount_lots)
    ticks = _last_ticks(order.pair, view)
    return None if ticks is None else rules.value_units_up(ticks, order.amount_lots)


class MaxOrderValue:
    """``max_order_value: {twd: 10000}``: what one order may be worth.

    With several currencies the one that the pair is quoted in counts, and all of them where it is not among them.
    """

    name = "max_order_value"

    def __init__(self, value: Any) -> None:
        self.limits = _amounts(self.name, value, "{twd: 10000}")
        self.currencies = tuple(self.limits)

    def review(self, order: Order, view: RiskView) -> str | None:
        """Refuses an order above the limit, or one whose value cannot be known yet."""
        quote = order.pair.quote
        worth = order_value_units(order, view)
        limits = {quote: self.limits[quote]} if quote in self.limits else self.limits
        for currency, limit in limits.items():
            value = None if worth is None else view.value(worth, quote, currency)
            if value is None:
                return f"{self.name} cannot be checked: no price yet to value {order.pair} in {currency.upper()}"
            if value > limit:
                return f"order value {money_text(value, currency)} is above {self.name} {money_text(limit, currency)}"
        return None


class MaxPosition:
    """``max_position: {btc: "0.5"}``: how much may be held, live, queued and unknown buy orders counted as filled.

    The key says what is limited. A pair (``btc_twd``): the coins bought in that pair. A currency that is the base of a
    traded pair (``btc``): the coins bought in all pairs of it. Any other currency (``twd``): what all positions
    together are worth in it.
    """

    name = "max_position"

    def __init__(self, value: Any) -> None:
        self.limits = _amounts(self.name, value, '{btc: "0.5"} or {twd: 100000}')

    def review(self, order: Order, view: RiskView) -> str | None:
        """Refuses a buy that would take the position past a limit."""
        if order.reduces or order.side is SELL:
            return None
        pair = order.pair
        lots = order_lots(order, view)
        if lots is None:
            return f"{self.name} cannot be checked: {pair} has no price yet"
        added = pair.rules.base_units(lots)
        pairs = view.pairs()
        bases = {p.base for p in pairs}
        for key, limit in self.limits.items():
            if key == pair or (key == pair.base and "_" not in key):
                counted = [pair] if key == pair else [p for p in pairs if p.base == key]
                total = added + sum(_exposure_units(p, view) for p in counted)
                if total > limit:
                    return self._refusal(key, total, limit, pair.base)
            elif "_" not in key and key not in bases:
                worth = self._worth(order, added, pairs, view, key)
                if worth is None:
                    return f"{self.name} cannot be checked: a price is missing to value positions in {key.upper()}"
                if worth > limit:
                    return self._refusal(key, worth, limit, key)
        return None

    def _refusal(self, key: str, total: int, limit: int, currency: str) -> str:
        where = f" in {key}" if "_" in key else ""
        return (
            f"position{where} would be {money_text(total, currency)} with this order and those still open, above "
            f"{self.name} {money_text(limit, currency)}"
        )

    @staticmethod
    def _worth(order: Order, added: int, pairs: Any, view: RiskView, into: str) -> int | None:
        coins: dict[str, int] = {order.pair.base: added}
        for pair in pairs:
            # a coin bought in one pair and sold in another is no exposure, so coins are netted before they are valued
            coins[pair.base] = coins.get(pair.base, 0) + _exposure_units(pair, view)
        total = 0
        for base, units in coins.items():
            worth = view.value(max(0, units), base, into)
            if worth is None:
                return None
            total += worth
        return total


def _exposure_units(pair: Pair, view: RiskView) -> int:
    return pair.rules.base_units(view.position_lots(pair) + view.orders.pending_lots(pair, BUY))


class MaxOpenOrders:
    """``max_open_orders: 50``: how many orders may be live or queued at a time."""

    name = "max_open_orders"

    def __init__(self, value: Any) -> None:
        self.limit = _count(self.name, value)

    def review(self, order: Order, view: RiskView) -> str | None:
        """Refuses the order after the last that may be open."""
        count = view.orders.open_orders()
        if count < self.limit:
            return None
        return f"{count} orders are open, {self.name} is {self.limit}"


class MaxOrdersPerSecond:
    """``max_orders_per_second: 5``: how many orders may be asked for in any second. The rest is refused, not queued."""

    name = "max_orders_per_second"

    def __init__(self, value: Any) -> None:
        self.limit = _count(self.name, value)

    def review(self, order: Order, view: RiskView) -> str | None:
        """Refuses an order that comes too soon after the others."""
        count = view.orders.orders_in_last_second()
        if count < self.limit:
            return None
        return f"{count} orders in the last second, {self.name} is {self.limit}"


class MaxDailyLoss:
    """``max_daily_loss: {twd: 3000}``: what may be lost since the trading day began, unrealised losses included.

    When it is reached the strategy (or, at bot level, the bot) stops: `botkit.engine.risk.review.RiskDesk.breached`.
    """

    name = "max_daily_loss"

    def __init__(self, value: Any) -> None:
        self.limits = _amounts(self.name, value, "{twd: 3000}")
        self.currencies = tuple(self.limits)

    def review(self, order: Order, view: RiskView) -> str | None:
        """Refuses orders once the loss is reached, except those that reduce exposure."""
        if order.reduces:
            return None
        for currency, limit in self.limits.items():
            pnl = view.day_pnl_units(currency)
            # without prices nothing was traded and nothing can have been lost
            if pnl is not None and -pnl >= limit:
                return (
                    f"the day's loss {money_text(-pnl, currency)} has reached {self.name} {money_text(limit, currency)}"
                )
        return None


class MaxDrawdown:
    """``max_drawdown: 0.2``: how far equity may fall below its highest so far, as a fraction: 0.2 is 20 %.

    Capital that is added or taken moves the highest along. When it is reached the strategy (or, at bot level, the bot)
    stops until it is resumed, and counts from there: `botkit.engine.risk.review.RiskDesk.breached`.
    """

    name = "max_drawdown"

    def __init__(self, value: Any) -> None:
        try:
            share = to_decimal(value, self.name)
        except (TypeError, ValueError):
            raise ValueError(f"{self.name} must be a fraction such as 0.2, which is 20 %, not {value!r}") from None
        if not 0 < share < 1:
            raise ValueError(f"{self.name} is {value}, which would be {share * 100:f} %; it is a fraction: 0.2 is 20 %")
        self.share_e8 = int(share * UNIT)

    def review(self, order: Order, view: RiskView) -> str | None:
        """Nothing: a level that has fallen so far is halted, and a halt refuses."""
        return None


class PriceCollar:
    """``price_collar_pct: 5``: how far past the last price an order may trade, in percent.

    Only the harmful side counts: a buy above, a sell below. A grid's bids far under the market harm nobody. A stop
    order's price is compared with its stop price, where the market will be by then; a market order by what the visible
    book would give it.
    """

    name = "price_collar_pct"

    def __init__(self, value: Any) -> None:
        try:
            self.pct: Decimal = to_decimal(value, self.name)
        except (TypeError, ValueError):
            raise ValueError(f"{self.name} must be a number of percent such as 5, not {value!r}") from None
        if self.pct <= 0:
            raise ValueError(f"{self.name} is {value}; it must be above zero")
        check_pct(self.name, self.pct)
        self._pct_e8 = int(self.pct * UNIT)

    def review(self, order: Order, view: RiskView) -> str | None:
        """Refuses a price beyond the collar, and any while there is no last price to compare with."""
        pair = order.pair
        scale = 10**pair.rules.price_decimals
        if order.type is MARKET:
            expected = view.expected_price(order)
            if expected is None:
                return None  # no book is visible; max_slippage_pct was checked where the order was asked for
            ticks = round(expected * scale)
        else:
            ticks = order.price_ticks
        beside = order.stop_ticks or _last_ticks(pair, view)
        if beside is None:
            return None if order.reduces else f"{self.name} cannot be checked: {pair} has no last price yet"
        past = (ticks - beside) * order.side.sign
        if past * 100 * UNIT <= self._pct_e8 * beside:
            return None
        rules = pair.rules
        name = "stop price" if order.stop_ticks else "last price"
        way = "above" if order.side is BUY else "below"
        what = "expected price" if order.type is MARKET else "price"
        return (
            f"{what} {rules.price_text(ticks)} is {100 * past / beside:.2f} % {way} the {name} "
            f"{rules.price_text(beside)}, {self.name} is {self.pct}"
        )


#: the built-in rules by the key that configurations use
BUILT_IN: dict[str, Callable[[Any], RiskRule]] = {
    rule.name: rule
    for rule in (MaxOrderValue, MaxPosition, MaxOpenOrders, MaxOrdersPerSecond, MaxDailyLoss, MaxDrawdown, PriceCollar)
}
