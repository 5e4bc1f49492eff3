"""Orders: their states, the table of allowed transitions, and the object that a strategy holds.

    intent ──> REFUSED                       refused by rules or risk; nothing was sent
       └────> QUEUED ──> EXPIRED             waited in the router past its deadline; nothing was sent
                 │  └──> CANCELLED           cancelled while waiting
                 └────> SENDING ──> NOT_SENT no byte left this machine
                           │  └──> REJECTED  the exchange refused it
                           └──> UNKNOWN ──> ABSENT        proved never to have arrived
                           │       └─────────────┐
                           └──> UNTRIGGERED ──> OPEN ──> PARTLY_FILLED ──> FILLED
                                     └───────────┴───────────┴──> CANCELLED / POST_ONLY_CANCELLED

A CANCELLED order may be partly filled. Even if an exchange has a separate code for such orders, they become CANCELLED.
"""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Final

import msgspec

from botkit.model.clock import Nanos
from botkit.model.money import from_units
from botkit.model.order_spec import (
    BUY,
    LIMIT,
    MARKET,
    SELL,
    STOP_LIMIT,
    Condition,
    OrderSpec,
    OrderType,
    Side,
)

__all__ = [
    "BUY",
    "FINAL_STATES",
    "LIMIT",
    "LIVE_STATES",
    "MARKET",
    "REPORTED_STATES",
    "RESTING_STATES",
    "SELL",
    "STOP_LIMIT",
    "TRANSITIONS",
    "UNSENT_STATES",
    "Condition",
    "ExactOrder",
    "Order",
    "OrderSpec",
    "OrderState",
    "OrderType",
    "Side",
]


class OrderState(enum.Enum):
    """The state of an order, as far as the bot knows."""

    REFUSED = "refused"
    QUEUED = "queued"
    EXPIRED = "expired"
    SENDING = "sending"
    NOT_SENT = "not_sent"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    ABSENT = "absent"
    UNTRIGGERED = "untriggered"
    OPEN = "open"
    PARTLY_FILLED = "partly_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    POST_ONLY_CANCELLED = "post_only_cancelled"

    __hash__ = object.__hash__


_S = OrderState
_FINAL_AT_EXCHANGE = {_S.FILLED, _S.CANCELLED, _S.POST_ONLY_CANCELLED}
_RESTING = {_S.UNTRIGGERED, _S.OPEN, _S.PARTLY_FILLED}

#: For each state, the allowed next states. Any other transition is a bug and fails an assertion.
TRANSITIONS: Final[dict[OrderState, frozenset[OrderState]]] = {
    _S.REFUSED: frozenset(),
    _S.QUEUED: frozenset({_S.SENDING, _S.EXPIRED, _S.CANCELLED, _S.REFUSED, _S.NOT_SENT}),
    _S.EXPIRED: frozenset(),
    # A push can arrive before the response to the create, so SENDING can lead directly to any state at the exchange.
    _S.SENDING: frozenset({_S.NOT_SENT, _S.REJECTED, _S.UNKNOWN} | _RESTING | _FINAL_AT_EXCHANGE),
    _S.NOT_SENT: frozenset(),
    # The order arrived late, or was created despite a 4xx response. The bot then adopts the order's state at the
    # exchange.
    _S.REJECTED: frozenset(_RESTING | _FINAL_AT_EXCHANGE),
    _S.UNKNOWN: frozenset({_S.ABSENT, _S.REJECTED} | _RESTING | _FINAL_AT_EXCHANGE),
    _S.ABSENT: frozenset(_RESTING | _FINAL_AT_EXCHANGE),
    _S.UNTRIGGERED: frozenset({_S.OPEN, _S.PARTLY_FILLED} | _FINAL_AT_EXCHANGE),
    _S.OPEN: frozenset({_S.PARTLY_FILLED} | _FINAL_AT_EXCHANGE),
    _S.PARTLY_FILLED: frozenset(_FINAL_AT_EXCHANGE),
    _S.FILLED: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.POST_ONLY_CANCELLED: frozenset(),
}

#: states that are normally final (a late arrival may still revive REJECTED and ABSENT)
FINAL_STATES: Final = frozenset({_S.REFUSED, _S.EXPIRED, _S.NOT_SENT, _S.REJECTED, _S.ABSENT} | _FINAL_AT_EXCHANGE)
#: states of orders that never left this machine, which no count of orders includes
UNSENT_STATES: Final = (_S.REFUSED, _S.NOT_SENT)
#: states in which the order is, or may be, at the exchange
LIVE_STATES: Final = frozenset({_S.SENDING, _S.UNKNOWN} | _RESTING)
#: states in which the order is known to be at the exchange
RESTING_STATES: Final = frozenset(_RESTING)

#: states that an exchange can report for an order; the others exist only within the bot
REPORTED_STATES: Final = frozenset(_RESTING | _FINAL_AT_EXCHANGE)


class Order:
    """A strategy's order: the request (``spec``), its state and its fills. Only the engine modifies it.

    ``price`` and ``amount`` are the requested values after rounding; ``executed`` is the filled amount. A market buy
    has ``spend`` (quote currency) instead of ``amount``. Times are nanoseconds since the epoch, UTC.
    """

    __slots__ = (
        "amount_lots",
        "cancel_requested",
        "client_id",
        "closes",
        "condition",
        "created",
        "executed_lots",
        "executed_units",
        "expires",
        "fee_units",
        "is_quote",
        "max_slippage_pct",
        "order_id",
        "pair",
        "post_only",
        "price_ticks",
        "reason",
        "reduces",
        "sent",
        "side",
        "spec",
        "spend_units",
        "state",
        "stop_ticks",
        "strategy",
        "tag",
        "type",
        "updated",
    )

    def __init__(self, spec: OrderSpec) -> None:
        self.spec = spec
        # copied because they are read several hundred times during an order's lifetime, and a property would cost a
        # call each time
        self.client_id: Final = spec.client_id
        self.strategy: Final = spec.strategy
        self.pair: Final = spec.pair
        self.side: Final = spec.side
        self.type: Final = spec.type
        self.price_ticks: Final = spec.price_ticks
        self.amount_lots = spec.amount_lots
        self.spend_units: Final = spec.spend_units
        self.stop_ticks: Final = spec.stop_ticks
        self.condition: Final = spec.condition
        self.post_only: Final = spec.post_only
        self.created: Final = spec.created
        self.expires: Final = spec.expires
        self.max_slippage_pct: Final = spec.max_slippage_pct
        self.tag: Final = spec.tag
        self.reduces: Final = spec.reduces
        self.is_quote: Final = spec.is_quote
        self.order_id = ""
        self.sent: Nanos = 0
        self.updated = spec.created
        self.state = OrderState.QUEUED
        self.reason = ""
        self.executed_lots = 0
        self.executed_units = 0
        self.fee_units = 0
        self.cancel_requested = False
        #: The client id of the order whose position this order should close; 0 if the strategy specified none. It is
        #: used only to match trades in a backtest's result and does not affect decisions, so it is not restored after a
        #: restart.
        self.closes = 0

    # -- for strategies ------------------------------------------------------------------------------------

    @property
    def price(self) -> float:
        """The limit price in quote currency; 0.0 for a market order."""
        return self.pair.rules.price(self.price_ticks)

    @property
    def stop_price(self) -> float:
        """The trigger price; 0.0 if there is none."""
        return self.pair.rules.price(self.stop_ticks)

    @property
    def amount(self) -> float:
        """The requested amount, in base currency; 0.0 for a market buy, which has ``spend`` instead."""
        return self.pair.rules.amount(self.amount_lots)

    @property
    def spend(self) -> float:
        """The amount spent by a market buy, in quote currency; 0.0 for any other order."""
        return self.spend_units / 10**8

    @property
    def executed(self) -> float:
        """The amount filled so far, in base currency."""
        return self.pair.rules.amount(self.executed_lots)

    @property
    def remaining(self) -> float:
        """The unfilled amount, in base currency; 0.0 for a market buy."""
        return self.pair.rules.amount(self.remaining_lots)

    @property
    def average_price(self) -> float:
        """The average price of the filled amount; 0.0 before the first fill."""
        if not self.executed_lots:
            return 0.0
        return (self.executed_units / 10**8) / self.pair.rules.amount(self.executed_lots)

    @property
    def remaining_lots(self) -> int:
        """Unfilled lots; 0 for a market buy."""
        return self.amount_lots - self.executed_lots if self.amount_lots else 0

    @property
    def is_final(self) -> bool:
        """True once no further change to the order is expected."""
        return self.state in FINAL_STATES

    @property
    def is_open(self) -> bool:
        """True while the order is queued, being sent, in an unknown state, or resting at the exchange."""
        return self.state not in FINAL_STATES

    @property
    def is_refused(self) -> bool:
        """True if the exchange's rules or a risk rule refused the order before it was sent."""
        return self.state is OrderState.REFUSED

    @property
    def exact(self) -> ExactOrder:
        """The order's prices and amounts as Decimals."""
        return ExactOrder(self)

    # -- for the engine -----------------------------------------------------------------------------------

    def shrink_to(self, lots: int) -> None:
        """Reduce the amount before sending, because the order being replaced has been partly filled."""
        assert not self.sent, self
        assert 0 <= lots <= self.amount_lots, (self, lots)
        self.spec = msgspec.structs.replace(self.spec, amount_lots=lots)
        self.amount_lots = lots

    def move(self, state: OrderState, now: Nanos, reason: str = "") -> None:
        """Move to ``state``, which `TRANSITIONS` must allow."""
        assert state in TRANSITIONS[self.state], f"{self!r}: {self.state.value} -> {state.value} is not a transition"
        self.state = state
        self.updated = now
        if reason:
            self.reason = reason

    def __repr__(self) -> str:
        what = f"spend {self.spend}" if self.spend_units else f"{self.amount}"
        at = f" @ {self.price}" if self.price_ticks else ""
        return (
            f"<Order {self.client_id} {self.side.value} {what} {self.pair}{at} {self.type.value} {self.state.value}"
            f"{' (' + self.reason + ')' if self.reason else ''}>"
        )


class ExactOrder:
    """An order's prices and amounts as Decimals, with the same attribute names as `Order`."""

    __slots__ = ("_order",)

    def __init__(self, order: Order) -> None:
        self._order = order

    @property
    def price(self) -> Decimal:
        """Limit price in quote currency."""
        return self._order.pair.rules.exact_price(self._order.price_ticks)

    @property
    def stop_price(self) -> Decimal:
        """Trigger price in quote currency."""
        return self._order.pair.rules.exact_price(self._order.stop_ticks)

    @property
    def amount(self) -> Decimal:
        """Requested amount, in base currency."""
        return self._order.pair.rules.exact_amount(self._order.amount_lots)

    @property
    def spend(self) -> Decimal:
        """The amount spent by a market buy, in quote currency."""
        return from_units(self._order.spend_units)

    @property
    def executed(self) -> Decimal:
        """Amount filled, in base currency."""
        return self._order.pair.rules.exact_amount(self._order.executed_lots)

    @property
    def remaining(self) -> Decimal:
        """Unfilled amount, in base currency."""
        return self._order.pair.rules.exact_amount(self._order.remaining_lots)

    @property
    def average_price(self) -> Decimal:
        """Average fill price; 0 before the first fill."""
        executed = self.executed
        return from_units(self._order.executed_units) / executed if executed else Decimal(0)
