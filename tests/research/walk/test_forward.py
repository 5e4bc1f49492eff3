"""The command ``botkit walk-forward``, run on eight days of candles."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botkit.cli.main import main
from botkit.project.project import Project
from botkit.research.luck.sharpe import expected_best
from botkit.research.search import noting
from botkit.research.search.noting import Luck, NotedLooks
from botkit.research.search.study import Evaluation, TrialRun
from tests.backtest_world import run, write_strategy
from tests.research.conftest import CROSS
from tests.research_world import eight_days, write_crossing

ASKED = ["--param", "s.fast=3,8", "--param", "s.slow=20,60", "--objective", "return", "--min-trades", "1"]
ASKED += ["--train", "3d", "--test", "2d", "--jobs", "1", "--set", "timezone=UTC"]
DAY = 86_400 * 10**9


@pytest.fixture
def days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the configuration for a strategy that trades moving average crossovers, on eight days of five-minute
    candles with hourly waves.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))
    return write_crossing(tmp_path, eight_days())


def walk(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str) -> dict[str, Any]:
    code = main(["walk-forward", str(config), *ASKED, *arguments, "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def iso(moment: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(moment / 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def test_each_test_window_is_a_backtest_of_the_best_parameters_from_training(
    days: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = walk(capsys, days, "--gap", "0d")
    assert len(found["windows"]) == 2
    for window in found["windows"]:
        begin, end = (iso(moment) for moment in window["train"])
        trained = {
            (fast, slow): run(
                days,
                overrides=[
                    *("timezone=UTC", f"backtest.from={begin}", f"backtest.to={end}"),
                    *(f"s.fast={fast}", f"s.slow={slow}"),
                ],
            ).summary["return"]
            for fast in (3, 8)
            for slow in (20, 60)
        }
        best = max(trained, key=lambda key: float(str(trained[key])))
        assert tuple(window["params"].values()) == best
        assert window["in_sample"] == trained[best]
        begin, end = (iso(moment) for moment in window["test"])
        tested = run(
            days,
            overrides=[
                *("timezone=UTC", f"backtest.from={begin}", f"backtest.to={end}"),
                *(f"s.fast={best[0]}", f"s.slow={best[1]}"),
            ],
        )
        assert window["journal_sha256"] == tested.summary["journal_sha256"]
        final, opening = (float(str(tested.summary[key])) for key in ("final_equity", "opening_equity"))
        assert window["return"] == pytest.approx((final - window["closing_cost"]) / opening - 1)


def test_the_returns_of_the_test_windows_are_compounded(days: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = walk(capsys, days, "--gap", "0d")
    whole = math.prod(1 + window["return"] for window in found["windows"]) - 1
    assert found["figures"]["return"] == pytest.approx(whole)


def test_positions_open_at_the_end_of_a_test_window_are_charged_the_cost_of_closing(
    days: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # the strategy never sells, so at the end of each test window it still holds all the coins that it bought
    days.write_text(days.read_text().replace("use: scripted", "use: holder"))
    write_strategy(days.parent, CROSS.partition("    elif")[0], name="holder")
    found = walk(capsys, days, "--gap", "0d", "--min-trades", "0")
    for window in found["windows"]:
        begin, end = (iso(moment) for moment in window["test"])
        overrides = ["timezone=UTC", f"backtest.from={begin}", f"backtest.to={end}"]
        tested = run(days, overrides=[*overrides, *(f"{name}={value}" for name, value in window["params"].items())])
        held = sum(lot.units for lot in tested.open_lots) / 1e8 * tested.prices[0].close[-1]
        assert held > 1000
        assert window["closing_cost"] == pytest.approx(held * (0.002 + 0.0002))


def test_the_gap_before_a_test_window_is_as_long_as_the_longest_holding_time_in_training(
    days: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = walk(capsys, days)
    window = found["windows"][0]
    assert window["gap_days"] == 1
    assert window["test"][0] - window["train"][1] == DAY


def test_the_efficiency_leaves_out_the_days_of_the_gaps(days: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = walk(capsys, days)
    assert [window["gap_days"] for window in found["windows"]] == [1, 1]
    trained = sum(math.log1p(window["in_sample"]) for window in found["windows"]) / (2 * 3)
    tested = sum(math.log1p(window["return"]) for window in found["windows"]) / (2 * 1)
    assert found["figures"]["efficiency"] == pytest.approx(tested / trained)


def test_every_day_of_the_walk_counts_even_if_nothing_could_be_tested(
    days: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tested = walk(capsys, days)
    assert [window["gap_days"] for window in tested["windows"]] == [1, 1]
    assert tested["figures"]["days"] == 2 * 2
    untested = walk(capsys, days, "--min-trades", "100000")
    assert {window["params"] for window in untested["windows"]} == {None}
    assert (untested["figures"]["days"], untested["figures"]["return"]) == (2 * 2, 0)


def test_the_drawdown_counts_every_row_of_the_tests(days: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = walk(capsys, days, "--gap", "0d")
    deepest = 0.0
    for window in found["windows"]:
        begin, end = (iso(moment) for moment in window["test"])
        overrides = ["timezone=UTC", f"backtest.from={begin}", f"backtest.to={end}"]
        tested = run(days, overrides=[*overrides, *(f"{name}={value}" for name, value in window["params"].items())])
        deepest = max(deepest, float(str(tested.summary["max_drawdown"])))
    assert deepest > 0
    assert found["figures"]["max_drawdown"] >= deepest


def test_the_same_parameters_in_several_windows_are_one_look_at_all_of_the_windows(
    days: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noting, "is_test_running", lambda: False)
    # an earlier look at the first training window alone
    assert main(["backtest", str(days), "--no-readings", "--to", "2024-01-01", "--set", "timezone=UTC"]) == 0
    capsys.readouterr()
    found = walk(capsys, days)
    assert len(found["windows"]) == 2
    assert (found["luck"]["looks"], found["luck"]["days"]) == (4 + 1, 3)


def test_what_luck_reaches_is_on_the_scale_of_one_training_window(days: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noting, "is_test_running", lambda: False)
    random = np.random.default_rng(1)
    looks = NotedLooks(Project.load(days), 0, 240 * DAY, is_synthetic=False, fixed={}, command="walk-forward")
    for number in range(200):
        window = number % 4
        job = TrialRun(number, {"s.fast": number}, 1.0, window * 60 * DAY, (window + 1) * 60 * DAY)
        returns = tuple(random.normal(0, 0.01, 60).tolist())
        looks.add(job, Evaluation({}, "", "", window * 60, returns))
    looks.flush()
    luck = looks.luck()
    assert luck is not None
    assert (luck.looks, luck.days) == (200, 60)
    assert luck.sharpe_by_luck == pytest.approx(expected_best(200, 1 / 59) * math.sqrt(365), rel=0.1)


def test_partial_days_do_not_count_in_what_luck_reaches(days: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noting, "is_test_running", lambda: False)
    random = np.random.default_rng(1)
    returns = random.normal(0.001, 0.01, (50, 60)).tolist()

    def luck_of(name: str, partial: tuple[float, ...]) -> Luck | None:
        monkeypatch.setenv("BOTKIT_STATE", str(days.parent / name))
        looks = NotedLooks(Project.load(days), 0, 62 * DAY, is_synthetic=False, fixed={}, command="optimize")
        for number, full in enumerate(returns):
            found = (*partial, *full, *partial)
            looks.add(TrialRun(number, {"s.fast": number}), Evaluation({}, "", "", 0, found))
        looks.flush()
        return looks.luck()

    luck = luck_of("partial", (float("nan"),))
    assert luck is not None
    assert luck.days == 60
    assert luck == luck_of("full", ())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--gap", "2d"], "--gap 2d: the gap must be shorter than the test (2 days)"),
        (["--train", "30d"], "the data has 8 full days, but one window needs 30 + 2"),
        (["--test", "0d"], "--train and --test need at least a day each"),
        (["--train", "a week"], "'a week' is not a number of days"),
    ],
)
def test_a_mistake_is_reported_in_one_sentence_and_creates_no_files(
    days: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert main(["walk-forward", str(days), *ASKED, *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not Path("out").exists()


def test_the_page_shows_every_window_and_contains_no_script(days: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["walk-forward", str(days), *ASKED, "--gap", "0d"]) == 0
    out = capsys.readouterr().out
    page = Path("out/test/walks/1/walk_forward.html").read_text()
    assert "Report: out/test/walks/1/walk_forward.html" in out
    assert page.count("<tr") >= 2 + 2
    assert "<script" not in page
    assert "s.fast and s.slow" in page
    assert "2024-01-04" in page
    summary = json.loads(Path("out/test/walks/1/summary.json").read_text())
    assert len(summary["windows"]) == 2


def test_a_window_whose_training_yields_no_value_does_not_trade(days: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = walk(capsys, days, "--min-trades", "1000")
    assert [window["return"] for window in found["windows"]] == [0.0, 0.0]
    assert found["windows"][0]["reason"] == "no trial in the training window has a value for the objective"
