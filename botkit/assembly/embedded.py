"""The embedded emulator. Each process has one, with an account for each configuration."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from botkit.config.money import check_reserve, emulator_balances
from botkit.emulator import Emulator
from botkit.emulator.options import EmulatorAccount, EmulatorOptions
from botkit.project.data import emulator_tape
from botkit.project.project import Project
from botkit.project.several import agreed_on

#: the embedded emulator's default speed, at which a one-minute bar takes one second
SPEED = 60.0


def embedded_account(name: str) -> EmulatorAccount:
    """Return the account of the bot with this name. Only the emulator in this process accepts the account's key."""
    return EmulatorAccount(email=f"{name.lower()}@botkit.local", key=f"emulator-key-{name}", secret="emulator-secret")


def embedded_emulator(projects: Sequence[Project], speed: float | None) -> Emulator:
    """Return the emulator for these configurations, not yet started. Raises ConfigError if the configurations
    conflict.
    """
    first = projects[0]
    agreed = agreed_on(projects, "emulator.speed", lambda project: project.config.emulator.speed)
    if speed is None:
        speed = SPEED if agreed is None else agreed.config.emulator.speed
    market = agreed_on(projects, "emulator.market", emulator_tape) or first
    seed = (agreed_on(projects, "seed", lambda project: project.config.seed) or first).config.seed
    latency = agreed_on(projects, "emulator.latency", lambda project: project.config.emulator.latency) or first
    fills = agreed_on(projects, "emulator.fills", lambda project: project.config.emulator.fills) or first
    agreed_on(projects, "amount_step", lambda project: project.config.amount_step)
    options = EmulatorOptions(
        accounts=tuple(_account(project) for project in projects),
        market=emulator_tape(market),
        speed=speed,
        seed=seed,
        latency=latency.latency_model(latency.config.emulator.latency, "emulator.latency", seed),
        queue=fills.queue_model(fills.config.emulator.fills, "emulator.fills"),
    )
    return Emulator(first.facts, options)


def _account(project: Project) -> EmulatorAccount:
    check_reserve(project.loaded)
    return msgspec.structs.replace(
        embedded_account(project.config.name),
        balances=emulator_balances(project.config) or {},
        # one fee model per account, as on the exchange, because a rank depends on the account's volume
        fees=project.fee_model(*project.config.simulated_fees),
    )
