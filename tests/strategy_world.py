"""Runs backtests of bundled strategies on small made-up markets, assembled as they are on the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from botkit.assembly.backtest import backtest_parts
from botkit.backtesting.session import run_backtest
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_MINUTE, NS_PER_S, parse_time
from botkit.model.columns import BookColumns, TradeColumns
from botkit.model.results import BacktestResult, FillRow, OrderRow
from botkit.project.project import Project
from botkit.tape.writer import TapeWriter

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs"
T0 = parse_time("2025-03-03T00:00")  # a Monday at 8:00 in Taipei

Levels = Sequence[tuple[float, float]]


class Deal(NamedTuple):
    """A fill in plain numbers. ``at`` is its minute, counted from the start."""

    at: int
    side: str
    price: float
    amount: float


class Outcome:
    """A finished run, with accessors for tests."""

    def __init__(self, result: BacktestResult, decisions: list[dict[str, Any]]) -> None:
        self.result = result
        self.decisions = decisions

    @property
    def fills(self) -> list[Deal]:
        """All fills in sequence."""
        return [deal(row) for row in self.result.fills]

    def fills_of(self, pair: str) -> list[Deal]:
        """Return the fills for one pair."""
        return [deal(row) for row in self.result.fills if row.pair == pair]

    @property
    def orders(self) -> list[OrderRow]:
        """All orders in sequence."""
        return self.result.orders

    @property
    def skips(self) -> Mapping[str, int]:
        """The reasons why the (first) strategy did not trade."""
        return self.result.strategies[0].skips

    @property
    def refusals(self) -> Mapping[str, int]:
        """The reasons why the (first) strategy's orders were refused."""
        return self.result.strategies[0].refusals

    def position(self, pair: str) -> float:
        """Return the final position of the (first) strategy, in base currency."""
        rows = [row for row in self.result.strategies[0].positions if row.pair == pair]
        return sum(row.pair.rules.amount(row.lots) for row in rows)


def deal(row: FillRow) -> Deal:
    """Convert a fill to plain numbers."""
    rules = row.pair.rules
    return Deal((row.time - T0) // NS_PER_MINUTE, row.side, rules.price(row.price_ticks), rules.amount(row.lots))


class World:
    """A folder with data and a configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources: list[dict[str, str]] = []

    def candles(self, pair: str, closes: Sequence[float], *, step_s: int = 60, volume: float = 1_000) -> None:
        """Write candles, each of which opens at the previous close. The first candle opens at its own close."""
        rows = ["timestamp,open,high,low,close,volume"]
        before = closes[0]
        for index, close in enumerate(closes):
            low, high = min(before, close), max(before, close)
            rows.append(f"{T0 // 10**9 + index * step_s},{before},{high},{low},{close},{volume}")
            before = close
        path = self.folder / f"{pair}.csv"
        path.write_text("\n".join(rows) + "\n")
        resolution = {60: "1m", 300: "5m", 3600: "1h", 86400: "1d"}[step_s]
        self.sources.append({"path": str(path), "pair": pair, "kind": "candles", "resolution": resolution})

    def tape(
        self,
        books: Mapping[str, Sequence[tuple[float, Levels, Levels]]],
        trades: Mapping[str, Sequence[tuple[float, float, float, int]]],
    ) -> None:
        """Write books (second, bids, asks) and trades (second, price, amount, +1 if the taker bought) by pair."""
        path = self.folder / "tape"
        with TapeWriter(path, source="made for a test", recorded="by hand") as writer:
            for pair, rows in books.items():
                writer.write(book_columns(pair, rows))
            for pair, sales in trades.items():
                writer.write(trade_columns(pair, sales))
        self.sources.append({"path": str(path)})

    def config(
        self, use: str, params: Mapping[str, Any], *, balances: Mapping[str, float], **sections: Any
    ) -> dict[str, Any]:
        """Build a configuration with simple round cost figures and one strategy named s, to which the entire account is
        allocated.
        """
        backtest = {
            "data": self.sources,
            "balances": {currency: str(amount) for currency, amount in balances.items()},
            "fees": sections.pop("fees", {"maker": "0.001", "taker": "0.002"}),
            "slippage": "0",
            "latency": {"order_ms": 100, "answer_ms": 100},
        }
        return {
            "name": "test",
            "plugins": [str(ROOT / "strategies")],
            "strategies": [{"name": "s", "use": use, "params": dict(params), "capital": backtest["balances"]}],
            "backtest": backtest,
            **sections,
        }

    def run(
        self,
        use: str,
        params: Mapping[str, Any],
        *,
        balances: Mapping[str, float],
        start: str | None = None,
        **sections: Any,
    ) -> Outcome:
        """Run a strategy on the data. Data before ``start`` (Taipei time) is used for warm-up."""
        path = self.folder / "bot.yaml"
        path.write_text(json.dumps(self.config(use, params, balances=balances, **sections)))  # JSON is valid YAML
        return run_config(path, self.folder, start=start)


def run_config(
    path: Path, folder: Path, *, overrides: Sequence[str] = (), end_ns: int | None = None, start: str | None = None
) -> Outcome:
    """Run a configuration under one queue assumption. ``end_ns`` truncates the tape."""
    parts = backtest_parts(Project.load(path, overrides=overrides), start=start)
    if end_ns is not None:
        parts = msgspec.structs.replace(parts, end=end_ns)
    journal = folder / "decisions.jsonl"
    result = run_backtest(parts, decisions_to=journal, readings=False)
    return Outcome(result, [json.loads(line) for line in journal.read_text().splitlines()])


def book_columns(pair_name: str, rows: Sequence[tuple[float, Levels, Levels]]) -> BookColumns:
    """Return snapshots as columns."""
    pair = packaged_pairs()[pair_name]
    depth = max(len(side) for _, bids, asks in rows for side in (bids, asks))
    time = np.array([T0 + int(second * NS_PER_S) for second, _, _ in rows], dtype=np.int64)
    sides = [np.zeros((len(rows), depth), dtype=np.int64) for _ in range(4)]
    for i, (_, bids, asks) in enumerate(rows):
        for j, side in ((0, bids), (2, asks)):
            for k, (price, amount) in enumerate(side):
                sides[j][i, k] = pair.rules.ticks(price, up=False)
                sides[j + 1][i, k] = pair.rules.lots(amount)
    return BookColumns(pair, time, time.copy(), *sides)


def trade_columns(pair_name: str, rows: Sequence[tuple[float, float, float, int]]) -> TradeColumns:
    """Return trades as columns."""
    pair = packaged_pairs()[pair_name]
    time = np.array([T0 + int(row[0] * NS_PER_S) for row in rows], dtype=np.int64)
    ticks = np.array([pair.rules.ticks(row[1], up=False) for row in rows], dtype=np.int64)
    lots = np.array([pair.rules.lots(row[2]) for row in rows], dtype=np.int64)
    return TradeColumns(pair, time, time.copy(), ticks, lots, np.array([row[3] for row in rows], dtype=np.int8))
