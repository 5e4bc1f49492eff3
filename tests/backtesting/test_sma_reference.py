"""The bundled sma_cross, compared with an independent calculation that does not use botkit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.backtest_world import ROOT, SHARED, run, write_config

CANDLES = SHARED / "btc_usdt-2022-01.ohlc-1m.csv"


def reference(data: pd.DataFrame, fast: int, slow: int, fee: float, cash: float) -> tuple[int, float]:
    """Compute (fills, final equity). Market orders fill at the next open and always trade the entire position."""
    fast_line, slow_line = data.close.rolling(fast).mean(), data.close.rolling(slow).mean()
    coins, fills = 0.0, 0
    for i in range(slow, len(data) - 1):  # no trade happens on the first bar for which both averages exist
        above, was_above = fast_line[i] > slow_line[i], fast_line[i - 1] > slow_line[i - 1]
        below, was_below = fast_line[i] < slow_line[i], fast_line[i - 1] < slow_line[i - 1]
        price = data.open[i + 1]
        if above and not was_above and not coins:
            coins, cash, fills = cash / price * (1 - fee), 0.0, fills + 1
        elif below and not was_below and coins:
            coins, cash, fills = 0.0, coins * price * (1 - fee), fills + 1
    return fills, cash + coins * data.close.iloc[-1]


def bundled_month(folder: Path) -> Path:
    """Export January of the bundled tape as a CSV file."""
    data = pd.read_parquet(ROOT / "backtest_data/bitopro/btc_usdt/candles-1m/2025-01.parquet")
    rows = {"timestamp": data.time // 10**6} | {name: data[name] / 100 for name in ("open", "high", "low", "close")}
    path = folder / "candles.csv"
    pd.DataFrame(rows | {"volume": data.lots / 10_000}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    "recorded",
    [
        pytest.param(False, id="bundled"),
        pytest.param(
            True, id="recorded", marks=pytest.mark.skipif(not CANDLES.exists(), reason=f"{CANDLES} is not there")
        ),
    ],
)
def test_sma_cross_makes_the_same_trades_and_profit_as_twenty_lines_of_pandas(recorded: bool, tmp_path: Path) -> None:
    path = CANDLES if recorded else bundled_month(tmp_path)
    fills, equity = reference(pd.read_csv(path), 10, 30, 0.002, 1_000_000.0)
    config = write_config(
        tmp_path,
        f"{{path: {path}, pair: btc_usdt, kind: candles, resolution: 1m}}",
        plugins=ROOT / "strategies",
        use="sma_cross",
        params="{pair: btc_usdt, resolution: 1m, fast: 10, slow: 30, share: 1.0}",
        balances='{usdt: "1000000"}',
        backtest='  fees: {maker: "0.002", taker: "0.002"}\n  slippage: "0"\n  latency: {order_ms: 0, answer_ms: 0}\n',
    )
    result = run(config)
    assert fills > 1_000
    assert result.summary["fills"] == fills
    assert result.summary["final_equity"] == pytest.approx(equity, rel=1e-5)
    assert not result.summary["refused"]
