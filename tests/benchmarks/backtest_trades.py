"""Measures trade throughput: ``python tests/benchmarks/backtest_trades.py [ROWS [RUNS]]``.

The strategy updates two averages in a plain-Python ``on_trade`` on seeded trades. The run exercises the full pipeline:
tape, engine, portfolio, risk rules, router, simulated exchange, equity and report. A second strategy also updates two
averages, and has a limit order resting for half of the tape. Goal: 1,000,000 trades/s with 1,000 fills; 10,000 fills
with resting orders.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks import market_data
from tests.benchmarks.measured_run import ROOT, print_machine, report, run_in_child

GOAL = 1_000_000

CONFIG = """
name: bench-trades
exchange: bitopro
plugins: [{strategies}]
strategies:
  - {{name: bench, use: {use}, params: {{pair: btc_usdt}}, capital: {{usdt: "10000000", btc: "1"}}}}
risk: {{max_open_orders: 50, max_orders_per_second: 10}}
backtest:
  data: {{path: {tape}, pair: btc_usdt}}
  fees: {{maker: "0.00005", taker: "0.00005"}}
  slippage: "0.00001"
  latency: {{order_ms: 100, answer_ms: 100}}
"""


def main(rows: int = 5_000_000, runs: int = 3) -> None:
    """Create the tape, run both strategies several times, and print the results."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        market_data.write_tape(place / "tape", market_data.trades(rows))
        print_machine()
        for use, title in (
            ("two_emas", "two averages"),
            ("resting_emas", "two averages, an order rests half the time"),
        ):
            config = place / f"{use}.yaml"
            strategies = ROOT / "tests" / "benchmarks" / "strategies"
            config.write_text(CONFIG.format(strategies=strategies, tape=place / "tape", use=use), encoding="utf-8")
            figures = [run_in_child(config, place / f"out-{use}") for _ in range(runs)]
            report(f"{title} on {rows:,} trades", figures, GOAL)


if __name__ == "__main__":
    main(*(int(argument.replace("_", "")) for argument in sys.argv[1:3]))
