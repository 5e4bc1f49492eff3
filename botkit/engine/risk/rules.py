"""The built-in risk rules. Each may veto an order before it reaches the router. Plugins can add more rules.

Figures are exact and may be written with or without quotes; every money limit names its currency. An order that reduces
exposure always passes the position and daily-loss rules, because blocking an exit would not reduce the risk.
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
    """Return units of 1e-8 formatted for messages, such as ``12,000 TWD``."""
    whole, point, fraction = format_units(units).partition(".")
    return f"{int(whole):,}{point}{fraction} {currency.upper()}"


def _amounts(name: str, value: Any, example: str) -> dict[str, int]:
    """Parse ``{twd: 10000}`` into units. Raises ValueError with a message for the user."""
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"{name} must say what is limited, such as {example}; got {value!r}")
    amounts = {}
    for key, figure in value.items():
        if not isinstance(key, str):
            raise ValueError(f"keys of {name} say what is limited, such as {example}; got {key!r}")
        try:
            units = to_units(figure, f"{name} for {key}")
        except TypeError as error:
            raise ValueError(str(error)) from None
        if units <= 0:
            raise ValueError(f"{name} for {key} is {figure}; it must be above zero")
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
    # the price was computed from an integer number of ticks, so rounding recovers that number
    return None if price is None else round(price * 10**pair.rules.price_decimals) or None


def order_lots(order: Order, view: RiskView) -> int | None:
    """Return an order's lots. For a market buy, these are the lots that its remaining spend buys at the last price, or
    None before the first price.
    """
    if order.amount_lots:
        return order.amount_lots
    ticks = _last_ticks(order.pair, view)
    return None if ticks is None else order.pair.rules.lots_for_value(ticks, order.spend_units - order.executed_units)


def order_value_units(order: Order, view: RiskView) -> int | None:
    """Return an order's value in quote units, at the order's own price or, if it has none, at the last price. Returns
    None before the first price.
    """
    if order.spend_units:
        return order.spend_units
    rules = order.pair.rules
    if order.price_ticks:
        return rules.value_units_up(order.price_ticks, order.amount_lots)
    ticks = _last_ticks(order.pair, view)
    return None if ticks is None else rules.value_units_up(ticks, order.amount_lots)


class MaxOrderValue:
    """``max_order_value: {twd: 10000}``: the maximum value of one order.

    If several currencies are listed, only the limit in the pair's quote currency applies, or all limits if the quote
    currency is not listed.
    """

    name = "max_order_value"

    def __init__(self, value: Any) -> None:
        self.limits = _amounts(self.name, value, "{twd: 10000}")
        self.currencies = tuple(self.limits)

    def review(self, order: Order, view: RiskView) -> str | None:
        """Refuse an order if its value is above the limit or not known yet."""
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
    """``max_position: {btc: "0.5"}``: the maximum holding, counting live, queued and unknown buy orders as filled.

    The key selects the limited amount. A pair (``btc_twd``) limits the coins bought in that pair. The base currency of
    a traded pair (``btc``) limits the coins bought in all its pairs. Any other currency (``twd``) limits the total
    value of all positions, in that currency.
    """

    name = "max_position"

    def __init__(self, value: Any) -> None:
        self.limits = _amounts(self.name, value, '{btc: "0.5"} or {twd: 100000}')

    def review(self, order: Order, view: RiskView) -> str | None:
        """Refuse a buy that would raise the position above a limit."""
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
                total += view.left.get(key, 0) if key != pair else 0
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
            # a coin bought in one pair and sold in another is not exposure, so amounts are netted per coin before
            # valuation
            coins[pair.base] = coins.get(pair.base, 0) + _exposure_units(pair, view)
        for base, units in view.left.items():
            if base in coins or view.value(UNIT, base, into) is not None:  # other coins cannot be valued in this run
                coins[base] = coins.get(base, 0) + units
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
    """``max_open_orders: 50``: the maximum number of orders that are live or queued at the same time."""

    name = "max_open_orders"

    def __init__(self, value: Any) -> None:
        self.limit = _count(self.name, value)

    def review(self, order: Order, view: RiskView) -> str | None:
        """Refuse an order if the maximum number of orders is already open."""
        count = view.orders.open_orders()
        if count < self.limit:
            return None
        return f"{count} orders are open, {self.name} is {self.limit}"


class MaxOrdersPerSecond:
    """``max_orders_per_second: 5``: the maximum number of orders in any second. Further orders are refused, not
    queued.
    """

    name = "max_orders_per_second"

    def __init__(self, value: Any) -> None:
        self.limit = _count(self.name, value)

    def review(self, order: Order, view: RiskView) -> str | None:
        """Refuse an order if the maximum number was already reached in the last second."""
        count = view.orders.orders_in_last_second()
        if count < self.limit:
            return None
        return f"{count} orders in the last second, {self.name} is {self.limit}"


class MaxDailyLoss:
    """``max_daily_loss: {twd: 3000}``: the maximum loss in a trading day, including unrealised losses.

    When the limit is reached, the strategy (or, at bot level, the bot) is halted: see
    `botkit.engine.risk.review.RiskDesk.breached`.
    """

    name = "max_daily_loss"

    def __init__(self, value: Any) -> None:
        self.limits = _amounts(self.name, value, "{twd: 3000}")
        self.currencies = tuple(self.limits)

    def review(self, order: Order, view: RiskView) -> str | None:
        """Refuse orders once the limit is reached, except those that reduce exposure."""
        if order.reduces:
            return None
        for currency, limit in self.limits.items():
            pnl = view.day_pnl_units(currency)
            # a coin that has had no price yet is left out. The profit is unknown after a restart, until every held coin
            # has a price again, and after a fill in a pair without one
            if pnl is None:
                return f"{self.name} cannot be checked: a price is missing to value the equity in {currency.upper()}"
            if -pnl >= limit:
                return (
                    f"the day's loss {money_text(-pnl, currency)} has reached {self.name} {money_text(limit, currency)}"
                )
        return None


class MaxDrawdown:
    """``max_drawdown: 0.2``: the maximum drawdown from peak equity, as a fraction: 0.2 is 20 %.

    Capital added or taken scales the peak, so that it changes no drawdown. When the limit is reached, the strategy (or,
    at bot level, the bot) is halted until resumed. The peak is then reset to the current equity: see
    `botkit.engine.risk.review.RiskDesk.breached`.
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
        """Return None, because a level at its limit is halted, and the halt refuses its orders."""
        return None


class PriceCollar:
    """``price_collar_pct: 5``: how far beyond the last price an order may trade, in percent.

    Only harmful prices are checked: those of a buy above the last price, or of a sell below it. A grid's bids far below
    the market are harmless. A stop order's price is compared with its stop price, because the market will be near the
    stop price when the order triggers. A market order is checked at the expected price from the visible book.
    """

    name = "price_collar_pct"

    def __init__(self, value: Any) -> None:
        try:
            self.pct: Decimal = to_decimal(value, self.name)
        except (TypeError, ValueError):
            raise ValueError(f"{self.name} must be a percentage such as 5, not {value!r}") from None
        if self.pct <= 0:
            raise ValueError(f"{self.name} is {value}; it must be above zero")
        check_pct(self.name, self.pct)
        self._pct_e8 = int(self.pct * UNIT)

    def review(self, order: Order, view: RiskView) -> str | None:
        """Refuse a price beyond the collar, and refuse every order until there is a last price."""
        pair = order.pair
        scale = 10**pair.rules.price_decimals
        if order.type is MARKET:
            expected = view.expected_price(order)
            if expected is None:
                return None  # there is no visible book; max_slippage_pct was checked when the order was placed
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


#: the built-in rules, by the key used in configurations
BUILT_IN: dict[str, Callable[[Any], RiskRule]] = {
    rule.name: rule
    for rule in (MaxOrderValue, MaxPosition, MaxOpenOrders, MaxOrdersPerSecond, MaxDailyLoss, MaxDrawdown, PriceCollar)
}


#: rules that never query the lots of open orders; a plugin's rule may query them
IGNORE_OPEN_LOTS = frozenset({MaxOrderValue, MaxOpenOrders, MaxOrdersPerSecond, MaxDailyLoss, MaxDrawdown, PriceCollar})
