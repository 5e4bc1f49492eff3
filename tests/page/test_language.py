"""The live page in Traditional Chinese, and its colors for gains and losses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.page.pages import PageBrowser, gain, run_bot, write_bot
from tests.report.english import english_left

#: names and texts that the bot in these tests defines itself
NAMES = (
    "shown",
    "busy",
    "pair size mood",
    "calm",
    "far",
    "middle books",
    "btc usdt",
    "amount of each order",
    "the spread is too wide",
)


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a running bot's page. The page is in Chinese and is allowed to control the bot."""
    folder = tmp_path_factory.mktemp("chinese")
    config = write_bot(folder, more="page: {control: true}")
    with run_bot(folder / "state", [config], "--lang", "zh-TW") as started:
        yield started.line("page at ")


def test_all_text_on_the_page_is_in_chinese(browser: PageBrowser, chinese: str) -> None:
    browser.visit(chinese)
    browser.wait_for_text("#why", "the spread is too wide")
    browser.wait_for_text("#events", "買進")
    browser.wait_for_text("#limits", "下單")
    assert browser.run("document.documentElement.lang") == "zh-TW"
    assert browser.text("#link") == "已連線"
    assert english_left(browser, NAMES) == []
    for button in ("#stop", "#panic", "#orders button", "#strategies button", "#parameters button"):
        browser.run("[...document.querySelectorAll('dialog[open]')].forEach((dialog) => dialog.close())")
        browser.wait_for_text(button, "")
        browser.run(f"document.querySelector({button!r}).click()")
        browser.until("document.getElementById('confirm').open")
        assert english_left(browser, NAMES) == [], button
    browser.run("document.getElementById('confirm').close()")
    assert browser.console == []


def test_a_reply_from_the_bot_is_in_chinese(browser: PageBrowser, chinese: str) -> None:
    browser.visit(chinese)
    browser.wait_for_text("#strategies", "執行中")
    browser.run("document.querySelector('#strategies button').click()")
    browser.run("document.getElementById('confirm-yes').click()")
    browser.wait_for_text("#said", "已暫停，正在取消其掛單")
    browser.wait_for_text("#strategies", "已暫停")
    browser.wait_for_text("#why", "手動暫停")
    browser.wait_for_text("#events", "b 已手動暫停（網頁）")
    assert english_left(browser, NAMES) == []
    browser.run("document.querySelector('#strategies button').click()")
    browser.wait_for_text("#said", "已恢復交易")


def test_gains_are_red_in_taiwan_and_a_button_swaps_the_colors(browser: PageBrowser, chinese: str) -> None:
    browser.visit(chinese)
    assert gain(browser)
    assert browser.text("#up") == "紅漲綠跌"
    browser.click("document.getElementById('up')")
    assert not gain(browser)
    assert browser.text("#up") == "綠漲紅跌"
    browser.wait_for_text("#lead", "執行中")
    # a running bot is marked green regardless of the color used for gains
    assert browser.run("getComputedStyle(document.querySelector('#lead .dot')).backgroundColor") == "rgb(18, 115, 74)"
    browser.visit(chinese)
    assert not gain(browser), "the browser remembers it"
    browser.run("localStorage.clear()")


def test_the_log_file_is_shown_untranslated(tmp_path: Path, browser: PageBrowser) -> None:
    config = write_bot(tmp_path, more="log: {file: logs/bot.jsonl}")
    with run_bot(tmp_path / "state", [config], "--lang", "zh-TW") as started:
        browser.visit(started.line("page at "))
        browser.wait_for_text("#log", "started: ")
