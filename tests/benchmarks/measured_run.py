"""Measures one backtest in a separate process, stage by stage. The backtest benchmarks share this module.

The main metric is CPU time, because other programs may share the machine; wall time is printed as well. The cost of an
empty method call indicates how fast the machine was during the run. This cost was 26 ns on the idle machine that was
used to set the goals.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

QUIET_CALL_NS = 26.0


class _Empty:
    def call(self) -> None:
        """Do nothing."""


def call_ns(count: int = 200_000) -> float:
    """Return the current cost of an empty method call, in nanoseconds of CPU time."""
    call = _Empty().call
    begin = time.process_time_ns()
    for _ in range(count):
        call()
    return (time.process_time_ns() - begin) / count


def run_once(config: Path, out: Path) -> dict[str, Any]:
    """Run the configuration in this process. Return the summary, and the duration of each stage in seconds.

    The stages are those of ``botkit backtest``: importing and loading, the run itself (feed, engine, portfolio, risk,
    router, exchange, equity), and the report with its files.
    """
    import resource

    from botkit.assembly.backtest import backtest_parts
    from botkit.backtesting.outputs import DECISIONS, RunFolder, write_outputs
    from botkit.backtesting.session import run_backtest
    from botkit.project.project import Project
    from botkit.report.html import render

    clocks = [(time.process_time(), time.perf_counter())]
    project = Project.load(config)
    parts = backtest_parts(project)
    calls = [call_ns()]
    clocks.append((time.process_time(), time.perf_counter()))
    with RunFolder(out) as run:
        result = run_backtest(parts, decisions_to=run.path / DECISIONS, readings=False)
        clocks.append((time.process_time(), time.perf_counter()))
        calls.append(call_ns())
        before_report = time.process_time(), time.perf_counter()
        html = render(result, project.plugins.report_sections(result))
        write_outputs(run.path, result, report_html=html, config_yaml=parts.config_text)
    after_report = time.process_time(), time.perf_counter()
    return {
        "load_cpu_s": clocks[1][0],
        "run_cpu_s": clocks[2][0] - clocks[1][0],
        "report_cpu_s": after_report[0] - before_report[0],
        "run_wall_s": clocks[2][1] - clocks[1][1],
        "report_wall_s": after_report[1] - before_report[1],
        "process_cpu_s": time.process_time(),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 2**20),
        "call_ns": statistics.mean(calls),
        "rows": result.data.rows,
        "events": result.summary["events"],
        "fills": result.summary["fills"],
        "orders": result.summary["orders"],
        "final_equity": result.summary["final_equity"],
        "sha256": result.summary["journal_sha256"],
    }


def run_in_child(config: Path, out: Path) -> dict[str, Any]:
    """Call `run_once` in a new process, and add the wall time of that process."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, str(config), str(out)], check=True, stdout=subprocess.PIPE, text=True
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    figures["process_wall_s"] = time.perf_counter() - begin
    return figures


def report(title: str, runs: list[dict[str, Any]], goal: int, notes: str = "") -> None:
    """Print the medians over all runs."""

    def median(key: str) -> float:
        return statistics.median(run[key] for run in runs)

    assert len({run["sha256"] for run in runs}) == 1, "equal inputs gave different decisions"
    first = runs[0]
    rows = first["rows"]
    slowness = median("call_ns") / QUIET_CALL_NS
    full = statistics.median(run["run_cpu_s"] + run["report_cpu_s"] for run in runs)
    scaled = statistics.median(
        (run["run_cpu_s"] + run["report_cpu_s"]) * QUIET_CALL_NS / run["call_ns"] for run in runs
    )
    print(f"\n{title}")
    print(f"  rows {rows:,}, orders {first['orders']:,}, fills {first['fills']:,}, {len(runs)} runs, medians{notes}")
    print(f"  run            {rows / median('run_cpu_s'):>12,.0f} rows/s of CPU time   ({median('run_cpu_s'):.2f} s)")
    print(f"  run + report   {rows / full:>12,.0f} rows/s of CPU time   ({full:.2f} s)")
    print(f"  run, wall      {rows / median('run_wall_s'):>12,.0f} rows/s             ({median('run_wall_s'):.2f} s)")
    print(f"  whole process  {median('process_wall_s'):.2f} s wall, {median('process_cpu_s'):.2f} s CPU")
    print(f"  peak memory    {median('peak_mb'):,.0f} MB")
    print(f"  an empty call  {median('call_ns'):.0f} ns ({slowness:.1f} x the quiet machine's {QUIET_CALL_NS:.0f} ns)")
    print(f"  on the quiet machine run + report would make about {rows / scaled:,.0f} rows/s; the goal is {goal:,}")
    print(f"  journal_sha256 {first['sha256']}", flush=True)


def print_machine() -> None:
    """Print the machine and the software versions."""
    import os

    names = ("numpy", "msgspec", "pandas", "pyarrow")
    print(
        f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}, "
        f"{platform.machine()}, {os.cpu_count()} cores; " + ", ".join(f"{name} {version(name)}" for name in names)
    )


if __name__ == "__main__":
    print(json.dumps(run_once(Path(sys.argv[1]), Path(sys.argv[2]))))
