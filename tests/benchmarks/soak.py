"""Runs a bot for a long time with injected faults, records its memory, tasks, threads, descriptors and files over time,
and finally compares the bot's books with those of the exchange.

    python -m tests.benchmarks.soak [--minutes 30] [--speed 20]

The emulator runs in this process, and one bot with three strategies in a separate process. While the bot trades,
requests are lost, answered with errors or delayed, and streams are cut. The journal is stored on the disk that contains
the working directory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from botkit.assembly.emulator import make_emulator
from botkit.assembly.live import live_parts
from botkit.emulator import EmulatorOptions
from botkit.live.notices import Notices
from botkit.live.starting import start
from botkit.project.project import Project
from tests.live.books import differences, exchange_rows
from tests.live.kills import CONFIG, STRATEGY

_UNIT = 10**8
FAULTS: list[dict[str, Any]] = [
    {"kind": "lost_answer", "where": "create_order", "share": 0.005},
    {"kind": "lost_request", "where": "create_order", "share": 0.002},
    {"kind": "error_before", "share": 0.01},
    {"kind": "error_after", "where": "create_order", "share": 0.005},
    {"kind": "reset_after", "where": "cancel_order", "share": 0.01},
    {"kind": "garbage", "share": 0.005},
    {"kind": "delay_answer", "share": 0.2, "value": 100, "jitter": 2000},
    {"kind": "ws_abort", "share": 0.0005},
    {"kind": "ws_duplicate", "share": 0.01},
    {"kind": "ws_reorder", "share": 0.005},
]
_MORE = """  - {name: second, use: restless, params: {pair: eth_usdt, trades: TRADES, keep: 10}}
  - {name: third, use: restless, params: {pair: btc_twd, trades: TRADES, keep: 10}}
"""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of the bot's process at one point in time: its resource usage, and the size of its files."""

    at_s: float
    resident_kb: int
    descriptors: int
    threads: int
    tasks: int
    journal_mb: float
    recording_mb: float

    def line(self) -> str:
        """Return the sample as a row of the table."""
        return (
            f"{self.at_s:6.0f} s {self.resident_kb / 1024:7.1f} MB {self.tasks:5} tasks {self.threads:3} threads "
            f"{self.descriptors:4} descriptors {self.journal_mb:7.1f} MB journal {self.recording_mb:7.1f} MB recording"
        )


def sample(process_id: int, state: Path, at_s: float) -> Sample:
    """Take a sample of the process (Linux) and its folder."""
    process = Path(f"/proc/{process_id}")
    figures = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    files = {path: path.stat().st_size / 2**20 for path in state.rglob("*") if path.is_file()}
    status = next(state.rglob("status.json"), None)
    return Sample(
        at_s=at_s,
        resident_kb=int(figures["VmRSS"].split()[0]),
        descriptors=len(list((process / "fd").iterdir())),
        threads=int(figures["Threads"]),
        tasks=json.loads(status.read_bytes()).get("tasks", 0) if status is not None else 0,
        journal_mb=sum(size for path, size in files.items() if path.name.startswith("journal.sqlite")),
        recording_mb=sum(size for path, size in files.items() if "runs" in path.parts),
    )


def slope(points: list[tuple[float, float]]) -> float:
    """Return the least-squares slope per minute."""
    n = len(points)
    if n < 2:
        return 0.0
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return 60 * above / (sum((x - mean_x) ** 2 for x, _ in points) or 1.0)


def write_configs(folder: Path) -> dict[str, Path]:
    """Write two configurations for the same bot: one with which it trades, and one with which it only watches."""
    (folder / "plugins").mkdir()
    (folder / "plugins" / "restless.py").write_text(STRATEGY)
    paths = {}
    for name, trades in (("trading", "true"), ("watching", "false")):
        paths[name] = folder / f"{name}.yaml"
        text = CONFIG.replace("live:", f"{_MORE}live:", 1).replace("NAME", "soak").replace("LEDGER", "null")
        paths[name].write_text(text.replace("TRADES", trades))
        paths[name].chmod(0o600)
    return paths


async def soak(folder: Path, minutes: float, speed: float) -> int:
    """Run the bot, print a line roughly once a minute, and compare the bot's books with those of the exchange at the
    end.
    """
    paths, state = write_configs(folder), folder / "state"
    os.environ["BOTKIT_STATE"] = str(state)
    balances = {"usdt": 10**7 * _UNIT, "btc": 100 * _UNIT, "eth": 1000 * _UNIT, "twd": 10**8 * _UNIT}
    options = EmulatorOptions(balances=balances, speed=speed, history_days=0.02)
    async with make_emulator(options) as emulator:
        command = [sys.executable, "-m", "botkit", "run", str(paths["trading"]), "--speed", str(speed)]
        with (folder / "told").open("wb") as told:
            bot = await asyncio.create_subprocess_exec(
                *command, "--rest", emulator.rest, "--ws", emulator.ws, "--json", stdout=-1, stderr=told
            )
        await asyncio.sleep(8)
        for fault in FAULTS:
            emulator.add_fault(fault)
        samples = await watch(bot, emulator, state, minutes)
        print(f"faults: {emulator.faults.fired}")
        emulator.remove_faults()
        if bot.returncode is None:
            bot.send_signal(signal.SIGINT)
        out, _ = await bot.communicate()
        summary = json.loads(out) if out else {}
        print(f"ended: {summary.get('ended')}, halted: {summary.get('halted')}, fills: {summary.get('fills')}")
        if summary.get("ended") != "signal":
            print((folder / "told").read_text()[-4000:])
            return 1
        describe(samples)
        broken = await judge(paths["watching"], emulator)
        print("\n".join(broken) or "0 invariant breaks: both sides' books agree")
        return 1 if broken else 0


async def watch(bot: asyncio.subprocess.Process, emulator: Any, state: Path, minutes: float) -> list[Sample]:
    """Sample the bot every few seconds until the requested time has elapsed."""
    began = time.monotonic()
    samples: list[Sample] = []
    while (passed := time.monotonic() - began) < minutes * 60 and bot.returncode is None:
        try:
            samples.append(sample(bot.pid, state, passed))
        except FileNotFoundError:
            break  # the process has just exited
        if len(samples) % 10 == 1:
            print(f"{samples[-1].line()}  {len(exchange_rows(emulator))} orders", flush=True)
        await asyncio.sleep(min(6.0, minutes * 60 / 300))
    return samples


def describe(samples: list[Sample]) -> None:
    """Print the last sample and the trends."""
    last = samples[-1]
    print(last.line())
    tail = [s for s in samples if s.at_s > last.at_s / 3]
    memory = slope([(s.at_s, s.resident_kb) for s in tail])
    print(f"memory: {memory:+.0f} kB a minute over the last {(last.at_s - tail[0].at_s) / 60:.0f} minutes")
    for name in ("tasks", "threads", "descriptors"):
        values = [getattr(s, name) for s in tail]
        trend = slope([(s.at_s, getattr(s, name)) for s in tail])
        print(f"{name}: {min(values)} to {max(values)}, {trend:+.2f} a minute")


async def judge(config: Path, emulator: Any) -> list[str]:
    """Restart the bot and compare its books with those of the exchange."""
    async with live_parts(Project.load(config), "emulator", rest=emulator.rest, ws=emulator.ws) as parts:
        bot = await start(parts, Notices())
        try:
            for _ in range(200):
                if not differences(bot, emulator):
                    break
                await asyncio.sleep(0.1)
            return differences(bot, emulator)
        finally:
            await bot.driver.close()
            await bot.close()


def main() -> int:
    """Run the soak test for the requested time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--speed", type=float, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".soak-") as folder:
        return asyncio.run(soak(Path(folder), given.minutes, given.speed))


if __name__ == "__main__":
    sys.exit(main())
