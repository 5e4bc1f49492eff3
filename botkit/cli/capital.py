"""``botkit capital add|take``: give a strategy unassigned money, or take money back."""

from __future__ import annotations

import time
from pathlib import Path

import click

from botkit.cli.control import state_folder_of
from botkit.errors import ConfigError

_MODE = click.option(
    "--mode", type=click.Choice(["emulator", "paper", "live"]), help="Mode to use if the bot has run in more than one."
)
_CONFIG = click.argument("config", type=click.Path(path_type=Path))
_AMOUNTS = click.argument("amounts", nargs=-1, required=True, metavar="CURRENCY=AMOUNT...")


@click.group()
def capital() -> None:
    """Give a strategy money that is not assigned to any strategy, or withdraw money from a strategy. This works whether
    or not the bot is running, and counts as neither profit nor loss.

    STRATEGY is the strategy's name, or `pool` for the money shared by all strategies without `capital:`.
    """


@capital.command()
@_CONFIG
@click.argument("strategy")
@_AMOUNTS
@click.option("--cost", metavar="PRICE", help="Cost per coin, in quote currency. Default: the current price.")
@_MODE
def add(config: Path, strategy: str, amounts: tuple[str, ...], cost: str | None, mode: str | None) -> None:
    """Give STRATEGY more money, such as twd=5000 btc=0.01."""
    _move(config, strategy, amounts, mode, 1, cost)


@capital.command()
@_CONFIG
@click.argument("strategy")
@_AMOUNTS
@_MODE
def take(config: Path, strategy: str, amounts: tuple[str, ...], mode: str | None) -> None:
    """Withdraw money that STRATEGY has available. Money locked by its orders stays with the strategy."""
    _move(config, strategy, amounts, mode, -1)


def _move(
    config: Path, strategy: str, amounts: tuple[str, ...], mode: str | None, sign: int, cost: str | None = None
) -> None:
    from botkit.assembly.operations import ask, kept_positions, move_stopped, parse_amounts, parse_cost
    from botkit.project.without_strategies import stopped_books, without_strategies

    cost_e8 = None if cost is None else parse_cost(cost)
    units = {currency: sign * change for currency, change in parse_amounts(amounts).items()}
    folder = state_folder_of(config, mode)
    if folder.holder() is not None:
        click.echo(ask(folder, "capital", strategy=strategy, units=units, cost_e8=cost_e8))
        return
    if folder.path.name in ("inside", "paper"):
        raise ConfigError(
            "this bot is not running, and its simulated account is reset at every start; change "
            "`capital:` in the configuration"
        )
    emulated = folder.path.parent.name == "emulator"
    # use the bot's own time, because `botkit why` counts back from that time; on an emulator it differs from the
    # machine's time
    now = ((folder.read_status() or {}).get("time") if emulated else None) or time.time_ns()
    project = without_strategies(config)  # load the complete configuration, because every strategy's capital matters
    books = stopped_books(project, kept_positions(folder))
    click.echo(move_stopped(folder, books, project.pairs, strategy, units, now, cost_e8))
