"""The ladder of tests, from "does it run" to "does it hold on days that it has not seen"; each rung gives one sentence.

Every rung runs offline on the recorded data. The doctor's own runs do not count as looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from botkit.assembly.operations import state_root
from botkit.backtesting.session import READINGS
from botkit.engine.strategy.parameters import parameters_of
from botkit.errors import BotkitError
from botkit.project.project import Project
from botkit.research.bench import Bench
from botkit.research.doctor.costs import doubled_costs, readings
from botkit.research.doctor.findings import Diagnosis, Rung
from botkit.research.doctor.future import files_read, is_below, seen_ahead
from botkit.research.doctor.path import LastPrices, daily_markouts, last_prices, position_path
from botkit.research.looks import Look, LookLedger, LooksError, Market, distinct, returns_matrix
from botkit.research.luck import sharpe
from botkit.research.luck.bootstrap import BLOCKS_LEAST, Floats, block_days, interval, resampled_days
from botkit.research.luck.holm import holm
from botkit.research.luck.reality_check import reality_check
from botkit.research.luck.shifted import shift_test
from botkit.research.search.worker import BenchRecipe, bench_of, daily_returns, span_of
from botkit.tape.feed import Feed

__all__ = ["examine"]

#: the highest p-value, after Holm's adjustment, that counts as significant
LEVEL = 0.05
CUTS = 20
DECISIONS_LEAST = 20
TRADES_LEAST = 30
#: the Sharpe ratio that the data must be long enough to show; with fewer days the doctor cannot tell
SHARPE_SOUGHT = 2.0
#: the fraction of the span, at its end, that is the out-of-sample test
TEST_SHARE = 0.3
STARTS = 8
_SAMPLES = 2_000


def examine(recipe: BenchRecipe, progress: Callable[[str], None] = lambda rung: None) -> Diagnosis:
    """Run all tests on a configuration. Raises ConfigError or DataError if it cannot run at all."""
    progress("configuration")
    project = Project.load(recipe.config, overrides=recipe.overrides)
    bench = bench_of(project, recipe)
    return _Ladder(bench, progress).climb()


class _Ladder:
    """One examination."""

    def __init__(self, bench: Bench, progress: Callable[[str], None]) -> None:
        self._bench = bench
        self._project = bench.project
        self._progress = progress
        self._start, self._end = span_of(bench)
        self._seed = bench.seed
        self._result = bench.result()
        self._returns: Floats = np.array([day.return_ for day in self._result.days if day.return_ is not None])
        self._trades = [trade for trade in self._result.trades if not trade.is_given]
        holdings = [(trade.closed - trade.opened) / 1e9 for trade in self._trades]
        self._block = block_days(0.0, float(np.median(holdings)) if holdings else 0.0)

    def climb(self) -> Diagnosis:
        rungs: list[Rung] = [self._configuration()]
        p_values: dict[str, float] = {}
        for name, rung in (
            ("look-ahead", self._look_ahead),
            ("files", self._files),
            ("costs", self._costs),
            ("fills", self._fills),
            ("data", self._enough),
            ("best trades", self._best_trades),
            ("start", self._starts),
            ("parameters", self._parameters),
        ):
            self._progress(name)
            rungs.append(rung())
        self._progress("chance")
        for name, p in (("mean", self._mean_p()), ("timing", self._null_p())):
            if p is not None:
                p_values[name] = p
        rungs += [self._chance(p_values), self._looks(), self._out_of_sample()]
        return Diagnosis.of(self._project.config.name, rungs, is_synthetic=self._bench.feed.synthetic)

    # -- does it run ----------------------------------------------------------------------------------------------

    def _configuration(self) -> Rung:
        uses = ", ".join(strategy.use for strategy in self._project.config.strategies)
        return Rung(
            name="configuration",
            outcome="ok",
            says=f"the configuration, its plugins and its data load; it runs {uses} on {len(self._returns)} whole days",
        )

    def _look_ahead(self) -> Rung:
        orders = [row.spec for row in self._result.orders if row.spec.created <= self._end]
        if len(orders) < DECISIONS_LEAST:
            return Rung(
                name="look-ahead",
                outcome="not tested",
                says=f"it made {len(orders)} decisions, and the test needs {DECISIONS_LEAST}",
                advice="give more data",
            )
        found = seen_ahead(self._bench_of(self._project), orders, self._start, self._end, CUTS)
        if found is None:
            return Rung(
                name="look-ahead",
                outcome="ok",
                says=f"its decisions before {CUTS} cuts stay the same when everything after them is changed",
            )
        if found.error:
            return Rung(
                name="look-ahead",
                outcome="failed",
                calls_for="broken",
                says=f"with another future after {found.cut} ns it fails: {found.error}",
                advice="find out what it reads other than the rows that it is given",
            )
        return Rung(
            name="look-ahead",
            outcome="failed",
            calls_for="broken",
            says="it decides differently when only the future is changed: it sees rows that have not happened",
            advice="look for data that it reads by itself, or for an array that contains the whole tape",
            figures={"cut_ns": found.cut},
        )

    def _files(self) -> Rung:
        with files_read() as opened:
            self._bench.run()
        section = self._project.config.backtest
        tapes = [source.path.absolute() for source in section.data]
        tapes += [Path(source.path).absolute() for source in self._bench.feed.sources if source.path]
        read = sorted(opened)
        own = [path for path in read if is_below(path, tapes)]
        if own:
            return Rung(
                name="files",
                outcome="failed",
                calls_for="broken",
                says=f"the strategy opens the tape itself ({own[0]}), so it can know the future",
                advice="take prices only from the callbacks and series",
                figures={"files": read},
            )
        if read:
            names = ", ".join(Path(path).name for path in read[:3])
            return Rung(
                name="files",
                outcome="warning",
                says=f"the strategy reads {names}, which the look-ahead test does not change",
                advice="make sure that each line of it was known at its time",
                figures={"files": read},
            )
        return Rung(name="files", outcome="ok", says="it reads no files of its own")

    # -- what is left after costs ---------------------------------------------------------------------------------

    def _costs(self) -> Rung:
        earned = _pnl(self._result.summary)
        fees = float(self._result.summary.get("fees") or 0)
        if earned <= 0:
            before = f", and earned {earned + fees:,.2f} before fees" if earned + fees > 0 else ""
            return Rung(
                name="costs",
                outcome="failed",
                calls_for="loses after costs",
                says=f"it lost {-earned:,.2f} {self._result.currency.upper()} at the configured costs{before}",
                advice="trade less often, or only when the expected profit exceeds the costs",
                figures={"pnl": earned, "fees": fees},
            )
        found: dict[str, float] = {"configured": earned}
        for name, project in doubled_costs(self._project, self._end):
            found[name] = self._pnl_of(project)
        for name, value in found.items():
            if value <= 0 and name != "configured":
                return Rung(
                    name="costs",
                    outcome="failed",
                    calls_for="loses after costs",
                    says=f"with {name} doubled it loses {-value:,.2f} in place of earning {earned:,.2f}",
                    advice="costs of this size occur; look for a larger profit per trade",
                    figures=found,
                )
        return Rung(
            name="costs",
            outcome="ok",
            says=f"with all costs doubled it still earns {found['all costs']:,.2f} of {earned:,.2f}",
            figures=found,
        )

    def _fills(self) -> Rung:
        if not self._is_maker():
            return Rung(name="fills", outcome="not tested", says="it only takes, so its fills do not depend on a queue")
        found = {self._project.config.backtest.fills.model: _pnl(self._result.summary)}
        for reading, project in readings(self._project):
            found[reading] = self._pnl_of(project)
        worst = min(READINGS, key=lambda reading: found.get(reading, math.inf))
        if found[worst] <= 0:
            return Rung(
                name="fills",
                outcome="warning",
                says=f"in the {worst} reading of the queue it loses {-found[worst]:,.2f}",
                advice="its profit depends on fills that may not happen",
                figures=found,
            )
        return Rung(name="fills", outcome="ok", says="it earns under every queue assumption", figures=found)

    # -- could it be luck -----------------------------------------------------------------------------------------

    def _enough(self) -> Rung:
        needed = sharpe.days_needed(SHARPE_SOUGHT)
        days, trades = len(self._returns), len(self._trades)
        ratio = float(sharpe.of_days(self._returns)) * math.sqrt(365) if days >= 2 else 0.0
        # a higher ratio can be shown in fewer days
        wanted = sharpe.days_needed(max(ratio, SHARPE_SOUGHT)) if ratio > 0 else needed
        figures = {"days": days, "trades": trades, "days_needed": wanted}
        if trades < TRADES_LEAST and not self._is_maker():
            return Rung(
                name="data",
                outcome="failed",
                calls_for="cannot tell",
                says=f"{trades} trades are too few; {TRADES_LEAST} are the least",
                advice="give more data",
                figures=figures,
            )
        if days < wanted or days / self._block < BLOCKS_LEAST:
            more = max(wanted, math.ceil(self._block * BLOCKS_LEAST))
            return Rung(
                name="data",
                outcome="failed",
                calls_for="cannot tell",
                says=f"{days} days are too few to tell a Sharpe ratio of {max(ratio, SHARPE_SOUGHT):.1f} from luck",
                advice=f"it takes about {more} days",
                figures=figures,
            )
        return Rung(name="data", outcome="ok", says=f"{days} days and {trades} trades can tell", figures=figures)

    def _best_trades(self) -> Rung:
        if not self._trades:
            return Rung(name="best trades", outcome="not tested", says="it closed no trade")
        # measure profits as fractions of the equity at that time; otherwise a growing account's last trades would be
        # its best
        equity = self._result.equity
        worth = np.interp([trade.closed for trade in self._trades], equity.times, equity.values)
        earned = [trade.pnl / value for trade, value in zip(self._trades, worth, strict=True) if value > 0]
        whole, best = math.fsum(earned), math.fsum(sorted(earned)[-5:])
        figures = {"profit": whole, "best_five": best}
        if whole <= 0:
            return Rung(name="best trades", outcome="not tested", says="its trades made no profit", figures=figures)
        share = best / whole
        if share >= 1:
            return Rung(
                name="best trades",
                outcome="failed",
                calls_for="no better than chance",
                says=f"without its best five trades of {len(earned)} it loses",
                advice="five trades prove nothing; look for many profitable ones",
                figures=figures,
            )
        return Rung(
            name="best trades",
            outcome="warning" if share > 0.5 else "ok",
            says=f"its best five trades of {len(earned)} made {share:.0%} of the profit",
            figures=figures,
        )

    def _starts(self) -> Rung:
        span = self._end - self._start
        found = []
        for number in range(1, STARTS + 1):
            start = self._start + span * number // (4 * STARTS)
            try:
                found.append(_pnl(self._bench.run(start=start).figures))
            except BotkitError as error:
                return Rung(
                    name="start", outcome="warning", says=f"started later it fails: {error}", advice="mend the strategy"
                )
        good = sum(value > 0 for value in found)
        return Rung(
            name="start",
            outcome="ok" if good >= 0.75 * len(found) else "warning",
            says=f"started later, at {len(found)} other moments, it earns in {good}",
            advice="" if good >= 0.75 * len(found) else "a result that depends on its first day is luck",
            figures={"pnl": found},
        )

    def _parameters(self) -> Rung:
        count = sum(
            sum(p.kind in (int, float) for p in parameters_of(type(spec.strategy)).values())
            for spec in self._project.specs()
        )
        trades = len(self._trades)
        is_few = count > 0 and trades < 10 * count
        return Rung(
            name="parameters",
            outcome="warning" if is_few else "ok",
            says=f"{count} numbers can be tuned on {trades} trades",
            advice="it takes at least ten trades per number; remove some numbers" if is_few else "",
            figures={"parameters": count, "trades": trades},
        )

    def _mean_p(self) -> float | None:
        """Return the p-value of "the mean daily return is not above 0"."""
        days = len(self._returns)
        if days < 2 or days / self._block < BLOCKS_LEAST:
            return None
        centred = self._returns - self._returns.mean()
        drawn = centred[resampled_days(days, self._block, _SAMPLES, self._seed)].mean(axis=1)
        return (int((drawn >= self._returns.mean()).sum()) + 1) / (_SAMPLES + 1)

    def _null_p(self) -> float | None:
        """Return the p-value of the result under the assumption that the strategy has no skill, or None if that is
        undefined.
        """
        if any(trade.kind == "loop" for trade in self._trades):
            return None
        prices = self._prices()
        if self._is_maker():
            worst = next(
                p for name, p in [*readings(self._project), ("", self._project)] if name in ("pessimistic", "")
            )
            result = self._bench_of(worst).result()
            days = daily_markouts(result.fills, prices, 60.0)
            if len(days) < BLOCKS_LEAST:
                return None
            low_high = interval(days, lambda rows: np.asarray(rows.mean(axis=-1)), mean_block=1.0, seed=self._seed)
            assert low_high is not None
            return LEVEL / 2 if low_high[0] > 0 else 1.0
        path = position_path(self._result.fills, prices, self._result.equity, self._start, self._end)
        return None if path is None else shift_test(*path, seed=self._seed)

    def _chance(self, p_values: dict[str, float]) -> Rung:
        adjusted = holm(p_values)
        if not adjusted:
            return Rung(name="chance", outcome="not tested", says="there is too little data to test for chance")
        worst = max(adjusted, key=lambda name: adjusted[name])
        words = {
            "mean": "resampled days earn as much",
            "timing": "quotes without a signal do as well"
            if self._is_maker()
            else "the same positions at other times earn as much",
        }
        if adjusted[worst] > LEVEL:
            return Rung(
                name="chance",
                outcome="failed",
                calls_for="no better than chance",
                says=f"{words[worst]} in {adjusted[worst]:.0%} of the draws",
                advice="there is no sign of any skill",
                figures=dict(adjusted),
            )
        return Rung(
            name="chance",
            outcome="ok",
            says=f"chance does as well in {adjusted[worst]:.1%} of the draws at most",
            figures=dict(adjusted),
        )

    # -- has it been picked ---------------------------------------------------------------------------------------

    def _looks(self) -> Rung:
        config = self._project.config
        market = Market.of(
            [strategy.use for strategy in config.strategies],
            [str(pair) for pair in self._project.bot_pairs()],
            is_synthetic=self._bench.feed.synthetic,
        )
        try:
            looks = distinct(LookLedger(state_root()).looks(market, self._start, self._end))
        except LooksError as error:
            return Rung(name="looks", outcome="not tested", says=str(error))
        if len(looks) < 2:
            return Rung(
                name="looks",
                outcome="ok",
                says="no search on this market is recorded",
                advice="searches on other machines are not known here",
                figures={"looks": len(looks)},
            )
        return self._picked(looks)

    def _picked(self, looks: Sequence[Look]) -> Rung:
        first, returns = daily_returns(self._result.days)
        matrix = returns_matrix(looks, first, len(returns))
        own = np.nan_to_num(np.array(returns))
        p = reality_check(np.column_stack([own, matrix]), mean_block=self._block, seed=self._seed)
        ratios = sharpe.of_days(matrix.T)
        chance = (
            sharpe.deflated(self._returns, len(looks), sharpe.variance_by_luck(ratios, len(self._returns)))
            if len(self._returns) > 2
            else 0.0
        )
        figures = {"looks": len(looks), "reality_check_p": p, "deflated_sharpe": chance}
        if p is None:
            return Rung(
                name="looks", outcome="not tested", says="too few days for White's reality check", figures=figures
            )
        if p > LEVEL or chance < 1 - LEVEL:
            return Rung(
                name="looks",
                outcome="failed",
                calls_for="in-sample only",
                says=f"{len(looks):,} configurations were tried here, and luck can make the best look as good",
                advice="test it on data that no search has seen, or with `botkit walk-forward`",
                figures=figures,
            )
        return Rung(
            name="looks",
            outcome="ok",
            says=f"{len(looks):,} configurations were tried here, and luck cannot make the best look as good",
            figures=figures,
        )

    def _out_of_sample(self) -> Rung:
        days = len(self._returns)
        last = self._returns[days - int(days * TEST_SHARE) :]
        bounds = (
            interval(
                last, lambda rows: np.asarray(rows.mean(axis=-1)), mean_block=self._block, level=0.9, seed=self._seed
            )
            if len(last)
            else None
        )
        if bounds is None:
            return Rung(
                name="out of sample",
                outcome="failed",
                calls_for="cannot tell",
                says=f"the last {TEST_SHARE:.0%} of the span, {len(last)} days, are too few to judge by",
                advice=f"it takes {math.ceil(self._block * BLOCKS_LEAST / TEST_SHARE)} days in all",
            )
        figures = {"days": len(last), "mean": float(last.mean()), "lower_bound": bounds[0]}
        if bounds[0] <= 0:
            return Rung(
                name="out of sample",
                outcome="failed",
                calls_for="in-sample only",
                says=f"over the last {len(last)} days the lower 95 % bound of its mean return is {bounds[0]:.3%} a day",
                advice="it has not earned recently, or not reliably enough",
                figures=figures,
            )
        return Rung(
            name="out of sample",
            outcome="ok",
            says=f"over the last {len(last)} days the lower 95 % bound of its mean return is above 0",
            figures=figures,
        )

    # -- parts ----------------------------------------------------------------------------------------------------

    def _is_maker(self) -> bool:
        fills = self._result.fills
        return bool(fills) and sum(fill.value for fill in fills if fill.is_maker) > 0.7 * sum(
            fill.value for fill in fills
        )

    def _prices(self) -> dict[str, LastPrices]:
        pairs = {str(fill.pair) for fill in self._result.fills}
        found = {pair: last_prices(self._bench.feed, pair) for pair in pairs}
        return {pair: prices for pair, prices in found.items() if prices is not None}

    def _pnl_of(self, project: Project) -> float:
        return _pnl(self._bench_of(project).run().figures)

    def _bench_of(self, project: Project, feed: Feed | None = None) -> Bench:
        """Return a bench with the same span and seed for another project, or over another feed."""
        return Bench(project, feed or self._bench.feed, start=self._start, end=self._end, seed=self._seed)


def _pnl(figures: Any) -> float:
    value = figures.get("pnl")
    return float(value) if isinstance(value, (int, float)) else 0.0
