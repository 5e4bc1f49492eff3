"""What one strategy reaches of the engine: the other side of every method of `botkit.engine.strategy.base.Strategy`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from botkit.engine.market.bars import BarBuilder, BarSeries
from botkit.engine.market.pair_market import BarFeed, BookView, PairMarket, without_orders
from botkit.engine.money.positions import Position
from botkit.engine.orders.entry import is_met, limit_refusal, market_refusal, spend_for, stop_refusal
from botkit.engine.strategy.schedule import parse_schedule
from botkit.model.clock import NS_PER_S, Nanos, format_time, to_datetime
from botkit.model.events import Balance, Bar
from botkit.model.extension import FeeRates
from botkit.model.money import Number
from botkit.model.orders import BUY, LIMIT, MARKET, SELL, STOP_LIMIT, Condition, Order, OrderState, Side
from botkit.model.pairs import Pair
from botkit.model.resolutions import check_resolution

if TYPE_CHECKING:
    from botkit.engine.strategy.base import Strategy
    from botkit.engine.turn import Engine

#: a market order that waited longer than this is not worth sending
MARKET_DEADLINE_S = 5
_EXPIRE_MAX_S = 10**9  # thirty years; times must stay below 2^63 ns
_DEPTHS = (1, 5, 10, 20, 30, 50)
#: orders that a strategy may ask for at one moment; 200 may rest in a pair
ORDERS_A_MOMENT_MAX = 5_000
#: and how many, when they were too many to let it go on, until its callback is ended
ORDERS_WHEN_STOPPED_MAX = 1_000
#: reasons for which a strategy skipped or was refused that are counted apart: some have figures in them
REASONS_MAX = 1_000
_OTHER_REASONS = "(other reasons, too many to count apart)"


class _StrategyLog(logging.LoggerAdapter[logging.Logger]):
    """Adds the strategy's name and the bot's time, which in a backtest is not the time of day."""

    def __init__(self, context: Context) -> None:
        super().__init__(logging.getLogger(f"botkit.strategy.{context.name}"), {})
        self._context = context

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        context = self._context
        kwargs.setdefault("extra", {}).update(strategy=context.name, bot_time=context.engine.now)
        return f"{format_time(context.engine.now, context.engine.zone)} {context.name}: {msg}", kwargs


class Runaway(BaseException):
    """Ends a callback that asks for orders without end. No Exception, since strategies catch those."""


class Context:
    """One strategy instance at work: its name, its random numbers, its counters, and the way to the engine."""

    def __init__(self, engine: Engine, name: str, strategy: Strategy) -> None:
        self.engine = engine
        self.name = name
        self.strategy = strategy
        self.active = True
        #: why it was stopped before the end
        self.stopped_because = ""
        self.callbacks: dict[str, Callable[..., Any] | None] = {}
        self.random = Random(f"{engine.seed}:{name}")
        self.state: dict[str, Any] = {}
        self.timer_rings: dict[str, int] = {}
        #: highest price of each protected position since it was opened, by pair
        self.best_prices: dict[str, float] = {}
        self.log: logging.LoggerAdapter[logging.Logger] = _StrategyLog(self)
        self.skips: dict[str, int] = {}
        self.last_skip: dict[str, dict[str, Any]] = {}
        self.refusals: dict[str, int] = {}
        self.refused_this_turn = 0
        self.orders_count = 0
        #: orders asked for at one moment, and the moment
        self._asked = 0
        self._asked_at: tuple[Nanos, int] = (0, 0)
        self.fills_count = 0

    # -- reading ----------------------------------------------------------------------------------------------------

    def pair(self, pair: Pair | str) -> Pair:
        """The pair of that name, or ValueError naming those there are."""
        found = self.engine.pairs.get(pair)
        if found is None:
            raise ValueError(f"{str(pair)!r} is not a pair of this exchange; there are {', '.join(self.engine.pairs)}")
        return found

    def market(self, pair: Pair | str) -> PairMarket:
        """The pair's market, made on first use."""
        return self.engine.market(self.pair(pair))

    def local_time(self) -> datetime:
        """Now, in the configuration's time zone."""
        return to_datetime(self.engine.now, self.engine.zone)

    def book(self, pair: Pair | str, own: bool) -> BookView:
        """The last book, with or without this bot's own orders."""
        market = self.market(pair)
        book = market.book
        if not own:
            book = without_orders(book, self.engine.resting(market.pair))
        return BookView(book, market.book_seen, self.engine.now)

    def last_price(self, pair: Pair | str) -> float | None:
        """Price of the last trade or bar."""
        return self.market(pair).last.price

    def fees(self, pair: Pair | str) -> FeeRates:
        """Rates in force for the pair."""
        return self.engine.fee_rates(self.pair(pair))

    def balance(self, currency: str) -> Balance:
        """This strategy's balance."""
        return self.engine.portfolio.balance(self.name, currency.lower())

    def position(self, pair: Pair | str) -> Position:
        """This strategy's position."""
        return self.engine.portfolio.position(self.name, self.pair(pair))

    def open_orders(self, pair: Pair | str | None) -> list[Order]:
        """This strategy's orders that are not final."""
        return self.engine.desk.open_orders(self.name, None if pair is None else self.pair(pair))

    # -- subscribing ------------------------------------------------------------------------------------------------

    def _callback(self, name: str) -> Callable[..., Any] | None:
        return self.engine.callback(self, name)

    def subscribe_trades(self, pair: Pair | str) -> None:
        """Hear of the pair's trades."""
        self.engine.touched = True
        market = self.market(pair)
        callback = self._callback("on_trade")
        if callback is not None and all(context is not self for context, _ in market.trade_listeners):
            market.trade_listeners.append((self, callback))

    def subscribe_book(self, pair: Pair | str, depth: int) -> None:
        """Hear of the pair's books."""
        if depth not in _DEPTHS:
            raise ValueError(
                f"depth is {depth}, but the exchange serves books of {', '.join(map(str, _DEPTHS))} levels"
            )
        self.engine.touched = True
        market = self.market(pair)
        market.book_depth = max(market.book_depth, depth)
        market.book_listeners = [row for row in market.book_listeners if row[0] is not self]
        callback = self._callback("on_book")
        if callback is not None:
            market.book_listeners.append((self, callback, depth))

    def subscribe_ticker(self, pair: Pair | str) -> None:
        """Hear of the pair's 24-hour figures."""
        self.engine.touched = True
        market = self.market(pair)
        callback = self._callback("on_ticker")
        if callback is not None and all(context is not self for context, _ in market.ticker_listeners):
            market.ticker_listeners.append((self, callback))

    def subscribe_bars(
        self, pair: Pair | str, resolution: str, warm_up: int, on: Callable[[Bar], None] | str | None
    ) -> BarSeries:
        """Build bars and hear of them."""
        check_resolution(resolution)
        if warm_up < 0:
            raise ValueError(f"warm_up is {warm_up}; it is a number of bars, 0 or more")
        callback = self._bar_callback(on)
        engine = self.engine
        engine.touched = True
        market = self.market(pair)
        series = BarSeries(market.pair, resolution)
        feed = market.bar_feeds.get(resolution)
        if feed is None:
            feed = BarFeed(resolution, BarBuilder(market.pair, resolution, grace_ns=engine.bar_grace_ns))
            market.bar_feeds[resolution] = feed
            engine.warm_up_builder(feed)
        if warm_up:
            series.warm_start(engine.history(market.pair, resolution, warm_up))
        feed.listeners.append((self, series, callback))
        return series

    def _bar_callback(self, on: Callable[[Bar], None] | str | None) -> Callable[..., Any] | None:
        if on is None:
            return self._callback("on_bar")
        if isinstance(on, str):
            method = getattr(self.strategy, on, None)
            if not callable(method):
                raise ValueError(f"on={on!r}: {type(self.strategy).__name__} has no method of that name")
            return self._not_a_hook(method)
        return self._not_a_hook(on)

    @staticmethod
    def _not_a_hook(on: Callable[..., Any]) -> Callable[..., Any]:
        name = getattr(on, "__name__", "")
        if name.startswith("on_") and name != "on_bar":
            raise ValueError(
                f"on={name}: names that start with on_ are hooks of the bot; call the method e.g. {name[3:]}"
            )
        return on

    # -- orders -----------------------------------------------------------------------------------------------------

    def limit(
        self,
        side_text: Literal["buy", "sell"],
        pair_or_name: Pair | str,
        amount: Number,
        price: Number,
        post_only: bool,
        stop_price: Number | None,
        condition: Literal[">=", "<="] | None,
        on_met: Literal["refuse", "market"],
        expire_s: float | None,
        tag: str,
    ) -> Order:
        """A limit or stop-limit order."""
        engine, pair, side = self.engine, self.pair(pair_or_name), Side(side_text)
        rules, up = pair.rules, side_text == "sell"
        refusal: str | None = None
        ticks = lots = stop_ticks = 0
        try:
            ticks, lots = rules.ticks(price, up=up), rules.lots(amount)
            if stop_price is not None:
                stop_ticks = rules.ticks(stop_price, up=up)
            if expire_s is not None and not 0 < expire_s <= _EXPIRE_MAX_S:
                raise ValueError(f"expire_s is {expire_s}; it is a number of seconds above 0, or None")
        except (ValueError, TypeError) as error:
            refusal = str(error)
        when = Condition(condition) if condition else Condition.AT_MOST if up else Condition.AT_LEAST
        order = Order(
            client_id=engine.next_client_id(),
            strategy=self.name,
            pair=pair,
            side=side,
            type=LIMIT if stop_price is None else STOP_LIMIT,
            created=engine.now,
            price_ticks=max(ticks, 0),
            amount_lots=max(lots, 0),
            stop_ticks=max(stop_ticks, 0),
            condition=None if stop_price is None else when,
            post_only=post_only,
            expires=engine.now + int(expire_s * NS_PER_S) if expire_s and not refusal else None,
            tag=tag,
        )
        refusal = refusal or limit_refusal(order)
        if refusal is None and stop_price is not None:
            last_ticks = engine.market(pair).last.ticks
            refusal = stop_refusal(order, last_ticks)
            if refusal is None and last_ticks is not None and is_met(order, last_ticks):
                if on_met == "market":
                    if side is SELL:
                        return self.market_sell(pair, amount, 1, tag)
                    return self.market_buy(pair, None, amount, 1, tag)
                refusal = (
                    f"the stop condition {when.value} {rules.price_text(stop_ticks)} is already met at "
                    f"{rules.price_text(last_ticks)}"
                )
        return self._place(order, refusal)

    def _place(self, order: Order, refusal: str | None) -> Order:
        engine = self.engine
        engine.touched = True
        self._count_order()
        return engine.desk.place(order, refusal or engine.entry_refusal(self, order), engine.now)

    def _count_order(self) -> None:
        self.orders_count += 1
        moment = (self.engine.now, self.engine.events)
        if moment != self._asked_at:
            self._asked_at, self._asked = moment, 0
        self._asked += 1
        if self._asked > (ORDERS_A_MOMENT_MAX if self.active else ORDERS_WHEN_STOPPED_MAX):
            # neither a refusal nor a stop ends a loop that does not look at them, and every order of it takes memory
            why = f" after it was stopped ({self.stopped_because})" if not self.active else ""
            raise Runaway(f"it asked for {self._asked:,} orders at one moment{why}")

    def market_buy(
        self,
        pair_or_name: Pair | str,
        spend: Number | None,
        amount: Number | None,
        max_slippage_pct: float,
        tag: str,
    ) -> Order:
        """A market buy, by spend or by amount."""
        pair = self.pair(pair_or_name)
        market = self.engine.market(pair)
        refusal: str | None = None
        units = 0
        try:
            if (spend is None) == (amount is None):
                refusal = "give either spend (quote currency) or amount (base currency)"
            elif spend is not None:
                units = pair.rules.spend_units(spend)
            elif amount is not None:
                cost = spend_for(pair, pair.rules.lots(amount), market)
                if isinstance(cost, str):
                    refusal = cost
                else:
                    units = cost
        except (ValueError, TypeError) as error:
            refusal = str(error)
        order = self._market_order(pair, BUY, max_slippage_pct, tag, spend_units=max(units, 0))
        return self._place(order, refusal or self._market_refusal(order))

    def market_sell(
        self, pair_or_name: Pair | str, amount: Number, max_slippage_pct: float, tag: str, *, reduces: bool = False
    ) -> Order:
        """A market sell of an amount."""
        pair = self.pair(pair_or_name)
        refusal: str | None = None
        lots = 0
        try:
            lots = pair.rules.lots(amount)
        except (ValueError, TypeError) as error:
            refusal = str(error)
        order = self._market_order(pair, SELL, max_slippage_pct, tag, amount_lots=max(lots, 0), reduces=reduces)
        return self._place(order, refusal or self._market_refusal(order))

    def _market_refusal(self, order: Order) -> str | None:
        engine = self.engine
        return market_refusal(order, engine.market(order.pair), engine.now, engine.max_book_age_ns)

    def _market_order(
        self,
        pair: Pair,
        side: Side,
        max_slippage_pct: float,
        tag: str,
        *,
        spend_units: int = 0,
        amount_lots: int = 0,
        reduces: bool = False,
    ) -> Order:
        now = self.engine.now
        return Order(
            client_id=self.engine.next_client_id(),
            strategy=self.name,
            pair=pair,
            side=side,
            type=MARKET,
            created=now,
            spend_units=spend_units,
            amount_lots=amount_lots,
            expires=now + MARKET_DEADLINE_S * NS_PER_S,
            max_slippage_pct=max_slippage_pct,
            tag=tag,
            reduces=reduces,
        )

    def close(self, pair_or_name: Pair | str, max_slippage_pct: float, tag: str) -> Order:
        """Sell what is sellable, at the market."""
        pair = self.pair(pair_or_name)
        position = self.position(pair)
        lots = position.sellable_lots
        order = self._market_order(pair, SELL, max_slippage_pct, tag, amount_lots=lots, reduces=True)
        refusal = None if lots else f"nothing of {pair} can be sold now (position {position.amount:g} {pair.base})"
        return self._place(order, refusal or self._market_refusal(order))

    def _own(self, order: Order) -> None:
        if order.strategy != self.name:
            raise ValueError(f"order {order.client_id} belongs to strategy {order.strategy!r}, not to {self.name!r}")

    def cancel(self, order: Order) -> None:
        """Cancel one of this strategy's orders."""
        self._own(order)
        self.engine.touched = True
        self.engine.desk.cancel(order, self.engine.now)

    def cancel_all(self, pair: Pair | str | None) -> None:
        """Cancel this strategy's orders."""
        for order in self.open_orders(pair):
            self.cancel(order)

    def replace(self, old: Order, price: Number | None, amount: Number | None) -> Order:
        """Put another order in the place of one."""
        self._own(old)
        engine, rules = self.engine, old.pair.rules
        engine.touched = True
        refusal: str | None = None
        ticks, lots = old.price_ticks, old.remaining_lots
        try:
            if price is not None:
                ticks = rules.ticks(price, up=old.side is SELL)
            if amount is not None:
                lots = rules.lots(amount)
        except (ValueError, TypeError) as error:
            refusal = str(error)
        # a stop order that has triggered is a limit order from then on
        triggered = old.type is STOP_LIMIT and old.state in (OrderState.OPEN, OrderState.PARTLY_FILLED)
        new = Order(
            client_id=engine.next_client_id(),
            strategy=self.name,
            pair=old.pair,
            side=old.side,
            type=LIMIT if triggered else old.type,
            created=engine.now,
            price_ticks=max(ticks, 0),
            amount_lots=max(lots, 0),
            stop_ticks=0 if triggered else old.stop_ticks,
            condition=None if triggered else old.condition,
            post_only=old.post_only,
            expires=old.expires,
            tag=old.tag,
        )
        self._count_order()
        if old.type is MARKET:
            refusal = "a market order cannot be replaced"
        refusal = refusal or limit_refusal(new) or engine.entry_refusal(self, new, old)
        if refusal is not None:
            return engine.desk.place(new, refusal, engine.now)
        return engine.desk.replace(old, new, engine.now)

    def quote(
        self,
        pair: Pair | str,
        bids: Sequence[tuple[Number, Number]],
        asks: Sequence[tuple[Number, Number]],
        post_only: bool,
        tolerance_bps: float,
        tag: str,
    ) -> None:
        """State the wanted resting orders."""
        self.engine.quoter.want(self, self.pair(pair), bids, asks, post_only, tolerance_bps, tag)

    def protect(
        self, pair: Pair | str, stop_loss_pct: float | None, take_profit_pct: float | None, trail_pct: float | None
    ) -> None:
        """Watch a position and leave it when it is time."""
        self.engine.protector.protect(self, self.pair(pair), stop_loss_pct, take_profit_pct, trail_pct)

    # -- what outlives the process ----------------------------------------------------------------------------------

    def kept(self) -> dict[str, Any]:
        """What a restart must find again, as JSON takes it where the strategy's own ``state`` does."""
        return {"state": self.state, "timers": self.timer_rings, "best": self.best_prices}

    def recall(self, kept: Mapping[str, Any]) -> None:
        """Take in what `kept` gave, before ``on_start``."""
        self.state.update(kept["state"])
        self.timer_rings.update(kept["timers"])
        self.best_prices.update(kept.get("best", {}))  # journals from before it was kept have none

    # -- the rest ---------------------------------------------------------------------------------------------------

    def set_timer(self, name: str, every_s: float | None, cron: str | None, missed: Literal["skip", "once"]) -> None:
        """Ring now and then."""
        schedule = parse_schedule(every_s=every_s, cron=cron, zone=self.engine.zone)
        self.engine.touched = True
        owed = self.engine.timers.set(self, name, schedule, missed, self.engine.now)
        if owed is not None:
            self.engine.notify(self, "on_timer", owed)

    def cancel_timer(self, name: str) -> None:
        """End a timer."""
        self.engine.timers.cancel(self, name)

    def skip(self, reason: str, values: dict[str, Any]) -> None:
        """Count a decision not to trade."""
        self.last_skip[_count(self.skips, reason)] = values

    def refused(self, reason: str) -> None:
        """Count an order that was refused."""
        _count(self.refusals, reason)
        self.refused_this_turn += 1


def _count(counts: dict[str, int], reason: str) -> str:
    """Count a reason; returns the one it was counted as."""
    if reason not in counts and len(counts) >= REASONS_MAX:
        reason = _OTHER_REASONS
    counts[reason] = counts.get(reason, 0) + 1
    return reason
