"""The bar in progress when a run starts includes the tape's earlier rows. Otherwise a partial bar would look
complete.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botkit.backtesting import session
from botkit.model.clock import NS_PER_S, format_time, parse_time
from botkit.model.columns import CandleColumns, TradeColumns
from botkit.tape.writer import TapeWriter
from tests.backtest_world import run, write_candles, write_config, write_strategy
from tests.sim.venue import BTC, LOT, MINUTE

TELLS = """
pair: Pair
resolution: str = "1h"

def on_start(self):
    self.series = self.subscribe_bars(self.pair, self.resolution, warm_up=2)

def on_bar(self, bar):
    self.skip(f"{bar.time} {bar.open} {bar.high} {bar.low} {bar.close} {bar.volume:.8g}")
"""
START_MS = 1_704_067_200_000  # midnight UTC
T0 = START_MS * 10**6


def bars(result: Any) -> list[str]:
    return list(result.strategies[0].skips)


@pytest.mark.parametrize("slice_rows", [1_000_000, 7])
def test_the_bar_in_progress_at_the_start_is_completed_from_candles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slice_rows: int
) -> None:
    closes = [1_000 + 37 * (i * i % 101) for i in range(400)]
    data = write_candles(tmp_path / "candles.csv", closes, start_ms=START_MS)
    config = write_config(
        tmp_path,
        f"[{{path: {data}, kind: candles, resolution: 1m, pair: btc_usdt}}]",
        plugins=write_strategy(tmp_path, TELLS),
    )
    whole = bars(run(config))
    monkeypatch.setattr(session, "SLICE_ROWS", slice_rows)
    for begins in ("2024-01-01T01:23:00Z", "2024-01-01T01:01:00Z", "2024-01-01T01:59:30Z", "2024-01-01T02:00:00Z"):
        cut = bars(run(config, overrides=[f'backtest.from="{begins}"']))
        # a candle that closes exactly when the run starts is the run's first row
        assert cut == [row for row in whole if int(row.split()[0]) + 60 * MINUTE >= parse_time(begins)], begins


def write_trades(folder: Path, *, candles_before: int = 0, trades_from_s: int = 0) -> None:
    """Write a trade every 7 s for 31 minutes, starting at ``trades_from_s``, and candles for the minutes before those
    trades.
    """
    times = T0 + np.arange(0, 31 * 60, 7, dtype=np.int64) * NS_PER_S
    ticks = 100_00 + (np.arange(len(times), dtype=np.int64) * 7919) % 1000
    lots = LOT * (1 + np.arange(len(times), dtype=np.int64) % 5)
    with TapeWriter(folder, source="a test", recorded="made up", synthetic=True) as writer:
        if candles_before:
            minutes = T0 + np.arange(candles_before, dtype=np.int64) * MINUTE
            rows = [np.flatnonzero((times >= m) & (times < m + MINUTE)) for m in minutes]
            figures = [np.array([f(ticks[r]) for r in rows]) for f in (lambda v: v[0], np.max, np.min, lambda v: v[-1])]
            volume = np.array([lots[r].sum() for r in rows])
            writer.write(CandleColumns(BTC, "1m", minutes + MINUTE, minutes, *figures, volume))
        keep = times >= T0 + trades_from_s * NS_PER_S
        side = np.ones(int(keep.sum()), dtype=np.int8)
        writer.write(TradeColumns(BTC, times[keep], times[keep], ticks[keep], lots[keep], side))


def told(tmp_path: Path, name: str, begins: int, **tape: int) -> list[str]:
    folder = tmp_path / name
    write_trades(folder, **tape)
    config = write_config(
        tmp_path,
        str(folder),
        plugins=write_strategy(tmp_path, LISTENS),
        params='{pair: btc_usdt, resolution: "15m"}',
        backtest=f'  from: "{format_time(begins)}"\n  fees: {{maker: "0", taker: "0"}}\n  slippage: 0\n',
    )
    return bars(run(config))


LISTENS = (
    TELLS
    + """
def on_trade(self, trade):
    pass
"""
)
LISTENS = LISTENS.replace("def on_start(self):\n", "def on_start(self):\n    self.subscribe_trades(self.pair)\n")


def test_the_bar_in_progress_at_the_start_is_completed_from_trades_and_earlier_candles(tmp_path: Path) -> None:
    whole = told(tmp_path, "whole", T0)
    assert len(whole) == 2
    begins = T0 + 8 * MINUTE + 11 * NS_PER_S
    assert told(tmp_path, "cut", begins) == whole
    assert told(tmp_path, "both", begins, candles_before=6, trades_from_s=6 * 60) == whole
