"""The playback page and the pages for searches, walk-forwards and comparisons in Traditional Chinese, in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from botkit.cli.main import main
from tests.backtest_world import ROOT
from tests.report.browser import Browser
from tests.report.english import english_left
from tests.research_world import eight_days, write_crossing

#: names that these tests use in figures and in file names
NAMES = ("test bot cross fast slow spend", "usdt btc", "market maker", "mm quote inventory", "trials jsonl", "s")
LANG = ("--lang", "zh-TW")


@pytest.fixture
def crossing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with a configuration and eight days of candles, and return the configuration's path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))
    return write_crossing(tmp_path, eight_days())


def opened(browser: Browser, page: Path) -> Browser:
    """Open a page that contains no scripts."""
    browser._call("Page.navigate", url=page.absolute().as_uri())
    browser.until("document.readyState === 'complete' && location.protocol === 'file:'")
    return browser


def test_the_search_page_is_in_chinese(crossing: Path, browser: Browser, capsys: pytest.CaptureFixture[str]) -> None:
    space = ("--param", "s.fast=3,8", "--param", "s.slow=20,60", "--jobs", "1", "--min-trades", "1")
    assert main(["optimize", str(crossing), *space, "--objective", "max_drawdown", "--out", "found", *LANG]) == 0
    said = capsys.readouterr().out
    assert "全部 4 次試驗" in said
    assert "最大回撤" in said
    opened(browser, Path("found/search.html"))
    assert "最大回撤" in browser.texts("table.study th")
    assert browser.run("document.documentElement.lang") == "zh-TW"
    assert english_left(browser, NAMES) == []


def test_the_search_page_is_in_chinese_even_without_enough_trades(crossing: Path, browser: Browser) -> None:
    space = ("--param", "s.fast=3,8", "--param", "s.slow=20,60", "--jobs", "1", "--min-trades", "9000")
    assert main(["optimize", str(crossing), *space, "--out", "found", *LANG]) == 1
    opened(browser, Path("found/search.html"))
    assert english_left(browser, NAMES) == []


def test_the_walk_forward_page_is_in_chinese(
    crossing: Path, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    space = ("--param", "s.fast=3,8", "--param", "s.slow=20,60", "--jobs", "1", "--min-trades", "1")
    spans = ("--train", "3d", "--test", "2d", "--objective", "return", "--out", "walk")
    assert main(["walk-forward", str(crossing), *space, *spans, *LANG]) == 0
    assert "樣本外" in capsys.readouterr().out
    opened(browser, Path("walk/walk_forward.html"))
    assert english_left(browser, NAMES) == []


def test_the_comparison_page_is_in_chinese(
    crossing: Path, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, fast in enumerate((3, 8)):
        span = ("--to", f"2025-01-0{3 + number}")
        assert main(["backtest", str(crossing), "--set", f"s.fast={fast}", *span, "--no-readings", *LANG]) == 0
    assert main(["compare", "test@1", "test@2", *LANG]) == 0
    assert "設定差異" in capsys.readouterr().out
    opened(browser, Path("out/comparison.html"))
    # configuration keys are shown as written in the file
    assert english_left(browser, (*NAMES, "run")) == []


def test_the_playback_page_is_in_chinese(tmp_path: Path, browser: Browser) -> None:
    config = ROOT / "configs" / "market_maker.yaml"
    span = ("--from", "2025-04-03T07:00", "--to", "2025-04-03T07:05", "--no-readings", "--playback")
    assert main(["backtest", str(config), *span, "--out", str(tmp_path / "run"), *LANG]) == 0
    browser.open(tmp_path / "run" / "playback.html")
    browser.press("ArrowDown")
    browser.press("End")
    browser.press("ArrowUp")
    browser.settle()
    assert browser.texts("#seen h4") == ["策略看到的資料", "後來的結果"]
    assert browser.run("document.querySelectorAll('#steps tbody tr').length") > 5
    assert english_left(browser, NAMES) == []
    browser.move(400, 500)
    browser.settle()
    assert english_left(browser, NAMES) == []
    browser.run("document.getElementById('play').focus()")
    browser.press("Escape")
    browser.settle()
    assert english_left(browser, NAMES) == []
    assert browser.console == []
