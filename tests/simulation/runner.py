"""Runs seeds, one after another or in several processes, and reports their results.

python -m tests.simulation --seeds 50                    seeds 0 to 49 of layer whole
python -m tests.simulation --layer core --from 1000 --seeds 200 --jobs 2
python -m tests.simulation --minutes 30                  as many seeds as fit
python -m tests.simulation --seed 17 --story             one seed, with all that happened
python -m tests.simulation --replay FILE                 a plan that was kept, such as a regression test
python -m tests.simulation --shrink 17                   make a broken seed's story short, and keep its plan
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.simulation.mutants import hunt
from tests.simulation.plan import FAULT_CLASSES, Layer, Plan, draw
from tests.simulation.reached import NAMED
from tests.simulation.world import Result, carry_out

#: with this many seeds or more, a fault class or named branch that was never reached is a failure
_LONG_RUN = 500
_MEMORY = Path("/dev/shm")


def run_plan(plan: Plan) -> Result:
    """Run a plan in a folder in memory."""
    folder = Path(tempfile.mkdtemp(prefix="botkit-sim-", dir=_MEMORY if _MEMORY.is_dir() else None))
    # collect garbage between seeds, because a seed must not depend on when that happens, and the modules are not
    # garbage
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        return carry_out(plan, folder)
    finally:
        gc.enable()
        shutil.rmtree(folder, ignore_errors=True)


def _one(task: tuple[int, Layer]) -> Result:
    seed, layer = task
    found = run_plan(draw(seed, layer))
    return found if found.broken else msgspec.structs.replace(found, story=[])


class Totals:
    """The results of many runs."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.runs = self.counted = self.orders = self.crashes = self.starts = 0
        self.faults: Counter[str] = Counter()
        self.reached: Counter[str] = Counter()
        self.broken: list[Result] = []
        self._began = time.monotonic()

    def take(self, result: Result) -> None:
        """Add a run."""
        self.runs += 1
        self.counted += result.counts
        self.orders += result.orders
        self.crashes += result.crashes
        self.starts += result.starts
        self.faults.update(result.faults)
        self.reached.update(result.reached)
        if result.broken:
            self.broken.append(result)

    def lines(self) -> Iterator[str]:
        """Yield the report's lines."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        yield (
            f"layer {self.layer}: {self.runs} seeds, {self.counted} of them count, {len(self.broken)} broken; "
            f"{self.orders} orders, {self.crashes} crashes, {self.starts} starts; {self.runs / seconds:.2f} seeds/s"
        )
        yield "faults: " + ", ".join(f"{kind} {self.faults[kind]}" for kind in sorted(FAULT_CLASSES))
        yield "branches:"
        for key, name in sorted(NAMED.items()):
            yield f"  {self.reached[key]:7}  {name}"
        for name, count in sorted(self.reached.items()):
            if name not in NAMED:
                yield f"  {count:7}  ({name})"

    def missing(self) -> list[str]:
        """Return what a long run should have reached but has not."""
        if self.runs < _LONG_RUN:
            return []
        kinds = [f"fault {kind}" for kind in FAULT_CLASSES if not self.faults[kind]]
        return kinds + [name for key, name in NAMED.items() if not self.reached[key]]


def results(seeds: Sequence[int] | Iterator[int], layer: Layer, jobs: int, minutes: float | None) -> Iterator[Result]:
    """Yield the results of seeds as they come."""
    until = None if minutes is None else time.monotonic() + 60 * minutes
    tasks = ((seed, layer) for seed in seeds)
    if jobs == 1:
        for task in tasks:
            yield _one(task)
            if until is not None and time.monotonic() > until:
                return
        return
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=200) as pool:
        bounded = _until(tasks, until)
        yield from pool.imap_unordered(_one, bounded)


def _until(tasks: Iterator[tuple[int, Layer]], until: float | None) -> Iterator[tuple[int, Layer]]:
    for task in tasks:
        if until is not None and time.monotonic() > until:
            return
        yield task


def describe(result: Result, layer: Layer) -> Iterator[str]:
    """Yield lines that describe a broken run."""
    yield f"BROKEN  layer {layer}, seed {result.seed}: {result.broken}"
    yield f"  again:   python -m tests.simulation --layer {layer} --seed {result.seed} --story"
    yield f"  shorter: python -m tests.simulation --layer {layer} --shrink {result.seed}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return 1 if something broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, help="how many (default 20, or as many as fit into --minutes)")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--layer", choices=("core", "whole"), default="whole")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, help="one seed alone")
    parser.add_argument("--story", action="store_true", help="with --seed or --replay: print what happened")
    parser.add_argument("--replay", type=Path, help="a kept plan")
    parser.add_argument("--shrink", type=int, metavar="SEED", help="make a broken seed's story short")
    parser.add_argument(
        "--mutants", action="store_true", help="plant faults, and check that each is caught within --seeds"
    )
    parser.add_argument("--part", default="", help="with --mutants: those of one part, such as guard, or of one name")
    parser.add_argument("--keep", type=Path, help="with --shrink: the file for the short plan")
    options = parser.parse_args(arguments)
    layer: Layer = options.layer
    if options.replay is not None or options.seed is not None:
        plan = draw(options.seed, layer) if options.replay is None else read_plan(options.replay)
        return _alone(run_plan(plan), plan.layer, story=options.story)
    if options.shrink is not None:
        from tests.simulation.shrink import shrink_seed

        return shrink_seed(options.shrink, layer, options.keep)
    if options.mutants:
        return hunt(options.seeds or 50, options.first, options.part, lambda plan: run_plan(plan).broken)
    count = options.seeds or (20 if options.minutes is None else 10**9)
    totals = Totals(layer)
    for result in results(range(options.first, options.first + count), layer, options.jobs, options.minutes):
        totals.take(result)
        if result.broken:
            print("\n".join(describe(result, layer)), flush=True)
        elif totals.runs % 100 == 0:
            print(next(totals.lines()), flush=True)
    print("\n".join(totals.lines()))
    missing = totals.missing()
    if missing:
        print(f"NEVER REACHED: {'; '.join(missing)}")
    return 1 if totals.broken or missing else 0


def read_plan(path: Path) -> Plan:
    """Read a saved plan."""
    return msgspec.json.decode(path.read_bytes(), type=Plan)


def _alone(result: Result, layer: Layer, *, story: bool) -> int:
    if story:
        print("\n".join(result.story))
    print(result.broken or "nothing broke")
    facts: dict[str, Any] = {
        "digest": result.digest, "virtual seconds": round(result.virtual_s, 1), "rounds": result.rounds,
        "orders": result.orders, "crashes": result.crashes, "faults": result.faults,
    }  # fmt: skip
    print(", ".join(f"{name} {fact}" for name, fact in facts.items()))
    return 1 if result.broken else 0


if __name__ == "__main__":
    sys.exit(main())
