"""A few seeds in both layers, plans that failed in the past, and tests of the simulation itself."""

from __future__ import annotations

import gc
from pathlib import Path

import msgspec
import pytest

from botkit.live.standstill import Standstill
from botkit.model.clock import NS_PER_S
from tests.simulation import branches
from tests.simulation.checks import Books, Broken, Journaled
from tests.simulation.mutants import MUTANTS, applied
from tests.simulation.plan import Plan, draw
from tests.simulation.runner import read_plan, run_plan
from tests.simulation.shrink import REGRESSIONS, shrink
from tests.simulation.world import Run

#: dead processes do not close anything, so warnings about their sockets and coroutines are expected during garbage
#: collection
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
KEPT = sorted(REGRESSIONS.glob("*.json"))


@pytest.mark.parametrize(("layer", "seed"), [("core", 1), ("core", 2), ("whole", 1)])
def test_a_seed_violates_no_invariant_and_covers_enough(layer: str, seed: int) -> None:
    result = run_plan(draw(seed, layer))  # type: ignore[arg-type]
    assert not result.broken, result.broken
    assert result.counts


@pytest.mark.parametrize("path", KEPT, ids=[path.stem for path in KEPT])
def test_plans_that_failed_in_the_past_pass(path: Path) -> None:
    result = run_plan(read_plan(path))
    assert not result.broken, "\n".join(result.story)


def test_a_run_leaves_none_of_its_objects_alive() -> None:
    # its unstarted requests would otherwise give their warnings to whatever test runs when the next run frees them
    run_plan(read_plan(REGRESSIONS / "core_20875.json"))
    gc.unfreeze()
    gc.collect()
    assert [found for found in gc.get_objects() if isinstance(found, Run)] == []


@pytest.mark.parametrize("layer", ["core", "whole"])
def test_running_a_plan_twice_produces_identical_runs(layer: str) -> None:
    plan = msgspec.json.decode(msgspec.json.encode(draw(4, layer)), type=Plan)  # type: ignore[arg-type]
    assert run_plan(plan).digest == run_plan(draw(4, layer)).digest  # type: ignore[arg-type]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_fault_can_still_be_applied_to_the_source(mutant: object) -> None:
    with applied(mutant):  # type: ignore[arg-type]
        pass


def test_following_the_log_yields_the_same_contents_as_reading_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    def row_of(run: Run, client_id: int) -> str | None:
        nonlocal compared
        journaled, followed = Journaled(run.journal), run.follow()
        for name in ("state", "final", "executed_lots", "order_id"):
            assert {i: row[name] for i, row in followed.rows.items()} == {
                i: row[name] for i, row in journaled.rows.items()
            }
        assert followed.told == journaled.told
        compared += 1
        return str(journaled.rows[client_id]["state"])

    monkeypatch.setattr(Run, "_row_of", row_of)
    result = run_plan(draw(3, "core"))
    assert not result.broken, result.broken
    assert result.starts > 1
    assert compared > 20


def test_the_source_text_of_every_named_branch_still_exists() -> None:
    assert branches.missing() == []


def test_branches_are_reported_while_they_are_observed() -> None:
    seen: list[str] = []
    with branches.reported(seen.append):
        standstill = Standstill(lambda seconds: None, lambda: 0)
        standstill.beat(0)
        standstill.beat(60 * NS_PER_S)
    standstill.beat(120 * NS_PER_S)
    assert seen == ["the bot stood still"]


def test_a_plan_is_reduced_to_the_parts_that_cause_the_violation() -> None:
    plan = draw(7, "core")
    wanted = plan.acts[3], plan.faults[1]

    def breaks(smaller: Plan) -> str:
        return "I1: twice" if wanted[0] in smaller.acts and wanted[1] in smaller.faults else ""

    short = shrink(plan, breaks)
    assert (short.acts, short.faults, short.crashes, short.switches) == ((wanted[0],), (wanted[1],), (), {})


def test_the_checks_do_not_import_the_engine() -> None:
    source = Path(__file__).with_name("checks.py").read_text()
    assert "botkit.engine" not in source
    assert Books is not None
    assert issubclass(Broken, AssertionError)
