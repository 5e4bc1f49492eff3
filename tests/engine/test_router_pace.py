"""Throughput and queueing times measured against the documented limits, in virtual time with 1 to 80 ms of jitter in
each direction.
"""

from __future__ import annotations

from itertools import count

import pytest

from botkit.engine.router.router import Priority, Router
from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.limits import LimitTable
from tests.router_world import START, World, exceeded, make_balances, make_open_orders, order, resting, table


def world(limits: LimitTable, *, batching: bool, seed: int = 1) -> World:
    return World(Router(limits, latest_accept_ns=2 * NS_PER_S, batching=batching), seed=seed)


def arrived(times: list[int], minute: int) -> int:
    return sum(START + (minute - 1) * 60 * NS_PER_S <= t < START + minute * 60 * NS_PER_S for t in times)


@pytest.mark.parametrize("seed", [1, 2])
def test_three_thousand_creates_use_the_full_limit_and_never_exceed_it(seed: int) -> None:
    limits = table()
    w = world(limits, batching=False, seed=seed)
    for client_id in range(1, 3001):
        w.router.create(order(client_id), START)
    w.run()
    times = w.arrivals["create_order"]
    assert len(times) == 3000
    assert exceeded(w.arrivals, limits) == []
    assert arrived(times, 1) >= 0.995 * 1200
    assert arrived(times, 2) >= 0.995 * 1200
    assert max(times) - START <= 3000 / (0.995 * 1200) * 60 * NS_PER_S
    assert w.idle_wakes == 0  # no polling: every wake-up has work to do


def test_with_batches_a_backlog_is_sent_at_more_than_2050_orders_a_minute() -> None:
    limits = table()
    w = world(limits, batching=True)
    for client_id in range(1, 6301):
        w.router.create(order(client_id), START)
    w.run()
    assert len(w.orders_arrived) == len(set(w.granted)) == 6300
    assert exceeded(w.arrivals, limits) == []
    for minute in (1, 2, 3):
        assert arrived(w.orders_arrived, minute) >= 2050
    assert w.idle_wakes == 0
    assert w.router.statistics().batched >= 2600


def percentile(values: list[int], share: float) -> int:
    return sorted(values)[int(share * (len(values) - 1))]


@pytest.mark.parametrize("batching", [False, True])
def test_a_greedy_strategy_delays_neither_light_strategies_nor_cancels(batching: bool) -> None:
    limits = table()
    w = world(limits, batching=batching)
    asked: dict[int, int] = {}
    light: set[int] = set()
    ids = count(1)

    def create(strategy: str) -> None:
        client_id = next(ids)
        asked[client_id] = w.now
        if strategy != "greedy":
            light.add(client_id)
        assert w.router.create(order(client_id, strategy), w.now) is None

    def cancel(strategy: str) -> None:
        w.router.cancel(resting(next(ids), strategy), w.now)

    def read(strategy: str) -> None:
        ask = {"owner": strategy, "priority": Priority.PRIVATE_READ, "now": w.now}
        w.router.read(make_balances, endpoint="balance", **ask)  # type: ignore[arg-type]
        w.router.read(make_open_orders, endpoint="open_orders", **ask)  # type: ignore[arg-type]

    span = 180 * NS_PER_S
    every = {"greedy": 15, "light1": 2000, "light2": 2600, "light3": 3100}  # ms between creates
    for name, create_ms in every.items():
        for deed, ms in ((create, create_ms), (cancel, 400 if name == "greedy" else 1500), (read, 1700)):
            for time in range(START + 7 * NS_PER_MS, START + span, ms * NS_PER_MS):
                w.at(time, lambda deed=deed, name=name: deed(name))  # type: ignore[misc]
    w.run()
    assert exceeded(w.arrivals, limits) == []
    assert w.router.waiting == 0
    assert w.expired == []  # no limit order is dropped
    assert set(w.granted) == set(asked)
    assert len(asked) > 12_000
    use = {row.endpoint: row for row in w.router.statistics().endpoints}
    cancels = [use[endpoint] for endpoint in ("cancel_order", "cancel_batch") if endpoint in use]
    assert sum(row.requests + row.batched for row in cancels) >= 800
    assert max(row.wait_p99_ms or 0.0 for row in cancels) < 5
    waits = [w.granted[client_id] - asked[client_id] for client_id in sorted(light)]
    assert percentile(waits, 0.95) < 250 * NS_PER_MS
    assert percentile(waits, 1.0) < NS_PER_S


def test_a_light_strategys_orders_are_not_delayed_when_the_other_strategies_are_idle() -> None:
    w = world(table(), batching=True)
    for number in range(20):
        for client_id in range(20):  # twenty simultaneous orders every ten seconds
            w.at(
                START + number * 10 * NS_PER_S,
                lambda id=number * 100 + client_id + 1: w.router.create(order(id), w.now),  # type: ignore[misc]
            )
    w.run()
    assert len(w.granted) == 400
    assert w.router.statistics().orders_delayed == 0


def test_a_burst_delays_other_strategies_only_briefly() -> None:
    w = world(table(), batching=False)
    for client_id in range(1, 4001):
        w.router.create(order(client_id, "greedy"), START)
    asked = {}
    for number in range(170):
        client_id = 10_000 + number
        asked[client_id] = START + NS_PER_S + number * NS_PER_S
        w.at(asked[client_id], lambda id=client_id: w.router.create(order(id, "light"), w.now))  # type: ignore[misc]
    w.run()
    assert max(w.granted[client_id] - time for client_id, time in asked.items()) < 500 * NS_PER_MS
