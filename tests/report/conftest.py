"""One page of the browser, shared by all tests in a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.report.browser import Browser, Chromium
from tests.shared_market import _emulators_share_their_markets

__all__ = ["_emulators_share_their_markets"]


@pytest.fixture(scope="module")
def browser(chromium: Chromium) -> Iterator[Browser]:
    """Return an open page in the browser."""
    found = Browser(chromium)
    yield found
    found.close()
