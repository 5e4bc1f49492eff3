"""Reports, pages and summaries in Traditional Chinese: every text from botkit is translated, and all other text is
unchanged.
"""

from __future__ import annotations

import ast
import json
import re
import string
from collections import Counter
from pathlib import Path

import pytest

from botkit.cli.main import main
from botkit.errors import ConfigError
from botkit.exchange.bitopro.limit_table import load_limit_table
from botkit.model.limits import NEEDED_ENDPOINTS, Scope
from botkit.model.orders import OrderState, OrderType, Side
from botkit.report import comparison, language, wording
from botkit.report.language import CHINESE, phrases, preferred, say, told, using
from botkit.report.verdict import verdict
from botkit.research.search.objectives import FIGURES
from botkit.sim.candles import CANDLE_ASSUMPTIONS
from botkit.sim.fills import Optimistic, Pessimistic, Queue
from botkit.sim.matching import BOOK_ASSUMPTIONS, STOP_ASSUMPTION, TRADE_ASSUMPTIONS
from tests.backtest_world import ROOT, write_candles, write_config
from tests.report.browser import Browser
from tests.report.sample_result import sample_result
from tests.report.test_browser import open_report

BOTKIT = ROOT / "botkit"
PAGE = BOTKIT / "report" / "page"
QUOTED = r'"((?:[^"\\]|\\.)*)"'
#: states of search trials, except ``done``, and states of a running bot's strategies
TRIAL_STATES, STRATEGY_STATES = (
    ("pruned", "failed", "few_trades", "no_value"),
    ("paused", "halted", "stopped", "running"),
)
#: words in the templates that are names, including those in the chart library's license notice
OWN_NAMES = set(
    re.findall(r"\w+", "botkit UTC Charts TradingView Lightweight copyright Inc tradingview com Apache License")
)
#: packages with messages in the reader's language
SAYING = ("report", "research", "page", "cli")
#: packages whose sentences appear in a report
TELLING = ("report", "sim", "backtesting", "model", "engine", "live", "page", "research", "assembly", "exchange")


def places(text: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]


def marked_in_pages() -> set[str]:
    """Return the texts that the page templates and scripts mark for translation."""
    found: set[str] = set()
    for path in (*PAGE.rglob("*.j2"), *PAGE.rglob("*.js")):
        text = path.read_text(encoding="utf-8")
        for call in re.finditer(rf"\b(?:_|tr)\((?:{QUOTED}|[^()]*?\? {QUOTED} : {QUOTED})", text):
            found |= {group.replace('\\"', '"') for group in call.groups() if group}
        for choice in re.finditer(rf"\b_\({QUOTED} if [^,()]* else {QUOTED}", text):
            found |= set(choice.groups())
    return found


def marked_in_python() -> set[str]:
    found = set()
    for path in (path for package in SAYING for path in (BOTKIT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "say":
                found |= {c.value for c in ast.walk(node.args[0]) if isinstance(c, ast.Constant) and c.value != ""}
    return {text for text in found if isinstance(text, str) and re.search("[A-Za-z]{2}", text)}


def written_in_python() -> set[str]:
    """Return all texts in the packages that contain user messages, with ``{}`` in place of inserted values."""
    found = set()
    for package in TELLING:
        for path in (BOTKIT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    found.add("".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values))  # type: ignore[misc]
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found |= {node.value, node.value.replace("_", " ")}
    return found


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, "en"),
        ({"LANG": "zh_TW.UTF-8"}, "zh-TW"),
        ({"LANG": "zh_TW.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LC_MESSAGES": "zh_Hant", "LANG": "de_DE"}, "zh-TW"),
        ({"LANG": "zh_CN.UTF-8"}, "en"),
        ({"LANG": "C", "BOTKIT_LANG": "zh-TW"}, "zh-TW"),
        ({"LANG": "zh_TW.UTF-8", "BOTKIT_LANG": "en"}, "en"),
    ],
)
def test_the_language_is_taken_from_the_users_environment(
    variables: dict[str, str], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG", "BOTKIT_LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(language, "_system", lambda: None)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert preferred() == wanted


def test_an_unknown_language_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BOTKIT_LANG", "fr")
    with pytest.raises(ConfigError, match="BOTKIT_LANG is 'fr'; set it to en or zh-TW"):
        preferred()
    assert main(["guide", "start"]) == 2
    assert "BOTKIT_LANG is 'fr'" in capsys.readouterr().err
    monkeypatch.setenv("BOTKIT_UP", "blue")
    with pytest.raises(ConfigError, match="BOTKIT_UP is 'blue'; set it to red or green"):
        language.rises_in_red()


def test_placeholders_are_filled_in_and_can_be_reordered() -> None:
    assert say("Earned {} ({}) in {}", "5 TWD", "+1 %", "3 days") == "Earned 5 TWD (+1 %) in 3 days"
    with using(CHINESE):
        assert say("Earned {} ({}) in {}", "5 TWD", "+1 %", "3 天") == "3 天內獲利 5 TWD（+1 %）"
        assert say("a text without a translation: {}", 7) == "a text without a translation: 7"
    assert wording.span(3 * 86_400 * 10**9) == "3 days"


def test_complete_sentences_are_translated_and_unknown_ones_left_unchanged() -> None:
    sentence = (
        "btc_twd books: 2 holes of 300 s or more, the longest lasting 812 s, from 2025-01-31; "
        "no orders fill during these holes"
    )
    wanted = "btc_twd 委託簿：2 處空缺達 300 秒以上，最長 812 秒，始於 2025-01-31；空缺期間沒有委託成交"
    braces = (
        "fees: {bito: true} has no effect: the account holds no BITO, so every fee is charged at the full rate; add "
        "some to `balances`, such as bito: 1000, or leave bito out"
    )
    assert told(sentence) == sentence
    with using(CHINESE):
        assert told(sentence) == wanted
        assert told("my own reason to wait") == "my own reason to wait"
        # a short phrase such as "{} to {}" must not match a sentence that merely contains it
        assert told("waiting to start") == "waiting to start"
        assert told(braces).startswith("fees: {bito: true} 沒有作用：帳戶沒有 BITO")


def test_every_translation_has_the_placeholders_of_its_original() -> None:
    for text, translation in phrases(CHINESE).items():
        count = text.count("{}")
        named = places(translation)
        assert not (set(named) == {""} and len(named) > count), text
        assert all(name == "" or int(name) < count for name in named), text
        assert "" not in named or set(named) == {""}, f"{text}: number all places or none"


def test_every_text_has_a_single_translation() -> None:
    originals: list[str] = []
    text = (BOTKIT / "report" / "languages" / "zh-TW.json").read_text(encoding="utf-8")
    json.loads(text, object_pairs_hook=lambda pairs: originals.extend(original for original, _ in pairs))
    assert [original for original, count in Counter(originals).items() if count > 1] == []


def test_all_marked_text_in_the_page_and_the_summary_is_translated() -> None:
    marked = marked_in_pages() | marked_in_python()
    assert len(marked) > 250
    assert sorted(text for text in marked if text not in phrases(CHINESE)) == []


def test_no_text_in_a_template_is_left_untranslated() -> None:
    left = {}
    for path in PAGE.rglob("*.j2"):
        text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|<!--.*?-->", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        text = re.sub(r"<(style|script|code|pre|kbd)\b.*?</\1>", " ", text, flags=re.DOTALL)
        # attributes that are read aloud or shown in addition to an element's text
        named = re.findall(r'\b(?:aria-label|title|placeholder|alt)="([^"]*)"', text)
        words = re.findall(r"[A-Za-z]{2,}", " ".join([re.sub(r"<[^>]*>", " ", text), *named]))
        found = [word for word in words if word not in OWN_NAMES]
        if found:
            left[path.name] = found
    assert left == {}


def test_every_word_in_page_data_is_translated() -> None:
    table = load_limit_table()
    pools = {limit.pool for limit in table.endpoints.values() if limit.endpoint in NEEDED_ENDPOINTS}
    words = [state.value for state in OrderState] + [side.value for side in Side] + [kind.value for kind in OrderType]
    words += [scope.value for scope in Scope] + sorted(pools) + [*FIGURES, *TRIAL_STATES, *STRATEGY_STATES]
    titles = [title for title, _, _ in comparison.FIGURES]
    assert [text for text in (word.replace("_", " ") for word in words) if text not in phrases(CHINESE)] == []
    assert [title for title in titles if title not in phrases(CHINESE)] == []


def test_every_assumption_of_the_simulation_is_translated() -> None:
    queues = (Queue(), Optimistic(), Pessimistic())
    sentences = [*BOOK_ASSUMPTIONS, *TRADE_ASSUMPTIONS, *CANDLE_ASSUMPTIONS, STOP_ASSUMPTION]
    sentences += [sentence for queue in queues for sentence in queue.assumptions]
    with using(CHINESE):
        assert [sentence for sentence in sentences if told(sentence) == sentence] == []


def test_the_original_of_every_translation_still_exists() -> None:
    known = marked_in_pages() | marked_in_python() | written_in_python()
    parts = [text for text in known if len(text) > 12]
    gone = [
        text
        for text in phrases(CHINESE)
        if text not in known
        # a sentence with several parts
        and not any(part.strip() in text or text in part for part in parts)
        # words in the data: kinds of streams, limit windows, states, months
        and not re.fullmatch(r"candles \w+|books, trades|\{\} in \{\} s per [\w ]+|[A-Z][a-z]{2}|[a-z\d ]+", text)
    ]
    assert gone == []


def test_a_chinese_report_shows_gains_in_red_and_has_a_working_trade_list(tmp_path: Path, browser: Browser) -> None:
    with using(CHINESE):
        assert verdict(sample_result())[0].endswith("。")
        open_report(browser, sample_result(), tmp_path)
    assert browser.run("document.documentElement.lang") == "zh-TW"
    assert "報酬率" in browser.texts("dl.hero dt")
    gain = browser.run("getComputedStyle(document.documentElement).getPropertyValue('--gain').trim()")
    grave = browser.run("getComputedStyle(document.documentElement).getPropertyValue('--grave').trim()")
    assert gain == grave, "gains are red"
    assert browser.texts("#trade-list th[aria-sort=descending]") == ["出場時間"]
    browser.click("document.querySelector('#trade-list thead th button')")
    assert browser.texts("#trade-list th[aria-sort=ascending]") == ["進場時間 +08:00"]
    browser.run("document.querySelector('#equity').focus()")
    browser.press("+")  # the shortcuts find the buttons by their translated labels
    assert browser.console == []


def test_the_language_option_sets_the_language_of_the_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candles = write_candles(tmp_path / "candles.csv", [30_000.0 + 2 * abs(i % 60 - 30) for i in range(300)])
    config = write_config(
        tmp_path,
        f"{{path: {candles}, pair: btc_usdt, kind: candles, resolution: 1m}}",
        plugins=ROOT / "strategies",
        use="sma_cross",
        params="{pair: btc_usdt, fast: 3, slow: 7}",
        balances='{usdt: "1000000"}',
    )
    assert main(["backtest", str(config), "--lang", "zh-TW", "--out", str(tmp_path / "run"), "--no-readings"]) == 0
    out = capsys.readouterr().out
    assert "最大回撤" in out
    assert "Max drawdown" not in out
    # on the page of the same run, no English sentence remains, including text from the data
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    visible = re.sub(r"<(script|style|pre|code)\b.*?</\1>|<!--.*?-->", "", page, flags=re.DOTALL)
    texts = [text.strip() for text in re.findall(r">([^<>]+)<", visible)]
    english = [text for text in texts if re.search(r"[a-z]{3,} [a-z]{2,}", text) and not text.startswith("Charts:")]
    assert english == []
    assert main(["guide", "start", "--lang", "zh-TW"]) == 0
    assert capsys.readouterr().out.startswith("# 開始")
