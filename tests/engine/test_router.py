"""The router's send order: which requests are sent first, which are batched, and which are never sent."""

from __future__ import annotations

import pytest

from botkit.engine.router.reports import Due
from botkit.engine.router.router import Priority, Router, Withdrawal
from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.orders import OrderState, OrderType
from botkit.model.requests import CancelBatch, CancelOrder, CreateBatch, CreateOrder, Ending, Request
from tests.router_world import START, client_ids, make_balances, make_open_orders, order, resting, table


def a_router(*, batching: bool = False, queue_max: int = 100_000, **limits: tuple[int, int]) -> Router:
    return Router(table(**limits), latest_accept_ns=2 * NS_PER_S, batching=batching, queue_max=queue_max)


def sent_ids(requests: list[Request]) -> list[list[int]]:
    return [list(client_ids(request)) for request in requests]


def fill_up(router: Router, requests: int) -> None:
    """Fill the create window for the duration of the test."""
    for number in range(requests):
        assert router.create(order(10_000 + number, "earlier", reduces=True), START) is None
    assert len(router.due(START).requests) == requests


def test_an_order_is_sent_immediately_when_the_queue_is_empty() -> None:
    router = a_router()
    assert router.create(order(1, post_only=True), START) is None
    assert router.is_waiting(order(1)) is False  # a different order that has the same client ID
    (request,) = router.due(START).requests
    assert isinstance(request, CreateOrder)
    assert (request.id, request.timestamp) == (1, START)
    assert (request.order.client_id, request.order.post_only) == (1, True)
    assert router.next_due() is None
    assert router.due(START) == Due([], [], [])


def test_a_light_strategys_first_orders_are_sent_immediately_without_pacing() -> None:
    router = a_router()
    for client_id in range(1, 41):
        router.create(order(client_id), START)
    assert len(router.due(START).requests) == 40


def test_cancels_are_sent_first_then_exits_then_creates_then_reads() -> None:
    router = a_router()
    router.read(make_open_orders, endpoint="open_orders", owner="a", priority=Priority.PUBLIC_READ, now=START)
    router.read(make_balances, endpoint="balance", owner="a", priority=Priority.PRIVATE_READ, now=START)
    router.create(order(1), START)
    router.create(order(2, reduces=True), START)
    router.cancel(resting(3), START)
    requests = router.due(START).requests
    assert [r.endpoint for r in requests] == ["cancel_order", "create_order", "create_order", "balance", "open_orders"]
    assert sent_ids(requests) == [[], [2], [1], [], []]
    assert len({request.id for request in requests}) == 5


def test_cancels_do_not_wait_behind_a_full_queue_of_creates() -> None:
    router = a_router(create_order=(1, 60))
    for client_id in range(1, 3001):
        router.create(order(client_id), START)
    router.due(START)
    router.cancel(resting(9001), START + NS_PER_MS)
    assert router.next_due() == START + NS_PER_MS
    (request,) = router.due(START + NS_PER_MS).requests
    assert request == CancelOrder(id=2, pair=order(1).pair, order_id="709001", client_id=9001)


def test_cancels_and_exits_are_not_paced() -> None:
    router = a_router()
    for client_id in range(1, 301):
        router.cancel(resting(client_id), START)
        router.create(order(1000 + client_id, reduces=True), START)
    assert len(router.due(START).requests) == 600


def test_strategies_take_turns_sending() -> None:
    router = a_router(create_order=(6, 60))
    for client_id in range(1, 101):
        router.create(order(client_id, "greedy"), START)
    for client_id in (201, 202):
        router.create(order(client_id, "light"), START)
    router.create(order(301, "lighter"), START)
    assert sent_ids(router.due(START).requests) == [[1], [201], [301], [2], [202], [3]]


def test_cancelling_a_queued_create_removes_both_requests_from_the_queue() -> None:
    router = a_router(create_order=(1, 60))
    fill_up(router, 1)
    waiting = order(1)
    router.create(waiting, START)
    assert router.is_waiting(waiting)
    assert router.cancel(waiting, START) is Withdrawal.WITHDRAWN
    assert not router.is_waiting(waiting)
    assert router.waiting == 0
    assert router.next_due() is None


def test_a_create_placed_in_the_same_turn_is_withdrawn_by_its_cancel() -> None:
    router = a_router()
    fresh = order(1)
    router.create(fresh, START)
    assert router.cancel(fresh, START) is Withdrawal.WITHDRAWN
    assert router.due(START).requests == []


def test_a_repeated_cancel_is_sent_only_after_the_response_to_the_first_arrives() -> None:
    router = a_router()
    placed = resting(1)
    assert router.cancel(placed, START) is Withdrawal.QUEUED
    assert router.cancel(placed, START) is Withdrawal.DUPLICATE
    (request,) = router.due(START).requests
    assert router.cancel(placed, START) is Withdrawal.DUPLICATE
    router.answered(request.id, START + NS_PER_MS, Ending.UNKNOWN)
    assert router.cancel(placed, START + NS_PER_MS) is Withdrawal.QUEUED


@pytest.mark.parametrize("others", [0, 1, 5])
def test_a_cancel_for_a_final_order_uses_no_slot(others: int) -> None:
    router = a_router(batching=True)
    placed = resting(1)
    router.cancel(placed, START)
    for client_id in range(2, 2 + others):
        router.cancel(resting(client_id), START)
    placed.state = OrderState.FILLED
    requests = router.due(START).requests
    assert len(requests) == min(others, 1)
    assert router.waiting == 0
    cancelled = [r.client_ids if isinstance(r, CancelBatch) else (r.client_id,) for r in requests]  # type: ignore[union-attr]
    assert [c for ids in cancelled for c in ids] == list(range(2, 2 + others))


def test_a_replaced_create_keeps_its_queue_position() -> None:
    router = a_router(create_order=(1, 60))
    fill_up(router, 1)
    first, second, third = order(1), order(2), order(3)
    for waiting in (first, second, third):
        router.create(waiting, START)
    assert router.replace_waiting(first, order(11, price_ticks=999), START)
    assert not router.replace_waiting(first, order(12), START)
    router.answered(1, START, Ending.NOT_SENT)
    (request,) = router.due(START).requests
    assert isinstance(request, CreateOrder)
    assert (request.order.client_id, request.order.price_ticks) == (11, 999)


def test_a_replacement_in_a_different_priority_class_joins_the_queue_of_that_class() -> None:
    router = a_router(create_order=(1, 60))
    fill_up(router, 1)
    first, second = order(1), order(2)
    router.create(first, START)
    router.create(second, START)
    assert router.replace_waiting(second, order(12, reduces=True), START)
    router.answered(1, START, Ending.NOT_SENT)
    assert sent_ids(router.due(START).requests) == [[12]]


def test_an_expired_queue_entry_is_returned_exactly_at_its_deadline() -> None:
    router = a_router(create_order=(1, 60), open_orders=(1, 60))
    fill_up(router, 1)
    late, patient = order(1, expires=START + 5 * NS_PER_S), order(2)
    router.create(late, START)
    router.create(patient, START)
    read = {"endpoint": "open_orders", "owner": "a", "priority": Priority.PRIVATE_READ, "now": START}
    router.read(make_open_orders, **read)  # type: ignore[arg-type]
    ticket = router.read(make_open_orders, deadline=START + 6 * NS_PER_S, **read)  # type: ignore[arg-type]
    assert len(router.due(START).requests) == 1
    assert router.next_due() == START + 5 * NS_PER_S
    assert router.due(START + 5 * NS_PER_S - 1) == Due([], [], [])
    assert router.due(START + 5 * NS_PER_S).expired == [late]
    assert router.next_due() == START + 6 * NS_PER_S
    (dropped,) = router.due(START + 6 * NS_PER_S).dropped
    assert (dropped.ticket, dropped.endpoint, dropped.owner) == (ticket, "open_orders", "a")
    assert router.next_due() is None
    assert router.is_waiting(patient)
    assert router.statistics().dropped == 2


def test_an_order_and_a_read_that_wait_together_keep_their_own_deadlines() -> None:
    router = a_router(create_order=(1, 60), open_orders=(1, 60))
    fill_up(router, 1)
    read = {"endpoint": "open_orders", "owner": "a", "priority": Priority.PRIVATE_READ, "now": START}
    router.read(make_open_orders, **read)  # type: ignore[arg-type]
    assert len(router.due(START).requests) == 1
    late = [order(n, expires=START + n * NS_PER_S) for n in range(1, 7)]
    for waiting in late:
        router.create(waiting, START)
    tickets = [router.read(make_open_orders, deadline=START + 9 * NS_PER_S, **read) for _ in late]  # type: ignore[arg-type]
    assert router.due(START + 8 * NS_PER_S) == Due([], late, [])
    assert [dropped.ticket for dropped in router.due(START + 9 * NS_PER_S).dropped] == tickets


def test_an_order_that_expired_in_the_queue_is_not_sent_even_if_the_queue_is_empty() -> None:
    router = a_router()
    late = order(1, expires=START)
    router.create(late, START)
    assert router.due(START) == Due([], [late], [])


def test_a_full_queue_refuses_creates_and_drops_reads_but_accepts_cancels() -> None:
    router = a_router(queue_max=2, create_order=(1, 60))
    fill_up(router, 1)
    assert router.create(order(1), START) is None
    assert router.create(order(2), START) is None
    reason = router.create(order(3), START)
    assert reason is not None
    assert "queue is full" in reason
    assert router.cancel(resting(4), START) is Withdrawal.QUEUED
    ticket = router.read(make_balances, endpoint="balance", owner="a", priority=Priority.PRIVATE_READ, now=START)
    assert router.next_due() == START
    assert [dropped.ticket for dropped in router.due(START).dropped] == [ticket]


def test_a_read_is_built_when_it_is_sent_and_its_ticket_becomes_its_request_id() -> None:
    router = a_router()
    ticket = router.read(make_balances, endpoint="balance", owner="a", priority=Priority.PRIVATE_READ, now=START)
    (request,) = router.due(START).requests
    assert request.id == ticket
    assert not router.forget_read(ticket)


def test_a_removed_read_is_neither_sent_nor_reported_as_dropped() -> None:
    router = a_router()
    ticket = router.read(
        make_balances, endpoint="balance", owner="a", priority=Priority.PRIVATE_READ, now=START, deadline=START + 1
    )
    assert router.forget_read(ticket)
    assert router.due(START + 2) == Due([], [], [])
    assert router.waiting == 0


# -- batches ----------------------------------------------------------------------------------------------------------


def test_a_backlog_is_sent_in_batches_of_ten_per_strategy() -> None:
    router = a_router(batching=True, create_order=(2, 60))
    for client_id in range(1, 26):
        router.create(order(client_id, "a" if client_id % 2 else "b"), START)
    single, also_single, first, second, *rest = router.due(START).requests
    assert sent_ids([single, also_single]) == [[1], [2]]
    assert isinstance(first, CreateBatch)
    assert client_ids(first) == [3, 5, 7, 9, 11, 13, 15, 17, 19, 21]
    assert client_ids(second) == [4, 6, 8, 10, 12, 14, 16, 18, 20, 22]
    assert sent_ids(rest) == [[23, 25], [24]]


def test_stop_orders_and_exits_are_never_batched() -> None:
    router = a_router(batching=True, create_order=(1, 60))
    fill_up(router, 1)
    for client_id in range(1, 31):
        kinds = [{}, {"reduces": True}, {"type": OrderType.STOP_LIMIT, "stop_ticks": 5}]
        router.create(order(client_id, **kinds[client_id % 3]), START)  # type: ignore[arg-type]
    assert sent_ids(router.due(START).requests) == [[3, 6, 9, 12, 15, 18, 21, 24, 27, 30]]


def test_a_few_queued_orders_are_paced_rather_than_batched() -> None:
    def endpoints(orders: int) -> list[str]:
        router = a_router(batching=True)
        for client_id in range(1, 1 + orders):
            router.create(order(client_id), START)
        return [request.endpoint for request in router.due(START).requests]

    burst = endpoints(60)
    assert burst == ["create_order"] * len(burst)
    assert len(burst) >= 57
    # pacing alone would allow three more within 0.2 s, but not seven more
    assert endpoints(len(burst) + 3) == burst
    assert endpoints(len(burst) + 7) == [*burst, "create_batch"]


def test_without_batching_every_order_is_sent_separately() -> None:
    router = a_router(create_order=(1, 60))
    for client_id in range(1, 31):
        router.create(order(client_id), START)
        router.cancel(resting(100 + client_id), START)
    assert {request.endpoint for request in router.due(START).requests} == {"cancel_order", "create_order"}


def test_multiple_cancels_from_one_strategy_share_one_put_request() -> None:
    router = a_router(batching=True)
    for client_id in range(1, 9):
        router.cancel(resting(client_id, "a" if client_id < 6 else "b"), START)
    first, second = router.due(START).requests
    assert isinstance(first, CancelBatch)
    assert first.client_ids == (1, 2, 3, 4, 5)
    assert [order_id for _, order_id in first.orders] == ["701", "702", "703", "704", "705"]
    assert isinstance(second, CancelBatch)
    assert second.client_ids == (6, 7, 8)


def test_a_single_cancel_never_waits_for_a_batch() -> None:
    router = a_router(batching=True)
    router.cancel(resting(1), START)
    assert [request.endpoint for request in router.due(START).requests] == ["cancel_order"]


def test_a_single_cancel_uses_the_batch_request_if_the_window_for_single_cancels_is_full() -> None:
    router = a_router(batching=True, cancel_order=(1, 60))
    router.cancel(resting(1), START)
    router.cancel(resting(2), START)
    assert [request.endpoint for request in router.due(START).requests] == ["cancel_order", "cancel_batch"]


def test_cancels_without_a_slot_wait_for_the_window_that_frees_up_first() -> None:
    router = a_router(batching=True, cancel_order=(1, 60), cancel_batch=(1, 1))
    for client_id in (1, 2):
        router.cancel(resting(client_id), START)
    single, batch = router.due(START).requests
    router.cancel(resting(3), START)
    assert router.due(START).requests == []
    assert router.next_due() is None  # no response has arrived yet, so no slot has a known release time
    router.answered(single.id, START + NS_PER_MS, Ending.OK)
    router.answered(batch.id, START + NS_PER_MS, Ending.OK)
    at = router.next_due()
    assert at == START + NS_PER_MS + NS_PER_S + 100_000 + 2 * NS_PER_MS
    assert [request.endpoint for request in router.due(at).requests] == ["cancel_batch"]


def test_identical_calls_produce_identical_requests() -> None:
    def run() -> list[Request]:
        router = a_router(batching=True, create_order=(3, 1))
        sent: list[Request] = []
        for client_id in range(1, 60):
            router.create(order(client_id, f"s{client_id * 7 % 5}", reduces=client_id % 11 == 0), START)
            if client_id % 3 == 0:
                router.cancel(resting(1000 + client_id, f"s{client_id % 5}"), START)
        now: int | None = START
        while now is not None:
            for request in router.due(now).requests:
                sent.append(request)
                router.answered(request.id, now, Ending.RATE_LIMITED if request.id % 9 == 0 else Ending.OK)
            now = router.next_due()
        return sent

    assert run() == run()


def test_statistics_include_order_counts_and_queueing_times() -> None:
    router = a_router(create_order=(2, 1))
    for client_id in range(1, 5):
        router.create(order(client_id), START)
    while (at := router.next_due()) is not None:
        for request in router.due(at).requests:
            router.answered(request.id, at, Ending.OK)
    use = router.statistics()
    (row,) = use.endpoints
    assert (row.endpoint, row.requests, row.delayed, use.orders_delayed) == ("create_order", 4, 2, 2)
    assert row.limit == "2 in 1 s per IP address and per account"
    assert row.peak_use == 1.0
    assert use.max_queue_ms == row.wait_max_ms == pytest.approx(1002.1)
    assert row.wait_p50_ms == pytest.approx(1002.1, rel=0.016)
