"""Checks the request arrivals recorded by a judge against limits, using three counting methods. Does not import botkit.

    python tests/benchmarks/judge_count.py arrivals.json limits.json

``limits.json``: {counter: [[requests, seconds], ...]}. Prints one JSON object. For each counter and window, the object
contains the maximum number of arrivals by each counting method, the number of windows that exceeded the limit, and the
percentage of the limit used over all complete windows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PHASES = 60


def sliding(times: list[int], limit: int, length: int) -> tuple[int, int]:
    """Return the maximum number of arrivals in any window (t - length, t], and the number of arrivals over the
    limit.
    """
    most = over = first = 0
    for last, time in enumerate(times):
        while times[first] <= time - length:
            first += 1
        most = max(most, last - first + 1)
        over += last - first + 1 > limit
    return most, over


def fixed(times: list[int], limit: int, length: int) -> tuple[int, int]:
    """Count in fixed windows that start at multiples of the length, with sixty different offsets, and return the same
    two values as `sliding`.
    """
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
    """Return the highest level of a bucket that drains at limit/length, and the number of arrivals at a full bucket."""
    level = before = most = over = 0
    for time in times:
        level = max(0, level - (time - before) * limit) + length
        before = time
        most = max(most, level)
        over += level > limit * length
    return most / length, over


def used(times: list[int], limit: int, length: int) -> float | None:
    """Return the arrivals in complete windows since the first arrival, as a percentage of the limit."""
    if not times:
        return None
    whole = (times[-1] - times[0]) // length
    if not whole:
        return None
    return 100 * sum(time < times[0] + whole * length for time in times) / (whole * limit)


def count(arrivals: list[list[Any]], limits: dict[str, list[list[int]]]) -> dict[str, Any]:
    """Return the counts for all counters and windows, and the number of violations."""
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
