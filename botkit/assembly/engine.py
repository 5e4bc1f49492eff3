"""Builds the bot's engine, which is the same for every driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from botkit.engine.decisions import DecisionLog
from botkit.engine.engine import Engine
from botkit.engine.market.blocks import SharedBlocks
from botkit.engine.money.fee_coin import FeeCoin
from botkit.engine.risk.review import RiskDesk
from botkit.engine.router.leased import LeasedPools
from botkit.engine.router.router import Router
from botkit.engine.settings import EngineSettings
from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_S, Nanos, day_start
from botkit.model.extension import FeeRates
from botkit.model.pairs import Pair
from botkit.project.project import Project, make_portfolio


def make_engine(
    project: Project,
    *,
    pairs: Mapping[str, Pair],
    decisions: DecisionLog,
    seed: int,
    latest_accept_ns: Nanos,
    fee_rates: Callable[[Pair, Nanos], FeeRates],
    bar_grace_ns: Nanos,
    first_client_id: int = 1,
    watch_speed: float | None = None,
    catches_interrupts: bool = False,
    draws_indicators: bool = False,
    leased: LeasedPools | None = None,
    shared_blocks: SharedBlocks | None = None,
    fee_coin: FeeCoin | None = None,
) -> Engine:
    """Return the bot's engine, not yet started. ``pairs`` are the pairs that have prices in this run. ``fee_coin`` gets
    its prices once a fee is paid in it, in a run that can follow more pairs. Every driver uses this wiring.
    """
    config = project.config
    specs = project.specs()
    portfolio = make_portfolio(project, pairs, specs, fee_coin)
    try:
        bot_rules, strategy_rules = project.bot_rules()
        risk = RiskDesk(bot_rules, strategy_rules, portfolio, partial(day_start, zone=config.zone))
    except ValueError as error:
        raise ConfigError(f"{project.loaded.path}: {error}") from None
    router = Router(
        project.facts.limits,
        latest_accept_ns=latest_accept_ns,
        batching=config.limits.batching,
        seed=seed,
        leased=leased,
    )
    plugins = project.plugins
    plugins.release_strategies()
    for spec in specs:
        plugins.register_strategy(spec.strategy, spec.name)
    return Engine(
        pairs=project.pairs,
        strategies=specs,
        portfolio=portfolio,
        risk=risk,
        router=router,
        fee_rates=fee_rates,
        decisions=decisions,
        settings=EngineSettings(
            zone=config.zone,
            seed=seed,
            first_client_id=first_client_id,
            bar_grace_ns=bar_grace_ns,
            max_book_age_ns=config.max_book_age_s * NS_PER_S,
            latest_accept_ns=latest_accept_ns,
            watch_speed=watch_speed,
            catches_interrupts=catches_interrupts,
            draws_indicators=draws_indicators,
        ),
        find_callback=plugins.callbacks,
        shared_blocks=shared_blocks,
    )
