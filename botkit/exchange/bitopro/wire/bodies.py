"""Request bodies, and the signed payload of requests without a body.

The client encodes a body and signs exactly the bytes that it sends. The emulator decodes the body. Like the exchange,
the decoder must tolerate the differences between real clients. It accepts enums in any letter case, ``""`` and 0 for
unused fields, and unknown fields.
"""

from __future__ import annotations

import msgspec

from botkit.exchange.bitopro.wire.codec import WireError, decode, encode

BATCH_MAX = 10
CLIENT_ID_MAX = 2**31 - 1


class _Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """The base of request bodies. Optional fields default to None and are left out when encoded."""


class CreateBody(_Body, frozen=True, kw_only=True):
    """The body of POST /orders/{pair}, or one item of POST /orders/batch, which includes its ``pair``.

    ``amount`` is in base currency, except for a market buy, where it is the quote amount to spend. ``timestamp`` is in
    ms.
    """

    pair: str | None = None
    action: str
    type: str
    price: str | None = None
    amount: str | None = None
    timestamp: int | None = None
    stop_price: str | None = None
    condition: str | None = None
    time_in_force: str | None = None
    client_id: int | None = None
    percentage: int | None = None


class WithdrawBody(_Body, frozen=True, kw_only=True):
    """POST /wallet/withdraw/{currency}. Coins need ``address``; TWD needs the two bank fields."""

    protocol: str | None = None
    address: str | None = None
    amount: str
    message: str | None = None
    bank_account_serial: str | None = None
    bank_serial: str | None = None


class NoncePayload(_Body, frozen=True, kw_only=True):
    """The payload that GET, DELETE and the WebSocket upgrade sign instead of a body."""

    identity: str | None = None
    nonce: int


def decode_create(body: bytes) -> CreateBody:
    """Decode the body of POST /orders/{pair}. Raises WireError."""
    return decode(body, CreateBody, "create order")


def decode_create_batch(body: bytes) -> tuple[CreateBody, ...]:
    """Decode the body of POST /orders/batch, a bare array of 1 to 10 orders. Raises WireError."""
    items = decode(body, tuple[CreateBody, ...], "create batch")
    if not 1 <= len(items) <= BATCH_MAX:
        raise WireError(f"create batch: {len(items)} orders; one request takes 1 to {BATCH_MAX}")
    return items


def encode_cancel_batch(orders: list[tuple[str, str]]) -> bytes:
    """Encode the body of PUT /orders from (pair, order id) tuples. Ids are grouped by uppercase pair, in their original
    order.
    """
    by_pair: dict[str, list[str]] = {}
    for pair, order_id in orders:
        by_pair.setdefault(pair.upper(), []).append(order_id)
    return encode(by_pair)


def decode_cancel_batch(body: bytes) -> tuple[tuple[str, str], ...]:
    """Decode the body of PUT /orders into (lowercase pair, order id) tuples. Raises WireError."""
    by_pair = decode(body, dict[str, tuple[str | int, ...]], "cancel batch")
    return tuple((pair.lower(), str(order_id)) for pair, ids in by_pair.items() for order_id in ids)


def decode_withdraw(body: bytes) -> WithdrawBody:
    """Decode the body of POST /wallet/withdraw/{currency}. Raises WireError."""
    return decode(body, WithdrawBody, "withdraw")


def decode_nonce_payload(text: bytes) -> NoncePayload:
    """Decode the payload header of a request without a body. Raises WireError."""
    return decode(text, NoncePayload, "payload")
