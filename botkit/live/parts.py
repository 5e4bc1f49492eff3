"""The parts that a running bot is built from."""

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
    """Builds the parts of a running bot; implemented by `botkit.assembly`."""

    name: str
    mode: str
    currency: str
    #: the user's time zone
    zone: tzinfo
    pairs: Mapping[str, Pair]
    #: pairs needed for valuation that no strategy trades
    valuation_pairs: tuple[Pair, ...]
    machine: Machine
    #: the bot's own time; on an emulator it may run faster than the machine's
    clock: DriverClock
    adapter: Adapter
    folder: StateFolder
    on_stop: Mapping[str, OnStop]
    #: the most disk space for all recordings of runs
    recording_bytes_max: int
    #: how long orders that ended without a fill stay in the journal
    unfilled_kept_ns: Nanos
    random: Random
    #: REST and WebSocket addresses, for a second process that must reach the same exchange
    address: tuple[str | None, str | None]
    #: True if the exchange ends with the bot (the embedded emulator), so that an earlier journal does not apply
    is_new_world: bool
    #: the day on which the account's key was made, where the configuration says so
    key_day: date | None
    #: windows that the bot made last shares with others; None: it is alone
    shared: SharedLimits | None
    #: other bots of this process on the same account, by name
    siblings: Sequence[str]
    #: their starting points for client ids; None if there are no other bots
    client_ids: ClientIdPlaces | None

    def aside(self, *, hurries: bool = False, say: Callable[[str], None] = ...) -> RateLimitedReads:
        """A sender outside the engine's router, within the same windows: for use before start-up and after an engine
        fault.
        """
        ...

    def share_limits(self) -> None:
        """Create the windows that the next bot shares with others, as ``shared``."""
        ...

    def no_discount(self, account: Mapping[str, int]) -> str | None:
        """A warning if simulated fees should be paid in a coin that the account does not hold."""
        ...

    def recorded_as(self) -> Mapping[str, Any]:
        """What is needed to rebuild the same engine, as plain JSON values without secrets."""
        ...

    def engine(self, decisions: DecisionLog, first_client_id: int) -> Engine:
        """A new engine, not started, that counts its requests in ``shared``, if set."""
        ...
