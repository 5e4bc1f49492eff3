"""The market data of one pair, and its subscribers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botkit.engine.market.bars import BarBuilder
from botkit.engine.market.blocks import Block, SeriesSource
from botkit.engine.market.doubt import Doubt
from botkit.engine.money.valuation import LastPrice
from botkit.engine.strategy.bar_series import BarSeries
from botkit.engine.strategy.record import StrategyRecord
from botkit.engine.strategy.trade_series import TradeSeries
from botkit.model.clock import Nanos
from botkit.model.events import OrderBook, Ticker, Trade
from botkit.model.pairs import Pair


class BarFeed:
    """The bars of one pair and resolution, and the series that receive them."""

    __slots__ = ("builder", "listeners", "resolution", "source")

    def __init__(self, resolution: str, builder: BarBuilder) -> None:
        self.resolution = resolution
        self.builder = builder
        #: during a quiet span, the source from which the series pulls its bars when it is read
        self.source: SeriesSource | None = None
        #: (the strategy's record, its series, the method to call for each bar)
        self.listeners: list[tuple[StrategyRecord, BarSeries, Callable[..., Any] | None]] = []

    def settle(self) -> None:
        """Finish a quiet span: from now on, bars are appended to the series one by one."""
        if self.source is not None:
            self.source.end()
            self.source = None


class PairMarket:
    """One pair: the last price, the book, and the callbacks in subscription order."""

    __slots__ = (
        "bar_feeds",
        "book",
        "book_depth",
        "book_listeners",
        "book_seen",
        "doubts",
        "last",
        "pair",
        "ticker",
        "ticker_listeners",
        "trade_listeners",
        "trade_series",
        "trade_sources",
    )

    def __init__(self, pair: Pair, last: LastPrice) -> None:
        self.pair = pair
        #: the price cell is shared with valuations, so a trade sets only one attribute
        self.last = last
        self.book: OrderBook = OrderBook(pair, 0, (), ())
        self.book_seen: Nanos = 0
        self.book_depth = 0
        #: prices that are withheld until confirmed, by source
        self.doubts: dict[str, Doubt] = {}
        self.ticker: Ticker | None = None
        self.trade_listeners: list[tuple[StrategyRecord, Callable[..., Any]]] = []
        self.book_listeners: list[tuple[StrategyRecord, Callable[..., Any], int]] = []
        self.ticker_listeners: list[tuple[StrategyRecord, Callable[..., Any]]] = []
        self.bar_feeds: dict[str, BarFeed] = {}
        #: the trade series, one per subscribed strategy
        self.trade_series: list[tuple[StrategyRecord, TradeSeries]] = []
        #: during a quiet span, the source from which these series pull their trades when they are read
        self.trade_sources: list[SeriesSource] = []

    @property
    def has_subscribers(self) -> bool:
        """True if a strategy follows the pair."""
        listeners = self.trade_listeners or self.book_listeners or self.ticker_listeners
        return bool(listeners or self.trade_series or self.bar_feeds or self.book_depth)

    def add_trade(self, trade: Trade) -> None:
        """Append a trade to every series."""
        self.settle_trades()
        for _, series in self.trade_series:
            series.append(trade)

    def settle_trades(self) -> None:
        """Finish a quiet span: from now on, trades are appended to the series one by one."""
        if self.trade_sources:
            sources, self.trade_sources = self.trade_sources, []
            for source in sources:
                source.end()

    def settle(self) -> None:
        """Finish a quiet span: append the rows processed so far to every series and its indicators."""
        self.settle_trades()
        for feed in self.bar_feeds.values():
            feed.settle()

    def feed_indicators(self) -> None:
        """Feed the rows processed so far to the attached indicators, which are otherwise updated only when a strategy
        reads them.
        """
        self.settle()
        for series in [row[1] for feed in self.bar_feeds.values() for row in feed.listeners]:
            if series.is_ready:
                series.bring_up_to_date()
        for _, trades in self.trade_series:
            if trades.is_ready:
                trades.bring_up_to_date()

    def take_trades_from(self, block: Block, begin: int) -> None:
        """Let each trade series pull rows from a block, starting at row ``begin``, when that series is read."""
        self.settle_trades()
        self.trade_sources = [SeriesSource(series, block, begin) for _, series in self.trade_series]

    def drop(self, record: StrategyRecord) -> None:
        """Remove a stopped strategy."""
        self.trade_listeners = [row for row in self.trade_listeners if row[0] is not record]
        self.book_listeners = [row for row in self.book_listeners if row[0] is not record]
        self.ticker_listeners = [row for row in self.ticker_listeners if row[0] is not record]
        self.settle_trades()
        self.trade_series = [row for row in self.trade_series if row[0] is not record]
        for feed in self.bar_feeds.values():
            feed.listeners = [row for row in feed.listeners if row[0] is not record]
