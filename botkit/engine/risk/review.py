"""Risk review at two levels: every order must pass the rules of its strategy and of the bot, so the stricter rule wins.

The risk desk keeps the figures that rules read (open orders, pending lots, orders in the last second) up to date, so a
review takes no longer with a hundred open orders than with one. Loss limits are also checked on every price move: by
`RiskDesk.breached` after one row, and by `RiskDesk.first_breach` over many rows at once, with equal results.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from botkit.engine.money.baselines import Baselines
from botkit.engine.money.portfolio import Portfolio
from botkit.engine.risk.loss_limits import DrawdownBreach, DrawdownLimit, LossBreach, LossLimit
from botkit.engine.risk.order_counts import LevelCounts
from botkit.engine.risk.rules import IGNORE_OPEN_LOTS, MaxDailyLoss, MaxDrawdown, order_lots
from botkit.engine.risk.worth_over_price import WorthOverPrice
from botkit.model.clock import NS_PER_HOUR, Nanos
from botkit.model.extension import OrderCounts, RiskRule
from botkit.model.money import UNIT
from botkit.model.orders import BUY, Order
from botkit.model.pairs import Pair

#: the reason of a halt that is a pause
PAUSED = "paused by hand"

#: longer than the longest day with a clock change, and shorter than two of the shortest such days
_INTO_NEXT_DAY = 30 * NS_PER_HOUR


class _View:
    """The rules' view of one level: a strategy or, if the level is None, the entire bot."""

    __slots__ = ("_desk", "_level", "_portfolio", "left", "now", "orders")

    def __init__(self, desk: RiskDesk, level: str | None, portfolio: Portfolio, counts: LevelCounts) -> None:
        self._desk = desk
        self.orders: OrderCounts = counts
        self._level = level
        self._portfolio = portfolio
        self.now: Nanos = 0
        self.left: Mapping[str, int] = {}

    def _strategies(self) -> list[str]:
        return self._portfolio.strategies if self._level is None else [self._level]

    def pairs(self) -> list[Pair]:
        """Return the pairs that the level trades, in configuration order."""
        portfolio = self._portfolio
        return list(dict.fromkeys(p.pair for name in self._strategies() for p in portfolio.positions(name)))

    def last_price(self, pair: Pair) -> float | None:
        """Return the last trade price, or None before the first trade."""
        return self._portfolio.last_price(pair)

    def expected_price(self, order: Order) -> float | None:
        """Return the average price that a taker order would get from the visible book, or None without one."""
        return self._desk.expected_price(order)

    def position_lots(self, pair: Pair) -> int:
        """Return this level's net holdings in the pair, in lots."""
        return self._portfolio.position_lots(self._level, pair)

    def value(self, units: int, currency: str, into: str) -> int | None:
        """Convert units of one currency into another at last prices. Returns None while a price is missing."""
        return self._portfolio.valuation.convert(units, currency, into)

    def day_pnl_units(self, currency: str) -> int | None:
        """Return the change in the strategies' own equity since the start of the trading day, including unrealised
        profit.
        """
        return self._portfolio.days.pnl_units(self._level, currency)


class RiskDesk:
    """Reviews orders and watches losses. There is one risk desk per bot; the engine reports every order that opens,
    fills or closes.

    ``strategy_rules`` maps strategy names to rules. ``day_start`` returns the start of the trading day that contains a
    given time. ``expected_price`` may be set by the owner of the visible books. Raises ValueError if a rule's currency
    cannot be valued through the bot's pairs.
    """

    def __init__(
        self,
        bot_rules: Sequence[RiskRule],
        strategy_rules: Mapping[str, Sequence[RiskRule]],
        portfolio: Portfolio,
        day_start: Callable[[Nanos], Nanos],
    ) -> None:
        self.portfolio = portfolio
        self.expected_price: Callable[[Order], float | None] = lambda order: None
        self._day_start = day_start
        self._aside, self._departed = portfolio.left_behind
        self._next_day: Nanos | None = None
        self._rules: list[tuple[str | None, tuple[RiskRule, ...]]] = [(None, tuple(bot_rules))]
        self._rules += [(name, tuple(strategy_rules.get(name, ()))) for name in portfolio.strategies]
        # Any, because what a plugin's rule returns is looked at before it counts as a reason; compiled code would raise
        self._bot_rules: Sequence[Any] = self._rules[0][1]
        self._rules_of: dict[str, Sequence[Any]] = {name: rules for name, rules in self._rules if name is not None}
        names = portfolio.strategies
        #: True if any rule reviews orders
        self.has_rules = any(rules for _, rules in self._rules)
        whole = LevelCounts()
        #: number of live or queued orders per pair, across all strategies
        self.open_by_pair = whole.by_pair
        # a bot with a single strategy shares one set of counts with it, so that each order is counted once
        counts = {name: whole if len(names) == 1 else LevelCounts() for name in names}
        self._bot = _View(self, None, portfolio, whole)
        self._views = {name: _View(self, name, portfolio, counts[name]) for name in names}
        # an order of a strategy that is no longer configured counts for the bot alone
        self._counts = defaultdict(lambda: (whole,), {name: tuple({own, whole}) for name, own in counts.items()})
        self._pending: dict[int, int] = {}  # unfilled lots, by client id
        #: market buys from an earlier run, whose lots are unknown until there is a price
        self._unpriced: dict[int, Order] = {}
        #: halted levels (a strategy's name; None: the bot), and the reason for each halt
        self.halts: dict[str | None, str] = {}
        self._limits: list[LossLimit] = []
        self._drawdowns: list[DrawdownLimit] = []
        for level, rules in self._rules:
            for rule in rules:
                for currency in getattr(rule, "currencies", ()):
                    portfolio.valuation.check_path(portfolio.currency, currency)
                if isinstance(rule, MaxDrawdown):
                    self._drawdowns.append(DrawdownLimit(level, portfolio.currency, rule.share_e8))
                    portfolio.peaks.watch(level, portfolio.currency)
                if isinstance(rule, MaxDailyLoss):
                    for currency, units in rule.limits.items():
                        self._limits.append(LossLimit(level, currency, units))
                        portfolio.days.watch(level, currency)
                        portfolio.today.watch(level, currency)
        #: True if price moves must be checked
        self.has_loss_limits = bool(self._limits or self._drawdowns)
        #: True if the peak equity must be tracked, so that every price matters
        self.has_drawdowns = bool(self._drawdowns)

    # -- orders ---------------------------------------------------------------------------------------------------

    def review(self, order: Order, now: Nanos | None = None) -> str | None:
        """Return the reason to refuse an order, or None. ``now`` defaults to the order's own time.

        If a rule raises an exception or returns anything but a reason or None, the order is refused, because an order
        that cannot be checked must not pass.
        """
        name = order.strategy
        if self.halts and not order.reduces:
            for level in (name, None):
                if level in self.halts:
                    return _refusal_of_halt("the bot" if level is None else name, self.halts[level])
        if self._unpriced and not order.reduces and order.side is BUY and self._counts_positions(name):
            unpriced = self._estimate(order.pair)
            if unpriced is not None:
                return f"{unpriced.pair} has no price yet, so the open market buy cannot be counted"
        moment = order.created if now is None else now
        view = self._views[name]
        view.now = self._bot.now = moment
        if self._departed or self._aside:
            self._bot.left = self.portfolio.left_coins(self._bot.pairs())
        for counts in self._counts[name]:
            counts.now = moment
        try:
            for rules, seen in ((self._rules_of[name], view), (self._bot_rules, self._bot)):
                for rule in rules:
                    reason = rule.review(order, seen)
                    if reason is not None:
                        return reason if reason and type(reason) is str else _no_reason(rule, reason)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit() in a rule must not end the bot
            return f"risk rule {type(rule).__name__} failed, so the order was not sent: {error!r}"
        return None

    def order_opened(self, order: Order) -> None:
        """Count an order that was accepted for sending, or that was presumed dead but is live."""
        assert order.client_id not in self._pending, order
        if order.spend_units and self.has_rules:
            # a market buy's lots are known only after its fill. The last price yields a fair estimate, and rules that
            # need an estimate refuse the order while no price is known
            estimate = order_lots(order, self._bot)
            if estimate is None:
                self._unpriced[order.client_id] = order
            lots = estimate or 0
        else:
            lots = order.amount_lots - order.executed_lots
        pair, client_id, created = order.pair, order.client_id, order.created
        self._pending[client_id] = lots
        for counts in self._counts[order.strategy]:
            counts.total += 1
            counts.by_pair[pair] = counts.by_pair.get(pair, 0) + 1
            side = counts.buys if order.side is BUY else counts.sells
            side[pair] = side.get(pair, 0) + lots
            if self.has_rules:  # only rules need the order count of the last second
                counts.place(created, client_id)

    def _counts_positions(self, name: str) -> bool:
        """Return True if a rule for this strategy may depend on the lots of open orders."""
        return any(type(rule) not in IGNORE_OPEN_LOTS for rule in (*self._rules_of[name], *self._bot_rules))

    def _estimate(self, pair: Pair) -> Order | None:
        """Count the market buys that had no price when they were opened. Returns an order in the pair's base currency
        that still has no price, or None.
        """
        unpriced = None
        for order in list(self._unpriced.values()):
            lots = order_lots(order, self._bot)
            if lots is not None:
                del self._unpriced[order.client_id]
                self._pending[order.client_id] += lots
                for counts in self._counts[order.strategy]:
                    counts.buys[order.pair] += lots
            elif order.pair.base == pair.base:
                unpriced = order
        return unpriced

    def order_filled(self, order: Order, lots: int) -> None:
        """Subtract filled lots from an order's pending lots. Does nothing if the order is closed."""
        left = self._pending.get(order.client_id)
        if left is None:
            return
        taken = min(left, lots)
        self._pending[order.client_id] = left - taken
        for counts in self._counts[order.strategy]:
            (counts.buys if order.side is BUY else counts.sells)[order.pair] -= taken

    def order_closed(self, order: Order) -> None:
        """Stop counting an order, because it is final. A second call does nothing."""
        lots = self._pending.pop(order.client_id, None)
        self._unpriced.pop(order.client_id, None)
        if lots is not None:
            pair = order.pair
            for counts in self._counts[order.strategy]:
                counts.total -= 1
                counts.by_pair[pair] -= 1
                side = counts.buys if order.side is BUY else counts.sells
                side[pair] -= lots
                assert counts.total >= 0, order
                assert counts.by_pair[pair] >= 0, order
                assert side[pair] >= 0, order

    def view(self, level: str | None) -> _View:
        """Return the rules' view of a strategy (None: of the bot)."""
        return self._bot if level is None else self._views[level]

    # -- days and losses ------------------------------------------------------------------------------------------

    def start(self, strategy: str, now: Nanos) -> None:
        """Start the trading day that contains ``now`` if needed. Called when a strategy starts."""
        assert strategy in self._views, strategy
        self.turn_of_day(now)

    def turn_of_day(self, now: Nanos) -> bool:
        """Start the trading day that contains ``now`` if it has not started yet. Returns True if this call started
        it.
        """
        if self._next_day is not None and now < self._next_day:
            return False
        start = self._day_start(now)
        self._next_day = self._day_start(start + _INTO_NEXT_DAY)
        assert start <= now < self._next_day, (start, now, self._next_day)
        if self.portfolio.days.day == start:
            return False  # the bot was restarted within the day, and the baseline was restored
        self.portfolio.days.start(start)
        self.portfolio.today.start(start)
        return True

    def next_day(self) -> Nanos | None:
        """Return the start of the next trading day, or None before the first trading day."""
        return self._next_day

    def breached(self, now: Nanos) -> LossBreach | DrawdownBreach | None:
        """Return the first loss or drawdown limit reached at the last prices, or None. The breach halts the limit's
        level.

        A level already halted is skipped, so each breach is reported once.
        """
        for limit in self._limits:
            if limit.level in self.halts:
                continue
            pnl = self.portfolio.days.pnl_units(limit.level, limit.currency)
            if pnl is not None and -pnl >= limit.limit_units:
                resumed = self.portfolio.days.is_resumed(self.portfolio.today, limit.level, limit.currency)
                breach = LossBreach(limit.level, limit.currency, -pnl, limit.limit_units, resumed)
                self.halt(limit.level, str(breach))
                return breach
        for fall in self._drawdowns:
            equity = None if fall.level in self.halts else self.portfolio.peaks.equity_units(fall.level, fall.currency)
            if equity is None:
                continue
            self.portfolio.peaks.raise_to(fall.level, fall.currency, equity)
            peak = self.portfolio.peaks.baseline_units(fall.level, fall.currency)
            assert peak is not None, fall
            if fall.is_reached(equity, peak):
                found = DrawdownBreach(fall.level, fall.currency, equity, peak, fall.share_e8)
                self.halt(fall.level, str(found))
                return found
        return None

    def first_breach(self, pair: Pair, prices: np.ndarray[Any, Any], now: Nanos) -> int | None:
        """Return the index of the first price in ``prices``, all of one pair, at which a loss limit is reached, or
        None.

        Holdings and all other prices stay fixed. The result is exactly the same as if each price were marked and
        `breached` called. The pair must have been marked before, since its first price sets the day's baseline.
        """
        if not self.has_loss_limits or not len(prices):
            return None
        assert self.portfolio.last_price(pair) is not None, f"mark the first price of {pair} before skipping rows"
        first: int | None = None
        for limit in self._limits:
            if limit.level not in self.halts:
                found = self._first_row(limit, pair, prices if first is None else prices[:first])
                first = first if found is None else found
        for fall in self._drawdowns:
            if fall.level not in self.halts:
                found = self._first_fall(fall, pair, prices if first is None else prices[:first])
                first = first if found is None else found
        return first

    def passed(self, pair: Pair, prices: np.ndarray[Any, Any]) -> None:
        """Account for one pair's prices that are skipped because `first_breach` found no breach: they may include a new
        equity peak.
        """
        for fall in self._drawdowns:
            if fall.level in self.halts or not len(prices):
                continue
            worth = self._worth_over(self.portfolio.peaks, fall, pair)
            highest = None if worth is None else self._highest(fall, pair, prices, worth)
            if highest is not None:
                self.portfolio.peaks.raise_to(fall.level, fall.currency, highest)

    def _first_fall(self, fall: DrawdownLimit, pair: Pair, prices: np.ndarray[Any, Any]) -> int | None:
        peak = self.portfolio.peaks.baseline_units(fall.level, fall.currency)
        if peak is None or not len(prices):
            return None
        worth = self._worth_over(self.portfolio.peaks, fall, pair)
        if worth is None:
            return None
        if float(prices.min()) <= 0:
            return 0  # a row without a price is processed separately
        values, slack = worth.values(prices)
        highest = np.maximum.accumulate(np.maximum(values, float(peak)))
        least = (highest + slack) * (1 - fall.share_e8 / UNIT)
        for index in np.flatnonzero(values - slack <= least * (1 + 1e-12)):
            row = int(index)
            before = self._highest(fall, pair, prices[: row + 1], worth)
            equity = self._equity_at(self.portfolio.peaks, fall, pair, float(prices[row]))
            if before is not None and equity is not None and fall.is_reached(equity, max(peak, before)):
                return row
        return None

    def _highest(
        self, fall: DrawdownLimit, pair: Pair, prices: np.ndarray[Any, Any], worth: WorthOverPrice
    ) -> int | None:
        """Return the exact highest equity at any of ``prices``. Floats are used only to select the candidates."""
        if float(prices.min()) <= 0:
            return None
        values, slack = worth.values(prices)
        near = np.unique(prices[values >= values.max() - 2 * slack])
        peaks = self.portfolio.peaks
        found = [equity for price in near if (equity := self._equity_at(peaks, fall, pair, float(price))) is not None]
        return max(found, default=None)

    def _worth_over(self, baselines: Baselines, limit: LossLimit | DrawdownLimit, pair: Pair) -> WorthOverPrice | None:
        """Return what is compared with a level's baseline as a function of one pair's price, or None if unknown."""
        held = baselines.counted(limit.level, limit.currency)
        worth = None if held is None else WorthOverPrice(self.portfolio, held, limit.currency, pair)
        return None if worth is None or worth.unknown else worth

    def _equity_at(
        self, baselines: Baselines, limit: LossLimit | DrawdownLimit, pair: Pair, price: float
    ) -> int | None:
        """Return a level's equity, to compare with its baseline, at a different price for one pair."""
        cell = self.portfolio.prices[pair]
        kept, cell.price = cell.price, price
        try:
            return baselines.equity_units(limit.level, limit.currency)
        finally:
            cell.price = kept

    def _first_row(self, limit: LossLimit, pair: Pair, prices: np.ndarray[Any, Any]) -> int | None:
        portfolio = self.portfolio
        baseline = portfolio.days.baseline_units(limit.level, limit.currency)
        if baseline is None or not len(prices):
            return None
        worth = self._worth_over(portfolio.days, limit, pair)
        if worth is None:
            return None
        threshold = baseline - limit.limit_units
        for index in worth.candidates(prices, threshold):
            if self._is_breached_at(limit, pair, float(prices[index]), threshold):
                return int(index)
        return None

    def _is_breached_at(self, limit: LossLimit, pair: Pair, price: float, threshold: int) -> bool:
        equity = self._equity_at(self.portfolio.days, limit, pair, price)
        return equity is not None and equity <= threshold

    def halt(self, level: str | None, reason: str) -> None:
        """Refuse all orders of a strategy (None: of all strategies) that do not reduce exposure, until `resume`."""
        self.halts[level] = reason

    def resume(self, level: str | None) -> None:
        """Lift a halt. Loss limits count the level's loss from now on, because otherwise the earlier loss would halt
        the level again; after a pause, they go on as before.
        """
        if self.halts.pop(level, PAUSED) != PAUSED:
            self.portfolio.days.restart(level)
            self.portfolio.peaks.restart(level)

    def halted(self, level: str | None) -> str | None:
        """Return the reason why a strategy (None: the bot) is halted, or None."""
        return self.halts.get(level)


def _refusal_of_halt(level: str, reason: str) -> str:
    # whoever paused a strategy must not read that something went wrong
    return f"{level} is {PAUSED}" if reason == PAUSED else f"{level} is halted: {reason}"


def _no_reason(rule: RiskRule, returned: object) -> str:
    return (
        f"risk rule {type(rule).__name__} failed, so the order was not sent: review returned {returned!r}; it must "
        f"return the reason to refuse the order, or None to accept it"
    )
