"""Computes the values stored for a run, and writes and compares these values."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from tests.frozen.bots import config
from tests.frozen.running import backtest, exchange_pairs, lockstep
from tests.frozen.tapes import TAPES, write_tapes

SEEDS = range(230)
STORE = Path(__file__).parent / "backtests.json"
LOCKSTEP_STORE = Path(__file__).parent / "lockstep.json"
#: seeds of the bots that run over real sockets, on the tape with two pairs
LOCKSTEP_SEEDS = tuple(range(7, 200, 17))
#: stored for each run: the hash of its decisions, and the number of occurrences of each kind of event
Frozen: TypeAlias = dict[str, Any]


def prepare(folder: Path) -> dict[str, str]:
    """Write the tapes into ``folder`` and return each tape's content hash."""
    path = folder / "pairs.yaml"
    path.write_text(config(0, "candles", folder))
    return write_tapes(folder, exchange_pairs(path))


def run(seed: int, tape: str, folder: Path) -> Frozen:
    """Run a seed's bot on one of the tapes written by `prepare`."""
    path = folder / "frozen.yaml"
    path.write_text(config(seed, tape, folder))
    sha256, lines, ended = backtest(path)
    if ended:
        # keep only the strategy's exception, without botkit's surrounding text
        match = re.match(r"strategy '(\w)' raised in (\w+) at \S+: (RuntimeError: .*|Runaway)", ended)
        assert match is not None, f"{tape}, seed {seed}: {ended}"
        return {"ended": ", ".join(match.groups())}
    return {"sha256": sha256, "deeds": deeds(lines), **counts(lines)}


async def run_in_lockstep(seed: int, folder: Path) -> Frozen:
    """Run a seed's bot against an emulator, and check that its backtest makes identical decisions."""
    path = folder / "lockstep.yaml"
    path.write_text(config(seed, "two_pairs", folder, lockstep=True))
    sha256, lines, difference = await lockstep(path)
    assert not difference, f"lockstep, seed {seed} differs from its backtest: {difference}"
    return {"sha256": sha256, "deeds": deeds(lines), **counts(lines)}


def run_all(seeds: Iterable[int], folder: Path, tapes: Iterable[str] = TAPES) -> Iterator[tuple[str, Frozen]]:
    """Yield (name, result) for every seed on every tape."""
    for tape in tapes:
        for seed in seeds:
            yield f"{tape} {seed}", run(seed, tape, folder)


def stored(path: Path = STORE) -> dict[str, Any]:
    """Return the frozen values: ``tapes`` and ``runs``, each keyed by name."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def store(path: Path, tapes: dict[str, str], runs: dict[str, Frozen]) -> None:
    """Write the frozen values, one run per line."""
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(found)}" for name, found in runs.items())
    path.write_text(f'{{"tapes": {json.dumps(tapes)},\n"runs": {{\n{lines}\n}}}}\n')


def differences(found: dict[str, Frozen], expected: dict[str, Frozen]) -> list[str]:
    """Return a sentence for every run that has changed."""
    told = []
    for name, now in found.items():
        before = expected.get(name, {})
        if now == before:
            continue
        tape, seed = name.split()
        changed = {key: (before.get(key), now.get(key)) for key in sorted({*before, *now} - {"sha256"})}
        changed = {key: values for key, values in changed.items() if values[0] != values[1]}
        what = ", ".join(f"{key} {old} -> {new}" for key, (old, new) in changed.items())
        told.append(f"{tape}, seed {seed}: {what or 'only the wording of its decisions is another'}")
    return told


def deeds(lines: list[str]) -> str:
    """Return a hash of the decisions without their texts, because texts may be reworded."""
    whole = hashlib.sha256()
    for line in lines:
        row = json.loads(line)
        row.pop("why", None)
        row.pop("text", None)
        whole.update(json.dumps(row).encode())
    return whole.hexdigest()[:16]


def counts(lines: list[str]) -> dict[str, int]:
    """Count the occurrences of each kind of event in the decision lines of a run."""
    rows = [json.loads(line) for line in lines]
    found: Counter[str] = Counter(decisions=len(rows))
    asked: dict[int, dict[str, Any]] = {}
    sent: set[int] = set()
    resting: set[int] = set()
    for row in rows:
        kind = row["k"]
        if kind == "intent":
            found["orders"] += 1
            asked[row["c"]] = row
            found["protective exits"] += row.get("tag") in ("stop_loss", "take_profit", "trailing_stop")
        elif kind == "fill":
            found["fills"] += 1
            order = asked[row["c"]]
            found["partial fills"] += order["spend"] == 0 and row["executed"] < order["lots"]
        elif kind == "state":
            found[row["state"]] += 1
            if row["state"] == "untriggered":
                resting.add(row["c"])
            elif row["c"] in resting:
                resting.remove(row["c"])
                found["triggered"] += row["state"] in ("open", "partly_filled", "filled")
        elif kind == "answer":
            found[f"answer {row['outcome']}"] += 1
        elif kind == "request" and row["endpoint"] in ("create_order", "create_batch"):
            found[row["endpoint"]] += 1
            # an order that was sent later than it was placed had to wait for a slot
            found["throttled"] += sum(row["t"] > asked[c]["t"] for c in row["c"] if c not in sent)
            sent.update(row["c"])
        else:
            found[row["endpoint"] if kind == "request" else kind] += 1
    return {name: found[name] for name in sorted(found) if found[name]}
