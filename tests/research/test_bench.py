"""Many runs on shared data: each run produces the same result as a backtest from the command line, and leaves no
objects in memory.
"""

from __future__ import annotations

import gc
import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from botkit.backtesting.session import MACHINE_FIGURES
from botkit.engine.market.blocks import CandleBlock
from botkit.errors import ConfigError
from botkit.project.data import backtest_feed
from botkit.project.project import Project
from botkit.research.bench import Bench
from botkit.research.search.worker import span_of
from botkit.tape.held import HeldSource
from tests.backtest_world import ROOT, run, write_candles, write_config, write_strategy
from tests.research_world import waves


@pytest.mark.parametrize(("fast", "slow"), [(5, 20), (3, 50), (10, 11)])
def test_a_run_on_the_bench_equals_a_backtest_with_the_same_parameters(crossing: Path, fast: int, slow: int) -> None:
    bench = Bench(Project.load(crossing))
    bench.run({"s": {"fast": 2, "slow": 5}})  # a previous run
    found = bench.run({"s": {"fast": fast, "slow": slow}})
    alone = run(crossing, overrides=[f"s.fast={fast}", f"s.slow={slow}"])
    assert alone.summary["fills"]
    assert found.journal_sha256 == alone.summary["journal_sha256"]
    assert found.figures == {key: value for key, value in alone.summary.items() if key not in MACHINE_FIGURES}
    assert found.days == alone.days
    full = bench.result({"s": {"fast": fast, "slow": slow}})
    assert full.fills == alone.fills
    assert full.indicators == alone.indicators


def test_runs_that_share_converted_rows_equal_runs_that_do_not(crossing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.load(crossing)
    points = [{"s": {"fast": fast, "slow": slow}} for fast, slow in ((3, 20), (5, 20), (3, 20), (10, 50))]
    hour = 3_600 * 10**9
    bench = Bench(project)
    start, _ = span_of(bench)
    spans = [(None, None), (start + 9 * hour, None), (None, start + 20 * hour)]
    converted: list[int] = []
    make = CandleBlock._converted
    monkeypatch.setattr(CandleBlock, "_converted", lambda block: converted.append(block.count) or make(block))
    found = [bench.run(point, start=begin, end=end) for begin, end in spans for point in points]
    assert sum(converted) < 3 * bench.feed.streams[0].rows  # once for each span, of which two are shorter
    fresh = [Bench(project).run(point, start=begin, end=end) for begin, end in spans for point in points]
    assert found == fresh
    assert len({run.journal_sha256 for run in found}) == 9


def test_a_run_on_the_bench_with_a_book_tape_equals_a_backtest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = Path("configs/market_maker.yaml")
    span = ["backtest.from=2025-04-03T07:00", "backtest.to=2025-04-03T07:10"]
    project = Project.load(config, overrides=span)
    found = Bench(project).run({"maker": {"spread_bps": 4, "skew_bps": 2}})
    alone = run(config, overrides=[*span, "maker.spread_bps=4", "maker.skew_bps=2"])
    assert alone.summary["orders"]
    assert found.journal_sha256 == alone.summary["journal_sha256"]


def test_a_run_on_a_window_of_the_tape_equals_a_backtest_with_from_and_to(crossing: Path) -> None:
    minute = 60 * 10**9
    start = 1_704_067_200 * 10**9 + 1_000 * minute
    found = Bench(Project.load(crossing)).run(start=start, end=start + 500 * minute)
    alone = run(crossing, overrides=["backtest.from=2024-01-01T16:40Z", "backtest.to=2024-01-02T01:00Z"])
    assert alone.summary["fills"]
    assert found.journal_sha256 == alone.summary["journal_sha256"]


def test_omitted_parameters_keep_their_values(crossing: Path) -> None:
    bench = Bench(Project.load(crossing, overrides=["s.slow=40"]))
    assert bench.run({"s": {"fast": 5}}) == bench.run() == bench.run({})


def test_runs_on_a_bench_use_the_seed_of_the_bench(crossing: Path) -> None:
    project = Project.load(crossing)
    assert Bench(project, seed=1).run().journal_sha256 != Bench(project, seed=2).run().journal_sha256
    assert Bench(project, seed=1).run() == Bench(project, seed=1).run()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"s": {"fast": 2.5}}, "s.fast=2.5: fast: must be a whole number such as 10, not 2.5"),
        ({"s": {"quick": 3}}, "s.quick=3: quick: Scripted has no such parameter"),
        ({"x": {"fast": 3}}, "there is no strategy named `x`; use one of: s"),
        (
            {"s": {"fast": object()}},
            "`s.fast` is object, but a configuration can only contain numbers, text, lists and mappings",
        ),
        ({"s": {"spend": float("nan")}}, "s.spend=nan: spend: "),
    ],
)
def test_invalid_parameters_are_refused_in_one_line(crossing: Path, parameters, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Bench(Project.load(crossing)).run(parameters)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numpy_numbers_are_accepted_as_parameters(crossing: Path) -> None:
    bench = Bench(Project.load(crossing))
    given = {"fast": np.int64(4), "slow": np.int32(30), "spend": np.float64(500.5)}
    assert bench.run({"s": given}) == bench.run({"s": {"fast": 4, "slow": 30, "spend": 500.5}})


def test_the_rows_are_loaded_only_once_and_cannot_be_modified_in_memory(crossing: Path) -> None:
    project = Project.load(crossing)
    feed = backtest_feed(project, None)
    asked = []
    for source in feed.sources:
        read = source.read
        source.read = lambda *given, read=read: asked.append(given) or read(*given)  # type: ignore[method-assign]
    bench = Bench(project, feed)
    for fast in (3, 4, 5):
        bench.run({"s": {"fast": fast}})
    assert len(asked) == 1
    (source,) = bench.feed.sources
    assert isinstance(source, HeldSource)
    columns = source.stream(("btc_usdt", "candles", "1m"))
    assert columns is not None
    with pytest.raises(ValueError, match="read-only"):
        columns.close[0] = 1


def test_memory_usage_does_not_grow_over_many_runs(tmp_path: Path) -> None:
    data = write_candles(tmp_path / "candles.csv", waves(300, period=30))
    body = """
pair: Pair
every: int = 2

def on_start(self):
    self.subscribe_bars(self.pair, "1m")
    self.count = 0

def on_bar(self, bar):
    self.count += 1
    if self.count % self.every == 0:
        self.market_buy(self.pair, spend=100.0)
"""
    config = write_config(
        tmp_path,
        f"[{{path: {data}, pair: btc_usdt, kind: candles}}]",
        plugins=write_strategy(tmp_path, body),
        balances='{usdt: "100000"}',
    )
    bench = Bench(Project.load(config))

    def left_by(count: int) -> Counter[type]:
        """Count, by type, the objects that are still alive after some runs."""
        for number in range(count):
            assert bench.run({"s": {"every": 2 + number % 7}}).figures["orders"]
        gc.collect()
        return Counter(type(thing) for thing in gc.get_objects())

    left_by(7)
    before = left_by(7)
    grown = {kind: more for kind, more in (left_by(70) - before).items() if more >= 70}
    assert grown == {}, "each run leaves something behind"


def test_strategies_on_the_bench_do_not_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    body = """
pair: Pair

def on_start(self):
    self.subscribe_bars(self.pair, "1m")

def on_bar(self, bar):
    self.log.warning("a bar")
"""
    data = write_candles(tmp_path / "candles.csv", waves(10))
    config = write_config(
        tmp_path, f"[{{path: {data}, pair: btc_usdt, kind: candles}}]", plugins=write_strategy(tmp_path, body)
    )
    bench = Bench(Project.load(config))
    with caplog.at_level(logging.WARNING):
        bench.run()
    assert not caplog.records
