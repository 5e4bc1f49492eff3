"""A short tape of the synthetic market, and a bot that runs on this tape both in a backtest and in lockstep over real
sockets.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from botkit.assembly.backtest import backtest_parts
from botkit.assembly.lockstep import BACKTEST_DECISIONS, DECISIONS, LockstepResult, compare_in_lockstep
from botkit.backtesting.session import run_backtest
from botkit.model.clock import NS_PER_MINUTE, NS_PER_S, format_time
from botkit.model.columns import BookColumns, MarketColumns
from botkit.project.project import Project
from botkit.tape.synthetic import SyntheticMarket
from botkit.tape.writer import TapeWriter

ROOT = Path(__file__).parents[2]
START = 1_740_000_000 * NS_PER_S // NS_PER_MINUTE * NS_PER_MINUTE
MINUTES = 12
#: btc_usdt has no bids during these seconds of the tape
BIDLESS = (70, 100)
#: usdt_twd is one percent above the rate implied by the btc pairs during these seconds
OUT_OF_LINE = (20, 60)

CONFIG = """
name: parity
seed: {seed}
plugins: [{plugins}]
strategies:
  - {strategy}
backtest:
  data: tape
  from: "{start}"
  to: "{end}"
  balances: {balances}
  fees: {fees}
  latency: {{order_ms: {order_ms}, answer_ms: 70{latency}}}
  fills: {{model: queue}}
{more}
"""


def write_tape(folder: Path, pairs: Any) -> float:
    """Write `MINUTES` minutes of books and trades from the synthetic market, received from START on. Return the last
    btc_usdt price before START.
    """
    market = SyntheticMarket(pairs, seed=11, start=START - 60 * NS_PER_MINUTE)
    close = 0.0
    for candles in market.history(60):
        close = next(c.pair.rules.price(int(c.close[-1])) for c in candles if c.pair == "btc_usdt")
    with TapeWriter(folder, source="a synthetic market for a test", recorded="made up", synthetic=True) as writer:
        for minute in range(MINUTES):
            for columns in market.advance(START + (minute + 1) * NS_PER_MINUTE):
                writer.write(_bent(columns))
    return close


def _bent(columns: MarketColumns) -> MarketColumns:
    """Extend the rows with events that the synthetic market never produces."""
    if not isinstance(columns, BookColumns):
        return columns
    since_s = (columns.received - START) / NS_PER_S

    def within(span: tuple[int, int]) -> Any:
        return ((since_s >= span[0]) & (since_s < span[1])).astype(np.int64)[:, None]

    if columns.pair == "btc_usdt":
        keep = 1 - within(BIDLESS)
        return msgspec.structs.replace(columns, bid_ticks=columns.bid_ticks * keep, bid_lots=columns.bid_lots * keep)
    if columns.pair == "usdt_twd":
        dearer = 100 + within(OUT_OF_LINE)
        bids, asks = columns.bid_ticks * dearer // 100, columns.ask_ticks * dearer // 100
        return msgspec.structs.replace(columns, bid_ticks=bids, ask_ticks=asks)
    return columns


def project(
    folder: Path,
    strategy: str,
    seconds: int,
    *,
    first_s: int = 0,
    order_ms: int = 120,
    latency: str = "",
    seed: int = 0,
    fees: str = "{rank: 0}",
    more: str = "",
    balances: str = '{usdt: "100000", btc: "0.05", twd: "100000", eth: "0.05"}',
    capital: str | None = None,
) -> Project:
    """Create a bot that runs over ``seconds`` of the tape in ``folder``, starting at ``first_s``.

    ``capital`` is the capital of the last strategy. By default, this is the entire account.
    """
    path = folder / "parity.yaml"
    path.write_text(
        CONFIG.format(
            plugins=", ".join(
                str(ROOT / part) for part in ("strategies", "tests/benchmarks/strategies", "tests/parity/strategies")
            ),
            strategy=f"{strategy.rstrip().removesuffix('}')}, capital: {capital or balances}}}",
            seed=seed,
            start=format_time(START + first_s * NS_PER_S),
            end=format_time(START + (first_s + seconds) * NS_PER_S),
            order_ms=order_ms,
            latency=latency,
            fees=fees,
            balances=balances,
            more=more,
        )
    )
    return Project.load(path)


def backtested(found: Project) -> list[str]:
    """Run a backtest and return its decisions."""
    path = found.loaded.path.with_name("backtest.jsonl")
    run_backtest(backtest_parts(found), decisions_to=path, readings=False)
    return path.read_text().splitlines()


async def both(found: Project) -> tuple[list[str], LockstepResult]:
    """Run a bot in a backtest and over HTTP and WebSocket, and check that the two runs make identical decisions line by
    line. Return the decisions.
    """
    folder = found.loaded.path.parent / "lockstep"
    result, difference = await compare_in_lockstep(found, folder)
    assert difference is None, (
        f"line {difference.line}:\nbacktest {difference.recorded}\nwire     {difference.replayed}"
    )
    assert (folder / DECISIONS).read_bytes() == (folder / BACKTEST_DECISIONS).read_bytes()
    return (folder / DECISIONS).read_text().splitlines(), result


def counted(lines: list[str]) -> Counter[str]:
    """Count the events in a run by name: the lines of each kind, and the events that the test requires."""
    rows = [json.loads(line) for line in lines]
    found: Counter[str] = Counter(row["k"] for row in rows)
    asked: dict[int, dict[str, Any]] = {}
    sent: set[int] = set()
    for row in rows:
        kind = row["k"]
        if kind == "intent":
            asked[row["c"]] = row
        elif kind == "fill":
            left = asked[row["c"]]["lots"] - row["executed"]
            found["partial fill"] += left > 0 and asked[row["c"]]["spend"] == 0
        elif kind == "state":
            found[f"state {row['state']}"] += 1
        elif kind == "answer" and row["outcome"] != "ok":
            found[f"answer {row['outcome']}"] += 1
        elif kind == "request" and row["endpoint"] in ("create_order", "create_batch"):
            # an order that was sent later than it was placed had to wait for a slot
            found["throttled"] += sum(row["t"] > asked[c]["t"] for c in row["c"] if c not in sent)
            sent.update(row["c"])
        if kind == "request":
            found[f"request {row['endpoint']}"] += 1
    return found
