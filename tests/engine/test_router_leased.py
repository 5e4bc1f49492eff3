"""A router with shared windows decides based on the last lease change and the slots it has used since, without a
clock.
"""

from __future__ import annotations

from botkit.engine.router.leased import LeasedPools, SlotNews
from botkit.engine.router.router import Router
from botkit.model.clock import NS_PER_S
from botkit.model.limits import SlotsChanged
from botkit.model.requests import Ending
from tests.router_world import order, resting, table

LIMITS = table(create_order=(300, 15), cancel_order=(900, 60))
S = NS_PER_S
NEVER = 1 << 62


class Shared:
    """A router with leases that records its slot reports."""

    def __init__(self) -> None:
        self.news: list[tuple[str, SlotNews]] = []
        self.leased = LeasedPools(LIMITS, lambda pool, what, key, by: self.news.append((pool, what)))
        self.router = Router(LIMITS, latest_accept_ns=S, batching=False, leased=self.leased)
        self._number = 0

    def lease(self, until: int = NEVER, cancels_until: int = NEVER, **leased: int) -> None:
        self._number += 1
        self.router.slots_changed(SlotsChanged(self._number, leased, until, cancels_until))

    def create(self, count: int, now: int) -> list[int]:
        """Create ``count`` orders, and return the IDs of the requests sent immediately."""
        for n in range(count):
            self.router.create(order(1000 * self._number + n + 1, "a"), now)
        return self.due(now)

    def due(self, now: int) -> list[int]:
        self.router.next_due()
        return [request.id for request in self.router.due(now).requests]


def test_requests_with_leased_slots_are_sent_and_slots_are_requested_for_the_others() -> None:
    shared = Shared()
    shared.lease(create_order=2)
    assert len(shared.create(5, S)) == 2
    assert shared.router.next_due() is None
    assert shared.news == [("create_order", SlotNews.TAKEN)] * 2 + [("create_order", SlotNews.WANTED)]
    shared.lease(create_order=5)  # five slots in total since the start, so three are added
    assert len(shared.due(S)) == 3


def test_a_lease_change_that_predates_taken_slots_does_not_return_them() -> None:
    shared = Shared()
    shared.lease(create_order=3)
    assert len(shared.create(2, S)) == 2
    shared.lease(create_order=1)  # this change was in flight when the second request was sent
    assert shared.create(1, S) == []
    shared.lease(create_order=3)
    assert len(shared.due(S)) == 1


def test_only_cancels_are_sent_after_the_leases_expire() -> None:
    shared = Shared()
    shared.lease(until=5 * S, cancels_until=60 * S, create_order=10, cancel_order=10)
    assert len(shared.create(1, 5 * S - 1)) == 1
    assert shared.create(1, 5 * S) == []
    shared.router.cancel(resting(77, "a"), 5 * S)
    assert len(shared.due(5 * S)) == 1
    shared.router.cancel(resting(78, "a"), 60 * S)
    assert shared.due(60 * S) == []


def test_the_outcome_of_each_slot_is_reported_once() -> None:
    shared = Shared()
    shared.lease(create_order=4)
    ids = shared.create(4, S)
    shared.news.clear()
    for request_id, outcome in zip(ids, (Ending.OK, Ending.NOT_SENT, Ending.UNKNOWN, Ending.RATE_LIMITED), strict=True):
        shared.router.answered(request_id, 2 * S, outcome)
    assert [what for _, what in shared.news] == [
        SlotNews.ANSWERED,
        SlotNews.UNSENT,
        SlotNews.UNKNOWN,
        SlotNews.ANSWERED,
        SlotNews.REFUSED,
    ]
