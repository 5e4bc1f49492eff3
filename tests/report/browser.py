"""A real browser for page tests: chromium, controlled over its debugging pipe, so that no port is opened. Starting it
takes more CPU time than most pages, so the tests of a session share the process, but no page.

Clicks and key presses use the browser's own input, and the page keeps its content security policy.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.waiting import wait_for

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


class Chromium:
    """The browser's process, with a page for each `Browser`. Messages are JSON, each terminated by a zero byte."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        to_browser, from_us = os.pipe()
        to_us, from_browser = os.pipe()

        def wire() -> None:  # chromium reads commands from descriptor 3 and writes to descriptor 4
            first, second = os.dup(to_browser), os.dup(from_browser)
            os.dup2(first, 3)
            os.dup2(second, 4)

        self._process = subprocess.Popen(
            [
                CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank",
            ],
            preexec_fn=wire, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._write, self._read = os.fdopen(from_us, "wb", 0), os.fdopen(to_us, "rb", 0)
        self._number, self._rest = 0, b""
        self._listeners: dict[str, Callable[[dict[str, Any]], None]] = {}
        # the processes that chromium starts beside itself exist as soon as it answers
        self.call("Browser.getVersion")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._write.close()
        self._read.close()

    def listen(self, session: str, listener: Callable[[dict[str, Any]], None]) -> None:
        """Pass a page's events to a function."""
        self._listeners[session] = listener

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Call a method of the debugging protocol, in a page if its session is given."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        self._write.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return dict(answer["result"])
            if (listener := self._listeners.get(answer.get("sessionId", ""))) is not None:
                listener(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = self._read.read(1 << 16)
            assert piece, "the browser ended"
            self._rest += piece
        text, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(text))


class Browser:
    """One page in chromium, with storage, cookies and a cache of its own."""

    def __init__(self, chromium: Chromium, *, width: int = 1200, height: int = 900) -> None:
        self._chromium = chromium
        #: the messages in the page's console, including uncaught errors and violations of its content security policy
        self.console: list[str] = []
        #: the addresses that the page requested
        self.requests: list[str] = []
        self._context = chromium.call("Target.createBrowserContext")["browserContextId"]
        page = chromium.call(
            "Target.createTarget", url="about:blank", browserContextId=self._context, width=width, height=height
        )["targetId"]
        self._session = chromium.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        chromium.listen(self._session, self._note)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self._call("Performance.enable", timeDomain="threadTicks")

    def close(self) -> None:
        """Close the page and forget what it stored."""
        self._chromium.call("Target.disposeBrowserContext", browserContextId=self._context)

    def open(self, page: Path) -> None:
        """Open a report and wait until its script has drawn the charts."""
        self.console.clear()
        self.requests.clear()
        self._call("Page.navigate", url=page.as_uri())
        self.until("document.readyState === 'complete' && document.documentElement.dataset.charts !== undefined")

    def run(self, code: str) -> Any:
        """Return the value of an expression evaluated in the page."""
        found = self._call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def run_painted(self, code: str) -> Any:
        """Return the value of an expression after the page has completed the work that was deferred to the next
        frame.
        """
        return self.run(f"new Promise((done) => requestAnimationFrame(() => done({code})))")

    def until(self, condition: str) -> None:
        """Wait until an expression is true."""
        wait_for(lambda: self.run(condition))

    def settle(self) -> None:
        """Wait until the page has been painted twice."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all matching elements."""
        return list(
            self.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent.trim())")
        )

    def click(self, element: str) -> None:
        """Click the center of the element that an expression identifies."""
        x, y = self.run(
            f"(() => {{ const e = {element}; e.scrollIntoView({{ block: 'center' }});"
            " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def move(self, x: float, y: float) -> None:
        """Move the mouse to a position in the window."""
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key: str) -> None:
        """Press a key, such as "Enter", "Tab", "ArrowDown", or a letter."""
        codes = {
            "Enter": 13,
            "Tab": 9,
            "ArrowDown": 40,
            "ArrowUp": 38,
            "PageDown": 34,
            "PageUp": 33,
            " ": 32,
            "ArrowLeft": 37,
            "ArrowRight": 39,
            "End": 35,
            "Home": 36,
            "Escape": 27,
        }
        text = "\r" if key == "Enter" else key if len(key) == 1 else ""
        event: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": codes.get(key, 0)}
        self._call("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
        self._call("Input.dispatchKeyEvent", type="keyUp", **event)

    def type(self, text: str) -> None:
        """Type into the focused field."""
        self._call("Input.insertText", text=text)

    def resize(self, width: int, height: int) -> None:
        """Change the window's size."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.settle()

    def cpu_s(self) -> float:
        """Return the CPU time that the page's own thread has used. Other load on the machine is not included."""
        figures = {figure["name"]: figure["value"] for figure in self._call("Performance.getMetrics")["metrics"]}
        return float(figures["TaskDuration"])

    def screenshot(self, to: Path) -> None:
        """Save the visible part of the page as a PNG file."""
        to.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._chromium.call(method, self._session, **params)

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        notes: dict[str, Callable[[], None]] = {
            "Runtime.consoleAPICalled": lambda: self.console.append(str([a.get("value") for a in params["args"]])),
            "Runtime.exceptionThrown": lambda: self.console.append(str(params["exceptionDetails"])),
            "Log.entryAdded": lambda: self.console.append(params["entry"]["text"]),
            "Network.requestWillBeSent": lambda: self.requests.append(params["request"]["url"]),
        }
        if event.get("method") in notes:
            notes[event["method"]]()
