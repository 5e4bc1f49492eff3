"""A long run with faults on: memory, descriptors and tasks over time, and both sides' books held together at the end.

    python -m tests.benchmarks.soak [--minutes 30] [--speed 20]

An emulator in this process, and one bot with three strategies in a process of its own, which trades while requests are
lost, answered with errors and delayed, and streams are cut. The journal is on the disk of the working directory.
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

from botkit.assembly import Project
from botkit.assembly.emulator import make_emulator
from botkit.assembly.live import live_parts
from botkit.emulator import EmulatorOptions
from botkit.live.bot import Bot
from tests.benchmarks.kill_runs import CONFIG, STRATEGY
from tests.live.books import differences, exchange_rows

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
_MORE = """  - {name: second, use: restless, params: {pair: eth_usdt, trades: TRADES, keep: 10}, on_stop: keep}
  - {name: third, use: restless, params: {pair: btc_twd, trades: TRADES, keep: 10}, on_stop: keep}
emulator:
"""


def resident_mb(process_id: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def slope(points: list[tuple[float, float]]) -> float:
    """Least squares, a minute."""
    n = len(points)
    if n < 2:
        return 0.0
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return 60 * above / (sum((x - mean_x) ** 2 for x, _ in points) or 1.0)


def write_configs(folder: Path) -> dict[str, Path]:
    """One configuration that trades, and one of the same bot that only looks."""
    (folder / "plugins").mkdir()
    (folder / "plugins" / "restless.py").write_text(STRATEGY)
    paths = {}
    for name, trades in (("trading", "true"), ("watching", "false")):
        paths[name] = folder / f"{name}.yaml"
        paths[name].write_text(CONFIG.replace("emulator:\n", _MORE, 1).replace("TRADES", trades))
        paths[name].chmod(0o600)
    return paths


async def soak(folder: Path, minutes: float, speed: float) -> int:
    """Run, print a line every tenth of the time, and judge."""
    paths = write_configs(folder)
    os.environ["BOTKIT_STATE"] = str(folder / "state")
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
        began = time.monotonic()
        memory: list[tuple[float, float]] = []
        descriptors: list[int] = []
        while (passed := time.monotonic() - began) < minutes * 60 and bot.returncode is None:
            memory.append((passed, resident_mb(bot.pid)))
            descriptors.append(len(os.listdir(f"/proc/{bot.pid}/fd")))  # noqa: PTH208
            if len(memory) % 10 == 1:
                orders = len(exchange_rows(emulator))
                figures = f"{memory[-1][1]:6.1f} MB  {descriptors[-1]:3} descriptors  {orders} orders"
                print(f"{passed:6.0f} s  {figures}", flush=True)
            await asyncio.sleep(min(6.0, minutes * 60 / 100))
        print(f"faults: {emulator.faults.fired}")
        emulator.remove_faults()
        if bot.returncode is None:
            bot.send_signal(signal.SIGINT)
        out, _ = await bot.communicate()
        summary = json.loads(out) if out else {}
        print(f"ended: {summary.get('ended')}, halted: {summary.get('halted')}, fills: {summary.get('fills')}")
        second_half = memory[len(memory) // 2 :]
        print(f"memory {memory[-1][1]:.1f} MB, {slope(second_half):+.2f} MB a minute in the second half")
        print(f"descriptors: least {min(descriptors)}, most {max(descriptors)}, last {descriptors[-1]}")
        broken = await judge(paths["watching"], emulator)
        print("\n".join(broken) or "both sides' books agree")
        return 1 if broken or summary.get("ended") != "signal" else 0


async def judge(config: Path, emulator: Any) -> list[str]:
    """Start the bot anew and hold its books against the exchange's."""
    async with live_parts(Project.load(config), "emulator", rest=emulator.rest, ws=emulator.ws) as parts:
        bot = Bot(parts)
        try:
            await bot.start()
            for _ in range(200):
                if not differences(bot, emulator):
                    break
                await asyncio.sleep(0.1)
            return differences(bot, emulator)
        finally:
            if hasattr(bot, "driver"):
                await bot.driver.close()
            await bot.close()


def main() -> int:
    """Soak for as long as was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--speed", type=float, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".soak-") as folder:
        return asyncio.run(soak(Path(folder), given.minutes, given.speed))


if __name__ == "__main__":
    sys.exit(main())
