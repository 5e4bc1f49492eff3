"""Builds running bots on an emulator, on paper, or with real money, from the same configuration as a backtest."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

from botkit.assembly.kernel import ACCOUNT, make_kernel
from botkit.assembly.live_parts import LiveParts, Mode, make_parts
from botkit.assembly.readiness import account_of_run
from botkit.config.addresses import check_emulator, chosen_address
from botkit.config.money import paper_balances
from botkit.config.secrets import AccountKeys, resolve_ledger
from botkit.errors import BotkitError, ConfigError
from botkit.exchange.paper import MARKET_READS, PaperAdapter
from botkit.live.clock import DriverClock, SteadyClock
from botkit.live.limits.sharing import ALONE, Ledger, rate_limited_reads, venue_name
from botkit.live.market_access import read_pairs
from botkit.live.parts import by_account, introduced
from botkit.live.ports import Machine
from botkit.live.shared_bots import SharedBots
from botkit.live.state_folder import StateFolder, account_label
from botkit.model.adapter import Adapter
from botkit.model.limits import PAIRS_ENDPOINT
from botkit.model.pairs import Pair
from botkit.project.connect import connect, market_key
from botkit.project.fee_coin import fee_pairs
from botkit.project.project import Project
from botkit.project.several import LimitsAgreement, check_one_account

Address = tuple[str | None, str | None]


@contextlib.asynccontextmanager
async def live_parts(
    project: Project,
    mode: Mode,
    *,
    rest: str | None = None,
    ws: str | None = None,
    speed: float | None = None,
    environ: Mapping[str, str] = os.environ,
    machine: Machine | None = None,
) -> AsyncIterator[LiveParts]:
    """Yield a bot's parts for the given mode. An emulator started here stops at the end of the block. Raises
    ConfigError.
    """
    async with parts_of([project], mode, rest=rest, ws=ws, speed=speed, environ=environ, machine=machine) as [parts]:
        yield parts


@contextlib.asynccontextmanager
async def parts_of(
    projects: Sequence[Project],
    mode: Mode,
    *,
    rest: str | None = None,
    ws: str | None = None,
    speed: float | None = None,
    environ: Mapping[str, str] = os.environ,
    machine: Machine | None = None,
) -> AsyncIterator[list[LiveParts]]:
    """Yield the parts of each bot in one process, in order. Emulators started here stop at the end of the block. All
    bots run on ``machine``, which defaults to this machine.

    Raises a ConfigError that lists the errors in all configurations.
    """
    bots = _Bots(len(projects), machine, environ)
    problems: list[BotkitError] = []
    found: list[LiveParts] = []
    async with contextlib.AsyncExitStack() as stack:
        accounts: dict[str, Any] = {}
        for project in projects:  # all of them before the first request goes out
            try:
                address = chosen_address(project.config, rest, ws)
                accounts[project.config.name] = account_of_run(project, mode, address, environ)
            except BotkitError as error:
                problems.append(error)
        _raise_all(problems)
        embedded = [p for p in projects if mode == "emulator" and not any(chosen_address(p.config, rest, ws))]
        emulator = await stack.enter_async_context(_emulator(embedded, speed)) if embedded else None
        for project in projects:
            address, account = chosen_address(project.config, rest, ws), accounts[project.config.name]
            try:
                if project in embedded:
                    parts = bots.embedded(project, emulator)
                elif mode == "emulator":
                    parts = await bots.at_emulator(project, address, account, speed)
                elif mode == "paper":
                    parts = await bots.on_paper(project, address)
                else:
                    parts = await bots.real(project, address, account)
            except BotkitError as error:
                problems.append(error)
            else:
                found.append(parts)
        _raise_all(problems)
        known: dict[str, LiveParts] = {}
        for members in by_account(found):
            check_one_account([parts.project for parts in members])
            known |= {parts.name: parts for parts in introduced(members)}
        yield [known[parts.name] for parts in found]


def _raise_all(problems: Sequence[BotkitError]) -> None:
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise ConfigError("\n".join(map(str, problems)))


def _emulator(projects: Sequence[Project], speed: float | None) -> Any:
    # imported here because a real-money bot does not need the emulator in memory
    from botkit.assembly.embedded import embedded_emulator

    return embedded_emulator(projects, speed)


class _Bots:
    """Wires up a command's bots, each in its configured mode."""

    def __init__(self, size: int, machine: Machine | None, environ: Mapping[str, str]) -> None:
        self._shared = SharedBots(size, machine)
        self._environ = environ
        self._limits = LimitsAgreement()
        #: each exchange's pairs, read once for all bots
        self._pairs: dict[object, Mapping[str, Pair]] = {}

    def embedded(self, project: Project, emulator: Any) -> LiveParts:
        """Return a bot's parts for trading on the emulator in this process."""
        from botkit.assembly.embedded import embedded_account

        return self._simulated(
            project,
            embedded_account(project.config.name),
            (emulator.rest, emulator.ws),
            emulator.clock,
            folder="inside",
            is_new_world=True,
        )

    async def at_emulator(
        self, project: Project, address: Address, account: AccountKeys, speed: float | None
    ) -> LiveParts:
        """Return a bot's parts for trading on an emulator in another process on this machine."""
        from botkit.emulator.ask_clock import emulator_clock

        rest, ws = check_emulator(*address)
        clock = self._shared.clocks.get(rest) or self._shared.clocks.setdefault(rest, await emulator_clock(rest, speed))
        place = hashlib.sha256(f"{rest} {account.email}".encode()).hexdigest()[:12]
        return self._simulated(project, account, (rest, ws), clock, folder=place)

    def _simulated(
        self,
        project: Project,
        account: Any,
        address: Address,
        clock: DriverClock,
        *,
        folder: str,
        is_new_world: bool = False,
    ) -> LiveParts:
        return make_parts(
            project,
            "emulator",
            adapter=self._adapter(project, account, address, clock),
            clock=clock,
            folder=self._folder(project, "emulator", folder),
            fees=project.config.simulated_fees[0],
            latest_accept_s=project.config.emulator.latest_accept_s,
            address=address,
            account=account.email,
            is_new_world=is_new_world,
            ledger=self._ledger(project, address, clock, is_private=is_new_world),
            machine=self._shared.machine,
        )

    async def on_paper(self, project: Project, address: Address) -> LiveParts:
        """Return a bot's parts for paper trading: the exchange's own market data, and a simulated exchange in this
        process. No account is needed.
        """
        await self._refresh_pairs(project, address)
        config, section = project.config, project.config.emulator
        clock = self._clock(project, address)
        fees = project.fee_model(*config.simulated_fees)
        kernel = make_kernel(
            project,
            pairs=project.priced_pairs() | fee_pairs(project, fees),
            balances=paper_balances(config, project.currency),
            fees=fees,
            latency=project.latency_model(config.backtest.latency, "backtest.latency", config.seed),
            queue=project.queue_model(section.fills, "emulator.fills"),
            slippage=section.slippage,
            seed=config.seed,
        )
        market = self._adapter(project, None, address, clock, public=True)
        return make_parts(
            project,
            "paper",
            adapter=PaperAdapter(market, kernel, clock, account=ACCOUNT, speed=clock.speed),
            clock=clock,
            folder=self._folder(project, "paper", "paper"),
            fees=config.simulated_fees[0],
            latest_accept_s=section.latest_accept_s,
            address=address,
            is_new_world=True,
            # only requests for market data are real and count against this IP address; all other requests stay in this
            # process
            ledger=self._ledger(project, address, clock),
            endpoints=MARKET_READS,
            machine=self._shared.machine,
        )

    async def real(self, project: Project, address: Address, account: AccountKeys) -> LiveParts:
        """Return a bot's parts for trading on the exchange with real money."""
        await self._refresh_pairs(project, address)
        clock = self._clock(project, address)
        return make_parts(
            project,
            "live",
            adapter=self._adapter(project, account, address, clock),
            clock=clock,
            folder=self._folder(project, "live", account_label(account.email)),
            fees=project.config.live.fees,
            latest_accept_s=project.config.live.latest_accept_s,
            address=address,
            account=account.email,
            ledger=self._ledger(project, address, clock),
            machine=self._shared.machine,
        )

    # -- shared by one exchange's bots -------------------------------------------------------------------------

    def _clock(self, project: Project, address: Address) -> DriverClock:
        return self._shared.clock(venue_name(project.facts, address[0]))

    def _adapter(self, project: Project, account: Any, address: Address, clock: DriverClock, **more: Any) -> Adapter:
        make = partial(connect, project, account, *address, clock, random=self._shared.machine.random, **more)
        return self._shared.adapter(make, market_key(project, address), "" if account is None else account.email)

    def _ledger(self, project: Project, address: Address, clock: DriverClock, *, is_private: bool = False) -> Ledger:
        venue = venue_name(project.facts, address[0])
        # other processes may also use the exchange, unless it is private to this process or its clock runs at a
        # different speed
        shares = not is_private and clock.speed == 1
        self._limits.check(project, venue, shares=shares)
        if shares and project.config.limits.ledger != ALONE:
            return resolve_ledger(project.loaded, self._environ)
        return self._shared.ledger(venue, clock)

    def _folder(self, project: Project, mode: Mode, account: str) -> StateFolder:
        return StateFolder.of(project.config.name, mode, account, self._shared.machine.disk)

    async def _refresh_pairs(self, project: Project, address: Address) -> None:
        """Load the pairs' rules from the exchange, since the rules shipped with botkit may be outdated. Raises
        ConfigError.
        """
        name, facts = project.config.exchange.name, project.facts
        fresh = self._pairs.get((name, address[0]))
        if fresh is None:
            clock = SteadyClock.of(self._shared.machine.clock)
            adapter = connect(project, None, *address, clock, public=True, random=self._shared.machine.random)
            reads = rate_limited_reads(
                adapter,
                facts.limits,
                resolve_ledger(project.loaded, self._environ),
                endpoints=(PAIRS_ENDPOINT,),
                venue=venue_name(facts, address[0]),
                clock=clock,
            )
            fresh = self._pairs[name, address[0]] = await read_pairs(adapter, reads, facts.name)
        project.take_pairs(fresh)
