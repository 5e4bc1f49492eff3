"""The body of a refusal: ``{"error": "<message>"}``, or ``{"message": ...}`` if the path does not exist.

A 429 or 5xx may come from a proxy in front of the exchange and have an HTML or empty body, so any body is accepted.
"""

from __future__ import annotations

import msgspec

from botkit.exchange.bitopro.wire.codec import WireError, decode, encode

_TEXT_MAX = 300


class _ErrorBody(msgspec.Struct):
    error: str | None = None
    message: str | None = None


def error_text(body: bytes) -> str:
    """Return the exchange's error message without its full stop, because it becomes part of longer sentences, or the
    start of the body if it contains no message.
    """
    try:
        parsed = decode(body, _ErrorBody, "error")
        text = parsed.error or parsed.message
    except WireError:
        text = None
    if text is None:
        text = body[: 4 * _TEXT_MAX].decode("utf-8", "replace").strip()
    # the message is shown in logs and terminals, so it must not contain control characters
    return "".join(c if c.isprintable() else " " for c in text.removesuffix(".")[:_TEXT_MAX])


def encode_error(status: int, text: str) -> bytes:
    """Return the body for an error status. The 404 body uses a different key from all other bodies and ends with a
    newline.
    """
    return encode({"message": text}) + b"\n" if status == 404 else encode({"error": text})
