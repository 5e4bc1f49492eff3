"""The orders that rested in each pair's market, in columns, for the lines on the pair's price chart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from botkit.model.clock import Nanos
from botkit.model.order_spec import LIMIT, STOP_LIMIT, Side
from botkit.model.orders import FINAL_STATES, LIVE_STATES, OrderState
from botkit.model.results import BacktestResult, OrderRow
from botkit.model.row_columns import ChosenRows, column_blocks, row_values
from botkit.report.holdings import IntArray
from botkit.report.packing import Column

#: maximum number of lines on all charts combined; orders that rested longest are preferred
RESTING_MAX = 20_000

#: the kind of order that a line shows
BID, ASK, STOP = 0, 1, 2

_FINAL = {state.value for state in FINAL_STATES}
#: the states of orders that reached the exchange
_AT_EXCHANGE = {state.value for state in LIVE_STATES} | {OrderState.FILLED.value, OrderState.CANCELLED.value}


def rested(result: BacktestResult) -> ChosenRows[OrderRow]:
    """Return the orders that rested at the exchange, in the order requested. Orders filled entirely as taker did not
    rest.
    """
    fills = column_blocks(result.fills, "client_id", "is_maker")
    made = [np.array([i for i, is_maker in zip(*columns, strict=True) if is_maker], np.int64) for columns in fills]
    makers = np.unique(np.concatenate(made)) if made else np.zeros(0, np.int64)
    places, begin = [np.zeros(0, np.int64)], 0
    for kinds, sent, states, ids in column_blocks(result.orders, "spec.type", "sent", "state", "spec.client_id"):
        if not {LIMIT, STOP_LIMIT}.isdisjoint(kinds):
            known = np.isin(np.array(ids, np.int64), makers).tolist()
            found = [
                row
                for row, (kind, at, state, is_maker) in enumerate(zip(kinds, sent, states, known, strict=True))
                if at
                and kind in (LIMIT, STOP_LIMIT)
                and state in _AT_EXCHANGE
                and (state != OrderState.FILLED.value or kind is STOP_LIMIT or is_maker)
            ]
            places.append(np.array(found, np.int64) + begin)
        begin += len(ids)
    return ChosenRows(result.orders, np.concatenate(places))


def span_of(row: OrderRow, end: Nanos) -> tuple[Nanos, Nanos]:
    """Return the time at which an order was sent, and the time at which the bot received its final state. An order that
    did not reach a final state lasts until ``end``, the end of the run.
    """
    return row.sent, row.updated if row.state in _FINAL else max(end, row.sent)


def longest(rows: Sequence[OrderRow], end: Nanos, most: int = RESTING_MAX) -> list[OrderRow]:
    """Return the orders that rested longest, in their original order."""
    if len(rows) <= most:
        return list(rows)
    lasted = np.fromiter(
        (
            (updated if state in _FINAL else max(end, sent)) - sent
            for sent, updated, state in row_values(rows, "sent", "updated", "state")
        ),
        np.int64,
        len(rows),
    )
    return list(ChosenRows(rows, np.sort(np.argsort(-lasted, kind="stable")[:most])))


def resting_columns(
    rows: Sequence[OrderRow],
    end: Nanos,
    local_ms: Callable[[Sequence[Nanos]], IntArray],
    deltas: Callable[[list[int]], Column],
) -> dict[str, Any]:
    """Return one pair's lines: start times as differences, durations in ms, prices in ticks as differences, and
    lots.
    """
    spans = [span_of(row, end) for row in rows]
    begins = local_ms([begin for begin, _ in spans])
    return {
        "begin": deltas(begins.tolist()),
        "lasted": (local_ms([until for _, until in spans]) - begins).tolist(),
        "price": deltas([row.spec.stop_ticks or row.spec.price_ticks for row in rows]),
        "lots": [row.spec.amount_lots for row in rows],
        "kind": [_kind(row) for row in rows],
    }


def _kind(row: OrderRow) -> int:
    if row.spec.type is STOP_LIMIT:
        return STOP
    return BID if row.spec.side is Side.BUY else ASK
