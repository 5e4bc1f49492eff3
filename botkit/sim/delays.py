"""How long requests and news are under way."""

from __future__ import annotations

from typing import TypeAlias

from botkit.model.clock import Nanos
from botkit.model.extension import LatencyByKind, LatencyModel
from botkit.model.requests import Request
from botkit.sim.order import Account
from botkit.sim.request_keys import RequestKeys

#: a request under way: arrival time, number, account, request, time sent, and latency key
Arrival: TypeAlias = tuple[Nanos, int, Account, Request, Nanos, int]


class Delays:
    """Asks the latency model. A model without draws is asked only once: if ``is_constant`` is set, callers use
    ``order_ns`` and ``answer_ns``, which saves a call for each request and its news.
    """

    def __init__(self, latency: LatencyModel) -> None:
        self._latency = latency
        self._by_kind = latency if isinstance(latency, LatencyByKind) else None
        self._keys = RequestKeys()
        self.is_constant = bool(getattr(latency, "is_constant", False))
        self.order_ns: Nanos = latency.order_ns(0) + latency.feed_ns(0)
        self.answer_ns: Nanos = latency.answer_ns(0)

    def of_request(self, account: Account, request: Request) -> tuple[Nanos, int]:
        """Return how long a request takes to arrive, and the key of its draws."""
        key = self._keys.key_of(account, request)
        if self._by_kind is None:
            way = self._latency.order_ns(key)
        else:
            way = self._by_kind.request_ns(request.endpoint, key)
        return way + self._latency.feed_ns(key), key

    def of_news(self, endpoint: str, key: int) -> Nanos:
        """Return how long an account's news takes to become known."""
        if self._by_kind is None:
            return self._latency.answer_ns(key)
        return self._by_kind.news_ns(endpoint, key)
