"""The four workloads: the libraries that run them, and the references for their results."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from botkit.version import __version__
from tests.benchmarks.measured_run import ROOT
from tests.benchmarks.peers.market import FAST, SLOW, Market
from tests.benchmarks.peers.measured import Measured, measure

HERE = Path(__file__).parent
_COMPARED, _QUOTES = HERE / "strategies", ROOT / "tests" / "benchmarks" / "strategies"


class Workload(msgspec.Struct, frozen=True):
    """A workload. ``unit`` is the unit of the workload's rate; ``peers`` are the libraries that can run it; ``checked``
    describes how its results were checked.
    """

    name: str
    title: str
    unit: str
    peers: tuple[str, ...]
    checked: str = ""
    cores: int = 1


_AS_REFERENCE = "botkit's fills and its equity at each midnight and at the end are those of the reference in numpy"
W1 = Workload(
    "W1",
    "candles, a cross of two moving averages",
    "candles",
    ("backtesting.py", "vectorbt", "basana", "nautilus_trader"),
    _AS_REFERENCE,
)
W2 = Workload("W2", "trades, two averages at each", "trades", ("hftbacktest", "nautilus_trader"), _AS_REFERENCE)
W3 = Workload(
    "W3",
    "books and trades, a bid and an ask replaced at each book",
    "rows",
    ("hftbacktest", "nautilus_trader"),
    "botkit's decisions, equity and fills are those of a turn for each row",
)
W4 = Workload(
    "W4",
    f"candles, searched for the best of {len(FAST) * len(SLOW)} pairs of averages",
    "runs",
    ("vectorbt",),
    cores=2,
)
WORKLOADS = {workload.name: workload for workload in (W1, W2, W3, W4)}

_STRATEGIES = {
    "W1": (_COMPARED, "cross", ""),
    "W2": (_COMPARED, "averages", ""),
    "W3": (_QUOTES, "quotes", ', capital: {usdt: "10000000", btc: "100"}'),
    "W4": (_COMPARED, "cross", ""),
}
_LATENCY_MS = {"W1": 100, "W2": 100, "W3": 50, "W4": 100}


def write_config(workload: Workload, market: Market, folder: Path) -> Path:
    """Write botkit's configuration for a workload."""
    plugins, use, more = _STRATEGIES[workload.name]
    balances = '{usdt: "10000000", btc: "100"}' if workload is W3 else '{usdt: "10000000"}'
    latency = _LATENCY_MS[workload.name]
    path = folder / f"{workload.name}.yaml"
    path.write_text(
        f"""name: {workload.name}
timezone: UTC
plugins: [{plugins}]
strategies:
  - {{name: s, use: {use}, params: {{pair: btc_usdt}}{more}}}
backtest:
  data: {{path: {market.tape}, pair: btc_usdt}}
  balances: {balances}
  fees: {{maker: "0.00005", taker: "0.00005"}}
  slippage: "0"
  latency: {{order_ms: {latency}, answer_ms: {latency}}}
""",
        encoding="utf-8",
    )
    return path


def run_botkit(workload: Workload, market: Market, folder: Path) -> Measured:
    """Run a workload with botkit, as `botkit backtest` does. Raises Failed."""
    config = write_config(workload, market, folder)
    out = str(folder / f"out-{workload.name}")
    if workload is not W4:
        return measure([sys.executable, str(HERE / "runners" / "run_botkit.py"), str(config), out], path=ROOT)
    axes = (("fast", FAST), ("slow", SLOW))
    ranges = [f"--param=s.{name}={steps[0]}:{steps[-1]}:{steps.step}" for name, steps in axes]
    command = [sys.executable, "-m", "botkit", "optimize", str(config), *ranges, "--objective=return"]
    command += [f"--jobs={workload.cores}", "--min-trades=1", f"--out={out}", "--json"]
    found = measure(command, cores=workload.cores, path=ROOT, state=folder / "state")
    trials = [trial["summary"] for trial in found.figures["trials"]]
    figures = {
        "version": __version__,
        "run_s": found.wall_s,
        "run_cpu_s": found.cpu_s,
        "fills": sum(summary["fills"] for summary in trials),
        "final_equity": max(summary["final_equity"] for summary in trials),
    }
    return msgspec.structs.replace(found, figures=figures)


def run_peer(name: str, python: Path, workload: Workload, market: Market) -> Measured:
    """Run a workload with another library. Raises Failed."""
    runner = HERE / "runners" / f"run_{name.removesuffix('.py').removesuffix('_trader')}.py"
    return measure([str(python), str(runner), workload.name, str(market.arrays)], cores=workload.cores)
