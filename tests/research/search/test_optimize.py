"""The command ``botkit optimize``, on a small market."""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import yaml

from botkit.cli.main import main
from botkit.errors import ConfigError
from botkit.research.search import noting
from botkit.research.search.folder import SearchFolder
from botkit.research.search.interrupts import Interrupts, born_deaf
from botkit.research.search.pool import ProcessPool
from botkit.research.search.study import Evaluation, TrialRun
from botkit.research.search.worker import BenchRecipe
from tests.backtest_world import run, write_candles, write_config, write_strategy
from tests.research.search.deadly import Deadly
from tests.research_world import CROSS, waves, write_crossing
from tests.waiting import wait_for

ASKED = ["--param", "s.fast=3:9:2", "--param", "s.slow=10:40:10", "--objective", "return", "--min-trades", "1"]

#: buys each time it holds nothing, and sells after ``kept`` minutes
LOSES_OR_NOT = """
pair: Pair
kept: int = 1

def on_start(self):
    self.subscribe_bars(self.pair, "1m")
    self.minutes = 0

def on_bar(self, bar):
    self.minutes += 1
    if self.minutes % (self.kept + 1) == 1:
        self.market_buy(self.pair, spend=1000.0)
    elif self.minutes % (self.kept + 1) == 0:
        self.close(self.pair)
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def hears_ctrl_c() -> Iterator[None]:
    """Restore the default handling of Ctrl-C, which is ignored if a shell runs the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def optimize(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str) -> dict[str, Any]:
    """Run the command with --json and return the printed object."""
    code = main(["optimize", str(config), *arguments, "--json"])
    out, err = capsys.readouterr()
    assert code in (0, 1, 130), err
    found: dict[str, Any] = json.loads(out)
    return {**found, "code": code}


def test_every_trial_equals_a_backtest_with_its_parameters(crossing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = optimize(capsys, crossing, *ASKED, "--jobs", "1")
    assert found["code"] == 0
    assert [tuple(trial["params"].values()) for trial in found["trials"]] == [
        (fast, slow) for fast in (3, 5, 7, 9) for slow in (10, 20, 30, 40)
    ]
    for trial in found["trials"][::5]:
        alone = run(crossing, overrides=[f"{name}={value}" for name, value in trial["params"].items()])
        assert trial["journal_sha256"] == alone.summary["journal_sha256"]
        assert trial["value"] == alone.summary["return"]
    values = [trial["value"] for trial in found["trials"]]
    assert found["best"]["value"] == max(values) > min(values)


def test_two_workers_find_the_same_result_as_one_worker(crossing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = optimize(capsys, crossing, *ASKED, "--jobs", "1")
    two = optimize(capsys, crossing, *ASKED, "--jobs", "2")
    assert two["trials"] == one["trials"]
    assert Path(two["folder"]).name == "2"


def test_a_backtest_of_the_best_configuration_reproduces_the_best_result(
    crossing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = optimize(capsys, crossing, *ASKED, "--jobs", "1")
    again = run(Path(found["best_config"]))
    assert again.summary["journal_sha256"] == found["best"]["journal_sha256"]
    params = yaml.safe_load(Path(found["best_config"]).read_text())["strategies"][0]["params"]
    assert {f"s.{name}": params[name] for name in ("fast", "slow")} == found["best"]["params"]


def test_the_best_configuration_contains_what_was_given_to_the_search_alone(
    crossing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    span = ["--from", "2024-01-01T12:00", "--to", "2024-01-02"]
    found = optimize(capsys, crossing, *ASKED, "--jobs", "1", "--seed", "7", *span)
    again = run(Path(found["best_config"]))
    assert again.summary["return"] == found["best"]["value"]
    assert again.summary["return"] != run(crossing, overrides=by_hand(found["best"]["params"])).summary["return"]
    best = yaml.safe_load(Path(found["best_config"]).read_text())
    assert best["seed"] == 7
    assert (str(best["backtest"]["from"]), str(best["backtest"]["to"])) == ("2024-01-01T12:00", "2024-01-02")


def by_hand(params: dict[str, Any]) -> list[str]:
    return [f"{name}={value}" for name, value in params.items()]


def test_an_interrupted_and_continued_search_finds_the_same_result(
    crossing: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = optimize(capsys, crossing, *ASKED, "--jobs", "1", "--out", "whole")
    real = BenchRecipe.__call__
    ran: list[int] = []

    def interrupted(recipe: BenchRecipe, *, after: int) -> Callable[[TrialRun], Evaluation]:
        evaluate = real(recipe)

        def one(job: TrialRun) -> Evaluation:
            if len(ran) == after:
                raise KeyboardInterrupt
            ran.append(job.number)
            return evaluate(job)

        return one

    monkeypatch.setattr(BenchRecipe, "__call__", lambda recipe: interrupted(recipe, after=5))
    stopped = optimize(capsys, crossing, *ASKED, "--jobs", "1")
    assert stopped["code"] == 130
    assert stopped["interrupted"] is True
    monkeypatch.setattr(BenchRecipe, "__call__", lambda recipe: interrupted(recipe, after=1000))
    again = optimize(capsys, crossing, *ASKED, "--jobs", "1", "--continue")
    assert again["trials"] == whole["trials"]
    assert ran == list(range(16))


def test_a_search_cannot_be_continued_with_different_settings(
    crossing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["optimize", str(crossing), *ASKED, "--continue", "--jobs", "1"]) == 2
    assert "there is no search to continue" in capsys.readouterr().err
    optimize(capsys, crossing, *ASKED, "--jobs", "1", "--trials", "2")
    assert main(["optimize", str(crossing), *ASKED, "--where", "s.fast < 5", "--continue", "--jobs", "1"]) == 2
    assert 'that search had where = null, this one has "s.fast < 5"' in capsys.readouterr().err
    more = optimize(capsys, crossing, *ASKED, "--jobs", "1", "--trials", "4", "--continue")
    assert len(more["trials"]) == 4


def test_a_search_cannot_be_continued_once_a_fixed_parameter_has_changed(
    crossing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only_fast = ["--param", "s.fast=3:9:2", *(word for word in ASKED if word != "--param" and "s." not in word)]
    optimize(capsys, crossing, *only_fast, "--jobs", "1", "--trials", "2")
    text = crossing.read_text()
    crossing.write_text(text.replace("pair: btc_usdt}", "pair: btc_usdt, slow: 60}"))
    assert crossing.read_text() != text
    assert main(["optimize", str(crossing), *only_fast, "--continue", "--jobs", "1"]) == 2
    assert 'that search had s.slow = "20", this one has "60"' in capsys.readouterr().err


def test_a_search_cannot_be_continued_once_a_module_beside_the_strategy_has_changed(
    tmp_path: Path, crossing: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = tmp_path / "plugins"
    (plugins / "_shifted_signals.py").write_text("SHIFT = 0\n")
    (plugins / "other.py").write_text("")
    strategy = plugins / "scripted.py"
    strategy.write_text("import _shifted_signals\n" + strategy.read_text())
    monkeypatch.syspath_prepend(str(plugins))
    try:
        optimize(capsys, crossing, *ASKED, "--jobs", "1", "--trials", "2")
        (plugins / "other.py").write_text("ANOTHER_PLUGIN = 1\n")
        assert len(optimize(capsys, crossing, *ASKED, "--jobs", "1", "--trials", "3", "--continue")["trials"]) == 3
        (plugins / "_shifted_signals.py").write_text("SHIFT = 6\n")
        assert main(["optimize", str(crossing), *ASKED, "--continue", "--jobs", "1"]) == 2
        assert "the strategies' code has changed since that search" in capsys.readouterr().err
    finally:
        sys.modules.pop("_shifted_signals", None)


def test_a_search_cannot_be_continued_on_other_data(
    tmp_path: Path, crossing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    optimize(capsys, crossing, *ASKED, "--jobs", "1", "--trials", "2")
    candles = tmp_path / "candles.csv"
    rows = candles.read_text()
    assert rows.count("\n") > 100
    candles.write_text(rows[:-2] + ("1\n" if rows[-2] != "1" else "2\n"))  # the last row's volume
    assert main(["optimize", str(crossing), *ASKED, "--continue", "--jobs", "1"]) == 2
    assert "the recorded data has changed since that search; restore it" in capsys.readouterr().err
    candles.write_text(rows)
    assert len(optimize(capsys, crossing, *ASKED, "--jobs", "1", "--trials", "3", "--continue")["trials"]) == 3


def test_a_trial_whose_output_line_was_truncated_is_run_again(
    crossing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = optimize(capsys, crossing, *ASKED, "--jobs", "1", "--trials", "3")
    trials = Path(whole["folder"]) / "trials.jsonl"
    trials.write_bytes(trials.read_bytes()[:-20])
    again = optimize(capsys, crossing, *ASKED, "--jobs", "1", "--trials", "3", "--continue")
    assert again["trials"] == whole["trials"]
    assert len(trials.read_text().splitlines()) == 3


def test_pruned_trials_do_not_change_the_results_of_finished_trials(
    crossing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = optimize(capsys, crossing, *ASKED, "--jobs", "1")
    pruned = optimize(capsys, crossing, *ASKED, "--jobs", "1", "--prune")
    states = {trial["number"]: trial["state"] for trial in pruned["trials"]}
    assert "pruned" in states.values()
    for trial in pruned["trials"]:
        if trial["state"] == "done":
            assert trial == whole["trials"][trial["number"]]


def evaluated(pool: ProcessPool, jobs: Sequence[TrialRun]) -> dict[int, Evaluation]:
    found: dict[int, Evaluation] = {}

    def done(job: TrialRun, evaluation: Evaluation) -> None:
        assert job.number not in found
        found[job.number] = evaluation

    try:
        pool.run(jobs, done)
    finally:
        pool.close()
    return found


def test_a_trial_whose_worker_died_is_run_again(tmp_path: Path) -> None:
    found = evaluated(ProcessPool(Deadly(3, tmp_path / "died"), 2), [TrialRun(number, {}) for number in range(6)])
    assert {number: evaluation.summary["number"] for number, evaluation in found.items()} == dict(enumerate(range(6)))
    assert (tmp_path / "died").exists()


def test_a_trial_that_kills_every_worker_fails_without_affecting_other_trials() -> None:
    found = evaluated(ProcessPool(Deadly(3, None), 2), [TrialRun(number, {}) for number in range(6)])
    assert sorted(found) == list(range(6))
    assert found[3].error.startswith("its worker process died twice")
    assert all(not evaluation.error for number, evaluation in found.items() if number != 3)


def test_each_parameter_combination_is_counted_as_a_look_only_once(
    crossing: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    optimize(capsys, crossing, *ASKED, "--jobs", "1", "--trials", "2")
    assert not Path("state/looks.sqlite").exists()  # runs in tests are not recorded as looks
    monkeypatch.setattr(noting, "is_test_running", lambda: False)
    for trials in (4, 6):
        found = optimize(capsys, crossing, *ASKED, "--jobs", "1", "--trials", str(trials))
    assert found["luck"]["looks"] == 6
    with closing(sqlite3.connect("state/looks.sqlite")) as db, db:
        rows = db.execute("SELECT strategy, pairs, trades FROM looks").fetchall()
    db.close()
    assert {row[:2] for row in rows} == {("scripted", '["btc_usdt"]')}
    assert all(trades > 0 for *_, trades in rows)


def test_pruned_trials_are_looks_at_the_days_that_they_ran_on(
    crossing: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noting, "is_test_running", lambda: False)
    found = optimize(capsys, crossing, *ASKED, "--jobs", "1", "--prune")
    pruned = [trial for trial in found["trials"] if trial["state"] == "pruned"]
    assert pruned
    assert found["luck"]["looks"] == len(found["trials"]) == 16
    with closing(sqlite3.connect("state/looks.sqlite")) as db, db:
        rows = db.execute("SELECT params, MAX(end_ns - start_ns) FROM looks GROUP BY params").fetchall()
    db.close()
    spans = {(params["s.fast"], params["s.slow"]): span for params, span in ((json.loads(p), span) for p, span in rows)}
    whole = max(spans.values())
    for trial in found["trials"]:
        share = next((share for share in (0.25, 0.5) if f"after {share:.0%}" in trial["reason"]), 1.0)
        assert spans[tuple(trial["params"].values())] / whole == pytest.approx(share)


def test_a_search_over_pairs_records_each_look_under_its_pair(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noting, "is_test_running", lambda: False)
    rows = [write_candles(tmp_path / f"{name}.csv", waves(600)) for name in ("btc", "eth")]
    data = f"[{{path: {rows[0]}, pair: btc_usdt, kind: candles}}, {{path: {rows[1]}, pair: eth_usdt, kind: candles}}]"
    config = write_config(tmp_path, data, plugins=write_strategy(tmp_path, CROSS), balances='{usdt: "10000"}')
    asked = ["--param", "s.pair=btc_usdt,eth_usdt", "--param", "s.fast=3,5"]
    found = optimize(capsys, config, *asked, "--objective", "return", "--min-trades", "1", "--jobs", "1")
    assert found["luck"]["looks"] == 4
    with closing(sqlite3.connect("state/looks.sqlite")) as db, db:
        rows_by_pair = dict(db.execute("SELECT pairs, COUNT(*) FROM looks GROUP BY pairs").fetchall())
    db.close()
    assert rows_by_pair == {'["btc_usdt"]': 2, '["eth_usdt"]': 2}


def test_an_unwritable_ledger_is_reported_and_the_search_continues(
    crossing: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noting, "is_test_running", lambda: False)
    Path("state").write_text("a file where a folder should be")
    found = optimize(capsys, crossing, *ASKED, "--jobs", "1", "--trials", "2")
    assert len(found["trials"]) == 2
    assert any("the looks are not recorded" in note for note in found["notes"])


def test_a_full_disk_is_reported_in_one_sentence(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no full disk to write to")
    folder = SearchFolder(tmp_path / "search", {"seed": 1}, is_continued=False)
    (tmp_path / "search" / "trials.jsonl").symlink_to("/dev/full")
    with folder, pytest.raises(ConfigError, match=r"trials\.jsonl: cannot be written \(No space left on device\)"):
        folder.add(TrialRun(0, {}), Evaluation({}, ""))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "there is nothing to search"),
        (["--param", "s.fast=9:3:1"], "the range is empty"),
        (["--param", "s.fast=1,2", "--param", "s.fast=3"], "--param s.fast is given twice"),
        (["--param", "s.fast=1:9:1", "--where", "s.fast > 10"], "no combination of the ranges satisfies it"),
        (["--param", "s.fast=1:9:1", "--trials", "0"], "--trials 0"),
        (["--param", "s.fast=1:9:1", "--min-trades", "-1"], "--min-trades -1"),
        (["--param", "s.fast=1:9:1", "--objective", "sharp"], "did you mean sharpe?"),
        (["--param", "s.spend=1:9"], "a grid needs steps"),
        (["--param", "s.fast=1:9:1", "--data", "nowhere"], "there is no such file or folder"),
    ],
)
def test_a_mistake_is_reported_in_one_sentence_and_creates_no_files(
    crossing: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert main(["optimize", str(crossing), *arguments]) == 2
    out, err = capsys.readouterr()
    assert says in err
    assert out == ""
    assert err.count("\n") == 1
    assert not Path("out").exists()


def test_if_no_trial_has_a_value_the_reason_is_printed_and_the_exit_code_is_1(
    crossing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["optimize", str(crossing), "--param", "s.fast=3,5", "--jobs", "1", "--min-trades", "1"])
    out = " ".join(capsys.readouterr().out.split())
    assert code == 1
    assert "none of 2 trials has a value for sharpe; the most frequent reason: sharpe is undefined" in out
    assert "best.yaml" not in out


def test_trials_in_which_no_trade_lost_rank_last_by_profit_factor_but_are_said_not_to_be_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins = write_strategy(tmp_path, LOSES_OR_NOT)
    data = write_candles(tmp_path / "candles.csv", [60_000.0 + 10 * row - 20 * (row % 7 == 6) for row in range(1_500)])
    config = write_config(
        tmp_path,
        f"[{{path: {data}, pair: btc_usdt, kind: candles}}]",
        plugins=plugins,
        balances='{usdt: "10000"}',
    )
    asked = ["--param", "s.kept=6,500", "--objective", "profit_factor", "--min-trades", "1", "--jobs", "1"]
    code = main(["optimize", str(config), *asked])
    printed = " ".join(capsys.readouterr().out.split())
    assert code == 0, printed
    says = "no trade lost, so profit_factor is undefined: they rank last, but are not worse than the others"
    assert f"note: in 1 of 2 trials, such as trial 1, {says}" in printed
    page = Path("out/test/searches/1/search.html").read_text()
    assert says in page


def test_a_table_of_the_best_trials_is_printed(crossing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", str(crossing), *ASKED, "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "s.fast" in out
    assert "Best configuration: out/test/searches/1/best.yaml" in out
    assert "All 16 trials: out/test/searches/1/search.html" in out


def test_an_interrupted_process_keeps_the_finished_trials(crossing: Path) -> None:
    import subprocess

    command = [sys.executable, "-m", "botkit", "optimize", str(crossing), "--param", "s.fast=2:60:1", "--param"]
    command += ["s.slow=61:400:1", "--objective", "return", "--jobs", "2"]
    trials = Path("out/test/searches/1/trials.jsonl")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:

        def is_under_way() -> bool:
            assert process.poll() is None, process.communicate()
            return trials.exists() and len(trials.read_bytes().splitlines()) >= 20

        wait_for(is_under_way)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "--continue resumes from them" in out
    assert "Traceback" not in err
    rows = [json.loads(line) for line in trials.read_text().splitlines()]
    assert len({row["number"] for row in rows}) == len(rows) >= 20


def test_a_backtest_is_recorded_as_a_look_only_once_for_the_same_parameters(
    crossing: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noting, "is_test_running", lambda: False)
    assert main(["backtest", str(crossing), "--no-readings", "--json"]) == 0
    assert main(["backtest", str(crossing), "--no-readings", "--json", "--set", "s.fast=3", "--set", "s.slow=10"]) == 0
    capsys.readouterr()
    found = optimize(capsys, crossing, *ASKED, "--jobs", "1", "--trials", "3")
    # fast=5 slow=20 and three trials; the first trial has the same parameters as the earlier look
    assert found["luck"]["looks"] == 4


def test_an_exception_in_a_strategy_is_reported_in_one_line(crossing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strategy = crossing.parent / "plugins" / "scripted.py"
    strategy.write_text(strategy.read_text().replace("def on_bar(self, bar):", "def on_bar(self, bar):\n        1 / 0"))
    found = optimize(capsys, crossing, *ASKED, "--jobs", "1", "--trials", "2")
    assert [trial["state"] for trial in found["trials"]] == ["failed", "failed"]
    assert "ZeroDivisionError" in found["trials"][0]["reason"]
    assert "\n" not in found["trials"][0]["reason"]


# -- Ctrl-C at any moment ---------------------------------------------------------------------------------------------

#: Ctrl-C is simulated while a line in one of these files is executing: the search itself, its command, and the pool
#: that it uses
SEARCH_FILES = ("research/search/", "cli/optimize.py", "concurrent/futures/")


class CtrlC:
    """Simulates Ctrl-C when the main thread reaches the ``at``-th line of the search. If ``at`` is None, it only counts
    the lines.
    """

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.lines = 0
        self.pressed_in = ""

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        name = frame.f_code.co_filename
        return self._line if any(part in name for part in SEARCH_FILES) else None

    def _line(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                self.pressed_in = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                signal.raise_signal(signal.SIGINT)
        return self._line


def pressed(at: int | None, *arguments: str) -> tuple[int, CtrlC]:
    """Run the command, simulate Ctrl-C at a given line, and return the exit code and the counter."""
    ctrl_c = CtrlC(at)
    sys.settrace(ctrl_c)
    try:
        return main(list(arguments)), ctrl_c
    finally:
        sys.settrace(None)


@pytest.mark.parametrize(("jobs", "moments"), [("1", 12), ("2", 4)])
def test_ctrl_c_at_any_line_of_a_search_exits_with_130_and_keeps_finished_trials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], jobs: str, moments: int
) -> None:
    # every call of a traced search is slow, and Ctrl-C is about the search, not the length of its backtests
    brief = write_crossing(tmp_path, waves(600))
    asked = ["optimize", str(brief), *ASKED, "--jobs", jobs, "--trials", "4"]
    code, whole = pressed(None, *asked, "--out", "whole")
    assert code == 0
    known = [json.loads(line) for line in Path("whole/trials.jsonl").read_text().splitlines()]
    hashes = {row["number"]: row["journal_sha256"] for row in known}
    capsys.readouterr()
    for number in range(moments):
        out = Path(f"out{number}")
        # also simulate Ctrl-C at the last lines, which print the result
        code, ctrl_c = pressed(1 + number * (whole.lines - 1) // moments, *asked, "--out", str(out))
        said = capsys.readouterr()
        if not ctrl_c.pressed_in:
            continue  # with two workers, the number of lines depends on which worker finishes first
        assert code == 130, (ctrl_c.pressed_in, said)
        assert "Traceback" not in said.err, ctrl_c.pressed_in
        if not (out / "trials.jsonl").exists():
            continue
        rows = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
        assert len({row["number"] for row in rows}) == len(rows)
        assert all(hashes[row["number"]] == row["journal_sha256"] for row in rows)
        if number % 6 == 3:
            assert main([*asked, "--out", str(out), "--continue"]) == 0
            assert len((out / "trials.jsonl").read_text().splitlines()) == 4
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_aborts_immediately() -> None:
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        assert interrupts.came
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_interrupts_a_long_trial_immediately() -> None:
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt), interrupts.at_once():
            signal.raise_signal(signal.SIGINT)
        assert interrupts.came


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="this system has no signal masks")
def test_a_worker_ignores_ctrl_c_even_during_startup() -> None:
    import subprocess

    code = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with born_deaf():
        assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "True"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
