"""Number of Python calls per order from placement to the last callback. The limit does not depend on the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

import botkit.engine.engine
from tests.benchmarks.order_trace import LIVES, book_calls, lives

#: Number of calls from the strategy's order to its last callback, including those in the simulated exchange, the driver
#: and the recorder. tests/benchmarks/order_trace.py prints their distribution. Lower these limits when the number of
#: calls drops; never raise them.
CALLS = {
    "limit order that takes, on bars": 90,
    "limit order that takes, on trades": 111,
    "limit order that rests, on trades": 120,
    "market order, on bars": 98,
    "market order, on trades": 116,
    "order cancelled, another placed, on bars": 106,
    "quote replaced, on bars": 137,
    "quote replaced, on trades": 124,
}
#: tolerance: roughly one driver turn in either direction
ROOM = 10


@pytest.mark.skipif(not botkit.engine.engine.__file__.endswith(".py"), reason="calls in compiled code are not visible")
def test_the_number_of_calls_per_order_stays_within_budget(tmp_path: Path) -> None:
    measured = {life.name: life.calls for life in lives(tmp_path)}
    assert set(measured) == {name for name, _, _ in LIVES} == set(CALLS)
    over = {name: round(calls) for name, calls in measured.items() if calls > CALLS[name] + ROOM}
    assert not over, f"more calls an order than {CALLS}"
    loose = {name: round(calls) for name, calls in measured.items() if calls < CALLS[name] - ROOM}
    assert not loose, f"fewer calls an order than {CALLS}: lower the bounds"


@pytest.mark.skipif(not botkit.engine.engine.__file__.endswith(".py"), reason="calls in compiled code are not visible")
def test_a_book_update_that_triggers_nothing_stays_within_the_call_budget(tmp_path: Path) -> None:
    assert book_calls(tmp_path) < 9
