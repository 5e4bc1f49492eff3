"""One bot with its page, and one page of the browser, shared by all tests in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.page.pages import PageBrowser, run_bot, write_bot
from tests.report.browser import Chromium


@pytest.fixture(scope="module")
def browser(chromium: Chromium) -> Iterator[PageBrowser]:
    """Return an open page in the browser."""
    found = PageBrowser(chromium)
    yield found
    found.close()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the bots' state."""
    return tmp_path_factory.mktemp("page") / "state"


@pytest.fixture(scope="module")
def address(state: Path) -> Iterator[str]:
    """Return the page address of a running bot."""
    config = write_bot(state.parent)
    with run_bot(state, [config]) as started:
        yield started.line("page at ")
