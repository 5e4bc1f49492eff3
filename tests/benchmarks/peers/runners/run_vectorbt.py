"""Runs W1 or W4 with vectorbt: `python run_vectorbt.py W1|W4 ARRAYS`. The last line of output contains the results as
JSON.
"""

import json
import sys
import time
from importlib.metadata import version

import numpy as np
import pandas as pd
import vectorbt as vbt

FAST, SLOW = range(5, 25), range(30, 80, 5)


def cross(opens, closes, pairs):
    """Simulate one column for each (fast, slow) pair; an order fills at the next candle's open."""
    means = {length: closes.rolling(length).mean().to_numpy() for length in sorted({n for pair in pairs for n in pair})}
    apart = np.column_stack([means[fast] - means[slow] for fast, slow in pairs])
    before, now = apart[:-2], apart[1:-1]
    entries, exits = np.zeros(apart.shape, bool), np.zeros(apart.shape, bool)
    with np.errstate(invalid="ignore"):
        entries[2:] = (before <= 0) & (now > 0)
        exits[2:] = (before >= 0) & (now < 0)
    return vbt.Portfolio.from_signals(
        closes, entries, exits, price=opens.to_numpy()[:, None], size=1.0, size_type="amount", fees=0.00005,
        init_cash=10_000_000, freq="1min",
    )  # fmt: skip


def main(workload, arrays):
    """Run the workload."""
    with np.load(arrays) as data:
        index = pd.to_datetime(data["time"])
        opens, closes = pd.Series(data["open"], index), pd.Series(data["close"], index)
    pairs = [(10, 30)] if workload == "W1" else [(fast, slow) for fast in FAST for slow in SLOW]
    found = {"version": version("vectorbt")}
    for name in ("run", "warm"):
        wall, cpu = time.perf_counter(), time.process_time()
        portfolio = cross(opens, closes, pairs)
        finals = np.atleast_1d(portfolio.final_value())
        _ = np.atleast_1d(portfolio.sharpe_ratio()), np.atleast_1d(portfolio.max_drawdown())
        found[f"{name}_s"], found[f"{name}_cpu_s"] = time.perf_counter() - wall, time.process_time() - cpu
        if workload == "W1":
            break
    found["fills"] = int(portfolio.orders.count().sum())
    found["final_equity"] = float(finals.max())
    print(json.dumps(found))


main(*sys.argv[1:3])
