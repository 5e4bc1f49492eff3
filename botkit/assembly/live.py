"""The wiring of running bots: emulator, paper and live, from the same configuration as a backtest."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from botkit.assembly import Project
from botkit.assembly.inside import emulator_inside, inside_account
from botkit.assembly.live_parts import OUTSIDE_ROUTER, LiveParts, Mode
from botkit.assembly.shared_bots import SharedBots
from botkit.config.real_money import check_real_money, is_loopback
from botkit.config.secrets import resolve_account, resolve_ledger
from botkit.errors import BotkitError, ConfigError, RequestError
from botkit.live.clock import SteadyClock
from botkit.live.limits.rate_limited_reads import RateLimitedReads
from botkit.live.limits.sharing import ALONE, rate_limited_reads, venue_name
from botkit.live.ports import Machine
from botkit.live.state_folder import StateFolder, account_label
from botkit.model.clock import NS_PER_S
from botkit.model.limits import PAIRS_ENDPOINT
from botkit.model.requests import Ending
from botkit.project.connect import connect


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
    """The parts of a bot in a mode; what was started for it (an emulator) ends with the block. Raises ConfigError."""
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
    """The parts of the bots of one process, in their order; what was started for them ends with the block. All bots
    run on ``machine``, this one unless another is given.

    Raises ConfigError listing the mistakes of all configurations.
    """
    shared = SharedBots(len(projects), machine, environ)
    problems: list[BotkitError] = []
    found: list[LiveParts] = []
    async with contextlib.AsyncExitStack() as stack:
        inside = [project for project in projects if mode == "emulator" and not any(_address(project, rest, ws))]
        emulator = await stack.enter_async_context(emulator_inside(inside, speed)) if inside else None
        for project in projects:
            address = _address(project, rest, ws)
            try:
                if project in inside:
                    parts = _inside(project, emulator, shared)
                elif mode == "emulator":
                    parts = await _elsewhere(project, *address, speed, environ, shared)
                elif mode == "paper":
                    from botkit.assembly.paper import paper_parts

                    await refresh_pairs(project, *address, shared)
                    parts = paper_parts(project, *address, shared)
                else:
                    check_real_money(project.loaded, *address)
                    await refresh_pairs(project, *address, shared)
                    parts = _real(project, *address, environ, shared)
            except BotkitError as error:
                problems.append(error)
            else:
                found.append(parts)
        if len(problems) == 1:
            raise problems[0]
        if problems:
            raise ConfigError("\n".join(map(str, problems)))
        shared.introduce()
        yield found


def _address(project: Project, rest: str | None, ws: str | None) -> tuple[str | None, str | None]:
    """REST and WebSocket addresses: of the command line, or else of the configuration."""
    return rest or project.config.exchange.rest, ws or project.config.exchange.ws


async def refresh_pairs(project: Project, rest: str | None, ws: str | None, shared: SharedBots) -> None:
    """Read the pairs' rules from the exchange; those that ship with botkit may be old. Raises ConfigError."""
    fresh = shared.pairs.get((project.config.exchange.name, rest))
    if fresh is None:
        clock = SteadyClock.of(shared.machine.clock)
        adapter = connect(project, None, rest, ws, clock, public=True, random=shared.machine.random)
        await adapter.open()
        reads = rate_limited_reads(
            adapter,
            project.facts.limits,
            shared.named_ledger(project),
            endpoints=(PAIRS_ENDPOINT,),
            venue=venue_name(project.facts, rest),
            clock=clock,
        )
        try:
            async with reads, reads.slot(PAIRS_ENDPOINT) as slot:
                fresh = await adapter.pairs()
                slot.outcome = Ending.OK
        except RequestError as error:
            raise ConfigError(f"the pairs of {project.facts.name} cannot be read: {error}") from None
        finally:
            await adapter.close()
        shared.pairs[project.config.exchange.name, rest] = fresh
    project.take_pairs(fresh)


# -- the emulator -----------------------------------------------------------------------------------------------------


def _inside(project: Project, emulator: Any, shared: SharedBots) -> LiveParts:
    account, clock = inside_account(project.config.name), emulator.clock
    section, address = project.config.emulator, (emulator.rest, emulator.ws)
    return LiveParts(
        project,
        "emulator",
        adapter=shared.adapter(
            project,
            lambda: connect(project, account, *address, clock, random=shared.machine.random),
            address=address,
            account=account.email,
        ),
        clock=clock,
        folder=StateFolder.of(project.config.name, "emulator", "inside", shared.machine.disk),
        fees=project.config.simulated_fees[0],
        latest_accept_s=section.latest_accept_s,
        address=address,
        is_new_world=True,
        account=account.email,
        ledger=shared.ledger(project, emulator.rest, clock, is_private=True),
        machine=shared.machine,
    )


async def _elsewhere(
    project: Project,
    rest: str | None,
    ws: str | None,
    speed: float | None,
    environ: Mapping[str, str],
    shared: SharedBots,
) -> LiveParts:
    for name, url in (("rest", rest), ("ws", ws)):
        if url is None:
            raise ConfigError(f"an emulator elsewhere needs both addresses; --{name} is missing")
        if not is_loopback(url):
            raise ConfigError(f"--{name} {url}: mode emulator reaches this machine alone; use --mode live for others")
    from botkit.emulator.ask_clock import emulator_clock

    assert rest is not None
    account = resolve_account(project.loaded, environ, section="emulator.account")
    section = project.config.emulator
    clock = shared.clocks.get(rest) or shared.clocks.setdefault(rest, await emulator_clock(rest, speed))
    address = hashlib.sha256(f"{rest} {account.email}".encode()).hexdigest()[:12]
    parts = LiveParts(
        project,
        "emulator",
        adapter=shared.adapter(
            project,
            lambda: connect(project, account, rest, ws, clock, random=shared.machine.random),
            address=(rest, ws),
            account=account.email,
        ),
        clock=clock,
        folder=StateFolder.of(project.config.name, "emulator", address, shared.machine.disk),
        fees=project.config.simulated_fees[0],
        latest_accept_s=section.latest_accept_s,
        address=(rest, ws),
        account=account.email,
        ledger=shared.ledger(project, venue_name(project.facts, rest), clock),
        machine=shared.machine,
    )
    shared.add(project, parts, rest, account.email)
    return parts


# -- real money -------------------------------------------------------------------------------------------------------


def _real(
    project: Project, rest: str | None, ws: str | None, environ: Mapping[str, str], shared: SharedBots
) -> LiveParts:
    account = resolve_account(project.loaded, environ)
    venue = venue_name(project.facts, rest)
    clock = shared.clocks.setdefault(venue, SteadyClock.of(shared.machine.clock))
    parts = LiveParts(
        project,
        "live",
        adapter=shared.adapter(
            project,
            lambda: connect(project, account, rest, ws, clock, random=shared.machine.random),
            address=(rest, ws),
            account=account.email,
        ),
        clock=clock,
        folder=StateFolder.of(project.config.name, "live", account_label(account.email), shared.machine.disk),
        fees=project.config.live.fees,
        latest_accept_s=project.config.live.latest_accept_s,
        address=(rest, ws),
        account=account.email,
        ledger=shared.ledger(project, venue, clock),
        machine=shared.machine,
    )
    shared.add(project, parts, venue, account.email)
    return parts


def _ledger_for(project: Project, environ: Mapping[str, str], hurries: bool, say: Callable[[str], None]) -> str | None:
    """The ledger of a configuration; one in a hurry goes without where its password is not at hand."""
    try:
        return resolve_ledger(project.loaded, environ)
    except ConfigError as error:
        if not hurries:
            raise
        say(f"{error}; going on without shared rate limits")
        return ALONE


# -- other processes --------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def account_access(
    project: Project,
    mode: str,
    *,
    rest: str | None = None,
    ws: str | None = None,
    environ: Mapping[str, str] = os.environ,
    hurries: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> AsyncIterator[RateLimitedReads]:
    """A connection of its own to the account of a bot, in the windows that bots share, for `botkit panic` and
    `botkit account`. Raises ConfigError, and LedgerUnreachable unless it ``hurries``."""
    rest, ws = _address(project, rest, ws)
    # keys of one must never reach the other
    if mode == "emulator" and (rest is None or not is_loopback(rest)):
        raise ConfigError("which emulator? give its address on this machine, such as --rest http://127.0.0.1:8080/v3")
    if mode == "live" and rest is not None and is_loopback(rest):
        raise ConfigError(f"{rest} is on this machine; use --mode emulator for an emulator")
    if mode == "live":
        account: Any = resolve_account(project.loaded, environ)
    elif project.config.emulator.account is not None:
        account = resolve_account(project.loaded, environ, section="emulator.account")
    else:
        from botkit.emulator.options import DEFAULT_ACCOUNT

        status = StateFolder.of(project.config.name, "emulator", "inside").read_status() or {}
        is_inside = rest is not None and rest in status.get("address", ())
        account = inside_account(project.config.name) if is_inside else DEFAULT_ACCOUNT
    ledger, clock = _ledger_for(project, environ, hurries, say), SteadyClock()
    if mode == "emulator":
        from botkit.emulator.ask_clock import emulator_clock

        assert rest is not None
        with contextlib.suppress(ConfigError):  # its requests give a better error if it does not answer
            ledger = ledger if (await emulator_clock(rest, None)).speed == 1 else ALONE
    adapter = connect(project, account, rest, ws, clock)
    latest_s = project.config.live.latest_accept_s if mode == "live" else project.config.emulator.latest_accept_s
    access = rate_limited_reads(
        adapter,
        project.facts.limits,
        ledger,
        endpoints=OUTSIDE_ROUTER,
        venue=venue_name(project.facts, rest),
        clock=clock,
        account=account.email,
        latest_ns=int(latest_s * NS_PER_S),
        hurries=hurries,
        say=say,
    )
    async with adapter, access:
        yield access
