"""A bot that runs ahead while no new event can reach it makes the same decisions as a bot that waits for every event.

The tests use the random bots and tapes from tests/frozen, with books and trades that include our own orders. Each bot
runs once with the driver, and once with a separate turn for each row, in which the exchange processes every arrival and
match at its exact time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from botkit.backtesting import session
from botkit.sim import kernel
from tests.frozen.freezing import prepare, run
from tests.plain_form import replaces_code
from tests.row_by_row import RowByRow

#: bots with response latency, including some with taker orders and stops
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


@replaces_code
def test_running_too_far_ahead_is_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the limit on running ahead, and check that one of our own trades, or a book with our orders, then becomes
    known only after its time has passed.
    """
    monkeypatch.setattr(kernel, "first_shown", lambda *_: None)
    with pytest.raises(AssertionError, match="time went back"):
        run(11, "books", folder)
