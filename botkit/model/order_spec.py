"""What was asked for: one order, described once.

Everything that speaks of an order takes its words from here: the request and its body, the journal's row, the line of
decisions, the CSV and the page. What became of it is `botkit.model.orders.Order`.
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

    __hash__ = object.__hash__  # members are single; Enum's own hash is a Python call at every look-up

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


# Asked for several times in the life of every order. A member read off its class runs through the metaclass's
# ``__getattr__`` in Python 3.11 and costs as much as eight empty calls; a global costs nothing.
BUY: Final = Side.BUY
SELL: Final = Side.SELL
LIMIT: Final = OrderType.LIMIT
MARKET: Final = OrderType.MARKET
STOP_LIMIT: Final = OrderType.STOP_LIMIT


class Condition(enum.Enum):
    """When a stop order triggers: the last price compared with its stop price."""

    AT_LEAST = ">="
    AT_MOST = "<="


class OrderSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One order as it was asked for, rounded to the pair's steps. A market buy has ``spend_units`` of quote in place of
    ``amount_lots``.

    What the exchange is told is the client id, the pair, the side, the type, the figures, the condition and
    ``post_only``; the rest is the bot's own.
    """

    #: 1 to 2147483646: the label by which an order is recognised (API documentation, clientId)
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
    #: when it was asked for
    created: Nanos = 0
    #: when it is dropped from the queue, or cancelled; None: never
    expires: Nanos | None = None
    #: how far through the visible book a market order may go, in percent
    max_slippage_pct: float | None = None
    tag: str = ""
    #: it can only make the position smaller: a way out, which halts do not keep back
    reduces: bool = False
    #: it stands for a level of a `quote`; after a restart the quote of its pair and tag owns it again
    is_quote: bool = False
