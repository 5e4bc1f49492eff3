"""Exits managed by the engine: a position's stop loss, take profit and trailing stop.

Two resting exits would lock the same coins twice, and the exchange has no OCO orders, so no exit rests in the book.
Instead the engine watches the last price. When an exit triggers, it cancels the orders that lock the coins, waits until
they are final, and sells at the market. It does not wait for orders of unknown outcome, which may stay unknown for
minutes: it sells the other coins meanwhile. The engine receives only traded prices. If the price gaps through the stop,
an exit therefore sells at the price beyond the gap.

The exits are managed by the engine, not by the strategy. They therefore stay active when the strategy is paused, halted
or stopped, whether because of a loss or because the strategy failed. In these cases nothing else manages the position,
and selling cannot increase the exposure. Exits end with the run (`on_stop` then decides about positions), and when a
stopped strategy has nothing left to sell.
"""

from __future__ import annotations

from botkit.engine.agenda import BotClock, Changes
from botkit.engine.market.markets import Markets
from botkit.engine.market.pair_market import PairMarket
from botkit.engine.money.portfolio import Portfolio
from botkit.engine.orders.entry import OrderEntry
from botkit.engine.orders.table import OrderTable
from botkit.engine.strategy.record import StrategyRecord
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import Fill
from botkit.model.orders import Order, OrderState, Side
from botkit.model.pairs import Pair
from botkit.model.percent import check_pct

#: the maximum slippage of an exit, relative to the best visible price
EXIT_SLIPPAGE_PCT = 1.0
#: a limit exit that is not fully filled after this time is cancelled, and its replacement follows the market price
_LIMIT_EXIT_LASTS: Nanos = 5 * NS_PER_S
#: delay before the next attempt after a refused exit
_RETRY_AFTER: Nanos = 1 * NS_PER_S


class _Watch:
    """One protected position."""

    __slots__ = ("due", "entry", "held_at", "order", "pair", "record", "retry_at", "stop_loss", "take_profit", "trail")

    def __init__(
        self,
        record: StrategyRecord,
        entry: OrderEntry,
        pair: Pair,
        stop_loss: float | None,
        take_profit: float | None,
        trail: float | None,
    ) -> None:
        self.record = record
        self.entry = entry
        self.pair = pair
        #: distances from the entry price, as fractions
        self.stop_loss = stop_loss
        self.take_profit = take_profit
        self.trail = trail
        #: the triggered exit, set while the position is being closed
        self.due = ""
        self.order: Order | None = None
        #: no attempt is made before this time
        self.retry_at: Nanos = 0
        #: the last time at which an exit could not be sent
        self.held_at: Nanos | None = None

    @property
    def best(self) -> float | None:
        """The highest price since the position was opened. Like the position, it survives restarts."""
        return self.record.best_prices.get(self.pair)

    def rise_to(self, price: float) -> None:
        """Raise the best price to the pair's new price, if that price is higher."""
        best = self.best
        if best is None or price > best:
            self.record.best_prices[self.pair] = price


class Protector:
    """All of the bot's protected positions."""

    def __init__(
        self, *, clock: BotClock, changes: Changes, markets: Markets, portfolio: Portfolio, table: OrderTable
    ) -> None:
        self._clock = clock
        self._changes = changes
        self._markets = markets
        self._portfolio = portfolio
        self._table = table
        #: positions that are protected now or will be once opened; if empty, prices need no check
        self.watches: dict[tuple[str, str], _Watch] = {}
        #: watches to check again, because an order that locked their coins is now final
        self.again: dict[int, _Watch] = {}

    def protect(
        self,
        record: StrategyRecord,
        entry: OrderEntry,
        pair: Pair,
        stop_loss_pct: float | None,
        take_profit_pct: float | None,
        trail_pct: float | None,
    ) -> None:
        """Protect a strategy's current and future positions in a pair until the settings are changed."""
        check_pct("stop_loss_pct", stop_loss_pct, below=100)
        check_pct("take_profit_pct", take_profit_pct)
        check_pct("trail_pct", trail_pct, below=100)
        key = (record.name, str(pair))
        before = self.watches.pop(key, None)
        self._changes.count += 1
        if stop_loss_pct is None and take_profit_pct is None and trail_pct is None:
            record.best_prices.pop(pair, None)
            return
        watch = _Watch(record, entry, pair, _share(stop_loss_pct), _share(take_profit_pct), _share(trail_pct))
        # the distances are new but the position is unchanged, so its best price so far still applies
        if before is not None:
            watch.due, watch.order = before.due, before.order
        self.watches[key] = watch
        self._markets.of(pair)

    def order_changed(self, order: Order) -> None:
        """Handle an order's new state: a final order no longer locks coins."""
        if self.watches and order.is_final and order.side is Side.SELL:
            watch = self.watches.get((order.strategy, str(order.pair)))
            if watch is not None and watch.order is order and self._is_held_back(watch, order):
                watch.retry_at = self._clock.now + _RETRY_AFTER
            elif watch is not None and watch.due:
                self.again[id(watch)] = watch

    def _is_held_back(self, watch: _Watch, order: Order) -> bool:
        """Return True if neither this exit nor another exit shortly before could be sent.

        After the first unsent exit, a second attempt may follow immediately, as a limit order where no market order is
        allowed. A problem that blocks both attempts, such as a journal that cannot be written or a bot that must first
        be reconciled, would block any number of further attempts. In a live bot, some microseconds pass between two
        attempts.
        """
        if order.state is not OrderState.NOT_SENT:
            return False
        before, watch.held_at = watch.held_at, self._clock.now
        return before is not None and watch.held_at - before < _RETRY_AFTER

    def settle(self) -> None:
        """Continue to close positions whose coins are free again."""
        while self.again:
            watch = self.again.pop(next(iter(self.again)))
            price = self._markets.of(watch.pair).last.price
            if price is not None and self.watches.get((watch.record.name, str(watch.pair))) is watch:
                self._look(watch, price)

    def strategy_stopped(self, record: StrategyRecord) -> list[Pair]:
        """Keep protecting a stopped strategy's holdings, including coins that its orders may still buy before their
        cancels take effect.

        Returns the protected pairs.
        """
        for watch in [watch for watch in self.watches.values() if watch.record is record]:
            self._forget_if_over(watch)
        return [watch.pair for watch in self.watches.values() if watch.record is record]

    def _forget_if_over(self, watch: _Watch) -> None:
        record, pair = watch.record, watch.pair
        if record.active or not self._portfolio.position(record.name, pair).is_flat:
            return
        if not self._table.open_of(record.name, pair):
            self.watches.pop((record.name, str(pair)), None)

    def end(self) -> None:
        """Trigger no more exits, because the run is ending."""
        self.watches.clear()
        self.again.clear()

    def unprotected(self, record: StrategyRecord) -> list[Pair]:
        """Return the pairs whose positions were protected before a restart but no longer are."""
        if not record.best_prices:
            return []
        held = [position.pair for position in self._portfolio.positions(record.name) if not position.is_flat]
        return [pair for pair in held if pair in record.best_prices and (record.name, str(pair)) not in self.watches]

    def filled(self, fill: Fill, record: StrategyRecord) -> None:
        """If this fill opened the position, start tracking the best price. If it closed the position, forget the best
        price.
        """
        if fill.side is Side.SELL and self._portfolio.position(record.name, fill.pair).is_flat:
            # needed even if the position was not protected, because the next position must start without a best price
            record.best_prices.pop(fill.pair, None)
        watch = self.watches.get((fill.order.strategy, str(fill.pair)))
        if watch is not None and fill.side is Side.BUY:
            watch.rise_to(fill.price)

    def on_price(self, market: PairMarket) -> None:
        """Check the exits against the pair's new last price."""
        price = market.last.price
        assert price is not None
        for watch in list(self.watches.values()):
            if watch.pair == market.pair:
                self._look(watch, price)

    def _look(self, watch: _Watch, price: float) -> None:
        position = self._portfolio.position(watch.record.name, watch.pair)
        if position.is_flat:
            watch.due, watch.order = "", None
            watch.record.best_prices.pop(watch.pair, None)
            self._forget_if_over(watch)
            return
        watch.rise_to(price)
        if not watch.due:
            watch.due = _exit_due(watch, price, position.average_entry)
        if watch.due:
            self._leave(watch)

    def _leave(self, watch: _Watch) -> None:
        latest = watch.order
        if latest is not None and latest.is_open and latest.state is not OrderState.UNKNOWN:
            return
        if self._clock.now < watch.retry_at:
            return
        name, entry, pair = watch.record.name, watch.entry, watch.pair
        locking = [o for o in self._table.open_of(name, pair) if o.side is Side.SELL and o is not latest]
        # an answer is due within seconds, but an outcome may stay unknown, and its coins locked, for minutes
        must_wait = any(order.state is not OrderState.UNKNOWN for order in locking)
        for order in locking:
            entry.cancel(order)
        if must_wait:
            return  # the cancelled orders' coins become free once the cancels are final; see `order_changed`
        lots = self._portfolio.position(name, pair).sellable_lots
        if not lots:
            return
        order = entry.close(pair, EXIT_SLIPPAGE_PCT, watch.due)
        if order.is_refused:
            # While the outcome of an order in the pair is unknown, or the book is too thin for the full amount, no
            # market order may be sent. A limit order at the worst price allowed for the exit then sells as much as
            # possible.
            order = self._limit_exit(watch, lots)
        if order.is_refused:
            watch.retry_at = self._clock.now + _RETRY_AFTER
        watch.order = order

    def _limit_exit(self, watch: _Watch, lots: int) -> Order:
        market = self._markets.of(watch.pair)
        bids = market.book.bid_levels
        best = bids[0][0] if bids else market.last.ticks
        assert best is not None
        ticks = max(1, int(best * (1 - EXIT_SLIPPAGE_PCT / 100)))
        return watch.entry.own_limit(
            watch.pair, Side.SELL, lots, ticks, watch.due, lasts=_LIMIT_EXIT_LASTS, reduces=True
        )


def _share(pct: float | None) -> float | None:
    return None if pct is None else float(pct) / 100


def _exit_due(watch: _Watch, price: float, entry: float) -> str:
    if entry > 0:
        if watch.stop_loss is not None and price <= entry * (1 - watch.stop_loss):
            return "stop_loss"
        if watch.take_profit is not None and price >= entry * (1 + watch.take_profit):
            return "take_profit"
    if watch.trail is not None and watch.best is not None and price <= watch.best * (1 - watch.trail):
        return "trailing_stop"
    return ""
