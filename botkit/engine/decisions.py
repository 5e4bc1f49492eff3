"""The record of every decision as JSON lines: the content of ``decisions.jsonl``, whose hash is ``journal_sha256``.

It contains only integers, strings and the bot's time, and no floats, paths, versions or wall times, so that equal
inputs give equal bytes on any machine, and a backtest can be compared with a run over the wire byte for byte.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable

from botkit.model.clock import Nanos
from botkit.model.events import Fill
from botkit.model.orders import Order, OrderState, OrderType, Side
from botkit.model.requests import (
    Answer,
    CancelBatch,
    CancelOrder,
    CreateBatch,
    CreateOrder,
    Ending,
    Request,
)

# cached, because names, tags and reasons repeat
_text = functools.lru_cache(maxsize=1024)(json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode)

# Reading an enum's ``value`` costs a Python call, so with six lines per order a table is faster.
_SIDE = {side: side.value for side in Side}
_TYPE = {kind: kind.value for kind in OrderType}
_STATE = {state: state.value for state in OrderState}
_OUTCOME = {outcome: outcome.value for outcome in Ending}

#: how many lines are collected before they are hashed and passed on; more lines use more memory but need fewer calls
_BLOCK_LINES = 2_000


class DecisionLog:
    """Collects lines, hashes them, and passes them in blocks to ``sink``, if there is one."""

    def __init__(self, sink: Callable[[bytes], object] | None = None) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()
        self._lines: list[str] = []
        self._add = self._lines.append
        self.count = 0

    def flush(self) -> None:
        """Hash the collected lines and pass them on."""
        if not self._lines:
            return
        block = ("\n".join(self._lines) + "\n").encode()
        self.count += len(self._lines)
        self._lines.clear()
        self._hash.update(block)
        if self._sink is not None:
            self._sink(block)

    def reset(self) -> None:
        """Drop all lines, because the bot is being rebuilt. Allowed only before any were passed on."""
        assert not self.count, "lines have already been passed on"
        self._lines.clear()

    def sha256(self) -> str:
        """Return the hex digest of all lines so far."""
        self.flush()
        return self._hash.hexdigest()

    # -- the kinds of lines ---------------------------------------------------------------------------------------

    def intent(self, order: Order, now: Nanos) -> None:
        """Record that a strategy requested an order."""
        if len(self._lines) >= _BLOCK_LINES:  # only `intent` and `request` check
            self.flush()
        tail = ""
        if order.stop_ticks:
            assert order.condition is not None
            tail = f',"stop":{order.stop_ticks},"condition":"{order.condition.value}"'
        if order.post_only:
            tail += ',"post_only":1'
        if order.expires is not None:
            tail += f',"expires":{order.expires}'
        if order.tag:
            tail += f',"tag":{_text(order.tag)}'
        self._add(
            f'{{"t":{now},"k":"intent","c":{order.client_id},"s":{_text(order.strategy)},"pair":"{order.pair}",'
            f'"side":"{_SIDE[order.side]}","type":"{_TYPE[order.type]}",'
            f'"price":{order.price_ticks},"lots":{order.amount_lots},"spend":{order.spend_units}{tail}}}'
        )

    def cancel(self, order: Order, now: Nanos) -> None:
        """Record that a strategy, or the engine on its behalf, requested a cancel."""
        self._add(f'{{"t":{now},"k":"cancel","c":{order.client_id}}}')

    def request(self, request: Request, now: Nanos) -> None:
        """Record a request that left the turn."""
        if len(self._lines) >= _BLOCK_LINES:  # see `intent`
            self.flush()
        if type(request) is CreateOrder:
            orders = str(request.order.client_id)
        elif type(request) is CreateBatch:
            orders = ",".join(str(order.client_id) for order in request.orders)
        elif type(request) is CancelOrder:
            orders = str(request.client_id)
        elif type(request) is CancelBatch:
            orders = ",".join(map(str, request.client_ids))
        else:
            orders = ""
        self._add(f'{{"t":{now},"k":"request","id":{request.id},"endpoint":"{request.endpoint}","c":[{orders}]}}')

    def answer(self, answer: Answer, now: Nanos) -> None:
        """Record an answer."""
        self._add(
            f'{{"t":{now},"k":"answer","id":{answer.request_id},"outcome":"{_OUTCOME[answer.outcome]}",'
            f'"status":{answer.status}}}'
        )

    def fill(self, fill: Fill, now: Nanos) -> None:
        """Record a booked execution."""
        self._add(
            f'{{"t":{now},"k":"fill","c":{fill.order.client_id},"executed":{fill.executed_lots},'
            f'"price":{fill.price_ticks},"lots":{fill.lots},"fee":{fill.fee_units},"fee_in":"{fill.fee_currency}",'
            f'"maker":{int(fill.is_maker)}}}'
        )

    def state(self, order: Order, now: Nanos) -> None:
        """Record an order's new state."""
        reason = f',"why":{_text(order.reason)}' if order.reason else ""
        self._add(f'{{"t":{now},"k":"state","c":{order.client_id},"state":"{_STATE[order.state]}"{reason}}}')

    def note(self, kind: str, now: Nanos, text: str) -> None:
        """Record a change in what the bot may do: a halt, a stopped strategy or a new parameter value."""
        self._add(f'{{"t":{now},"k":"{kind}","text":{_text(text)}}}')
