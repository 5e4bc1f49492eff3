"""Records every decision as a line of JSON. These lines are the content of ``decisions.jsonl``, and their hash is
``journal_sha256``.

The record contains only integers, strings and the bot's time, and no floats, paths, versions or wall-clock times. Equal
inputs therefore yield identical bytes on any machine, and a backtest can be compared byte for byte with a run over the
wire.

An order produces six to ten decisions. `DecisionLog.add` adds each decision as a tuple of immutable values, and the
tuples are formatted as lines when a block is full. The tuples, by kind:

    (INTENT, now, order's spec)                a strategy submitted an order
    (CANCEL, now, client id)                   a strategy, or the engine on its behalf, asked to cancel an order
    (REQUEST, now, request)                    a request left the turn
    (ANSWER, now, request id, outcome, status) a response arrived
    (FILL, now, fill)                          an execution was booked
    (STATE, now, client id, state, reason)     an order changed state
    (NOTE, now, kind, text)                    the bot's permissions or settings changed: see `DecisionLog.note`
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from botkit.model.clock import Nanos
from botkit.model.orders import OrderState, OrderType, Side
from botkit.model.requests import (
    CancelBatch,
    CancelOrder,
    CreateBatch,
    CreateOrder,
    Ending,
    Request,
)

# cached, because names, tags and reasons repeat
_text = functools.lru_cache(maxsize=1024)(json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode)

# Reading an enum's ``value`` costs a Python call. With six lines per order, a table is faster.
_SIDE = {side: side.value for side in Side}
_TYPE = {kind: kind.value for kind in OrderType}
_STATE = {state: state.value for state in OrderState}
_OUTCOME = {outcome: outcome.value for outcome in Ending}

INTENT: Final = 0
CANCEL: Final = 1
REQUEST: Final = 2
ANSWER: Final = 3
FILL: Final = 4
STATE: Final = 5
NOTE: Final = 6

#: a decision: its kind, the bot's time, and kind-specific details
Decision: TypeAlias = tuple[Any, ...]

#: number of decisions to collect before they are written and passed on; a larger number uses more memory but needs
#: fewer calls
BLOCK_LINES = 2_000


class DecisionLog:
    """Collects decisions, hashes their lines, and passes the lines in blocks to ``sink``, if there is one."""

    def __init__(self, sink: Callable[[bytes], object] | None = None) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()
        #: unwritten decisions; code that adds requests or refusals flushes them once there are `BLOCK_LINES`
        self.pending: list[Decision] = []
        self.add = self.pending.append
        self.count = 0

    def flush(self) -> None:
        """Write the collected decisions as lines, hash the lines and pass them on."""
        if not self.pending:
            return
        block = ("\n".join(_lines(self.pending)) + "\n").encode()
        self.count += len(self.pending)
        self.pending.clear()
        self._hash.update(block)
        if self._sink is not None:
            self._sink(block)

    def sha256(self) -> str:
        """Return the SHA-256 hex digest of all lines so far."""
        self.flush()
        return self._hash.hexdigest()

    def note(self, kind: str, now: Nanos, text: str) -> None:
        """Record a change in the bot's permissions or settings: a halt, a stopped strategy, a new parameter value."""
        self.add((NOTE, now, kind, text))


def _lines(decisions: Sequence[Decision]) -> list[str]:
    """Format each decision as a line. All formatting is in this one function, because one call per decision would
    double the cost.
    """
    lines: list[str] = []
    write = lines.append
    for decision in decisions:
        kind, now = decision[0], decision[1]
        if kind == STATE:
            _, _, client_id, state, why = decision
            reason = f',"why":{_text(why)}' if why else ""
            write(f'{{"t":{now},"k":"state","c":{client_id},"state":"{_STATE[state]}"{reason}}}')
        elif kind == REQUEST:
            request = decision[2]
            if type(request) is CreateOrder:
                orders = str(request.order.client_id)
            elif type(request) is CancelOrder:
                orders = str(request.client_id)
            else:
                orders = _client_ids(request)
            write(f'{{"t":{now},"k":"request","id":{request.id},"endpoint":"{request.endpoint}","c":[{orders}]}}')
        elif kind == ANSWER:
            _, _, request_id, outcome, status = decision
            write(f'{{"t":{now},"k":"answer","id":{request_id},"outcome":"{_OUTCOME[outcome]}","status":{status}}}')
        elif kind == INTENT:
            spec = decision[2]
            tail = ""
            if spec.stop_ticks:
                tail = f',"stop":{spec.stop_ticks},"condition":"{spec.condition.value}"'
            if spec.post_only:
                tail += ',"post_only":1'
            if spec.expires is not None:
                tail += f',"expires":{spec.expires}'
            if spec.tag:
                tail += f',"tag":{_text(spec.tag)}'
            write(
                f'{{"t":{now},"k":"intent","c":{spec.client_id},"s":{_text(spec.strategy)},"pair":"{spec.pair}",'
                f'"side":"{_SIDE[spec.side]}","type":"{_TYPE[spec.type]}",'
                f'"price":{spec.price_ticks},"lots":{spec.amount_lots},"spend":{spec.spend_units}{tail}}}'
            )
        elif kind == CANCEL:
            write(f'{{"t":{now},"k":"cancel","c":{decision[2]}}}')
        elif kind == FILL:
            fill = decision[2]
            write(
                f'{{"t":{now},"k":"fill","c":{fill.order.client_id},"executed":{fill.executed_lots},'
                f'"price":{fill.price_ticks},"lots":{fill.lots},"fee":{fill.fee_units},"fee_in":"{fill.fee_currency}",'
                f'"maker":{int(fill.is_maker)}}}'
            )
        else:
            assert kind == NOTE, decision
            write(f'{{"t":{now},"k":"{decision[2]}","text":{_text(decision[3])}}}')
    return lines


def _client_ids(request: Request) -> str:
    """Return the client ids of a batch as text, or an empty string for other requests."""
    if type(request) is CreateBatch:
        return ",".join([str(spec.client_id) for spec in request.orders])
    if type(request) is CancelBatch:
        return ",".join(map(str, request.client_ids))
    return ""
