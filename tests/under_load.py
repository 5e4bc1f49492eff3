"""Runs the tests repeatedly while other processes keep every core busy.

    python -m tests.under_load                                 the README's test command, 20 times
    python -m tests.under_load --times 5 tests/live -n 2       5 times, passing the other arguments to pytest

Prints one line per run, and every test that failed. A test that fails only under load indicates a defect. The defect is
in the test if the test depends on the speed of the machine; otherwise it is in botkit.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

_SPIN = "while True: pass"


@contextlib.contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """Keep this many cores busy."""
    spinning = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def main() -> int:
    """Run the tests, count failures, and fail if any test failed in any run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--times", type=int, default=20, metavar="N", help="Runs.  [default: 20]")
    parser.add_argument(
        "--busy", type=int, default=os.cpu_count() or 1, metavar="N", help="Busy processes.  [default: one a core]"
    )
    given, rest = parser.parse_known_args()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(rest or ["-n", "auto"])]
    failed: Counter[str] = Counter()
    broken = 0
    with busy_cores(given.busy):
        for number in range(1, given.times + 1):
            began = time.monotonic()
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            names = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
            failed.update(names)
            told = done.stdout.strip().splitlines() or ["nothing was printed"]
            print(f"{number:3} in {time.monotonic() - began:.0f} s: {told[-1]}", flush=True)
            if done.returncode:
                broken += 1
                print(done.stdout, file=sys.stderr, flush=True)
    print(f"{broken} of {given.times} runs failed")
    for name, count in failed.most_common():
        print(f"{count:3} times {name}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
