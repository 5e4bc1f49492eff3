"""Runs W1 with backtesting.py: `python run_backtesting.py W1 ARRAYS`. The last line of output contains the results as
JSON.
"""

import json
import sys
import time
from importlib.metadata import version

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy


def mean(values, length):
    """Return the moving average."""
    return pd.Series(values).rolling(length).mean()


class Cross(Strategy):
    """Holds one coin while a fast moving average is above a slow one."""

    def init(self):
        """Compute both averages."""
        self.fast = self.I(mean, self.data.Close, 10)
        self.slow = self.I(mean, self.data.Close, 30)

    def next(self):
        """Trade when the averages cross."""
        before, now = self.fast[-2] - self.slow[-2], self.fast[-1] - self.slow[-1]
        if before <= 0 < now:
            if not self.position:
                self.buy(size=1)
        elif before >= 0 > now and self.position:
            self.position.close()


def main(arrays):
    """Run the workload."""
    with np.load(arrays) as data:
        columns = {name.capitalize(): data[name] for name in ("open", "high", "low", "close", "volume")}
        frame = pd.DataFrame(columns, index=pd.to_datetime(data["time"]))
    wall, cpu = time.perf_counter(), time.process_time()
    stats = Backtest(frame, Cross, cash=10_000_000, commission=0.00005).run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    trades, strategy = stats["_trades"], stats["_strategy"]
    print(
        json.dumps(
            {
                "version": version("backtesting"),
                "run_s": wall,
                "run_cpu_s": cpu,
                "fills": 2 * len(trades) + len(strategy.trades),
                "final_equity": float(stats["Equity Final [$]"]),
                "prices": trades.sort_values("EntryBar")[["EntryPrice", "ExitPrice"]].to_numpy().ravel().tolist(),
            }
        )
    )


main(sys.argv[2])
