"""Kill a bot at every moment of an order's life, again and again, and hold its journal against the exchange's books.

    python -m tests.live.kills --kills 200

Prints, for each phase, how often the bot died there; then what was lost, doubled and orphaned, which must be 0.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from botkit.assembly import Project
from botkit.emulator import DEFAULT_ACCOUNT, Emulator, EmulatorOptions
from botkit.live.journal import Journal
from tests.live.killed_bot import PHASES

ROOT = Path(__file__).parents[2]
UNIT = 10**8
CONFIG = """
name: killed
plugins: [{strategies}]
strategies:
  - {{name: mm, use: market_maker, params: {{pair: btc_usdt, amount: 0.01, spread_bps: 1.5, skew_bps: 3}}}}
emulator:
  account: {{email: {email}, key: {key}, secret: {secret}}}
"""


#: between the journal's row and the answer
_WEAK = ("journaled", "sent")


class Outcome:
    """What the kills did."""

    def __init__(self) -> None:
        self.phases: Counter[str] = Counter()
        self.lost: list[int] = []
        self.doubled: list[int] = []
        self.orphaned: list[str] = []
        self.orders = 0
        self.fills = 0
        self.slowest_s = 0.0
        self.problems: list[str] = []


async def kill_often(kills: int, folder: Path, *, seed: int = 1) -> Outcome:
    """Start, kill and start again; at the end stop in order and compare everything."""
    config = folder / "killed.yaml"
    account = DEFAULT_ACCOUNT
    config.write_text(
        CONFIG.format(strategies=ROOT / "strategies", email=account.email, key=account.key, secret=account.secret)
    )
    config.chmod(0o600)
    facts = Project.load(config).facts
    random, outcome = Random(seed), Outcome()
    options = EmulatorOptions(balances={"usdt": 100_000 * UNIT, "btc": UNIT}, speed=10.0, seed=5, history_days=0.02)
    async with Emulator(facts, options) as emulator:
        for number in range(kills):
            # a third between the journal's row and the answer, as the protocol's weak spot would be
            others = [name for name in PHASES if name not in _WEAK]
            phase = _WEAK[number // 3 % 2] if number % 3 == 0 else others[number - number // 3 - 1 & 3]
            await _one(emulator, config, folder, phase, random.randint(1, 6), random, outcome)
            _compare(emulator, folder, outcome)
        await _last(emulator, config, folder, outcome)
    return outcome


def _arguments(emulator: Emulator, config: Path) -> list[str]:
    return ["run", str(config), "--rest", emulator.rest, "--ws", emulator.ws]


async def _start(folder: Path, arguments: list[str]) -> asyncio.subprocess.Process:
    environ = {**os.environ, "BOTKIT_STATE": str(folder / "state"), "PYTHONPATH": str(ROOT)}
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environ, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def _one(
    emulator: Emulator, config: Path, folder: Path, phase: str, count: int, random: Random, outcome: Outcome
) -> None:
    began = time.monotonic()
    arguments = ["-m", "tests.live.killed_bot", phase, str(count), *_arguments(emulator, config)]
    process = await _start(folder, arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    if not line:
        outcome.problems.append((await process.stderr.read()).decode())
        await process.wait()
        return
    outcome.slowest_s = max(outcome.slowest_s, time.monotonic() - began)
    drain = asyncio.ensure_future(asyncio.gather(process.stdout.read(), process.stderr.read()))
    if phase == "random":
        await asyncio.sleep(random.random())
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
    try:
        await asyncio.wait_for(process.wait(), 60)
    except TimeoutError:
        process.kill()
        outcome.problems.append(f"{phase} was never reached")
    _, errors = await drain
    outcome.phases[phase if process.returncode == -signal.SIGKILL else "left by itself"] += 1
    if process.returncode != -signal.SIGKILL:
        outcome.problems.append(errors.decode())


def _rows(folder: Path) -> dict[int, dict[str, Any]]:
    [path] = (folder / "state" / "killed" / "emulator").glob("*/journal.sqlite")
    journal = Journal.open(path, read_only=True)
    try:
        return {row["client_id"]: row for row in journal.order_rows()}
    finally:
        journal.close()


def _compare(emulator: Emulator, folder: Path, outcome: Outcome) -> None:
    """Every order at the exchange has its row, and no row has two orders."""
    rows = _rows(folder)
    at_exchange = Counter(report.client_id for report in emulator.venue.kernel.orders(DEFAULT_ACCOUNT.email))
    outcome.lost += [client_id for client_id in at_exchange if client_id not in rows and client_id is not None]
    outcome.doubled += [client_id for client_id, count in at_exchange.items() if count > 1 and client_id is not None]
    outcome.orders = len(at_exchange)


async def _last(emulator: Emulator, config: Path, folder: Path, outcome: Outcome) -> None:
    """One more start, stopped in order: nothing may stand, and the books must be the exchange's to the unit."""
    process = await _start(folder, ["-m", "botkit", *_arguments(emulator, config), "--duration", "3"])
    _, errors = await asyncio.wait_for(process.communicate(), 90)
    if process.returncode != 0:
        outcome.problems.append(errors.decode())
    kernel = emulator.venue.kernel
    outcome.orphaned += [r.order_id for r in kernel.orders(DEFAULT_ACCOUNT.email) if r.status in (-1, 0, 1)]
    rows = _rows(folder)
    reports = {report.client_id: report for report in kernel.orders(DEFAULT_ACCOUNT.email)}
    for client_id, report in reports.items():
        row = rows.get(client_id or 0)
        if row is not None and int(row["executed_lots"]) != report.executed_lots:
            outcome.problems.append(
                f"{client_id}: {row['executed_lots']} executed, at the exchange {report.executed_lots}"
            )
    [path] = (folder / "state" / "killed" / "emulator").glob("*/journal.sqlite")
    db = sqlite3.connect(path)
    document = db.execute("SELECT value FROM meta WHERE key = 'portfolio'").fetchone()[0]
    outcome.fills = db.execute("SELECT COUNT(*) FROM fills").fetchone()[0]
    db.close()
    import json

    ledger = json.loads(document)["ledger"]
    booked: Counter[str] = Counter(ledger["unassigned"])
    for funds in ledger["parts"].values():
        for currency, (available, locked, _, _) in funds.items():
            booked[currency] += available + locked
    for currency, (total, _) in kernel.ledger(DEFAULT_ACCOUNT.email).items():
        if booked[currency] != total:
            outcome.problems.append(f"{currency}: booked {booked[currency]}, at the exchange {total}")


def main() -> int:
    """The script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        began = time.monotonic()
        outcome = asyncio.run(kill_often(options.kills, Path(name), seed=options.seed))
    for phase, count in sorted(outcome.phases.items()):
        print(f"{phase:>16}: {count}")
    print(
        f"{outcome.orders} orders, {outcome.fills} fills; lost {len(outcome.lost)}, doubled {len(outcome.doubled)}, "
        f"orphaned {len(outcome.orphaned)}; slowest restart {outcome.slowest_s:.1f} s; "
        f"{time.monotonic() - began:.0f} s in all"
    )
    for problem in outcome.problems:
        print(f"problem: {problem}")
    return 1 if outcome.lost or outcome.doubled or outcome.orphaned or outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
