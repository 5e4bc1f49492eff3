"""One browser shared by all tests in a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.report.browser import CHROMIUM, Browser
from tests.shared_market import _emulators_share_their_markets

__all__ = ["_emulators_share_their_markets"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return an open browser. The test is skipped if chromium is missing."""
    if CHROMIUM is None:
        pytest.skip("needs chromium to open the page")
    found = Browser(tmp_path_factory.mktemp("browser"))
    yield found
    found.close()
