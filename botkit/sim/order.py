"""An order as the exchange keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from botkit.model.clock import NS_PER_MS, Nanos
from botkit.model.events import OrderReport
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import BUY, LIMIT, MARKET, STOP_LIMIT, OrderState

if TYPE_CHECKING:
    from botkit.sim.ledger import Account

# a global is read faster than a member of an enumeration
UNTRIGGERED: Final = OrderState.UNTRIGGERED
OPEN: Final = OrderState.OPEN
PARTLY_FILLED: Final = OrderState.PARTLY_FILLED
FILLED: Final = OrderState.FILLED
CANCELLED: Final = OrderState.CANCELLED
POST_ONLY_CANCELLED: Final = OrderState.POST_ONLY_CANCELLED


class VenueOrder:
    """One order at the simulated exchange. ``rank`` is its time priority; ``lock_units`` what it holds back.

    ``ahead`` lots of the recorded market stand before it; ``book_row`` is the last recorded snapshot that is worked
    into ``ahead``, and ``is_placed`` says whether a snapshot has reached down to its price yet.
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
        "lock_units",
        "new",
        "open_ticks",
        "opens_at",
        "order_id",
        "original_lots",
        "pair",
        "price_ticks",
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
        self.is_market_buy = self.is_buy and new.type is MARKET  # it spends an amount of quote
        self.price_ticks = new.price_ticks
        self.original_lots = new.amount_lots
        self.remaining_lots = new.amount_lots
        self.spend_units = new.spend_units  # of a market buy: what is left to spend
        self.executed_lots = 0
        self.executed_units = 0
        self.state = UNTRIGGERED if new.type is STOP_LIMIT else OPEN
        self.created = self.updated = arrived
        self.ahead = 0
        self.book_row = -1
        self.shown_lots = -1
        self.is_placed = False
        self.opens_at: Nanos = -1  # candles: when it can be worked, and at which open
        self.open_ticks = 0
        self.bar_lots = 0

    def report(self) -> OrderReport:
        """The order's row. Times are whole milliseconds, which is what the wire carries."""
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
            post_only=new.post_only and self.type is LIMIT,  # others are always GTC (Q28)
            created=self.created - self.created % NS_PER_MS,
            updated=self.updated - self.updated % NS_PER_MS,
        )

    def __repr__(self) -> str:
        return (
            f"<VenueOrder {self.order_id} {self.new.side.value} {self.remaining_lots} of {self.original_lots}"
            f" {self.pair} @ {self.price_ticks} {self.state.value}>"
        )
