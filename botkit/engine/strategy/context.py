"""The engine side of every method of `botkit.engine.strategy.base.Strategy`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Literal

from botkit.engine.agenda import BotClock
from botkit.engine.market.book import BookView, without_orders
from botkit.engine.market.markets import Markets
from botkit.engine.market.pair_market import PairMarket
from botkit.engine.money.portfolio import Portfolio
from botkit.engine.money.positions import Position
from botkit.engine.orders.entry import OrderEntry
from botkit.engine.orders.protection import Protector
from botkit.engine.orders.quoting import Quoter
from botkit.engine.orders.table import OrderTable
from botkit.engine.orders.targets import Targets
from botkit.engine.strategy.log import StrategyLog, Tell
from botkit.engine.strategy.plots import PlotStore
from botkit.engine.strategy.record import StrategyRecord
from botkit.engine.strategy.schedule import parse_schedule
from botkit.engine.strategy.subscriptions import Subscriptions
from botkit.engine.strategy.timers import TimerBook
from botkit.model.clock import Nanos, to_datetime
from botkit.model.events import Balance
from botkit.model.extension import FeeRates
from botkit.model.money import Number
from botkit.model.orders import Order
from botkit.model.pairs import Pair
from botkit.model.percent import check_bps, looks_like_fraction


class KnownPairs(dict[str, Pair]):
    """Pairs by name. Looking up an unknown pair raises a ValueError that lists the known pairs."""

    def __missing__(self, name: str) -> Pair:
        raise ValueError(f"{str(name)!r} is not traded on this exchange; its pairs are {', '.join(self)}")


@dataclass(frozen=True, slots=True)
class Rooms:
    """The rooms of the engine that strategies use, each through a narrow interface."""

    clock: BotClock
    zone: tzinfo
    pairs: KnownPairs
    markets: Markets
    portfolio: Portfolio
    table: OrderTable
    timers: TimerBook
    quoter: Quoter
    targets: Targets
    protector: Protector
    #: sends a message to the user
    tell: Tell
    #: (strategy, text) -> None: sends the user a message from a strategy's author
    notify: Callable[[str, str], None]
    #: (pair, now) -> fee rates in force
    fee_rates: Callable[[Pair, Nanos], FeeRates]


class Context:
    """The context of a running strategy instance: its record, orders and subscriptions, and the data it may read."""

    def __init__(
        self,
        record: StrategyRecord,
        rooms: Rooms,
        entry: OrderEntry,
        subscriptions: Subscriptions,
        plots: PlotStore,
    ) -> None:
        self.record = record
        #: the order methods: limit, market_buy, market_sell, close, cancel, cancel_all, replace
        self.orders = entry
        self.subscriptions = subscriptions
        self.plots = plots
        self.log: logging.LoggerAdapter[logging.Logger] = StrategyLog(record.name, rooms.clock, rooms.zone, rooms.tell)
        #: every pair of the exchange; looking up another one raises ValueError
        self.pairs = rooms.pairs
        self._rooms = rooms
        self._doubted: set[str] = set()

    def notify(self, text: str) -> None:
        """Send the user a message."""
        self._rooms.notify(self.record.name, text)

    # -- reads ----------------------------------------------------------------------------------------------------

    @property
    def now(self) -> Nanos:
        """The time of the turn."""
        return self._rooms.clock.now

    def local_time(self) -> datetime:
        """Return the current time in the configuration's time zone."""
        return to_datetime(self._rooms.clock.now, self._rooms.zone)

    def pair(self, pair: Pair | str) -> Pair:
        """Return the pair with this name. If it does not exist, raise ValueError listing the known pairs."""
        return self.pairs[pair]

    def _market(self, pair: Pair | str) -> PairMarket:
        return self._rooms.markets.of(self.pair(pair))

    def book(self, pair: Pair | str, own: bool) -> BookView:
        """Return the latest book, with or without this bot's own orders."""
        market = self._market(pair)
        book = market.book
        if not own:
            book = without_orders(book, self._rooms.table.resting(market.pair))
        return BookView(book, market.book_seen, self._rooms.clock.now)

    def last_price(self, pair: Pair | str) -> float | None:
        """Return the price of the last trade or bar."""
        return self._market(pair).last.price

    def fees(self, pair: Pair | str) -> FeeRates:
        """Return the fee rates in force for the pair."""
        return self._rooms.fee_rates(self.pair(pair), self._rooms.clock.now)

    def balance(self, currency: str) -> Balance:
        """Return this strategy's balance."""
        return self._rooms.portfolio.balance(self.record.name, currency.lower())

    def position(self, pair: Pair | str) -> Position:
        """Return this strategy's position."""
        return self._rooms.portfolio.position(self.record.name, self.pair(pair))

    def open_orders(self, pair: Pair | str | None) -> list[Order]:
        """Return this strategy's orders that are not final."""
        return self._rooms.table.open_of(self.record.name, None if pair is None else self.pair(pair))

    # -- managed orders -------------------------------------------------------------------------------------------

    def quote(
        self,
        pair: Pair | str,
        bids: Sequence[tuple[Number, Number]],
        asks: Sequence[tuple[Number, Number]],
        post_only: bool,
        tolerance_bps: float,
        tag: str,
    ) -> None:
        """State the resting orders of a quote."""
        rooms, known = self._rooms, self.pairs[pair]
        if tolerance_bps:
            check_bps("tolerance_bps", tolerance_bps)
        if known not in rooms.portfolio.prices:
            rooms.markets.check_priced(known)
        rooms.quoter.want(self.record, self.orders, known, bids, asks, post_only, tolerance_bps, tag)

    def close(self, pair: Pair | str, max_slippage_pct: float, tag: str) -> Order:
        """Sell a position, and forget a target for it that waits."""
        known = self.pair(pair)
        self._rooms.targets.forget(self.record, known)
        return self.orders.close(known, max_slippage_pct, tag)

    def cancel_all(self, pair: Pair | str | None) -> None:
        """Cancel this strategy's open orders, and forget its targets that wait."""
        known = None if pair is None else self.pair(pair)
        self._rooms.targets.forget(self.record, known)
        self.orders.cancel_all(known)

    def order_target(self, pair: Pair | str, amount: Number, max_slippage_pct: float, tag: str) -> Order | None:
        """Set one target position."""
        return self._rooms.targets.want(self.record, self.orders, self.pair(pair), amount, max_slippage_pct, tag)

    def rebalance(
        self, weights: Mapping[Pair, Number] | Mapping[str, Number], tolerance: float, max_slippage_pct: float, tag: str
    ) -> None:
        """Set target positions as shares."""
        by_pair = {self.pair(pair): weight for pair, weight in weights.items()}
        self._rooms.targets.rebalance(self.record, self.orders, by_pair, tolerance, max_slippage_pct, tag)

    def protect(
        self, pair: Pair | str, stop_loss_pct: float | None, take_profit_pct: float | None, trail_pct: float | None
    ) -> None:
        """Protect a position with managed exits."""
        self._rooms.protector.protect(
            self.record, self.orders, self.pair(pair), stop_loss_pct, take_profit_pct, trail_pct
        )
        self._doubt(stop_loss_pct=stop_loss_pct, take_profit_pct=take_profit_pct, trail_pct=trail_pct)

    def _doubt(self, **percent: float | None) -> None:
        """Warn once if a percentage looks like a fraction."""
        for name, value in percent.items():
            if looks_like_fraction(value) and name not in self._doubted:
                self._doubted.add(name)
                meant = 100 * float(value or 0)
                self.log.warning("%s is %g %%; if %g %% was meant, write %g", name, value, meant, meant)

    # -- timers ---------------------------------------------------------------------------------------------------

    def set_timer(self, name: str, every_s: float | None, cron: str | None, missed: Literal["skip", "once"]) -> None:
        """Set a repeating timer."""
        schedule = parse_schedule(every_s=every_s, cron=cron, zone=self._rooms.zone)
        self._rooms.timers.set(self.record, name, schedule, missed, self._rooms.clock.now)

    def cancel_timer(self, name: str) -> None:
        """Cancel a timer."""
        self._rooms.timers.cancel(self.record, name)
