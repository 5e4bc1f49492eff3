"""The body of a refusal: ``{"error": "<sentence>"}``, or ``{"message": ...}`` where no such path exists.

A 429 or 5xx may come from the edge and be HTML or nothing at all, so reading it never fails.
"""

from __future__ import annotations

import msgspec

from botkit.exchange.bitopro.wire.codec import WireError, decode, encode

_TEXT_MAX = 300


class _ErrorBody(msgspec.Struct):
    error: str | None = None
    message: str | None = None


def error_text(body: bytes) -> str:
    """The exchange's sentence, or the beginning of whatever came instead of it."""
    try:
        parsed = decode(body, _ErrorBody, "error")
        text = parsed.error or parsed.message
    except WireError:
        text = None
    if text is None:
        text = body[: 4 * _TEXT_MAX].decode("utf-8", "replace").strip()
    # a sentence ends up in logs and terminals: control characters have no business there
    return "".join(c if c.isprintable() else " " for c in text[:_TEXT_MAX])


def encode_error(status: int, text: str) -> bytes:
    """The body that belongs to a status. The one of 404 differs from all others (and ends with a newline)."""
    return encode({"message": text}) + b"\n" if status == 404 else encode({"error": text})
