"""Backtests of random bots decide as they did when they were frozen.

Only a change that the design asks for may change a hash; the commit that does so names it. ``python -m tests.frozen``
runs more seeds, and freezes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.frozen.freezing import SEEDS, differences, prepare, run_all, stored
from tests.frozen.tapes import TAPES

SUITE_SEEDS = SEEDS


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("frozen")
    return folder, prepare(folder)


def test_the_tapes_are_those_that_behaviour_was_frozen_on(tapes: tuple[Path, dict[str, str]]) -> None:
    assert tapes[1] == stored()["tapes"]


@pytest.mark.parametrize("tape", TAPES)
def test_random_bots_decide_as_they_did(tapes: tuple[Path, dict[str, str]], tape: str) -> None:
    found = dict(run_all(SUITE_SEEDS, tapes[0], [tape]))
    assert differences(found, stored()["runs"]) == []


def test_every_seed_is_frozen_on_every_tape() -> None:
    assert set(stored()["runs"]) == {f"{tape} {seed}" for tape in TAPES for seed in SEEDS}
