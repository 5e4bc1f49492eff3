"""Moves old orders and executions, which have long been final, from memory to a temporary file.

The exchange lists 90 days of orders, and a long or fast run produces hundreds of thousands of orders. Therefore only
open orders and each account's newest few thousand stay in memory. The rest are moved to an unnamed SQLite file, which
is removed with its account. Listings and lookups cover both.
"""

from __future__ import annotations

import heapq
import json
import sqlite3
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import Any

import msgspec

from botkit.model.clock import NS_PER_MINUTE, Nanos
from botkit.model.events import TradeReport
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import FINAL_STATES, OrderState, OrderType
from botkit.model.pairs import Pair
from botkit.model.requests import ListOrders, ListTrades
from botkit.sim.account_trades import Trades
from botkit.sim.order import Account, Orders, VenueOrder, is_listed

#: if more than SPILL_AT orders or executions are in memory, move them to the database until SPILL_TO remain
SPILL_AT, SPILL_TO = 4_000, 2_000
#: a final order stays in memory this long, because its answer and frames may still be in flight
_RESTS: Nanos = NS_PER_MINUTE
_NEVER: Nanos = (1 << 63) - 1

_TABLES = """
CREATE TABLE orders (rank INTEGER PRIMARY KEY, id TEXT UNIQUE, number INTEGER, pair TEXT, client_id INTEGER,
                     created INTEGER, updated INTEGER, body BLOB, sums TEXT);
CREATE INDEX by_client ON orders (pair, client_id);
CREATE INDEX by_pair ON orders (pair, rank);
CREATE INDEX by_number ON orders (number);
CREATE TABLE trades (place INTEGER PRIMARY KEY, pair TEXT, order_id TEXT, time INTEGER, body BLOB);
CREATE INDEX by_order ON trades (order_id);
CREATE INDEX by_pair_trades ON trades (pair, place);
"""


class AccountPast:
    """Moves an account's orders and executions from memory to the file, and retrieves them."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.orders = account.orders = _SpiltOrders(self)
        self.trades = account.trades = _SpiltTrades(self)
        self._pairs: dict[str, Pair] = {}

        def pair_of(kind: type, name: str) -> Pair:
            return self._pairs[name]

        self._decode_order = msgspec.json.Decoder(_Kept, dec_hook=pair_of).decode
        self._decode_trade = msgspec.json.Decoder(TradeReport, dec_hook=pair_of).decode
        self._look_at = SPILL_AT
        #: called with the id digits of each order that leaves memory
        self.on_spilt: Callable[[int], None] = lambda number: None

    @cached_property
    def _db(self) -> sqlite3.Connection:
        """The file, which is created when the first order leaves memory: few emulators ever have that many."""
        # "" is an unnamed file: SQLite keeps a small database in memory, and removes the file on close
        db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, db.close)
        db.executescript(_TABLES)
        return db

    # -- out ------------------------------------------------------------------------------------------------------

    def is_due(self) -> bool:
        """Return whether the number of rows in memory is so large that some should be spilled."""
        return self.orders.in_memory > self._look_at or len(self.trades) > SPILL_AT

    def spill(self, now: Nanos, sums_of: Callable[[str], list[int] | None]) -> list[str]:
        """Move old orders and executions out of memory and return the order ids. ``sums_of`` returns the totals of an
        order's executions, which are stored with the order.
        """
        going: list[VenueOrder] = []
        surplus = self.orders.in_memory - SPILL_TO
        for order in self.orders.present():
            if len(going) >= surplus:
                break
            if order.state in FINAL_STATES and order.updated <= now - _RESTS:
                going.append(order)
        old = self.trades[: max(0, len(self.trades) - SPILL_TO)]
        self._pairs.update({order.pair: order.pair for order in going})
        self._pairs.update({trade.pair: trade.pair for trade in old})
        self._db.execute("BEGIN")
        self._db.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [_order_row(order, sums_of(order.order_id)) for order in going],
        )
        self._db.executemany(
            "INSERT INTO trades VALUES (?, ?, ?, ?, ?)",
            [_trade_row(self.trades.spilt + index, trade) for index, trade in enumerate(old)],
        )
        self._db.execute("COMMIT")
        for order in going:
            del self.orders[order.order_id]
            self.on_spilt(_number_of(order.order_id))
        self.orders.spilt += len(going)
        del self.trades[: len(old)]
        self.trades.spilt += len(old)
        # if orders become final faster than they may be moved out of memory, check again only after several more orders
        # have arrived
        self._look_at = max(SPILL_AT, self.orders.in_memory + SPILL_TO)
        return [order.order_id for order in going]

    # -- back -----------------------------------------------------------------------------------------------------

    def has_number(self, number: int) -> bool:
        """Return whether a spilled order has an id with these digits."""
        if not self.orders.spilt:
            return False
        return self._db.execute("SELECT 1 FROM orders WHERE number = ?", (number,)).fetchone() is not None

    def order(self, order_id: str) -> VenueOrder | None:
        """Return a spilled order."""
        row = self._db.execute("SELECT body FROM orders WHERE id = ?", (order_id,)).fetchone()
        return None if row is None else self._order(row[0])

    def sums(self, order_id: str) -> list[int] | None:
        """Return the totals stored with an order."""
        row = self._db.execute("SELECT sums FROM orders WHERE id = ?", (order_id,)).fetchone()
        found: list[int] | None = None if row is None else json.loads(row[0])
        return found

    def newest_orders(self, where: str = "1", *values: object, limit: int = -1) -> Iterator[VenueOrder]:
        """Return spilled orders, newest first."""
        sql = f"SELECT body FROM orders WHERE {where} ORDER BY rank DESC LIMIT {limit}"
        return (self._order(body) for (body,) in self._db.execute(sql, values))

    def _order(self, body: bytes) -> VenueOrder:
        return _order_of(self._account, self._decode_order(body))

    def newest_trades(self, where: str = "1", *values: object) -> Iterator[TradeReport]:
        """Return spilled executions, newest first."""
        sql = f"SELECT body FROM trades WHERE {where} ORDER BY place DESC"
        return (self._decode_trade(body) for (body,) in self._db.execute(sql, values))

    def pairs(self) -> list[str]:
        """Return the pairs of all spilled orders."""
        return list(self._pairs)


class _SpiltOrders(Orders):
    """An account's orders, the oldest of which may have been spilled. Orders are only ever added, so writing works as
    in a plain dict.
    """

    def __init__(self, past: AccountPast) -> None:
        super().__init__()
        self._past = past
        self.spilt = 0

    @property
    def in_memory(self) -> int:
        return super().__len__()

    def present(self) -> Iterator[VenueOrder]:
        """Return the orders in memory, in order of creation."""
        return iter(super().values())

    def __len__(self) -> int:
        return super().__len__() + self.spilt

    def __missing__(self, order_id: str) -> VenueOrder:
        found = self._past.order(order_id) if self.spilt else None
        if found is None:
            raise KeyError(order_id)
        return found

    def __contains__(self, order_id: object) -> bool:
        return self.get(order_id) is not None

    def get(self, order_id: Any, default: Any = None) -> Any:
        found = super().get(order_id)
        if found is None and self.spilt:
            found = self._past.order(order_id)
        return default if found is None else found

    def values(self) -> Any:
        """Return all orders in order of creation. The result is a list, because orders in the file must be
        reconstructed.
        """
        if not self.spilt:
            return super().values()
        return list(self._merged(super().values(), self._past.newest_orders()))[::-1]

    @staticmethod
    def _merged(present: Any, spilt: Iterator[VenueOrder]) -> Iterator[VenueOrder]:
        """Yield orders newest first. Merging is needed because an open order stays in memory while later orders are
        spilled.
        """
        return heapq.merge(reversed(present), spilt, key=lambda order: order.rank, reverse=True)

    def created_within(self, request: ListOrders) -> Iterator[VenueOrder]:
        if not self.spilt:
            return super().created_within(request)
        where, values = _within(request, "created", client_id=request.client_id)
        present = [order for order in super().values() if is_listed(order, request)]
        return self._merged(present, self._past.newest_orders(where, *values))

    def closed_since(self, time: Nanos, pair_rows_max: int) -> list[VenueOrder]:
        if not self.spilt:
            return super().closed_since(time, pair_rows_max)
        found: list[VenueOrder] = []
        for pair in {*self._past.pairs(), *(order.pair for order in super().values())}:
            present = [
                order
                for order in super().values()
                if order.pair == pair and order.state in FINAL_STATES and order.updated >= time
            ]
            spilt = self._past.newest_orders("pair = ? AND updated >= ?", str(pair), time, limit=pair_rows_max)
            found += islice(self._merged(present, spilt), pair_rows_max)
        return sorted(found, key=lambda order: order.rank)


class _SpiltTrades(Trades):
    """An account's executions, the oldest of which may have been spilled. The list itself contains those in memory."""

    def __init__(self, past: AccountPast) -> None:
        super().__init__()
        self._past = past
        self.spilt = 0

    @property
    def total(self) -> int:
        return len(self) + self.spilt

    def since(self, number: int) -> Sequence[TradeReport]:
        assert number >= self.spilt, "trades must be summed before they are spilt"
        return self[number - self.spilt :]

    def made_within(self, request: ListTrades) -> Iterator[TradeReport]:
        present = super().made_within(request)
        if not self.spilt:
            return present
        where, values = _within(request, "time", order_id=request.order_id)
        return chain(present, self._past.newest_trades(where, *values))


class TakenIds(set[int]):
    """The digits of all order ids at a venue. This set contains the ids of orders in memory; the others are looked up
    in the accounts' files.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pasts: list[AccountPast] = []

    def follow(self, past: AccountPast) -> None:
        """From now on, also search an account's file, and remove the digits of orders spilled to that file."""
        self._pasts.append(past)
        past.on_spilt = self.discard

    def __contains__(self, number: object) -> bool:
        assert isinstance(number, int)
        return super().__contains__(number) or any(past.has_number(number) for past in self._pasts)


def _within(request: ListOrders | ListTrades, time: str, **wanted: object) -> tuple[str, list[object]]:
    """Return the SQL condition that selects a listing's rows in the file, and the values in the condition. ``time`` is
    the name of the time column, and None in ``wanted`` means any value.
    """
    where = f"pair = ? AND {time} >= ? AND {time} < ?"
    values: list[object] = [str(request.pair), request.start or 0, _NEVER if request.end is None else request.end]
    for column, value in wanted.items():
        if value is not None:
            where += f" AND {column} = ?"
            values.append(value)
    return where, values


# -- rows -------------------------------------------------------------------------------------------------------------


def _number_of(order_id: str) -> int:
    return int(order_id.removeprefix("SL-"))


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """The fields of a final order that a listing or a lookup can show, named as in `VenueOrder`."""

    order_id: str
    rank: int
    sent: Nanos
    arrived: Nanos
    type: OrderType
    state: OrderState
    price_ticks: int
    original_lots: int
    remaining_lots: int
    spend_units: int
    executed_lots: int
    executed_units: int
    created: Nanos
    updated: Nanos
    new: OrderSpec


#: the fields that are not arguments of `VenueOrder`'s constructor
_OTHERS = [name for name in _Kept.__struct_fields__ if name not in ("new", "order_id", "rank", "sent", "arrived")]
_encode = msgspec.json.Encoder(enc_hook=str).encode  # a pair is stored by name


def _order_row(order: VenueOrder, sums: list[int] | None) -> tuple[object, ...]:
    body = _Kept(*(getattr(order, name) for name in _Kept.__struct_fields__))
    return (
        order.rank,
        order.order_id,
        _number_of(order.order_id),
        str(order.pair),
        order.new.client_id,
        order.created,
        order.updated,
        _encode(body),
        json.dumps(sums),
    )


def _order_of(account: Account, kept: _Kept) -> VenueOrder:
    order = VenueOrder(account, kept.new, kept.order_id, kept.rank, kept.sent, kept.arrived, 0)
    for name in _OTHERS:
        setattr(order, name, getattr(kept, name))
    return order


def _trade_row(place: int, trade: TradeReport) -> tuple[object, ...]:
    return place, str(trade.pair), trade.order_id, trade.time, _encode(trade)
