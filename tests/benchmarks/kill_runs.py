"""Kill -9 a trading bot again and again, and hold its books against the exchange's after every restart.

    python -m tests.benchmarks.kill_runs [--kills 200] [--seed 1]

`tests.live.kills` says what is done and what is judged; this prints it by phase.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.live.kills import plan, run_kills


def main() -> int:
    """Kill, print by phase, and fail where anything is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        phases = plan(given.kills, Random(given.seed))
        say = lambda text: print(text, flush=True)  # noqa: E731
        findings = asyncio.run(run_kills(Path(folder), phases, seed=given.seed, say=say))
    print("\n".join([*findings.lines(), *findings.broken]))
    print(f"{given.kills / (time.monotonic() - began):.1f} kills a second")
    return 1 if findings.broken else 0


if __name__ == "__main__":
    sys.exit(main())
