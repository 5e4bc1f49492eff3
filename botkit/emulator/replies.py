"""An answer of the exchange before it becomes HTTP: a status and a body."""

from __future__ import annotations

from typing import Any

import msgspec

from botkit.exchange.bitopro.wire.codec import encode
from botkit.exchange.bitopro.wire.errors import encode_error


class HttpReply(msgspec.Struct, frozen=True):
    """What goes back."""

    status: int
    body: bytes


class RefusedError(Exception):
    """A request is refused with a status and the exchange's sentence."""

    def __init__(self, text: str, status: int = 422) -> None:
        super().__init__(text)
        self.text = text
        self.status = status

    @property
    def reply(self) -> HttpReply:
        """As an answer."""
        return refusal(self.status, self.text)


def ok(value: Any) -> HttpReply:
    """200 with a struct of the wire."""
    return HttpReply(200, encode(value))


def refusal(status: int, text: str) -> HttpReply:
    """A refusal in the exchange's shape."""
    return HttpReply(status, encode_error(status, text))


NOT_FOUND = refusal(404, "404 NOT FOUND")
UNAUTHORIZED = "Invalid Signature"
CONFLICT = "Conflict"
TOO_MANY = "Too Many Requests"
BAD_BODY = "Invalid body"
BAD_PAYLOAD = "Invalid payload"
FORBIDDEN = "api token is not allowed"
