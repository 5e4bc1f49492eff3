"""Compares a run at speed 1 over real sockets with the backtest of the same period at the measured latency.

    python -m tests.benchmarks.wall_clock [--minutes 5] [--runs 5] [--tape FOLDER] [--keep FOLDER]

`botkit run` and its emulator run in a separate process, started as a user would start it, with a latency of 50 ms in
each direction. The strategy is market_maker, which requotes after every fill. The tape is `busy_market` unless
``--tape`` is given. Each run's latency.json is used as ``latency: {from: ...}`` in its backtest. The median of the runs
is compared with the median of their backtests: fills, volume and cancels must be within 3 %.

A backtest draws its latencies from a seed, so each backtest is run with several seeds. Differences between seeds are
random, and no comparison can be more precise than these differences.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from botkit.assembly.backtest import backtest_parts
from botkit.backtesting.session import run_backtest
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_MINUTE, NS_PER_S, Nanos, format_time
from botkit.model.latency import STEPS, MeasuredLatencies
from botkit.project.project import Project
from botkit.tape.tape import Tape
from tests.benchmarks.busy_market import PAIR, write_busy_market
from tests.benchmarks.measured_run import print_machine

ROOT = Path(__file__).resolve().parents[2]
GOAL = 0.03
SEEDS = 5
#: the counts that are compared, and other counts that are only printed
JUDGED = ("fills", "volume", "cancels")
SHOWN = (*JUDGED, "cancelled", "cancel_refused", "orders", "post_only_cancelled")
#: near the start and the end of a run, books and quotes differ from those in the backtest
_SETTLING: Nanos = 2 * NS_PER_S
#: a tape is shifted by a whole number of minutes; if a run starts this close to the next minute, that number is
#: ambiguous
_NEAR_MINUTE: Nanos = 15 * NS_PER_S
#: the latency that the emulator adds in each direction, similar to the latency of a real exchange
_WAY_MS = 50
_BALANCES = {"usdt": "1000000", "btc": "10"}
_PARAMS = {"pair": PAIR, "amount": 0.02, "inventory": 3.0, "spread_bps": 1.0, "skew_bps": 10, "tolerance_bps": 0}


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """A wall-clock run: the folder with its files, the offset between its timestamps and those on the tape, and the
    time span that is compared.
    """

    folder: Path
    shift: Nanos
    begin: Nanos  # the timestamp of the first book that the bot used; this field and the next two are in tape time
    counted_from: Nanos
    end: Nanos


def config(tape: Path, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration that the run and its backtest share."""
    return {
        "name": "wall-clock",
        "plugins": [str(ROOT / "strategies")],
        "strategies": [{"name": "maker", "use": "market_maker", "capital": _BALANCES, "params": dict(params)}],
        "limits": {"ledger": "none"},
        "backtest": {"data": str(tape), "balances": _BALANCES, "fees": {"maker": "0", "taker": "0.0005"}},
        "emulator": {"market": str(tape), "speed": 1, "latency": {"order_ms": _WAY_MS, "answer_ms": _WAY_MS}},
    }


def run_wall_clock(folder: Path, tape: Path, seconds: float, params: Mapping[str, Any]) -> Stretch:
    """Run `botkit run` for this many seconds in a separate process."""
    folder.mkdir(parents=True)
    path = folder / "run.yaml"
    path.write_text(json.dumps(config(tape, params)))
    streams = [stream for stream in Tape.open(tape, packaged_pairs()).streams if stream.kind in ("books", "trades")]
    tape_start = min(stream.start for stream in streams)
    left = NS_PER_MINUTE - (time.time_ns() - tape_start) % NS_PER_MINUTE
    if left < _NEAR_MINUTE:
        time.sleep((left + NS_PER_S) / NS_PER_S)
    shift = (time.time_ns() - tape_start) // NS_PER_MINUTE * NS_PER_MINUTE
    command = [sys.executable, "-m", "botkit", "run", str(path), "--plain", "--duration", f"{seconds}s"]
    environment = {**os.environ, "BOTKIT_STATE": str(folder / "state"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    (folder / "run.log").write_text(done.stdout + done.stderr)
    if done.returncode:
        raise SystemExit(f"botkit run ended with {done.returncode}: see {folder / 'run.log'}\n{done.stderr[-2000:]}")
    (run,) = (folder / "state").glob("wall-clock/emulator/*/runs/*")
    first = next(row["t"] for row in _rows(run) if row["k"] == "intent") - shift
    books = [stream for stream in streams if stream.kind == "books" and stream.pair == params["pair"]]
    moments = [
        at for columns in Tape.open(tape, packaged_pairs()).read(*books[0].key) for at in columns.received.tolist()
    ]
    begin = max(at for at in moments if at <= first)
    counted_from = first + _SETTLING
    end = first + int((seconds - 1) * NS_PER_S) - _SETTLING
    if end > max(stream.end for stream in streams):
        raise SystemExit("the tape ended before the run; take a longer one, or fewer minutes")
    return Stretch(folder=run, shift=shift, begin=begin, counted_from=counted_from, end=end)


def run_beside(stretch: Stretch, tape: Path, params: Mapping[str, Any], seed: int, out: Path) -> dict[str, float]:
    """Run the backtest of the same period with the latency measured in the wall-clock run."""
    document = config(tape, params) | {"seed": seed}
    document["backtest"] |= {
        "from": format_time(stretch.begin),
        "to": format_time(stretch.end),
        "latency": {"from": str(stretch.folder)},
    }
    out.mkdir(parents=True, exist_ok=True)
    path = out / "backtest.yaml"
    path.write_text(json.dumps(document))
    run_backtest(backtest_parts(Project.load(path)), decisions_to=out / "decisions.jsonl", readings=False)
    return counted(_rows(out), stretch.counted_from, stretch.end)


def _rows(folder: Path) -> Iterable[dict[str, Any]]:
    with (folder / "decisions.jsonl").open() as lines:
        yield from map(json.loads, lines)


def counted(rows: Iterable[dict[str, Any]], begin: Nanos, end: Nanos) -> dict[str, float]:
    """Count the decisions and events in a time span. ``volume`` is in base currency."""
    found = dict.fromkeys(SHOWN, 0.0)
    for row in rows:
        if not begin <= row["t"] < end:
            continue
        match row["k"]:
            case "fill":
                found["fills"] += 1
                found["volume"] += row["lots"] / 1e8
            case "cancel":
                found["cancels"] += 1
            case "intent":
                found["orders"] += 1
            case "answer":
                found["cancel_refused"] += row["outcome"] == "refused"
            case "state" if row["state"] in found:
                found[row["state"]] += 1
    return found


def _median(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    rows = list(rows)
    return {name: statistics.median(row[name] for row in rows) for name in SHOWN}


def _line(name: str, row: Mapping[str, float]) -> str:
    return f"  {name:<22}" + "".join(
        f"{row[key]:>16,.2f}" if key == "volume" else f"{row[key]:>16,.0f}" for key in SHOWN
    )


def _latency_line(stretch: Stretch) -> str:
    found = MeasuredLatencies.read(stretch.folder)
    parts = []
    tables = {"order": found.order_us, "answer": found.answer_us, "feed": {"": found.feed_us}}
    for name, table in tables.items():
        for kind, quantiles in table.items():
            middle, late, worst = (quantiles[place] / 1000 for place in (STEPS // 2, STEPS * 99 // 100, STEPS))
            parts.append(f"{name} {kind} {middle:.1f} / {late:.1f} / {worst:.0f}".replace("  ", " "))
    return f"  ms at p50 / p99 / most: {', '.join(parts)}; load average {os.getloadavg()[0]:.1f}"


def main() -> int:
    """Run the comparison, and return 0 if the medians are within the goal."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.wall_clock")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tape", type=Path, help="with books and trades of btc_usdt; default: a busy market")
    parser.add_argument("--keep", type=Path, help="leave every run's files there")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=NUMBER", help="a parameter of the maker")
    given = parser.parse_args()
    params = _PARAMS | {key: float(value) for key, _, value in (text.partition("=") for text in given.set)}
    print_machine()
    with tempfile.TemporaryDirectory() as made:
        folder = given.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        tape = given.tape
        if tape is None:
            tape = folder / "busy"
            tape.mkdir()
            write_busy_market(tape, int(given.minutes * 60) + 120)
        walls, backtests = [], []
        print("  " + " " * 22 + "".join(f"{name:>16}" for name in SHOWN))
        for number in range(1, given.runs + 1):
            stretch = run_wall_clock(folder / f"run-{number}", tape, given.minutes * 60, params)
            begin, end = stretch.counted_from + stretch.shift, stretch.end + stretch.shift
            walls.append(counted(_rows(stretch.folder), begin, end))
            print(_line(f"run {number}", walls[-1]), flush=True)
            beside = [
                run_beside(stretch, tape, params, seed, folder / f"backtest-{number}-{seed}") for seed in range(SEEDS)
            ]
            backtests.append(_median(beside))
            print(_line(f"backtest, {SEEDS} seeds", backtests[-1]))
            spread = {name: max(row[name] for row in beside) - min(row[name] for row in beside) for name in SHOWN}
            print(_line("  least to most", spread))
            print(_latency_line(stretch), flush=True)
    wall, backtest = _median(walls), _median(backtests)
    print(_line("median, wall clock", wall))
    print(_line("median, backtest", backtest))
    apart = {name: wall[name] / backtest[name] - 1 for name in JUDGED}
    print("  wall clock against backtest: " + ", ".join(f"{name} {value:+.1%}" for name, value in apart.items()))
    return 0 if all(abs(value) <= GOAL for value in apart.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
