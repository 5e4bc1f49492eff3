"""Kills a recorder with SIGKILL repeatedly, and prints how much data each kill loses.

    python -m tests.benchmarks.recorder_kills [--kills 20] [--seed 1]

Each round records from a small exchange that publishes a trade every 20 ms, kills the recorder at a random time, and
compares the tape with the trades that the exchange had sent. The next round continues that tape, so every start also
converts a killed recorder's journal to Parquet. Some recorders are killed during that conversion.
"""

from __future__ import annotations

import argparse
import itertools
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.tape.tape import Tape
from tests.market_venue import MarketVenue

PAIRS = packaged_pairs()


def numbers(tape: Path) -> list[int]:
    scale = 10 ** PAIRS["btc_twd"].rules.price_decimals
    chunks = Tape.open(tape, PAIRS).read("btc_twd", "trades")
    return [int(t) // scale - 1_000_000 for columns in chunks for t in columns.ticks]  # type: ignore[union-attr]


def wait_for_rows(out: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a new journal has grown beyond its header."""
    begun = {path: path.stat().st_size for path in out.glob("journal/*.rows")}
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if any(path.stat().st_size > 1_000 for path in out.glob("journal/*.rows") if path not in begun):
            return
        assert process.poll() is None, "the recorder ended by itself"
        time.sleep(0.01)
    raise TimeoutError("the recorder records nothing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    lost_s: list[float] = []
    early = doubled = unmarked = 0
    with tempfile.TemporaryDirectory() as folder, MarketVenue(every_s=0.02, keep=50) as venue:
        out = Path(folder) / "tape"
        known: list[int] = []
        errors = (Path(folder) / "stderr").open("w+")
        for _ in range(given.kills):
            command = [sys.executable, "-m", "botkit", "record", "--pairs", "btc_twd", "--out", str(out)]
            process = subprocess.Popen(
                [*command, "--rest", venue.rest, "--ws", venue.ws], stderr=errors, stdout=subprocess.DEVNULL
            )
            if rng.random() < 0.7:
                wait_for_rows(out, process)
                time.sleep(rng.uniform(0.0, 2.0))
            else:  # during startup and the conversion of the previous journal to Parquet
                time.sleep(rng.uniform(0.2, 4.0))
            assert process.poll() is None, "the recorder ended by itself"
            process.kill()
            killed = time.time()
            process.wait()
            found = numbers(out) if any(out.rglob("*.rows")) or (out / "manifest.json").exists() else []
            doubled += len(found) - len(set(found))
            assert found[: len(known)] == known, "rows that were safely on disk are gone"
            if len(found) == len(known):
                early += 1  # the recorder died within its first second
            else:
                sent = {number: at for at, number in venue.trades}
                lost_s.append(killed - sent[found[-1]])
            known = found
        stream = Tape.open(out, PAIRS).stream("btc_twd", "trades")
        assert stream is not None
        for a, b in itertools.pairwise(known):
            if b != a + 1:
                at = next(when for when, number in venue.trades if number == a + 1) * 10**9
                unmarked += not any(start <= at <= end for start, end in stream.gaps)
    print(f"{given.kills} kills, {early} before anything was recorded, {len(known):,} trades kept")
    print(f"lost by a kill: {max(lost_s):.2f} s at most, {sum(lost_s) / len(lost_s):.2f} s on average")
    print(f"doubled rows: {doubled}; holes without a gap: {unmarked}")


if __name__ == "__main__":
    main()
