"""A backtest and the same bot over real HTTP and WebSocket decide the same, line by line, on the same tape."""

from __future__ import annotations

import json
from collections import Counter
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


def write_tape(folder: Path, pairs: Any, minutes: int, seed: int = 11) -> None:
    """So many minutes of books and trades of the synthetic market, all received from START on."""
    market = SyntheticMarket(pairs, seed=seed, start=START - 60 * NS_PER_MINUTE)
    for _ in market.history(60):
        pass
    end = START + minutes * NS_PER_MINUTE
    with TapeWriter(folder, source="a synthetic market for a test", recorded="made up", synthetic=True) as writer:
        for minute in range(minutes):
            for columns in market.advance(START + (minute + 1) * NS_PER_MINUTE):
                # what is received later would be part of the emulator's market, and not of the backtest's span
                columns = columns.rows(0, int(np.searchsorted(columns.received, end)))
                if columns.pair == "btc_usdt" and len(columns):
                    writer.write(columns)


CONFIG = """
name: parity
plugins: [{strategies}]
strategies:
  - {strategy}
backtest:
  data: tape
  from: "{start}"
  to: "{end}"
  balances: {{usdt: "100000", btc: "0.5"}}
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
            strategies=ROOT / "strategies",
            strategy=strategy,
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
    account = EmulatorAccount(email="p@arity", key="parity-key", secret="parity-secret")
    options = EmulatorOptions(
        accounts=(account,),
        balances={"usdt": 100_000 * UNIT, "btc": UNIT // 2},
        market=folder / "tape",
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


@pytest.mark.parametrize(("strategy", "minutes"), [(SMA, 25), (MAKER, 6)])
async def test_a_backtest_decides_as_the_bot_over_the_wire(tmp_path: Path, strategy: str, minutes: int) -> None:
    found = project(tmp_path, SMA, minutes, 120)
    write_tape(tmp_path / "tape", found.pairs, minutes)
    found = project(tmp_path, strategy, minutes, 120)
    backtest = backtested(found, tmp_path)
    wire, lockstep = await over_the_wire(project(tmp_path, strategy, minutes, 120), tmp_path, minutes)
    assert_equal(backtest, wire)
    kinds = Counter(json.loads(line)["k"] for line in wire)
    print(kinds, lockstep.frames, lockstep.answers)
    assert kinds["fill"] >= 3, kinds
    assert kinds["request"] >= 3, kinds
    assert lockstep.frames > 100


async def test_a_millisecond_of_latency_changes_the_decisions(tmp_path: Path) -> None:
    found = project(tmp_path, MAKER, 3, 120)
    write_tape(tmp_path / "tape", found.pairs, 3)
    one = backtested(project(tmp_path, MAKER, 3, 120), tmp_path)
    other = backtested(project(tmp_path, MAKER, 3, 121), tmp_path)
    assert one != other
