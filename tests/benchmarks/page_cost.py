"""Measures the cost of the live page: the bots' tick-to-order latency with and without the page, and the page's own
memory, CPU time and traffic.

    python -m tests.benchmarks.page_cost [--pairs 10] [--seconds 600]

Two market makers run at 60x in one process, alternately without a page and with a page that has two connections, like
two browsers. The runs alternate because other load on the machine varies. Tick to order is the time from the bytes of a
book or trade frame to the first byte of an order that was decided on in the same turn. "own work" is the CPU time of
the bots' thread in that interval, which other load on the machine affects less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

ROOT = Path(__file__).parent.parent.parent
_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


# -- the bots' process ------------------------------------------------------------------------------------------------


def trade(arguments: list[str], to: Path) -> int:
    """Run ``botkit run`` in this process and record how long each order took, in nanoseconds of wall time and of the
    thread's own work.
    """
    from aiohttp.client_proto import ResponseHandler

    from botkit.cli.main import main as botkit
    from botkit.exchange.bitopro.connections import Connections
    from botkit.live.persistence import Persistence
    from botkit.model.requests import CreateBatch, CreateOrder

    received, commit, write = ResponseHandler.data_received, Persistence.commit, Connections.write
    tick = (0, 0)
    decided: list[tuple[int, int]] = []
    took: list[tuple[int, int]] = []

    def data_received(handler: ResponseHandler, data: bytes) -> None:
        nonlocal tick
        if b'"ORDER_BOOK"' in data[:80] or b'"TRADE"' in data[:80]:
            tick = (time.perf_counter_ns(), time.thread_time_ns())
        received(handler, data)

    def committing(persistence: Persistence, requests: Any, *rest: Any) -> None:
        decided.extend(tick for request in requests if type(request) in (CreateOrder, CreateBatch))
        commit(persistence, requests, *rest)

    def writing(connection: Any, request: bytes) -> None:
        if request.startswith(b"POST") and b"/orders/" in request[:80] and decided:
            begun = decided.pop(0)
            took.append((time.perf_counter_ns() - begun[0], time.thread_time_ns() - begun[1]))
        write(connection, request)

    ResponseHandler.data_received = data_received  # type: ignore[assignment,method-assign]
    Persistence.commit = committing  # type: ignore[method-assign]
    Connections.write = staticmethod(writing)  # type: ignore[method-assign]
    code = botkit(arguments)
    to.write_text(json.dumps(took))
    return code


# -- the page's process and its viewers -------------------------------------------------------------------------------


def usage(process: int) -> tuple[float, int]:
    """Return a process's CPU time in seconds and its resident memory in bytes."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    resident = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return (int(fields[11]) + int(fields[12])) / _TICK, resident * _PAGE


def page_of(process: int) -> int | None:
    """Return the process ID of a bot's page process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == process and b"botkit.page" in (entry / "cmdline").read_bytes():
                    return int(entry.name)
            except (OSError, ValueError):
                continue
    return None


async def watch(address: str, bot: str, until: float) -> int:
    """Watch a bot as an open page does, and return the number of bytes received."""
    parts, count = urlsplit(address), 0
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://{parts.netloc}/live", origin=f"http://{parts.netloc}", max_msg_size=0) as socket,
    ):
        await socket.send_json({"token": parts.fragment.removeprefix("token=")})
        await socket.send_json({"bot": bot, "pair": "btc_usdt"})
        while time.monotonic() < until:
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            count += len(message.data)
    return count


class PageFigures:
    """The page process's resource usage while the bots were running."""

    def __init__(self) -> None:
        self.cpu_share: list[float] = []
        self.resident_mb: list[float] = []
        self.kb_per_s: list[float] = []


async def look(bots: subprocess.Popen[bytes], output: Path, figures: PageFigures, seconds: float) -> None:
    """Watch both bots until they exit, and record the page process's resource usage."""
    while not (lines := [x for x in output.read_text().splitlines() if x.startswith("page at ")]):
        await asyncio.sleep(0.05)
    address, page = lines[0].removeprefix("page at "), page_of(bots.pid)
    assert page is not None
    began, (cpu_s, _) = time.monotonic(), usage(page)
    until = began + seconds
    viewers = [asyncio.create_task(watch(address, f"{name}/emulator/inside", until)) for name in ("first", "second")]
    while time.monotonic() < until and bots.poll() is None:
        await asyncio.sleep(min(5.0, seconds / 10))
        try:
            now_s, resident = usage(page)
        except OSError:
            break
        figures.resident_mb.append(resident / 2**20)
        share = (now_s - cpu_s) / (time.monotonic() - began)
    figures.cpu_share.append(share)
    figures.kb_per_s.append(sum(await asyncio.gather(*viewers)) / (time.monotonic() - began) / 1000)


# -- both -------------------------------------------------------------------------------------------------------------


def run(folder: Path, seconds: float, figures: PageFigures | None) -> list[tuple[int, int]]:
    """Run both bots once. If ``figures`` is given, also run a page and store its resource usage in ``figures``. Return
    how long each order took.
    """
    configs = [folder / "first.yaml", folder / "second.yaml"]
    arguments = ["run", *map(str, configs), "--plain", "--duration", f"{seconds}s"]
    if figures is not None:
        arguments += ["--page-port", "0"]
    output, result = folder / "output", folder / "took.json"
    command = [sys.executable, "-m", "tests.benchmarks.page_cost", "--trade", str(result), *arguments]
    with output.open("wb") as file:
        bots = subprocess.Popen(
            command, cwd=ROOT, stdout=file, stderr=file, env={**os.environ, "BOTKIT_STATE": str(folder / "state")}
        )
        if figures is not None:
            asyncio.run(look(bots, output, figures, seconds))
        assert bots.wait() == 0, output.read_text()[-2_000:]
    return [(wall, work) for wall, work in json.loads(result.read_text())]


def percentile(values: list[int], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1000


def main() -> int:
    """Run the pairs of runs and print the results."""
    if sys.argv[1:2] == ["--trade"]:
        return trade(sys.argv[3:], Path(sys.argv[2]))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=600, help="of each run")
    given = parser.parse_args()
    figures = PageFigures()
    with_page: list[list[tuple[int, int]]] = []
    without: list[list[tuple[int, int]]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = (ROOT / "configs" / "market_maker.yaml").read_text().replace("../", f"{ROOT}/")
        for bot in ("first", "second"):
            named = "".join(line for line in config.splitlines(keepends=True) if not line.startswith("name:"))
            (folder / f"{bot}.yaml").write_text(f"{named}name: {bot}\n")
        for pair in range(given.pairs):
            for has_page in (True, False) if pair % 2 else (False, True):
                took = run(folder, given.seconds, figures if has_page else None)
                (with_page if has_page else without).append(took)
                print(f"pair {pair + 1}, {'with' if has_page else 'without'}: {len(took)} orders", flush=True)
    for title, index in (("tick to order", 0), ("own work", 1)):
        for share in (0.5, 0.99):
            pages = [percentile([row[index] for row in one], share) for one in with_page]
            plain = [percentile([row[index] for row in one], share) for one in without]
            change = statistics.median(a / b - 1 for a, b in zip(pages, plain, strict=True))
            print(
                f"{title:14} p{share * 100:g}: {statistics.median(plain):9,.0f} us without, "
                f"{statistics.median(pages):9,.0f} us with; median of the pairs' changes {change:+.1%}"
            )
    half = len(figures.resident_mb) // 2 or 1
    early, late = figures.resident_mb[:half], figures.resident_mb[half:] or figures.resident_mb
    print(
        f"the page: {max(figures.cpu_share):.1%} of a core at most, {statistics.median(early):,.1f} MB in the first "
        f"half and {statistics.median(late):,.1f} MB in the second, {max(figures.kb_per_s):,.1f} kB/s to two viewers"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
