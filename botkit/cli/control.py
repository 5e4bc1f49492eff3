"""Commands that control a running bot from another terminal: stop, panic, pause, resume, set, account."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import click

from botkit.errors import BotkitError, ConfigError

_MODE = click.option(
    "--mode", type=click.Choice(["emulator", "paper", "live"]), help="Mode to use if the bot has run in more than one."
)
_CONFIG = click.argument("config", type=click.Path(path_type=Path))


def state_folder_of(config: Path, mode: str | None) -> Any:
    """Return the state folder of the bot in CONFIG. Only the bot's name is needed, so other errors in the file are
    merely reported.
    """
    from botkit.assembly.operations import StateFolder
    from botkit.config.essentials import load_essentials

    found = load_essentials(config)
    if found.problem is not None:
        click.echo(
            f"warning: {found.problem.splitlines()[0]}; continuing without the parts that cannot be read", err=True
        )
    return StateFolder.find(found.loaded.config.name, mode)


@click.command()
@_CONFIG
@_MODE
def stop(config: Path, mode: str | None) -> None:
    """Stop the running bot in CONFIG cleanly, like Ctrl-C."""
    from botkit.assembly.operations import ask

    folder = state_folder_of(config, mode)
    click.echo(ask(folder, "stop"))


@click.command()
@_CONFIG
@click.argument("strategy")
@_MODE
def pause(config: Path, strategy: str, mode: str | None) -> None:
    """Stop STRATEGY from placing new orders, and cancel its open orders. The pause persists across restarts."""
    from botkit.assembly.operations import ask

    folder = state_folder_of(config, mode)
    click.echo(ask(folder, "pause", strategy=strategy))


@click.command()
@_CONFIG
@click.argument("strategy", required=False)
@_MODE
def resume(config: Path, strategy: str | None, mode: str | None) -> None:
    """Lift a halt on the bot (panic, loss limit, breaker), or STRATEGY's pause."""
    from botkit.assembly.operations import Journal, ask, lift, standstills_of

    folder = state_folder_of(config, mode)
    if strategy is None:
        halt = folder.halt()
        if halt is None:
            click.echo("the bot is not halted")
            for line in standstills_of(folder):
                click.echo(line)
            return
        folder.clear_halt()
        click.echo(f"lifted ({halt.kind}): {halt.reason}")
    elif folder.holder() is not None:
        click.echo(ask(folder, "resume", strategy=strategy))
    else:
        folder.lock()
        try:
            journal = Journal.open(folder.journal)
            try:
                was = lift(journal, strategy)
            finally:
                journal.close()
        finally:
            folder.unlock()
        click.echo(f"lifted: {was}" if was else f"{strategy} is neither paused nor halted")


@click.command("set")
@_CONFIG
@click.argument("assignment", metavar="STRATEGY.NAME=VALUE")
@_MODE
def set_(config: Path, assignment: str, mode: str | None) -> None:
    """Change a parameter that the strategy declares as live, such as maker.spread_bps=8. The change persists across
    restarts.
    """
    from botkit.assembly.operations import ask
    from botkit.config.live_value import live_value

    target, equals, text = assignment.partition("=")
    strategy, dot, name = target.partition(".")
    if not (equals and dot and strategy and name):
        raise ConfigError(f"{assignment!r}: write STRATEGY.NAME=VALUE, such as maker.spread_bps=8")
    value = live_value(target, text)
    folder = state_folder_of(config, mode)
    click.echo(ask(folder, "set", strategy=strategy, name=name, value=value))


@click.command()
@_CONFIG
@_MODE
@click.option("--own", is_flag=True, help="Cancel only this bot's own orders.")
@click.option("--rest", metavar="URL", help="Override the REST address, for example to use an emulator.")
def panic(config: Path, mode: str | None, own: bool, rest: str | None) -> int:
    """Halt the bot and cancel every order on its account. The halt persists across restarts.

    This works whether the bot is running, hanging or dead. Orders that this bot did not create are listed first, and
    are also cancelled unless you pass --own. `botkit resume` lifts the halt.
    """
    from botkit.assembly.operations import (
        Journal,
        JournalError,
        OwnOrders,
        account_access,
        hold_back,
        outcome_of,
        own_orders,
    )
    from botkit.assembly.operations import panic as run_panic
    from botkit.project.without_strategies import account_of

    folder = state_folder_of(config, mode)
    mode = folder.path.parent.name
    if mode == "paper":
        raise ConfigError("a paper account exists only inside its bot; use `botkit stop`")
    if folder.path.name == "inside" and folder.holder() is None:
        raise ConfigError("the emulator stopped with the bot, so no orders are open")
    status = folder.read_status() or {}
    address = status.get("address")
    if not isinstance(address, list) or len(address) != 2:
        address = [None, None]
    known = OwnOrders(())
    try:
        journal = Journal.open(folder.journal, read_only=True)
        known = own_orders(journal)
        if journal.damage is not None:
            click.echo(f"problem: {journal.damage}", err=True)
        journal.close()
    except JournalError as error:
        click.echo(f"problem: {error}", err=True)

    is_held = hold_back(folder, time.time_ns(), click.echo)
    try:
        project = account_of(config)
    except BotkitError as error:
        own_way = " The running bot is now cancelling its own orders." if folder.holder() is not None else ""
        raise ConfigError(
            f"the account cannot be reached, so this command cancelled nothing: {error}.{own_way}"
        ) from None

    async def main() -> int:
        async with account_access(
            project, mode, rest=rest or address[0], ws=address[1], hurries=True, say=click.echo
        ) as access:
            result = await run_panic(access, known, own_only=own, can=access.sender.capabilities, say=click.echo)
            is_failed = result.left is None or bool(result.left)
            click.echo(outcome_of(result, is_running=folder.holder() is not None, is_held=is_held), err=is_failed)
            return 1 if is_failed or not is_held else 0

    return asyncio.run(main())


@click.command()
@_CONFIG
@_MODE
@click.option("--rest", metavar="URL", help="Override the REST address, for example to use an emulator.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def account(config: Path, mode: str | None, rest: str | None, as_json: bool) -> int:
    """Check that the account's API key works, using only read requests, and show balances, open orders, and an
    estimated fee rank.
    """
    from botkit.assembly.operations import StateFolder, account_access, account_lines, named_account, read_account
    from botkit.project.without_strategies import account_of

    project = account_of(config)
    if mode == "emulator" and rest is None:
        with contextlib.suppress(ConfigError):  # a bot that has never run has no emulator to query
            address = (StateFolder.find(project.config.name, mode).read_status() or {}).get("address")
            rest = address[0] if isinstance(address, list) and address else None

    asked = mode or ("emulator" if rest else "live")

    async def main() -> Any:
        async with account_access(project, asked, rest=rest) as access:
            return await read_account(access, project.facts)

    found = named_account(project, asked, rest) | asyncio.run(main())
    if as_json:
        click.echo(json.dumps(found))
    else:
        for line in account_lines(found):
            click.echo(line)
    return 0 if found["works"] else 1


set = set_
