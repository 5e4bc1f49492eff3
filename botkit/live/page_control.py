"""Defines what the live page may do to a bot. The bot itself enforces these rules. Every command from the page is
marked as coming from the page, and the page's server cannot write unmarked commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botkit.engine.risk.review import PAUSED
from botkit.live.bot import Bot

#: the value that marks a command as coming from the page
PAGE = "page"
#: the commands that the page may send
ALLOWED = ("pause", "resume", "set", "cancel", "stop", "panic")


def refusal(bot: Bot, document: Mapping[str, Any]) -> str | None:
    """Return the reason why a command from the page is refused, or None. Commands from other sources are not
    checked.
    """
    if document.get("by") != PAGE:
        return None
    command = document["command"]
    if not bot.parts.page_control:
        return "the bot's configuration does not allow page commands; set `page: {control: true}`"
    if command not in ALLOWED:
        return f"{command!r} is not a command of the page"
    if command == "resume":
        if bot.view.halted is not None:
            return f"the bot is halted ({bot.view.halted}), which only `botkit resume` on the command line lifts"
        strategy = str(document.get("strategy"))
        halt = bot.view.halts.get(strategy)
        if halt is not None and halt != PAUSED:
            return f"{strategy} is halted ({halt}), which only `botkit resume` on the command line lifts"
    return None
