"""The only place that picks concrete classes and wires them into a bot.

From a `Project` (`botkit.project`) `make_engine` makes the bot, the same for every driver, and `make_kernel` the
simulated exchange that answers it in a backtest.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import tzinfo
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from botkit.backtesting.cautions import cautions, missing_slippage
from botkit.backtesting.outputs import DECISIONS, NumberedRun, RunFolder, summary_json, write_outputs
from botkit.backtesting.plan import FeeCurrencies, Plan
from botkit.backtesting.session import run_backtest
from botkit.backtesting.slow_callbacks import SlowCallbacks
from botkit.config.money import opening_units
from botkit.config.schema import DataSource, FillsConfig, moment
from botkit.config.show import resolved_yaml
from botkit.engine.decisions import DecisionLog
from botkit.engine.engine import Engine
from botkit.engine.risk.review import RiskDesk
from botkit.engine.rooms import EngineSettings
from botkit.engine.router.leased import LeasedPools
from botkit.engine.router.router import Router
from botkit.errors import ConfigError, DataError
from botkit.live.telling.logs import LogFile
from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos, day_start, format_time
from botkit.model.extension import (
    FeeModel,
    FeeRates,
    LatencyModel,
    QueueModel,
    no_discount,
)
from botkit.model.money import UNIT
from botkit.model.pairs import Pair
from botkit.model.results import BacktestResult, Caution
from botkit.project.plugins import assemble_plugins, tape_formats
from botkit.project.project import Project, exchange_facts, make_portfolio, pairs_of
from botkit.report import render
from botkit.sim.kernel import Kernel
from botkit.sim.order import AccountSetup
from botkit.tape.feed import Feed, FeedSource, FileSource, OneKind, TapeSource, format_of
from botkit.version import __version__

__all__ = [
    "ACCOUNT",
    "BacktestParts",
    "Project",
    "assemble_plugins",
    "backtest_into",
    "default_bar_grace_ns",
    "exchange_facts",
    "make_engine",
    "make_kernel",
    "make_portfolio",
    "pairs_of",
    "tape_formats",
]

ACCOUNT = "main"


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
    draws_indicators: bool = False,
    leased: LeasedPools | None = None,
) -> Engine:
    """The bot, not started. ``pairs`` are those with prices; the same wiring serves every driver."""
    config = project.config
    specs = project.specs()
    portfolio = make_portfolio(project, pairs, specs)
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
            draws_indicators=draws_indicators,
        ),
        find_callback=plugins.callbacks,
    )


def default_bar_grace_ns(project: Project) -> Nanos:
    """How long a bar built from trades waits for late ones."""
    grace = project.config.bar_grace_ms
    return (2_000 if grace is None else grace) * NS_PER_MS


def make_kernel(
    project: Project,
    *,
    pairs: Mapping[str, Pair],
    balances: Mapping[str, int],
    fees: FeeModel,
    latency: LatencyModel,
    queue: QueueModel,
    slippage_e8: int,
    seed: int,
    max_book_age_s: int | None = None,
) -> Kernel:
    """The simulated exchange with one account."""
    return Kernel(
        pairs=pairs,
        accounts={ACCOUNT: AccountSetup(balances=dict(balances), fees=fees)},
        queue=queue,
        latency=latency,
        limits=project.facts.limits,
        slippage_e8=slippage_e8,
        max_book_age_s=max_book_age_s,
        seed=seed,
        volume_currency=project.facts.volume_currency,
        discount_currency=project.facts.discount_currency,
    )


# -- backtests --------------------------------------------------------------------------------------------------------


def open_feed(project: Project, sources: Sequence[DataSource], *, feed_ms: float = 0) -> Feed:
    """The recorded data of a configuration as one feed. Raises DataError or ConfigError."""
    formats = tape_formats(project.plugins)
    opened: list[FeedSource] = []
    wanted = [str(pair) for pair in project.bot_pairs()]
    for index, source in enumerate(sources):
        if source.path.is_dir():
            tape = TapeSource(source.path, project.pairs, only=(source.pair,) if source.pair else ())
            opened.append(OneKind(tape, source.kind) if source.kind else tape)
            continue
        if not source.path.exists():
            raise project.loaded.error(f"backtest.data.{index}", f"there is no file or folder {source.path}")
        name = source.kind or format_of(source.path, formats)
        reader = formats.get(name)
        if reader is None:
            known = ", ".join(formats)
            raise project.loaded.error(f"backtest.data.{index}", f"{name!r} is no format; there are {known}")
        options: dict[str, Any] = {"pair": source.pair or (wanted[0] if len(wanted) == 1 else None)}
        if source.resolution is not None:
            options["resolution"] = source.resolution
        if source.trades is not None:
            options["trades"] = source.trades
        if source.sort:
            options["sort"] = True
        if source.timezone is not None:
            options["timezone"] = source.timezone
        if name == "frames" and source.pair is None:
            options.pop("pair")
        opened.append(FileSource(source.path, reader, project.pairs, options))
    return Feed(opened, feed_ms=feed_ms)


def asked_moment(option: str, text: str, zone: ZoneInfo, *, end: bool = False) -> Nanos | None:
    """A time given on the command line. Raises ConfigError naming the option."""
    try:
        return moment(text, zone, end=end)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


class BacktestParts:
    """The parts of a backtest of one configuration (`botkit.backtesting.session.Parts`)."""

    account = ACCOUNT

    def __init__(
        self,
        project: Project,
        *,
        data: Path | None = None,
        start: str | None = None,
        end: str | None = None,
        seed: int | None = None,
    ) -> None:
        config = project.config
        section = config.backtest
        if data is not None:
            if not data.exists():
                raise ConfigError(f"--data {data}: there is no such file or folder; check the path")
            sources: Sequence[DataSource] = (DataSource(path=data),)
        else:
            sources = section.data
        if not sources:
            raise project.loaded.error("backtest", "there is no data to run on; add `data: PATH`, or give --data PATH")
        self.project = project
        self.name = config.name
        self.zone: tzinfo = config.zone
        self.currency = project.currency
        self.seed = config.seed if seed is None else seed
        self.max_book_age_s = config.max_book_age_s
        self.feed = open_feed(project, sources, feed_ms=float(section.latency.feed_ms))
        at_hand = [name for name in project.pairs if any(stream.pair == name for stream in self.feed.streams)]
        named = [str(pair) for pair in project.bot_pairs()]
        self.pairs: Mapping[str, Pair] = {name: project.pairs[name] for name in dict.fromkeys(named + at_hand)}
        given_start, given_end = section.span(config.zone)
        self.start = given_start if start is None else asked_moment("--from", start, config.zone)
        self.end = given_end if end is None else asked_moment("--to", end, config.zone, end=True)
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise ConfigError(f"the end of the backtest, {end or section.to}, does not lie after its start")
        self._check_span(named)
        self.balances: Mapping[str, int] = self._balances()
        self.reading = section.fills.model
        self.config_text = resolved_yaml(project.loaded)
        self.strategy_uses: Mapping[str, str] = {strategy.label: strategy.use for strategy in config.strategies}
        self.versions: Mapping[str, str] = {
            "botkit": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "msgspec", "pandas", "pyarrow")},
        }
        self._fees = project.fee_model(section.fees, "backtest.fees")
        coin = (
            project.facts.discount_currency
            if self._fees.uses_discount and self.balances.get(project.facts.discount_currency)
            else ""
        )
        follows = bool(coin) or getattr(self._fees, "counts_volume", True)
        self.fee_currencies = FeeCurrencies(project.facts.volume_currency, coin) if follows else None

    def _check_span(self, named: Sequence[str]) -> None:
        """The span that was asked for must meet the data; said in the zone in which it was typed."""
        zone = self.project.config.zone
        for name in named:
            streams = [stream for stream in self.feed.streams if stream.pair == name]
            if not streams:
                continue
            begin, end = min(stream.start for stream in streams), max(stream.end for stream in streams)
            if (self.start is not None and self.start > end) or (self.end is not None and self.end <= begin):
                start_text = "its start" if self.start is None else format_time(self.start, zone)
                end_text = "its end" if self.end is None else format_time(self.end, zone)
                raise DataError(
                    f"the backtest goes from {start_text} to {end_text}, but the data of {name} from "
                    f"{format_time(begin, zone)} to {format_time(end, zone)}; change --from and --to, or the data"
                )

    def _balances(self) -> dict[str, int]:
        """Opening balances in units: those given, or else the sum of capital and reserve."""
        config = self.project.config
        found = opening_units(config, config.backtest.balances)
        if found is None:
            raise self.project.loaded.error(
                "backtest", f'there is no money to trade with; add `balances: {{{self.currency}: "1000000"}}`'
            )
        return found

    @property
    def first_client_id(self) -> int:
        """In a backtest the base of client ids derives from the seed, so that draws keyed by them do too."""
        return 1 + self.seed % 1_000_000 * 1_000

    def strategy_pairs(self) -> Mapping[str, Sequence[Pair]]:
        """The pairs among each strategy's parameters."""
        return {spec.name: pairs_of(spec) for spec in self.project.specs()}

    def check(self, plan: Plan) -> None:
        """Candles carry no spread, so a run on them must say what a taker pays beyond the price."""
        problem = missing_slippage(plan, self.project.config.backtest.slippage)
        if problem is not None:
            raise self.project.loaded.error("backtest", problem)

    def engine(self, decisions: DecisionLog) -> Engine:
        """A new bot."""
        return make_engine(
            self.project,
            pairs=self.pairs,
            decisions=decisions,
            seed=self.seed,
            latest_accept_ns=self.project.config.backtest.latest_accept_s * NS_PER_S,
            fee_rates=lambda pair, now: self._fees.rates(now),
            bar_grace_ns=default_bar_grace_ns(self.project),
            first_client_id=self.first_client_id,
            draws_indicators=True,
        )

    def kernel(self, reading: str) -> Kernel:
        """A new exchange under a reading of the queue; it begins with fees of its own, since they may follow volume."""
        section = self.project.config.backtest
        self._fees = self.project.fee_model(section.fees, "backtest.fees")
        fills = section.fills if reading == section.fills.model else FillsConfig(model=reading)
        return make_kernel(
            self.project,
            pairs=self.pairs,
            balances=self.balances,
            fees=self._fees,
            latency=self.project.latency_model(section.latency, "backtest.latency", self.seed),
            queue=self.project.queue_model(fills, "backtest.fills"),
            slippage_e8=int((section.slippage or 0) * UNIT),
            seed=self.seed,
            max_book_age_s=self.project.config.max_book_age_s,
        )

    def cautions(self, plan: Plan) -> list[Caution]:
        """What makes the result too good to be true."""
        section, fees = self.project.config.backtest, self.fee_currencies
        latency = section.latency
        counts = fees is not None and (bool(fees.coin) or getattr(self._fees, "counts_volume", False))
        return cautions(
            plan,
            self.feed,
            self.pairs,
            fees=fees if counts else None,
            lacks_coin=no_discount(self._fees, self.project.facts, self.balances),
            slips=bool(section.slippage),
            delays=latency.model is not None or bool(latency.order_ms) or bool(latency.answer_ms),
        )

    def assumptions(self, kernel: Kernel) -> list[str]:
        """The sentences of the models."""
        return kernel.assumptions()


def backtest_into(
    config: Path,
    *,
    out: Path | None = None,
    data: Path | None = None,
    start: str | None = None,
    end: str | None = None,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    readings: bool = True,
    progress: Callable[[str, float], None] | None = None,
    tell: Callable[[str, str, str], None] = lambda level, text, when: None,
) -> tuple[BacktestResult, Path, str]:
    """Run a configuration's backtest and write its folder: (result, folder, summary as JSON).

    Without ``out`` it is ``out/NAME/N``, the next number, and also ``out/NAME/latest``. The folder is there whole or
    not at all. ``tell`` hears (level, text, when) of warnings and errors of strategies, and of callbacks that would
    block a live bot; ``log: file`` is written. Raises BotkitError.
    """
    project = Project.load(config, overrides=overrides)
    parts = BacktestParts(project, data=data, start=start, end=end, seed=seed)
    keeping = NumberedRun(Path("out") / project.config.name) if out is None else RunFolder(out)

    def in_the_run(level: str, text: str, now: Nanos) -> None:
        tell(level, text, format_time(now, project.config.zone))

    with keeping as run, _log_of(project), SlowCallbacks(lambda slow: tell("warning", str(slow), "")):
        result = run_backtest(
            parts, decisions_to=run.path / DECISIONS, progress=progress, readings=readings, tell=in_the_run
        )
        sections = project.plugins.report_sections(result)
        write_outputs(run.path, result, report_html=render(result, sections), config_yaml=parts.config_text)
    return result, keeping.out, summary_json(result)


def _log_of(project: Project) -> AbstractContextManager[Any]:
    """The log file that the configuration asks for; of the level alone nothing is to be seen without one."""
    section = project.config.log
    return nullcontext() if section.file is None else LogFile(section.file, level=section.level)
