"""No strategy can access future data: neither a strategy that tries deliberately, nor a bundled strategy by
accident.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from botkit.backtesting.driver import StrategyRaised
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_DAY, NS_PER_MINUTE, NS_PER_S, Nanos, parse_time
from botkit.tape.feed import TapeSource
from botkit.tape.writer import TapeWriter
from tests.strategy_world import CONFIGS, ROOT, T0, Outcome, World, run_config


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# -- bundled strategies on a truncated tape --------------------------------------------------------------------------

#: the sample strategies, with parameters that make them act often: (overrides, pairs, whether they trade on books)
CASES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], bool]] = {
    "sma_cross": (("sma.resolution=5m",), ("btc_usdt",), False),
    "rsi_reversion": (("rsi.resolution=5m", "rsi.length=6"), ("btc_twd",), False),
    "dca": (('savings.cron="*/20 * * * *"',), ("btc_twd",), False),
    "grid": (("ladder.low=70000", "ladder.cells=120", "ladder.stop_below=60000"), ("btc_usdt",), False),
    "rebalance": (('portfolio.cron="*/30 * * * *"', "portfolio.threshold=0.002"), ("btc_twd", "eth_twd"), False),
    "market_maker": ((), ("btc_usdt",), True),
    "triangular": ((), ("btc_twd", "btc_usdt", "usdt_twd"), True),
}
CANDLES = parse_time("2025-03-10T00:00")
BOOKS = parse_time("2025-04-02T22:12")


def write_tape(folder: Path, name: str, end: Nanos) -> None:
    """Write the bundled rows received between one day before the window and ``end``."""
    _, pairs, is_market = CASES[name]
    start = BOOKS if is_market else CANDLES - NS_PER_DAY
    source = TapeSource(ROOT / "backtest_data", packaged_pairs(), only=pairs)
    with TapeWriter(folder, source="cut for a test", recorded="no") as writer:
        for info in source.streams:
            if (info.kind == "candles") is is_market:
                continue
            for columns in source.read(info.key, start, end, 1_000_000):
                writer.write(columns)


def run_sample(folder: Path, name: str, end: Nanos) -> Outcome:
    """Run a sample on the bundled rows up to ``end``. Candles from before the window are used for warm-up."""
    tape = folder / f"tape-{end}"
    if not tape.exists():
        write_tape(tape, name, end)
    overrides = (*CASES[name][0], f'backtest.data=[{{path: "{tape.as_posix()}"}}]')
    start = None if CASES[name][2] else "2025-03-10"
    return run_config(CONFIGS / f"{name}.yaml", folder, overrides=overrides, start=start)


def decided(out: Outcome, until: Nanos) -> list[dict[str, Any]]:
    """Return all decisions before the timestamp of the truncated tape's last row, and the strategy's requests at that
    timestamp. Answers and fills at that timestamp are excluded, because the next row, which the truncated tape lacks,
    can cause them.
    """
    lines = out.decisions
    return [line for line in lines if line["t"] < until or (line["t"] == until and line["k"] in ("intent", "cancel"))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Outcome]]:
    @cache
    def run(name: str) -> tuple[Path, Outcome]:
        folder = tmp_path_factory.mktemp(name)
        end = BOOKS + 8 * NS_PER_MINUTE if CASES[name][2] else CANDLES + 2 * NS_PER_DAY
        return folder, run_sample(folder, name, end)

    return run


@pytest.mark.parametrize("name", CASES)
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(share=st.floats(0.4, 0.98))
def test_a_bundled_strategy_makes_the_same_decisions_if_the_tape_is_truncated(
    whole: Callable[[str], tuple[Path, Outcome]], name: str, share: float
) -> None:
    folder, full = whole(name)
    span = full.result.end - full.result.start
    cut = run_sample(folder, name, full.result.start + int(span * share))
    last = cut.result.end - 1  # receive time of the truncated tape's last row
    assert last < full.result.end
    assert decided(cut, last) == decided(full, last)


@pytest.mark.parametrize("name", CASES)
def test_the_samples_make_enough_decisions(whole: Callable[[str], tuple[Path, Outcome]], name: str) -> None:
    _, full = whole(name)
    assert len(full.fills) >= 4
    assert len(full.decisions) >= 40


def test_every_bundled_strategy_is_covered() -> None:
    assert set(CASES) == {path.stem for path in (ROOT / "strategies").glob("*.py")}


# -- a strategy that tries to look ahead --------------------------------------------------------------------------

#: Every price reveals its row's time, because the price in row i of the tape is 50,000 + i. The peeker searches all
#: data that a strategy can access for a price from a later row.
PEEKER = """
    import numpy as np
    from botkit import Pair, Strategy, hookimpl

    BASE, T0 = 50_000, {t0}

    def everything_behind(view):
        seen, queue = [], [view]
        while queue:
            thing = queue.pop()
            if thing is None or any(thing is other for other in seen):
                continue
            seen.append(thing)
            yield thing
            if not isinstance(thing, bytes):
                queue += [getattr(thing, name, None) for name in ("base", "obj", "data")]

    class Peeker(Strategy):
        pair: Pair
        step_s: int
        mode: str

        def on_start(self):
            self.looked = 0
            self.series = []
            if self.mode == "trades":
                self.subscribe_trades(self.pair)
                self.subscribe_book(self.pair)
            for resolution in ("1m", "5m", "15m", "1h"):
                self.series.append(self.subscribe_bars(self.pair, resolution, warm_up=50, on=self.look))
            self.set_timer("t", every_s=31)

        def on_ready(self):
            self.look(None)

        def look(self, event):
            # a candle is known at its end, a trade or book when it is received
            whole = (self.now - T0) // (self.step_s * 10**9)
            newest = BASE + whole - (1 if self.mode == "candles" else 0)
            for series in self.series:
                for name in ("open", "high", "low", "close", "volume"):
                    for thing in everything_behind(getattr(series, name)):
                        if isinstance(thing, np.ndarray) and thing.dtype.kind == "f" and thing.size:
                            self.check(name, thing.max(), newest)
                for thing in everything_behind(series.time):
                    if isinstance(thing, np.ndarray) and thing.dtype.kind == "i" and thing.size:
                        self.check("time", thing.max(), self.now)
                frame = series.to_pandas() if self.looked % 10 == 0 else ()
                if len(frame):
                    self.check("to_pandas", frame[["open", "high", "low", "close"]].to_numpy().max(), newest)
                for bar in series:
                    self.check("bar", bar.close, newest)
            last = self.last_price(self.pair)
            if last is not None:
                self.check("last_price", last, newest)
            book = self.book(self.pair)
            for level in (*book.bids, *book.asks):
                self.check("book", level.price, newest + 1)  # asks stand up to one above the row's own figure
            if event is not None:
                for name in ("price", "close", "high", "open"):
                    if hasattr(event, name):
                        self.check("event", getattr(event, name), newest)
                self.check("event time", event.time, self.now)
            self.looked += 1

        def check(self, what, figure, newest):
            assert figure <= newest, f"saw the future in {{what}}: {{figure}} > {{newest}}"

        def on_trade(self, trade):
            self.look(trade)

        def on_book(self, book):
            self.look(None)

        def on_timer(self, timer):
            self.look(None)

        def on_fill(self, fill):
            self.look(None)

        def on_stop(self):
            self.skip("looked", times=self.looked)
            assert self.looked > {least}

    @hookimpl
    def botkit_register_strategies(register):
        register("peeker", Peeker)
"""


def peek(world: World, mode: str, *, step_s: int, least: int, start: str | None = None, late_s: int = 0) -> None:
    """Run the peeker. With ``late_s``, its clock is this many seconds slow, so it mistakes the present for the
    future.
    """
    plugin = world.folder / "plugins" / "peeker.py"
    plugin.parent.mkdir()
    plugin.write_text(dedent(PEEKER).format(t0=T0 + late_s * NS_PER_S, least=least))
    config = world.config("peeker", {"pair": "btc_usdt", "step_s": step_s, "mode": mode}, balances={"usdt": 1_000})
    config["plugins"] = [str(plugin.parent)]
    path = world.folder / "bot.yaml"
    path.write_text(json.dumps(config))
    run_config(path, world.folder, start=start)


def test_future_candles_cannot_be_found_with_warm_up_and_several_resolutions(world: World) -> None:
    world.candles("btc_usdt", [50_000.0 + i for i in range(240)], volume=10)
    peek(world, "candles", step_s=60, least=150, start="2025-03-03T11:00")  # three hours later, in Taipei time


def test_future_trades_and_books_cannot_be_found(world: World) -> None:
    made_of_trades(world, 400)
    peek(world, "trades", step_s=1, least=800)


def made_of_trades(world: World, seconds: int) -> None:
    figures = [50_000.0 + t for t in range(seconds)]
    world.tape(
        {"btc_usdt": [(float(t), [(p, 1.0)], [(p + 1, 1.0)]) for t, p in enumerate(figures)]},
        {"btc_usdt": [(float(t), p, 0.01, 1) for t, p in enumerate(figures)]},
    )


@pytest.mark.parametrize("mode", ["candles", "trades"])
def test_the_peeker_detects_a_single_row_from_the_future(world: World, mode: str) -> None:
    if mode == "candles":
        world.candles("btc_usdt", [50_000.0 + i for i in range(70)], volume=10)
    else:
        made_of_trades(world, 70)
    step_s = 60 if mode == "candles" else 1
    with pytest.raises(StrategyRaised, match="saw the future"):
        peek(world, mode, step_s=step_s, least=0, late_s=step_s)
