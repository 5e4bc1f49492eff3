"""Random bots over real HTTP and WebSocket connections still make the frozen decisions, and the same decisions as in
their backtests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.frozen.freezing import (
    LOCKSTEP_SEEDS,
    LOCKSTEP_STORE,
    differences,
    prepare,
    run_in_lockstep,
    stored,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("frozen")
    prepare(made)
    return made


@pytest.mark.parametrize("seed", LOCKSTEP_SEEDS)
async def test_a_random_bot_over_the_wire_still_makes_the_frozen_decisions(folder: Path, seed: int) -> None:
    found = {f"lockstep {seed}": await run_in_lockstep(seed, folder)}
    assert differences(found, stored(LOCKSTEP_STORE)["runs"]) == []


def test_bots_in_lockstep_execute_trades() -> None:
    runs = stored(LOCKSTEP_STORE)["runs"].values()
    assert sum(found.get("fills", 0) for found in runs) >= 200
    assert sum(found.get("orders", 0) > 5 for found in runs) >= 9
