"""Shared helpers for backtest tests that run strategies defined in the test itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from botkit.assembly.backtest import backtest_parts
from botkit.backtesting.session import run_backtest
from botkit.model.results import BacktestResult
from botkit.project.project import Project

ROOT = Path(__file__).resolve().parents[1]
#: real market data next to the checkout; tests that need this data are skipped if it is missing
SHARED = ROOT.parent / "shared" / "data"

BACKTEST = """
  fees: {maker: "0.001", taker: "0.002"}
  slippage: "0.0002"
  latency: {order_ms: 100, answer_ms: 100}
"""


def write_strategy(folder: Path, body: str, name: str = "scripted") -> Path:
    """Write a plugin folder with one strategy. ``body`` is the class body of the strategy, ``Scripted``."""
    plugins = folder / "plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(f"    {line}" if line else "" for line in body.strip("\n").splitlines())
    text = (
        "import json\nfrom pathlib import Path\n"
        "from botkit import EMA, SMA, Bar, Order, Pair, Side, Strategy, Trade, hookimpl\n\n\n"
        f"class Scripted(Strategy):\n{lines}\n\n\n"
        f'@hookimpl\ndef botkit_register_strategies(register):\n    register("{name}", Scripted)\n'
    )
    (plugins / f"{name}.py").write_text(text, encoding="utf-8")
    return plugins


def write_config(
    folder: Path,
    data: str,
    *,
    plugins: Path,
    use: str = "scripted",
    params: str = "{pair: btc_usdt}",
    balances: str = '{usdt: "1000000", btc: "10"}',
    backtest: str = BACKTEST,
    more: str = "",
) -> Path:
    """Write a configuration with a single strategy to which all of the account's balances are allocated. ``data`` is
    the YAML for ``backtest.data``.
    """
    path = folder / "bot.yaml"
    path.write_text(
        f"name: test\nexchange: bitopro\nplugins: [{plugins}]\n{more}"
        f"strategies:\n  - {{name: s, use: {use}, params: {params}, capital: {balances}}}\n"
        f"backtest:\n  data: {data}\n  balances: {balances}\n{backtest}",
        encoding="utf-8",
    )
    return path


def run(config: Path, *, overrides: Sequence[str] = (), decisions: Path | None = None) -> BacktestResult:
    """Run a configuration under the single queue assumption that it specifies, and return the result."""
    parts = backtest_parts(Project.load(config, overrides=overrides))
    return run_backtest(parts, decisions_to=decisions, readings=False)


def write_candles(path: Path, closes: Sequence[float], *, start_ms: int = 1_704_067_200_000) -> Path:
    """Write one-minute candles with these closes. Each candle opens at the previous close. Its high is one unit above
    the higher of open and close, and its low one unit below the lower.
    """
    rows = ["timestamp,open,high,low,close,volume"]
    before = closes[0]
    for i, close in enumerate(closes):
        high, low = max(before, close) + 1, min(before, close) - 1
        rows.append(f"{start_ms + 60_000 * i},{before:.2f},{high:.2f},{low:.2f},{close:.2f},1000")
        before = close
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path
