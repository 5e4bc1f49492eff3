"""The single definition of a requested order.

All other representations take their fields from here: the request and its body, the journal row, the decision line, the
CSV and the page. `botkit.model.orders.Order` adds the order's state and fills.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from botkit.model.clock import Nanos
from botkit.model.pairs import Pair

__all__ = [
    "BUY",
    "LIMIT",
    "MARKET",
    "SELL",
    "STOP_LIMIT",
    "Condition",
    "OrderSpec",
    "OrderType",
    "Side",
]


class Side(enum.Enum):
    """The side of an order, or of the taker of a public trade."""

    BUY = "buy"
    SELL = "sell"

    __hash__ = object.__hash__  # members are singletons, and `Enum.__hash__` costs a Python call per lookup

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(enum.Enum):
    """The order types that the exchange's API accepts."""

    LIMIT = "limit"
    MARKET = "market"
    STOP_LIMIT = "stop_limit"

    __hash__ = object.__hash__


# These constants are read several times for every order. In Python 3.11, reading a member from its class uses the
# metaclass's ``__getattr__`` and costs as much as eight empty calls. A global costs almost nothing.
BUY: Final = Side.BUY
SELL: Final = Side.SELL
LIMIT: Final = OrderType.LIMIT
MARKET: Final = OrderType.MARKET
STOP_LIMIT: Final = OrderType.STOP_LIMIT


class Condition(enum.Enum):
    """The condition that triggers a stop order by comparing the last price with the order's stop price."""

    AT_LEAST = ">="
    AT_MOST = "<="


class OrderSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An order as requested, rounded to the pair's steps. A market buy has ``spend_units`` of quote instead of
    ``amount_lots``.

    The exchange receives the client id, pair, side, type, prices and amounts, condition and ``post_only``. The other
    fields are used only within the bot.
    """

    #: 1 to 2147483646: the label that identifies an order (clientId in the API documentation)
    client_id: int
    pair: Pair
    side: Side
    type: OrderType
    price_ticks: int = 0
    amount_lots: int = 0
    spend_units: int = 0
    stop_ticks: int = 0
    condition: Condition | None = None
    post_only: bool = False
    strategy: str = ""
    #: the time at which the strategy requested the order
    created: Nanos = 0
    #: the time at which the order is dropped from the queue or cancelled; None for no expiry
    expires: Nanos | None = None
    #: the maximum slippage of a market order in the visible book, in percent
    max_slippage_pct: float | None = None
    tag: str = ""
    #: True if the order can only reduce the position, so that halts do not block it
    reduces: bool = False
    #: True for a level of a `quote`; after a restart, the quote with the same pair and tag adopts the order
    is_quote: bool = False
