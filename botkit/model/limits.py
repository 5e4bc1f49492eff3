"""The exchange's documented rate limits as data: every figure with its source, and the one in use.

The documents contradict each other in places. An endpoint's ``use`` is what the router respects and the simulated venue
enforces; ``documented`` keeps every figure found, the strictest first, so that a user can see and choose.
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

#: the endpoint that reads the pairs and their rules before a bot runs
PAIRS_ENDPOINT = "trading_pairs"

#: endpoints that a bot needs at any exchange; `create_batch` and `cancel_batch` are used if a table has both
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
    """Whose requests a window counts."""

    IP = "ip"
    ACCOUNT = "account"


class WindowLimit(msgspec.Struct, frozen=True):
    """At most ``requests`` in any ``per_s`` seconds, counted per scope."""

    requests: int
    per_s: int
    scope: Scope

    @property
    def length(self) -> Nanos:
        """Length of the window in nanoseconds."""
        return self.per_s * NS_PER_S


class DocumentedLimit(msgspec.Struct, frozen=True):
    """One figure as one document gives it. ``scope`` is the document's own word, such as ``ip_and_account``.

    ``source`` is short enough to write in a configuration; ``about`` describes it.
    """

    requests: int
    per_s: int
    scope: str
    source: str
    about: str = ""


class EndpointLimit(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one endpoint.

    ``pool`` names the counter that its requests share: the endpoint's own id, the pool of all endpoints without a limit
    of their own (``public`` or ``private``), or the endpoint it shares a counter with. ``windows`` are the windows of
    that pool in which a request takes a slot, one per scope.
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
        """True when documents give different figures."""
        return len({(d.requests, d.per_s) for d in self.documented}) > 1


class LimitTable(msgspec.Struct, frozen=True):
    """The limits of every endpoint, by endpoint id. An exchange's table holds at least `NEEDED_ENDPOINTS`."""

    endpoints: dict[str, EndpointLimit]

    def __getitem__(self, endpoint: str) -> EndpointLimit:
        return self.endpoints[endpoint]


class SlotsChanged(msgspec.Struct, frozen=True):
    """What a bot may use, from now on, of the windows that it shares with other processes.

    ``leased``: by counter (`EndpointLimit.pool`), all slots that the ledger has leased to this bot since it started,
    less those that it returned unused. Those that its router has not taken are free; together with the router's own
    count this determines what `botkit.engine.router.leased.LeasedPools` answers until the next input of this type.

    ``until``: when the leases end, in nanoseconds of the bot's clock; ``cancels_until``: the same for leases that only
    cancels need, which last longer. ``number`` counts up.
    """

    number: int
    leased: dict[str, int]
    until: Nanos
    cancels_until: Nanos
