"""Rebuilds a recorded run's engine and runs it on the recorded inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from botkit.assembly.live_parts import engine_maker
from botkit.assembly.playback import ReplayWatch, playback_of
from botkit.engine.decisions import DecisionLog
from botkit.live.limits.recorded_slots import replayed_pools
from botkit.live.replay import RecordedInputs, Replay, Verdict, read_header, verdict_on
from botkit.model.clock import Nanos
from botkit.model.pairs import Pair
from botkit.project.recipe import recorded_fees, recorded_project
from botkit.report.playback import render_playback


def replay_run(run: Path, config: Path | None = None, *, playback: Path | None = None) -> Verdict:
    """Feed a run's inputs to a new engine and compare the decisions. ``config`` replaces the run's own configuration.
    With ``playback``, also write the run's playback page to that file.

    Raises ReplayError if the folder contains no run, and ConfigError if the configuration has changed or is missing.
    """
    header = msgspec.to_builtins(read_header(run))
    project = recorded_project(header, config)
    pools = header["shared"]
    leased = None if pools is None else replayed_pools(project.facts.limits, pools)
    section = "live.fees" if header["mode"] == "live" else project.config.simulated_fees[1]
    fees = project.fee_model(recorded_fees(header), section)
    make = engine_maker(
        project,
        fees,
        speed=header["speed"],
        latest_accept_ns=header["latest_accept_ns"],
        recorded=header["pairs"],
    )
    lines: list[str] = []
    decisions = DecisionLog(lambda block: lines.extend(block.decode().splitlines()))
    engine = make(decisions, header["first_client_id"], leased)
    watch = None if playback is None else ReplayWatch(engine.view, decisions, last_moment(run, project.pairs))
    verdict = verdict_on(Replay(engine, run, project.pairs, watch), run, decisions, lines)
    if watch is not None and playback is not None:
        page = playback_of(
            watch.taker(), lines, name=project.config.name, mode=header["mode"], project=project, synthetic=False
        )
        playback.write_bytes(render_playback(page).encode())
    return verdict


def last_moment(run: Path, pairs: Mapping[str, Pair]) -> Nanos:
    """Return the time of a recorded run's last input. Raises ReplayError."""
    return max((now for now, _ in RecordedInputs(run, pairs)), default=0)
