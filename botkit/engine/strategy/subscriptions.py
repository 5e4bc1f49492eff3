"""A strategy's subscriptions to trades, books, tickers and bars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from botkit.engine.market.markets import Markets
from botkit.engine.outcome import Outbox
from botkit.engine.outcome_parts import StreamWanted
from botkit.engine.strategy.bar_series import BarSeries
from botkit.engine.strategy.callbacks import Callback, Callbacks
from botkit.engine.strategy.history import PastBook
from botkit.engine.strategy.plots import PlotStore
from botkit.engine.strategy.record import StrategyRecord
from botkit.engine.strategy.trade_series import TradeSeries
from botkit.model.events import Bar
from botkit.model.pairs import Pair
from botkit.model.resolutions import check_resolution

_DEPTHS = (1, 5, 10, 20, 30, 50)


class Subscriptions:
    """The subscriptions of one strategy. Each is reported in the outcome, so that its stream can be opened."""

    def __init__(
        self,
        record: StrategyRecord,
        *,
        markets: Markets,
        callbacks: Callbacks,
        outbox: Outbox,
        past: PastBook,
        plots: PlotStore,
        method: Callable[[str], Callback | None],
    ) -> None:
        """``method`` returns the strategy's method with a given name."""
        self._record = record
        self._markets = markets
        self._callbacks = callbacks
        self._outbox = outbox
        self._past = past
        self._plots = plots
        #: plots without a pair are drawn in this pair's chart
        self.first_pair = ""
        self._method = method

    def trades(self, pair: Pair) -> TradeSeries:
        """Subscribe to the pair's trades."""
        self._wanted(pair, "trades")
        market = self._markets.of(pair)
        callback = self._callbacks.of(self._record, "on_trade")
        if callback is not None and all(record is not self._record for record, _ in market.trade_listeners):
            market.trade_listeners.append((self._record, callback))
        for record, known in market.trade_series:
            if record is self._record:
                return known
        market.settle_trades()
        series = TradeSeries(market.pair, plots=self._plots)
        market.trade_series.append((self._record, series))
        return series

    def book(self, pair: Pair, depth: int) -> None:
        """Subscribe to the pair's books."""
        if depth not in _DEPTHS:
            raise ValueError(
                f"depth is {depth}, but the exchange serves books of {', '.join(map(str, _DEPTHS))} levels"
            )
        self._wanted(pair, "books", depth=depth)
        market = self._markets.of(pair)
        market.book_depth = max(market.book_depth, depth)
        market.book_listeners = [row for row in market.book_listeners if row[0] is not self._record]
        callback = self._callbacks.of(self._record, "on_book")
        if callback is not None:
            market.book_listeners.append((self._record, callback, depth))

    def ticker(self, pair: Pair) -> None:
        """Subscribe to the pair's 24-hour statistics."""
        self._wanted(pair, "tickers")
        market = self._markets.of(pair)
        callback = self._callbacks.of(self._record, "on_ticker")
        if callback is not None and all(record is not self._record for record, _ in market.ticker_listeners):
            market.ticker_listeners.append((self._record, callback))

    def bars(
        self,
        pair: Pair,
        resolution: str,
        warm_up: int,
        on: Callable[[Bar], None] | str | None,
        keep: int | None,
    ) -> BarSeries:
        """Start building bars and subscribe to them."""
        check_resolution(resolution)
        callback = self._bar_callback(on)
        series = BarSeries(pair, resolution, keep=keep, warm_up=warm_up, plots=self._plots, is_ready=False)
        self._wanted(pair, "bars", resolution=resolution)
        market = self._markets.of(pair)
        is_new = resolution not in market.bar_feeds
        feed = self._markets.feed(market, resolution)
        feed.listeners.append((self._record, series, callback))
        self._past.want(feed, series, is_new=is_new)
        return series

    def _wanted(
        self,
        pair: Pair,
        kind: Literal["trades", "books", "tickers", "bars"],
        *,
        depth: int = 0,
        resolution: str = "",
    ) -> None:
        self._past.check(pair, kind)
        self.first_pair = self.first_pair or str(pair)
        self._outbox.stream(StreamWanted(pair, kind, depth, resolution))

    def _bar_callback(self, on: Callable[[Bar], None] | str | None) -> Callback | None:
        if on is None:
            return self._callbacks.of(self._record, "on_bar")
        if isinstance(on, str):
            method = self._method(on)
            if method is None:
                raise ValueError(f"on={on!r}: {self._record.name} has no method of that name")
            return _not_a_hook(method)
        return _not_a_hook(on)


def _not_a_hook(on: Callable[..., Any]) -> Callback:
    name = getattr(on, "__name__", "")
    if name.startswith("on_") and name != "on_bar":
        raise ValueError(
            f"on={name}: names that start with on_ are hooks of the bot; rename the method, for example to {name[3:]}"
        )
    return on
