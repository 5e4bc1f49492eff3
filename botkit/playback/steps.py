"""Reads a run's decisions for its playback: the orders and their events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from botkit.model.clock import Nanos
from botkit.model.playback import PlacedOrder, PlayStep

_RESTING = {"open", "partly_filled", "untriggered"}
_FINAL = {"refused", "expired", "not_sent", "rejected", "absent", "filled", "cancelled", "post_only_cancelled"}
#: final states shown on a separate line; other final states are evident from a fill or a cancellation
_TOLD = _FINAL - {"filled", "cancelled"}
#: lines about requests, which are shown as gauges instead
_QUIET = {"request", "answer"}


class Steps:
    """The orders that existed within a span, and the events within that span."""

    def __init__(self, start: Nanos, end: Nanos) -> None:
        self._start, self._end = start, end
        self._orders: dict[int, PlacedOrder] = {}
        self.steps: list[PlayStep] = []

    def read(self, lines: Iterable[str | bytes]) -> None:
        """Read lines of decisions.jsonl from the start of the run, up to a truncated line."""
        for line in lines:
            try:
                found = json.loads(line)
            except ValueError:
                return
            if found["t"] > self._end:
                return
            self._line(found["t"], found["k"], found)

    def orders(self) -> list[PlacedOrder]:
        """Return the span's orders, in the order they were requested."""
        return [order for order in self._orders.values() if order.ended is None or order.ended >= self._start]

    def _line(self, now: Nanos, kind: str, found: dict[str, Any]) -> None:
        if kind == "intent":
            self._orders[found["c"]] = PlacedOrder(
                client_id=found["c"],
                strategy=found["s"],
                pair=found["pair"],
                side=found["side"],
                type=found["type"],
                price_ticks=found["price"],
                lots=found["lots"],
                spend_units=found["spend"],
                stop_ticks=found.get("stop", 0),
                post_only=bool(found.get("post_only")),
                tag=found.get("tag", ""),
                asked=now,
            )
            self._add(PlayStep(now, "place", found["c"]))
        elif kind == "request" and found["endpoint"].startswith("create"):
            for client_id in found["c"]:
                if client_id in self._orders:
                    self._orders[client_id].sent = now
        elif kind == "state":
            self._state(now, found["c"], found["state"], found.get("why", ""))
        elif kind == "fill":
            self._add(
                PlayStep(
                    now, "fill", found["c"], found["price"], found["lots"], found["fee"], found["fee_in"],
                    bool(found["maker"]),
                )
            )  # fmt: skip
        elif kind == "cancel":
            self._add(PlayStep(now, "cancel", found["c"]))
        elif kind not in _QUIET:
            self._add(PlayStep(now, kind, text=found.get("text", "")))

    def _state(self, now: Nanos, client_id: int, state: str, why: str) -> None:
        order = self._orders.get(client_id)
        if order is None:
            return
        order.state = state
        if state in _RESTING and order.opened is None:
            order.opened = now
        if state in _FINAL:
            order.ended, order.why = now, why
            if state in _TOLD:
                self._add(PlayStep(now, state, client_id, text=why))

    def _add(self, step: PlayStep) -> None:
        if step.time >= self._start:
            self.steps.append(step)
