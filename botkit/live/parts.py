"""The parts that a running bot is built from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, tzinfo
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from botkit.engine.decisions import DecisionLog
from botkit.engine.engine import Engine
from botkit.engine.router.leased import LeasedPools
from botkit.live.client_ids import ClientIdPlaces
from botkit.live.clock import DriverClock
from botkit.live.limits.leases import SharedLimits
from botkit.live.limits.rate_limited_reads import RateLimitedReads
from botkit.live.limits.sharing import LimitSharing
from botkit.live.ports import Machine
from botkit.live.state_folder import StateFolder
from botkit.model.adapter import Adapter
from botkit.model.clock import Nanos
from botkit.model.pairs import Pair

OnStop = Literal["keep", "cancel", "flatten"]


class BotParts(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration values, the environment and the engine factory of a running bot."""

    name: str
    mode: str
    currency: str
    #: the user's time zone
    zone: tzinfo
    pairs: Mapping[str, Pair]
    #: pairs that are needed for valuation but that no strategy trades
    valuation_pairs: tuple[Pair, ...]
    machine: Machine
    #: the bot's own time, which may run faster than the machine's time on an emulator
    clock: DriverClock
    adapter: Adapter
    folder: StateFolder
    on_stop: Mapping[str, OnStop]
    #: which strategy (``use``) each name is
    uses: Mapping[str, str]
    #: the maximum disk space for the recordings of all runs
    recording_bytes_max: int
    #: how long orders that became final without a fill stay in the journal
    unfilled_kept_ns: Nanos
    #: REST and WebSocket addresses, for a second process that must reach the same exchange
    address: tuple[str | None, str | None]
    #: True if the exchange stops with the bot (the embedded emulator), so an earlier journal does not apply
    is_new_world: bool
    #: the creation date of the account's key, if the configuration states it
    key_day: date | None
    sharing: LimitSharing
    #: additional host names under which a browser may open this bot's page, and whether the page may control the bot
    page_hosts: tuple[str, ...] = ()
    page_control: bool = False
    #: the bot's log file, if it has one
    log_file: Path | None = None
    #: the data that a replay needs to rebuild the engine, as plain JSON values without secrets
    recipe: Mapping[str, Any]
    #: the names of this process's other bots on the account
    siblings: tuple[str, ...] = ()
    #: the starting points for client ids on the account; None if there are no other bots
    client_ids: ClientIdPlaces | None = None
    #: creates a new, unstarted engine from (decision log, first client id, shared counters)
    engine: Callable[[DecisionLog, int, LeasedPools | None], Engine]
    #: returns a warning if simulated fees are to be paid in a coin that this account does not hold
    lacks_coin: Callable[[Mapping[str, int]], str | None]

    def outside_router(
        self, *, hurries: bool = False, say: Callable[[str], None] = lambda text: None
    ) -> RateLimitedReads:
        """Return a sender outside the engine's router, for use before start-up and after an engine fault."""
        return self.sharing.outside_router(self.adapter, hurries=hurries, say=say)

    def recorded_as(self, shared: SharedLimits | None, first_client_id: int) -> dict[str, Any]:
        """Return the header of a recording, including the values that are known only when the bot starts."""
        pools = None if shared is None else list(shared.leased.pools)
        return {**self.recipe, "shared": pools, "first_client_id": first_client_id}


AnyParts = TypeVar("AnyParts", bound=BotParts)


def by_account(parts: Iterable[AnyParts]) -> list[list[AnyParts]]:
    """Group one process's bots by account. A bot without an account name ("") forms a group of its own."""
    groups: dict[object, list[AnyParts]] = {}
    for one in parts:
        account = one.sharing.account
        groups.setdefault((one.sharing.venue, account) if account else one.name, []).append(one)
    return list(groups.values())


def introduced(bots: list[AnyParts]) -> list[AnyParts]:
    """Return the bots of one account, each with the names of the others."""
    if len(bots) < 2:
        return bots
    ids, names = ClientIdPlaces(), [one.name for one in bots]
    return [
        msgspec.structs.replace(one, client_ids=ids, siblings=tuple(name for name in names if name != one.name))
        for one in bots
    ]
