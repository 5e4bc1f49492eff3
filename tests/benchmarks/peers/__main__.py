"""``python -m tests.benchmarks.peers``: botkit compared with other backtesting libraries, in one run.

    python -m tests.benchmarks.peers                       all workloads, all libraries
    python -m tests.benchmarks.peers --scale 0.02          a fiftieth of the rows, as a trial
    python -m tests.benchmarks.peers --only W1,W3          only these workloads
    python -m tests.benchmarks.peers --peers vectorbt      compare only with these libraries; `none` runs botkit alone
    python -m tests.benchmarks.peers --cache FOLDER        keep the libraries' environments in this folder

The runs execute sequentially on one core, with identical data and an identical strategy; W4, a search, uses two cores.
Each library has a separate virtual environment. A library that cannot be installed is listed with the reason. Rates are
rows per second of CPU time for the run itself; the entire process is measured as well. Fills and equity of W1 and W2
are compared with an independent computation in numpy, and those of W3 with botkit's own engine running one turn per
row.

Exit code 1 if a comparison fails.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.measured_run import call_ns, print_machine
from tests.benchmarks.peers import market
from tests.benchmarks.peers.checks import differences
from tests.benchmarks.peers.environments import PACKAGES, NotInstalled, python_of
from tests.benchmarks.peers.measured import Failed, Measured
from tests.benchmarks.peers.workloads import W4, WORKLOADS, Workload, run_botkit, run_peer

_COLUMNS = (
    "",
    "version",
    "rate of run",
    "run CPU s",
    "whole CPU s",
    "whole s",
    "peak MB",
    "fills",
    "final equity",
    "run",
    "whole",
)


def main() -> int:
    """Run the requested workloads and print a table for each one. Return 1 if a comparison failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows  [default: 1]")
    parser.add_argument("--only", default=",".join(WORKLOADS), metavar="W1,W2", help="workloads  [default: all]")
    parser.add_argument("--peers", default=",".join(PACKAGES), metavar="NAME,NAME", help="libraries  [default: all]")
    parser.add_argument("--cache", type=Path, help="folder of the environments  [default: a temporary one]")
    parser.add_argument("--no-check", action="store_true", help="leave the comparisons out")
    given = parser.parse_args()
    wanted, peers = given.only.split(","), given.peers.split(",")
    unknown = [name for name in wanted if name not in WORKLOADS] + [n for n in peers if n not in {*PACKAGES, "none"}]
    if unknown:
        parser.error(f"there is no {unknown[0]}; workloads are {', '.join(WORKLOADS)}, libraries {', '.join(PACKAGES)}")
    print_machine()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"load average {load:.1f} at the start; an empty method call {call_ns():.0f} ns of CPU time")
    failed = False
    with tempfile.TemporaryDirectory() as made:
        cache = given.cache or Path(made) / "environments"
        for name in wanted:
            workload = WORKLOADS[name]
            failed |= _compare(workload, peers, given.scale, Path(made), cache, is_checked=not given.no_check)
    return int(failed)


def _compare(
    workload: Workload, peers: Sequence[str], scale: float, folder: Path, cache: Path, *, is_checked: bool
) -> bool:
    """Run one workload and print its table. Return True if a comparison failed."""
    data = market.make(workload.name, scale, folder)
    units = len(market.FAST) * len(market.SLOW) if workload is W4 else data.rows
    print(f"\n{workload.name}: {data.rows:,} {workload.title}", flush=True)
    own = run_botkit(workload, data, folder)
    rows, notes = [_row("botkit", own, own, units, workload.unit)], []
    for peer in workload.peers:
        if peer not in peers:
            continue
        try:
            found = run_peer(peer, python_of(peer, cache), workload, data)
        except NotInstalled as error:
            notes.append(f"{peer} could not be installed: {error}")
        except Failed as error:
            notes.append(f"{peer} ended with an error: {error}")
        else:
            rows.append(_row(peer, found, own, units, workload.unit))
            notes += _notes(peer, found)
    _print(rows)
    for note in notes:
        print(f"  {note}")
    wrong = differences(workload, data, own, folder) if is_checked else []
    for sentence in wrong:
        print(f"  DIFFERENT: {sentence}")
    if is_checked and not wrong:
        print(f"  {workload.checked}")
    return bool(wrong)


def _row(name: str, found: Measured, own: Measured, units: int, unit: str) -> tuple[str, ...]:
    """Return a table row. The ratios are the library's time divided by botkit's time: a ratio below 1 means that the
    library is faster.
    """
    figures = found.figures
    rate = units / figures["run_cpu_s"]
    return (
        name,
        figures["version"],
        f"{rate:,.{0 if rate >= 100 else 1}f} {unit}/s",
        f"{figures['run_cpu_s']:.2f}",
        f"{found.cpu_s:.2f}",
        f"{found.wall_s:.2f}",
        f"{found.peak_mb:,.0f}",
        f"{figures['fills']:,}",
        f"{figures['final_equity']:,.2f}",
        f"{figures['run_cpu_s'] / own.figures['run_cpu_s']:.2f}",
        f"{found.cpu_s / own.cpu_s:.2f}",
    )


def _notes(peer: str, found: Measured) -> list[str]:
    if "warm_cpu_s" not in found.figures:
        return []
    return [f"{peer}, a second time in the same process: {found.figures['warm_cpu_s']:.2f} s of CPU time"]


def _print(rows: Sequence[tuple[str, ...]]) -> None:
    print("  | " + " | ".join(_COLUMNS) + " |")
    print("  |" + "---|" * len(_COLUMNS))
    for row in rows:
        print("  | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
