"""Runs seeds sequentially or in several processes, and reports their results.

python -m tests.simulation --seeds 50                                      seeds 0 to 49 of layer whole
python -m tests.simulation --layer core --from 1000 --seeds 200 --jobs 2
python -m tests.simulation --minutes 30                                    as many seeds as fit
python -m tests.simulation --seeds 200000 --jobs 2 --resume core.jsonl     in pieces; run again to continue
python -m tests.simulation --seed 17 --story                               one seed, with all events
python -m tests.simulation --compiled --seeds 50                           over the compiled form, in a copy
python -m tests.simulation --replay FILE                                   a saved plan, such as a regression test
python -m tests.simulation --shrink 17                                     shorten a broken seed's plan and save it
"""

from __future__ import annotations

import argparse
import gc
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.simulation.branches import unwatched
from tests.simulation.loop import collect, quiet_dead
from tests.simulation.market import MARKETS
from tests.simulation.mutants import hunt
from tests.simulation.pieces import Kept, Piece, carried_out, commit, left, merged
from tests.simulation.plan import FAULT_CLASSES, Layer, Plan, draw
from tests.simulation.reached import NAMED
from tests.simulation.world import Result, carry_out

#: number of seeds in a piece
_PIECE: dict[Layer, int] = {"core": 200, "whole": 50}
_SAID_EVERY_S = 60.0
#: in a run of at least this many seeds, any fault class or named branch that is never reached counts as a failure
_LONG_RUN = 500
_MEMORY = Path("/dev/shm")


def run_plan(plan: Plan) -> Result:
    """Run a plan in an in-memory folder."""
    folder = Path(tempfile.mkdtemp(prefix="botkit-sim-", dir=_MEMORY if _MEMORY.is_dir() else None))
    # collect garbage only between seeds, because a seed's result must not depend on when garbage is collected; objects
    # that exist before a seed starts are exempt
    gc.freeze()
    gc.disable()
    try:
        with quiet_dead():
            return carry_out(plan, folder)
    finally:
        collect()
        gc.enable()
        shutil.rmtree(folder, ignore_errors=True)


def _short(seed: int, layer: Layer) -> Result:
    """Run a seed and return its result without the history."""
    return msgspec.structs.replace(run_plan(draw(seed, layer)), story=[])


def lines(total: Piece) -> Iterator[str]:
    """Yield the report on merged pieces line by line."""
    yield (
        f"layer {total.layer}, commit {total.commit[:12]}: {total.seeds} seeds, {total.counted} of them count, "
        f"{len(total.broken)} broken; {total.orders} orders, {total.crashes} crashes, {total.starts} starts, "
        f"{total.virtual_s / 3600:.1f} h of virtual time; "
        f"{1000 * total.cpu_s / max(1, total.seeds):.0f} ms of CPU a seed"
    )
    yield "faults: " + ", ".join(f"{kind} {total.faults.get(kind, 0)}" for kind in sorted(FAULT_CLASSES))
    yield "branches:"
    for key, name in sorted(NAMED.items()):
        yield f"  {total.reached.get(key, 0):7}  {name}"
    for name, count in sorted(total.reached.items()):
        if name not in NAMED:
            yield f"  {count:7}  ({name})"


def missing(total: Piece) -> list[str]:
    """Return the fault classes and branches that a long run should have reached but did not."""
    if total.seeds < _LONG_RUN:
        return []
    kinds = [f"fault {kind}" for kind in FAULT_CLASSES if not total.faults.get(kind)]
    blind = unwatched()
    return kinds + [name for key, name in NAMED.items() if not total.reached.get(key) and name not in blind]


def describe(seed: int, broken: str, layer: Layer) -> Iterator[str]:
    """Yield a description of a run that broke an invariant, with commands to repeat the run and to shorten its plan."""
    yield f"BROKEN  layer {layer}, seed {seed}: {broken}"
    yield f"  again:   python -m tests.simulation --layer {layer} --seed {seed} --story"
    yield f"  shorter: python -m tests.simulation --layer {layer} --shrink {seed}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return 1 if an invariant was violated or coverage was insufficient."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, help="how many (default 20, or as many as fit into --minutes)")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--layer", choices=("core", "whole"), default="whole")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="keep finished pieces there, and go on with it")
    parser.add_argument("--seed", type=int, help="one seed alone")
    parser.add_argument("--long", action="store_true", help="with --seed: its long plan, whatever its size")
    parser.add_argument("--story", action="store_true", help="with --seed or --replay: print what happened")
    parser.add_argument("--replay", type=Path, help="a kept plan")
    parser.add_argument("--shrink", type=int, metavar="SEED", help="make a broken seed's story short")
    parser.add_argument(
        "--mutants", action="store_true", help="plant faults, and check that each is caught within --seeds"
    )
    parser.add_argument("--part", default="", help="with --mutants: those of one part, such as guard, or of one name")
    parser.add_argument(
        "--compiled", nargs="?", const="", metavar="FOLDER",
        help="run the same over a compiled copy of this checkout; the folder keeps what was compiled for the next time",
    )  # fmt: skip
    parser.add_argument("--planted", default="", help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, help="with --shrink: the file for the short plan")
    options = parser.parse_args(arguments)
    layer: Layer = options.layer
    if options.compiled is not None:
        if options.resume is not None or options.shrink is not None:
            parser.error("--resume and --shrink keep files in the checkout, which --compiled leaves alone")
        return _over_compiled(options, list(sys.argv[1:] if arguments is None else arguments))
    if options.replay is not None or options.seed is not None:
        is_long = True if options.long else None
        plan = draw(options.seed, layer, is_long=is_long) if options.replay is None else read_plan(options.replay)
        return _alone(run_plan(plan), plan.layer, story=options.story)
    if options.shrink is not None:
        from tests.simulation.shrink import shrink_seed

        return shrink_seed(options.shrink, layer, options.keep)
    if options.mutants:
        return hunt(
            options.seeds or 50, options.first, options.part, lambda plan: run_plan(plan).broken, options.planted
        )
    count = options.seeds or (20 if options.minutes is None else 10**9)
    return _long(options.first, count, layer, options.jobs, options.minutes, Kept(options.resume))


def _over_compiled(options: argparse.Namespace, arguments: list[str]) -> int:
    """Run the command over a compiled copy."""
    from tests.simulation.compiled import CompiledCopy, hunt_compiled

    with tempfile.TemporaryDirectory(prefix="botkit-compiled-") as folder:
        copy = CompiledCopy(Path(options.compiled or folder).absolute())
        if options.mutants:
            return hunt_compiled(copy, options.seeds or 50, options.first, options.part)
        copy.compile({})
        at = next(i for i, word in enumerate(arguments) if word.startswith("--compiled"))
        has_folder = bool(options.compiled) and "=" not in arguments[at]
        return copy.run(["-m", "tests.simulation", *arguments[:at], *arguments[at + 1 + has_folder :]]).returncode


def _long(first: int, seeds: int, layer: Layer, jobs: int, minutes: float | None, kept: Kept) -> int:
    this = commit()
    done = kept.read(this, layer)
    for piece in done:
        for seed, broken in piece.broken:
            print("\n".join(describe(seed, broken, layer)), flush=True)
    if done:
        print(f"{sum(piece.seeds for piece in done)} seeds of this commit were run before", flush=True)
    warm(layer)
    began = said = time.monotonic()
    until = None if minutes is None else began + 60 * minutes
    size = max(1, min(_PIECE[layer], seeds // (4 * jobs)))
    pieces = (Piece(commit=this, layer=layer, first=at, seeds=count) for at, count in left(first, seeds, size, done))
    fresh = 0
    for piece in carried_out(pieces, _short, jobs, until):
        kept.add(piece)
        done.append(piece)
        fresh += piece.seeds
        for seed, broken in piece.broken:
            print("\n".join(describe(seed, broken, layer)), flush=True)
        if time.monotonic() - said > _SAID_EVERY_S:
            said = time.monotonic()
            print(f"{next(lines(merged(done)))}, {fresh / (said - began):.2f} seeds/s", flush=True)
    if not done:
        print("no seed was run")
        return 1
    total = merged(done)
    print("\n".join(lines(total)))
    print(f"{fresh} seeds now, {fresh / (time.monotonic() - began):.2f} a second with {jobs} at a time")
    never = missing(total)
    if never:
        print(f"NEVER REACHED: {'; '.join(never)}")
    return 1 if total.broken or never else 0


def warm(layer: Layer) -> None:
    """Create the data shared by all seeds, so that processes forked from this one inherit it."""
    for seed in range(MARKETS):
        run_plan(msgspec.structs.replace(draw(seed, layer), acts=(), faults=(), crashes=(), active_ms=45_000))


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
