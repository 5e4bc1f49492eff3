"""Orders and executions that have long been final: in a temporary file in place of memory.

The exchange lists the orders of 90 days, and a long or fast run makes hundreds of thousands of them. So the newest few
thousand of an account stay in memory, open ones always, and the rest goes into an SQLite file without a name, which
vanishes with the process. Whoever lists or looks up orders sees no difference.
"""

from __future__ import annotations

import heapq
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from botkit.model.clock import NS_PER_MINUTE, Nanos
from botkit.model.events import TradeReport
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import FINAL_STATES, Condition, OrderState, OrderType, Side
from botkit.model.pairs import Pair
from botkit.model.requests import ListOrders, ListTrades
from botkit.sim.order import Account, Orders, Trades, VenueOrder, is_listed

#: above so many orders or executions in memory, spill until so many are left
SPILL_AT, SPILL_TO = 4_000, 2_000
#: an order stays in memory for so long after its end: its answer and its frames may still be on their way
_RESTS: Nanos = NS_PER_MINUTE
_NEVER: Nanos = (1 << 63) - 1

_TABLES = """
CREATE TABLE orders (rank INTEGER PRIMARY KEY, id TEXT UNIQUE, number INTEGER, pair TEXT, client_id INTEGER,
                     created INTEGER, updated INTEGER, body TEXT, sums TEXT);
CREATE INDEX by_client ON orders (pair, client_id);
CREATE INDEX by_pair ON orders (pair, rank);
CREATE INDEX by_number ON orders (number);
CREATE TABLE trades (place INTEGER PRIMARY KEY, pair TEXT, order_id TEXT, time INTEGER, body TEXT);
CREATE INDEX by_order ON trades (order_id);
CREATE INDEX by_pair_trades ON trades (pair, place);
"""


class AccountPast:
    """Takes an account's orders and executions out of memory, and finds them again."""

    def __init__(self, account: Account) -> None:
        self._account = account
        # "" is a file without a name: SQLite keeps what is small in memory and removes the file when it is closed
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.executescript(_TABLES)
        self.orders = account.orders = _SpiltOrders(self)
        self.trades = account.trades = _SpiltTrades(self)
        self._pairs: dict[str, Pair] = {}
        self._look_at = SPILL_AT
        #: called with the digits of each order that leaves memory
        self.on_spilt: Callable[[int], None] = lambda number: None

    # -- out ------------------------------------------------------------------------------------------------------

    def is_due(self) -> bool:
        """Whether there is much in memory."""
        return self.orders.in_memory > self._look_at or len(self.trades) > SPILL_AT

    def spill(self, now: Nanos, sums_of: Callable[[str], list[int] | None]) -> list[str]:
        """Move what is old out of memory; returns the ids of the orders. ``sums_of``: the sums of an order's executions
        are kept with it."""
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
        # where orders end faster than they may go, the next look waits for some more
        self._look_at = max(SPILL_AT, self.orders.in_memory + SPILL_TO)
        return [order.order_id for order in going]

    # -- back -----------------------------------------------------------------------------------------------------

    def has_number(self, number: int) -> bool:
        """Whether an order that was spilt has these digits."""
        return self._db.execute("SELECT 1 FROM orders WHERE number = ?", (number,)).fetchone() is not None

    def order(self, order_id: str) -> VenueOrder | None:
        """An order that was spilt."""
        row = self._db.execute("SELECT body FROM orders WHERE id = ?", (order_id,)).fetchone()
        return None if row is None else self._order(row[0])

    def sums(self, order_id: str) -> list[int] | None:
        """The sums that were kept with an order."""
        row = self._db.execute("SELECT sums FROM orders WHERE id = ?", (order_id,)).fetchone()
        found: list[int] | None = None if row is None else json.loads(row[0])
        return found

    def newest_orders(self, where: str = "1", *values: object, limit: int = -1) -> Iterator[VenueOrder]:
        """Spilt orders, newest first."""
        sql = f"SELECT body FROM orders WHERE {where} ORDER BY rank DESC LIMIT {limit}"
        return (self._order(body) for (body,) in self._db.execute(sql, values))

    def _order(self, body: str) -> VenueOrder:
        return _order_of(self._account, self._pairs, json.loads(body))

    def newest_trades(self, where: str = "1", *values: object) -> Iterator[TradeReport]:
        """Spilt executions, newest first."""
        sql = f"SELECT pair, body FROM trades WHERE {where} ORDER BY place DESC"
        return (_trade_of(self._pairs[pair], body) for pair, body in self._db.execute(sql, values))

    def pairs(self) -> list[str]:
        """The pairs of what was spilt."""
        return list(self._pairs)


class _SpiltOrders(Orders):
    """An account's orders, the oldest of which may have been spilt. Writing is a dict's own: only new ones are."""

    def __init__(self, past: AccountPast) -> None:
        super().__init__()
        self._past = past
        self.spilt = 0

    @property
    def in_memory(self) -> int:
        return super().__len__()

    def present(self) -> Iterator[VenueOrder]:
        """Those in memory, in order of creation."""
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
        """All of them, in order of creation: a list, since those of the file are made for it."""
        if not self.spilt:
            return super().values()
        return list(self._merged(super().values(), self._past.newest_orders()))[::-1]

    @staticmethod
    def _merged(present: Any, spilt: Iterator[VenueOrder]) -> Iterator[VenueOrder]:
        """Newest first: an open order stays in memory while later ones are spilt."""
        return heapq.merge(reversed(present), spilt, key=lambda order: order.rank, reverse=True)

    def created_within(self, request: ListOrders) -> Iterator[VenueOrder]:
        if not self.spilt:
            return super().created_within(request)
        where, values = "pair = ? AND created >= ? AND created < ?", [str(request.pair)]
        values += [request.start or 0, _NEVER if request.end is None else request.end]  # type: ignore[list-item]
        if request.client_id is not None:
            where, values = f"{where} AND client_id = ?", [*values, request.client_id]  # type: ignore[list-item]
        present = [order for order in super().values() if is_listed(order, request)]
        return self._merged(present, self._past.newest_orders(where, *values))

    def closed_since(self, time: Nanos, pair_rows_max: int) -> list[VenueOrder]:
        found = super().closed_since(time, pair_rows_max) if not self.spilt else []
        if not self.spilt:
            return found
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
    """An account's executions, the oldest of which may have been spilt; as a list it holds those in memory."""

    def __init__(self, past: AccountPast) -> None:
        super().__init__()
        self._past = past
        self.spilt = 0

    @property
    def total(self) -> int:
        return len(self) + self.spilt

    def since(self, number: int) -> Sequence[TradeReport]:
        assert number >= self.spilt, "they are summed up before they are spilt"
        return self[number - self.spilt :]

    def made_within(self, request: ListTrades) -> Iterator[TradeReport]:
        present = super().made_within(request)
        if not self.spilt:
            return present
        where, values = "pair = ? AND time >= ? AND time < ?", [str(request.pair)]
        values += [request.start or 0, _NEVER if request.end is None else request.end]  # type: ignore[list-item]
        if request.order_id is not None:
            where, values = f"{where} AND order_id = ?", [*values, request.order_id]
        return chain(present, self._past.newest_trades(where, *values))


class TakenIds(set[int]):
    """The digits of all orders of a venue: of those in memory here, of the others in their accounts' files."""

    def __init__(self) -> None:
        super().__init__()
        self._pasts: list[AccountPast] = []

    def follow(self, past: AccountPast) -> None:
        """Look into an account's file too; what is spilt there is left out here."""
        self._pasts.append(past)
        past.on_spilt = self.discard

    def __contains__(self, number: object) -> bool:
        assert isinstance(number, int)
        return super().__contains__(number) or any(past.has_number(number) for past in self._pasts)


# -- rows -------------------------------------------------------------------------------------------------------------


def _number_of(order_id: str) -> int:
    return int(order_id.removeprefix("SL-"))


def _order_row(order: VenueOrder, sums: list[int] | None) -> tuple[object, ...]:
    new = order.new
    body = [
        order.order_id,
        order.rank,
        order.sent,
        order.arrived,
        order.type.value,
        order.state.value,
        order.price_ticks,
        order.original_lots,
        order.remaining_lots,
        order.spend_units,
        order.executed_lots,
        order.executed_units,
        order.created,
        order.updated,
        new.client_id,
        str(new.pair),
        new.side.value,
        new.type.value,
        new.price_ticks,
        new.amount_lots,
        new.spend_units,
        new.stop_ticks,
        None if new.condition is None else new.condition.value,
        new.post_only,
    ]
    return (
        order.rank,
        order.order_id,
        _number_of(order.order_id),
        str(order.pair),
        new.client_id,
        order.created,
        order.updated,
        json.dumps(body, separators=(",", ":")),
        json.dumps(sums),
    )


def _order_of(account: Account, pairs: Mapping[str, Pair], body: list[Any]) -> VenueOrder:
    order_id, rank, sent, arrived, kind, state, price_ticks, original_lots, remaining_lots, spend_units = body[:10]
    executed_lots, executed_units, created, updated = body[10:14]
    client_id, pair, side, new_kind, new_price, amount_lots, new_spend, stop_ticks, condition, post_only = body[14:]
    new = OrderSpec(
        client_id=client_id,
        pair=pairs[pair],
        side=Side(side),
        type=OrderType(new_kind),
        price_ticks=new_price,
        amount_lots=amount_lots,
        spend_units=new_spend,
        stop_ticks=stop_ticks,
        condition=None if condition is None else Condition(condition),
        post_only=post_only,
    )
    order = VenueOrder(account, new, order_id, rank, sent, arrived, 0)
    order.type, order.state, order.price_ticks = OrderType(kind), OrderState(state), price_ticks
    order.original_lots, order.remaining_lots, order.spend_units = original_lots, remaining_lots, spend_units
    order.executed_lots, order.executed_units = executed_lots, executed_units
    order.created, order.updated = created, updated
    return order


def _trade_row(place: int, trade: TradeReport) -> tuple[object, ...]:
    body = [
        trade.order_id,
        trade.trade_id,
        trade.side.value,
        trade.price_ticks,
        trade.lots,
        trade.fee_units,
        trade.fee_currency,
        trade.is_maker,
        trade.time,
    ]
    return place, str(trade.pair), trade.order_id, trade.time, json.dumps(body, separators=(",", ":"))


def _trade_of(pair: Pair, text: str) -> TradeReport:
    order_id, trade_id, side, price_ticks, lots, fee_units, fee_currency, is_maker, time = json.loads(text)
    return TradeReport(
        pair=pair,
        order_id=order_id,
        trade_id=trade_id,
        side=Side(side),
        price_ticks=price_ticks,
        lots=lots,
        fee_units=fee_units,
        fee_currency=fee_currency,
        is_maker=is_maker,
        time=time,
    )
