"""Makes the parts of a running bot that `botkit.live` needs from a configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Any, Literal

import msgspec

from botkit.assembly.engine import make_engine
from botkit.config.schema import FeesConfig
from botkit.engine.decisions import DecisionLog
from botkit.engine.engine import Engine
from botkit.engine.money.valuation import pairs_on_the_way
from botkit.engine.router.leased import LeasedPools
from botkit.live.client_ids import ClientIdPlaces
from botkit.live.clock import DriverClock
from botkit.live.limits.in_process import InProcessLedger
from botkit.live.limits.leases import SharedLimits
from botkit.live.limits.rate_limited_reads import RateLimitedReads
from botkit.live.limits.sharing import ALONE, rate_limited_reads, shared_limits, venue_name
from botkit.live.machine import this_machine
from botkit.live.parts import OnStop
from botkit.live.ports import Machine
from botkit.live.state_folder import StateFolder
from botkit.model.adapter import Adapter
from botkit.model.clock import NS_PER_DAY, NS_PER_S, Nanos
from botkit.model.extension import no_discount
from botkit.model.pairs import Pair
from botkit.model.requests import CancelAll, CancelBatch, CancelOrder, GetBalances, ListOpenOrders
from botkit.project.project import Project

Mode = Literal["emulator", "paper", "live"]

#: endpoints that a bot or a command for it calls outside the engine's router
OUTSIDE_ROUTER = tuple(
    request.endpoint for request in (GetBalances, ListOpenOrders, CancelOrder, CancelBatch, CancelAll)
)


class LiveParts:
    """The parts of a running bot (`botkit.live.bot.Parts`)."""

    def __init__(
        self,
        project: Project,
        mode: Mode,
        *,
        adapter: Adapter,
        clock: DriverClock,
        folder: StateFolder,
        fees: FeesConfig,
        latest_accept_s: float,
        address: tuple[str | None, str | None] = (None, None),
        account: str = "",
        is_new_world: bool = False,
        ledger: str | InProcessLedger | None = ALONE,
        endpoints: Collection[str] | None = None,
        share: Callable[[Nanos], SharedLimits | None] | None = None,
        machine: Machine | None = None,
        leased: LeasedPools | None = None,
    ) -> None:
        """``account`` is whose windows its requests count in; "" where nobody else counts into them.

        ``ledger`` keeps the windows that it shares, all or those of ``endpoints``; ``share`` makes them in another way,
        given how late requests may arrive. ``leased`` are the shared counters of a run that is replayed.
        ``machine`` is this one unless another is given.
        """
        config = project.config
        self.project = project
        self.name = config.name
        self.mode: str = mode
        self.zone: tzinfo = config.zone
        self.currency = project.currency
        self.adapter = adapter
        self.clock = clock
        self.folder = folder
        self.recording_bytes_max = config.log.record_mb << 20
        self.unfilled_kept_ns: Nanos = config.log.journal_days * NS_PER_DAY
        self.is_new_world = is_new_world
        self.address = address
        self.key_day = config.account.key_day if mode == "live" and config.account is not None else None
        self.shared: SharedLimits | None = None
        #: the counters that the router shares: those of ``shared``, or of the run that is replayed
        self.leased = leased
        self.siblings: Sequence[str] = ()
        self.client_ids: ClientIdPlaces | None = None
        self._share = share or self._shared_limits
        self._ledger = ledger
        self._endpoints = endpoints
        self._account = account
        self._venue = venue_name(project.facts, address[0])
        self.machine = machine or this_machine()
        self.random = self.machine.random  # client ids may start anywhere; no comparison depends on it
        self.on_stop: Mapping[str, OnStop] = {
            strategy.label: strategy.on_stop or config.live.on_stop for strategy in config.strategies
        }
        named = project.bot_pairs()
        self.valuation_pairs = pairs_on_the_way(project.pairs, named, project.currency)
        self.pairs: Mapping[str, Pair] = project.pairs
        self._priced = {str(pair): pair for pair in [*named, *self.valuation_pairs]}
        self._fees = project.fee_model(fees, config.simulated_fees[1] if mode != "live" else "live.fees")
        self._fees_config = fees
        # lateness in the exchange's time, but never less than in the machine's
        self._latest_accept_ns: Nanos = int(latest_accept_s * max(1.0, clock.speed) * NS_PER_S)

    def no_discount(self, account: Mapping[str, int]) -> str | None:
        """The caution for simulated fees paid in a coin that the account does not hold."""
        return no_discount(self._fees, self.project.facts, account)

    def aside(self, *, hurries: bool = False, say: Callable[[str], None] = lambda text: None) -> RateLimitedReads:
        """Requests that do not go through the engine's router, in the same windows: before there is one, and after a
        fault of its own. An async context manager."""
        return rate_limited_reads(
            self.adapter,
            self.project.facts.limits,
            self._ledger if self._account else ALONE,
            endpoints=OUTSIDE_ROUTER,
            venue=self._venue,
            clock=self.clock,
            account=self._account,
            latest_ns=self._latest_accept_ns,
            hurries=hurries,
            say=say,
        )

    def _shared_limits(self, latest_accept_ns: Nanos) -> SharedLimits | None:
        return shared_limits(
            self.project.facts.limits,
            self._ledger,
            venue=self._venue,
            account=self._account,
            clock=self.clock,
            latest_accept_ns=latest_accept_ns,
            endpoints=self._endpoints,
        )

    def share_limits(self) -> None:
        """Make the windows that the next bot shares with others and keep them as ``shared``."""
        self.shared = self._share(self._latest_accept_ns)
        if self.shared is not None:
            self.leased = self.shared.leased

    def recorded_as(self) -> dict[str, Any]:
        """Everything needed to make the same engine again, as plain JSON values without secrets."""
        loaded = self.project.loaded
        return {
            "config": str(loaded.path.absolute()),
            "config_sha256": hashlib.sha256(loaded.path.read_bytes()).hexdigest(),
            "overrides": list(loaded.overrides),
            "folder": str(Path.cwd()),
            "mode": self.mode,
            "speed": self.clock.speed,
            "latest_accept_ns": self._latest_accept_ns,
            "shared": None if self.shared is None else list(self.shared.leased.pools),
            "fees": msgspec.to_builtins(self._fees_config),
            "pairs": {name: msgspec.to_builtins(pair.rules) for name, pair in self._priced.items()},
        }

    def engine(self, decisions: DecisionLog, first_client_id: int) -> Engine:
        """A new bot, not started."""
        return make_engine(
            self.project,
            pairs=self._priced,
            decisions=decisions,
            seed=self.project.config.seed,
            latest_accept_ns=self._latest_accept_ns,
            fee_rates=lambda pair, now: self._fees.rates(now),
            bar_grace_ns=self.project.config.bar_grace_ns(self.clock.speed),
            first_client_id=first_client_id,
            leased=self.leased,
            watch_speed=self.clock.speed,
        )


def priced_pairs(project: Project) -> list[Pair]:
    """The pairs that a bot trades, and those that it needs for valuation."""
    named = project.bot_pairs()
    return [*named, *pairs_on_the_way(project.pairs, named, project.currency)]
