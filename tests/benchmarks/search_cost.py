"""Measures searches: combinations per second, a cluster that loses a worker, and memory over thousands of trials.

    python -m tests.benchmarks.search_cost [--parts combinations cluster memory] [--trials 10000]

* ``combinations``: `botkit optimize --jobs 2` over 200 combinations of sma_cross on 100,000 one-minute candles.
* ``cluster``: the same search on a Dask scheduler with two workers, one of which is killed during a trial after 20
  results have arrived. Every trial must have the parameters, value and decision hash that it had without a cluster.
* ``memory``: random trials on 2,000 candles. Prints the resident memory of the driver and of its workers as the search
  progresses, and the driver's memory growth per trial.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks import market_data
from tests.benchmarks.measured_run import ROOT, call_ns, print_machine

CANDLES, FEW_CANDLES = 100_000, 2_000
KILLED_AFTER = 20
#: 20 x 10 combinations in which the fast length never exceeds the slow one
COMBINATIONS = ("--param=s.fast=5:24:1", "--param=s.slow=30:75:5")
RANDOM = ("--param=s.fast=2:400:1", "--param=s.slow=401:900:1", "--sampler=random")


def _config(folder: Path, candles: int) -> Path:
    tape = folder / "tape"
    market_data.write_tape(tape, market_data.candles(candles, seed=4))
    path = folder / "cross.yaml"
    path.write_text(
        f"name: cross\ntimezone: UTC\nplugins: [{ROOT / 'strategies'}]\n"
        "strategies:\n  - {name: s, use: sma_cross, params: {pair: btc_usdt}}\n"
        f"backtest:\n  data: {{path: {tape}, pair: btc_usdt}}\n  balances: {{usdt: 10000000}}\n  slippage: 0.0002\n",
        encoding="utf-8",
    )
    return path


def _start(config: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "botkit", "optimize", str(config), *arguments, "--min-trades=1"]
    command += ["--objective=return", "--json"]
    return subprocess.Popen(
        command,
        cwd=config.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "BOTKIT_STATE": str(config.parent / "state")},
        stdout=(config.parent / "result.json").open("w"),
        text=True,
    )


def _result(config: Path, search: subprocess.Popen[str]) -> list[dict[str, Any]]:
    code = search.wait()
    assert code == 0, f"the search ended with exit code {code}"
    trials: list[dict[str, Any]] = json.loads((config.parent / "result.json").read_text())["trials"]
    return trials


def _ended(out: Path) -> int:
    """Return how many trials of a search have finished."""
    try:
        return (out / "trials.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def combinations(folder: Path) -> list[dict[str, Any]]:
    """Search 200 combinations on two cores. Return the trials."""
    config = _config(folder, CANDLES)
    begin = time.perf_counter()
    trials = _result(config, _start(config, *COMBINATIONS, "--jobs=2", f"--out={folder / 'local'}"))
    took_s = time.perf_counter() - begin
    print(
        f"{len(trials)} combinations of sma_cross over {CANDLES:,} candles, 2 processes: {took_s:.1f} s in all, "
        f"{len(trials) / took_s:.1f} a second, an empty method call {call_ns():.0f} ns",
        flush=True,
    )
    return trials


@contextmanager
def _dask(folder: Path, command: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "dask.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{command}", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=folder,
            stdout=log,
            stderr=log,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def cluster(folder: Path, local: list[dict[str, Any]]) -> None:
    """Repeat the search on two Dask workers, kill one worker, and compare all trials with ``local``."""
    config, out, address = folder / "cross.yaml", folder / "clustered", folder / "scheduler.json"
    with ExitStack() as stack:
        where = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(address))
        stack.enter_context(_dask(folder, "dask_scheduler", *where))
        while not address.exists():
            time.sleep(0.05)
        scheduler = json.loads(address.read_text())["address"]
        worker = (scheduler, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder))
        killed, _ = (stack.enter_context(_dask(folder, "dask_worker", *worker)) for _ in range(2))
        begin = time.perf_counter()
        search = _start(config, *COMBINATIONS, f"--cluster={scheduler}", f"--out={out}")
        while _ended(out) < KILLED_AFTER and search.poll() is None:
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        at = _ended(out)
        trials = _result(config, search)
        took_s = time.perf_counter() - begin
    differing = sum(one != other for one, other in zip(local, trials, strict=True))
    print(
        f"the same on a Dask scheduler, one of two workers killed after {at} results: {took_s:.1f} s, "
        f"{differing} of {len(trials)} trials differ in parameters, value or decision hash",
        flush=True,
    )
    assert differing == 0


def _resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def _workers(driver: int) -> list[int]:
    """Return the driver's child processes, except Python's own resource tracker."""
    pids = map(int, Path(f"/proc/{driver}/task/{driver}/children").read_text().split())
    return [pid for pid in pids if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


def memory(folder: Path, count: int) -> None:
    """Run ``count`` random trials, and print the memory of the processes after every tenth of the trials. Linux
    only.
    """
    config, out = _config(folder, FEW_CANDLES), folder / "random"
    begin, step = time.perf_counter(), max(1, count // 10)
    search = _start(config, *RANDOM, f"--trials={count}", "--jobs=2", f"--out={out}")
    first: tuple[int, int] | None = None
    driver_kb, at = 0, 0
    while at < count - step and search.poll() is None:
        while _ended(out) < at + step and search.poll() is None:
            time.sleep(0.2)
        if search.poll() is not None:
            break
        at = _ended(out)
        driver_kb, workers = _resident_kb(search.pid), [_resident_kb(pid) for pid in _workers(search.pid)]
        first = first or (at, driver_kb)
        print(f"  {at:>6,} trials: driver {driver_kb / 1e3:.1f} MB, workers {[round(kb / 1e3, 1) for kb in workers]}",
              flush=True)  # fmt: skip
    trials = _result(config, search)
    took_s = time.perf_counter() - begin
    print(
        f"{len(trials):,} random trials over {FEW_CANDLES:,} candles: {len(trials) / took_s:.1f} a second", flush=True
    )
    if first is not None and at > first[0]:
        print(f"the driver grew by {(driver_kb - first[1]) / (at - first[0]):.2f} kB per trial (goal: at most 5)")


def main() -> None:
    """Run the requested parts."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.search_cost")
    names = ("combinations", "cluster", "memory")
    parser.add_argument("--parts", nargs="+", choices=names, default=names)
    parser.add_argument("--trials", type=int, default=10_000)
    given = parser.parse_args()
    print_machine()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if {"combinations", "cluster"} & set(given.parts):
            local = combinations(folder)
            if "cluster" in given.parts:
                cluster(folder, local)
    if "memory" in given.parts:
        with tempfile.TemporaryDirectory() as made:
            memory(Path(made), given.trials)


if __name__ == "__main__":
    main()
