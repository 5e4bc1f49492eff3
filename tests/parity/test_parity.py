"""A backtest and the same bot over real HTTP and WebSocket decide the same, line by line, on the same tape."""

from __future__ import annotations

import json
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botkit.assembly import BacktestParts, Project
from botkit.assembly.live import connect
from botkit.assembly.lockstep import lockstep_engine
from botkit.backtest.session import run_backtest
from botkit.config.secrets import Account
from botkit.emulator import Emulator, EmulatorAccount, EmulatorOptions
from botkit.engine.decisions import DecisionLog
from botkit.live.lockstep import HeldClock, Lockstep
from botkit.model.clock import NS_PER_MINUTE, NS_PER_S, format_time
from botkit.tape.synthetic import SyntheticMarket
from botkit.tape.writer import TapeWriter

ROOT = Path(__file__).parents[2]
START = 1_740_000_000 * NS_PER_S // NS_PER_MINUTE * NS_PER_MINUTE
UNIT = 10**8
_RUNS = count()


def write_tape(folder: Path, pairs: Any, minutes: int, seed: int = 11) -> float:
    """So many minutes of books and trades of the synthetic market, all received from START on; the price of btc_usdt
    before the first."""
    market = SyntheticMarket(pairs, seed=seed, start=START - 60 * NS_PER_MINUTE)
    close = 0.0
    for candles in market.history(60):
        close = next(c.pair.rules.price(int(c.close[-1])) for c in candles if c.pair == "btc_usdt")
    end = START + minutes * NS_PER_MINUTE
    with TapeWriter(folder, source="a synthetic market for a test", recorded="made up", synthetic=True) as writer:
        for minute in range(minutes):
            for columns in market.advance(START + (minute + 1) * NS_PER_MINUTE):
                # what is received later would be part of the emulator's market, and not of the backtest's span
                columns = columns.rows(0, int(np.searchsorted(columns.received, end)))
                if len(columns):
                    writer.write(columns)
    return close


CONFIG = """
name: parity
plugins: [{strategies}]
strategies:
  - {strategy}
backtest:
  data: tape{minutes}
  from: "{start}"
  to: "{end}"
  balances: {{usdt: "100000", btc: "0.05", twd: "100000", eth: "0.05"}}
  fees: {{rank: 0}}
  slippage: "0"
  latency: {{order_ms: {order_ms}, answer_ms: 70}}
  fills: {{model: queue}}
"""
SMA = "{name: s, use: sma_cross, params: {pair: btc_usdt, resolution: 1m, fast: 2, slow: 4, share: 0.3}}"
MAKER = (
    "{name: m, use: market_maker, params: {pair: btc_usdt, amount: 0.02, spread_bps: 1.5, skew_bps: 3, inventory: 0.3}}"
)


def project(folder: Path, strategy: str, minutes: int, order_ms: int) -> Project:
    path = folder / "parity.yaml"
    path.write_text(
        CONFIG.format(
            strategies=f"{ROOT / 'strategies'}, {ROOT / 'tests/benchmarks/strategies'}",
            strategy=strategy,
            minutes=minutes,
            start=format_time(START),
            end=format_time(START + minutes * NS_PER_MINUTE),
            order_ms=order_ms,
        )
    )
    return Project.load(path)


def backtested(found: Project, folder: Path) -> list[str]:
    path = folder / "backtest.jsonl"
    run_backtest(BacktestParts(found), decisions_to=path, readings=False)
    return path.read_text().splitlines()


async def over_the_wire(found: Project, folder: Path, minutes: int) -> tuple[list[str], Lockstep]:
    section = found.config.backtest
    # a key's nonces only grow within a process, so a second run from the same start needs a key of its own
    account = EmulatorAccount(email="p@arity", key=f"parity-{next(_RUNS)}", secret="parity-secret")
    options = EmulatorOptions(
        accounts=(account,),
        balances={"usdt": 100_000 * UNIT, "btc": UNIT // 20, "twd": 100_000 * UNIT, "eth": UNIT // 20},
        market=folder / f"tape{minutes}",
        lockstep=True,
        start=START - 2,
        seed=found.config.seed,
        fees=found.fee_model(section.fees, "backtest.fees"),
        latency=found.latency_model(section.latency, "backtest.latency", found.config.seed),
        queue=found.queue_model(section.fills, "backtest.fills"),
    )
    lines: list[bytes] = []
    decisions = DecisionLog(lines.append)
    async with Emulator(found.facts, options) as emulator:
        clock = HeldClock(START - 1)
        engine = lockstep_engine(found, decisions, START)
        key = Account(email=account.email, key=account.key, secret=account.secret)
        adapter: Any = connect(found, key, emulator.rest, emulator.ws, clock)
        lockstep = Lockstep(engine, adapter, emulator.rest.removesuffix("/v3"), clock)
        await lockstep.open()
        try:
            await lockstep.run(START, START + minutes * NS_PER_MINUTE)
        finally:
            await lockstep.close()
        emulator.venue.kernel.check()
    engine.portfolio.check()
    decisions.flush()
    return b"".join(lines).decode().splitlines(), lockstep


def assert_equal(backtest: list[str], wire: list[str]) -> None:
    for number, (a, b) in enumerate(zip(backtest, wire, strict=False), 1):
        assert a == b, f"line {number}:\nbacktest {a}\nwire     {b}"
    assert len(backtest) == len(wire)


#: strategy -> (its configuration, minutes of the tape)
CASES: dict[str, tuple[str, int]] = {
    "sma_cross": (SMA, 12),
    "market_maker": (MAKER, 2),
    "grid": (
        "{{name: g, use: grid, params: {{pair: btc_usdt, low: {low}, high: {high}, cells: 16, amount: 0.005}}}}",
        3,
    ),
    "rsi_reversion": (
        "{name: r, use: rsi_reversion, params: {pair: btc_usdt, resolution: 1m, length: 3, buy_above: 45, "
        "sell_above: 50, spend: 20000}}",
        12,
    ),
    "dca": ('{name: d, use: dca, params: {pair: btc_usdt, spend: 1000, cron: "* * * * *"}}', 3),
    "rebalance": (
        "{name: b, use: rebalance, params: {pairs: [btc_twd, eth_twd], weights: [0.3, 0.3], threshold: 0, "
        'cron: "* * * * *", resolution: 1m}}',
        3,
    ),
    # ten orders a second are wanted, and of single creates alone two a second may leave: four windows of waiting
    "greedy": (
        "{name: y, use: greedy, params: {pairs: [btc_twd, eth_twd, usdt_twd, btc_usdt], a_second: 10, most: 700}}\n"
        "limits: {create_order: 120, batching: false}",
        4,
    ),
    "triangular": (
        "{name: t, use: triangular, params: {pairs: [btc_twd, btc_usdt, usdt_twd], spend: 5000, "
        "least_profit_bps: -500, pause_s: 20}}",
        2,
    ),
}


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A tape of each length, since an emulator's market goes on after the end of a backtest where there is more."""
    folder = tmp_path_factory.mktemp("parity")
    for minutes in {minutes for _, minutes in CASES.values()}:
        (folder / f"tape{minutes}").mkdir()
        found = project(folder, SMA, minutes, 120)
        price = write_tape(folder / f"tape{minutes}", found.pairs, minutes)
    return folder, price


@pytest.mark.parametrize("case", list(CASES))
async def test_a_backtest_decides_as_the_bot_over_the_wire(tapes: tuple[Path, float], case: str) -> None:
    folder, price = tapes
    strategy, minutes = CASES[case]
    if case == "grid":
        # narrower than a round trip of fees would be refused; nearly every line is passed all the same
        strategy = strategy.format(low=round(price * 0.96), high=round(price * 1.04))
    backtest = backtested(project(folder, strategy, minutes, 120), folder)
    wire, lockstep = await over_the_wire(project(folder, strategy, minutes, 120), folder, minutes)
    assert_equal(backtest, wire)
    kinds = Counter(json.loads(line)["k"] for line in wire)
    assert lockstep.answers == kinds["answer"] == kinds["request"]
    if case == "greedy":
        assert_throttled(wire)
    elif case not in ("grid", "triangular"):  # these rest far away, or find nothing that pays, in so short a time
        assert kinds["fill"] >= (20 if case == "market_maker" else 1), kinds
    assert lockstep.frames > 100


def assert_throttled(lines: list[str]) -> None:
    """Every window was as full as it may be and no fuller, and nothing was refused for that."""
    rows = [json.loads(line) for line in lines]
    sent = [row["t"] for row in rows if row["k"] == "request" and row["endpoint"] == "create_order"]
    assert sum(row["k"] == "intent" for row in rows) == 700
    assert len(sent) > 3 * 110
    for at in sent:
        assert sum(at <= other < at + NS_PER_MINUTE for other in sent) <= 120
    assert {row["status"] for row in rows if row["k"] == "answer"} == {200}


async def test_a_throttled_backtest_reports_its_waits(tapes: tuple[Path, float]) -> None:
    folder, _ = tapes
    strategy, minutes = CASES["greedy"]
    result = run_backtest(BacktestParts(project(folder, strategy, minutes, 120)), readings=False)
    (use,) = [row for row in result.router.endpoints if row.endpoint == "create_order"]
    assert use.delayed > 300
    assert use.peak_use is not None
    assert 0.95 < use.peak_use <= 1
    assert use.wait_max_ms is not None
    assert use.wait_max_ms > 60_000
    assert result.router.refused_by_exchange == 0


async def test_a_millisecond_of_latency_changes_the_decisions(tapes: tuple[Path, float]) -> None:
    folder, _ = tapes
    one = backtested(project(folder, MAKER, 2, 120), folder)
    other = backtested(project(folder, MAKER, 2, 121), folder)
    assert one != other
