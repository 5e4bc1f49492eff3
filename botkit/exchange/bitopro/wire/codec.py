"""Converts bytes to typed structs and back. Any malformed data raises the same type of error.

Unknown fields are ignored, because the exchange adds fields without notice. A field of the wrong type, truncated text,
``NaN`` or excessively deep nesting raises `WireError`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from botkit.errors import DataError
from botkit.model.clock import NS_PER_MS, Nanos
from botkit.model.money import parse_scaled

T = TypeVar("T")

#: timestamps below this are in seconds, others in milliseconds: 10^11 ms is in 1973, 10^11 s is in the year 5138 (Q9)
SECONDS_BELOW = 10**11
#: the latest plausible timestamp, in ms (the year 2286); anything larger is in microseconds or invalid
_LATEST_MS = 10**13


class WireError(DataError):
    """Data from the exchange does not have the documented shape. The message states the expected shape and the location
    of the error.
    """


_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
#: returns a value as compact JSON; the encoder's own method, because orders wait for it
encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


def decode(body: bytes | str, shape: type[T], what: str) -> T:
    """Parse JSON text as ``shape``. Raises WireError naming ``what`` and the location of the error."""
    decoder = _decoders.get(shape)
    if decoder is None:
        decoder = _decoders[shape] = msgspec.json.Decoder(shape)
    try:
        result: T = decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError) as error:
        raise WireError(f"{what}: {error}; it starts with {excerpt(body)}") from None
    return result


def refuse_repeated_names(body: bytes, what: str) -> None:
    """Raise WireError if an object contains the same name twice, because JSON parsers disagree on which value to
    use.
    """

    def check(items: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in items]
        if len(set(names)) < len(names):
            repeated = next(name for name in names if names.count(name) > 1)
            raise WireError(
                f"{what}: the name {repeated[:40]!r} appears twice in the text that starts with {excerpt(body)}"
            )

    try:
        json.loads(body, object_pairs_hook=check)
    except (ValueError, RecursionError) as error:
        raise WireError(f"{what}: {error}; it starts with {excerpt(body)}") from None


def excerpt(body: bytes | str, length: int = 80) -> str:
    """Return the start of a body, quoted for use in a message."""
    text = body[: 4 * length].decode("utf-8", "replace") if isinstance(body, bytes) else body
    return repr(text[:length]) + ("..." if len(text) > length else "")


def scaled(text: str, decimals: int, what: str, *, floor: bool = False) -> int:
    """Parse a wire decimal into an integer multiple of 10^-decimals. Raises WireError."""
    try:
        return parse_scaled(text, decimals, what, floor=floor)
    except ValueError as error:
        raise WireError(str(error)) from None


def to_ms(stamp: int | str, what: str = "timestamp") -> int:
    """Convert a timestamp in seconds or milliseconds, given as an integer or text, to milliseconds. Raises WireError.

    The exchange sends some fields in seconds in some places and in milliseconds in others (open orders, trades), so the
    size of the number decides.
    """
    if isinstance(stamp, str):
        if not (stamp.isdigit() and stamp.isascii() and len(stamp) <= 15):
            raise WireError(f"{what} {stamp[:40]!r} is not a time in seconds or milliseconds")
        stamp = int(stamp)
    ms = stamp * 1000 if stamp < SECONDS_BELOW else stamp
    if not 0 <= ms <= _LATEST_MS:
        raise WireError(f"{what} {stamp if abs(stamp) < 10**20 else 'with many digits'} is not a plausible time")
    return ms


def to_ns(stamp: int | str, what: str = "timestamp") -> Nanos:
    """Convert a wire timestamp to nanoseconds. Raises WireError."""
    if type(stamp) is int and SECONDS_BELOW <= stamp <= _LATEST_MS:  # as in every frame
        return stamp * NS_PER_MS
    return to_ms(stamp, what) * NS_PER_MS
