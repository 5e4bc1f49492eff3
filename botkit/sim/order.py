"""An order at the simulated exchange, and the account that placed it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from botkit.model.clock import NS_PER_MS, Nanos
from botkit.model.compiling import mypyc_attr
from botkit.model.events import BalanceReport, OrderReport
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import BUY, FINAL_STATES, LIMIT, MARKET, STOP_LIMIT, OrderState
from botkit.model.requests import ListOrders
from botkit.sim.account_setup import AccountSetup
from botkit.sim.account_trades import Trades
from botkit.sim.draws import text_key

# reading a global is faster than reading an enum member
UNTRIGGERED: Final = OrderState.UNTRIGGERED
OPEN: Final = OrderState.OPEN
PARTLY_FILLED: Final = OrderState.PARTLY_FILLED
FILLED: Final = OrderState.FILLED
CANCELLED: Final = OrderState.CANCELLED
POST_ONLY_CANCELLED: Final = OrderState.POST_ONLY_CANCELLED


class VenueOrder:
    """One order at the simulated exchange. ``rank`` is its time priority; ``lock_units`` are its locked funds.

    ``ahead`` is the number of recorded lots ahead of the order. ``book_row`` is the last recorded snapshot applied to
    ``ahead``, and ``is_placed`` is True once a snapshot has reached the order's price. ``joined_behind`` is the amount
    that was ahead when the order joined the queue, for reports, or None if the order never rested in a book.
    """

    __slots__ = (
        "account",
        "ahead",
        "arrived",
        "bar_lots",
        "book_row",
        "created",
        "executed_lots",
        "executed_units",
        "is_buy",
        "is_market_buy",
        "is_placed",
        "joined_behind",
        "lock_units",
        "new",
        "open_ticks",
        "opens_at",
        "order_id",
        "original_lots",
        "pair",
        "price_ticks",
        "priority",
        "rank",
        "remaining_lots",
        "sent",
        "shown_lots",
        "spend_units",
        "state",
        "type",
        "updated",
    )

    def __init__(
        self, account: Account, new: OrderSpec, order_id: str, rank: int, sent: Nanos, arrived: Nanos, lock_units: int
    ) -> None:
        self.account = account
        self.new = new
        self.order_id = order_id
        self.rank = rank
        self.sent = sent
        self.arrived = arrived
        self.lock_units = lock_units
        self.pair = new.pair
        self.is_buy = new.side is BUY
        self.type = new.type
        # True for an order that spends an amount of quote currency
        self.is_market_buy = self.is_buy and new.type is MARKET
        self.price_ticks = new.price_ticks
        #: sort key among the resting orders on its side
        self.priority = (-new.price_ticks if self.is_buy else new.price_ticks, rank)
        self.original_lots = new.amount_lots
        self.remaining_lots = new.amount_lots
        self.spend_units = new.spend_units  # for a market buy: the amount left to spend
        self.executed_lots = 0
        self.executed_units = 0
        self.state = UNTRIGGERED if new.type is STOP_LIMIT else OPEN
        self.created = self.updated = arrived
        self.ahead = 0
        self.book_row = -1
        self.shown_lots = -1
        self.is_placed = False
        self.joined_behind: int | None = None
        self.opens_at: Nanos = -1  # on candles, the time at which the order is processed, and the open price
        self.open_ticks = 0
        self.bar_lots = 0

    def execute(self, lots: int, value: int, base_units: int, now: Nanos) -> int:
        """Record an execution of ``lots``, worth ``value`` units of quote or ``base_units`` of base. Return how much
        less of its currency the order locks.
        """
        before = self.lock_units
        if self.is_market_buy:
            self.spend_units -= value
            lock = self.spend_units
        else:
            self.remaining_lots -= lots
            left = self.remaining_lots
            if not self.is_buy:
                lock = before - base_units
            else:
                lock = self.pair.rules.value_units_up(self.price_ticks, left) if left else 0
            assert left >= 0, self
        assert lock >= 0, self
        self.lock_units = lock
        self.executed_lots += lots
        self.executed_units += value
        self.updated = now
        self.state = PARTLY_FILLED
        return before - lock

    def report(self) -> OrderReport:
        """Return the order's row. Times are in whole milliseconds, as on the wire."""
        new = self.new
        return OrderReport(
            pair=self.pair,
            order_id=self.order_id,
            client_id=new.client_id or None,
            side=new.side,
            type=self.type,
            state=self.state,
            price_ticks=self.price_ticks,
            original_lots=self.original_lots,
            executed_lots=self.executed_lots,
            executed_units=self.executed_units,
            stop_ticks=new.stop_ticks,
            condition=new.condition,
            post_only=new.post_only and self.type is LIMIT,  # orders of other types are always GTC (Q28)
            created=self.created - self.created % NS_PER_MS,
            updated=self.updated - self.updated % NS_PER_MS,
        )

    def __repr__(self) -> str:
        return (
            f"<VenueOrder {self.order_id} {self.new.side.value} {self.remaining_lots} of {self.original_lots}"
            f" {self.pair} @ {self.price_ticks} {self.state.value}>"
        )


@mypyc_attr(native_class=False, allow_interpreted_subclasses=True)
class Orders(dict[str, VenueOrder]):
    """An account's orders by id, in order of creation."""

    def created_within(self, request: ListOrders) -> Iterator[VenueOrder]:
        """Return the orders that match a listing request, newest first. The caller applies the limit."""
        return (order for order in reversed(self.values()) if is_listed(order, request))

    def closed_since(self, time: Nanos, pair_rows_max: int) -> list[VenueOrder]:
        """Return orders that reached a final state at ``time`` or later, in order of creation, but only the newest
        ``pair_rows_max`` for each pair.
        """
        counts: dict[str, int] = {}
        found = []
        for order in reversed(self.values()):
            if order.state in FINAL_STATES and order.updated >= time and counts.get(order.pair, 0) < pair_rows_max:
                counts[order.pair] = counts.get(order.pair, 0) + 1
                found.append(order)
        return found[::-1]


def is_listed(order: VenueOrder, request: ListOrders) -> bool:
    """Return True if an order matches a listing request."""
    return (
        order.pair == request.pair
        and (request.client_id is None or order.new.client_id == request.client_id)
        and (request.start is None or order.created >= request.start)
        and (request.end is None or order.created < request.end)
    )


class Account:
    """One account's balances, orders and executions."""

    __slots__ = (
        "address",
        "counts_volume",
        "fees",
        "key",
        "known_at",
        "locked",
        "name",
        "open",
        "open_count",
        "orders",
        "total",
        "trades",
    )

    def __init__(self, name: str, setup: AccountSetup) -> None:
        self.name = name
        self.key = text_key(name)
        self.address = setup.address
        self.fees = setup.fees
        # a model can opt out of volume, which avoids converting every fill
        self.counts_volume: bool = getattr(setup.fees, "counts_volume", True)
        self.total: dict[str, int] = dict(setup.balances)
        self.locked: dict[str, int] = dict.fromkeys(setup.balances, 0)
        self.orders = Orders()
        self.open: dict[str, VenueOrder] = {}
        self.open_count: dict[str, int] = {}
        self.trades = Trades()
        # the time at which the account's newest event becomes known; no later event may become known before it
        self.known_at: Nanos = 0

    def forget_before(self, time: Nanos) -> None:
        """Drop orders that reached a final state before ``time``, and executions from before ``time``."""
        for order in [o for o in self.orders.values() if o.updated < time and o.state in FINAL_STATES]:
            del self.orders[order.order_id]
        kept = bisect_left(self.trades, time, key=lambda trade: trade.time)
        del self.trades[:kept]

    def available(self, currency: str) -> int:
        """Return the available funds, in units."""
        return self.total.get(currency, 0) - self.locked.get(currency, 0)

    def balances(self) -> BalanceReport:
        """Return all balances, as reported by the exchange."""
        locked = self.locked
        return BalanceReport({c: (total, total - locked.get(c, 0)) for c, total in self.total.items()}, snapshot=True)
