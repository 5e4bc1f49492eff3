"""``python -m tests.frozen``: compare the current decisions with the frozen ones, or freeze the current decisions.

python -m tests.frozen                    the seeds that the test suite runs
python -m tests.frozen --all              all seeds
python -m tests.frozen --seeds 3,17       only these seeds
python -m tests.frozen --all --write      freeze the current results (give the reason in the commit message)
python -m tests.frozen --keep FOLDER ...  keep the tapes and the last run's decisions in this folder
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.frozen.freezing import (
    LOCKSTEP_SEEDS,
    LOCKSTEP_STORE,
    SEEDS,
    STORE,
    Frozen,
    differences,
    prepare,
    run_all,
    run_in_lockstep,
    store,
    stored,
)
from tests.frozen.test_backtests import SUITE_SEEDS


async def _lockstep(folder: Path) -> dict[str, Frozen]:
    return {f"lockstep {seed}": await run_in_lockstep(seed, folder) for seed in LOCKSTEP_SEEDS}


def main() -> int:
    """Run the command. Return 0 if no decision has changed."""
    parser = argparse.ArgumentParser(prog="python -m tests.frozen")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seeds", default="")
    parser.add_argument("--lockstep", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    seeds = [int(text) for text in given.seeds.split(",")] if given.seeds else SEEDS if given.all else SUITE_SEEDS
    with tempfile.TemporaryDirectory() as made:
        folder = given.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        tapes = prepare(folder)
        found = asyncio.run(_lockstep(folder)) if given.lockstep else dict(run_all(seeds, folder))
        print(f"{len(found)} runs in {time.perf_counter() - began:.1f} s")
    path = LOCKSTEP_STORE if given.lockstep else STORE
    before: dict[str, Any] = stored(path) if path.exists() else {"tapes": tapes, "runs": {}}
    different = differences(found, before["runs"])
    if tapes != before["tapes"]:
        different.insert(0, "the tapes are not those that behaviour was frozen on")
    if given.write:
        store(path, tapes, found if given.all else {**before["runs"], **found})
        print(f"{len(different)} changed; {path} written")
        return 0
    print("\n".join(different) or "all as frozen")
    return 1 if different else 0


sys.exit(main())
