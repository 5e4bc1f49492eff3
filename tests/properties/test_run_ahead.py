"""A bot that runs ahead while nothing new can reach it decides like one that waits for every event.

The random bots and tapes of tests/frozen, with books and trades that our own orders show in: once with the driver, and
once a turn a row with every arrival and match at the exchange in its place.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from botkit.backtesting import session
from botkit.sim.kernel import Kernel
from tests.frozen.freezing import prepare, run
from tests.row_by_row import RowByRow

#: bots with answers that take their time, takers and stops among them
SEEDS = (1, 6, 10, 11, 23, 34)
TAPES = ("books", "two_pairs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("run_ahead")
    prepare(made)
    return made


@pytest.mark.parametrize("tape", TAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_running_ahead_changes_no_decision(seed: int, tape: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = run(seed, tape, folder)
    monkeypatch.setattr(session, "Driver", RowByRow)
    assert ahead == run(seed, tape, folder)


def test_running_ahead_too_far_is_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An own trade, or a book with own orders, would then become known at a time already past."""
    monkeypatch.setattr(Kernel, "_shown_at", lambda self, at: None)
    with pytest.raises(AssertionError, match="time went back"):
        run(11, "books", folder)
