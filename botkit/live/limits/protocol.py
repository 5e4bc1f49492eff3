"""The messages between a process and the ledger of request slots.

Times are nanoseconds relative to when a message is sent, and are applied relative to when it is received. So a slot may
be held a little longer, but never shorter. A message that is sent twice is applied once.
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import msgspec

from botkit.errors import BotkitError
from botkit.model.clock import Nanos


class SharedWindow(msgspec.Struct, frozen=True, array_like=True):
    """One window of one scope. ``key`` identifies it across processes; equal keys mean equal windows."""

    key: str
    requests: int
    per_s: int


class SharedPool(msgspec.Struct, frozen=True, array_like=True):
    """A counter of the exchange as one process sees it: a request takes a slot in every window or in none.

    ``late`` is how long its requests may still arrive after the last message from this process. ``reserve`` is the
    number of slots kept free for urgent requests.
    """

    name: str
    late: Nanos
    reserve: int
    windows: tuple[SharedWindow, ...]


class Report(msgspec.Struct, array_like=True, kw_only=True):
    """Changes to a pool's slots since the last message, and the slots needed. ``pool`` is its index in `Join.pools`.

    ``returned`` is the number of slots that are no longer leased. ``arrivals`` lists (key, time until the latest
    arrival, negative if answered) for requests that each hold a slot for one window from then on. A known key can only
    move its time earlier; key 0 is for requests that will not be reported again.
    """

    pool: int
    returned: int = 0
    arrivals: tuple[tuple[int, Nanos], ...] = ()
    lower: bool = False
    wanted: int = 0
    wanted_urgently: int = 0


class Join(msgspec.Struct, array_like=True, tag=True):
    """Sent when a process joins. ``known`` is the id of its previous ledger, empty at its start."""

    holder: str
    known: str
    pools: tuple[SharedPool, ...]


class Sync(msgspec.Struct, array_like=True, tag=True):
    """Carries reports and requests for slots. ``number`` counts up."""

    holder: str
    number: int
    reports: tuple[Report, ...] = ()


class Leave(msgspec.Struct, array_like=True, tag=True):
    """Sent when a process ends; its remaining leases count as in flight.

    If the process is dead, its successor sends this, with what it read from the journal in ``sent``: for each pool, the
    time until the latest arrival of each request, negative once answered. The latest of these requests used the
    process's leases.
    """

    holder: str
    sent: dict[str, tuple[Nanos, ...]] | None = None


class AskUsage(msgspec.Struct, array_like=True, tag=True):
    """Sent by ``botkit limits --usage``."""


Message: TypeAlias = Join | Sync | Leave | AskUsage


class LedgerReply(msgspec.Struct, array_like=True):
    """The ledger's answer. ``granted`` lists (pool, slots), and ``retry`` (pool, time to wait) for slots that could not
    be granted.

    ``closed`` lists (pool, time until its first slot) for pools that are closed because an earlier ledger was lost.
    """

    status: Literal["ok", "unknown holder"]
    ledger: str
    number: int = 0
    granted: tuple[tuple[int, int], ...] = ()
    retry: tuple[tuple[int, Nanos], ...] = ()
    closed: tuple[tuple[int, Nanos], ...] = ()
    usage: tuple[WindowUsage, ...] = ()


class WindowUsage(msgspec.Struct, array_like=True):
    """A window's usage at one time: slots leased (unused or in flight), and slots held in total."""

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
    """A connection to a ledger: within the process, to the broker of this machine, or to a Redis server."""

    #: the name shown to users, such as ``the limits broker of this machine``
    name: str

    async def call(self, message: Message) -> LedgerReply:
        """Send a message and return the reply. Raises LedgerUnreachable, after which the message may still have been
        applied.
        """
        ...

    async def close(self) -> None:
        """Drop the connection."""
        ...
