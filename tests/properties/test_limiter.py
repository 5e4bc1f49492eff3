"""The router never exceeds any of the exchange's rate limits, regardless of how the network behaves and how the
exchange counts requests.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.engine.router.router import Priority, Router, SentBefore
from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.requests import Ending
from tests.router_world import (
    START,
    client_ids,
    exceeded,
    make_balances,
    make_open_orders,
    most_in_bucket,
    most_in_fixed_window,
    most_in_sliding_window,
    order,
    resting,
    table,
)

LATEST_ACCEPT_NS = 3 * NS_PER_S
READ_LATEST_NS = 2 * NS_PER_S
#: small windows fill quickly, so each example reaches its limits many times
SMALL = table(
    create_order=(4, 1),
    create_batch=(2, 1),
    cancel_order=(3, 1),
    cancel_batch=(2, 1),
    private=(3, 2),
    open_orders=(2, 1),
    public=(3, 1),
)
PACED = table(create_order=(25, 1), create_batch=(20, 2), cancel_order=(20, 1), private=(22, 2))


@st.composite
def fates(draw: st.DrawFn) -> tuple[Ending, int, int]:
    """Generate (outcome, arrival, ms from the grant to the answer or the abort).

    The arrival is in thousandths of the time within which the request may arrive; -1 means that the request never
    arrives.
    """
    outcome = draw(st.sampled_from([*[Ending.OK] * 4, *[Ending.UNKNOWN] * 3, *list(Ending)]))
    answered_ms = draw(st.one_of(st.integers(0, 120), st.integers(0, 4000)))
    if outcome is Ending.NOT_SENT:
        return outcome, -1, answered_ms
    share = draw(st.one_of(st.sampled_from([-1, 0, 1000, 1000]), st.integers(0, 1000)))
    return outcome, max(share, 0) if outcome is not Ending.UNKNOWN else share, answered_ms


DEEDS = st.sampled_from(
    ["create", "create", "create", "burst", "reduce", "cancel", "cancels", "read", "urgent", "open", "withdraw"]
)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(DEEDS, st.sampled_from(["a", "b", "c"]), st.integers(0, 700)), min_size=5, max_size=60),
    ends=st.lists(fates(), min_size=1, max_size=40),
    resolve_ms=st.integers(0, 6000),
    is_paced=st.booleans(),
    seed=st.integers(0, 3),
)
def test_no_rate_limit_is_exceeded_whatever_counting_method_the_exchange_uses(
    steps: list[tuple[str, str, int]],
    ends: list[tuple[Ending, int, int]],
    resolve_ms: int,
    is_paced: bool,
    seed: int,
) -> None:
    limits = PACED if is_paced else SMALL
    router = Router(limits, latest_accept_ns=LATEST_ACCEPT_NS, read_latest_ns=READ_LATEST_NS, seed=seed)
    arrivals: dict[str, list[int]] = {}
    events: list[tuple[int, int, str, int]] = []  # (time, creation sequence number, kind, id)
    outcomes: dict[int, tuple[Ending, list[int], int]] = {}
    time, asked, sent = START, 0, 0
    for number, (deed, owner, wait_ms) in enumerate(steps):
        time += wait_ms * NS_PER_MS
        events.append((time, number, deed, ord(owner)))
    made = len(events)
    now = START
    waiting = []
    for _ in range(20_000):
        wake = router.next_due()
        events.sort()
        times = [t for t in (wake, events[0][0] if events else None) if t is not None]
        if not times:
            break
        now = max(now, min(times))
        while events and events[0][0] <= now:
            _, _, what, which = events.pop(0)
            if what == "answer":
                outcome, ids, arrival = outcomes[which]
                router.answered(which, now, outcome)
                if outcome is Ending.UNKNOWN:
                    for client_id in ids:
                        made += 1
                        # an order can be found only after its request has arrived; it can be proved absent only once
                        # the request can no longer arrive
                        proof = arrival if arrival >= 0 else now + LATEST_ACCEPT_NS
                        events.append((max(now, proof) + resolve_ms * NS_PER_MS, made, "resolve", client_id))
            elif what == "resolve":
                router.resolved(which, now)
            else:
                owner = chr(which)
                count = 15 if what in ("burst", "cancels") else 1
                for _ in range(count):
                    asked += 1
                    if what in ("create", "burst"):
                        waiting.append(order(asked, owner))
                        router.create(waiting[-1], now)
                    elif what == "reduce":
                        router.create(order(asked, owner, reduces=True), now)
                    elif what in ("cancel", "cancels"):
                        router.cancel(resting(asked, owner), now)
                    elif what == "withdraw" and waiting and router.is_waiting(waiting[-1]):
                        router.cancel(waiting.pop(), now)
                    elif what == "open":
                        read = {"endpoint": "open_orders", "priority": Priority.PRIVATE_READ}
                        router.read(make_open_orders, owner=owner, now=now, **read)  # type: ignore[arg-type]
                    elif what in ("read", "urgent"):
                        read = {"endpoint": "balance", "priority": Priority.PRIVATE_READ, "urgent": what == "urgent"}
                        router.read(make_balances, owner=owner, now=now, **read)  # type: ignore[arg-type]
        for request in router.due(now).requests:
            outcome, share, answered_ms = ends[sent % len(ends)]
            sent += 1
            # an answered request arrived before its answer; an aborted request may still arrive until the declared
            # limit
            span = answered_ms * NS_PER_MS
            if outcome is Ending.UNKNOWN:
                is_read = limits[request.endpoint].method == "GET"
                span += READ_LATEST_NS if is_read else LATEST_ACCEPT_NS
            arrival = now + span * share // 1000 if share >= 0 else -1
            if arrival >= 0:
                arrivals.setdefault(request.endpoint, []).append(arrival)
            outcomes[request.id] = (outcome, list(client_ids(request)), arrival)
            made += 1
            events.append((now + answered_ms * NS_PER_MS, made, "answer", request.id))
    else:
        raise AssertionError("the simulation did not finish")
    assert router.waiting == 0
    assert exceeded(arrivals, limits) == []


@settings(max_examples=60, deadline=None)
@given(
    before=st.lists(st.tuples(st.integers(0, 3000), st.one_of(st.none(), st.integers(0, 500))), max_size=8),
    down_ms=st.integers(0, 3000),
    late_ms=st.lists(st.integers(0, LATEST_ACCEPT_NS // NS_PER_MS), min_size=1, max_size=8),
)
def test_rate_limit_windows_in_use_during_a_crash_are_not_exceeded_after_a_restart(
    before: list[tuple[int, int | None]], down_ms: int, late_ms: list[int]
) -> None:
    limits = table(create_order=(4, 1))
    crash = START + 4 * NS_PER_S
    now = crash + down_ms * NS_PER_MS
    sends, arrivals = [], []
    for number, (sent_ms, answered_ms) in enumerate(sorted(before, key=lambda row: row[0])):
        sent = START + sent_ms * NS_PER_MS
        if answered_ms is None:
            arrivals.append(max(sent, crash + late_ms[number % len(late_ms)] * NS_PER_MS))
            sends.append(SentBefore(endpoint="create_order", sent=sent, client_ids=(1000 + number,)))
        else:
            arrivals.append(sent + answered_ms * NS_PER_MS)
            answered = sent + answered_ms * NS_PER_MS
            sends.append(SentBefore(endpoint="create_order", sent=sent, answered=answered))
    # skip runs that exceeded the limit before the crash, because this test covers only the time after the crash
    if most_in_sliding_window(arrivals, NS_PER_S) > 4:
        return
    router = Router(limits, latest_accept_ns=LATEST_ACCEPT_NS, batching=False)
    router.cool_down(sends, now)
    for client_id in range(1, 13):
        router.create(order(client_id), now)
    while (at := router.next_due()) is not None:
        for request in router.due(at).requests:
            arrivals.append(at)
            router.answered(request.id, at, Ending.OK)
    assert len(arrivals) == len(before) + 12
    assert most_in_sliding_window(arrivals, NS_PER_S) <= 4


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5000), max_size=40), st.integers(1, 5), st.integers(0, 999))
def test_requests_allowed_by_a_sliding_window_are_allowed_by_the_other_counting_methods(
    times_ms: list[int], limit: int, phase: int
) -> None:
    kept: list[int] = []
    for time in sorted(times_ms):
        if most_in_sliding_window([*kept, time], 1000) <= limit:
            kept.append(time)
    assert most_in_fixed_window(kept, 1000, phase) <= limit
    assert most_in_bucket(kept, limit, 1000) <= limit
