"""Passes the page's commands to running bots, which validate them again (`botkit.live.page_control`)."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from botkit.config.live_value import live_value
from botkit.errors import BotkitError
from botkit.live.commands import ask
from botkit.live.page_control import PAGE
from botkit.page.bots import ShownBot


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="command"):
    bot: str


class PauseCommand(_Command, frozen=True, tag="pause"):
    """Pause a strategy."""

    strategy: str


class ResumeCommand(_Command, frozen=True, tag="resume"):
    """Lift a strategy's pause."""

    strategy: str


class SetCommand(_Command, frozen=True, tag="set"):
    """Change a live parameter."""

    strategy: str
    name: str
    value: str


class CancelCommand(_Command, frozen=True, tag="cancel"):
    """Cancel an order by its client id."""

    order: int


class StopCommand(_Command, frozen=True, tag="stop"):
    """Stop the bot cleanly."""


class PanicCommand(_Command, frozen=True, tag="panic"):
    """Halt the bot, persistently across restarts, and cancel every order. ``confirm`` is the bot's name as typed by the
    user.
    """

    confirm: str = ""


PageCommand: TypeAlias = PauseCommand | ResumeCommand | SetCommand | CancelCommand | StopCommand | PanicCommand

#: how long to wait for the bot's reply; a panic keeps cancelling until the exchange lists no more orders
_ANSWER_S, _PANIC_S = 10.0, 60.0

_decode = msgspec.json.Decoder(PageCommand).decode


class CommandRefused(BotkitError):
    """Raised when the page's command cannot be executed."""


def decoded(content: bytes) -> PageCommand:
    """Decode a command. Raises CommandRefused."""
    try:
        return _decode(content)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CommandRefused(f"this is not a valid command: {error}") from None


def carry_out(bot: ShownBot, command: PageCommand) -> str:
    """Leave a command in the bot's folder and wait for the reply. Raises BotkitError with the bot's reason."""
    if not bot.page.get("control"):
        raise CommandRefused("the bot's configuration does not allow page commands; set `page: {control: true}`")
    if isinstance(command, PanicCommand) and command.confirm != bot.name:
        raise CommandRefused(f"type {bot.name} to confirm")
    document = msgspec.to_builtins(command)
    name = document.pop("command")
    for key in ("bot", "confirm"):
        document.pop(key, None)
    if isinstance(command, SetCommand):
        document["value"] = live_value(f"{command.strategy}.{command.name}", command.value)
    return ask(bot.folder, name, timeout_s=_PANIC_S if name == "panic" else _ANSWER_S, by=PAGE, **document)
