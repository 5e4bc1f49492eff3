"""The wiring of running bots: emulator, paper and live, from the same configuration as a backtest."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from botkit.assembly import Project, default_bar_grace_ns, make_engine
from botkit.assembly.company import Company
from botkit.assembly.inside import emulator_inside, inside_account
from botkit.assembly.sharing import ALONE, paced, shared_limits, venue_name
from botkit.config.schema import FeesConfig
from botkit.config.secrets import resolve_account
from botkit.engine.decisions import DecisionLog
from botkit.engine.routes import memory_slots
from botkit.engine.turn import Engine
from botkit.engine.valuation import Valuation
from botkit.errors import BotkitError, ConfigError, RequestError
from botkit.live.client_ids import ClientIds
from botkit.live.clock import DriverClock, SteadyClock
from botkit.live.driver import Adapter
from botkit.live.history import History
from botkit.live.own_ledger import OwnLedger
from botkit.live.paced_reads import PacedReads
from botkit.live.parts import OnStop
from botkit.live.slots import SharedLimits
from botkit.live.state_folder import StateFolder, account_label, state_root
from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos
from botkit.model.pairs import Pair
from botkit.model.requests import CancelAll, CancelBatch, CancelOrder, GetBalances, ListOpenOrders, Outcome

Mode = Literal["emulator", "paper", "live"]

#: how late a trade may be on a busy machine whose emulator runs faster than the time of day
_LATE_TRADE_MS = 200
#: what a bot, and a command for it, asks outside of the engine's router
ASIDE = tuple(request.endpoint for request in (GetBalances, ListOpenOrders, CancelOrder, CancelBatch, CancelAll))
_PAIRS = "trading_pairs"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
#: what a bot with real money must be bounded by, and what each rule is for
_NEEDED_RULES = {
    "max_order_value": "{twd: 10000}",
    "max_position": '{btc: "0.01"}',
    "max_daily_loss": "{twd: 3000}",
    "price_collar_pct": "5",
}


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
        ledger: str | OwnLedger | None = ALONE,
        endpoints: Collection[str] | None = None,
        share: Callable[[Nanos], SharedLimits | None] | None = None,
    ) -> None:
        """``account`` is whose windows its requests count in; "" where nobody else counts into them.

        ``ledger`` keeps the windows that it shares, all or those of ``endpoints``; ``share`` makes them in another way,
        given how late requests may arrive.
        """
        config = project.config
        self.project = project
        self.name = config.name
        self.mode: str = mode
        self.currency = project.currency
        self.adapter = adapter
        self.clock = clock
        self.folder = folder
        self.recording_bytes_max = config.log.record_mb << 20
        self.is_new_world = is_new_world
        self.address = address
        self.shared: SharedLimits | None = None
        self.siblings: Sequence[str] = ()
        self.client_ids: ClientIds | None = None
        self._share = share or self._shared_limits
        self._ledger = ledger
        self._endpoints = endpoints
        self._account = account
        self._venue = venue_name(project.facts, address[0])
        self.random = Random()  # client ids begin anywhere; nothing that is compared hangs on it
        self.on_stop: Mapping[str, OnStop] = {
            strategy.label: strategy.on_stop or config.live.on_stop for strategy in config.strategies
        }
        named = project.bot_pairs()
        self.valuation_pairs = _valuation_pairs(project, named)
        self.pairs: Mapping[str, Pair] = project.pairs
        self._priced = {str(pair): pair for pair in [*named, *self.valuation_pairs]}
        self._fees = project.fee_model(fees, "emulator.fees" if mode != "live" else "live")
        self._fees_config = fees
        # lateness in the exchange's time, but never less than in the machine's
        self._latest_accept_ns: Nanos = int(latest_accept_s * max(1.0, clock.speed) * NS_PER_S)

    def aside(self, *, hurries: bool = False, say: Callable[[str], None] = lambda text: None) -> PacedReads:
        """Requests that do not go through the engine's router, in the same windows: before there is one, and after a
        fault of its own. An async context manager."""
        return paced(
            self.adapter,
            self.project.facts.limits,
            self._ledger if self._account else ALONE,
            endpoints=ASIDE,
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

    def recorded_as(self) -> dict[str, Any]:
        """What making the same engine again takes, as plain JSON values; no secret is in it."""
        loaded = self.project.loaded
        return {
            "config": str(loaded.path.absolute()),
            "config_sha256": hashlib.sha256(loaded.path.read_bytes()).hexdigest(),
            "overrides": list(loaded.overrides),
            "folder": str(Path.cwd()),
            "mode": self.mode,
            "speed": self.clock.speed,
            "latest_accept_ns": self._latest_accept_ns,
            "shared": None if self.shared is None else [pool.name for pool in self.shared.pools],
            "fees": msgspec.to_builtins(self._fees_config),
            "pairs": {name: msgspec.to_builtins(pair.rules) for name, pair in self._priced.items()},
        }

    def engine(
        self, decisions: DecisionLog, history: History, first_client_id: int, now: Callable[[], Nanos]
    ) -> Engine:
        """A new bot, not started; what it shares with others is in ``shared``."""
        self.shared = self._share(self._latest_accept_ns)
        return make_engine(
            self.project,
            pairs=self._priced,
            decisions=decisions,
            seed=self.project.config.seed,
            latest_accept_ns=self._latest_accept_ns,
            fee_rates=lambda pair: self._fees.rates(now()),
            history=history,
            bar_grace_ns=self._bar_grace_ns(),
            first_client_id=first_client_id,
            slots=memory_slots if self.shared is None else self.shared.slots,
        )

    def _bar_grace_ns(self) -> Nanos:
        grace = default_bar_grace_ns(self.project)
        if self.project.config.bar_grace_ms is not None:
            return grace
        # a trade is late on this machine's clock, however fast the emulator's runs
        return max(grace, int(_LATE_TRADE_MS * NS_PER_MS * self.clock.speed))


def priced_pairs(project: Project) -> list[Pair]:
    """The pairs that a bot trades, and those that it values things through."""
    named = project.bot_pairs()
    return [*named, *_valuation_pairs(project, named)]


def _valuation_pairs(project: Project, named: Sequence[Pair]) -> tuple[Pair, ...]:
    """Pairs that no strategy trades, but that lead from a traded currency to the one everything is valued in."""
    at_hand = Valuation({str(pair): pair for pair in named})
    everything = Valuation(project.pairs)
    found: dict[str, Pair] = {}
    for currency in [c for pair in named for c in (pair.base, pair.quote)]:
        if currency == project.currency or at_hand.find_path(currency, project.currency) is not None:
            continue
        path = everything.find_path(currency, project.currency)
        for cell, _ in path.steps if path is not None else ():
            found.setdefault(cell.pair, cell.pair)
    return tuple(pair for pair in found.values() if pair not in named)


@contextlib.asynccontextmanager
async def live_parts(
    project: Project,
    mode: Mode,
    *,
    rest: str | None = None,
    ws: str | None = None,
    speed: float | None = None,
    environ: Mapping[str, str] = os.environ,
) -> AsyncIterator[LiveParts]:
    """The parts of a bot in a mode; what was started for it (an emulator) ends with the block. Raises ConfigError."""
    async with parts_of([project], mode, rest=rest, ws=ws, speed=speed, environ=environ) as [parts]:
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
) -> AsyncIterator[list[LiveParts]]:
    """The parts of the bots of one process, in their order; what was started for them ends with the block.

    Raises ConfigError with what is wrong in all of the configurations.
    """
    company = Company(len(projects))
    problems: list[BotkitError] = []
    found: list[LiveParts] = []
    async with contextlib.AsyncExitStack() as stack:
        inside = [project for project in projects if mode == "emulator" and not any(_address(project, rest, ws))]
        emulator = await stack.enter_async_context(emulator_inside(inside, speed)) if inside else None
        for project in projects:
            address = _address(project, rest, ws)
            try:
                if project in inside:
                    parts = _inside(project, emulator, company)
                elif mode == "emulator":
                    parts = await _elsewhere(project, *address, speed, environ, company)
                elif mode == "paper":
                    from botkit.assembly.paper import paper_parts

                    await refresh_pairs(project, *address, company)
                    parts = paper_parts(project, *address, company)
                else:
                    check_live(project, *address)
                    await refresh_pairs(project, *address, company)
                    parts = _real(project, *address, environ, company)
            except BotkitError as error:
                problems.append(error)
            else:
                found.append(parts)
        if len(problems) == 1:
            raise problems[0]
        if problems:
            raise ConfigError("\n".join(map(str, problems)))
        company.introduce()
        yield found


def _address(project: Project, rest: str | None, ws: str | None) -> tuple[str | None, str | None]:
    """REST and WebSocket addresses: of the command line, or else of the configuration."""
    return rest or project.config.exchange.rest, ws or project.config.exchange.ws


def connect(
    project: Project, account: Any, rest: str | None, ws: str | None, clock: DriverClock, **more: Any
) -> Adapter:
    """A connection to the configuration's exchange, not yet open. ``more`` are further options of its plugin."""
    exchange: Any = project.plugins.pick("exchanges", project.config.exchange.name, project.loaded.where("exchange"))
    adapter: Adapter = exchange.thing.connect(
        {
            **project.config.exchange.options,
            "account": {"email": account.email, "key": account.key, "secret": account.secret} if account else {},
            "rest": rest,
            "ws": ws,
            "clock": clock,
            "speed": clock.speed,
            "random": Random(),
            "pairs": project.pairs,
            **more,
        }
    )
    return adapter


async def refresh_pairs(project: Project, rest: str | None, ws: str | None, company: Company) -> None:
    """Take the pairs' rules from the exchange itself; those that ship with botkit may be old. Raises ConfigError."""
    fresh = company.pairs.get((project.config.exchange.name, rest))
    if fresh is None:
        clock = SteadyClock()
        adapter: Any = connect(project, None, rest, ws, clock, public=True)
        await adapter.open()
        reads = paced(
            adapter,
            project.facts.limits,
            project.config.limits.ledger,
            endpoints=(_PAIRS,),
            venue=venue_name(project.facts, rest),
            clock=clock,
        )
        try:
            async with reads, reads.slot(_PAIRS) as slot:
                fresh = await adapter.client.pairs()
                slot.outcome = Outcome.OK
        except RequestError as error:
            raise ConfigError(f"the pairs of {project.facts.name} cannot be read: {error}") from None
        finally:
            await adapter.close()
        company.pairs[project.config.exchange.name, rest] = fresh
    project.take_pairs(fresh)


# -- the emulator -----------------------------------------------------------------------------------------------------


def _inside(project: Project, emulator: Any, company: Company) -> LiveParts:
    account, clock = inside_account(project.config.name), emulator.clock
    section, address = project.config.emulator, (emulator.rest, emulator.ws)
    return LiveParts(
        project,
        "emulator",
        adapter=company.adapter(
            project, lambda: connect(project, account, *address, clock), address=address, account=account.email
        ),
        clock=clock,
        folder=StateFolder.of(project.config.name, "emulator", "inside"),
        fees=section.fees,
        latest_accept_s=section.latest_accept_s,
        address=address,
        is_new_world=True,
        account=account.email,
        ledger=company.ledger(project, emulator.rest, clock, is_private=True),
    )


async def _elsewhere(
    project: Project,
    rest: str | None,
    ws: str | None,
    speed: float | None,
    environ: Mapping[str, str],
    company: Company,
) -> LiveParts:
    for name, url in (("rest", rest), ("ws", ws)):
        if url is None:
            raise ConfigError(f"an emulator elsewhere needs both addresses; --{name} is missing")
        if not _is_loopback(url):
            raise ConfigError(f"--{name} {url}: mode emulator reaches this machine alone; use --mode live for others")
    assert rest is not None
    account = resolve_account(project.loaded, environ, section="emulator.account")
    section = project.config.emulator
    clock = company.clocks.get(rest) or company.clocks.setdefault(rest, await _clock_of(rest, speed))
    address = hashlib.sha256(f"{rest} {account.email}".encode()).hexdigest()[:12]
    parts = LiveParts(
        project,
        "emulator",
        adapter=company.adapter(
            project, lambda: connect(project, account, rest, ws, clock), address=(rest, ws), account=account.email
        ),
        clock=clock,
        folder=StateFolder.of(project.config.name, "emulator", address),
        fees=section.fees,
        latest_accept_s=section.latest_accept_s,
        address=(rest, ws),
        account=account.email,
        ledger=company.ledger(project, venue_name(project.facts, rest), clock),
    )
    company.add(project, parts, rest, account.email)
    return parts


async def _clock_of(rest: str, speed: float | None) -> DriverClock:
    """The clock of an emulator elsewhere: it is asked, since all of its time may run faster than the machine's."""
    import aiohttp

    from botkit.emulator.clock import EmulatorClock

    url = urlsplit(rest)
    try:
        async with aiohttp.ClientSession(trust_env=False) as session:
            asked = f"{url.scheme}://{url.netloc}/_emulator/time"
            async with session.get(asked, allow_redirects=False, timeout=aiohttp.ClientTimeout(total=5)) as response:
                found = await response.json()
        return EmulatorClock(int(found["now"]), float(speed or found["speed"]))
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"no emulator answers at {rest}: {error or type(error).__name__}") from None


def _is_loopback(url: str) -> bool:
    return (urlsplit(url).hostname or "") in _LOOPBACK


# -- real money -------------------------------------------------------------------------------------------------------


def check_live(project: Project, rest: str | None, ws: str | None) -> None:
    """Refuse real money where a bound is missing. Raises ConfigError naming everything that is."""
    config, loaded = project.config, project.loaded
    problems = []
    if not config.live.confirm:
        problems.append(f"{loaded.where('live')}: real orders need `live: {{confirm: true}}`")
    for rule, example in _NEEDED_RULES.items():
        everywhere = all(rule in strategy.risk for strategy in config.strategies)
        if rule not in config.risk and not everywhere:
            problems.append(f"{loaded.where('risk')}: real orders need `risk: {{{rule}: {example}}}`, your own figure")
    for url in (rest, ws):
        if url is not None and _is_loopback(url):
            problems.append(f"{url} is on this machine; use --mode emulator for an emulator")
    if problems:
        raise ConfigError("\n".join(problems))


def _real(
    project: Project, rest: str | None, ws: str | None, environ: Mapping[str, str], company: Company
) -> LiveParts:
    account = resolve_account(project.loaded, environ)
    venue = venue_name(project.facts, rest)
    clock = company.clocks.setdefault(venue, SteadyClock())
    parts = LiveParts(
        project,
        "live",
        adapter=company.adapter(
            project, lambda: connect(project, account, rest, ws, clock), address=(rest, ws), account=account.email
        ),
        clock=clock,
        folder=StateFolder.of(project.config.name, "live", account_label(account.email)),
        fees=FeesConfig(),
        latest_accept_s=project.config.live.latest_accept_s,
        address=(rest, ws),
        account=account.email,
        ledger=company.ledger(project, venue, clock),
    )
    company.add(project, parts, venue, account.email)
    return parts


# -- other processes --------------------------------------------------------------------------------------------------


def find_folder(project: Project, mode: str | None) -> StateFolder:
    """The state folder of a configuration's bot: of the one that runs, else of the only one there is.

    Raises ConfigError where there is none, or where ``mode`` must say which.
    """
    root = state_root() / project.config.name
    found = [StateFolder(path.parent) for path in sorted(root.glob(f"{mode or '*'}/*/journal.sqlite"))]
    if not found:
        raise ConfigError(f"{project.config.name} has never run{f' in mode {mode}' if mode else ''}; try `botkit run`")
    running = [folder for folder in found if folder.holder() is not None]
    chosen = running or found
    if len(chosen) > 1:
        modes = ", ".join(sorted({folder.path.parent.name for folder in chosen}))
        raise ConfigError(f"{project.config.name} has run as {modes}; say which with --mode")
    return chosen[0]


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
) -> AsyncIterator[PacedReads]:
    """A connection of its own to the account of a bot, in the windows that bots share, for `botkit panic` and
    `botkit account`. Raises ConfigError, and LedgerUnreachable unless it ``hurries``."""
    rest, ws = rest or project.config.exchange.rest, ws or project.config.exchange.ws
    if mode == "live":
        account: Any = resolve_account(project.loaded, environ)
    elif project.config.emulator.account is not None:
        account = resolve_account(project.loaded, environ, section="emulator.account")
    else:
        from botkit.emulator.options import DEFAULT_ACCOUNT

        status = StateFolder.of(project.config.name, "emulator", "inside").read_status() or {}
        is_inside = rest is not None and rest in status.get("address", ())
        account = inside_account(project.config.name) if is_inside else DEFAULT_ACCOUNT
    ledger, clock = project.config.limits.ledger, SteadyClock()
    if mode == "emulator" and rest is not None:
        with contextlib.suppress(ConfigError):  # its requests will say better that it does not answer
            ledger = ledger if (await _clock_of(rest, None)).speed == 1 else ALONE
    adapter: Any = connect(project, account, rest, ws, clock)
    latest_s = project.config.live.latest_accept_s if mode == "live" else project.config.emulator.latest_accept_s
    access = paced(
        adapter,
        project.facts.limits,
        ledger,
        endpoints=ASIDE,
        venue=venue_name(project.facts, rest),
        clock=clock,
        account=account.email,
        latest_ns=int(latest_s * NS_PER_S),
        hurries=hurries,
        say=say,
    )
    async with adapter, access:
        yield access
