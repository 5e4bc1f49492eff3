"""The router's reports: window usage, alarms, and due requests."""

from __future__ import annotations

import msgspec

from botkit.model.clock import Nanos
from botkit.model.limits import Scope
from botkit.model.orders import Order
from botkit.model.requests import Request


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of one window at a given time. ``limit`` is the documented limit, and ``in_force`` the current limit,
    which is lower after a 429.
    """

    pool: str
    scope: Scope
    limit: int
    in_force: int
    per_s: int
    held: int
    peak_percent: float
    refused: int  # number of 429 responses, across all windows of this pool


class LimitAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """A 429 from the exchange. The slot rule keeps this bot within the limits, so another client must also be using the
    window.
    """

    pool: str
    at: Nanos
    until: Nanos  # when non-urgent requests resume
    limits: tuple[int, ...]  # maximum requests per window from now on
    text: str


class DroppedRead(msgspec.Struct, frozen=True):
    """A read that will not be sent. ``ticket`` is the result of `Router.read`."""

    ticket: int
    endpoint: str
    owner: str
    reason: str


class Due(msgspec.Struct):
    """The work due now: requests to send, in order, and items with expired deadlines."""

    requests: list[Request]
    expired: list[Order]
    dropped: list[DroppedRead]
