"""Bots, the page server and a browser for the tests of the live page. Each component is started the way a user would
start it.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.report.browser import Browser, Chromium
from tests.waiting import wait_for

_numbers = itertools.count()

STRATEGY = """
from botkit import SMA, Pair, Strategy, hookimpl, param


class Busy(Strategy):
    pair: Pair
    size: float = param(0.01, gt=0, live=True, doc="amount of each order")
    mood: str = "calm"

    def on_start(self):
        self.count = 0
        self.subscribe_book(self.pair, depth=5)
        self.subscribe_bars(self.pair, "1m").attach(SMA(2))

    def on_book(self, book):
        if not book.best_bid:
            return
        self.count += 1
        self.plot("middle", (book.best_bid + book.best_ask) / 2, pane="price")
        self.plot("books", self.count)
        if self.count % 10 == 1:
            self.market_buy(self.pair, amount=self.size)
        elif self.count % 10 == 6:
            self.market_sell(self.pair, amount=self.size)
        if not self.open_orders(self.pair):
            self.buy(self.pair, amount=self.size, price=round(book.best_bid / 2), tag="far")
        self.skip("the spread is too wide", spread=round(book.best_ask - book.best_bid, 2))


@hookimpl
def botkit_register_strategies(register):
    register("busy", Busy)
"""
CONFIG = """
name: {name}
plugins: [plugins]
strategies:
  - {{name: b, use: busy, params: {{pair: btc_usdt}}, capital: {{usdt: "50000", btc: "1"}}}}
emulator:
  balances: {{usdt: 100000, btc: 2}}
{more}
"""


def write_bot(folder: Path, name: str = "shown", more: str = "", strategy: str = STRATEGY) -> Path:
    """Write a bot's configuration and its strategy, and return the path of the configuration."""
    (folder / "plugins").mkdir(exist_ok=True)
    (folder / "plugins" / "busy.py").write_text(strategy, encoding="utf-8")
    path = folder / f"{name}.yaml"
    path.write_text(CONFIG.format(name=name, more=more), encoding="utf-8")
    return path


class Started:
    """A botkit command in a separate process that runs until the block exits. Its output is written to a file."""

    def __init__(self, state: Path, *arguments: str) -> None:
        state.parent.mkdir(parents=True, exist_ok=True)
        self._output = state.parent / f"output-{next(_numbers)}"
        with self._output.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "botkit", *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=state.parent,
                env={**os.environ, "BOTKIT_STATE": str(state), "PYTHONPATH": os.pathsep.join(sys.path)},
            )

    @property
    def said(self) -> str:
        """The complete output of the process."""
        return self._output.read_text(encoding="utf-8")

    def line(self, start: str) -> str:
        """Wait for a line that starts with this text, and return the rest of the line."""
        wait_for(lambda: self._rest_of(start) is not None or self._process.poll() is not None)
        found = self._rest_of(start)
        assert found is not None, self.said
        return found

    def _rest_of(self, start: str) -> str | None:
        whole = self.said.rpartition("\n")[0].splitlines()
        return next((line.removeprefix(start).strip() for line in whole if line.startswith(start)), None)

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def end(self) -> int:
        """Ask the process to stop, and return its exit code."""
        self._process.terminate()
        return self._process.wait()

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()


def run_bot(state: Path, configs: Sequence[Path], *more: str) -> Started:
    """Start bots with their page. The output contains the page address in the line ``page at``."""
    return Started(state, "run", *map(str, configs), "--plain", "--page", "--page-port", "0", *more)


#: notes the series of every chart, which the page's script keeps to itself
WATCH_CHARTS = """
window.allSeries = [];
Object.defineProperty(window, "LightweightCharts", {
  configurable: true,
  set(library) {
    const createChart = (...given) => {
      const chart = library.createChart(...given), addSeries = chart.addSeries.bind(chart);
      chart.addSeries = (...kind) => { const made = addSeries(...kind); window.allSeries.push(made); return made; };
      return chart;
    };
    Object.defineProperty(window, "LightweightCharts", { value: { ...library, createChart } });
  },
});
"""


class PageBrowser(Browser):
    """A browser that opens a live page."""

    def __init__(self, chromium: Chromium) -> None:
        super().__init__(chromium)
        self._call("Page.addScriptToEvaluateOnNewDocument", source=WATCH_CHARTS)

    def drawn(self, kind: str) -> list[dict[str, Any]]:
        """Return the data of the first series of a kind, such as ``Candlestick``."""
        found = f"(window.allSeries || []).find((made) => made.seriesType() === {kind!r})"
        return list(self.run(f"({found})?.data() || []"))

    def visit(self, address: str, *, ready: bool = True) -> None:
        """Open an address, and wait until the page shows a bot."""
        self.console.clear()
        self.requests.clear()
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")
        if ready:
            self.until("document.documentElement.dataset.ready === 'true'")

    def text(self, selector: str) -> str:
        """Return the text of the first matching element."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def wait_for_text(self, selector: str, part: str) -> None:
        """Wait until an element contains this text."""
        wait_for(lambda: part in self.text(selector))

    def wait_for_change(self, selector: str) -> None:
        """Wait until the text of an element differs from its current text."""
        before = self.text(selector)
        wait_for(lambda: self.text(selector) != before)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the browser's debugging protocol directly."""
        return self._call(method, **params)


def gain(browser: PageBrowser) -> bool:
    """Return whether gains are shown in red, the color of serious warnings."""
    style = "getComputedStyle(document.documentElement).getPropertyValue"
    return bool(browser.run(f"{style}('--gain') === {style}('--grave')"))
