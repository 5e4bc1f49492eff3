"""The simulated exchange's event loop: requests arrive, the recorded market advances, and results are published.

Time is passed in as an argument. A driver calls ``submit`` when the bot sends a request, calls ``next_at`` to find out
when the next event can happen, and calls ``advance`` to move time there. Between two events, a binary search skips the
recorded rows.

When timestamps are equal, the recorded rows come first (bars, books, trades, by pair and row), then book publications,
then arrivals in the order in which they were sent. An order therefore trades only against rows after the row to which
the bot reacted. With zero latency, a driver can request the books before the simultaneous trades happen. Orders sent in
response can then trade against these trades.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from botkit.model.clock import NS_PER_MS, Nanos
from botkit.model.columns import MarketColumns, TradeColumns
from botkit.model.events import OrderBook, OrderReport, TradeReport
from botkit.model.extension import LatencyModel, QueueModel
from botkit.model.limits import LimitTable
from botkit.model.pairs import Pair, PairRules
from botkit.model.published_books import PublishedBooks
from botkit.model.requests import Answer, Ending, Request
from botkit.sim.account_news import AccountNews
from botkit.sim.account_setup import AccountSetup
from botkit.sim.assumptions import assumptions_of
from botkit.sim.books_ahead import BooksAhead
from botkit.sim.candles import CandleMatcher
from botkit.sim.delays import Arrival, Delays
from botkit.sim.desk import Desk
from botkit.sim.history import CandleHistory
from botkit.sim.ledger import Ledger
from botkit.sim.market import VenueMarket
from botkit.sim.new_orders import NewOrders
from botkit.sim.order import Account
from botkit.sim.order_numbers import OrderNumbers
from botkit.sim.public_news import PublicNews
from botkit.sim.publication import Publication
from botkit.sim.publish import Deliveries
from botkit.sim.touches import Touches
from botkit.sim.touching_rows import TouchingRows
from botkit.sim.venue_event import AccountChange, VenueEvent
from botkit.sim.venue_limits import VenueLimits
from botkit.sim.venue_markets import VenueMarkets
from botkit.sim.visibility import first_shown

__all__ = ["AccountSetup", "Kernel", "Publication"]

TOO_MANY = "Too Many Requests"  # assumed: the exchange's wording is undocumented


class Kernel:
    """The simulated exchange. The module docstring describes the order of events.

    ``slippage_e8`` (a fraction in units of 1e-8) is for tapes without books. If ``batch_all_or_nothing`` is False, the
    valid orders in a batch are accepted and the others dropped (Q7). Takers ignore recorded levels older than
    ``max_book_age_s``. ``keep_candles`` keeps minute candles of past trades for `GetCandles`. ``ids`` is the set of
    order numbers already in use.
    """

    def __init__(
        self,
        *,
        pairs: Mapping[str, Pair],
        accounts: Mapping[str, AccountSetup],
        queue: QueueModel,
        latency: LatencyModel,
        limits: LimitTable | None,
        slippage_e8: int = 0,
        book_cadence_ms: int = 1000,
        max_book_age_s: int | None = None,
        seed: int = 0,
        batch_all_or_nothing: bool = True,
        keep_candles: bool = False,
        volume_currency: str = "",
        discount_currency: str = "",
        ids: set[int] | OrderNumbers | None = None,
    ) -> None:
        self.markets = VenueMarkets(pairs, max_book_age_s)
        self.pairs = self.markets.pairs
        self.now: Nanos = 0
        self._latency = latency
        self._delays = Delays(latency)
        self._queue = queue
        self._slippage_e8 = slippage_e8
        self._max_book_age_s = max_book_age_s
        self._keep_candles = keep_candles
        self._ledger = Ledger(
            accounts, self.pairs, self.last_price, volume_currency=volume_currency, discount_currency=discount_currency
        )
        self.matcher = CandleMatcher(self._ledger, queue, slippage_e8)
        #: markets in which requests with the current timestamp have changed something
        self._unsearched: list[VenueMarket] = []
        self._touches = Touches(self.matcher)
        self._busy = self._touches.busy  # this and `_feeds` are read for every event, which saves an attribute
        self._outbox = Deliveries()
        self._ahead = BooksAhead()
        self._accounts = AccountNews(self._delays, self._outbox)
        self._public = PublicNews(self._outbox, self.matcher, self._ahead, book_cadence_ms * NS_PER_MS)
        self._feeds = self._public.feeds
        self._rows = TouchingRows(self._touches, self.matcher, self._public, self._accounts)
        #: number of requests by endpoint, and number of requests refused because a window was full
        self.limits = VenueLimits(limits)
        self._arrivals: list[Arrival] = []
        self._sent = 0
        self._new_orders = NewOrders(ids, seed)
        #: nothing becomes known to any account before this time. A driver may run its bot up to this time before it
        #: calls `advance`, because any request that the bot sends until then arrives after all events that the bot has
        #: not yet received
        self.next_news: Nanos | None = None
        #: False if `next_news` is outdated; `update_news` recomputes it
        self.is_news_known = True
        self._next: Nanos | None = None  # when the next event happens, which may be earlier than when it becomes known
        self._touched: Nanos | None = None  # when the recorded market may next touch an order
        self._is_instant = not self._delays.order_ns
        #: True if the bot can run ahead: events become known `answer_ns` after they happen, with many rows in between
        self._runs_ahead = False
        self._has_books = False
        self._is_trades_only = True
        self._only_account = next(iter(self._ledger.accounts.values())) if len(accounts) == 1 else None
        self._paused_at: Nanos | None = None  # set between simultaneous books and trades
        self._traded_at: Nanos | None = None  # the latest timestamp whose trades have been processed
        self._sent_before_pause = 0
        #: True if nothing has happened since the last book, so that `books_ahead` may return further books
        self.is_calm = False
        self._desk = Desk(
            self.markets, self._new_orders, self._ledger, self.matcher, batch_all_or_nothing=batch_all_or_nothing
        )

    # -- the recorded market --------------------------------------------------------------------------------------

    def load(self, columns: MarketColumns) -> None:
        """Append the next chunk of a recorded stream, and drop past rows. Always keep one chunk loaded ahead of the
        current time.

        Raises ValueError for rows older than the rows already loaded in the same stream, and for candles mixed with
        books or trades.
        """
        market = self.markets.of(columns.pair)
        self.matcher.settle_all(market, self.now)
        if self._keep_candles and market.trades is not None:
            self.markets.candles(market, self.now)
        before = market.trades, market.books, market.candles
        market.load(columns)
        self._has_books = self._has_books or market.books is not None
        self._is_trades_only = self._is_trades_only and isinstance(columns, TradeColumns)
        if market.candles is None:
            self._runs_ahead = self._delays.is_constant and self._delays.answer_ns > 0 and not self._is_instant
        if market.pair in self._busy and before != (market.trades, market.books, market.candles):
            # orders are open, but the new stream has not been searched for rows that touch them, not even rows at the
            # current time
            market.searched = None
            self._touches.search(market, self.now - 1)
        if columns.pair in self._feeds:
            self._feeds[columns.pair].look()
        self._ahead.drop()
        self._look_ahead()

    # -- for drivers --------------------------------------------------------------------------------------

    def publish_books(self, pair: Pair, depth: int, *, is_wire: bool = False) -> None:
        """From now on, publish the pair's books, with the best ``depth`` levels per side.

        ``is_wire`` means that the books were recorded from the wire, so they are published at their receipt times and
        never thinned.
        """
        self._public.open_feed(self.markets.of(pair), depth, self.now, is_wire=is_wire)
        self._ahead.drop()
        self._look_ahead()

    def submit(self, account: str, request: Request, now: Nanos) -> None:
        """Submit a bot's request. It arrives once the latency model's order and feed delays have elapsed."""
        now = max(now, self.now)
        owner = self._ledger.accounts[account]
        way, key = self._delays.order_ns, 0
        if not self._delays.is_constant:
            way, key = self._delays.of_request(owner, request)
        arrives = now + way
        self._sent += 1
        heapq.heappush(self._arrivals, (arrives, self._sent, owner, request, now, key))
        self.is_calm = False
        if self._next is None or arrives < self._next:
            self._next = arrives
        self.is_news_known = False

    def next_at(self) -> Nanos | None:
        """Return the earliest time at which a private or dynamic event may happen or become known, or None if there is
        none. The time may be too early (because a row turns out not to touch any order, or because the search must be
        resumed then), but is never too late.
        """
        at, due = self._next, self._outbox.due
        return due[0][0] if due and (at is None or due[0][0] < at) else at

    def _look_ahead(self) -> None:
        """Recompute the next event time after an external change."""
        self._next = self._next_event()
        self.is_news_known = False

    def update_news(self) -> None:
        """Compute `next_news` from the current state, including the books that the bot has processed."""
        if self._ahead.books is not None:
            self._note_books()
        at, due = self._next, self._outbox.due
        known = due[0][0] if due else None
        news = at
        if at is not None and self._runs_ahead and (known is None or at < known) and (self._busy or self._arrivals):
            news = at + self._delays.answer_ns  # news for an account
            account = self._only_account
            if self._feeds or self._has_books or account is None or len(account.open) + len(self._arrivals) > 1:
                # the first public news
                shown = first_shown(at, self._busy.values(), self._arrivals, self.markets.by_name, self._feeds.values())
                if shown is not None and shown < news:
                    news = shown
        self.next_news = known if known is not None and (news is None or known < news) else news
        self.is_news_known = True

    def _next_event(self) -> Nanos | None:
        """Return when the next event happens, which may be earlier than when it becomes known."""
        if self._paused_at is not None:
            return self._paused_at
        earliest = self._arrivals[0][0] if self._arrivals else None
        for feed in self._feeds.values():
            at = feed.due
            if at is not None and (earliest is None or at < earliest):
                earliest = at
        touched = self._touches.next_touch(earliest) if self._busy else None
        self._touched = touched
        if touched is not None and (earliest is None or touched < earliest):
            earliest = touched
        return self.now if earliest is not None and earliest < self.now else earliest

    # -- many books at once -------------------------------------------------------------------------------------------

    def books_ahead(self) -> PublishedBooks | None:
        """Return the next books if no other event is about to happen. A driver may pass them to the bot directly, each
        at its own time, as long as the bot sends no request. The driver then calls `update_news`.
        """
        if self._paused_at is not None:
            return None  # the trades with this timestamp come first
        ahead = self._ahead.next()
        if ahead is None and not (self._is_instant and len(self._feeds) > 1):
            ahead = self._ahead.prepare(list(self._feeds.values()))
            if ahead is not None:
                ahead.until = self._quiet_until(ahead)
        if ahead is None or (ahead.until is not None and ahead.until <= ahead.times[ahead.done]):
            self.is_calm = False
            return None
        return ahead

    def _quiet_until(self, ahead: PublishedBooks) -> Nanos | None:
        """Return the earliest time at which an event other than the publication of these books may happen or become
        known.
        """
        until, due = ahead.until, self._outbox.due
        arrives = self._arrivals[0][0] if self._arrivals else None
        known = due[0][0] if due else None
        for at in (arrives, known, self._touches.next_touch(ahead.times[-1])):
            if at is not None and (until is None or at < until):
                until = at
        return until

    def _note_books(self) -> None:
        """Record the books that the bot has processed since the last call."""
        at = self._ahead.note_taken()
        if at is None:
            return
        self.now = at
        if self._is_instant and self._ahead.is_latest() and self._traded_at != at:
            self._paused_at, self._sent_before_pause = at, self._sent
        else:
            self._traded_at = at
        self._next = self._next_event()

    @property
    def is_paused(self) -> bool:
        """True between simultaneous books and trades. The next `advance` continues with the trades."""
        return self._paused_at is not None

    def advance(self, to: Nanos, *, pause: bool = False, to_news: bool = False) -> list[Publication]:
        """Process all events up to and including ``to`` or, with ``to_news``, up to the first news. Returns the news
        that became known by then, in total order.

        With ``pause``, this may stop after the books with one timestamp if orders have zero latency (see `is_paused`).
        """
        outbox, at = self._outbox, self._next
        due = outbox.due
        while at is not None and at <= to and not (to_news and due and due[0][0] < at):
            self.now = at
            if self._paused_at is None:
                is_touched = self._touched is not None and self._touched <= at
                if is_touched and not self._is_trades_only and self._rows.bars_and_books(at):
                    self.is_calm = False
                if self._feeds and self._public.publish_due(at):
                    self.is_calm = True
                    if pause and self._is_instant and self._traded_at != at:
                        self._paused_at, self._sent_before_pause = at, self._sent
                        self._next = at
                        self.is_news_known = False
                        return outbox.until(at)
            else:
                self._paused_at = None
                self._arrive_before_trades(at)
                is_touched = True  # orders that have just arrived may be touched as well
            if is_touched:  # the recorded trades with this timestamp
                for market in list(self._busy.values()):
                    if market.trades is not None and self._rows.process(
                        market, market.trades, self.matcher.on_trade, at
                    ):
                        self.is_calm = False
            self._traded_at = at
            if self._arrivals and self._arrivals[0][0] <= at:
                while self._arrivals and self._arrivals[0][0] <= at:
                    self._work(heapq.heappop(self._arrivals), at)
                for market in self._unsearched:
                    self._touches.search(market, at)
                self._unsearched.clear()
            at = self._next_event()
        if to_news:
            to = due[0][0] if due and due[0][0] <= to else self.now
        if to > self.now:
            self.now = to
        known: list[Publication] = []
        if due and due[0][0] <= to:
            known = heapq.heappop(due)[4]
            if due and due[0][0] <= to:
                known = outbox.until(to, known)
        self._next = at
        self.is_news_known = at is None and not due and self._ahead.books is None  # no events remain
        if self.is_news_known:
            self.next_news = None
        return known

    # -- one moment -----------------------------------------------------------------------------------------------

    def _arrive_before_trades(self, now: Nanos) -> None:
        """Process the orders that were sent in response to the books with this timestamp. Orders sent before these
        books are left for later processing.
        """
        due = [heapq.heappop(self._arrivals) for _ in range(len(self._arrivals)) if self._arrivals[0][0] <= now]
        earlier = [arrival for arrival in due if arrival[1] <= self._sent_before_pause]
        for market in self.markets.sorted:
            market.before_trades = True
        for arrival in due:
            if arrival[1] > self._sent_before_pause:
                self._work(arrival, now)
        for market in self._unsearched:
            self._touches.search(market, now)
        self._unsearched.clear()
        for market in self.markets.sorted:
            market.before_trades = False
        for arrival in earlier:
            heapq.heappush(self._arrivals, arrival)

    def _work(self, arrival: Arrival, now: Nanos) -> None:
        """Process a request that has arrived: refuse or execute it, then publish the results."""
        _, _, account, request, sent, key = arrival
        news = AccountChange(key, request.endpoint)
        event = VenueEvent(now, None, {account: news})
        if self.limits.admit(request.endpoint, account.name, account.address, now):
            handle = self._desk.handlers.get(type(request))
            if handle is not None:
                answer, touched = handle(account, request, event, sent)
            else:
                answer, touched = self._desk.read(account, request, now), ()
        else:
            answer = Answer(request_id=request.id, outcome=Ending.RATE_LIMITED, status=429, text=TOO_MANY)
            touched = ()
        news.answer = answer
        for market in touched:
            if market.prints or (market.changed and self._feeds):
                self._public.follow(market, event)
            if market not in self._unsearched:
                self._unsearched.append(market)
        self._accounts.tell(event)
        self.is_calm = False

    # -- for the emulator and tests ----------------------------------------------------------------------------------

    def book(self, pair: Pair, depth: int, *, own: bool = True) -> OrderBook:
        """Return the exact current book: the recorded levels minus the amounts taken by our orders, plus our resting
        orders if ``own`` is set.
        """
        return self.markets.book(pair, depth, self.now, own=own)

    def candle_history(self, pair: Pair) -> CandleHistory:
        """Return the candles of past trades, up to now."""
        return self.markets.candles(self.markets.of(pair), self.now)

    def orders(self, account: str) -> list[OrderReport]:
        """Return every order on the account, in order of arrival."""
        return [order.report() for order in self._ledger.accounts[account].orders.values()]

    def trades(self, account: str) -> list[TradeReport]:
        """Return every execution on the account, in order."""
        return list(self._ledger.accounts[account].trades)

    def account(self, name: str) -> Account:
        """Return an account's state, read-only. Raises KeyError for an unknown account."""
        return self._ledger.accounts[name]

    def transfer(self, account: str, currency: str, units: int) -> None:
        """Immediately deposit ``units`` or, if negative, withdraw them from the available funds."""
        owner = self._ledger.accounts[account]
        event = VenueEvent(self.now)
        event.news[owner] = AccountChange(self._new_orders.rank)
        self._ledger.transfer(owner, currency, units, event)
        self._accounts.tell(event)
        self.is_calm = False
        self._look_ahead()

    def forget_before(self, time: Nanos) -> None:
        """Drop orders and executions from before ``time`` that no future request will need."""
        for account in self._ledger.accounts.values():
            account.forget_before(time)

    def change_rules(self, name: str, rules: PairRules) -> None:
        """Apply other rules to new orders of a pair, unless its ticks or lots would be of another size."""
        pair = self.pairs.get(name)
        changed = None if pair is None else pair.changed_to(rules)
        if pair is not None and changed is not None:
            self.pairs[name] = pair.with_rules(changed)

    def last_price(self, pair: str) -> int | None:
        """Return the last traded price in ticks, or None before the first trade."""
        return self.markets.last_ticks(pair, self.now)

    def check(self) -> None:
        """Assert that every unit is accounted for: accounts + recorded market + fees equal the opening total."""
        self._ledger.check()

    def assumptions(self) -> list[str]:
        """Return all of this run's assumptions, as sentences for the report."""
        return assumptions_of(
            self.markets.sorted,
            self._ledger.accounts.values(),
            queue=self._queue,
            latency=self._latency,
            slippage_e8=self._slippage_e8,
            max_book_age_s=self._max_book_age_s,
        )
