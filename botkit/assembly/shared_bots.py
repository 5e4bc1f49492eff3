"""What the bots of one process have in common: connections, clocks, rate limits, accounts and their money."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from botkit.assembly import Project, pairs_of
from botkit.assembly.live_parts import LiveParts
from botkit.config.ledger_address import shown_address
from botkit.config.money import Claim, check_shared_money
from botkit.config.secrets import resolve_ledger
from botkit.errors import ConfigError
from botkit.live.client_ids import ClientIdPlaces
from botkit.live.clock import DriverClock
from botkit.live.fan_out import FanOut
from botkit.live.limits.in_process import InProcessLedger
from botkit.live.limits.sharing import ALONE
from botkit.live.machine import this_machine
from botkit.live.ports import Machine
from botkit.model.adapter import Adapter
from botkit.model.pairs import Pair


class SharedBots:
    """The bots of one process. A single bot bypasses all of this."""

    def __init__(self, size: int, machine: Machine | None = None, environ: Mapping[str, str] = os.environ) -> None:
        self.is_alone = size == 1
        self._environ = environ
        self.machine = machine or this_machine()
        #: read from each exchange once for all bots
        self.pairs: dict[object, Mapping[str, Pair]] = {}
        #: one clock per exchange, so that the bots' windows share one time
        self.clocks: dict[str, DriverClock] = {}
        self._ledgers: dict[str, InProcessLedger] = {}
        self._firsts: dict[str, Project] = {}
        self._ways: dict[object, FanOut] = {}
        self._markets: dict[object, FanOut] = {}
        self._members: dict[tuple[str, str], list[tuple[Project, LiveParts]]] = {}

    def adapter(self, project: Project, make: Callable[[], Adapter], address: object, account: str) -> Adapter:
        """``make``'s adapter, or a share of the one that another bot of this address and account uses."""
        if self.is_alone:
            return make()
        exchange = project.config.exchange
        # adapters count in lots of their pairs, so the lots must be equal too
        market = (address, exchange.name, repr(exchange.options), repr(project.config.amount_step))
        way = self._ways.get((market, account))
        if way is None:
            way = self._ways[market, account] = FanOut(make())
        return way.seat(self._markets.setdefault(market, way))

    def ledger(
        self, project: Project, venue: str, clock: DriverClock, *, is_private: bool = False
    ) -> str | InProcessLedger | None:
        """Which ledger counts a bot's requests: one that other processes share (as the configuration names it), one of
        this process, or none (`ALONE`). ``is_private``: no other process can be at that exchange.

        Raises ConfigError where the configurations of one exchange disagree about its limits.
        """
        named = project.config.limits.ledger
        first = self._firsts.setdefault(venue, project)
        told = f"the bots of one command keep the limits of {venue} together: let both say the same"
        here, there = project.loaded.where("limits"), first.loaded.where("limits")
        if project.facts.limits != first.facts.limits:
            raise ConfigError(f"{here}: `limits` choose other figures than at {there}; {told}")
        has_choice = not is_private and clock.speed == 1
        if has_choice and named != first.config.limits.ledger:
            one, other = (shown_address(p.config.limits.ledger or "the default") for p in (project, first))
            raise ConfigError(f"{here}: `limits.ledger` is {one}, and at {there} it is {other}; {told}")
        if has_choice and named != ALONE:
            return self.named_ledger(project)
        return ALONE if self.is_alone else self._ledgers.setdefault(venue, InProcessLedger(clock, self.machine.random))

    def named_ledger(self, project: Project) -> str | None:
        """``limits.ledger`` with its password filled in. Raises ConfigError."""
        return resolve_ledger(project.loaded, self._environ)

    # -- accounts -------------------------------------------------------------------------------------------------

    def add(self, project: Project, parts: LiveParts, venue: str, account: str) -> None:
        """Note that a bot trades on this account."""
        self._members.setdefault((venue, account), []).append((project, parts))

    def introduce(self) -> None:
        """Introduce the bots of one account to each other. Raises ConfigError if they count the same money twice."""
        for members in self._members.values():
            if len(members) < 2:
                continue
            check_shared_money([_claim(project) for project, _ in members])
            ids = ClientIdPlaces()
            for project, parts in members:
                parts.client_ids = ids
                parts.siblings = tuple(other.config.name for other, _ in members if other is not project)


def _claim(project: Project) -> Claim:
    return Claim(project.loaded, project.currency, [pairs_of(spec) for spec in project.specs()])
