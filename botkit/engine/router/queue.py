"""Items waiting for a slot: fair queues and deadlines.

Every queue alternates between owners (strategies), so that one strategy's thousand orders do not delay another
strategy's first order. Each owner's items are served first come, first served. All operations are O(1), except O(log n)
for deadlines.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from botkit.model.clock import Nanos
from botkit.model.orders import Order
from botkit.model.requests import Request


class Waiting:
    """A waiting item. ``key`` is unique in the router, and ``batchable`` states whether the item may be part of a
    batch.
    """

    __slots__ = ("batchable", "deadline", "key", "owner", "since")

    def __init__(self, key: int, owner: str, since: Nanos, deadline: Nanos | None, batchable: bool) -> None:
        self.key = key
        self.owner = owner
        self.since = since
        self.deadline = deadline
        self.batchable = batchable


class WaitingOrder(Waiting):
    """An order waiting to be created or, if ``is_cancel``, to be cancelled."""

    __slots__ = ("order",)

    def __init__(self, key: int, order: Order, since: Nanos, *, is_cancel: bool, batchable: bool) -> None:
        # the attributes are set here instead of by super(), which would double the cost: an instance is created for
        # every waiting order
        self.key = key
        self.owner = order.strategy
        self.since = since
        # only a create can become stale; a cancel is worth sending as long as its order may be live
        self.deadline = None if is_cancel else order.expires
        self.batchable = batchable
        self.order = order


class WaitingRead(Waiting):
    """A waiting read; ``make`` builds its request once it may be sent, with the ``ticket`` as its id."""

    __slots__ = ("endpoint", "lane", "make", "ticket")

    def __init__(
        self,
        key: int,
        ticket: int,
        owner: str,
        since: Nanos,
        deadline: Nanos | None,
        make: Callable[[int], Request],
        endpoint: str,
        lane: FairQueue[WaitingRead],
    ) -> None:
        super().__init__(key, owner, since, deadline, False)
        self.ticket = ticket
        self.make = make
        self.endpoint = endpoint
        self.lane = lane


W = TypeVar("W", bound=Waiting)


class _Line(Generic[W]):
    """The waiting items of one owner, in two parts: batchable and single. The parts are OrderedDicts, because
    repeatedly popping the first item of a plain dict is O(n).
    """

    __slots__ = ("batchable", "single")

    def __init__(self) -> None:
        self.batchable: OrderedDict[int, W] = OrderedDict()
        self.single: OrderedDict[int, W] = OrderedDict()

    def first(self) -> OrderedDict[int, W]:
        """Return the part that contains the oldest item (keys count up)."""
        if not self.single:
            return self.batchable
        if not self.batchable:
            return self.single
        return self.single if next(iter(self.single)) < next(iter(self.batchable)) else self.batchable


class FairQueue(Generic[W]):
    """A queue in which owners take turns, starting with the least recently served owner."""

    __slots__ = ("_lines", "count", "rank")

    def __init__(self, rank: int = 0) -> None:
        self.rank = rank
        self.count = 0
        self._lines: OrderedDict[str, _Line[W]] = OrderedDict()

    def push(self, item: W) -> None:
        """Append ``item`` to its owner's waiting items."""
        line = self._lines.get(item.owner)
        if line is None:
            line = self._lines[item.owner] = _Line()
        (line.batchable if item.batchable else line.single)[item.key] = item
        self.count += 1

    def remove(self, item: W) -> None:
        """Remove a waiting ``item`` from the queue."""
        line = self._lines[item.owner]
        del (line.batchable if item.batchable else line.single)[item.key]
        self.count -= 1
        if not line.batchable and not line.single:
            del self._lines[item.owner]

    def peek(self) -> W:
        """Return the next item, without removing it."""
        return next(iter(next(iter(self._lines.values())).first().values()))

    def pop(self) -> W:
        """Remove and return the next item."""
        lines = self._lines
        owner = next(iter(lines))
        line = lines[owner]
        single, batchable = line.single, line.batchable
        part = line.first() if single else batchable
        item = part.popitem(last=False)[1]
        self.count -= 1
        if not single and not batchable:
            del lines[owner]
        elif len(lines) > 1:
            lines.move_to_end(owner)
        return item

    def longest_batch(self, most: int) -> tuple[str, int]:
        """Return the owner with the largest possible batch, up to ``most`` items; in a tie, the owner whose turn
        it is.
        """
        best, size = "", 0
        for owner, line in self._lines.items():
            waiting = len(line.batchable)
            if waiting > size:
                best, size = owner, waiting
                if size >= most:
                    return best, most
        return best, size

    def pop_batch(self, owner: str, most: int) -> list[W]:
        """Remove and return the first batchable items of ``owner``, up to ``most``."""
        line = self._lines[owner]
        batch = [line.batchable.popitem(last=False)[1] for _ in range(min(most, len(line.batchable)))]
        self.count -= len(batch)
        self._end_turn(owner, line)
        return batch

    def _end_turn(self, owner: str, line: _Line[W]) -> None:
        if line.batchable or line.single:
            self._lines.move_to_end(owner)
        else:
            del self._lines[owner]


class Deadlines:
    """The deadlines of waiting items, soonest first. Entries for items that were sent in time are skipped, and purged
    when too many accumulate.
    """

    __slots__ = ("_gone", "_heap", "_live")

    def __init__(self) -> None:
        self._heap: list[tuple[Nanos, int]] = []
        self._live: dict[int, Waiting] = {}
        self._gone = 0

    def add(self, item: Waiting) -> None:
        """Add ``item`` if it has a deadline."""
        if item.deadline is not None:
            self._live[item.key] = item
            heapq.heappush(self._heap, (item.deadline, item.key))

    def forget(self, item: Waiting) -> None:
        """Drop ``item``, which is no longer waiting."""
        if item.deadline is not None and self._live.pop(item.key, None) is not None:
            self._gone += 1
            if self._gone > 64 and self._gone * 2 > len(self._heap):
                live = self._live
                self._heap = [entry for entry in self._heap if entry[1] in live]
                heapq.heapify(self._heap)
                self._gone = 0

    def next(self) -> Nanos | None:
        """Return the earliest deadline."""
        heap, live = self._heap, self._live
        while heap and heap[0][1] not in live:
            heapq.heappop(heap)
            self._gone -= 1
        return heap[0][0] if heap else None

    def pop_passed(self, now: Nanos) -> list[Waiting]:
        """Remove and return items whose deadline was before ``now``, earliest deadline first."""
        passed: list[Waiting] = []
        while (soonest := self.next()) is not None and soonest <= now:
            passed.append(self._live.pop(heapq.heappop(self._heap)[1]))
        return passed
