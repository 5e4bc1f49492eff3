"""Rebuilds a recorded run's engine and runs it on the recorded inputs."""

from __future__ import annotations

from pathlib import Path

import msgspec

from botkit.assembly.live_parts import engine_maker
from botkit.engine.decisions import DecisionLog
from botkit.live.limits.recorded_slots import replayed_pools
from botkit.live.replay import Replay, Verdict, read_header, verdict_on
from botkit.project.recipe import recorded_fees, recorded_project


def replay_run(run: Path, config: Path | None = None) -> Verdict:
    """Feed a run's inputs to a new engine and compare the decisions. ``config`` replaces the run's own.

    Raises ReplayError if the folder holds no run, and ConfigError if the configuration has changed or is missing.
    """
    header = msgspec.to_builtins(read_header(run))
    project = recorded_project(header, config)
    pools = header["shared"]
    leased = None if pools is None else replayed_pools(project.facts.limits, pools)
    section = "live.fees" if header["mode"] == "live" else project.config.simulated_fees[1]
    fees = project.fee_model(recorded_fees(header), section)
    make = engine_maker(project, fees, speed=header["speed"], latest_accept_ns=header["latest_accept_ns"])
    lines: list[str] = []
    decisions = DecisionLog(lambda block: lines.extend(block.decode().splitlines()))
    engine = make(decisions, header["first_client_id"], leased)
    return verdict_on(Replay(engine, run, project.pairs), run, decisions, lines)
