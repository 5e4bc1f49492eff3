"""A report shows the doctor's findings about the report's decisions, regardless of whether the report or the findings
were created first.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import msgspec
import pytest

from botkit.cli.backtest import repeating_command
from botkit.cli.main import main
from botkit.report.doctor import FILE, Findings, LadderStep, placed, read_findings
from botkit.report.html import render
from tests.report.sample_result import sample_result
from tests.research_world import write_crossing

SENTENCE = "Cannot tell; 31 days are <too> few."


def findings(sha256: str) -> Findings:
    steps = [
        LadderStep("costs", "ok", "it earns with costs doubled", "no advice is needed"),
        LadderStep("data", "failed", "31 days are <too> few", "it takes 569 days"),
        LadderStep("fills", "not tested", "it only takes"),
    ]
    return Findings("cannot tell", SENTENCE, steps, sha256)


def test_the_ladder_is_shown_only_for_identical_decisions() -> None:
    result = sample_result(days=1, orders=5)
    own = render(result, findings=findings(str(result.summary["journal_sha256"])))
    assert own.count("Cannot tell; 31 days are &lt;too&gt; few.") == 2
    for text in ('<li class="failed">', '<li class="not-tested">', "it takes 569 days"):
        assert text in own
    assert "no advice is needed" not in own
    other = render(result, findings=findings("0" * 64))
    assert other == render(result)
    assert "The doctor says" not in other


def test_findings_can_be_added_to_a_finished_report_and_replaced() -> None:
    result = sample_result(days=1, orders=5)
    sha256 = str(result.summary["journal_sha256"])
    plain = render(result)
    once = placed(plain, findings(sha256))
    assert once == render(result, findings=findings(sha256))
    later = msgspec.structs.replace(findings(sha256), sentence=r"Holds \1 <!-- /doctor-ladder --> out of sample.")
    assert placed(placed(once, later), findings(sha256)) == once


def test_a_missing_or_damaged_findings_file_is_ignored(tmp_path: Path) -> None:
    assert read_findings(tmp_path) is None
    (tmp_path / FILE).write_text('{"verdict": 3}')
    assert read_findings(tmp_path) is None


def test_the_doctor_adds_its_ladder_to_existing_and_future_reports_of_a_bot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = write_crossing(tmp_path)
    assert main(["backtest", str(config), "--no-readings"]) == 0
    capsys.readouterr()
    main(["doctor", str(config)])
    said = capsys.readouterr().out
    (folder,) = [path.parent for path in (tmp_path / "out").glob("*/doctor.json")]
    assert f"Added to {Path('out') / folder.name / '1' / 'report.html'}" in said.replace("\n", " ")
    sentence = json.loads((folder / FILE).read_text())["sentence"]
    assert sentence in " ".join(said.split())
    assert main(["backtest", str(config), "--no-readings"]) == 0
    first, second = ((folder / number / "report.html").read_text() for number in ("1", "2"))
    assert first.count('class="ladder"') == second.count('class="ladder"') == 1
    assert f"<code>{shlex.join(['botkit', 'backtest', str(config), '--no-readings'])}</code>" in first


def test_a_report_contains_the_command_that_reproduces_it_without_secrets() -> None:
    shown = repeating_command(
        Path("my bot.yaml"), ["sma.fast=12", "account.secret=hush"], None, "2025-01-31", None, Path("x"), 0, False, None
    )
    assert shlex.split(shown) == [
        *("botkit", "backtest", "my bot.yaml", "--from", "2025-01-31", "--out", "x", "--seed", "0"),
        *("--set", "sma.fast=12", "--set", "account.secret=...", "--no-readings"),
    ]
    result = sample_result(days=1, orders=5)
    result.command = "botkit backtest 'a <b>.yaml'"
    assert "<code>botkit backtest &#39;a &lt;b&gt;.yaml&#39;</code>" in render(result)
