"""Measures book throughput: ``python tests/benchmarks/backtest_quotes.py [BOOKS [RUNS]]``.

Runs on seeded books one second apart, with four trades between consecutive books. The run exercises the full pipeline:
tape, engine, portfolio, router, simulated exchange, equity and report. The first strategy replaces a bid and an ask on
every book, with a latency of 50 ms to the exchange. The other two strategies place no orders: one reads the best prices
of every book, the other ignores prices.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks import market_data
from tests.benchmarks.measured_run import ROOT, print_machine, report, run_in_child

GOAL = 100_000
TRADES_A_BOOK = 4

CONFIG = """
name: bench-quotes
exchange: bitopro
plugins: [{strategies}]
strategies:
  - {{name: bench, use: {use}, capital: {{usdt: "10000000", btc: "100"}}, params: {{pair: btc_usdt}}}}
backtest:
  data: {{path: {tape}, pair: btc_usdt}}
  balances: {{usdt: "10000000", btc: "100"}}
  fees: {{maker: "0.00005", taker: "0.00005"}}
  latency: {{order_ms: 50, answer_ms: 50}}
"""


def main(books: int = 50_000, runs: int = 1) -> None:
    """Create the tape, run the strategies several times, and print the results."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        market_data.write_tape(place / "tape", *market_data.books_and_trades(books, TRADES_A_BOOK))
        print_machine()
        for use, title in (
            ("quotes", "a bid and an ask replaced at every book"),
            ("best_prices", "the best prices of every book read"),
            ("nothing", "nothing done at every book"),
        ):
            config = place / f"{use}.yaml"
            strategies = ROOT / "tests" / "benchmarks" / "strategies"
            config.write_text(CONFIG.format(strategies=strategies, tape=place / "tape", use=use), encoding="utf-8")
            figures = [run_in_child(config, place / f"out-{use}") for _ in range(runs)]
            report(f"{title}, {books:,} books and {TRADES_A_BOOK * books:,} trades", figures, GOAL)
            run_s = min(figure["run_cpu_s"] for figure in figures)
            print(f"  {1e6 * run_s / books:,.1f} us a book", end="")
            orders = figures[0]["orders"]
            print(f", {1e6 * run_s / orders:,.1f} us an order" if orders else "", flush=True)


if __name__ == "__main__":
    main(*(int(argument.replace("_", "")) for argument in sys.argv[1:3]))
