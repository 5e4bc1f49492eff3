"""Backtests of random bots still make the frozen decisions.

A hash may change only if a design change makes a new hash necessary, and the commit message must describe that change.
``python -m tests.frozen`` runs more seeds, and can freeze the results again.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.frozen.freezing import SEEDS, differences, prepare, run_all, stored
from tests.frozen.tapes import TAPES

#: every tenth seed, which is enough for every value of each random setting to occur
SUITE_SEEDS = range(5, 200, 10)


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("frozen")
    return folder, prepare(folder)


def test_the_tapes_have_not_changed(tapes: tuple[Path, dict[str, str]]) -> None:
    assert tapes[1] == stored()["tapes"]


@pytest.mark.parametrize("tape", TAPES)
def test_random_bots_still_make_the_frozen_decisions(tapes: tuple[Path, dict[str, str]], tape: str) -> None:
    found = dict(run_all(SUITE_SEEDS, tapes[0], [tape]))
    assert differences(found, stored()["runs"]) == []


def test_the_decisions_of_every_seed_are_frozen_on_every_tape() -> None:
    assert set(stored()["runs"]) == {f"{tape} {seed}" for tape in TAPES for seed in SEEDS}


def test_the_frozen_runs_contain_every_kind_of_event() -> None:
    total: Counter[str] = Counter()
    for found in stored()["runs"].values():
        total.update({name: count for name, count in found.items() if isinstance(count, int)})
        total["ended"] += "ended" in found
    least = {
        "orders": 100_000,
        "fills": 40_000,
        "partial fills": 4_000,
        "filled": 30_000,
        "cancelled": 20_000,
        "cancel_batch": 700,
        "create_batch": 500,
        "refused": 30_000,  # refused by rules or balances before being sent
        "answer refused": 3_500,  # refused by the exchange: mostly cancels of filled orders
        "post_only_cancelled": 600,
        "expired": 250,
        "not_sent": 4,
        "throttled": 4_000,
        "untriggered": 1_000,
        "triggered": 900,
        "protective exits": 20_000,
        "loss_limit": 60,
        "stopped": 20,  # stopped because of a loss, or because too many of its orders were refused
        "quarantine": 700,
        "get_order": 7,
        "ended": 20,  # aborted by an exception or an endless order loop
    }
    assert {name: total[name] for name, count in least.items() if total[name] < count} == {}
