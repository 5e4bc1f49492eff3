"""The exchange's reply before its conversion to HTTP: a status and a body."""

from __future__ import annotations

from typing import Any

import msgspec

from botkit.exchange.bitopro.wire.codec import encode
from botkit.exchange.bitopro.wire.errors import encode_error


class HttpReply(msgspec.Struct, frozen=True):
    """A reply: its status and body."""

    status: int
    body: bytes


class RefusedError(Exception):
    """Refuses a request with a status and the exchange's message."""

    def __init__(self, text: str, status: int = 422) -> None:
        super().__init__(text)
        self.text = text
        self.status = status

    @property
    def reply(self) -> HttpReply:
        """The refusal as a reply."""
        return refusal(self.status, self.text)


def ok(value: Any) -> HttpReply:
    """Return a reply with status 200 and a wire struct as its body."""
    return HttpReply(200, encode(value))


def refusal(status: int, text: str) -> HttpReply:
    """Return a refusal in the exchange's format."""
    return HttpReply(status, encode_error(status, text))


NOT_FOUND = refusal(404, "404 NOT FOUND")
UNAUTHORIZED = "Invalid Signature"
CONFLICT = "Conflict"
TOO_MANY = "Too Many Requests"
BAD_BODY = "Invalid body"
BAD_PAYLOAD = "Invalid payload"
FORBIDDEN = "api token is not allowed"
