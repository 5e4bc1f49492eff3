"""Making the engine of a recorded run again, and running it over what entered it then."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import cast

import msgspec

from botkit.assembly import Project
from botkit.assembly.live_parts import LiveParts
from botkit.config.schema import FeesConfig
from botkit.engine.decisions import DecisionLog
from botkit.errors import ConfigError
from botkit.live.limits.recorded_slots import replayed_pools
from botkit.live.replay import Replay, Verdict, compare, read_header
from botkit.live.state_folder import StateFolder
from botkit.model.adapter import Adapter
from botkit.model.clock import NS_PER_S
from botkit.model.pairs import Pair, PairRules

DECISIONS = "decisions.jsonl"


class _Stopped:
    """The clock of a bot whose time comes from a file."""

    def __init__(self, speed: float) -> None:
        self.speed = speed

    def now(self) -> int:
        """Nobody asks."""
        return 0


def replay_run(run: Path, config: Path | None = None) -> Verdict:
    """Play a run's inputs into a new engine and compare the decisions. ``config`` replaces the run's own.

    Raises ReplayError where there is no run, ConfigError where the configuration changed or is gone.
    """
    header = read_header(run)
    path = config or Path(header["config"])
    if config is None:
        _check_unchanged(path, header["config_sha256"])
    with contextlib.chdir(header["folder"]) if Path(header["folder"]).is_dir() else contextlib.nullcontext():
        project = Project.load(path, overrides=header["overrides"])
    rules = {name: msgspec.convert(found, PairRules) for name, found in header["pairs"].items()}
    project.pairs = {**project.pairs, **{name: Pair(name, found) for name, found in rules.items()}}
    clock = _Stopped(header["speed"])
    leased = None
    if header.get("shared") is not None:
        leased = replayed_pools(project.facts.limits, header["shared"])
    parts = LiveParts(
        project,
        header["mode"],
        adapter=cast(Adapter, None),  # nothing is sent
        clock=clock,
        folder=StateFolder(run),
        fees=msgspec.convert(header["fees"], FeesConfig, strict=False),
        latest_accept_s=header["latest_accept_ns"] / NS_PER_S / max(1.0, clock.speed),
        leased=leased,
    )
    lines: list[str] = []
    decisions = DecisionLog(lambda block: lines.extend(block.decode().splitlines()))
    engine = parts.engine(decisions, header["first_client_id"])
    replay = Replay(engine, run, project.pairs)
    entries = replay.run()
    decisions.flush()
    recorded = (run / DECISIONS).read_text(encoding="ascii").splitlines()
    if not replay.is_whole and recorded and not _is_json(recorded[-1]):
        recorded.pop()  # torn by a kill
    verdict = compare(recorded, lines, entries, is_whole=replay.is_whole or replay.error is not None)
    if replay.error is not None and (verdict.difference is None or verdict.difference.replayed is None):
        raise replay.error
    return msgspec.structs.replace(verdict, ends_early=replay.ends_early)


def _is_json(line: str) -> bool:
    with contextlib.suppress(ValueError):
        json.loads(line)
        return True
    return False


def _check_unchanged(path: Path, sha256: str) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: the run's configuration cannot be read ({error.strerror}); give --config") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ConfigError(f"{path}: the configuration has changed since the run; give --config {path} to replay anyway")
