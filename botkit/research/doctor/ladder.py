"""The ladder of tests, from "does it run" to "does it hold up on unseen days". Each rung reports one sentence.

Every rung runs offline on the recorded data. The doctor's runs are not counted as looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from botkit.assembly.operations import state_root
from botkit.assembly.seals import seal_of
from botkit.backtesting.session import READINGS
from botkit.engine.strategy.parameter_classes import parameters_of
from botkit.errors import BotkitError
from botkit.model.clock import NS_PER_DAY, format_time
from botkit.model.orders import OrderState
from botkit.project.project import Project
from botkit.report.wording import percent
from botkit.research.bench import Bench
from botkit.research.doctor.costs import doubled_costs, readings
from botkit.research.doctor.findings import Diagnosis, Rung, failed, passed, untested, warned
from botkit.research.doctor.future import files_read, is_below, seen_ahead
from botkit.research.doctor.path import LastPrices, daily_markouts, last_middles, last_prices, position_path
from botkit.research.doctor.quotes import symmetric_quotes
from botkit.research.looks import Look, LookLedger, LooksError, Market, distinct, returns_matrix
from botkit.research.luck import sharpe
from botkit.research.luck.bootstrap import BLOCKS_LEAST, Floats, block_days, interval, mean_of, mean_test
from botkit.research.luck.holm import holm
from botkit.research.luck.reality_check import reality_check
from botkit.research.luck.shifted import shift_test
from botkit.research.search.worker import BenchRecipe, bench_of, daily_returns, span_of

__all__ = ["examine"]

#: the highest p-value that is significant, after Holm's adjustment
LEVEL = 0.05
CUTS = 20
DECISIONS_LEAST = 20
TRADES_LEAST = 30
#: the Sharpe ratio that the data must be long enough to detect; with fewer days the verdict is "cannot tell"
SHARPE_SOUGHT = 2.0
#: the fraction of the span, at its end, used as the out-of-sample test
TEST_SHARE = 0.3
STARTS = 8
#: with fewer trades per tunable number, the parameters may be overfitted to these trades
TRADES_PER_NUMBER = 10
#: thresholds for too many orders: the fraction of orders that wait, and the wait time
STORM_SHARE = 0.1
STORM_WAIT_MS = 5_000
#: the finding for each failed luck test, with the adjusted p-value
_LUCK = {
    "mean": "resampled days earn as much in {} of the draws",
    "timing": "the same positions at other times earn as much in {} of the draws",
    "markouts": "one minute after its fills, its profit net of fees may be zero (p = {})",
    "quotes": "signal-free symmetric quotes of the same width and size may earn as much (p = {})",
}


def examine(recipe: BenchRecipe, progress: Callable[[str], None] = lambda rung: None) -> Diagnosis:
    """Run all tests on a configuration. Raises ConfigError or DataError if the configuration cannot run at all."""
    progress("configuration")
    project = Project.load(recipe.config, overrides=recipe.overrides)
    bench = bench_of(project, recipe)
    ladder = _Ladder(bench, progress)
    return msgspec.structs.replace(ladder.climb(), decisions_sha256=ladder.decisions_sha256)


class _Ladder:
    """The examination of one configuration."""

    def __init__(self, bench: Bench, progress: Callable[[str], None]) -> None:
        self._bench = bench
        self._project = bench.project
        self._progress = progress
        self._start, self._end = span_of(bench)
        self._seed = bench.seed
        self._result = bench.result()
        self._returns: Floats = np.array([day.return_ for day in self._result.days if day.return_ is not None])
        self._trades = [trade for trade in self._result.trades if not trade.is_given]
        # The files that the strategy opens. They are recorded while the strategy runs for another rung, because by then
        # the data is in memory, so files opened to load the data are not included.
        self._read: set[str] = set()
        holdings = [(trade.closed - trade.opened) / 1e9 for trade in self._trades]
        self._block = block_days(0.0, float(np.median(holdings)) if holdings else 0.0)

    @property
    def decisions_sha256(self) -> str:
        """The hash of the examined run's decisions."""
        return str(self._result.summary["journal_sha256"])

    def climb(self) -> Diagnosis:
        rungs: list[Rung] = [self._configuration()]
        for name, rung in (
            ("look-ahead", self._look_ahead),
            ("start", self._starts),
            ("files", self._files),
            ("orders", self._orders),
            ("costs", self._costs),
            ("fills", self._fills),
            ("data", self._enough),
            ("best trades", self._best_trades),
            ("parameters", self._parameters),
            ("chance", self._chance),
            ("looks", self._looks),
            ("out of sample", self._out_of_sample),
            ("sealed", self._sealed),
        ):
            self._progress(name)
            rungs.append(rung())
        return Diagnosis.of(self._project.config.name, rungs, is_synthetic=self._bench.feed.synthetic)

    # -- does it run ----------------------------------------------------------------------------------------------

    def _configuration(self) -> Rung:
        uses = ", ".join(strategy.use for strategy in self._project.config.strategies)
        return passed(
            "configuration",
            f"the configuration, its plugins and its data load; {uses} runs on {len(self._returns)} full days",
        )

    def _look_ahead(self) -> Rung:
        bench = self._bench_of(self._project)
        decisions = bench.decisions()
        made = sum(time < self._end for time in decisions.times)
        if made < DECISIONS_LEAST:
            says = f"it made {made} decisions, but the test needs at least {DECISIONS_LEAST}"
            return untested("look-ahead", says, "give more data")
        found = seen_ahead(bench, decisions, self._start, self._end, CUTS)
        if found is None:
            return passed(
                "look-ahead", f"its decisions before each of {CUTS} cuts do not change when all later data changes"
            )
        if found.error:
            return failed(
                "look-ahead",
                "broken",
                f"it fails when the data after {found.cut} ns changes: {found.error}",
                "check what data it reads besides the rows passed to it",
            )
        return failed(
            "look-ahead",
            "broken",
            "its decisions change when only future data changes: it sees rows from the future",
            "look for data that it loads itself, or an array that contains the entire tape",
            cut_ns=found.cut,
        )

    def _starts(self) -> Rung:
        span = self._end - self._start
        found = []
        with files_read() as self._read:
            for number in range(1, STARTS + 1):
                try:
                    run = self._bench.run(start=self._start + span * number // (4 * STARTS))
                except BotkitError as error:
                    return warned("start", f"it fails when started later: {error}", "fix the strategy")
                found.append(_pnl(run.figures))
        good = sum(value > 0 for value in found)
        says = f"started at {len(found)} later times, it is profitable in {good} of them"
        if good >= 0.75 * len(found):
            return passed("start", says, pnl=found)
        return warned("start", says, "if the result changes with the start date, it is luck", pnl=found)

    def _files(self) -> Rung:
        tapes = [source.path.absolute() for source in self._project.config.backtest.data]
        tapes += [Path(source.path).absolute() for source in self._bench.feed.sources if source.path]
        read = sorted(self._read)
        own = [path for path in read if is_below(path, tapes)]
        if own:
            return failed(
                "files",
                "broken",
                f"the strategy opens the tape itself ({own[0]}), so it can see the future",
                "take prices only from the callbacks and series",
                files=read,
            )
        # botkit itself reads its seals and looks for each run
        read = [path for path in read if not is_below(path, [state_root().absolute()])]
        if read:
            return warned(
                "files",
                f"the strategy reads {', '.join(Path(path).name for path in read[:3])}, which the look-ahead test does "
                "not change",
                "make sure that each line was available at its timestamp",
                files=read,
            )
        return passed("files", "it reads no files")

    def _orders(self) -> Rung:
        """Test whether the exchange can handle the orders. The test fails if too many orders wait for rate limits, or
        are refused.
        """
        orders, use = self._result.orders, self._result.router
        if not orders:
            return untested("orders", "it placed no orders")
        refused = sum(row.state == OrderState.REFUSED.value for row in orders)
        figures = {
            "orders": len(orders),
            "delayed": use.orders_delayed,
            "refused": refused,
            "max_queue_ms": use.max_queue_ms,
        }
        if use.orders_delayed > STORM_SHARE * len(orders) and use.max_queue_ms > STORM_WAIT_MS:
            return failed(
                "orders",
                "broken",
                f"{use.orders_delayed:,} of its {len(orders):,} orders wait for the exchange's rate limits, for up to "
                f"{use.max_queue_ms / 1000:,.0f} s",
                "place fewer orders; its decisions reach the exchange too late",
                **figures,
            )
        if refused > STORM_SHARE * len(orders):
            return warned(
                "orders", f"{refused:,} of its {len(orders):,} orders are refused", "see `botkit why`", **figures
            )
        return passed("orders", f"the exchange accepts its {len(orders):,} orders without delay", **figures)

    # -- what is left after costs ---------------------------------------------------------------------------------

    def _costs(self) -> Rung:
        earned = _pnl(self._result.summary)
        fees = float(self._result.summary.get("fees") or 0)
        if earned <= 0:
            before = f", and earned {earned + fees:,.2f} before fees" if earned + fees > 0 else ""
            return failed(
                "costs",
                "loses after costs",
                f"it lost {-earned:,.2f} {self._result.currency.upper()} at the configured costs{before}",
                "trade less often, or only when the expected profit exceeds the costs",
                pnl=earned,
                fees=fees,
            )
        found = {name: self._pnl_of(project) for name, project in doubled_costs(self._project, self._end)}
        figures = {"configured": earned, **found}
        for name, value in found.items():
            if value <= 0:
                return failed(
                    "costs",
                    "loses after costs",
                    f"with {name} doubled it loses {-value:,.2f} instead of earning {earned:,.2f}",
                    "costs this high are realistic; look for a larger profit per trade",
                    **figures,
                )
        return passed(
            "costs", f"with all costs doubled it still earns {found['all costs']:,.2f} of {earned:,.2f}", **figures
        )

    def _fills(self) -> Rung:
        if not self._is_maker():
            return untested("fills", "it only takes liquidity, so its fills do not depend on a queue")
        found = {self._project.config.backtest.fills.model: _pnl(self._result.summary)}
        found |= {reading: self._pnl_of(project) for reading, project in readings(self._project)}
        worst = min(READINGS, key=lambda reading: found.get(reading, math.inf))
        if found[worst] <= 0:
            return warned(
                "fills",
                f"under the {worst} queue assumption it loses {-found[worst]:,.2f}",
                "its profit depends on fills that may not happen",
                **found,
            )
        return passed("fills", "it is profitable under every queue assumption", **found)

    # -- could it be luck -----------------------------------------------------------------------------------------

    def _enough(self) -> Rung:
        days, trades = len(self._returns), len(self._trades)
        ratio = float(sharpe.of_days(self._returns)) * math.sqrt(365) if days >= 2 else 0.0
        # a higher ratio can be detected in fewer days
        wanted = sharpe.days_needed(max(ratio, SHARPE_SOUGHT))
        figures = {"days": days, "trades": trades, "days_needed": wanted}
        if trades < TRADES_LEAST and not self._is_maker():
            few = f"{trades} trades are too few; at least {TRADES_LEAST} are needed"
            return failed("data", "cannot tell", few, "give more data", **figures)
        if days < wanted or days / self._block < BLOCKS_LEAST:
            return failed(
                "data",
                "cannot tell",
                f"{days} full days are too few to tell a Sharpe ratio of {max(ratio, SHARPE_SOUGHT):.1f} from luck",
                f"about {max(wanted, math.ceil(self._block * BLOCKS_LEAST))} full days are needed",
                **figures,
            )
        return passed("data", f"{days} full days and {trades} trades are enough to judge", **figures)

    def _best_trades(self) -> Rung:
        if not self._trades:
            return untested("best trades", "it closed no trades")
        # measure profits as fractions of the equity at the time; otherwise the last trades of a growing account would
        # appear to be its best
        equity = self._result.equity
        worth = np.interp([trade.closed for trade in self._trades], equity.times, equity.values)
        earned = [trade.pnl / value for trade, value in zip(self._trades, worth, strict=True) if value > 0]
        whole, best = math.fsum(earned), math.fsum(sorted(earned)[-5:])
        figures: dict[str, Any] = {"profit": whole, "best_five": best}
        if whole <= 0:
            return untested("best trades", "its trades made no profit", **figures)
        if best >= whole:
            without = f"without its best five of {len(earned)} trades it loses money"
            return failed(
                "best trades",
                "no better than chance",
                without if len(earned) > 5 else "its whole profit is from five trades or fewer",
                "five trades prove nothing; look for many profitable ones",
                **figures,
            )
        says = f"its best five of {len(earned)} trades made {best / whole:.0%} of the profit"
        if best > 0.5 * whole:
            return warned("best trades", says, "look for many profitable trades", **figures)
        return passed("best trades", says, **figures)

    def _parameters(self) -> Rung:
        count = sum(
            _numbers_in(value)
            for spec in self._project.specs()
            for name, value in spec.parameters.items()
            if parameters_of(type(spec.strategy))[name].kind is not bool
        )
        trades = len(self._trades)
        figures = {"parameters": count, "trades": trades}
        says = f"{count} tunable numbers for {trades} trades"
        if trades < TRADES_PER_NUMBER * count:
            return failed(
                "parameters",
                "in-sample only",
                says,
                f"at least {TRADES_PER_NUMBER} trades per number are needed; remove some numbers",
                **figures,
            )
        return passed("parameters", says, **figures)

    def _chance(self) -> Rung:
        """Test in several ways whether luck explains the result, and adjust the p-values for the number of tests."""
        p_values = {"mean": self._mean_p(), **self._null_ps()}
        adjusted = holm({name: p for name, p in p_values.items() if p is not None})
        if not adjusted:
            return untested("chance", "there is too little data to test for chance")
        worst = max(adjusted, key=lambda name: adjusted[name])
        if adjusted[worst] > LEVEL:
            says = _LUCK[worst].format(f"{adjusted[worst]:.0%}")
            return failed("chance", "no better than chance", says, "there is no evidence of skill", **adjusted)
        return passed("chance", f"chance does as well in at most {adjusted[worst]:.1%} of the draws", **adjusted)

    def _mean_p(self) -> float | None:
        """Return the p-value of "the mean daily return is not above 0"."""
        return mean_test(self._returns, mean_block=self._block, seed=self._seed)

    def _null_ps(self) -> dict[str, float | None]:
        """Return the p-values of the result under the assumption that the strategy has no skill. Loops are not
        tested.
        """
        if any(trade.kind == "loop" for trade in self._trades):
            return {}
        if self._is_maker():
            return {"markouts": self._markouts_p(), "quotes": self._quotes_p()}
        path = position_path(self._result.fills, self._prices(), self._result.equity, self._start, self._end)
        return {"timing": None if path is None else shift_test(*path, seed=self._seed)}

    def _markouts_p(self) -> float | None:
        """Return the p-value of "a minute after the fills, the maker has no gain net of fees", under the pessimistic
        queue assumption.
        """
        named = {self._project.config.backtest.fills.model: self._project, **dict(readings(self._project))}
        result = self._bench_of(named["pessimistic"]).result()
        return mean_test(daily_markouts(result.fills, self._prices(), 60.0), mean_block=1.0, seed=self._seed)

    def _quotes_p(self) -> float | None:
        """Return the p-value of "symmetric quotes with the same width and size earn as much"."""
        pairs = {str(fill.pair) for fill in self._result.fills}
        middles = {pair: found for pair in pairs if (found := last_middles(self._bench.feed, pair)) is not None}
        project = symmetric_quotes(self._project, self._result, middles)
        if project is None:
            return None
        try:
            days = self._bench_of(project).run().days
        except BotkitError:
            return None  # for example, a subscription to books when there are only candles
        first, null = daily_returns(days)
        own_first, own = daily_returns(self._result.days)
        if (first, len(null)) != (own_first, len(own)):
            return None
        better = np.array(own) - np.array(null)
        return mean_test(better[~np.isnan(better)], mean_block=self._block, seed=self._seed)

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
            return untested("looks", str(error))
        if len(looks) < 2:
            rung = passed("looks", "no search on this market is recorded", looks=len(looks))
            return msgspec.structs.replace(rung, advice="searches on other machines are not included")
        return self._picked(looks)

    def _picked(self, looks: Sequence[Look]) -> Rung:
        first, returns = daily_returns(self._result.days)
        matrix = returns_matrix(looks, first, len(returns))
        own = np.nan_to_num(np.array(returns))
        p = reality_check(np.column_stack([own, matrix]), mean_block=self._block, seed=self._seed)
        ratios = sharpe.of_days(matrix.T)
        days = len(self._returns)
        chance = sharpe.deflated(self._returns, len(looks), sharpe.variance_by_luck(ratios, days)) if days > 2 else 0.0
        figures: dict[str, Any] = {"looks": len(looks), "reality_check_p": p, "deflated_sharpe": chance}
        if p is None:
            return untested("looks", "too few days for White's reality check", **figures)
        tried = f"{len(looks):,} configurations tried here"
        if p > LEVEL or chance < 1 - LEVEL:
            return failed(
                "looks",
                "in-sample only",
                f"the best of {tried} can look this good by chance alone",
                "test it on data that no search has seen, or with `botkit walk-forward`",
                **figures,
            )
        return passed("looks", f"the best of {tried} would not look this good by chance alone", **figures)

    def _out_of_sample(self) -> Rung:
        days = len(self._returns)
        last = self._returns[days - int(days * TEST_SHARE) :]
        bounds = None
        if len(last):
            bounds = interval(last, mean_of, mean_block=self._block, level=0.9, seed=self._seed)
        if bounds is None:
            return failed(
                "out of sample",
                "cannot tell",
                f"the last {TEST_SHARE:.0%} of the span is only {len(last)} full days, too few to judge",
                f"{math.ceil(self._block * BLOCKS_LEAST / TEST_SHARE)} full days in total are needed",
            )
        figures = {"days": len(last), "mean": float(last.mean()), "lower_bound": bounds[0]}
        bound = f"over the last {len(last)} full days the lower 95 % bound of its mean return is"
        if bounds[0] <= 0:
            return failed(
                "out of sample",
                "in-sample only",
                f"{bound} {percent(bounds[0], decimals=3)} a day",
                "it has not been profitable recently, or not reliably enough",
                **figures,
            )
        return passed("out of sample", f"{bound} above 0", **figures)

    def _sealed(self) -> Rung:
        found = seal_of(self._project, is_synthetic=self._bench.feed.synthetic)
        if found is None:
            return untested(
                "sealed",
                "no part of the data was sealed before the search",
                "next time, `botkit trials CONFIG --sealed FROM` keeps the last part unseen",
            )
        since = format_time(found.start, self._project.config.zone)
        if found.opened is None:
            return untested(
                "sealed",
                f"the data from {since} on is sealed",
                "when the strategy is final, open it with --open, which is possible only once",
            )
        days = np.array(
            [d.return_ for d in self._result.days if d.return_ is not None and d.end - NS_PER_DAY >= found.start]
        )
        bounds = interval(days, mean_of, mean_block=self._block, level=0.9, seed=self._seed) if len(days) else None
        if bounds is None:
            few = f"the {len(days)} full days from {since} on, which were sealed, are too few to judge"
            return untested("sealed", few)
        figures = {"days": len(days), "mean": float(days.mean()), "lower_bound": bounds[0]}
        bound = f"over {len(days)} sealed full days the lower 95 % bound of its mean return is"
        if bounds[0] <= 0:
            advice = "it was not profitable on days that no search had seen"
            return failed(
                "sealed", "in-sample only", f"{bound} {percent(bounds[0], decimals=3)} a day", advice, **figures
            )
        return passed("sealed", f"{bound} above 0", **figures)

    # -- parts ----------------------------------------------------------------------------------------------------

    def _is_maker(self) -> bool:
        fills = self._result.fills
        made = sum(fill.value for fill in fills if fill.is_maker)
        return bool(fills) and made > 0.7 * sum(fill.value for fill in fills)

    def _prices(self) -> dict[str, LastPrices]:
        pairs = {str(fill.pair) for fill in self._result.fills}
        found = {pair: last_prices(self._bench.feed, pair) for pair in pairs}
        return {pair: prices for pair, prices in found.items() if prices is not None}

    def _pnl_of(self, project: Project) -> float:
        return _pnl(self._bench_of(project).run().figures)

    def _bench_of(self, project: Project) -> Bench:
        """Return a bench for another project, with the same data, span and seed."""
        return Bench(project, self._bench.feed, start=self._start, end=self._end, seed=self._seed)


def _pnl(figures: Any) -> float:
    value = figures.get("pnl")
    return float(value) if isinstance(value, (int, float)) else 0.0


def _numbers_in(value: Any) -> int:
    """Return the number of numeric values in a parameter. A list of weights has one value per weight."""
    if isinstance(value, (list, tuple)):
        return sum(map(_numbers_in, value))
    return int(isinstance(value, (int, float)) and not isinstance(value, bool))
