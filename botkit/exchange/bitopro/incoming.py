"""Turns what the exchange sends into events: the items of the streams, and the rows of order listings.

Repeats, late balances, unknown pairs and unreadable rows are recognised here.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from botkit.exchange.bitopro import translate
from botkit.exchange.bitopro.stream import NewTrades, Received, Snapshot, StreamChange
from botkit.exchange.bitopro.wire.account import BalanceRow, OwnOrderRow, OwnTradeRow
from botkit.exchange.bitopro.wire.codec import WireError, to_ns
from botkit.exchange.bitopro.wire.frames import (
    ActiveOrdersFrame,
    BalanceFrame,
    HistoryOrdersFrame,
    OrderBookFrame,
    TickerFrame,
    UnknownFrame,
    UserTradeFrame,
)
from botkit.model.adapter import AdapterEvent
from botkit.model.clock import Nanos
from botkit.model.counts import counted
from botkit.model.events import BalanceReport, Connection, ConnectionState, OrderBook, OrderReport, TradeReport
from botkit.model.pairs import Pair

log = logging.getLogger("botkit.bitopro")

#: number of orders and executions to remember for detecting repeats
_MEMORY = 20_000
#: how much later than a newer balance frame an older one may arrive
_LATE_FRAME_MS = 60_000

_Row = TypeVar("_Row")
_Event = TypeVar("_Event")


class Incoming:
    """Converts the items of an adapter's streams into events. It remembers what it delivered."""

    def __init__(self, known_pairs: Mapping[str, Pair]) -> None:
        """``known_pairs`` are the pairs whose rows can be parsed, keyed by lowercase name."""
        self._known_pairs = known_pairs
        self._reports = _Remembered()
        self._trades = _Remembered()
        self._foreign: set[str] = set()
        self._unknown_events: set[str] = set()
        #: keyed by currency: the timestamp, in milliseconds, of the last frame with this currency's balance
        self._balances_at: dict[str, int] = {}

    def events(self, stream_id: str, received: Received, told: Sequence[Pair | None]) -> Sequence[AdapterEvent]:
        """Convert an item from a stream into events. ``told`` lists the pairs to notify of a connection change.

        A row that cannot be read does not affect the other rows. It is logged, and the stream is reported as STALE.
        """
        item = received.item
        unreadable: list[WireError] = []
        try:
            if type(item) is OrderBookFrame:  # most frames are books, and an order may wait for this one
                return self._books(item)
            translated = list(self._translated(stream_id, received, told, unreadable))
        except WireError as error:
            translated = []
            unreadable.append(error)
        # repeats are recognised only now, because an event that is remembered must also be delivered
        found = self._without_repeats(translated, received)
        if unreadable:
            problem = described(unreadable)
            log.error("%s: %s", stream_id, problem)
            found += [Connection(ConnectionState.STALE, stream_id, pair, problem) for pair in told]
        return found

    def _translated(
        self, stream_id: str, received: Received, told: Sequence[Pair | None], unreadable: list[WireError]
    ) -> Iterable[AdapterEvent]:
        """Convert an item into events, whether or not they are new. Errors of single rows are added to
        ``unreadable``.
        """
        item = received.item
        match item:
            case NewTrades():
                pair = self._pair(item.frame.pair)
                if pair is not None:
                    if item.gap:
                        yield Connection(
                            ConnectionState.RESYNCHRONISED,
                            stream_id,
                            pair,
                            "gap: trades before these may be missing",
                            gap=True,
                        )
                    yield from _each(item.new, partial(translate.trade, pair=pair), unreadable)
            case TickerFrame():
                if item.pair and (pair := self._pair(item.pair)):
                    yield translate.ticker(item, pair)
            case ActiveOrdersFrame() | HistoryOrdersFrame():
                rows = (row for of_pair in (item.data or {}).values() for row in of_pair or ())
                # the first frame of a connection repeats older data
                yield from self.order_reports(rows, unreadable, 0 if received.is_first else to_ns(item.timestamp))
            case UserTradeFrame():
                if pair := self._pair(f"{item.data.base}_{item.data.quote}"):
                    yield translate.user_trade_report(item.data, pair)
            case BalanceFrame():
                rows_of_frame = (item.data or {}).values()
                reports = _each(rows_of_frame, lambda row: translate.balance_report((row,), snapshot=False), unreadable)
                # never treat this frame as a snapshot: if the first frame were lost, the next frame, with a single
                # currency, would imply that all other coins are gone
                yield BalanceReport({c: held for report in reports for c, held in report.balances.items()})
            case Snapshot():
                yield from self._snapshot(item, unreadable)
            case StreamChange():
                for told_pair in told:
                    yield Connection(item.state, stream_id, told_pair, item.detail, is_refused=item.is_refused)
            case UnknownFrame():
                self._unknown_event(stream_id, item.event[:40])

    def _without_repeats(self, translated: Iterable[AdapterEvent], received: Received) -> list[AdapterEvent]:
        """Remember an item's events, and return those that are new. Reports may repeat, because both order streams
        report an order's final state, and snapshots contain old reports.
        """
        found: list[AdapterEvent] = []
        for event in translated:
            kind = type(event)
            if kind is OrderReport:
                assert isinstance(event, OrderReport)
                plain = msgspec.structs.replace(event, pushed=0) if event.pushed else event
                if not self._reports.is_new(event.order_id, plain):
                    continue
            elif kind is TradeReport:
                assert isinstance(event, TradeReport)
                # a self-trade appears as two executions with the same id
                if not self._trades.is_new((event.trade_id, event.order_id, event.side), event):
                    continue
            elif isinstance(received.item, BalanceFrame):
                assert isinstance(event, BalanceReport)
                event = self._newest(event, received.item.timestamp, received.is_first)
                if not event.balances:
                    continue
            found.append(event)
        return found

    def _books(self, frame: OrderBookFrame) -> Sequence[OrderBook]:
        """Return the book in a frame, or nothing if its pair is unknown."""
        pair = self._known_pairs.get(frame.pair.lower()) or self._pair(frame.pair)
        if pair is None:
            return ()
        return (translate.order_book(frame.bids, frame.asks, pair, to_ns(frame.timestamp)),)

    def _newest(self, report: BalanceReport, timestamp_ms: int, is_first: bool) -> BalanceReport:
        """Return the balances that are at least as recent as earlier ones of the same currency. Frames may arrive out
        of order.

        If a timestamp goes back further than any frame could be delayed, the exchange's clock must have been reset, so
        the balance is accepted.
        """
        if is_first:
            self._balances_at.clear()
        newest = {
            currency: held
            for currency, held in report.balances.items()
            if not 0 < self._balances_at.get(currency, 0) - timestamp_ms < _LATE_FRAME_MS
        }
        self._balances_at.update(dict.fromkeys(newest, timestamp_ms))
        return BalanceReport(newest)

    def _unknown_event(self, stream_id: str, event: str) -> None:
        if event not in self._unknown_events and len(self._unknown_events) < 100:
            self._unknown_events.add(event)
            log.warning(
                "%s: frames with the unknown event %s are ignored, and everything else continues; check for a newer "
                "botkit",
                stream_id,
                event,
            )

    def _snapshot(self, snapshot: Snapshot, unreadable: list[WireError]) -> Iterable[AdapterEvent]:
        rows = snapshot.rows
        yield from self.order_reports((row for row in rows if isinstance(row, OwnOrderRow)), unreadable)
        balances = [row for row in rows if isinstance(row, BalanceRow)]
        if balances:
            # all or none, because a currency that is missing from a snapshot has a zero balance
            yield translate.balance_report(balances, snapshot=True)
        pair = self._pair(snapshot.pair or "")
        if pair:
            # trade ids in the listing differ from those in the stream, so the engine matches executions by each order's
            # executed amount
            trades = (row for row in rows if isinstance(row, OwnTradeRow))
            yield from _each(trades, partial(translate.own_trade_report, pair=pair), unreadable)

    def order_reports(
        self, rows: Iterable[OwnOrderRow], unreadable: list[WireError], pushed: Nanos = 0
    ) -> Iterable[OrderReport]:
        """Convert the rows of known pairs."""
        known = ((row, pair) for row in rows if (pair := self._pair(row.pair)))
        return _each(known, lambda known_row: translate.order_report(*known_row, pushed), unreadable)

    def _pair(self, name: str) -> Pair | None:
        """Return the pair, or None if its rules are unknown. This bot cannot have placed an order in an unknown pair.
        Each unknown pair is logged once.
        """
        pair = self._known_pairs.get(name.lower())
        if pair is None and name and name not in self._foreign and len(self._foreign) < 1000:
            self._foreign.add(name)
            log.warning("rows for the pair %s are ignored: this bot does not know the pair", name[:40])
        return pair


class _Remembered:
    """Stores the last value seen for each key, and keeps only the latest ``_MEMORY`` keys."""

    def __init__(self) -> None:
        self._values: OrderedDict[object, object] = OrderedDict()

    def is_new(self, key: object, value: object) -> bool:
        """Return False if ``value`` equals the last value seen for this key."""
        if self._values.get(key) == value:
            return False
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > _MEMORY:
            self._values.popitem(last=False)
        return True


def _each(rows: Iterable[_Row], convert: Callable[[_Row], _Event], unreadable: list[WireError]) -> Iterable[_Event]:
    """Convert rows one by one. The errors of rows that cannot be read are added to ``unreadable``."""
    for row in rows:
        try:
            event = convert(row)
        except WireError as error:
            unreadable.append(error)
        else:
            yield event


def described(unreadable: Sequence[WireError]) -> str:
    """Return what is wrong with the rows that cannot be read."""
    others = len(unreadable) - 1
    return str(unreadable[0]) + (f", and {counted(others, 'other row')} cannot be read either" if others else "")
