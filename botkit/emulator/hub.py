"""Tracks stream subscribers and builds their frames.

Each frame is built only once for all its subscribers. Books are the exception: they are built once per number of
levels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from botkit.emulator.rows import balance_row, level_rows, uuid_of
from botkit.emulator.venue import Delivery, EmulatedVenue
from botkit.exchange.bitopro.wire.account import OwnOrderRow
from botkit.exchange.bitopro.wire.codec import encode
from botkit.exchange.bitopro.wire.endpoints import BOOK_LIMITS, STREAMS, StreamPath
from botkit.exchange.bitopro.wire.frames import (
    ActiveOrdersFrame,
    BalanceFrame,
    Frame,
    HistoryOrdersFrame,
    OrderBookFrame,
    TickerFrame,
    TradeFrame,
    UserTradeFrame,
    taiwan_datetime,
)
from botkit.exchange.bitopro.wire.market import TradeRow
from botkit.model.clock import NS_PER_DAY, NS_PER_MS, NS_PER_S, Nanos
from botkit.model.events import BalanceReport, OrderBook, OrderReport, TradeReport
from botkit.model.order_book import Levels
from botkit.model.orders import FINAL_STATES
from botkit.model.pairs import Pair
from botkit.model.requests import Answer
from botkit.sim.publish import ACCOUNT_EVENTS

_EVENT = 14  # separates these random draws from other draws
_LIMIT_DEFAULT = 5
_HISTORY_ROWS = 100


class Outlet(Protocol):
    """A socket, or anything else that accepts frames."""

    def push(self, frame: bytes) -> None:
        """Queue a frame, to be sent in order."""
        ...


class Subscriber:
    """One socket on one stream. ``pairs`` maps a public stream's pairs to their numbers of levels. ``account`` is set
    only for private streams.
    """

    __slots__ = ("account", "outlet", "pairs", "shown", "stream")

    def __init__(self, stream: StreamPath, outlet: Outlet, pairs: dict[str, int], account: str | None) -> None:
        self.stream = stream
        self.outlet = outlet
        self.pairs = pairs
        self.account = account
        self.shown: dict[str, tuple[Levels, Levels]] = {}  # the last book sent, rounded


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """A delivery in lockstep: either an answer (``request`` is the request's number) or a frame (``event_id``)."""

    at: Nanos
    kind: str
    stream: str = ""
    event: str = ""
    event_id: str = ""
    pair: str = ""
    account: str = ""
    request: int = 0
    status: int = 0
    #: frames with equal group numbers (other than 0) are part of one match, and are combined into one input to the bot
    group: int = 0


def parse_pairs(venue: EmulatedVenue, path_part: str, query_pairs: str | None) -> dict[str, int] | None:
    """Return the pairs in a public stream's URL with their numbers of levels, or None if the exchange would refuse the
    upgrade.

    An unknown pair makes a path invalid, but is silently dropped from ``?pairs=``; an unsupported number of levels
    becomes 5.
    """
    in_query = not path_part and bool(query_pairs)
    wanted: dict[str, int] = {}
    for part in (query_pairs or "" if in_query else path_part).split(","):
        name, _, levels = part.strip().partition(":")
        name = name.lower()
        if name not in venue.pairs:
            if in_query:
                continue
            return None
        known = levels.isascii() and levels.isdigit() and len(levels) < 4 and int(levels) in BOOK_LIMITS
        wanted[name] = int(levels) if known else _LIMIT_DEFAULT
    return wanted or None


class Hub:
    """Turns deliveries into frames. In lockstep, ``on_frame`` is called for each frame."""

    def __init__(self, venue: EmulatedVenue) -> None:
        self._venue = venue
        self._public: dict[tuple[str, str], list[Subscriber]] = {}
        self._private: dict[tuple[str, str], list[Subscriber]] = {}
        self._events = 0
        self._at: Nanos = 0  # the time of the last frame built
        self._group = 0  # the group of the delivery being sent
        self._ticker_at: dict[str, Nanos] = {}
        self._active_final = venue.switches.on("active_final")
        self._last_is_range = venue.switches["ticker_range"] == "last"
        self._repeat = venue.switches.on("repeat_books")
        self.on_frame: Callable[[Told], None] | None = None
        self.frames = 0
        self.sockets = 0

    # -- subscribers ----------------------------------------------------------------------------------------------

    def add(self, subscriber: Subscriber) -> None:
        """Add a socket, and push the initial frames, as the exchange does."""
        self.sockets += 1
        stream = subscriber.stream.id
        now = self._venue.now
        if subscriber.account is not None:
            self._private.setdefault((stream, subscriber.account), []).append(subscriber)
            self._snapshot(subscriber, subscriber.account, now)
            return
        for name in subscriber.pairs:
            self._public.setdefault((stream, name), []).append(subscriber)
            pair = self._venue.pairs[name]
            if stream == "order_book":
                self._venue.publish_books(pair, subscriber.pairs[name])
                book = self._venue.book(pair, subscriber.pairs[name])
                if book.bid_levels or book.ask_levels:
                    self._send_book(subscriber, pair, book, now, first=True)
            elif stream == "trades":
                self._send([subscriber], self._trade_frame(pair, now, self._venue.recent_trades(pair)), pair)
            else:
                self._send([subscriber], self._ticker_frame(pair, now), pair)

    def remove(self, subscriber: Subscriber) -> None:
        """Remove a closed socket from its stream's subscribers."""
        self.sockets -= 1
        for table in (self._public, self._private):
            for key in [key for key, found in table.items() if subscriber in found]:
                table[key].remove(subscriber)
                if not table[key]:
                    del table[key]

    def _snapshot(self, subscriber: Subscriber, account: str, now: Nanos) -> None:
        rows = self._venue.rows[account]
        stream = subscriber.stream.id
        if stream == "active_orders":
            reports = [order.report() for order in rows.account.open.values()]
            self._send([subscriber], self._orders_frame(ActiveOrdersFrame, account, reports, now))
        elif stream == "order_history":
            closed = rows.account.orders.closed_since(now - NS_PER_DAY, _HISTORY_ROWS)
            reports = [order.report() for order in closed]
            self._send([subscriber], self._orders_frame(HistoryOrdersFrame, account, reports, now))
        elif stream == "account_balance":
            self._send([subscriber], self._balance_frame(rows.account.balances(), now))

    # -- deliveries -----------------------------------------------------------------------------------------------

    def deliver(self, deliveries: list[Delivery]) -> None:
        """Send deliveries to subscribers, in order. Answers are passed to the requests that are waiting for them."""
        if not self.sockets:
            for delivery in deliveries:
                if delivery.kind == ACCOUNT_EVENTS and isinstance(delivery.item, Answer):
                    self._venue.answer(delivery)
            return
        for delivery in deliveries:
            item = delivery.item
            if isinstance(item, Answer):
                self._venue.answer(delivery)
            elif delivery.account is not None:
                self._group = delivery.group
                self._account_event(delivery.account, item, delivery.at, delivery.acted)
                self._group = 0
            elif isinstance(item, OrderBook):
                for subscriber in self._public.get(("order_book", delivery.pair), ()):
                    self._send_book(subscriber, item.pair, item, delivery.at)
            elif isinstance(item, Pair) and delivery.trades is not None:
                self._traded(item, delivery.at, delivery.trades)

    def _account_event(self, account: str, item: object, at: Nanos, acted: Nanos) -> None:
        private = self._private
        if not private:
            return
        if isinstance(item, TradeReport):
            listeners = private.get(("user_trades", account))
            if listeners:
                row = self._venue.rows[account].user_trade(item)
                self._send(listeners, UserTradeFrame(**self._envelope(at, acted), data=row), account=account)
        elif isinstance(item, OrderReport):
            is_final = item.state in FINAL_STATES
            active = private.get(("active_orders", account))
            if active and (self._active_final or not is_final):
                self._send(active, self._orders_frame(ActiveOrdersFrame, account, [item], at, acted), account=account)
            history = private.get(("order_history", account))
            if history and is_final:
                self._send(history, self._orders_frame(HistoryOrdersFrame, account, [item], at, acted), account=account)
        elif isinstance(item, BalanceReport):
            listeners = private.get(("account_balance", account))
            if listeners:
                self._send(listeners, self._balance_frame(item, at, acted), account=account)

    def _traded(self, pair: Pair, at: Nanos, trades: tuple[TradeRow, ...]) -> None:
        listeners = self._public.get(("trades", pair))
        if listeners:
            self._send(listeners, self._trade_frame(pair, at, trades), pair)
        listeners = self._public.get(("ticker", pair))
        if listeners and at - self._ticker_at.get(pair, 0) >= NS_PER_S:
            self._ticker_at[pair] = at
            self._send(listeners, self._ticker_frame(pair, at), pair)

    # -- frames ---------------------------------------------------------------------------------------------------

    def _envelope(self, at: Nanos, acted: Nanos | None = None) -> dict[str, Any]:
        """Return the leading fields that every frame has. A frame delivered at ``at`` carries ``acted``, the time at
        which the exchange acted, as its timestamp.
        """
        self._events += 1
        self._at = at
        stamp = (at if acted is None else acted) // NS_PER_MS
        return {
            "timestamp": stamp,
            "datetime": taiwan_datetime(stamp),
            "event_id": uuid_of(_EVENT, self._events, self._venue.options.seed),
        }

    def _send(self, listeners: list[Subscriber], frame: Frame, pair: str = "", account: str = "") -> None:
        data = encode(frame)
        self.frames += len(listeners)
        for subscriber in listeners:
            subscriber.outlet.push(data)
        if self.on_frame is not None:
            stream = listeners[0].stream
            self.on_frame(
                Told(
                    at=self._at,
                    kind="frame",
                    stream=stream.id,
                    event=stream.event,
                    event_id=frame.event_id,
                    pair=str(pair),
                    account=account,
                    group=self._group,
                )
            )

    def _send_book(
        self, subscriber: Subscriber, pair: Pair, book: OrderBook, at: Nanos, *, first: bool = False
    ) -> None:
        limit = subscriber.pairs[pair]
        bids, asks = book.bid_levels[:limit], book.ask_levels[:limit]
        rules = pair.rules
        unit = int(10 ** max(rules.amount_decimals - rules.display_decimals, 0))
        rounded = (_rounded(bids, unit), _rounded(asks, unit))
        before = subscriber.shown.get(pair)
        if before == rounded and not self._repeat:
            return
        subscriber.shown[pair] = rounded
        shown = None if first or before is None else rules.display_decimals
        frame = OrderBookFrame(
            **self._envelope(at),
            pair=pair.upper(),
            limit=limit,
            scale=0,
            bids=level_rows(bids, pair, shown=shown),
            asks=level_rows(asks, pair, shown=shown),
        )
        self._send([subscriber], frame, pair)

    def _trade_frame(self, pair: Pair, at: Nanos, trades: tuple[TradeRow, ...]) -> TradeFrame:
        return TradeFrame(**self._envelope(at), pair=pair.upper(), data=trades)

    def _ticker_frame(self, pair: Pair, at: Nanos) -> TickerFrame:
        row = self._venue.ticker(pair, fresh=True)
        last = row.last_price.rstrip("0").rstrip(".")
        usdt = self._venue.last_price("usdt_twd") or 1.0
        quote = {"twd": 1.0, "usdt": usdt}.get(pair.quote) or self._venue.last_price(f"{pair.quote}_twd") or 1.0
        price_twd, volume = float(row.last_price) * quote, float(row.volume_24hr)
        narrow = self._last_is_range
        return TickerFrame(
            **self._envelope(at),
            pair=pair.upper(),
            last_price=last,
            last_price_usd=f"{price_twd / usdt:.4f}",
            last_price_twd=f"{price_twd:.4f}",
            is_buyer=row.is_buyer,
            price_change_24hr=row.price_change_24hr,
            volume_24hr=f"{volume:.4f}",
            volume_24hr_usd=f"{volume * price_twd / usdt:.4f}",
            volume_24hr_twd=f"{volume * price_twd:.4f}",
            high_24hr=last if narrow else row.high_24hr.rstrip("0").rstrip("."),
            low_24hr=last if narrow else row.low_24hr.rstrip("0").rstrip("."),
        )

    def _orders_frame(
        self,
        kind: type[ActiveOrdersFrame] | type[HistoryOrdersFrame],
        account: str,
        reports: list[OrderReport],
        at: Nanos,
        acted: Nanos | None = None,
    ) -> ActiveOrdersFrame | HistoryOrdersFrame:
        rows = self._venue.rows[account]
        by_pair: dict[str, list[OwnOrderRow]] = {}
        for report in reversed(reports):
            of_pair = by_pair.setdefault(str(report.pair), [])
            if len(of_pair) < _HISTORY_ROWS or kind is ActiveOrdersFrame:
                of_pair.append(rows.order(report, stream=True))
        return kind(**self._envelope(at, acted), data={pair: tuple(found) for pair, found in by_pair.items()})

    def _balance_frame(self, report: BalanceReport, at: Nanos, acted: Nanos | None = None) -> BalanceFrame:
        data = {c.upper(): balance_row(c.upper(), total, free) for c, (total, free) in report.balances.items()}
        return BalanceFrame(**self._envelope(at, acted), data=data)


def _rounded(levels: Levels, unit: int) -> Levels:
    if unit == 1:
        return levels
    half = unit // 2
    return tuple([(ticks, (lots + half) // unit * unit) for ticks, lots in levels if lots >= unit - half])


def stream_of(path: str) -> tuple[StreamPath, str] | None:
    """Return the stream for a path below the WebSocket base, and the rest of the path. Return None if no stream
    matches.
    """
    path = path.rstrip("/")
    for stream in STREAMS.values():
        if stream.private:
            if path == stream.path:
                return stream, ""
        elif path == stream.path:
            return stream, ""
        elif path.startswith(stream.path + "/"):
            return stream, path[len(stream.path) + 1 :]
    return None
