"""Runs a small part of tests/emulator/fuzz_wire.py. When run as a script, that file executes 100,000 cases in each
direction.
"""

from __future__ import annotations

import pytest

from tests.emulator.fuzz_wire import both_ways

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize("seed", [1, 2])
async def test_emulator_and_client_handle_random_input_without_crashing(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    found = await both_ways(600, seed)
    assert found["requests to the emulator"][200] > 60  # enough requests get past authentication to the handlers
    assert found["requests to the emulator"][422] > 60
    assert sum(found["replies to the client"].values()) == 300
    assert not [record for record in caplog.records if record.exc_info and "botkit" in record.name]
