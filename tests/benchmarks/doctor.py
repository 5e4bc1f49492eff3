"""Measures how often the doctor's verdict on known strategies is correct on generated markets.

    python -m tests.benchmarks.doctor [--seeds 20] [--nulls 200] [--jobs 2]

Every market has three years of daily candles. ``good`` follows momentum on a market with momentum (a Sharpe ratio of
about 3). ``null`` is the same strategy on a market without momentum.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from botkit.research.doctor.ladder import examine
from botkit.research.looks import Look, LookLedger, Market
from botkit.research.search.worker import BenchRecipe
from tests.research.doctor.planted import (
    BUSY,
    CYCLE,
    DAY_MS,
    FOLLOW,
    LAGS,
    LUCKY,
    PEEKING,
    QUICK,
    SEEING,
    STALE,
    START_MS,
    STORMY,
    closes,
    fitted_cycle,
    fitted_lags,
    planted,
    planted_on_books,
)

DAYS = 3 * 365
#: the correct verdicts for each kind of strategy
RIGHT: dict[str, tuple[str, ...]] = {
    "good": ("holds out of sample",),
    "null": ("loses after costs", "no better than chance", "in-sample only", "cannot tell"),
    "reads the tape": ("broken",),
    "sees rows to come": ("broken",),
    "one lucky trade": ("no better than chance", "loses after costs", "cannot tell"),
    "fee-blind": ("loses after costs",),
    "slippage of nothing": ("loses after costs", "no better than chance"),
    "best of a thousand": ("in-sample only", "no better than chance", "loses after costs"),
    "overfit": ("in-sample only", "no better than chance", "loses after costs"),
    "too many parameters": ("in-sample only", "no better than chance", "loses after costs"),
    "stale book": ("loses after costs",),
    "latency-sensitive": ("loses after costs",),
    "storm of orders": ("broken",),
    "sixty days": ("cannot tell", "loses after costs"),
}


def _config(kind: str, seed: int, folder: Path) -> Path:
    if kind == "good":
        return planted(folder, FOLLOW, closes(seed, DAYS, momentum=0.4))
    if kind == "null":
        return planted(folder, FOLLOW, closes(seed, DAYS))
    if kind == "reads the tape":
        return planted(folder, PEEKING, closes(seed, DAYS), params=", tape: TAPE")
    if kind == "sees rows to come":
        return planted(folder, SEEING, closes(seed, DAYS))
    if kind == "one lucky trade":
        return planted(folder, LUCKY, closes(seed, DAYS, treble_on=305), params=f", seed: {seed}")
    if kind == "fee-blind":
        return planted(folder, BUSY, closes(seed, DAYS, drift=0.0005), taker="0.002")
    if kind == "slippage of nothing":
        return planted(folder, BUSY, closes(seed, DAYS, drift=0.0006), taker="0", slippage="0")
    if kind == "overfit":
        prices = closes(seed, DAYS)
        return planted(folder, LAGS, prices, params=f", weights: {fitted_lags(prices, 20)}")
    if kind == "too many parameters":
        prices = closes(seed, DAYS)
        return planted(folder, CYCLE, prices, params=f", weights: {fitted_cycle(prices, 60)}")
    if kind == "stale book":
        return planted_on_books(folder, STALE, seed, days=30, delay_ms=60_000, sweeps=True)
    if kind == "latency-sensitive":
        return planted_on_books(folder, QUICK, seed, days=30, delay_ms=120, sweeps=False)
    if kind == "storm of orders":
        limits = "limits: {create_order: 40, batching: false}\n"
        return planted(folder, STORMY, closes(seed, 60, momentum=0.4), more=limits)
    if kind == "sixty days":
        return planted(folder, FOLLOW, closes(seed, 60, momentum=0.4))
    assert kind == "best of a thousand", kind
    return _survivor(seed, folder)


def _survivor(seed: int, folder: Path) -> Path:
    """Return the market, out of 1,000, on which the strategy happens to perform best. The other attempts are recorded
    as looks.
    """

    def follow(prices: list[float]) -> list[float]:
        found, held, before = [], False, prices[0]
        for last, price in zip([prices[0], *prices], prices, strict=False):
            found.append(price / before - 1 if held else 0.0)
            held, before = price > last, price
        return found

    tries = {number: follow(closes(seed * 1_000 + number, DAYS)) for number in range(1_000)}
    best = max(tries, key=lambda number: sum(tries[number]))
    start = START_MS * 1_000_000
    market = Market.of(["scripted"], ["btc_twd"], is_synthetic=False)
    LookLedger(Path(os.environ["BOTKIT_STATE"])).note(
        market,
        [
            Look(
                code="c",
                config="f",
                params={"number": number},
                start=start,
                end=start + DAYS * DAY_MS * 1_000_000,
                noted=number,
                command="optimize",
                first_day=START_MS // DAY_MS,
                returns=tuple(returns),
                trades=100,
            )
            for number, returns in tries.items()
        ],
    )
    return planted(folder, FOLLOW, closes(seed * 1_000 + best, DAYS))


def _one(task: tuple[str, int]) -> tuple[str, int, str, str]:
    kind, seed = task
    with tempfile.TemporaryDirectory() as made:
        os.environ["BOTKIT_STATE"] = str(Path(made) / "state")
        found = examine(BenchRecipe(config=str(_config(kind, seed, Path(made) / "bot"))))
    return kind, seed, found.verdict, found.why


def _all(jobs: int, tasks: list[tuple[str, int]]) -> Iterator[tuple[str, int, str, str]]:
    run: Callable[[tuple[str, int]], tuple[str, int, str, str]] = _one
    if jobs == 1:
        yield from map(run, tasks)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run, tasks)


def main() -> None:
    """Print how often each kind of strategy received each verdict."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.doctor")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--nulls", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kinds", default=",".join(RIGHT))
    given = parser.parse_args()
    random.seed(0)
    tasks = [
        (kind, seed)
        for kind in given.kinds.split(",")
        for seed in range(1, (given.nulls if kind == "null" else given.seeds) + 1)
    ]
    began, verdicts = time.perf_counter(), {kind: Counter[str]() for kind, _ in tasks}
    for kind, seed, verdict, why in _all(given.jobs, tasks):
        counts = verdicts[kind]
        counts[verdict] += 1
        if verdict not in RIGHT[kind]:
            print(f"  {kind}, seed {seed}: {verdict}; {why}", flush=True)
        if counts.total() == sum(task[0] == kind for task in tasks):
            right = sum(counts[name] for name in RIGHT[kind])
            print(f"{kind:<22}{right:>4} of {counts.total():<4} {dict(counts)}", flush=True)
    print(f"{len(tasks)} examinations in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
