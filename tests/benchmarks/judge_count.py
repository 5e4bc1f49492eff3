"""Counts a judge's arrivals against limits in three ways; does not import botkit.

    python tests/benchmarks/judge_count.py arrivals.json limits.json

``limits.json``: {counter: [[requests, seconds], ...]}. Prints one JSON object: per counter and window the most arrivals
by each way of counting, how many windows were exceeded, and the part of the limit that was used in whole windows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PHASES = 60


def sliding(times: list[int], limit: int, length: int) -> tuple[int, int]:
    """Return the most arrivals in any (t - length, t], and how many arrivals were over the limit."""
    most = over = first = 0
    for last, time in enumerate(times):
        while times[first] <= time - length:
            first += 1
        most = max(most, last - first + 1)
        over += last - first + 1 > limit
    return most, over


def fixed(times: list[int], limit: int, length: int) -> tuple[int, int]:
    """Do the same for windows that begin at multiples of the length, at sixty different phases."""
    most = over = 0
    for phase in range(PHASES):
        counts: dict[int, int] = {}
        for time in times:
            number = (time - length * phase // PHASES) // length
            counts[number] = counts.get(number, 0) + 1
        most = max(most, *counts.values(), 0)
        over += sum(count > limit for count in counts.values())
    return most, over


def bucket(times: list[int], limit: int, length: int) -> tuple[float, int]:
    """Return the highest level of a bucket that drains at limit/length, and how many arrivals found it full."""
    level = before = most = over = 0
    for time in times:
        level = max(0, level - (time - before) * limit) + length
        before = time
        most = max(most, level)
        over += level > limit * length
    return most / length, over


def used(times: list[int], limit: int, length: int) -> float | None:
    """Return the arrivals in whole windows since the first one, in percent of the limit."""
    if not times:
        return None
    whole = (times[-1] - times[0]) // length
    if not whole:
        return None
    return 100 * sum(time < times[0] + whole * length for time in times) / (whole * limit)


def count(arrivals: list[list[Any]], limits: dict[str, list[list[int]]]) -> dict[str, Any]:
    """Return the verdict."""
    counters: dict[str, Any] = {}
    violations = 0
    for name, windows in limits.items():
        times = sorted(time for counter, time, _ in arrivals if counter == name)
        if not times:
            continue
        for requests, seconds in windows:
            length = seconds * 1_000_000_000
            ways = {
                "sliding": sliding(times, requests, length),
                "fixed": fixed(times, requests, length),
                "bucket": bucket(times, requests, length),
            }
            violations += sum(over for _, over in ways.values())
            counters[f"{name} {requests}/{seconds} s"] = {
                "arrivals": len(times),
                **{way: round(most, 1) for way, (most, _) in ways.items()},
                "used_percent": used(times, requests, length),
            }
    orders = sum(n for _, _, n in arrivals)
    times = sorted(time for counter, time, _ in arrivals if counter.startswith("create"))
    span_s = (times[-1] - times[0]) / 1e9 if times else 0.0
    return {"violations": violations, "orders": orders, "span_s": span_s, "counters": counters}


if __name__ == "__main__":
    print(json.dumps(count(*(json.loads(Path(path).read_text()) for path in sys.argv[1:3]))))
