"""Values of BitoPro's queries and order bodies: times, numbers and ids as the exchange reads them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from botkit.errors import Refused
from botkit.exchange.bitopro.wire.bodies import CLIENT_ID_MAX
from botkit.model.clock import NS_PER_MS, Nanos


def checked_client_id(given: int | None) -> int | None:
    """Check a client id before it is sent. Raises Refused for 0, which the exchange uses for "none"."""
    if given is not None and not 1 <= given <= CLIENT_ID_MAX:
        raise Refused(f"create_order: client id {given} is not between 1 and {CLIENT_ID_MAX}; omit it to send none")
    return given


def number_text(value: str | Decimal | None) -> str | None:
    """Return a number as the exchange reads it: in full, without an exponent."""
    return format(value, "f") if isinstance(value, Decimal) else value


def first_ms(start: Nanos | None) -> int | None:
    """Return the first whole millisecond that is not before ``start``."""
    return None if start is None else -(-start // NS_PER_MS)


def last_ms(end: Nanos | None) -> int | None:
    """Return the last whole millisecond before ``end``, because the exchange's time ranges include their end."""
    return None if end is None else (end - 1) // NS_PER_MS


def transfer_query(
    start: Nanos | None, end: Nanos | None, limit: int, id: str | None, statuses: Iterable[str], txid: str | None
) -> dict[str, object]:
    """Return the query of a list of deposits or withdrawals created in ``start`` <= time < ``end``."""
    return {
        "startTimestamp": first_ms(start),
        "endTimestamp": last_ms(end),
        "limit": limit,
        "id": id,
        "statuses": ",".join(statuses) or None,
        "txID": txid,
    }
