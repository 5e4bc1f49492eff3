"""Whether an order may be asked for at all: the exchange's rules, checked before anything is sent.

Each check returns a sentence for the strategy's `Order`, or None. The simulated and the real exchange check the same
things on their own; an order that is refused here costs no request.
"""

from __future__ import annotations

from botkit.engine.market.pair_market import PairMarket, cost_units, walk
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.money import format_units
from botkit.model.orders import BUY, MARKET, Condition, Order
from botkit.model.pairs import Pair


def limit_refusal(order: Order) -> str | None:
    """What the pair's rules say to a limit or stop order."""
    rules, pair = order.pair.rules, order.pair
    if rules.maintenance:
        return f"{pair} is in maintenance"
    if order.price_ticks <= 0:
        return f"price rounds to {rules.price_text(order.price_ticks)}; the smallest is {rules.tick_size} {pair.quote}"
    return _amount_refusal(pair, order.amount_lots)


def _amount_refusal(pair: Pair, lots: int) -> str | None:
    rules = pair.rules
    if lots < rules.least_lots:
        return (
            f"amount {rules.amount_text(lots)} {pair.base} is below the minimum {rules.amount_text(rules.least_lots)}"
        )
    if lots > rules.most_lots:
        return f"amount {rules.amount_text(lots)} {pair.base} is above the maximum {rules.amount_text(rules.most_lots)}"
    return None


def stop_refusal(order: Order, last_ticks: int | None) -> str | None:
    """What speaks against a stop order; one already met is the caller's business (`is_met`)."""
    if order.post_only:
        return "a stop order cannot be post-only: the exchange always takes it as GTC"
    if order.stop_ticks <= 0:
        return "stop_price must be above 0"
    if last_ticks is None:
        return f"there is no last price of {order.pair} yet to hold the stop price against"
    return None


def is_met(order: Order, last_ticks: int) -> bool:
    """True when a stop order's condition already holds at the last price."""
    if order.condition is Condition.AT_LEAST:
        return last_ticks >= order.stop_ticks
    return last_ticks <= order.stop_ticks


def market_refusal(order: Order, market: PairMarket, now: Nanos, max_age_ns: Nanos) -> str | None:
    """Rules, and age and depth of the book as the bot sees it, for a market order. Checked again at the last gate."""
    rules, pair = order.pair.rules, order.pair
    if rules.maintenance:
        return f"{pair} is in maintenance"
    if order.max_slippage_pct is not None and not 0 <= order.max_slippage_pct <= 100:
        return f"max_slippage_pct is {order.max_slippage_pct}; it is a percentage from 0 to 100"
    if order.side is BUY:
        if order.spend_units < rules.least_spend_units:
            return (
                f"spend {format_units(order.spend_units)} {pair.quote} is below the minimum "
                f"{format_units(rules.least_spend_units)}"
            )
    else:
        refusal = _amount_refusal(pair, order.amount_lots)
        if refusal is not None:
            return refusal
    return book_refusal(order, market, now, max_age_ns)


def book_refusal(order: Order, market: PairMarket, now: Nanos, max_age_ns: Nanos) -> str | None:
    """Whether the visible book is fresh, and can fill a market order within its ``max_slippage_pct`` of the best
    price."""
    assert order.type is MARKET
    age = now - market.book_seen
    if market.book_seen and age > max_age_ns:
        return (
            f"the book of {order.pair} is {age / NS_PER_S:,.0f} s old, and one older than {max_age_ns / NS_PER_S:g} s "
            "(max_book_age_s) is not traded on"
        )
    if order.max_slippage_pct is None or not market.book_seen:
        return None  # no book in this run (candles only): there is nothing to hold it against
    rules = order.pair.rules
    buying = order.side is BUY
    levels = market.book.ask_levels if buying else market.book.bid_levels
    if not levels:
        return f"the book of {order.pair} shows no {'asks' if buying else 'bids'} to trade with"
    best = levels[0][0]
    share = order.max_slippage_pct / 100
    limit = int(best * (1 + share)) if buying else -int(-best * (1 - share))
    if buying:
        within = tuple(level for level in levels if level[0] <= limit)
        affordable = sum(rules.value_units_up(ticks, lots) for ticks, lots in within)
        if affordable >= order.spend_units:
            return None
        shown = f"{format_units(affordable)} {order.pair.quote}"
    else:
        found, _ = walk(levels, order.amount_lots, limit, buying=False)
        if found >= order.amount_lots:
            return None
        shown = f"{rules.amount_text(found)} {order.pair.base}"
    return f"the visible book holds only {shown} within {order.max_slippage_pct:g} % of the best price"


def expected_price(order: Order, market: PairMarket) -> float | None:
    """The average price that a market order would get from the visible book, or None where no book is seen.

    Of an order that the book cannot fill whole, the price of the part that it can.
    """
    buying = order.side is BUY
    levels = market.book.ask_levels if buying else market.book.bid_levels
    if not market.book_seen or not levels:
        return None
    rules = order.pair.rules
    units_left, lots_left = order.spend_units, order.amount_lots
    lots = ticks_lots = 0
    for ticks, shown in levels:
        take = min(shown, rules.lots_for_value(ticks, units_left) if buying else lots_left)
        lots += take
        ticks_lots += ticks * take
        units_left -= rules.value_units(ticks, take)
        lots_left -= take
        if take < shown:
            break
    if not lots:
        return rules.price(levels[0][0])
    return float(ticks_lots / (lots * 10**rules.price_decimals))


def spend_for(pair: Pair, lots: int, market: PairMarket) -> int | str:
    """The spend, in units, that buys about ``lots``: from the visible asks, else at the last price. Or a refusal."""
    rules = pair.rules
    if market.book_seen:
        units, missing = cost_units(pair, market.book.ask_levels, lots)
        if missing:
            return f"the visible book does not hold {rules.amount_text(lots)} {pair.base}"
    else:
        ticks = market.last.ticks
        if ticks is None:
            return f"there is no price of {pair} yet to turn an amount into a spend"
        units = rules.value_units_up(ticks, lots)
    step = int(10 ** (8 - rules.price_decimals))
    return -(-units // step) * step
