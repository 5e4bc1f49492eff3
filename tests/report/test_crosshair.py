"""The crosshair's figures belong to the time under it. Skipped without chromium."""

from __future__ import annotations

import json
import re
import subprocess
from bisect import bisect_right
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

from botkit.model.results import BacktestResult, Curve
from botkit.report import render
from tests.report.sample_result import sample_result
from tests.report.test_browser import CHROMIUM

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to open the page")

# moves the mouse across the equity chart in small steps, and stores the legend's texts in the page
_MOVES = """
<script>
setTimeout(() => {
  const place = document.getElementById("equity");
  const legend = place.previousElementSibling;
  const canvases = [...place.querySelectorAll("canvas")].filter((c) => c.clientWidth > 300);
  const box = canvases[0].getBoundingClientRect();
  const said = [];
  // the first pane's two canvases lie on top of each other; the upper one gets the events
  const fire = (type, x) => canvases.slice(0, 2).forEach((canvas) => canvas.dispatchEvent(
    new MouseEvent(type, { bubbles: true, view: window, clientX: box.left + x, clientY: box.top + 60 })));
  fire("mouseenter", 40);
  for (let x = 40; x < box.width - 5; x += 3) { fire("mousemove", x); said.push(legend.textContent); }
  const block = document.createElement("pre");
  block.id = "said";
  block.textContent = JSON.stringify(said);
  document.body.appendChild(block);
}, 1500);
</script>
"""


def said_under_the_mouse(result: BacktestResult, folder: Path) -> list[str]:
    """Return the equity chart's legend texts at successive positions."""
    assert CHROMIUM is not None
    page = folder / "report.html"
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", render(result))
    page.write_text(text.replace("</body>", _MOVES + "</body>"), encoding="utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=6000",
        "--window-size=1200,900", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="said">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stdout[-2000:]
    return [str(line) for line in json.loads(found[1])]


def figure(text: str, title: str) -> float:
    """Parse the number after a title in the legend."""
    found = re.search(re.escape(title) + r" (?:≈ )?(−?[\d,.]+)", text)
    assert found is not None, text
    return float(found[1].replace(",", "").replace("−", "-"))


def test_the_legend_never_shows_figures_from_another_time(tmp_path: Path) -> None:
    base = sample_result(days=40, orders=20)
    # with one pair, a buy-and-hold line is drawn, whose points are at other times than the equity's
    quoted = [candles for candles in base.prices if candles.pair.quote == base.currency][:1]
    hour = 3600 * 10**9
    times = [base.start + i * 7 * hour + 17 for i in range((base.end - base.start) // (7 * hour))]
    values = [1_000.0 + i for i in range(len(times))]
    result = msgspec.structs.replace(base, prices=quoted, equity=Curve(times, values))
    said = said_under_the_mouse(result, tmp_path)
    moments = 0
    for line in said:
        clock = re.search(r"(\d{4}-\d\d-\d\d \d\d:\d\d)", line)
        if clock is None:
            continue
        moments += 1
        at = datetime.strptime(clock[1], "%Y-%m-%d %H:%M").replace(tzinfo=timezone(timedelta(hours=8)))
        nanos = round(at.timestamp()) * 10**9 + 59 * 10**9
        row = bisect_right(times, nanos) - 1
        if row < 0 or row + 1 >= len(times):
            continue
        assert values[row] - 0.01 <= figure(line, "Equity TWD") <= values[row + 1] + 0.01, line
    assert moments > 100
    assert any("≈" in line for line in said)
