"""Random strategies that receive trades, one for each seed. Each strategy runs on one of the parity tapes, both in a
backtest and over real sockets.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from botkit.assembly.lockstep import BACKTEST_DECISIONS, DECISIONS, compare_in_lockstep
from botkit.model.clock import NS_PER_S, format_time
from botkit.project.project import Project
from tests.backtest_world import ROOT
from tests.parity import heard
from tests.parity.tapes import ParityTape

_PLUGINS = [str(ROOT / "tests/parity/hearing")]
#: the events that are counted in a run, in this order
COUNTED = ("decisions", "orders", "fills", "cancels", "refusals", "trades heard", "bursts in several frames")


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """The two runs of one strategy: event counts, and the first difference ("" if there is none)."""

    counts: Counter[str]
    difference: str


def config(seed: int, tape: ParityTape) -> str:
    """Generate the configuration of a seed's bot: its strategy, part of the tape, balances, latency, fees and
    limits.
    """
    dice = Random(f"hearing {seed}")
    span = tape.seconds * NS_PER_S
    room = max(tape.end - tape.start - span, 0)
    start = tape.start + int(room * dice.random()) // NS_PER_S * NS_PER_S
    pairs = list(tape.pairs) if dice.random() < 0.7 else [dice.choice(tape.pairs)]
    params: dict[str, Any] = {"pairs": pairs}
    if seed % 2:
        use = "hearing_anything"
        params |= {"shape": seed, "rate": dice.choice([0.04, 0.12]), "greed": dice.choice([1, 1, 2, 6])}
    else:
        use = "hearing_chaos"
        params |= {"acts": dice.choice([0.25, 0.6]), "at_trades": dice.choice([0.02, 0.05])}
    latency: dict[str, Any] = {
        "order_ms": dice.choice([0, 1, 60, 120, 300]),
        "answer_ms": dice.choice([0, 20, 70, 300]),
    }
    if dice.random() < 0.4:
        latency |= {"model": "lognormal", "sigma": "0.6"}
    if dice.random() < 0.3:
        latency["feed_ms"] = dice.choice([3, 40])
    document = {
        "name": "parity",
        "seed": seed,
        "plugins": _PLUGINS,
        "strategies": [{"name": "r", "use": use, "capital": dict(tape.balances), "params": params}],
        "limits": {"batching": dice.random() < 0.7},
        "backtest": {
            "data": str(tape.path),
            "from": format_time(start),
            "to": format_time(min(start + span, tape.end + 1)),
            "balances": dict(tape.balances),
            "fees": dice.choice([{"rank": 0}, {"maker": "0", "taker": "0.0005"}]),
            "latency": latency,
            "fills": {"model": dice.choice(["queue", "queue", "optimistic", "pessimistic"])},
        },
    }
    if dice.random() < 0.2:
        document["limits"] = {"create_order": 60, "cancel_order": 45}
    return json.dumps(document, indent=1)


async def compare(seed: int, tape: ParityTape, folder: Path) -> Compared:
    """Run a seed's bot in a backtest and in lockstep. The decisions of both runs are stored in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "parity.yaml"
    path.write_text(config(seed, tape))
    heard.count = 0
    result, difference = await compare_in_lockstep(Project.load(path), folder)
    decisions = (folder / DECISIONS).read_bytes()
    told = "" if difference is None else str(difference)
    if not told and decisions != (folder / BACKTEST_DECISIONS).read_bytes():
        told = "the files of decisions differ although no line does"
    if not told and heard.count % 2:
        told = f"{heard.count} trades were received in both runs together, so the runs received different numbers"
    counts = _counts(decisions.decode("ascii").splitlines())
    counts |= {"trades heard": heard.count // 2, "bursts in several frames": result.split_bursts}
    return Compared(counts=counts, difference=told)


def _counts(lines: list[str]) -> Counter[str]:
    found: Counter[str] = Counter(decisions=len(lines))
    for row in map(json.loads, lines):
        match row["k"]:
            case "intent":
                found["orders"] += 1
            case "fill":
                found["fills"] += 1
            case "state":
                found["cancels"] += row["state"] == "cancelled"
                found["refusals"] += row["state"] == "refused"
            case "answer":
                found["refusals"] += row["outcome"] == "refused"
    return found


__all__ = ["COUNTED", "Compared", "compare", "config"]
