"""The messages between a process and the ledger of request slots.

The sender states times in nanoseconds relative to the time of sending, and the receiver applies them relative to the
time of receipt. A slot may therefore be held slightly too long, but never too briefly. A message that is sent twice is
applied once.
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import msgspec

from botkit.errors import BotkitError
from botkit.model.clock import Nanos


class SharedWindow(msgspec.Struct, frozen=True, array_like=True):
    """One window of one scope. ``key`` identifies the window across processes, so equal keys mean the same window."""

    key: str
    requests: int
    per_s: int


class SharedPool(msgspec.Struct, frozen=True, array_like=True):
    """One of the exchange's counters, from the perspective of one process. A request takes a slot in all of the
    counter's windows or in none.

    ``late`` is how long the process's requests may still arrive after its last message. ``reserve`` is the number of
    slots kept free for urgent requests.
    """

    name: str
    late: Nanos
    reserve: int
    windows: tuple[SharedWindow, ...]


class Report(msgspec.Struct, array_like=True, kw_only=True):
    """Changes to a pool's slots since the last message, and the slots needed. ``pool`` is the pool's index in
    `Join.pools`.

    ``returned`` is the number of slots that are no longer leased. ``arrivals`` lists (key, time until the latest
    arrival, negative if answered) for requests that each hold a slot for one window from that time on. If a key is
    reported again, its time can only move earlier. Key 0 is for requests that will not be reported again.
    """

    pool: int
    returned: int = 0
    arrivals: tuple[tuple[int, Nanos], ...] = ()
    lower: bool = False
    wanted: int = 0
    wanted_urgently: int = 0


class Join(msgspec.Struct, array_like=True, tag=True):
    """The message that a process sends when it joins. ``known`` is the id of its previous ledger, or empty when the
    process starts.

    With ``renames``, the process keeps everything that it holds and only changes its name from that one to ``holder``.
    The reply is "unknown holder" if the ledger knows neither name.
    """

    holder: str
    known: str
    pools: tuple[SharedPool, ...]
    renames: str = ""


class Sync(msgspec.Struct, array_like=True, tag=True):
    """The message with reports and requests for slots. ``number`` increases with each message."""

    holder: str
    number: int
    reports: tuple[Report, ...] = ()


class Leave(msgspec.Struct, array_like=True, tag=True):
    """The message that a process sends when it exits. Its remaining leases are counted as in flight.

    If the process is dead, its successor sends this message with ``sent``, based on the journal: for each pool, the
    time until the latest arrival of each request, negative once answered. The process's leases were used for the latest
    of these requests.
    """

    holder: str
    sent: dict[str, tuple[Nanos, ...]] | None = None


class AskUsage(msgspec.Struct, array_like=True, tag=True):
    """The message sent by ``botkit limits --usage``."""


Message: TypeAlias = Join | Sync | Leave | AskUsage


class LedgerReply(msgspec.Struct, array_like=True):
    """The ledger's reply. ``granted`` lists (pool, slots). ``retry`` lists (pool, time to wait) for slots that could
    not be granted.

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
    """The current usage of a window: the number of leased slots (unused or in flight), and the total number of held
    slots.
    """

    key: str
    requests: int
    per_s: int
    leased: int
    held: int
    in_force: int
    holders: int


class LedgerUnreachable(BotkitError):
    """The shared ledger does not respond. Until it responds, only cancels are sent."""


class Link(Protocol):
    """A connection to a ledger in this process, in this machine's broker, or on a Redis server."""

    #: the name shown to users, such as ``the limits broker of this machine``
    name: str

    async def call(self, message: Message) -> LedgerReply:
        """Send a message and return the reply. Raises LedgerUnreachable, in which case the message may still have been
        applied.
        """
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...
