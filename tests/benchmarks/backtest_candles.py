"""Measures candle throughput: ``python tests/benchmarks/backtest_candles.py [ROWS]``.

Runs the bundled sma_cross with its default windows of 10 and 30 bars on seeded one-minute candles. The run exercises
the full pipeline: tape, engine, portfolio, risk rules, router, simulated exchange, equity and report. Goal: 500,000
candles/s with 39,000 fills.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks import market_data
from tests.benchmarks.measured_run import ROOT, print_machine, report, run_in_child

GOAL = 500_000

# Fees and slippage are low, because 39,000 fills at 0.2 % would use up the trading capital. Computing low fees takes
# just as long as computing high ones.
CONFIG = """
name: bench-candles
exchange: bitopro
plugins: [{strategies}]
strategies:
  - {{name: sma, use: sma_cross, params: {{pair: btc_usdt, resolution: 1m, fast: 10, slow: 30, share: 1.0}}}}
risk: {{max_open_orders: 50, max_orders_per_second: 10}}
backtest:
  data: {{path: {tape}, pair: btc_usdt}}
  balances: {{usdt: "10000000"}}
  fees: {{maker: "0.00005", taker: "0.00005"}}
  slippage: "0.00001"
  latency: {{order_ms: 100, answer_ms: 100}}
"""


def main(rows: int = 1_000_000, runs: int = 3) -> None:
    """Create the tape, run the strategy several times, and print the results."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        market_data.write_tape(place / "tape", market_data.candles(rows))
        config = place / "bench.yaml"
        config.write_text(CONFIG.format(strategies=ROOT / "strategies", tape=place / "tape"), encoding="utf-8")
        print_machine()
        figures = [run_in_child(config, place / "out") for _ in range(runs)]
        report(f"sma_cross on {rows:,} candles", figures, GOAL)


if __name__ == "__main__":
    main(*(int(argument.replace("_", "")) for argument in sys.argv[1:3]))
