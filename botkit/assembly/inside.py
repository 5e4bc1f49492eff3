"""The emulator inside: one for all configurations of a process, with an account of its own for each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from botkit.assembly import Project
from botkit.config.money import opening_units
from botkit.errors import ConfigError

if TYPE_CHECKING:  # a bot with real money needs no emulator in its memory
    from botkit.emulator import Emulator
    from botkit.emulator.options import EmulatorAccount

#: how fast the emulator inside runs when nobody says otherwise: a newcomer sees a minute's bar each second
SPEED_INSIDE = 60.0


def inside_account(name: str) -> EmulatorAccount:
    """The account of the bot of that name. Its key opens nothing but the emulator that runs inside this process."""
    from botkit.emulator.options import EmulatorAccount

    return EmulatorAccount(email=f"{name.lower()}@botkit.local", key=f"emulator-key-{name}", secret="emulator-secret")


def emulator_inside(projects: Sequence[Project], speed: float | None) -> Emulator:
    """The emulator for these configurations, not started. Raises ConfigError where they contradict each other."""
    from botkit.emulator import Emulator
    from botkit.emulator.options import EmulatorOptions

    first = projects[0]
    agreed = _agreed(projects, "emulator.speed", lambda project: project.config.emulator.speed)
    if speed is None:
        speed = SPEED_INSIDE if agreed is None else agreed.config.emulator.speed
    market = _agreed(projects, "emulator.market", _market) or first
    seed = (_agreed(projects, "seed", lambda project: project.config.seed) or first).config.seed
    latency = _agreed(projects, "emulator.latency", lambda project: project.config.emulator.latency) or first
    fills = _agreed(projects, "emulator.fills", lambda project: project.config.emulator.fills) or first
    _agreed(projects, "amount_step", lambda project: project.config.amount_step)
    options = EmulatorOptions(
        accounts=tuple(_account(project) for project in projects),
        market=_market(market),
        speed=speed,
        seed=seed,
        latency=latency.latency_model(latency.config.emulator.latency, "emulator.latency", seed),
        queue=fills.queue_model(fills.config.emulator.fills, "emulator.fills"),
    )
    return Emulator(first.facts, options)


def _account(project: Project) -> EmulatorAccount:
    return msgspec.structs.replace(
        inside_account(project.config.name),
        balances=opening_balances(project) or {},
        # an account's own, as at the exchange: a rank follows the account's volume
        fees=project.fee_model(*project.config.simulated_fees),
    )


def _agreed(projects: Sequence[Project], key: str, value: Callable[[Project], Any]) -> Project | None:
    """The first configuration that says something under ``key``; None where all leave it open.

    Raises ConfigError where another says something else.
    """
    found: Project | None = None
    for project in projects:
        origins = project.loaded.origins()
        if not any((path + ".").startswith(key + ".") and origin != "default" for path, origin in origins.items()):
            continue
        if found is None:
            found = project
        elif value(project) != value(found):
            raise ConfigError(
                f"{project.loaded.where(key)}: `{key}` is another than at {found.loaded.where(key)}; the bots of one "
                "command trade at one emulator: let them agree, or run them apart"
            )
    return found


def _market(project: Project) -> Path | None:
    """The tape of a configuration, None for the synthetic market."""
    section = project.config.emulator
    if section.market == "synthetic":
        return None
    path = Path(section.market)
    return path if path.is_absolute() else (project.loaded.path.parent / path).resolve()


def opening_balances(project: Project) -> dict[str, int] | None:
    """What the account at the emulator holds: what the configuration says, for the emulator or else for backtests."""
    config = project.config
    return opening_units(config, config.emulator.balances or config.backtest.balances)
