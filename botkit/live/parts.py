"""What a running bot is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, tzinfo
from random import Random
from typing import Any, Literal, Protocol

from botkit.engine.decisions import DecisionLog
from botkit.engine.engine import Engine
from botkit.live.client_ids import ClientIdPlaces
from botkit.live.clock import DriverClock
from botkit.live.limits.leases import SharedLimits
from botkit.live.limits.rate_limited_reads import RateLimitedReads
from botkit.live.ports import Machine
from botkit.live.state_folder import StateFolder
from botkit.model.adapter import Adapter
from botkit.model.clock import Nanos
from botkit.model.pairs import Pair

OnStop = Literal["keep", "cancel", "flatten"]


class BotParts(Protocol):
    """Who makes the parts of a running bot: `botkit.assembly` does."""

    name: str
    mode: str
    currency: str
    #: the time zone that the user reads times in
    zone: tzinfo
    pairs: Mapping[str, Pair]
    #: pairs whose prices value something, though no strategy trades them
    valuation_pairs: tuple[Pair, ...]
    machine: Machine
    #: the bot's own time; on an emulator it may run faster than the machine's
    clock: DriverClock
    adapter: Adapter
    folder: StateFolder
    on_stop: Mapping[str, OnStop]
    #: most that all recordings of runs may take on the disk
    recording_bytes_max: int
    #: orders that ended without a fill stay in the journal so long
    unfilled_kept_ns: Nanos
    random: Random
    #: REST and WebSocket addresses, for a second process that must reach the same exchange
    address: tuple[str | None, str | None]
    #: a world of its own that ends with the bot (the emulator inside): an earlier journal says nothing about it
    is_new_world: bool
    #: the day on which the account's key was made, where the configuration says so
    key_day: date | None
    #: windows that the bot made last shares with others; None: it is alone
    shared: SharedLimits | None
    #: other bots of this process on the same account, by name
    siblings: Sequence[str]
    #: where those began to count their client ids; None: nobody else does
    client_ids: ClientIdPlaces | None

    def aside(self, *, hurries: bool = False, say: Callable[[str], None] = ...) -> RateLimitedReads:
        """Requests that do not go through the engine's router, in the same windows: before there is one, and after a
        fault of its own."""
        ...

    def share_limits(self) -> None:
        """Make the windows that the next bot shares with others; from here on they are ``shared``."""
        ...

    def no_discount(self, account: Mapping[str, int]) -> str | None:
        """What to say where simulated fees shall be paid in a coin that the account does not hold."""
        ...

    def recorded_as(self) -> Mapping[str, Any]:
        """What making the same engine again takes, as plain JSON values; no secret is in it."""
        ...

    def engine(self, decisions: DecisionLog, first_client_id: int) -> Engine:
        """A new bot, not started, that counts its requests in ``shared`` where there is one."""
        ...
