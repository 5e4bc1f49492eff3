"""Kills a trading bot with SIGKILL repeatedly, and compares the bot's books with those of the exchange after every
restart.

    python -m tests.benchmarks.kill_runs [--kills 200] [--seed 1] [--open-orders 200]

`tests.live.kills` documents the procedure and the checks. This script prints the results for each phase.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.live.kills import plan, restart_with_open_orders, run_kills
from tests.live.world import make_world


def main() -> int:
    """Kill the bot, print the results for each phase, and fail if any check fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--open-orders", type=int, default=200)
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        phases = plan(given.kills, Random(given.seed))
        say = lambda text: print(text, flush=True)  # noqa: E731
        findings = asyncio.run(run_kills(Path(folder), phases, seed=given.seed, say=say))
    print("\n".join([*findings.lines(), *findings.broken]))
    print(f"{given.kills / (time.monotonic() - began):.1f} kills a second")
    with tempfile.TemporaryDirectory() as folder:
        seconds = asyncio.run(restart_with(Path(folder), given.open_orders))
    print(f"restart to reconciled with {given.open_orders} open orders: {seconds:.2f} s")
    return 1 if findings.broken else 0


async def restart_with(folder: Path, open_orders: int) -> float:
    """Return the number of seconds that a restart with this many open orders takes."""
    async with make_world(folder) as world:
        return await restart_with_open_orders(world, open_orders)


if __name__ == "__main__":
    sys.exit(main())
