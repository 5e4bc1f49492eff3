"""``python -m tests.parity``: random strategies that receive trades make identical decisions over sockets and in their
backtests.

    python -m tests.parity                        100 seeds on each of the four tapes
    python -m tests.parity --seeds 3,17,40-49     only these seeds
    python -m tests.parity --tapes bursts,frames  only on these tapes
    python -m tests.parity --keep FOLDER          keep tapes and decisions in this folder
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from botkit.errors import BotkitError
from tests.parity.random_runs import COUNTED, compare
from tests.parity.tapes import FRAMES, TAPES, parity_tape

_SEEDS = 100


def main() -> int:
    """Run the comparisons. Return 0 if every strategy made identical decisions in both runs on every tape."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity")
    parser.add_argument("--seeds", default="", help="such as 3,17,40-49; default: 0 to 99")
    parser.add_argument("--tapes", default=",".join(TAPES))
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    seeds = _numbers(given.seeds) if given.seeds else list(range(_SEEDS))
    with tempfile.TemporaryDirectory() as made:
        folder = given.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        unequal = sum([_run(name, seeds, folder) for name in given.tapes.split(",")])
    print("all equal" if not unequal else f"{unequal} runs differ or were skipped")
    return 1 if unequal else 0


def _numbers(text: str) -> list[int]:
    """Parse the seeds in ``text``: numbers and inclusive ranges, as in ``3,17,40-49``."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers


def _run(name: str, seeds: list[int], folder: Path) -> int:
    tape = parity_tape(name, folder)
    if tape is None:
        print(f"{name}: not run, {FRAMES} is not there")
        return len(seeds)
    began, total, unequal = time.perf_counter(), Counter[str](), 0
    for seed in seeds:
        try:
            found = asyncio.run(compare(seed, tape, folder / "runs" / f"{name}-{seed}"))
        except BotkitError as error:
            unequal += 1
            print(f"{name}, seed {seed}: {type(error).__name__}: {error}", flush=True)
            continue
        total += found.counts
        if found.difference:
            unequal += 1
            print(f"{name}, seed {seed}: {found.difference}", flush=True)
    figures = ", ".join(f"{what} {total[what]:,}" for what in COUNTED)
    print(f"{name}: {len(seeds) - unequal} of {len(seeds)} equal in {time.perf_counter() - began:.0f} s; {figures}")
    sys.stdout.flush()
    return unequal


if __name__ == "__main__":
    sys.exit(main())
