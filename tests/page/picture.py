"""Takes the README's screenshot of the live page: ``python -m tests.page.picture ADDRESS FILE``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.page.pages import PageBrowser
from tests.report.browser import Chromium

_WIDTH, _HEIGHT, _SCALE = 1290, 1000, 0.8


def main(address: str, file: Path) -> None:
    """Open the page of a running bot, wait until it shows a fill and the request limits, and save a screenshot of the
    page.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        chromium = Chromium(Path(folder))
        try:
            browser = PageBrowser(chromium)
            browser.call("Emulation.setScrollbarsHidden", hidden=True)
            size = {"width": _WIDTH, "height": _HEIGHT, "deviceScaleFactor": _SCALE}
            browser.call("Emulation.setDeviceMetricsOverride", mobile=False, **size)
            browser.visit(address)
            browser.wait_for_text("#events", " at ")
            browser.wait_for_text("#limits", "create order")
            browser.until("document.querySelectorAll('#balances tbody tr').length > 0")
            browser.settle()
            browser.screenshot(file)
        finally:
            chromium.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
