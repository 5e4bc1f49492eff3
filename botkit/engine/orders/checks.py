"""All checks that may refuse an order, in the order in which they run, each with its message.

A check is skipped if it cannot refuse anything. Usually nothing is blocked, so only the checks of the order itself run.
`tests/engine/test_gate.py` compares the fast path with the full one.

The checks run at three stages, because conditions may change before the exchange's limits allow the order to be sent:
when the order is *asked* for, when it is *admitted* to the queue (for a replacement, once the old order is final), and
when its slot is *granted*. After admission, the money is locked and the router takes the order; either step may still
refuse the order (`botkit.engine.orders.desk`). After the grant, the driver performs a last check before it writes to
the socket: the journal must contain the order, and no other process may have set the latch.

The simulated and the real exchange also check the pair's rules, but an order refused here costs no request.
"""

from __future__ import annotations

from collections.abc import Callable

from botkit.engine.agenda import BotClock
from botkit.engine.market.book import cost_units, walk
from botkit.engine.market.markets import Markets
from botkit.engine.market.pair_market import PairMarket
from botkit.engine.orders.closed_pairs import ClosedPairs
from botkit.engine.orders.rejections import Rejections
from botkit.engine.orders.resolution import Resolution
from botkit.engine.risk.review import RiskDesk
from botkit.engine.strategy.record import StrategyRecord
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.money import format_units
from botkit.model.orders import BUY, LIMIT, MARKET, STOP_LIMIT, Condition, Order
from botkit.model.pairs import Pair
from botkit.model.percent import looks_tiny

Check = Callable[[Order], str | None]


class Gate:
    """The only class that refuses orders. Exits (``order.reduces``: `close`, `protect`, a target of 0, `flatten`) may
    pass while all others are refused, since a plain sell cannot be told from a trade.
    """

    def __init__(
        self,
        *,
        clock: BotClock,
        markets: Markets,
        risk: RiskDesk,
        resolution: Resolution,
        rejections: Rejections,
        closed: ClosedPairs,
        max_book_age_ns: Nanos,
    ) -> None:
        self._clock = clock
        self._max_book_age_ns = max_book_age_ns
        self._markets = markets
        self._risk = risk
        #: a shortage message, set while the account has less than its strategies own in total
        self.shortage: str | None = None
        #: True while the bot is being stopped
        self.is_stopping = False
        #: True until the strategies have started and their history has been loaded
        self.is_starting = False
        #: the reason why the journal cannot be written, if it cannot
        self.journal_fault: str | None = None
        self._records: dict[str, StrategyRecord] = {}
        #: the levels that are halted, the closed and the held pairs, and those with an order of unknown outcome
        self._halts = risk.halts
        self._closed_pairs = closed.reasons
        self._held = rejections.held
        self._unknown = resolution.blocked
        self._asked: tuple[Check, ...] = (
            self._starting,
            closed.refusal,
            self._rules,
            self._ending,
            self._closed,
            rejections.refusal,
            self._no_room,
        )
        self._admitted: tuple[Check, ...] = (resolution.blocks, self._risk_rules, rejections.admit)
        self._granted: tuple[Check, ...] = (
            resolution.blocks,
            closed.refusal,
            self._closed,
            self._journal,
            self._book,
            rejections.admit,
        )
        self._replaced: Order | None = None

    def know(self, record: StrategyRecord) -> None:
        """Register one of the bot's strategies."""
        self._records[record.name] = record

    @property
    def is_closed(self) -> bool:
        """True while all orders that add exposure are refused, either everywhere or in at least one pair, regardless of
        what the strategy requests.
        """
        return bool(self.is_stopping or self.shortage is not None or self._halts or self._unknown or self._held)

    def when_placed(self, order: Order) -> str | None:
        """Return the reason to refuse an order that would be queued immediately, or None."""
        if (
            self.is_starting
            or self.is_stopping
            or self.shortage is not None
            or self._halts
            or self._unknown
            or self._held
            or self._closed_pairs
            or not self._records[order.strategy].active
        ):
            return self.when_asked(order) or self.when_admitted(order)
        self._replaced = None
        rules = order.pair.rules
        if order.type is MARKET:
            market = self._markets.by_pair.get(order.pair)
            refusal = market_refusal(order)
            if refusal is None and (market is None or market.book_seen):
                refusal = self._book(order)
            if refusal is not None:
                return refusal
        elif (
            order.type is not LIMIT
            or rules.maintenance
            or order.price_ticks <= 0
            or not rules.least_lots <= order.amount_lots <= rules.most_lots
            or self._risk.open_by_pair.get(order.pair, 0) >= rules.open_orders_max
        ):
            refusal = self._rules(order) or self._no_room(order)
            if refusal is not None:
                return refusal
        return self._risk_rules(order) if self._risk.has_rules else None

    def when_asked(self, order: Order, replaced: Order | None = None) -> str | None:
        """Return the reason to refuse an order when it is requested, or None. ``replaced`` is the order that the new
        one replaces.
        """
        self._replaced = replaced
        for check in self._asked:
            refusal = check(order)
            if refusal is not None:
                return refusal
        return None

    def when_admitted(self, order: Order) -> str | None:
        """Return the reason why an order may not enter the queue, or None."""
        for check in self._admitted:
            refusal = check(order)
            if refusal is not None:
                return refusal
        return None

    def when_granted(self, order: Order) -> str | None:
        """Return the reason why an order may not be sent after all, or None."""
        if not (
            self._unknown
            or self._halts
            or self._held
            or self._closed_pairs
            or self.shortage is not None
            or self.journal_fault is not None
        ):
            if order.type is not MARKET:
                return None
            market = self._markets.by_pair.get(order.pair)
            return None if market is not None and not market.book_seen else self._book(order)
        for check in self._granted:
            refusal = check(order)
            if refusal is not None:
                return refusal
        return None

    # -- the reasons ----------------------------------------------------------------------------------------------

    def _starting(self, order: Order) -> str | None:
        return "orders can be placed from on_ready on; move this call out of on_start" if self.is_starting else None

    def _rules(self, order: Order) -> str | None:
        if order.type is MARKET:
            return market_refusal(order) or self._book(order)
        refusal = limit_refusal(order)
        if refusal is None and order.type is STOP_LIMIT and not order.reduces:
            refusal = stop_refusal(order, self._markets.of(order.pair).last.ticks)
        return refusal

    def _ending(self, order: Order) -> str | None:
        if order.reduces:
            return None
        if not self._records[order.strategy].active:
            return "the strategy is stopped"
        return "the bot is being stopped" if self.is_stopping else None

    def _closed(self, order: Order) -> str | None:
        if order.reduces:
            return None
        if self.shortage is not None:
            return f"no new orders: {self.shortage}"
        halted = self._risk.halts.get(None)
        return None if halted is None else f"the bot is halted: {halted}"

    def _no_room(self, order: Order) -> str | None:
        if order.type is MARKET:
            return None
        cap = order.pair.rules.open_orders_max
        room = cap if self._replaced is None or self._replaced.is_final else cap + 1
        if self._risk.open_by_pair.get(order.pair, 0) >= room:
            return f"{cap} orders for {order.pair} are open, which is the exchange's maximum"
        return None

    def _risk_rules(self, order: Order) -> str | None:
        return self._risk.review(order, self._clock.now)

    def _journal(self, order: Order) -> str | None:
        return None if self.journal_fault is None else f"not sent: {self.journal_fault}"

    def _book(self, order: Order) -> str | None:
        if order.type is not MARKET:
            return None
        return book_refusal(order, self._markets.of(order.pair), self._clock.now, self._max_book_age_ns)


def limit_refusal(order: Order) -> str | None:
    """Return the reason why the pair's rules do not allow a limit or stop order, or None."""
    rules, pair = order.pair.rules, order.pair
    if rules.maintenance:
        return f"{pair} is in maintenance"
    if order.price_ticks <= 0:
        return f"price rounds to {rules.price_text(order.price_ticks)}; the smallest is {rules.tick_size} {pair.quote}"
    if not rules.least_lots <= order.amount_lots <= rules.most_lots:
        return _amount_refusal(pair, order.amount_lots)
    return None


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
    """Return the reason to refuse a stop order, or None."""
    if order.post_only:
        return "a stop order cannot be post-only: the exchange always takes it as GTC"
    if order.stop_ticks <= 0:
        return "stop_price must be above 0"
    if last_ticks is None:
        return f"{order.pair} has no last price yet to compare the stop price with"
    if is_met(order, last_ticks):
        rules = order.pair.rules
        assert order.condition is not None
        return (
            f"the stop condition {order.condition.value} {rules.price_text(order.stop_ticks)} is already met at "
            f"{rules.price_text(last_ticks)}"
        )
    return None


def is_met(order: Order, last_ticks: int) -> bool:
    """Return True if a stop order's condition is already met at the last price."""
    if order.condition is Condition.AT_LEAST:
        return last_ticks >= order.stop_ticks
    return last_ticks <= order.stop_ticks


def market_refusal(order: Order) -> str | None:
    """Return the reason why the pair's rules do not allow a market order, or None."""
    rules, pair = order.pair.rules, order.pair
    if rules.maintenance:
        return f"{pair} is in maintenance"
    if order.max_slippage_pct is not None and not 0 <= order.max_slippage_pct <= 100:
        return f"max_slippage_pct is {order.max_slippage_pct:g}; it must be a percentage from 0 to 100: 2 is 2 %"
    if order.side is BUY:
        if order.spend_units < rules.least_spend_units:
            return (
                f"spend {format_units(order.spend_units)} {pair.quote} is below the minimum "
                f"{format_units(rules.least_spend_units)}"
            )
        return None
    return _amount_refusal(pair, order.amount_lots)


def book_refusal(order: Order, market: PairMarket, now: Nanos, max_age_ns: Nanos) -> str | None:
    """Check that the visible book is fresh and can fill a market order within ``max_slippage_pct`` of the best price.

    Runs again just before the order is sent.
    """
    assert order.type is MARKET
    age = now - market.book_seen
    if market.book_seen and age > max_age_ns:
        return (
            f"the book of {order.pair} is {age / NS_PER_S:,.0f} s old; a market order needs one no older "
            f"than {max_age_ns / NS_PER_S:g} s (max_book_age_s)"
        )
    if order.max_slippage_pct is None or not market.book_seen:
        return None  # a run on candles has no book to check the order against
    rules = order.pair.rules
    buying = order.side is BUY
    levels = market.book.ask_levels if buying else market.book.bid_levels
    if not levels:
        return f"the book of {order.pair} shows no {'asks' if buying else 'bids'} to trade against"
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
    hint = " (max_slippage_pct is in percent: 1 is 1 %)" if looks_tiny(order.max_slippage_pct) else ""
    return f"the visible book holds only {shown} within {order.max_slippage_pct:g} % of the best price{hint}"


def expected_price(order: Order, market: PairMarket) -> float | None:
    """Return the average price that a market order would get from the visible book, or None without a book.

    If the book cannot fill the entire order, the result is the price of the part that it can fill.
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
    """Return the spend, in units, that buys about ``lots`` at the visible asks, or at the last price if there is no
    book. If neither price is known, return a refusal.
    """
    rules = pair.rules
    if market.book_seen:
        units, missing = cost_units(pair, market.book.ask_levels, lots)
        if missing:
            return f"the visible book does not hold {rules.amount_text(lots)} {pair.base}"
    else:
        ticks = market.last.ticks
        if ticks is None:
            return f"{pair} has no price yet to convert an amount into a spend"
        units = rules.value_units_up(ticks, lots)
    step = int(10 ** (8 - rules.price_decimals))
    return -(-units // step) * step
