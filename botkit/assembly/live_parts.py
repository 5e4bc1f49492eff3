"""The parts of a running bot."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

from botkit.assembly.engine import make_engine
from botkit.config.simulated import FeesConfig
from botkit.engine.decisions import DecisionLog
from botkit.engine.engine import Engine
from botkit.engine.router.leased import LeasedPools
from botkit.live.clock import DriverClock
from botkit.live.limits.sharing import ALONE, Ledger, LimitSharing, venue_name
from botkit.live.machine import this_machine
from botkit.live.parts import BotParts
from botkit.live.ports import Machine
from botkit.live.state_folder import StateFolder
from botkit.model.adapter import Adapter
from botkit.model.clock import NS_PER_DAY, NS_PER_S, Nanos
from botkit.model.extension import FeeModel, no_discount
from botkit.model.listed_pairs import own_pairs
from botkit.project.fee_coin import fee_coin_of, fee_pairs
from botkit.project.project import Project
from botkit.project.recipe import recipe_of

Mode = Literal["emulator", "paper", "live"]


class LiveParts(BotParts, frozen=True, kw_only=True):
    """A running bot's parts and the configuration from which they were built."""

    project: Project
    fees: FeeModel


def make_parts(
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
    ledger: Ledger = ALONE,
    endpoints: Collection[str] | None = None,
    machine: Machine | None = None,
) -> LiveParts:
    """Return a bot's parts for the given mode. ``account``, ``ledger`` and ``endpoints`` determine which rate-limit
    windows its requests count toward (`LimitSharing`); ``machine`` defaults to this machine. Raises ConfigError.
    """
    config, facts = project.config, project.facts
    project.pairs = own_pairs(project.pairs)
    model = project.fee_model(fees, config.simulated_fees[1] if mode != "live" else "live.fees")
    # the time allowed for a request to arrive is in exchange time, but is never shorter than the same duration in
    # machine time
    latest_accept_ns = int(latest_accept_s * max(1.0, clock.speed) * NS_PER_S)
    return LiveParts(
        project=project,
        fees=model,
        name=config.name,
        mode=mode,
        zone=config.zone,
        currency=project.currency,
        pairs=project.pairs,
        valuation_pairs=project.valuation_pairs(),
        machine=machine or this_machine(),
        clock=clock,
        adapter=adapter,
        folder=folder,
        on_stop={strategy.label: strategy.on_stop or config.live.on_stop for strategy in config.strategies},
        uses={strategy.label: strategy.use for strategy in config.strategies},
        recording_bytes_max=config.log.record_mb << 20,
        unfilled_kept_ns=config.log.journal_days * NS_PER_DAY,
        address=address,
        is_new_world=is_new_world,
        key_day=config.account.key_day if mode == "live" and config.account is not None else None,
        page_hosts=config.page.hosts,
        page_control=config.page.control,
        log_file=config.log.file,
        sharing=LimitSharing(
            table=facts.limits,
            ledger=ledger,
            venue=venue_name(facts, address[0]),
            account=account,
            clock=clock,
            latest_accept_ns=latest_accept_ns,
            endpoints=endpoints,
        ),
        recipe=recipe_of(
            project,
            mode,
            speed=clock.speed,
            latest_accept_ns=latest_accept_ns,
            fees=fees,
            pairs=(project.priced_pairs() | fee_pairs(project)).values(),
        ),
        engine=engine_maker(
            project, model, speed=clock.speed, latest_accept_ns=latest_accept_ns, catches_interrupts=True
        ),
        lacks_coin=lambda balances: no_discount(model, facts, balances),
    )


def engine_maker(
    project: Project,
    fees: FeeModel,
    *,
    speed: float,
    latest_accept_ns: Nanos,
    catches_interrupts: bool = False,
    draws_indicators: bool = False,
    recorded: Collection[str] | None = None,
) -> Callable[[DecisionLog, int, LeasedPools | None], Engine]:
    """Return a function that builds the engine for a running bot or a replayed run. With ``draws_indicators``, the
    engine keeps indicator lines for the entire run, for a report. See `EngineSettings` for ``catches_interrupts``.
    ``recorded`` are the pairs of a replayed run, which may be older than the valuation of fees.
    """
    pairs, coin = project.priced_pairs(), fee_coin_of(project)
    if recorded is not None and coin is not None and not set(coin.pairs) <= set(recorded):
        coin = None
    if coin is not None:
        pairs |= fee_pairs(project, fees)

    def engine(decisions: DecisionLog, first_client_id: int, leased: LeasedPools | None) -> Engine:
        return make_engine(
            project,
            pairs=pairs,
            decisions=decisions,
            seed=project.config.seed,
            latest_accept_ns=latest_accept_ns,
            fee_rates=lambda pair, now: fees.rates(now),
            bar_grace_ns=project.config.bar_grace_ns(speed),
            first_client_id=first_client_id,
            leased=leased,
            watch_speed=speed,
            catches_interrupts=catches_interrupts,
            draws_indicators=draws_indicators,
            fee_coin=coin,
        )

    return engine
