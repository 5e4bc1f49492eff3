"""Makes the engine of a recorded run again and runs it on the recorded inputs."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import cast

import msgspec

from botkit.assembly import Project
from botkit.assembly.live_parts import LiveParts
from botkit.config.schema import FeesConfig
from botkit.engine.decisions import DecisionLog
from botkit.live.limits.recorded_slots import replayed_pools
from botkit.live.recording import HEADER
from botkit.live.replay import (
    Replay,
    ReplayError,
    StoppedClock,
    Verdict,
    check_unchanged,
    read_header,
    verdict_on,
)
from botkit.live.state_folder import StateFolder
from botkit.model.adapter import Adapter
from botkit.model.clock import NS_PER_S
from botkit.model.pairs import Pair


def replay_run(run: Path, config: Path | None = None) -> Verdict:
    """Feed a run's inputs to a new engine and compare the decisions. ``config`` replaces the run's own.

    Raises ReplayError where there is no run, ConfigError where the configuration changed or is gone.
    """
    header = read_header(run)
    path = config or Path(header.config)
    if config is None:
        check_unchanged(path, header.config_sha256)
    with contextlib.chdir(header.folder) if Path(header.folder).is_dir() else contextlib.nullcontext():
        project = Project.load(path, overrides=header.overrides)
    project.pairs = {**project.pairs, **{name: Pair(name, rules) for name, rules in header.pairs.items()}}
    clock = StoppedClock(header.speed)
    leased = None
    if header.shared is not None:
        leased = replayed_pools(project.facts.limits, header.shared)
    try:
        fees = msgspec.convert(header.fees, FeesConfig, strict=False)
    except msgspec.ValidationError as error:
        raise ReplayError(f"{run / HEADER} is damaged (fees: {error}); restore it from a copy") from None
    parts = LiveParts(
        project,
        header.mode,
        adapter=cast(Adapter, None),  # nothing is sent
        clock=clock,
        folder=StateFolder(run),
        fees=fees,
        latest_accept_s=header.latest_accept_ns / NS_PER_S / max(1.0, clock.speed),
        leased=leased,
    )
    lines: list[str] = []
    decisions = DecisionLog(lambda block: lines.extend(block.decode().splitlines()))
    engine = parts.engine(decisions, header.first_client_id)
    return verdict_on(Replay(engine, run, project.pairs), run, decisions, lines)
