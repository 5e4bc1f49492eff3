"""An open page reconnects to a restarted server and fetches the data that it missed."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

from tests.page.pages import PageBrowser, Started, run_bot, write_bot
from tests.waiting import wait_for


def counted_fills(browser: PageBrowser) -> int:
    buys, sells = (int(text.replace(",", "")) for text in browser.texts("#price-section .legend b")[1:3])
    return buys + sells


def test_a_page_reconnects_to_a_restarted_server_and_shows_the_events_it_missed(
    browser: PageBrowser, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with Started(state, "run", str(write_bot(tmp_path)), "--plain") as bot:
        bot.line("shown: mode")
        first = Started(state, "page", "--page-port", "0")
        address = first.line("page at ")
        browser.visit(address)
        wait_for(lambda: counted_fills(browser) > 0)
        first.kill()
        browser.wait_for_text("#link", "connection lost")
        before = counted_fills(browser)
        journal = state / "shown" / "emulator" / "inside" / "journal.sqlite"

        def in_the_journal() -> int:
            db = sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)
            try:
                return int(db.execute("SELECT COUNT(*) FROM fills").fetchone()[0])
            finally:
                db.close()

        wait_for(lambda: in_the_journal() >= before + 5)
        meanwhile = in_the_journal()
        assert browser.run("document.querySelectorAll('#events li').length") > 0
        with Started(state, "page", "--page-port", str(urlsplit(address).port)):
            browser.wait_for_text("#link", "connected")
            wait_for(lambda: counted_fills(browser) >= meanwhile)
            bot.end()
            browser.wait_for_text("#lead", "ended (signal)")
            final = in_the_journal()
            wait_for(lambda: counted_fills(browser) == final)
            # the browser itself logs connections that are refused while the server is down
            assert all("ERR_CONNECTION" in line for line in browser.console), browser.console
            filled_up = sorted(browser.texts("#events li"))
            browser.visit(address)
            wait_for(lambda: counted_fills(browser) == final)
            assert sorted(browser.texts("#events li")) == filled_up, "nothing is missing or shown twice"


def test_the_page_shows_that_its_bot_has_stopped(browser: PageBrowser, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with run_bot(state, [write_bot(tmp_path)]) as bot:
        browser.visit(bot.line("page at "))
        browser.wait_for_text("#lead", "running")
        assert bot.end() == 0
        browser.wait_for_text("#lead", "ended (signal)")
        browser.wait_for_text("#link", "connection lost")
        browser.wait_for_text("#orders", "No open orders")
