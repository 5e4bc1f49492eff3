"""Checks whether the router obeys the limits, with a judge that is independent of the router. ``--only NAME`` runs a
single part.

    python tests/benchmarks/limits_judge.py [--only creates|mixed|batches|broker|redis|kills] [--window 60]

The judge runs in a separate process and timestamps arrivals after a delay of 1 to 80 ms. A script that does not import
botkit counts the arrivals in sliding windows, in fixed windows and with a leaky bucket. Prints a line for each part,
and exits with code 1 if a guarantee is violated.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
#: the documented limits per minute; ``--window`` scales both the one-minute windows and their limits
LIMITS = {
    "create_order": [1200, 60],
    "create_batch": [90, 60],
    "cancel_order": [900, 60],
    "cancel_batch": [2, 1],
    "open_orders": [5, 1],
    "private": [600, 60],
}
REDIS_PORT = 16379


def limits_for(window_s: int) -> dict[str, list[list[int]]]:
    """Return the limits table with windows of ``window_s`` seconds instead of a minute, at an unchanged rate."""
    return {
        name: [[max(1, requests * window_s // per_s), window_s] if per_s == 60 else [requests, per_s]]
        for name, (requests, per_s) in LIMITS.items()
    }


class Trial:
    """Runs a judge and senders, and returns the verdict."""

    def __init__(self, folder: Path, limits: dict[str, list[list[int]]], *, most_ms: float = 80) -> None:
        self.folder = folder
        self.limits = limits
        self.out = folder / "arrivals.json"
        command = [sys.executable, str(HERE / "judge_server.py"), "--out", str(self.out), "--most-ms", str(most_ms)]
        self._judge = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._judge.stdout is not None
        self.senders: list[subprocess.Popen[str]] = []
        self.url = f"http://127.0.0.1:{int(self._judge.stdout.readline())}"

    def send(self, *options: str) -> subprocess.Popen[str]:
        """Start a sender."""
        command = [sys.executable, str(HERE / "judge_sender.py"), "--url", self.url, *options]
        command += ["--limits", json.dumps(self.limits)]
        sender = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.senders.append(sender)
        return sender

    def until_sending(self) -> None:
        """Wait until every sender has received a response."""
        for sender in self.senders:
            assert sender.stdout is not None
            said = sender.stdout.readline()
            assert said == "sending\n", f"a sender ended before it had an answer: {said!r}"

    def until_busy(self, counter: str, percent: float, *, since: int = 0, within_s: float = 120.0) -> int:
        """Wait until the arrivals, not counting the first ``since``, have used this percentage of the limit in a
        window. Return the total number of requests that have arrived.
        """
        [[limit, seconds]] = self.limits[counter]
        end = time.monotonic() + within_s
        while True:
            with urllib.request.urlopen(f"{self.url}/judge/busiest/{counter}/{seconds}?since={since}") as answer:
                found = json.load(answer)
            if found["busiest"] >= limit * percent / 100:
                return int(found["arrivals"])
            assert time.monotonic() < end, f"no window was used to {percent} %: {found} of {limit}"
            time.sleep(0.05)

    def stop(self) -> None:
        """Ask the senders to shut down cleanly."""
        for sender in self.senders:
            sender.send_signal(signal.SIGTERM)

    def verdict(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Wait for the senders to exit, stop the judge, and run the counting script."""
        told = []
        for sender in self.senders:
            text, _ = sender.communicate()
            told += [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        self._judge.send_signal(signal.SIGTERM)
        self._judge.wait()
        limits = self.folder / "limits.json"
        limits.write_text(json.dumps(self.limits))
        command = [sys.executable, str(HERE / "judge_count.py"), str(self.out), str(limits)]
        counted = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(counted.stdout), told

    def kill(self) -> None:
        """Kill every process that is still running."""
        for process in [*self.senders, self._judge]:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


@contextmanager
def trial(limits: dict[str, list[list[int]]], *, most_ms: float = 80) -> Iterator[Trial]:
    """Set up a trial in a separate folder."""
    with tempfile.TemporaryDirectory(prefix="judge") as folder:
        made = Trial(Path(folder), limits, most_ms=most_ms)
        try:
            yield made
        finally:
            made.kill()


@contextmanager
def redis_server(folder: Path, port: int = REDIS_PORT) -> Iterator[str]:
    """Start a separate Redis server and yield its URL."""
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(folder), "--bind", "127.0.0.1"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True, check=False).returncode:
            assert server.poll() is None, "the Redis server ended"
            assert time.monotonic() < end, "the Redis server does not answer"
            time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


def broker_pid(folder: Path) -> int:
    """Return the process ID of a folder's broker, found by its command line (Linux)."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"botkit.live.limits.broker_process" in words and os.fsencode(folder) in words:
                return int(entry.name)
    raise LookupError(f"no broker serves {folder}")


def used(verdict: dict[str, Any], counter: str) -> float:
    """Return a counter's usage as a percentage of its limit."""
    rows = verdict["counters"].items()
    return next((float(row["used_percent"] or 0) for name, row in rows if name.startswith(counter)), 0.0)


def part_creates(window_s: int) -> dict[str, Any]:
    """Send 3,000 creates as fast as the limits allow."""
    with trial(limits_for(window_s)) as judged:
        judged.send("--seconds", "200", "--creates", str(50 * window_s))
        verdict, _ = judged.verdict()
    percent = used(verdict, "create_order")
    return {"violations": verdict["violations"], "used_percent": percent, "kept": percent >= 99.5, **verdict}


def part_mixed(window_s: int) -> dict[str, Any]:
    """Run one greedy strategy and three light ones."""
    with trial(limits_for(window_s)) as judged:
        seconds = str(3 * window_s)
        judged.send("--seconds", seconds, "--creates", "3000", "--refill", "--light", "3")
        verdict, (told,) = judged.verdict()
    light = max(p95 for owner, p95 in told["wait_p95_ms"].items() if owner.startswith("light"))
    kept = told["cancel_p99_ms"] < 5 and light < 250 and not told["refused"]
    return {"light_p95_ms": light, "cancel_p99_ms": told["cancel_p99_ms"], "kept": kept, **verdict}


def part_batches(window_s: int) -> dict[str, Any]:
    """Measure how many orders per minute are sent when batching is used."""
    with trial(limits_for(window_s)) as judged:
        judged.send("--seconds", str(window_s * 2 + 5), "--creates", "6000", "--refill", "--batching")
        verdict, _ = judged.verdict()
        arrivals = json.loads(judged.out.read_text())
    first = min(at for counter, at, _ in arrivals if counter.startswith("create"))
    length = 2 * window_s * 1_000_000_000
    a_minute = sum(n for _, at, n in arrivals if at < first + length) * 30 / window_s
    return {"orders_a_minute": a_minute, "kept": a_minute >= 2050, **verdict}


def part_broker(window_s: int) -> dict[str, Any]:
    """Run two processes that share limits through the broker."""
    with trial(limits_for(window_s)) as judged:
        for _ in range(2):
            judged.send(
                "--ledger", str(judged.folder / "b"), "--seconds", str(window_s + 3), "--creates", "3000", "--refill"
            )
        verdict, told = judged.verdict()
    percent = used(verdict, "create_order")
    return {"used_percent": percent, "shares": [t["sent"] for t in told], "kept": percent >= 97, **verdict}


def part_redis(window_s: int) -> dict[str, Any]:
    """Run three processes that share limits through Redis. A new ledger in Redis becomes available after one window."""
    if shutil.which("redis-server") is None:
        return {"violations": 0, "kept": True, "skipped": "no redis-server here"}
    with trial(limits_for(window_s)) as judged, redis_server(judged.folder) as url:
        for _ in range(3):
            judged.send("--ledger", url, "--seconds", str(window_s + 3), "--creates", "3000", "--refill")
        verdict, told = judged.verdict()
    percent = used(verdict, "create_order")
    return {"used_percent": percent, "shares": [t["sent"] for t in told], "kept": percent >= 97, **verdict}


def part_kills(window_s: int) -> dict[str, Any]:
    """Kill one of three processes that hold slots, then kill the broker."""
    with trial(limits_for(window_s)) as judged:
        folder = judged.folder / "b"
        for _ in range(3):
            judged.send("--ledger", str(folder), "--seconds", str(2 * window_s + 5), "--creates", "3000", "--refill")
        time.sleep(2 + window_s / 3)
        judged.senders[0].kill()
        time.sleep(window_s / 3)
        os.kill(broker_pid(folder), signal.SIGKILL)
        verdict, told = judged.verdict()
    return {"used_percent": used(verdict, "create_order"), "kept": len(told) == 2, **verdict}


PARTS = {
    "creates": part_creates,
    "mixed": part_mixed,
    "batches": part_batches,
    "broker": part_broker,
    "redis": part_redis,
    "kills": part_kills,
}


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--window", type=int, default=60, help="seconds in place of a minute (less: only a rehearsal)")
    options = parser.parse_args()
    wrong = 0
    for name in options.only or PARTS:
        result = PARTS[name](options.window)
        is_well = result["kept"] and not result["violations"]
        wrong += not is_well
        print(f"{name}: {'kept' if is_well else 'BROKEN'} {json.dumps(result)}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
