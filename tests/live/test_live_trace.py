"""Limits the number of files and calls on a live order's path from WebSocket text to request bytes. The counts do not
depend on the machine.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import botkit.engine.engine
from tests.benchmarks.live_trace import LIVES, ways

#: for an order sent in on_book; the calls needed for a trades frame grow with the number of trades in it
CALLS_MOST = 122
FILES_MOST = {"on_book": 50, "on_trade": 53}
#: allowance for a timer or another event loop task that runs between the steps
CALLS_ROOM, FILES_ROOM = 15, 3


@pytest.mark.skipif(not botkit.engine.engine.__file__.endswith(".py"), reason="calls of compiled code are not seen")
async def test_the_order_path_stays_within_its_budget_of_files_and_calls(tmp_path: Path) -> None:
    found = {way.name: way for way in await ways(tmp_path)}
    assert set(found) == set(LIVES)
    over = {name: list(way.files) for name, way in found.items() if len(way.files) > FILES_MOST[name] + FILES_ROOM}
    assert not over, over
    assert found["on_book"].calls <= CALLS_MOST + CALLS_ROOM, found["on_book"].files
    for way in found.values():  # the path leads from the text through the strategy and the journal to the signature
        assert list(way.files).index("exchange/bitopro/wire/frames.py") < list(way.files).index("engine/engine.py")
        assert {"engine/strategy/base.py", "live/journal.py", "exchange/bitopro/sign.py"} <= way.files.keys()
