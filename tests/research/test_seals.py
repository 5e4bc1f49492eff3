"""A sealed part of the data is not read before it is opened, regardless of which copy of the tape is used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import botkit
from botkit.cli.main import main
from botkit.model.clock import parse_time
from tests.research.doctor.planted import FOLLOW, closes, planted

#: the generated days start on 2021-01-01
SEALED = "2021-11-01"
DAYS = 400


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))
    return planted(tmp_path / "bot", FOLLOW, closes(1, DAYS, momentum=0.4))


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert main(list(arguments)) == code
    out, err = capsys.readouterr()
    return err if code == 2 else json.loads(out) if "--json" in arguments else out


def test_a_sealed_part_is_not_read_until_opened_and_can_be_opened_only_once(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = botkit.backtest(config, readings=False)
    assert "a reminder, not a lock" in said(capsys, "trials", str(config), "--sealed", SEALED)
    before = botkit.backtest(config, readings=False)
    bounded = botkit.backtest(config, readings=False, end="2021-10-31")
    assert before.figures["journal_sha256"] == bounded.figures["journal_sha256"] != whole.figures["journal_sha256"]
    assert any("is sealed and was not read" in caution for caution in before.warnings)
    assert "already" in said(capsys, "trials", str(config), "--sealed", "2021-12-01", code=2)

    assert "This cannot be undone" in said(capsys, "trials", str(config), "--open")
    assert botkit.backtest(config, readings=False).figures["journal_sha256"] == whole.figures["journal_sha256"]
    assert "the data was already opened at" in said(capsys, "trials", str(config), "--open", code=2)
    assert "and was opened" in said(capsys, "trials", str(config), "--sealed", SEALED, code=2)


def test_a_copy_of_the_tape_is_also_sealed(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "trials", str(config), "--sealed", SEALED)
    shutil.copy(tmp_path / "bot" / "candles.csv", tmp_path / "copy.csv")
    source = f"[{{path: {tmp_path / 'copy.csv'}, pair: btc_twd, kind: candles, resolution: 1d}}]"
    found = said(capsys, "backtest", str(config), "--no-readings", "--json", "--set", f"backtest.data={source}")
    own = said(capsys, "backtest", str(config), "--no-readings", "--json")
    assert found["journal_sha256"] == own["journal_sha256"]
    error = said(capsys, "backtest", str(config), "--from", "2021-11-15", "--no-readings", code=2)
    assert "everything from 2021-11-01" in error


def test_a_search_ends_before_the_sealed_part_of_the_data(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strategy = config.parent / "plugins" / "scripted.py"
    strategy.write_text(strategy.read_text().replace("pair: Pair", "pair: Pair\n    share: float = 0.9"))
    said(capsys, "trials", str(config), "--sealed", SEALED)
    asked = ["--param", "s.share=0.5,0.9", "--objective", "return", "--min-trades", "1", "--jobs", "1"]
    found = said(capsys, "optimize", str(config), *asked, "--json")
    alone = botkit.backtest(config, readings=False, end="2021-10-31")
    assert {trial["journal_sha256"] for trial in found["trials"]} == {alone.figures["journal_sha256"]}
    rows = [json.loads(line) for line in (Path(found["folder"]) / "trials.jsonl").read_text().splitlines()]
    assert {row["end_ns"] for row in rows} == {parse_time(SEALED)}


def test_the_doctor_uses_the_sealed_part_once_it_is_opened(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def rung() -> dict[str, Any]:
        main(["doctor", str(config), "--json"])
        found = json.loads(capsys.readouterr().out)
        return next(rung for rung in found["rungs"] if rung["name"] == "sealed")

    assert rung()["says"] == "no part of the data was sealed before the search"
    said(capsys, "trials", str(config), "--sealed", SEALED)
    assert rung()["outcome"] == "not tested"
    said(capsys, "trials", str(config), "--open")
    opened = rung()
    assert opened["outcome"] in ("ok", "failed")
    assert 90 < opened["figures"]["days"] < 100


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--open"], "need a CONFIG"),
        (["CONFIG", "--open"], "nothing is sealed for this strategy"),
        (["CONFIG", "--sealed", "soon"], "--sealed: "),
        (["CONFIG"], "omit it to list the configurations tried"),
        (["CONFIG", "--sealed", SEALED, "--open"], "cannot be used together"),
    ],
)
def test_a_mistake_is_reported_in_one_sentence(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    error = said(capsys, "trials", *[str(config) if word == "CONFIG" else word for word in arguments], code=2)
    assert says in error
    assert error.count("\n") == 1


def test_damaged_seals_stop_a_run_instead_of_revealing_the_sealed_part(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "seals.json").write_text("[{")
    assert "seals.json: the seals cannot be read" in said(capsys, "backtest", str(config), code=2)
