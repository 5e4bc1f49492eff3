"""The backlog: orders and reads that wait for a slot.

Invariant: an item waits in exactly one queue, and the indexes (creates by client id, reads by ticket, deadlines) hold
exactly the items that wait. Whoever takes an item out of a queue therefore takes it out of the indexes as well. The
backlog knows no limits: `botkit.engine.router.sending` decides which item leaves, and when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from botkit.engine.router.queue import Deadlines, FairQueue, Waiting, WaitingOrder, WaitingRead
from botkit.engine.router.routes import BATCH_MAX, Route, is_batchable
from botkit.model.clock import Nanos
from botkit.model.orders import Order
from botkit.model.requests import Request


class ReadLane:
    """Waiting reads of one counter and class. Lanes are served in the order of their ``rank``: (class, counter)."""

    __slots__ = ("is_urgent", "queue", "rank", "route")

    def __init__(self, rank: tuple[int, int], route: Route, *, is_urgent: bool) -> None:
        self.rank = rank
        self.route = route
        self.is_urgent = is_urgent
        self.queue: FairQueue[WaitingRead] = FairQueue()


class Backlog:
    """The queues in the order in which they are served: cancels, creates that reduce a position, all other creates, and
    the lanes of reads.
    """

    __slots__ = (
        "_deadlines",
        "_next_key",
        "_ranks",
        "_reads",
        "cancels",
        "creates",
        "creates_by_id",
        "lanes",
        "reduces",
    )

    def __init__(self, pools: Iterable[str]) -> None:
        """``pools`` are the names of the counters in the order in which their reads are served."""
        self._ranks = {name: rank for rank, name in enumerate(pools)}
        self.cancels: FairQueue[WaitingOrder] = FairQueue()
        self.reduces: FairQueue[WaitingOrder] = FairQueue()
        self.creates: FairQueue[WaitingOrder] = FairQueue()
        self.lanes: list[ReadLane] = []
        #: waiting creates by client id; for reading only
        self.creates_by_id: dict[int, WaitingOrder] = {}
        self._reads: dict[int, WaitingRead] = {}  # by ticket
        self._deadlines = Deadlines()
        # keys count up, so they reflect the order of arrival; orders and reads share them, as they share the deadlines
        self._next_key = 0

    @property
    def count(self) -> int:
        """The number of waiting items."""
        return self.cancels.count + len(self.creates_by_id) + len(self._reads)

    def has_reads(self) -> bool:
        """Return True while a read waits."""
        return bool(self._reads)

    def next_deadline(self) -> Nanos | None:
        """Return the earliest deadline of a waiting item."""
        return self._deadlines.next()

    # -- joining and changing -------------------------------------------------------------------------------------

    def add_create(self, order: Order, since: Nanos) -> None:
        """Let the create of ``order`` wait."""
        self._next_key += 1
        item = WaitingOrder(self._next_key, order, since, is_cancel=False, batchable=is_batchable(order))
        (self.reduces if order.reduces else self.creates).push(item)
        self.creates_by_id[order.client_id] = item
        if item.deadline is not None:
            self._deadlines.add(item)

    def add_cancel(self, order: Order, since: Nanos) -> None:
        """Let the cancel of ``order`` wait."""
        self._next_key += 1
        self.cancels.push(WaitingOrder(self._next_key, order, since, is_cancel=True, batchable=True))

    def replace_create(self, old: Order, new: Order, now: Nanos) -> bool:
        """Let ``new`` wait instead of ``old``, in its position if strategy and class are the same, otherwise at the end
        of its strategy's queue. Returns False if the create of ``old`` does not wait.
        """
        item = self.creates_by_id.get(old.client_id)
        if item is None:
            return False
        if (new.strategy, new.reduces, is_batchable(new)) != (item.owner, item.order.reduces, item.batchable):
            self.withdraw_create(old)
            self.add_create(new, now)
            return True
        del self.creates_by_id[old.client_id]
        self.creates_by_id[new.client_id] = item
        self._deadlines.forget(item)
        item.order, item.since, item.deadline = new, now, new.expires
        self._deadlines.add(item)
        return True

    def add_read(
        self,
        ticket: int,
        owner: str,
        make: Callable[[int], Request],
        *,
        endpoint: str,
        route: Route,
        rank: int,
        is_urgent: bool,
        since: Nanos,
        deadline: Nanos | None,
    ) -> None:
        """Let a read wait. Reads of a lower ``rank`` are served first."""
        queue = self._lane(route, rank, is_urgent).queue
        self._next_key += 1
        item = WaitingRead(self._next_key, ticket, owner, since, deadline, make, endpoint, queue)
        queue.push(item)
        self._reads[ticket] = item
        self._deadlines.add(item)

    def _lane(self, route: Route, rank: int, is_urgent: bool) -> ReadLane:
        place = (rank, self._ranks[route.name])
        for lane in self.lanes:
            if lane.rank == place and lane.is_urgent == is_urgent:
                return lane
        lane = ReadLane(place, route, is_urgent=is_urgent)
        self.lanes.append(lane)
        self.lanes.sort(key=lambda known: known.rank)
        return lane

    # -- leaving --------------------------------------------------------------------------------------------------

    def withdraw_create(self, order: Order) -> None:
        """Remove the waiting create of ``order``."""
        item = self.creates_by_id.pop(order.client_id)
        (self.reduces if item.order.reduces else self.creates).remove(item)
        self._deadlines.forget(item)

    def withdraw_read(self, ticket: int) -> bool:
        """Remove a read. Returns False if it does not wait."""
        item = self._reads.pop(ticket, None)
        if item is None:
            return False
        item.lane.remove(item)
        self._deadlines.forget(item)
        return True

    def take_create(self, queue: FairQueue[WaitingOrder]) -> WaitingOrder:
        """Remove and return the next create of `reduces` or `creates`."""
        item = queue.pop()
        del self.creates_by_id[item.order.client_id]
        if item.deadline is not None:
            self._deadlines.forget(item)
        return item

    def take_create_batch(self, owner: str) -> list[WaitingOrder]:
        """Remove and return the creates of ``owner`` that form its next batch."""
        items = self.creates.pop_batch(owner, BATCH_MAX)
        for item in items:
            del self.creates_by_id[item.order.client_id]
            if item.deadline is not None:
                self._deadlines.forget(item)
        return items

    def take_read(self, lane: ReadLane) -> WaitingRead:
        """Remove and return the next read of a lane."""
        item = lane.queue.pop()
        del self._reads[item.ticket]
        self._deadlines.forget(item)
        return item

    def take_late(self, now: Nanos) -> list[Waiting]:
        """Remove and return the creates and reads whose deadline is ``now`` or earlier, earliest first."""
        late = self._deadlines.pop_passed(now)
        for item in late:
            if isinstance(item, WaitingRead):
                del self._reads[item.ticket]
                item.lane.remove(item)
            else:
                assert isinstance(item, WaitingOrder)
                del self.creates_by_id[item.order.client_id]
                (self.reduces if item.order.reduces else self.creates).remove(item)
        return late
