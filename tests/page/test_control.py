"""The page can control a bot only to the extent that the bot's own configuration allows."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from botkit.live import commands
from botkit.live.state_folder import StateFolder
from botkit.page.access import HEADER
from tests.page.pages import PageBrowser, run_bot, write_bot
from tests.waiting import wait_for

CONTROL = "page: {control: true}"


def ordered(address: str, **command: Any) -> tuple[bool, str]:
    """Send a command with the token, as the page does. Return whether the command was executed, and the text of the
    response.
    """
    parts = urlsplit(address)
    assert parts.port is not None
    connection = http.client.HTTPConnection("127.0.0.1", parts.port)
    try:
        headers = {HEADER: parts.fragment.removeprefix("token=")}
        connection.request("POST", "/command", json.dumps({"bot": "shown/emulator/inside", **command}), headers)
        answer = json.loads(connection.getresponse().read())
        return answer["ok"], answer["text"]
    finally:
        connection.close()


def status_of(state: Path) -> dict[str, Any]:
    return StateFolder(state / "shown" / "emulator" / "inside").read_status() or {}


@pytest.mark.parametrize(
    "command",
    [
        {"command": "pause", "strategy": "b"},
        {"command": "set", "strategy": "b", "name": "size", "value": "0.02"},
        {"command": "cancel", "order": 1},
        {"command": "stop"},
        {"command": "panic", "confirm": "shown"},
    ],
)
def test_a_page_without_control_cannot_execute_commands(address: str, command: dict[str, Any]) -> None:
    is_done, text = ordered(address, **command)
    assert not is_done
    assert "set `page: {control: true}`" in text


def test_the_bot_itself_also_refuses_commands_from_a_page_without_control(address: str, state: Path) -> None:
    folder = StateFolder(state / "shown" / "emulator" / "inside")
    for name, more in (("stop", {}), ("panic", {}), ("pause", {"strategy": "b"}), ("capital", {})):
        with pytest.raises(commands.CommandFailed, match="does not allow page commands"):
            commands.ask(folder, name, timeout_s=60, by="page", **more)
    assert folder.holder() is not None


def test_a_page_without_control_shows_no_buttons(browser: PageBrowser, address: str) -> None:
    browser.visit(address)
    shown = "[...document.querySelectorAll('#bot button')].filter((b) => b.checkVisibility()).map((b) => b.textContent)"
    assert set(browser.run(shown)) == {"+", "−", "all"}


def test_clicks_can_pause_a_strategy_change_its_parameters_resume_it_and_stop_the_bot(
    browser: PageBrowser, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with run_bot(state, [write_bot(tmp_path, more=CONTROL)]) as bot:
        browser.visit(bot.line("page at "))
        browser.wait_for_text("#orders", "far")
        button = "[...document.querySelectorAll('#bot button')].find((b) => b.textContent === '{}')"
        far = "[...document.querySelectorAll('#orders tr')].find((row) => row.textContent.includes('far'))"
        browser.until(f"({far}) !== undefined")
        browser.click(f"({far}).querySelector('button')")
        browser.click("document.getElementById('confirm-yes')")
        browser.wait_for_text("#said", "is being cancelled")

        browser.click(button.format("Change"))
        assert browser.run("document.activeElement.id") == "confirm-input"
        browser.type("nonsense")
        browser.press("Enter")
        browser.wait_for_text("#said", "b.size:")
        assert browser.run("document.getElementById('said').className") == "bad"
        browser.click(button.format("Change"))
        browser.type("0.02")
        browser.press("Enter")
        browser.wait_for_text("#said", "b.size is 0.02")
        browser.wait_for_text("#parameters", "0.02")

        browser.click(button.format("Pause"))
        browser.click("document.getElementById('confirm-yes')")
        browser.wait_for_text("#said", "b is paused")
        browser.wait_for_text("#strategies", "Resume")
        browser.wait_for_text("#orders", "No open orders")
        browser.click(button.format("Resume"))
        browser.wait_for_text("#said", "trading again")

        browser.click("document.getElementById('stop')")
        browser.press("Escape")
        browser.click("document.getElementById('stop')")
        browser.click("document.getElementById('confirm-yes')")
        bot.line("stopping (command)")
        browser.wait_for_text("#lead", "ended (command)")
        # the page server exited together with the bot
        assert all("ERR_CONNECTION" in line for line in browser.console), browser.console


def test_panic_requires_typing_the_bots_name_and_the_page_cannot_remove_the_halt(
    browser: PageBrowser, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with run_bot(state, [write_bot(tmp_path, more=CONTROL)]) as bot:
        address = bot.line("page at ")
        browser.visit(address)
        browser.wait_for_text("#orders", "far")
        assert ordered(address, command="panic", confirm="show") == (False, "type shown to confirm")
        browser.click("document.getElementById('panic')")
        assert browser.run("document.getElementById('confirm-yes').disabled")
        browser.type("show")
        browser.press("Enter")
        assert browser.run("document.getElementById('confirm').open")
        browser.type("n")
        assert not browser.run("document.getElementById('confirm-yes').disabled")
        browser.press("Enter")
        browser.wait_for_text("#alerts", "Halted (panic")
        browser.wait_for_text("#orders", "No open orders")
        folder = StateFolder(state / "shown" / "emulator" / "inside")
        assert folder.halt() is not None
        # no command available on the page removes the halt
        ordered(address, command="resume", strategy="b")
        assert not ordered(address, command="resume", strategy="")[0]
        assert folder.halt() is not None


@pytest.mark.parametrize("level", ["strategy", "bot"])
def test_the_page_cannot_remove_a_halt_caused_by_a_loss(tmp_path: Path, level: str) -> None:
    state, limit = tmp_path / "state", "risk: {max_daily_loss: {usdt: 0.01}}"
    config = write_bot(tmp_path, more=CONTROL + (f"\n{limit}" if level == "bot" else ""))
    if level == "strategy":
        config.write_text(config.read_text().replace("use: busy,", f"use: busy, {limit},"))
    with run_bot(state, [config]) as bot:
        address = bot.line("page at ")
        bot.line("shown: mode")
        wait_for(lambda: "has reached max_daily_loss" in bot.said)
        folder = StateFolder(state / "shown" / "emulator" / "inside")
        with pytest.raises(commands.CommandFailed, match=r"only `botkit resume`|was stopped"):
            commands.ask(folder, "resume", timeout_s=60, by="page", strategy="b")
        assert not ordered(address, command="resume", strategy="")[0]
        assert (folder.halt() is not None) is (level == "bot")
