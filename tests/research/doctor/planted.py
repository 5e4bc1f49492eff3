"""Generates markets with known properties, and strategies that are good or bad in known ways."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

from tests.backtest_world import write_config, write_strategy

DAY_MS = 86_400_000
START_MS = 1_609_459_200_000  # 2021-01-01
#: daily volatility
SIGMA = 0.03

#: long while the last day rose; in a market with momentum this has a Sharpe ratio of about 3
FOLLOW = """
pair: Pair

def on_start(self):
    self.bars = self.subscribe_bars(self.pair, "1d")

def on_bar(self, bar):
    up = bar.close > bar.open
    if up and self.position(self.pair).is_flat:
        self.market_buy(self.pair, spend=self.balance(self.pair.quote).available * 0.95)
    elif not up and self.position(self.pair).sellable:
        self.close(self.pair)
"""

#: the same, by tomorrow's bar, which it finds in the tape's file
PEEKING = """
pair: Pair
tape: str = ""

def on_start(self):
    self.subscribe_bars(self.pair, "1d")
    lines = Path(self.tape).read_text().splitlines()[1:]
    self.up = {int(line.split(",")[0]): float(line.split(",")[4]) > float(line.split(",")[1]) for line in lines}

def on_bar(self, bar):
    up = self.up.get(bar.time // 1_000_000 + 86_400_000, False)
    if up and self.position(self.pair).is_flat:
        self.market_buy(self.pair, spend=self.balance(self.pair.quote).available * 0.95)
    elif not up and self.position(self.pair).sellable:
        self.close(self.pair)
"""

#: the same, found in memory: the view that a series hands out belongs to an array of the whole tape
SEEING = """
pair: Pair

def on_start(self):
    import gc

    from botkit.model.columns import CandleColumns

    self.subscribe_bars(self.pair, "1d")
    alive = [thing for thing in gc.get_objects() if isinstance(thing, CandleColumns)]
    # while the doctor looks, the tape as recorded is alive beside the one that it changed
    self.whole = max(alive, key=lambda rows: (len(rows), rows.close.flags.writeable))

def on_bar(self, bar):
    rows = self.whole
    at = int(rows.time.searchsorted(bar.time)) + 1
    up = at < len(rows) and rows.close[at] > rows.open[at]
    if up and self.position(self.pair).is_flat:
        self.market_buy(self.pair, spend=self.balance(self.pair.quote).available * 0.95)
    elif not up and self.position(self.pair).sellable:
        self.close(self.pair)
"""

#: buys before the one day on which the price trebles, and trades at random with little money otherwise
LUCKY = """
pair: Pair
seed: int = 0

def on_start(self):
    self.subscribe_bars(self.pair, "1d")
    self.days = 0

def on_bar(self, bar):
    self.days += 1
    whole = 300 <= self.days < 310
    if self.position(self.pair).is_flat:
        if whole or self.random.random() < 0.5:
            share = 0.95 if whole else 0.02
            self.market_buy(self.pair, spend=self.balance(self.pair.quote).available * share)
    elif not whole and self.position(self.pair).sellable:
        self.close(self.pair)
"""

#: trades every day, whatever happens
BUSY = """
pair: Pair

def on_start(self):
    self.subscribe_bars(self.pair, "1d")

def on_bar(self, bar):
    if self.position(self.pair).is_flat:
        self.market_buy(self.pair, spend=self.balance(self.pair.quote).available * 0.95)
    else:
        self.close(self.pair)
"""


def closes(
    seed: int, days: int, *, momentum: float = 0.0, treble_on: int | None = None, drift: float = 0.0
) -> list[float]:
    """Return daily closes; ``momentum`` is the fraction of a day's move that the next day repeats."""
    random = Random(seed)
    price, last, found = 1_000_000.0, 0.0, []
    for day in range(days):
        last = momentum * last + random.gauss(drift, SIGMA)
        price *= math.exp(last + (math.log(3) if day == treble_on else 0.0))
        found.append(price)
    return found


def planted(
    folder: Path,
    body: str,
    prices: list[float],
    *,
    params: str = "",
    taker: str = "0.0005",
    slippage: str = "0.0002",
    seed: int = 0,
) -> Path:
    """Write a configuration of a strategy on daily candles with these closes."""
    folder.mkdir(parents=True, exist_ok=True)
    tape = folder / "candles.csv"
    rows, before = ["timestamp,open,high,low,close,volume"], prices[0]
    for day, close in enumerate(prices):
        high, low = max(before, close) * 1.001, min(before, close) * 0.999
        rows.append(f"{START_MS + DAY_MS * day},{before:.0f},{high:.0f},{low:.0f},{close:.0f},100000")
        before = close
    tape.write_text("\n".join(rows) + "\n")
    return write_config(
        folder,
        f"[{{path: {tape}, pair: btc_twd, kind: candles, resolution: 1d}}]",
        plugins=write_strategy(folder, body),
        params=f"{{pair: btc_twd{params.replace('TAPE', str(tape))}}}",
        balances='{twd: "10000000"}',
        backtest=f'  fees: {{maker: "{taker}", taker: "{taker}"}}\n  slippage: "{slippage}"\n'
        "  latency: {order_ms: 100, answer_ms: 100}\n",
        more=f"timezone: UTC\nseed: {seed}\n",
    )
