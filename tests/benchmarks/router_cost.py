"""Measures the router's cost: ``python tests/benchmarks/router_cost.py``.

Prints the microseconds per granted request in two scenarios, and the memory used by 100,000 queued creates. In the
first scenario, the router is idle and no request is queued (create, due, answered). In the second scenario, 3,000
requests are queued (due, next_due, answered, and a create that keeps the queue full; each grant and each response is a
separate turn). Times are CPU time on one core, including the small loop of the benchmark itself. The best of five runs
is reported. Goals: 6 us idle, 15 us with 3,000 queued, 200 MB.
"""

from __future__ import annotations

import platform
import sys
import time
import tracemalloc
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from botkit.engine.router.router import Router
from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.requests import Ending
from tests.router_world import START, order, table

ROUND_TRIP_NS = 80 * NS_PER_MS


def a_router(*, batching: bool) -> Router:
    return Router(table(), latest_accept_ns=2 * NS_PER_S, batching=batching)


def idle_us(count: int = 40_000) -> float:
    """Measure create, due and answered for consecutive orders below the limit."""
    router = a_router(batching=True)
    orders = [order(client_id) for client_id in range(1, count + 1)]
    now = START
    begin = time.process_time_ns()
    for waiting in orders:
        now += 60 * NS_PER_MS
        router.create(waiting, now)
        (request,) = router.due(now).requests
        router.answered(request.id, now + NS_PER_MS, Ending.OK)
    return (time.process_time_ns() - begin) / count / 1000


def crowded_us(*, batching: bool, waiting: int = 3_000, granted: int = 10_000) -> float:
    """Measure the time per granted request while the queue always contains ``waiting`` creates from four strategies."""
    router = a_router(batching=batching)
    orders = [order(n, f"s{n % 4}") for n in range(1, 1 + waiting + (10 if batching else 1) * granted + 100)]
    supply = iter(orders)
    for _ in range(waiting):
        router.create(next(supply), START)
    answers: deque[tuple[int, int]] = deque()
    count = 0
    now = START
    begin = time.process_time_ns()
    while count < granted:
        wake = router.next_due()
        if answers and (wake is None or answers[0][0] <= wake):
            now, request_id = answers.popleft()
            router.answered(request_id, now, Ending.OK)
        elif wake is not None and wake > now:
            now = wake
        for request in router.due(now).requests:
            count += 1
            answers.append((now + ROUND_TRIP_NS, request.id))
        for _ in range(waiting - router.waiting):
            router.create(next(supply), now)
    return (time.process_time_ns() - begin) / count / 1000


def queued_mb(count: int = 100_000) -> tuple[float, float]:
    """Return the memory in MB used by ``count`` queued creates with deadlines, first for the router alone and then
    including the orders themselves.
    """
    tracemalloc.start()
    orders = [order(n, f"s{n % 4}", expires=START + n * NS_PER_S) for n in range(1, count + 1)]
    of_orders = tracemalloc.get_traced_memory()[0]
    router = a_router(batching=True)
    for new in orders:
        assert router.create(new, START) is None
    router.due(START)
    total = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (total - of_orders) / 1e6, total / 1e6


class _Empty:
    def call(self) -> None:
        """Do nothing."""


def call_ns(count: int = 500_000) -> float:
    """Return the duration of an empty method call in nanoseconds: 26 on the idle reference machine, more on a shared
    machine.
    """
    call = _Empty().call
    begin = time.process_time_ns()
    for _ in range(count):
        call()
    return (time.process_time_ns() - begin) / count


def main() -> None:
    """Print the results."""
    print(
        f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}, {platform.machine()}"
    )
    print(f"an empty method call: {min(call_ns() for _ in range(5)):.0f} ns")
    print(f"idle: {min(idle_us() for _ in range(3)):.2f} us per order (create, due, answered)")
    for batching in (False, True):
        name = "with" if batching else "without"
        best = min(crowded_us(batching=batching) for _ in range(5))
        print(f"3,000 waiting, {name} batches: {best:.2f} us per granted request")
    alone, total = queued_mb()
    print(f"100,000 queued: {alone:.0f} MB, {total:.0f} MB with the orders")


if __name__ == "__main__":
    main()
