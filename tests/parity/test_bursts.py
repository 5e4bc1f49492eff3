"""A bot that receives trades decides alike in a backtest and over the wire, even if a burst exceeds one list."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.columns import BookColumns, TradeColumns
from botkit.model.pairs import Pair
from botkit.tape.writer import TapeWriter
from tests.parity.worlds import START, both, project

SECONDS = 60
#: more of them: BOTKIT_PARITY_SEEDS=100
SEEDS = range(int(os.environ.get("BOTKIT_PARITY_SEEDS", "4")))
PAIRS = ("btc_usdt", "eth_usdt")
BALANCES = '{usdt: "100000", btc: "2", eth: "20"}'
STRATEGY = "{name: r, use: chaos, params: {pairs: [btc_usdt, eth_usdt]}}"


def write_bursts(folder: Path, pairs: Any) -> None:
    """Books a second apart with jitter, and trades that come singly, by the dozen, or 130 at one moment, some of
    them at the moment of a book."""
    dice = random.Random(3)
    with TapeWriter(folder, source="made up for a test", recorded="by hand") as writer:
        for name in PAIRS:
            books, trades = _rows(dice, pairs[name], 60_000_00 if name == "btc_usdt" else 2_500_00)
            writer.write(books)
            writer.write(trades)


def _rows(dice: random.Random, pair: Pair, middle: int) -> tuple[BookColumns, TradeColumns]:
    unit = 10 ** max(pair.rules.amount_decimals - pair.rules.display_decimals, 0)
    times, bids, asks, trades = [], [], [], []
    for second in range(SECONDS):
        at = START + second * NS_PER_S
        middle += dice.randint(-300, 300)
        times.append(at + dice.randint(0, 90) * NS_PER_MS)
        bids.append([middle - 50 - 40 * i for i in range(5)])
        asks.append([middle + 50 + 40 * i for i in range(5)])
        for _ in range(dice.choice([0, 1, 2])):
            when = times[-1] if dice.random() < 0.3 else at + dice.randint(0, 999) * NS_PER_MS
            for _ in range(dice.choice([1, 1, 1, 12, 60, 130])):
                ticks = middle + dice.randint(-250, 250)
                trades.append((when, ticks, dice.randint(1, 4_000) * unit, dice.choice([1, -1])))
    trades.sort(key=lambda row: row[0])
    received = np.array(times, dtype=np.int64)
    lots = np.array([[dice.randint(1, 30_000) * unit for _ in range(5)] for _ in range(2 * SECONDS)], dtype=np.int64)
    stamps = received - 5 * NS_PER_MS
    books = BookColumns(pair, received, stamps, np.array(bids), lots[:SECONDS], np.array(asks), lots[SECONDS:])
    when, ticks, amounts, sides = (np.array(column, dtype=np.int64) for column in zip(*trades, strict=True))
    return books, TradeColumns(pair, when, when // NS_PER_S * NS_PER_S, ticks, amounts, sides.astype(np.int8))


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bursts")
    (folder / "tape").mkdir()
    write_bursts(folder / "tape", project(folder, STRATEGY, SECONDS, balances=BALANCES).pairs)
    return folder


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_trade_of_a_burst_is_delivered(tape: Path, seed: int) -> None:
    options: dict[str, Any] = {"seed": seed, "balances": BALANCES}
    if seed % 2:
        options["latency"] = ", model: lognormal, sigma: 0.6"
    decisions, _ = await both(project(tape, STRATEGY, SECONDS, **options))
    assert len(decisions) > 500


async def test_orders_that_arrive_at_once_meet_the_trades_after_the_book_they_react_to(tape: Path) -> None:
    more: dict[str, Any] = {"order_ms": 0, "balances": BALANCES}
    decisions, _ = await both(project(tape, STRATEGY, 20, seed=5, **more))
    assert len(decisions) > 100
