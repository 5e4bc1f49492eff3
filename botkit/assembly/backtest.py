"""Builds a backtest from its configuration, runs it and writes its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import msgspec

from botkit.assembly.engine import make_engine
from botkit.assembly.kernel import ACCOUNT, make_kernel
from botkit.assembly.outputs import check_notifier
from botkit.assembly.playback import PLAYBACK, BacktestWatch, PlayedPart
from botkit.assembly.seals import sealed_end, sealed_note
from botkit.backtesting.benchmark import BUY_AND_HOLD
from botkit.backtesting.outputs import DECISIONS, NumberedRun, RunFolder, summary_json, write_outputs
from botkit.backtesting.parts import BacktestParts
from botkit.backtesting.plan import FeeCurrencies
from botkit.backtesting.session import run_backtest
from botkit.backtesting.slow_callbacks import SlowCallbacks
from botkit.config.money import backtest_balances
from botkit.config.show import resolved_yaml
from botkit.engine.decisions import DecisionLog
from botkit.engine.engine import Engine
from botkit.engine.market.blocks import SharedBlocks
from botkit.engine.strategy.parameters import pairs_of
from botkit.errors import BotkitError, ConfigError
from botkit.live.notifications.logs import LogFile
from botkit.model.clock import NS_PER_S, Nanos, format_time
from botkit.model.extension import FeeModel, no_discount
from botkit.model.pairs import Pair
from botkit.model.results import BacktestResult
from botkit.project.data import asked_span, backtest_feed, pairs_with_data
from botkit.project.project import Project
from botkit.project.strategies import plain_parameters
from botkit.report.doctor import read_findings
from botkit.report.html import render_parts
from botkit.report.playback import render_playback
from botkit.sim.kernel import Kernel
from botkit.tape.feed import Feed
from botkit.version import versions

#: maximum number of candles per pair in a report: two years of one-minute candles. Search runs keep fewer candles
REPORT_CANDLES_MAX = 1_050_000


def backtest_parts(
    project: Project,
    *,
    data: Path | None = None,
    start: str | None = None,
    end: str | None = None,
    seed: int | None = None,
    benchmark: str | None = None,
) -> BacktestParts:
    """Return the parts of a configuration's backtest. Arguments override the configuration. Raises ConfigError or
    DataError.
    """
    feed = backtest_feed(project, data)
    begin, until = asked_span(project, start, end)
    return parts_over(project, feed, begin, until, seed=seed, benchmark=benchmark)


def parts_over(
    project: Project,
    feed: Feed,
    start: Nanos | None,
    end: Nanos | None,
    *,
    seed: int | None = None,
    is_described: bool = True,
    benchmark: str | None = None,
    shared_blocks: SharedBlocks | None = None,
) -> BacktestParts:
    """Return the parts of a backtest over an open feed, from ``start`` up to but not including ``end``. None means the
    start or end of the data.

    ``is_described=False`` omits the parts that only a report needs: the configuration's text, versions, and indicator
    lines. Successive runs convert equal rows only once if they have the same ``shared_blocks``. Raises ConfigError or
    DataError.
    """
    if benchmark not in (None, BUY_AND_HOLD):
        raise ConfigError(f"there is no benchmark `{benchmark}`; use {BUY_AND_HOLD}")
    config, section = project.config, project.config.backtest
    end, closed = sealed_end(project, feed, start, end)
    chosen_seed = config.seed if seed is None else seed
    pairs, specs = pairs_with_data(project, feed), project.specs()
    balances = backtest_balances(project.loaded, project.currency)
    making = _Making(project, pairs, balances, chosen_seed, draws_indicators=is_described, shared_blocks=shared_blocks)
    model = making.fees()
    return BacktestParts(
        name=config.name,
        section=project.loaded.where("backtest"),
        config_text=resolved_yaml(project.loaded) if is_described else "",
        versions=versions() if is_described else {},
        seed=chosen_seed,
        zone=config.zone,
        currency=project.currency,
        strategy_uses={strategy.label: strategy.use for strategy in config.strategies},
        strategy_pairs={spec.name: pairs_of(spec.parameters) for spec in specs},
        strategy_params={spec.name: plain_parameters(spec) for spec in specs},
        pairs=pairs,
        feed=feed,
        start=start,
        end=end,
        reading=section.fills.model,
        max_book_age_s=config.max_book_age_s,
        slippage=section.slippage,
        is_delayed=section.latency.is_delayed,
        fee_currencies=FeeCurrencies.of(model, project.facts, balances),
        lacks_coin=no_discount(model, project.facts, balances),
        sealed=None if closed is None else sealed_note(closed, project),
        balances=balances,
        account=ACCOUNT,
        fees=making.fees,
        engine=making.engine,
        kernel=making.kernel,
        benchmark=benchmark,
    )


class _Making:
    """Makes the fees, the engine and the simulated exchange of each reading of a backtest, from one configuration."""

    def __init__(
        self,
        project: Project,
        pairs: Mapping[str, Pair],
        balances: Mapping[str, int],
        seed: int,
        *,
        draws_indicators: bool,
        shared_blocks: SharedBlocks | None,
    ) -> None:
        self._project = project
        self._section = project.config.backtest
        self._pairs = pairs
        self._balances = balances
        self._seed = seed
        self._draws_indicators = draws_indicators
        self._shared_blocks = shared_blocks

    def fees(self) -> FeeModel:
        """Return a fee model that has seen no volume yet."""
        return self._project.fee_model(self._section.fees, "backtest.fees")

    def engine(self, decisions: DecisionLog, fees: FeeModel, first_client_id: int) -> Engine:
        """Return an engine with new strategies."""
        return make_engine(
            self._project,
            pairs=self._pairs,
            decisions=decisions,
            seed=self._seed,
            latest_accept_ns=self._section.latest_accept_s * NS_PER_S,
            fee_rates=lambda pair, now: fees.rates(now),
            bar_grace_ns=self._project.config.bar_grace_ns(),
            first_client_id=first_client_id,
            draws_indicators=self._draws_indicators,
            shared_blocks=self._shared_blocks,
        )

    def kernel(self, reading: str, fees: FeeModel) -> Kernel:
        """Return a simulated exchange that fills orders by ``reading``."""
        project, section = self._project, self._section
        return make_kernel(
            project,
            pairs=self._pairs,
            balances=self._balances,
            fees=fees,
            latency=project.latency_model(section.latency, "backtest.latency", self._seed),
            queue=project.queue_model(section.fills.under(reading), "backtest.fills"),
            slippage=section.slippage,
            seed=self._seed,
        )


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
    benchmark: str | None = None,
    command: str = "",
    playback: PlayedPart | None = None,
    progress: Callable[[str, float], None] | None = None,
    tell: Callable[[str, str, str], None] = lambda level, text, when: None,
    finished: Callable[[Project, BacktestResult], None] = lambda project, result: None,
) -> tuple[BacktestResult, Path, str]:
    """Run a configuration's backtest, write its folder, and return (result, folder, summary as JSON).

    Without ``out``, the folder is ``out/NAME/N``, where N is the next run number, and ``out/NAME/latest`` points to it.
    The folder appears only after it is complete. ``tell`` receives (level, text, when) for strategies' warnings and
    errors, and for callbacks that would block a live bot. If the configuration sets ``log: file``, that log is written.
    The report shows ``command`` as the command that repeats the run. With ``playback``, the folder also contains a
    playback page for that part of the run. Raises BotkitError.
    """
    project = Project.load(config, overrides=overrides)
    for index in range(len(project.config.notify)):
        try:
            check_notifier(project, index)
        except BotkitError as error:
            # a backtest needs no notifiers, which may be installed only where the bot runs
            tell("warning", f"{error} (a backtest sends nothing, but `botkit run` would refuse this)", "")
    parts = backtest_parts(project, data=data, start=start, end=end, seed=seed, benchmark=benchmark)
    parts = msgspec.structs.replace(parts, candles_max=REPORT_CANDLES_MAX)
    keeping = NumberedRun(Path("out") / project.config.name) if out is None else RunFolder(out)

    def in_the_run(level: str, text: str, now: Nanos) -> None:
        tell(level, text, format_time(now, project.config.zone))

    watch = None if playback is None else BacktestWatch(project, playback)
    with keeping as run, _log_of(project), SlowCallbacks(lambda slow: tell("warning", str(slow), "")):
        result = run_backtest(
            parts,
            decisions_to=run.path / DECISIONS,
            progress=progress,
            readings=readings,
            tell=in_the_run,
            watching=None if watch is None else watch.watching,
        )
        result.command = command
        sections = project.plugins.report_sections(result)
        page = render_parts(result, sections, findings=read_findings(Path("out") / project.config.name))
        write_outputs(run.path, result, report_html=page, config_yaml=parts.config_text)
        if watch is not None:
            played = render_playback(watch.playback(run.path, synthetic=result.data.synthetic))
            (run.path / PLAYBACK).write_bytes(played.encode())
    finished(project, result)
    return result, keeping.out, summary_json(result)


def _log_of(project: Project) -> AbstractContextManager[Any]:
    """Return the configured log file, or None. A log level without a log file has no effect."""
    section = project.config.log
    if section.file is None:
        return nullcontext()
    return LogFile(section.file, level=section.level, zone=project.config.zone)
