"""A small candle market, and strategies that trade frequently on this market."""

from __future__ import annotations

import math
from pathlib import Path

from tests.backtest_world import write_candles, write_config, write_strategy

CROSS = """
pair: Pair
fast: int = 5
slow: int = 20
spend: float = 1000.0

def on_start(self):
    bars = self.subscribe_bars(self.pair, "1m")
    self.quick, self.calm = bars.attach(SMA(self.fast)), bars.attach(SMA(self.slow))

def on_bar(self, bar):
    if self.quick.crossed_above(self.calm):
        self.market_buy(self.pair, spend=self.spend)
    elif self.quick.crossed_below(self.calm) and self.position(self.pair).sellable:
        self.close(self.pair)
"""


def waves(rows: int, *, period: int = 60, height: float = 400.0) -> list[float]:
    """Return closes that oscillate around a rising trend and never repeat."""
    return [
        60_000 + row * 0.5 + height * math.sin(row * 2 * math.pi / period) + 40 * math.sin(row * 1.7)
        for row in range(rows)
    ]


def eight_days() -> list[float]:
    """Return closes of eight days of one-minute candles, with waves of half a day."""
    return waves(8 * 1440, period=700, height=900.0)


def write_crossing(folder: Path, closes: list[float] | None = None) -> Path:
    """Write the configuration for a strategy that trades moving average crossovers on one-minute candles, by default
    3,000 of them: two days and two hours.
    """
    data = write_candles(folder / "candles.csv", waves(3_000) if closes is None else closes)
    plugins = write_strategy(folder, CROSS)
    return write_config(
        folder, f"[{{path: {data}, pair: btc_usdt, kind: candles}}]", plugins=plugins, balances='{usdt: "10000"}'
    )
