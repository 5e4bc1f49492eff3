"""Measures how long a run's requests, responses and market data take. Backtests with `latency: {from: RUN}` use the
results.

    order    from the turn that decided on a create or cancel (checks, journal and socket included) to the exchange
    answer   from an event at the exchange to the turn in which the bot could act on it: an order was accepted (its
             answer or report, whichever comes first), cancelled (its report, since an answer proves nothing), or
             filled (all frames of the fill have arrived and strategies are called)
    feed     from the exchange's timestamp on a book to the turn that received the book
    round trip   from the decision on a create or cancel to its answer

The times at the exchange come from the timestamps on its frames, in milliseconds by the exchange's clock. The
difference between the clocks is removed by assuming that the fastest orders and the fastest answers take equally long.
If the exchange does not timestamp reports, each round trip is split in half.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from botkit.live.persistence import client_ids_of
from botkit.live.ports import Disk
from botkit.model.clock import NS_PER_MS, NS_PER_US, Nanos
from botkit.model.events import Fill, OrderBook, OrderReport
from botkit.model.inputs import AccountEvents, Input
from botkit.model.latency import (
    CANCEL,
    CREATE,
    FILL,
    FORMAT,
    LATENCIES,
    NEWS,
    REQUESTS,
    STEPS,
    MeasuredLatencies,
    kind_of,
)
from botkit.model.orders import OrderState
from botkit.model.requests import Answer, CancelBatch, CancelOrder, CreateBatch, CreateOrder, Ending, Request

#: durations in microseconds of up to this many bits are stored exactly, longer ones to within a thousandth
_EXACT_BITS = 11
#: number of requests and orders to remember while waiting for their responses and reports
_WAITING_MAX = 10_000
_CREATES, _CANCELS = (CreateOrder, CreateBatch), (CancelOrder, CancelBatch)
#: timestamps are truncated to the millisecond, so on average they are half a millisecond early
_STAMP_CUT: Nanos = NS_PER_MS // 2


class Histogram:
    """Counts how often each duration occurred. Its memory use stays bounded even if a bot runs for a long time."""

    def __init__(self) -> None:
        self.count = 0
        self._counts: dict[int, int] = {}

    def add(self, ns: Nanos) -> None:
        """Count a duration. It may be negative if clocks differ."""
        us = ns // NS_PER_US
        size = abs(us)
        shift = size.bit_length() - _EXACT_BITS
        if shift > 0:
            size = size >> shift << shift
            us = size if us > 0 else -size
        self._counts[us] = self._counts.get(us, 0) + 1
        self.count += 1

    def quantiles(self, steps: int = STEPS) -> list[int]:
        """Return ``steps`` + 1 durations in microseconds, from the shortest to the longest at equally spaced ranks, or
        an empty list if there are no values.
        """
        found: list[int] = []
        passed = 0
        for us, count in sorted(self._counts.items()):
            passed += count
            # rank i of the steps is reached once i * (count - 1) is below passed * steps
            reached = steps + 1 if self.count == 1 else min(steps + 1, -(-passed * steps // (self.count - 1)))
            found += [us] * (reached - len(found))
        return found


class Latencies:
    """The latency measurements of one run. A `Bot` passes in every input and every request."""

    def __init__(self, folder: Path, disk: Disk, *, about: Mapping[str, Any]) -> None:
        """The measurements are written into the run's ``folder``. ``about`` describes the run."""
        self._path = folder / LATENCIES
        self._disk = disk
        self._about = dict(about)
        self._order, self._round_trip = ({kind: Histogram() for kind in REQUESTS} for _ in range(2))
        self._answer, self._feed = {kind: Histogram() for kind in NEWS}, Histogram()
        self._sent: OrderedDict[int, tuple[Nanos, str, tuple[int, ...]]] = OrderedDict()  # keyed by request id
        self._creating: OrderedDict[int, Nanos] = OrderedDict()  # keyed by client id: when the order was sent
        self._cancelling: OrderedDict[int, Nanos] = OrderedDict()
        self._accepted: OrderedDict[int, Nanos] = OrderedDict()  # keyed by client id: when the response arrived
        # keyed by client id: the timestamp of a fill not yet reported to strategies
        self._filled: OrderedDict[int, Nanos] = OrderedDict()
        self._written = 0
        # inputs, and outcomes as (requests, fills), waiting to be processed, in order
        self._new: list[tuple[Input | tuple[tuple[Request, ...], tuple[Fill, ...]], Nanos]] = []

    def came_out(self, requests: Iterable[Request], fills: Iterable[Fill], now: Nanos) -> None:
        """Record that a turn at ``now`` decided to send these requests and reported these fills to strategies."""
        self._new.append(((tuple(requests), tuple(fills)), now))

    def went_in(self, given: Input, now: Nanos) -> None:
        """Record that a turn at ``now`` received an input."""
        self._new.append((given, now))

    def settle(self) -> None:
        """Process all new inputs and outcomes. Call this after the requests have been sent, because no order should
        wait for it.
        """
        new, self._new = self._new, []
        for given, now in new:
            if isinstance(given, tuple):
                self._decided(*given, now)
            else:
                self._take(given, now)

    def _decided(self, requests: tuple[Request, ...], fills: tuple[Fill, ...], now: Nanos) -> None:
        for fill in fills:
            stamp = self._filled.pop(fill.order.client_id, None)
            if stamp is not None:
                self._answer[FILL].add(now - stamp)
        for request in requests:
            if isinstance(request, _CREATES):
                waiting = self._creating
            elif isinstance(request, _CANCELS):
                waiting = self._cancelling
            else:
                continue
            ids = client_ids_of(request)
            _keep(self._sent, request.id, (now, kind_of(request.endpoint), ids))
            for client_id in ids:
                _keep(waiting, client_id, now)

    def _take(self, given: Input, now: Nanos) -> None:
        kind = type(given)
        if kind is OrderBook:
            self._feed.add(now - given.time - _STAMP_CUT)  # type: ignore[union-attr]
        elif kind is AccountEvents:
            for event in given.events:  # type: ignore[union-attr]
                if type(event) is OrderReport and event.pushed:
                    self._reported(event, now)
        elif kind is Answer:
            self._heard(given, now)  # type: ignore[arg-type]

    def _heard(self, answer: Answer, now: Nanos) -> None:
        sent = self._sent.pop(answer.request_id, None)
        if sent is None:
            return
        at, kind, ids = sent
        if answer.outcome in (Ending.OK, Ending.REFUSED):
            self._round_trip[kind].add(now - at)
        for client_id in ids:
            if answer.outcome is not Ending.OK:  # a refusal causes no report that would show its time
                self._creating.pop(client_id, None)
                self._cancelling.pop(client_id, None)
            elif client_id in self._creating:
                _keep(self._accepted, client_id, now)

    def _reported(self, report: OrderReport, now: Nanos) -> None:
        client_id, stamp = report.client_id or 0, report.pushed + _STAMP_CUT
        sent = self._creating.pop(client_id, None)
        if sent is not None:
            self._order[CREATE].add(stamp - sent)
            self._answer[CREATE].add(min(now, self._accepted.pop(client_id, now)) - stamp)
        elif report.state is OrderState.CANCELLED and (sent := self._cancelling.pop(client_id, None)) is not None:
            self._order[CANCEL].add(stamp - sent)
            self._answer[CANCEL].add(now - stamp)
        elif report.executed_lots:
            _keep(self._filled, client_id, stamp)

    # -- results --------------------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """Return all measurements so far, in microseconds (see `botkit.model.latency`)."""
        self.settle()
        order, answer, round_trip = (
            {kind: tuple(found.quantiles()) for kind, found in table.items()}
            for table in (self._order, self._answer, self._round_trip)
        )
        feed, ahead_us = tuple(self._feed.quantiles()), 0
        is_stamped = any(order.values())
        if is_stamped:
            place = STEPS // 100  # the very fastest may be outliers
            there, back = (min(us[place] for us in table.values() if us) for table in (order, answer))
            ahead_us = (there - back) // 2
            order = {kind: tuple(value - ahead_us for value in us) for kind, us in order.items()}
            answer = {kind: tuple(value + ahead_us for value in us) for kind, us in answer.items()}
            feed = tuple(value + ahead_us for value in feed)
        else:
            order = {kind: tuple(value // 2 for value in us) for kind, us in round_trip.items()}
            answer = {kind: order.get(kind, ()) for kind in NEWS}
        counts = {
            name: {kind: found.count for kind, found in table.items()}
            for name, table in (("order", self._order), ("answer", self._answer), ("round_trip", self._round_trip))
        }
        found = MeasuredLatencies(
            format=FORMAT,
            **self._about,
            is_stamped=is_stamped,
            exchange_ahead_us=ahead_us,
            order_us=order,
            answer_us=answer,
            feed_us=feed,
            round_trip_us=round_trip,
            counts={**counts, "feed": {"book": self._feed.count}},
        )
        return msgspec.to_builtins(found)  # type: ignore[no-any-return]

    def save(self) -> None:
        """Write the measurements if any were added. Other code reports a full disk."""
        self.settle()
        tables = (self._order, self._answer, self._round_trip)
        measured = self._feed.count + sum(found.count for table in tables for found in table.values())
        if measured == self._written:
            return
        self._written = measured
        with contextlib.suppress(OSError):
            self._disk.files.write(self._path, msgspec.json.encode(self.document()) + b"\n", durable=False)


def _keep(table: OrderedDict[int, Any], key: int, value: Any) -> None:
    table[key] = value
    if len(table) > _WAITING_MAX:
        table.popitem(last=False)


__all__ = ["Histogram", "Latencies"]
