"""The router and its windows: unknown outcomes, 429 responses and restarts."""

from __future__ import annotations

import pytest

from botkit.engine.router.router import Priority, Router, SentBefore
from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.limits import Scope
from botkit.model.requests import Ending
from tests.router_world import START, make_balances, most_in_sliding_window, order, resting, table

LATEST_NS = 3 * NS_PER_S
HOLD_1S = NS_PER_S + 100_000 + 2 * NS_PER_MS  # one second, plus 100 ppm, plus 2 ms


def a_router(**limits: tuple[int, int]) -> Router:
    return Router(table(**limits), latest_accept_ns=LATEST_NS, batching=False)


def test_aborted_requests_that_may_arrive_late_still_hold_their_slots() -> None:
    router = a_router(create_order=(4, 1))
    for client_id in range(1, 61):
        router.create(order(client_id), START)
    arrivals, sent = [], 0
    while (now := router.next_due()) is not None:
        for request in router.due(now).requests:
            sent += 1
            if sent % 10 == 0:
                router.answered(request.id, now, Ending.UNKNOWN)
                arrivals.append(now + LATEST_NS)
            else:
                router.answered(request.id, now, Ending.OK)
                arrivals.append(now)
    assert sent == 60
    assert most_in_sliding_window(arrivals, NS_PER_S) == 4


def test_a_read_holds_its_slot_after_an_abort_but_frees_it_after_an_unreadable_response() -> None:
    router = a_router(private=(1, 1))
    ask = {"endpoint": "balance", "owner": "a", "priority": Priority.PRIVATE_READ, "now": START}
    for _ in range(3):
        router.read(make_balances, **ask)  # type: ignore[arg-type]
    now = START
    (first,) = router.due(now).requests
    router.answered(first.id, now, Ending.UNKNOWN, responded=True)
    assert router.due(now).requests == []
    now = START + HOLD_1S
    assert router.next_due() == now
    (second,) = router.due(now).requests
    router.answered(second.id, now, Ending.UNKNOWN)
    assert router.due(now).requests == []
    assert router.next_due() == now + 60 * NS_PER_S + HOLD_1S


def test_a_create_holds_its_slot_even_if_a_response_arrived() -> None:
    router = a_router(create_order=(1, 1))
    router.create(order(1), START)
    (first,) = router.due(START).requests
    router.create(order(2), START)
    router.answered(first.id, START, Ending.UNKNOWN, responded=True)
    assert router.due(START).requests == []
    assert router.next_due() == START + LATEST_NS + HOLD_1S


def test_a_resolved_create_frees_its_slot_one_window_after_resolution() -> None:
    router = a_router(create_order=(1, 1))
    router.create(order(1), START)
    (first,) = router.due(START).requests
    router.create(order(2), START)
    assert router.due(START).requests == []
    router.answered(first.id, START + 5 * NS_PER_S, Ending.UNKNOWN)
    assert router.next_due() == START + 5 * NS_PER_S + LATEST_NS + HOLD_1S
    router.resolved(1, START + 6 * NS_PER_S)
    assert router.next_due() == START + 6 * NS_PER_S + HOLD_1S


def test_resolving_one_order_frees_the_slot_of_its_unresolved_batch() -> None:
    router = Router(table(create_order=(1, 60), create_batch=(1, 1)), latest_accept_ns=LATEST_NS)
    for client_id in range(1, 12):
        router.create(order(client_id), START)
    _, batch = router.due(START).requests
    assert batch.endpoint == "create_batch"
    router.answered(batch.id, START + NS_PER_S, Ending.UNKNOWN)
    router.resolved(5, START + 2 * NS_PER_S)
    router.resolved(6, START + 3 * NS_PER_S)
    for client_id in (12, 13):
        router.create(order(client_id), START + 3 * NS_PER_S)
    assert router.due(START + 3 * NS_PER_S).requests == []
    assert router.next_due() == START + 2 * NS_PER_S + HOLD_1S


def test_an_unsent_request_frees_its_slot_immediately() -> None:
    router = a_router(create_order=(1, 60))
    router.create(order(1), START)
    (first,) = router.due(START).requests
    router.create(order(2), START)
    assert router.due(START).requests == []
    router.answered(first.id, START, Ending.NOT_SENT)
    assert router.next_due() == START
    assert len(router.due(START).requests) == 1


def test_a_response_without_a_request_is_an_error_and_frees_no_slot() -> None:
    router = a_router(create_order=(1, 60))
    router.create(order(1), START)
    (request,) = router.due(START).requests
    router.answered(request.id, START, Ending.OK)
    with pytest.raises(KeyError):
        router.answered(request.id, START, Ending.OK)


def test_a_429_pauses_the_endpoint_lowers_its_limit_and_triggers_an_alert() -> None:
    router = a_router(create_order=(100, 60))
    router.create(order(1), START)
    (request,) = router.due(START).requests
    router.answered(request.id, START, Ending.RATE_LIMITED)
    (alarm,) = router.take_alarms()
    assert alarm.pool == "create_order"
    assert START + NS_PER_S <= alarm.until <= START + 2 * NS_PER_S
    assert alarm.limits == (80,)
    assert "create_order" in alarm.text
    assert router.paused_until("create_order") == alarm.until
    assert router.paused_until("cancel_order") is None
    router.create(order(2), START)
    assert router.due(START).requests == []
    assert router.next_due() == alarm.until
    assert len(router.due(alarm.until).requests) == 1
    assert router.paused_until("create_order") is None
    assert router.statistics().refused_by_exchange == 1
    assert router.take_alarms() == []


def test_simultaneous_429_responses_are_treated_as_a_single_event() -> None:
    router = a_router(create_order=(100, 60))
    for client_id in range(1, 4):
        router.create(order(client_id), START)
    requests = router.due(START).requests
    for request in requests:
        router.answered(request.id, START + 50 * NS_PER_MS, Ending.RATE_LIMITED)
    assert len(requests) == 3
    assert len(router.take_alarms()) == 1
    assert {row.refused for row in router.usage(START) if row.pool == "create_order"} == {3}


def test_the_pause_grows_with_repeated_429_responses_and_resets_after_a_window_without_any() -> None:
    router = a_router(create_order=(100, 60))
    now, pauses = START, []
    for client_id in range(1, 9):
        router.create(order(client_id), now)
        at = router.next_due()
        assert at is not None
        (request,) = router.due(at).requests
        router.answered(request.id, at, Ending.RATE_LIMITED)
        (alarm,) = router.take_alarms()
        pauses.append(alarm.until - at)
        now = alarm.until
    for pause, least_s in zip(pauses, [1, 2, 4, 8, 16, 32, 60, 60], strict=True):
        assert least_s * NS_PER_S <= pause <= 1.5 * least_s * NS_PER_S
    now += 200 * NS_PER_S
    router.create(order(99), now)
    (request,) = router.due(now).requests
    router.answered(request.id, now, Ending.RATE_LIMITED)
    assert router.take_alarms()[0].until - now <= 1.5 * NS_PER_S


def test_exits_and_cancels_keep_a_share_of_the_limit_during_a_429_pause() -> None:
    router = a_router(create_order=(120, 60), cancel_order=(60, 60))
    for ask in ("create", "cancel"):
        if ask == "create":
            router.create(order(1), START)
        else:
            router.cancel(resting(1), START)
        (request,) = router.due(START).requests
        router.answered(request.id, START, Ending.RATE_LIMITED)
    router.create(order(2), START)
    router.create(order(3, reduces=True), START)
    router.create(order(4, reduces=True), START)
    router.cancel(resting(5), START)
    first = router.due(START).requests
    assert [request.endpoint for request in first] == ["cancel_order", "create_order"]
    assert first[1].order.client_id == 3  # type: ignore[union-attr]
    # the next exit may be sent when a tenth of the limit permits it or when the pause ends; here, the pause ends sooner
    until = router.paused_until("create_order")
    assert router.next_due() == until


def test_a_restart_counts_only_the_requests_in_the_journal() -> None:
    router = a_router(create_order=(2, 60), cancel_order=(1, 60))
    now = START + 100 * NS_PER_S
    router.cool_down(
        [
            # this slot became free long ago
            SentBefore(endpoint="create_order", sent=START, answered=START + NS_PER_S),
            SentBefore(endpoint="create_order", sent=START, answered=now - 10 * NS_PER_S),
            SentBefore(endpoint="create_order", sent=now - NS_PER_S, client_ids=(41,)),  # no response was journaled
        ],
        now,
    )
    assert {window.pool for window in router.usage(now) if window.held} == {"create_order"}
    router.create(order(1), now)
    assert router.due(now).requests == []
    hold = 60 * NS_PER_S + 8 * NS_PER_MS
    assert router.next_due() == now - 10 * NS_PER_S + hold
    router.resolved(41, now - 20 * NS_PER_S)  # the exchange's listing shows that the order had arrived by that time
    assert router.next_due() == now - 20 * NS_PER_S + hold
    router.cancel(resting(2), now)
    assert len(router.due(now).requests) == 1  # the cancel window was never used


def test_the_last_slots_of_the_create_window_are_reserved_for_exits() -> None:
    router = a_router(create_order=(1200, 60))
    now, client_id, left = START, 0, 0
    while now < START + 60 * NS_PER_S:
        client_id += 1
        router.create(order(client_id), now)
        for request in router.due(now).requests:
            left += 1
            router.answered(request.id, now, Ending.OK)
        now += 10 * NS_PER_MS
    assert left == 1198
    router.create(order(900_001, reduces=True), now)
    router.create(order(900_002, reduces=True), now)
    router.create(order(900_003, reduces=True), now)
    assert [r.order.client_id for r in router.due(now).requests] == [900_001, 900_002]  # type: ignore[union-attr]


def test_urgent_reads_have_reserved_slots_and_are_not_paced() -> None:
    router = a_router(private=(100, 60))
    for _ in range(120):
        router.read(make_balances, endpoint="balance", owner="a", priority=Priority.PRIVATE_READ, now=START)
    sent = 0
    while (at := router.next_due()) is not None and at < START + 60 * NS_PER_S:
        for request in router.due(at).requests:
            sent += 1
            router.answered(request.id, at, Ending.OK)
    assert sent == 95
    now = START + 60 * NS_PER_S
    for _ in range(6):
        router.read(make_balances, endpoint="balance", owner="b", priority=Priority.PRIVATE_READ, now=now, urgent=True)
    assert len(router.due(now).requests) == 5


def test_usage_includes_every_scope_of_a_window() -> None:
    router = a_router()
    router.create(order(1), START)
    router.due(START)
    rows = [row for row in router.usage(START) if row.pool == "create_order"]
    assert [row.scope for row in rows] == [Scope.IP, Scope.ACCOUNT]
    assert {(row.limit, row.in_force, row.per_s, row.held) for row in rows} == {(1200, 1200, 60, 1)}
    assert rows[0].peak_percent == pytest.approx(100 / 1200)
