"""Frames of the seven WebSocket streams. Each frame is one JSON object.

The envelope's ``timestamp`` is true UTC in milliseconds. Its ``datetime`` is Taiwan time labelled ``Z``, so it is eight
hours ahead. The emulator sends ``datetime`` because the exchange does, but no code reads it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeAlias

import msgspec

from botkit.exchange.bitopro.wire.account import BalanceRow, OwnOrderRow
from botkit.exchange.bitopro.wire.codec import WireError, decode
from botkit.exchange.bitopro.wire.market import LevelRow, TradeRow

_TAIWAN_AHEAD_MS = 8 * 3_600_000


class _Envelope(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, tag_field="event", gc=False
):
    """The fields common to all frames."""

    timestamp: int
    datetime: str = ""
    event_id: str = msgspec.field(default="", name="eventID")


class OrderBookFrame(_Envelope, frozen=True, kw_only=True, tag="ORDER_BOOK"):
    """The best ``limit`` levels. Each frame is complete and replaces the previous one. As in all public frames,
    ``pair`` is in upper case.

    Amounts are exact in the first frame of a connection and rounded to amountPrecision in later frames.
    """

    pair: str
    limit: int | None = None
    scale: int | None = None
    bids: tuple[LevelRow, ...] | None
    asks: tuple[LevelRow, ...] | None


class TickerFrame(_Envelope, frozen=True, kw_only=True, tag="TICKER"):
    """24-hour statistics. Skip frames without ``pair``. Do not use the high and low, which only repeat the last
    price.
    """

    pair: str = ""
    last_price: str
    last_price_usd: str | None = msgspec.field(default=None, name="lastPriceUSD")
    last_price_twd: str | None = msgspec.field(default=None, name="lastPriceTWD")
    is_buyer: bool | None = None
    price_change_24hr: str | None = msgspec.field(default=None, name="priceChange24hr")
    volume_24hr: str | None = msgspec.field(default=None, name="volume24hr")
    volume_24hr_usd: str | None = msgspec.field(default=None, name="volume24hrUSD")
    volume_24hr_twd: str | None = msgspec.field(default=None, name="volume24hrTWD")
    high_24hr: str | None = msgspec.field(default=None, name="high24hr")
    low_24hr: str | None = msgspec.field(default=None, name="low24hr")


class TradeFrame(_Envelope, frozen=True, kw_only=True, tag="TRADE"):
    """Recent trades, newest first. Every update repeats the complete list, so align it with the previous list."""

    pair: str
    data: tuple[TradeRow, ...] | None


class ActiveOrdersFrame(_Envelope, frozen=True, kw_only=True, tag="ACTIVE_ORDERS"):
    """Active orders by lowercase pair. The first frame contains all pairs. Later frames contain only changed pairs."""

    data: dict[str, tuple[OwnOrderRow, ...] | None] | None


class HistoryOrdersFrame(_Envelope, frozen=True, kw_only=True, tag="RECENT_HISTORY_ORDERS"):
    """Order history. The first frame contains recent orders in all pairs. Later frames contain only orders that have
    become final. Open orders may be included, so check each order's status.
    """

    data: dict[str, tuple[OwnOrderRow, ...] | None] | None


class BalanceFrame(_Envelope, frozen=True, kw_only=True, tag="ACCOUNT_BALANCE"):
    """Balances by uppercase currency. The first frame contains all currencies. Later frames contain only changed
    currencies.
    """

    data: dict[str, BalanceRow] | None


class UserTradeRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """One execution. ``side`` ``ask`` is a sell; timestamps are in seconds; ``fee`` may be scaled by 10^8 (Q10)."""

    base: str
    quote: str
    side: str
    price: str
    volume: str
    fee: str
    fee_currency: str
    transaction_timestamp: int
    event_timestamp: int | None = None
    order_id: str | int = msgspec.field(name="orderID")
    order_type: str | None = None
    match_id: str = msgspec.field(name="matchID")
    is_market: bool | str | None = None
    is_maker: bool | str | None = None


class UserTradeFrame(_Envelope, frozen=True, kw_only=True, tag="USER_TRADE"):
    """One execution of one of the account's orders. This stream has no snapshot."""

    data: UserTradeRow


class UnknownFrame(msgspec.Struct, frozen=True):
    """A frame whose event is not in the documentation."""

    event: str


PublicFrame: TypeAlias = OrderBookFrame | TickerFrame | TradeFrame
PrivateFrame: TypeAlias = ActiveOrdersFrame | HistoryOrdersFrame | BalanceFrame | UserTradeFrame
Frame: TypeAlias = PublicFrame | PrivateFrame

FRAME_TYPES: tuple[type[Frame], ...] = (
    OrderBookFrame,
    TickerFrame,
    TradeFrame,
    ActiveOrdersFrame,
    HistoryOrdersFrame,
    BalanceFrame,
    UserTradeFrame,
)
EVENTS = frozenset(str(frame.__struct_config__.tag) for frame in FRAME_TYPES)

_decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)


class _EventOnly(msgspec.Struct):
    event: str


def decode_frame(data: bytes | str) -> Frame | UnknownFrame:
    """Decode one frame of any stream. Raises WireError if the data is not a frame or does not match the shape of its
    event.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError) as error:
        # checked only here, off the fast path; an undocumented event does not mean that the data is damaged
        event = decode(data, _EventOnly, "stream frame").event
        if event in EVENTS:
            raise WireError(f"{event} frame: {error}") from None
        return UnknownFrame(event)


def taiwan_datetime(timestamp_ms: int) -> str:
    """Return the ``datetime`` field exactly as on the wire: eight hours ahead, with a ``Z``."""
    moment = datetime.fromtimestamp((timestamp_ms + _TAIWAN_AHEAD_MS) // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{timestamp_ms % 1000:03d}Z"
