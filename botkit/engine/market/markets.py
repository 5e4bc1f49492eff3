"""The markets of all followed pairs. They receive market events and pass them on to bars and strategies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from botkit.engine.agenda import Agenda, BotClock
from botkit.engine.market.bars import BarBuilder
from botkit.engine.market.book import without_orders
from botkit.engine.market.pair_market import BarFeed, PairMarket
from botkit.engine.market.plausible import CANDLE_LEAST, CANDLE_MOST, LEAST, MOST, is_ordinary
from botkit.engine.market.quarantine import Quarantine, is_near
from botkit.engine.money.valuation import LastPrice
from botkit.engine.strategy.callbacks import Callbacks
from botkit.model.clock import Nanos
from botkit.model.events import Bar, Candle, OrderBook, Ticker, Trade
from botkit.model.orders import Order
from botkit.model.pairs import Pair


class Markets:
    """The markets of one bot.

    ``prices`` maps each pair to the price cell that valuations read. ``on_price`` is called when a pair has a new last
    price, before any strategy sees the event with that price.
    """

    def __init__(
        self,
        *,
        prices: Mapping[str, LastPrice],
        clock: BotClock,
        agenda: Agenda,
        callbacks: Callbacks,
        quarantine: Quarantine,
        bar_grace_ns: Nanos,
        on_price: Callable[[PairMarket, float], None],
        resting: Callable[[Pair], list[Order]],
    ) -> None:
        self._prices = prices
        self._clock = clock
        self._callbacks = callbacks
        self._quarantine = quarantine
        self._bar_grace_ns = bar_grace_ns
        self._on_price = on_price
        self._resting = resting
        #: the markets of the pairs in use; added by `of`
        self.by_pair: dict[str, PairMarket] = {}
        #: pairs whose bars come from candles without gaps, so no timer needs to close them
        self.candle_pairs: frozenset[str] = frozenset()
        self._slot = agenda.slot("bars", self._next_close, self.close_bars)

    # -- the markets ----------------------------------------------------------------------------------------------

    def of(self, pair: Pair) -> PairMarket:
        """Return the pair's market, creating it on first use. Raises ValueError for a pair without prices in
        this run.
        """
        market = self.by_pair.get(pair)
        if market is None:
            self.check_priced(pair)
            market = PairMarket(pair, self._prices[pair])
            # sorted, because events with equal timestamps are ordered by pair; a new dict, because a callback may add a
            # pair during iteration
            self.by_pair = dict(sorted([*self.by_pair.items(), (str(pair), market)]))
        return market

    def check_priced(self, pair: Pair) -> None:
        """Raise ValueError for a pair without prices in this run, because such a pair can be neither valued nor
        traded.
        """
        if pair not in self._prices:
            raise ValueError(
                f"this run has no prices for {pair}: declare the pair as a parameter of the strategy (`other: Pair`) "
                f"to load its data; this run has {', '.join(self._prices)}"
            )

    def all(self) -> list[PairMarket]:
        """Return the markets of all pairs in use, by name."""
        return list(self.by_pair.values())

    # -- market events --------------------------------------------------------------------------------------------

    def on_trade(self, trade: Trade, now: Nanos) -> None:
        """Process a public trade."""
        due = self._slot.due if self._slot.is_known else self._slot.ask()
        if due is not None and due <= now:
            self.close_bars(now)
        market = self.by_pair.get(trade.pair) or self.of(trade.pair)
        last, price = market.last.price, trade.price
        if (
            last is None or market.doubts or not last * LEAST < price < last * MOST
        ) and not self._quarantine.admits_trade(market, price, now):
            return
        if market.bar_feeds:
            self._into_bars(market, trade)
        if market.trade_series:
            market.add_trade(trade)
        self._on_price(market, price)
        if self._callbacks.is_open:
            for record, callback in market.trade_listeners:
                self._callbacks.call(record, callback, trade)

    def _into_bars(self, market: PairMarket, trade: Trade) -> None:
        for feed in list(market.bar_feeds.values()):
            builder = feed.builder
            before = builder.next_close()
            bars = builder.on_trade(trade.time, trade.price, trade.amount)
            if bars or builder.next_close() != before:
                self._slot.changed()
            for bar in bars:
                self._deliver(feed, bar)

    def on_candle(self, candle: Candle | Bar, now: Nanos) -> None:
        """Process a finished candle, or a tape row that is already a bar."""
        market = self.by_pair.get(candle.pair) or self.of(candle.pair)
        last = market.last.price
        if (
            last is None or market.doubts or not (last * CANDLE_LEAST < candle.low and candle.high < last * CANDLE_MOST)
        ) and not self._quarantine.admits_candle(market, candle, now):
            return
        self._on_price(market, candle.close)
        for feed in list(market.bar_feeds.values()):
            bars = feed.builder.on_candle(
                candle.time, candle.open, candle.high, candle.low, candle.close, candle.volume, candle.resolution
            )
            if candle.pair not in self.candle_pairs:
                self._slot.changed()
            for bar in bars:
                self._deliver(feed, bar)

    def on_book(self, book: OrderBook, now: Nanos) -> None:
        """Process a book from the stream."""
        due = self._slot.due if self._slot.is_known else self._slot.ask()
        if due is not None and due <= now:
            self.close_bars(now)
        pair = book.pair
        market = self.by_pair.get(pair) or self.of(pair)
        if (is_ordinary(book, market.book) and not market.doubts) or self._quarantine.admits_book(
            market, self._recorded(book), now
        ):
            self._take_book(market, book, now)

    def on_read_book(self, book: OrderBook, now: Nanos) -> None:
        """Process a book read over REST because the stream was quiet. This second source can confirm a withheld
        price.
        """
        market = self.of(book.pair)
        if self._quarantine.admits_book(market, self._recorded(book), now, is_read=True):
            self._take_book(market, book, now)

    def _recorded(self, book: OrderBook) -> OrderBook:
        """Return the book without our own orders, because our own prices need no check."""
        return without_orders(book, self._resting(book.pair))

    def _take_book(self, market: PairMarket, book: OrderBook, now: Nanos) -> None:
        market.book = book
        market.book_seen = now
        if not self._callbacks.is_open:
            return
        for record, callback, depth in market.book_listeners:
            self._callbacks.call(record, callback, book.cut(depth))

    def on_ticker(self, ticker: Ticker, now: Nanos) -> None:
        """Process a pair's 24-hour statistics."""
        self._close_bars_before(now)
        market = self.by_pair.get(ticker.pair)
        if market is None or not is_near(market, ticker.last_price):
            return
        market.ticker = ticker
        if self._callbacks.is_open:
            for record, callback in market.ticker_listeners:
                self._callbacks.call(record, callback, ticker)

    # -- bars -----------------------------------------------------------------------------------------------------

    def feed(self, market: PairMarket, resolution: str) -> BarFeed:
        """Start building a pair's bars at the given resolution."""
        feed = market.bar_feeds.get(resolution)
        if feed is None:
            feed = BarFeed(resolution, BarBuilder(market.pair, resolution, grace_ns=self._bar_grace_ns))
            market.bar_feeds[resolution] = feed
            self._slot.changed()
        return feed

    def warm_builder(self, feed: BarFeed, bars: Sequence[Bar], running: Bar | None) -> None:
        """Initialize a new builder with the last finished bar, so that the next bar follows without a gap, and with the
        running bar's data so far.
        """
        if feed.builder.next_close() is None:
            feed.builder.warm_start(bars)
        if running is not None:
            feed.builder.complete(running)
        feed.builder.close_due(self._clock.now)
        self._slot.changed()

    def _deliver(self, feed: BarFeed, bar: Bar) -> None:
        """Append a finished bar to every series, then call the subscribed strategies.

        A series that is still waiting for its history gets the bar without a callback, because the bar may have started
        before the stream.
        """
        # a turn between two loops over a block, such as the one at midnight, need not end the quiet span: the windows
        # over the rest of the block would be computed again
        if feed.source is None or len(feed.listeners) != 1 or not feed.source.takes(bar):
            feed.settle()
            for _, series, _ in feed.listeners:
                series.append(bar)
        for record, series, callback in list(feed.listeners):
            if callback is not None and record.active and series.is_ready:
                self._callbacks.call(record, callback, bar)

    def _close_bars_before(self, now: Nanos) -> None:
        due = self._slot.ask()
        if due is not None and due <= now:
            self.close_bars(now)

    def close_bars(self, now: Nanos) -> None:
        """Close the bars that are due."""
        for name, market in self.by_pair.items():
            if not market.bar_feeds or name in self.candle_pairs:
                continue
            for feed in list(market.bar_feeds.values()):
                bars = feed.builder.close_due(now)
                if bars:
                    self._slot.changed()
                for bar in bars:
                    self._deliver(feed, bar)

    def _next_close(self) -> Nanos | None:
        first: Nanos | None = None
        for name, market in self.by_pair.items():
            if not market.bar_feeds or name in self.candle_pairs:
                continue
            for feed in market.bar_feeds.values():
                due = feed.builder.next_close()
                if due is not None and (first is None or due < first):
                    first = due
        return first
