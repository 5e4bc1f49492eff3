"""The exchange's documented rate limits as data: all published values with their sources, and the value in use.

The exchange's documents contradict each other in some places. The router respects the ``windows`` of an endpoint, and
the simulated venue enforces them. ``documented`` lists every published value, strictest first, for the user to choose
from.
"""

from __future__ import annotations

import enum

import msgspec

from botkit.model.clock import NS_PER_S, Nanos

__all__ = [
    "NEEDED_ENDPOINTS",
    "PAIRS_ENDPOINT",
    "DocumentedLimit",
    "EndpointLimit",
    "LimitTable",
    "Scope",
    "SlotsChanged",
    "WindowLimit",
]

#: the endpoint that returns the pairs and their rules; it is read before a bot runs
PAIRS_ENDPOINT = "trading_pairs"

#: endpoints that a bot needs on any exchange; `create_batch` and `cancel_batch` are used if a table has both
NEEDED_ENDPOINTS = (
    "create_order",
    "cancel_order",
    "get_order",
    "all_orders",
    "open_orders",
    "my_trades",
    "balance",
    "order_book",
    "trading_history",
    PAIRS_ENDPOINT,
)


class Scope(enum.Enum):
    """Determines whose requests count toward a window."""

    IP = "ip"
    ACCOUNT = "account"


class WindowLimit(msgspec.Struct, frozen=True):
    """A limit of ``requests`` in any ``per_s`` seconds, counted separately for each scope."""

    requests: int
    per_s: int
    scope: Scope

    @property
    def length(self) -> Nanos:
        """The window's length in nanoseconds."""
        return self.per_s * NS_PER_S


class DocumentedLimit(msgspec.Struct, frozen=True):
    """A limit as stated in one document. ``scope`` is the document's own term, such as ``ip_and_account``.

    ``source`` is short enough for use in a configuration; ``about`` describes the document.
    """

    requests: int
    per_s: int
    scope: str
    source: str
    about: str = ""


class EndpointLimit(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one endpoint.

    ``pool`` names the counter for the endpoint's requests: the endpoint's own id, the pool for endpoints without a
    separate limit (``public`` or ``private``), or another endpoint with which it shares a counter. ``windows`` are the
    windows of this pool, one per scope. A request uses a slot in each window.
    """

    endpoint: str
    method: str
    path: str
    private: bool
    pool: str
    windows: tuple[WindowLimit, ...]
    documented: tuple[DocumentedLimit, ...] = ()
    note: str = ""

    @property
    def is_disputed(self) -> bool:
        """True if the documents state different limits."""
        return len({(d.requests, d.per_s) for d in self.documented}) > 1


class LimitTable(msgspec.Struct, frozen=True):
    """The limits of every endpoint, by endpoint id. Every exchange's table contains all of `NEEDED_ENDPOINTS`."""

    endpoints: dict[str, EndpointLimit]

    def __getitem__(self, endpoint: str) -> EndpointLimit:
        return self.endpoints[endpoint]


class SlotsChanged(msgspec.Struct, frozen=True):
    """Changes a bot's share of the rate-limit windows that it shares with other processes.

    ``leased`` maps each counter (`EndpointLimit.pool`) to the number of slots that the ledger has leased to this bot
    since the bot started, minus the slots returned unused. Slots that the router has not taken are free. Until the next
    input of this type, the values returned by `botkit.engine.router.leased.LeasedPools` depend only on this input and
    the router's own count.

    ``until`` is the time at which the leases expire, in nanoseconds on the bot's clock. ``cancels_until`` is the expiry
    time of the leases reserved for cancels, which last longer. ``number`` increases with each input.
    """

    number: int
    leased: dict[str, int]
    until: Nanos
    cancels_until: Nanos
