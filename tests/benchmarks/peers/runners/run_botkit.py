"""Runs a workload with botkit: `python run_botkit.py CONFIG OUT`. The last line of output contains the results as
JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from botkit.assembly.backtest import REPORT_CANDLES_MAX, backtest_parts
from botkit.backtesting.outputs import DECISIONS, RunFolder, write_outputs
from botkit.backtesting.session import run_backtest
from botkit.project.project import Project
from botkit.report.html import render_parts
from botkit.version import __version__


def main(config: Path, out: Path) -> None:
    """Run the workload as `botkit backtest` does, including decisions and report, but under only one queue
    assumption.
    """
    import msgspec

    project = Project.load(config)
    parts = msgspec.structs.replace(backtest_parts(project), candles_max=REPORT_CANDLES_MAX)
    with RunFolder(out) as run:
        wall, cpu = time.perf_counter(), time.process_time()
        result = run_backtest(parts, decisions_to=run.path / DECISIONS, readings=False)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        page = render_parts(result, project.plugins.report_sections(result))
        write_outputs(run.path, result, report_html=page, config_yaml=parts.config_text)
    scale = 10 ** next(iter(parts.pairs.values())).rules.price_decimals
    print(
        json.dumps(
            {
                "version": __version__,
                "run_s": wall,
                "run_cpu_s": cpu,
                "fills": len(result.fills),
                "orders": result.summary["orders"],
                "final_equity": result.summary["final_equity"],
                "prices": [fill.price_ticks / scale for fill in result.fills],
                "midnights": {day.end: day.equity for day in result.days},
                "sha256": result.summary["journal_sha256"],
            }
        )
    )


main(Path(sys.argv[1]), Path(sys.argv[2]))
