"""What a process and the ledger of request slots say to each other.

Times are nanoseconds, counted from the moment at which a message is sent and taken from the moment at which it is read:
a slot may be held a little longer, never shorter. A message that is sent twice is applied once.
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import msgspec

from botkit.errors import BotkitError
from botkit.model.clock import Nanos


class SharedWindow(msgspec.Struct, frozen=True, array_like=True):
    """One window of one scope. ``key`` names it among all processes; equal keys have equal windows."""

    key: str
    requests: int
    per_s: int


class SharedPool(msgspec.Struct, frozen=True, array_like=True):
    """A counter of the exchange as one process sees it: a request takes a slot in every window, or in none.

    ``late``: how long after this process was last heard a request of it may still arrive. ``reserve``: slots that stay
    free for urgent requests.
    """

    name: str
    late: Nanos
    reserve: int
    windows: tuple[SharedWindow, ...]


class Report(msgspec.Struct, array_like=True, kw_only=True):
    """What became of a pool's slots since the last message, and what is wanted. ``pool`` is its place in `Join.pools`.

    ``returned``: slots that are leased no longer. ``arrivals``: (key, time until the latest arrival, below zero when it
    was answered) of requests that each hold a slot for one window from then. A key that the ledger knows only moves its
    time forward; 0 is the key of those that will never be mentioned again.
    """

    pool: int
    returned: int = 0
    arrivals: tuple[tuple[int, Nanos], ...] = ()
    lower: bool = False
    wanted: int = 0
    wanted_urgently: int = 0


class Join(msgspec.Struct, array_like=True, tag=True):
    """A process begins to share. ``known`` is the id of the ledger that it shared before, empty at its start."""

    holder: str
    known: str
    pools: tuple[SharedPool, ...]


class Sync(msgspec.Struct, array_like=True, tag=True):
    """Reports and wants. ``number`` counts up."""

    holder: str
    number: int
    reports: tuple[Report, ...] = ()


class Leave(msgspec.Struct, array_like=True, tag=True):
    """A process ends, and what it still leases is on its way.

    Or it is dead, and its successor has read in its journal what it ``sent``: by pool, the time until the latest
    arrival of each request, below zero once it was answered. Of its leases the latest of those were used.
    """

    holder: str
    sent: dict[str, tuple[Nanos, ...]] | None = None


class AskUsage(msgspec.Struct, array_like=True, tag=True):
    """For ``botkit limits --usage``."""


Message: TypeAlias = Join | Sync | Leave | AskUsage


class LedgerReply(msgspec.Struct, array_like=True):
    """``granted``: (pool, slots). ``retry``: (pool, time to wait) for wants that were not met.

    ``closed``: (pool, time until its first slot) for pools that are closed because an earlier ledger was lost.
    """

    status: Literal["ok", "unknown holder"]
    ledger: str
    number: int = 0
    granted: tuple[tuple[int, int], ...] = ()
    retry: tuple[tuple[int, Nanos], ...] = ()
    closed: tuple[tuple[int, Nanos], ...] = ()
    usage: tuple[WindowUsage, ...] = ()


class WindowUsage(msgspec.Struct, array_like=True):
    """One window at one moment: slots leased (unused or on their way), and held in all."""

    key: str
    requests: int
    per_s: int
    leased: int
    held: int
    in_force: int
    holders: int


class LedgerUnreachable(BotkitError):
    """The shared ledger does not answer. Only cancels are sent until it does."""


class Link(Protocol):
    """The way to a ledger: within the process, to the broker of this machine, or to a Redis server."""

    #: what a user reads, such as ``the limits broker of this machine``
    name: str

    async def call(self, message: Message) -> LedgerReply:
        """Carry a message there and its answer back. Raises LedgerUnreachable; the ledger may have applied it."""
        ...

    async def close(self) -> None:
        """Drop the connection."""
        ...
