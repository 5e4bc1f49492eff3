"""The command ``botkit guide`` and all chapters."""

from __future__ import annotations

import re

import pytest

from botkit.cli.main import main
from botkit.guide import CHAPTERS, chapter
from tests.guide.code_blocks import GUIDE, ROOT
from tests.live.fault_catalogue import CATALOGUE


def test_every_chapter_is_listed_if_no_topic_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert listed == list(CHAPTERS)


def test_output_to_a_pipe_is_plain_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide", "limits"]) == 0
    assert capsys.readouterr().out == chapter("limits")


def test_output_to_a_terminal_is_formatted_text_in_a_pager(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setenv("LESS", "FRX")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("pydoc.pager", shown.append)
    assert main(["guide", "limits"]) == 0
    assert "Rate limits" in shown[0]
    assert "# Rate limits" not in shown[0]


def test_a_misspelled_topic_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide", "strategy"]) == 2
    assert "the guide has no chapter 'strategy'; did you mean strategies?" in capsys.readouterr().err


def test_every_chapter_is_listed_and_every_listed_chapter_exists() -> None:
    assert {path.stem for path in GUIDE.glob("*.md")} == set(CHAPTERS)


def test_the_readme_is_short_and_its_pictures_are_small() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 130
    assert all(f"(botkit/guide/{topic}.md)" in readme for topic in CHAPTERS)
    pictures = re.findall(r"\((\.github/\w+\.png)\)", readme)
    assert {f".github/{name}.png" for name in ("report", "page", "playback")} == set(pictures)
    assert all((ROOT / picture).stat().st_size < 150_000 for picture in pictures)


def test_error_messages_in_the_guide_match_the_fault_catalogue() -> None:
    _, _, table = chapter("running").partition("| what can happen |")
    rows = re.findall(r"^\| [^|]+ \| [^|]+ \|([^|]*)\|$", table, flags=re.MULTILINE)
    said = [shown.says for faults in CATALOGUE.values() for shown in faults.values()]
    sentences = [row.strip() for row in rows if row.strip()]
    assert len(sentences) > 10
    unknown = [sentence for sentence in sentences if not any(sentence in text for text in said)]
    assert not unknown


def test_the_guide_names_the_variable_that_moves_the_folder_of_all_state() -> None:
    from botkit.live.state_folder import STATE_VARIABLE

    assert f"`{STATE_VARIABLE}`" in (GUIDE / "running.md").read_text()
