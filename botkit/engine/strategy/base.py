"""The base class of every strategy: the methods that you may override, read and call.

This interface is stable. A strategy has access only to market data and to its own orders, money and position. It has no
keys, no sockets, and no clock except ``self.now``. The same object runs in a backtest, on the emulator, in paper
trading and live.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Any, ClassVar, Literal

from botkit.engine.market.book import BookView
from botkit.engine.money.positions import Position
from botkit.engine.strategy.bar_series import BarSeries
from botkit.engine.strategy.context import Context
from botkit.engine.strategy.series import KEEP_ROWS
from botkit.engine.strategy.trade_series import TradeSeries
from botkit.model.clock import Nanos
from botkit.model.events import Balance, Bar, Connection, Fill, OrderBook, Ticker, Timer, Trade
from botkit.model.extension import FeeRates
from botkit.model.money import Number
from botkit.model.orders import BUY, SELL, Order
from botkit.model.pairs import Pair, PairRules


class Strategy:
    """Derive from this class, annotate class attributes as parameters, and override the callbacks you need.

        class Threshold(Strategy):
            \"\"\"Buys below one price and sells above another.\"\"\"
            pair: Pair
            buy_below: float
            sell_above: float
            spend: float = 1_000

            def on_start(self):
                self.subscribe_trades(self.pair)

            def on_trade(self, trade):
                position = self.position(self.pair)
                if position.is_flat and trade.price < self.buy_below and not self.open_orders(self.pair):
                    self.market_buy(self.pair, spend=self.spend)
                elif position.sellable and trade.price > self.sell_above:
                    self.close(self.pair)

    Parameters are int, float, str, bool, Decimal, an enum, list or `Pair`, with or without a default; names that start
    with ``_`` and ClassVars are not parameters. Order calls return an `Order` at once and never raise because of the
    market or the rules: a refused order is in state REFUSED, with the reason.
    """

    #: lets the plugin machinery recognise a strategy without importing this module
    __botkit_strategy__: ClassVar[bool] = True

    _context: Context

    # -- callbacks: override the ones you need --------------------------------------------------------------------

    def on_start(self) -> None:
        """Called when the bot starts. Subscribe, attach indicators and set timers here. Orders can be placed and series
        read only from `on_ready` on.

        Raise `ConfigError` for parameters that contradict each other: the user sees only its message.
        """

    def on_ready(self) -> None:
        """Called once the history has arrived. From then on, you can read series and indicators and place orders."""

    def on_trade(self, trade: Trade) -> None:
        """Called for each public trade in a pair that you subscribed to with `subscribe_trades`."""

    def on_book(self, book: OrderBook) -> None:
        """Called for each new order book of a pair that you subscribed to with `subscribe_book`."""

    def on_ticker(self, ticker: Ticker) -> None:
        """Called when the 24-hour statistics change for a pair that you subscribed to with `subscribe_ticker`."""

    def on_bar(self, bar: Bar) -> None:
        """Called when a bar ends in a series that you subscribed to with `subscribe_bars`. The series already includes
        the bar.
        """

    def on_order(self, order: Order) -> None:
        """Called when one of your orders changes state."""

    def on_fill(self, fill: Fill) -> None:
        """Called when part or all of one of your orders is executed. Position and balance already include the
        execution.
        """

    def on_balance(self, balance: Balance) -> None:
        """Called when your balance of a currency changes."""

    def on_timer(self, timer: Timer) -> None:
        """Called when a timer that you set with `set_timer` fires."""

    def on_connection(self, connection: Connection) -> None:
        """Called when a stream connects, disconnects, or has caught up again."""

    def on_params(self, changed: dict[str, Any]) -> None:
        """Called when parameters declared live are changed at run time. The new values are already set."""

    def on_stop(self) -> None:
        """Called when the bot stops. Orders placed in this callback are still sent."""

    # -- time and identity ----------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name of this instance in the configuration."""
        return self._context.record.name

    @property
    def now(self) -> Nanos:
        """The time of the current event, in nanoseconds since the epoch (UTC). Use no other clock."""
        return self._context.now

    @property
    def local_time(self) -> datetime:
        """`now` as a datetime in the configuration's time zone."""
        return self._context.local_time()

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that adds this strategy's name and the bot's time."""
        return self._context.log

    @property
    def random(self) -> Random:
        """A random number generator, seeded from the run's seed and this strategy's name, so that a run can be
        reproduced.
        """
        return self._context.record.random

    @property
    def state(self) -> dict[str, Any]:
        """A dict that survives restarts. It may contain numbers, text, lists and dicts. It is saved together with the
        orders of the turn in which it changes.
        """
        return self._context.record.state

    # -- market data ----------------------------------------------------------------------------------------------

    def subscribe_trades(self, pair: Pair | str) -> TradeSeries:
        """Call `on_trade` for every public trade in the pair. Returns the series of trades, to which you can attach
        indicators.
        """
        return self._context.subscriptions.trades(self._context.pair(pair))

    def subscribe_book(self, pair: Pair | str, depth: int = 5) -> None:
        """Call `on_book` for every new book of the pair, with ``depth`` levels per side (1, 5, 10, 20, 30 or 50)."""
        self._context.subscriptions.book(self._context.pair(pair), depth)

    def subscribe_ticker(self, pair: Pair | str) -> None:
        """Call `on_ticker` when the pair's 24-hour statistics change."""
        self._context.subscriptions.ticker(self._context.pair(pair))

    def subscribe_bars(
        self,
        pair: Pair | str,
        resolution: str = "1m",
        *,
        warm_up: int = 0,
        keep: int | None = KEEP_ROWS,
        on: Callable[[Bar], None] | str | None = None,
    ) -> BarSeries:
        """Call `on_bar` at the end of every bar, and return the series of finished bars.

            bars = self.subscribe_bars(self.pair, "5m")
            self.mean = bars.attach(SMA(30))

        ``resolution`` is one of the exchange's resolutions (1m 5m 15m 30m 1h 3h 4h 6h 12h 1d 1w 1M). From `on_ready`
        on, the series contains finished bars from before the start: as many as its indicators need, or ``warm_up``
        bars. There may be fewer, so check ``len(series)``. The series keeps its last ``keep`` bars (None: all). ``on``
        routes the bars to another method, passed as the method itself or by name; the name must not start with ``on_``.
        """
        return self._context.subscriptions.bars(self._context.pair(pair), resolution, warm_up, on, keep)

    def book(self, pair: Pair | str, own: bool = True) -> BookView:
        """Return the latest order book: ``bids``, ``asks``, ``mid``, ``spread_bps``, ``age_s``.

        Like the exchange's book, it includes your own resting orders; ``own=False`` removes them. Before the first
        book, both sides are empty and mid is None.
        """
        return self._context.book(pair, own)

    def last_price(self, pair: Pair | str) -> float | None:
        """Return the last trade price (or the last bar's close), or None before the first trade or bar."""
        return self._context.last_price(pair)

    def rules(self, pair: Pair | str) -> PairRules:
        """Return the exchange's order rules for the pair."""
        return self._context.pair(pair).rules

    def fees(self, pair: Pair | str) -> FeeRates:
        """Return the fee rates: ``maker`` and ``taker`` as fractions, and ``source``, the origin of the rates."""
        return self._context.fees(pair)

    # -- money ----------------------------------------------------------------------------------------------------

    def balance(self, currency: str) -> Balance:
        """Return this strategy's balance of a currency (not the account's balance): ``available``, ``locked``,
        ``total``.
        """
        return self._context.balance(currency)

    def position(self, pair: Pair | str) -> Position:
        """Return this strategy's own net amount in the pair: ``amount``, ``given`` (the amount handed over),
        ``sellable``, ``is_flat``, ``average_entry``, ``unrealised`` and ``realised`` (quote currency).
        """
        return self._context.position(pair)

    def open_orders(self, pair: Pair | str | None = None) -> list[Order]:
        """Return your orders that are not final, oldest first, including queued and unknown ones."""
        return self._context.open_orders(pair)

    # -- orders ---------------------------------------------------------------------------------------------------

    def buy(
        self,
        pair: Pair | str,
        *,
        amount: Number,
        price: Number,
        post_only: bool = False,
        stop_price: Number | None = None,
        condition: Literal[">=", "<="] | None = None,
        on_met: Literal["refuse", "market"] = "refuse",
        expire_s: float | None = None,
        closes: Order | None = None,
        tag: str = "",
    ) -> Order:
        """Place a limit order to buy ``amount`` (base currency) at ``price`` or better.

        The amount and the price are rounded down to the pair's steps. A ``post_only`` order is cancelled if it would
        execute immediately. An order with a ``stop_price`` is a stop order, which enters the book when the last price
        is ``>=`` the stop price, or ``<=`` if ``condition`` requires it. A stop order whose condition is already met is
        refused or, with ``on_met="market"``, replaced with a market order of the same amount that accepts 1 % of
        slippage: ``price`` and ``expire_s`` then do not apply. ``expire_s`` seconds after this call, the unfilled
        remainder is dropped or cancelled. ``closes`` names the order whose position this order closes: a
        backtest's trade list then pairs these two orders, instead of pairing orders first in, first out.
        """
        context = self._context
        if closes is not None:
            context.orders.check_closes(closes, BUY, context.pair(pair))
        order = context.orders.limit(
            "buy", context.pairs[pair], amount, price, post_only, stop_price, condition, on_met, expire_s, tag
        )
        if closes is not None:
            order.closes = closes.client_id
        return order

    def sell(
        self,
        pair: Pair | str,
        *,
        amount: Number,
        price: Number,
        post_only: bool = False,
        stop_price: Number | None = None,
        condition: Literal[">=", "<="] | None = None,
        on_met: Literal["refuse", "market"] = "refuse",
        expire_s: float | None = None,
        closes: Order | None = None,
        tag: str = "",
    ) -> Order:
        """Place a limit order to sell ``amount`` (base currency) at ``price`` or better.

        The amount is rounded down and the price up. A stop order enters the book when the last price is ``<=`` its
        ``stop_price``, unless ``condition`` specifies otherwise. All other parameters work as in `buy`.
        """
        context = self._context
        if closes is not None:
            context.orders.check_closes(closes, SELL, context.pair(pair))
        order = context.orders.limit(
            "sell", context.pairs[pair], amount, price, post_only, stop_price, condition, on_met, expire_s, tag
        )
        if closes is not None:
            order.closes = closes.client_id
        return order

    def market_buy(
        self,
        pair: Pair | str,
        *,
        spend: Number | None = None,
        amount: Number | None = None,
        max_slippage_pct: float = 1,
        closes: Order | None = None,
        tag: str = "",
    ) -> Order:
        """Buy immediately: for ``spend`` (quote currency) or about ``amount`` (base currency).

        The exchange's market buy takes only a spend. An ``amount`` is therefore converted to its cost at the visible
        book's prices, or at the last price if there is no book, so the amount bought may differ slightly. The order is
        refused if the visible book cannot fill it within ``max_slippage_pct`` of the best ask. This check is repeated
        just before the order is sent.
        """
        context = self._context
        if closes is not None:
            context.orders.check_closes(closes, BUY, context.pair(pair))
        order = context.orders.market_buy(context.pairs[pair], spend, amount, max_slippage_pct, tag)
        if closes is not None:
            order.closes = closes.client_id
        return order

    def market_sell(
        self,
        pair: Pair | str,
        *,
        amount: Number,
        max_slippage_pct: float = 1,
        closes: Order | None = None,
        tag: str = "",
    ) -> Order:
        """Sell ``amount`` (base currency) immediately. The order is refused if the visible book cannot absorb it within
        ``max_slippage_pct`` of the best bid. This check is repeated just before the order is sent.
        """
        context = self._context
        if closes is not None:
            context.orders.check_closes(closes, SELL, context.pair(pair))
        order = context.orders.market_sell(context.pairs[pair], amount, max_slippage_pct, tag)
        if closes is not None:
            order.closes = closes.client_id
        return order

    def close(self, pair: Pair | str, *, max_slippage_pct: float = 1, tag: str = "close") -> Order:
        """Sell the entire sellable position immediately, including coins that were handed over. Coins locked in open
        orders cannot be sold, so cancel these orders first. An `order_target` in this pair that still waits is dropped.
        """
        return self._context.close(pair, max_slippage_pct, tag)

    def order_target(
        self, pair: Pair | str, amount: Number, *, max_slippage_pct: float = 1, tag: str = ""
    ) -> Order | None:
        """Set a target position of ``amount`` (base currency): buy or sell the difference from the current position at
        the market.

        Returns the order, or None if there is nothing to do. A purchase that needs the proceeds of a sale by the same
        strategy waits until that sale is final, and then spends the available money; the call also returns None in this
        case. A new target replaces a waiting one; `close` and `cancel_all` drop it. If an order is filled only in part,
        call this method again for the rest.
        """
        return self._context.order_target(pair, amount, max_slippage_pct, tag)

    def rebalance(
        self,
        weights: Mapping[Pair, Number] | Mapping[str, Number],
        *,
        tolerance: float = 0,
        max_slippage_pct: float = 1,
        tag: str = "",
    ) -> None:
        """Buy and sell so that each position has the given weight in the total value of these positions and the free
        quote currency.

            self.rebalance({"btc_twd": 0.5, "eth_twd": 0.3})     # the rest stays in TWD

        Weights and ``tolerance`` are fractions: 0.25 is 25 %. A position is left alone while its share of the total is
        within ``tolerance`` of its weight. Sales are sent first, and purchases spend the proceeds once available. The
        pairs must share one quote currency. All earlier targets in these pairs are replaced, those that wait included.
        """
        self._context.rebalance(weights, tolerance, max_slippage_pct, tag)

    def cancel(self, order: Order) -> None:
        """Cancel one of your orders. `on_order` reports the final state; until then the order can still be filled."""
        self._context.orders.cancel(order)

    def cancel_all(self, pair: Pair | str | None = None) -> None:
        """Cancel your own open orders, in one pair or in all pairs. Targets that wait for proceeds are dropped."""
        self._context.cancel_all(pair)

    def replace(self, order: Order, *, price: Number | None = None, amount: Number | None = None) -> Order:
        """Cancel an order and place another one instead; ``amount`` is the amount that should remain.

        The new order is sent once the old one is final. Its amount is reduced by fills in the meantime, and it is
        dropped if the remainder is below the minimum. A queued order keeps its position in the queue. An order that a
        quote has placed leaves the quote, which then places that level again: to move a level, state the quote again.
        """
        return self._context.orders.replace(order, price, amount)

    def quote(
        self,
        pair: Pair | str,
        *,
        bids: Sequence[tuple[Number, Number]] = (),
        asks: Sequence[tuple[Number, Number]] = (),
        post_only: bool = True,
        tolerance_bps: float = 0,
        tag: str = "",
    ) -> None:
        """State the orders that should rest, as (price, amount). The engine sends the difference.

        Orders with this pair and ``tag`` within ``tolerance_bps`` of a stated price are kept, and the others are
        cancelled. Once the cancelled orders are final, missing orders are placed. You may call this method on every
        event.

        **A quote stays in force until you state another**: a level that fills is placed again at once, as often as it
        fills and the money lasts. If a level may fill once only, state the quote without it in `on_fill`.
        """
        self._context.quote(pair, bids, asks, post_only, tolerance_bps, tag)

    def protect(
        self,
        pair: Pair | str,
        *,
        stop_loss_pct: float | None = None,
        take_profit_pct: float | None = None,
        trail_pct: float | None = None,
    ) -> None:
        """Let the engine close the position at a stop loss, at a take profit, or when the price has fallen back from
        its best.

        The distances are percentages of the average entry price (for ``trail_pct``, of the best price since the entry):
        2 is 2 %, and 0.02 is refused, because it was almost certainly meant as a fraction. The engine manages the
        exits, because two resting exits would lock the same coins twice. The exits stay active when the strategy is
        paused, halted or stopped, and end with the run. If all distances are None, the protection ends.
        """
        self._context.protect(pair, stop_loss_pct, take_profit_pct, trail_pct)

    # -- other methods -------------------------------------------------------------------------------------------------

    def set_timer(
        self,
        name: str = "timer",
        *,
        every_s: float | None = None,
        cron: str | None = None,
        missed: Literal["skip", "once"] = "skip",
    ) -> None:
        """Call `on_timer` every ``every_s`` seconds (aligned to the epoch) or on a cron schedule in the configured time
        zone.

        With ``missed="once"``, the timer fires once at the start if firings were missed while the bot was down; with
        "skip" it does not. A new timer replaces a timer with the same name.
        """
        self._context.set_timer(name, every_s, cron, missed)

    def cancel_timer(self, name: str = "timer") -> None:
        """Cancel a timer."""
        self._context.cancel_timer(name)

    def plot(self, name: str, value: float | None, *, pane: str | None = None, pair: Pair | str = "") -> None:
        """Plot a value at the current time. Charts connect values with the same name to form a line. None leaves a gap.

        ``pane`` is "price" for a line drawn over the prices, or the name of a pane below them, by default the line's
        name. ``pair`` selects the chart, by default that of the first pair subscribed to.
        """
        self._context.plots.plot(self.now, name, value, pane=pane, pair=str(pair))

    def notify(self, text: str) -> None:
        """Send the user a message through every configured notifier, regardless of its ``level``.

        The message is sent outside the trading loop, together with other messages from the same time, and counts toward
        ``daily_cap``. A backtest sends nothing: it prints the line with its timestamp and records it in
        decisions.jsonl.
        """
        self._context.notify(str(text))

    def skip(self, reason: str, /, **values: Any) -> None:
        """Record the reason for not trading now. Reasons are counted, and shown in the report and by ``botkit why``. A
        reason that is not text, such as an exception, is recorded as its text.
        """
        self._context.record.skip(reason if type(reason) is str else str(reason), values)


def bind(strategy: Strategy, context: Context, parameters: Mapping[str, Any]) -> None:
    """Set an instance's parameters and its connection to the engine. Used by the engine and by tests."""
    strategy._context = context
    for name, value in parameters.items():
        setattr(strategy, name, value)
