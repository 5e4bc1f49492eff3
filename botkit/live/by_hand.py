"""Reports what a person did to a running bot: who (the command line, the page or Telegram) did what, with the old value
and the new one. It is what one looks for afterwards, in the log, in the terminal and among the page's events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botkit.live.bot import Bot
from botkit.live.commands import TELEGRAM
from botkit.live.page_control import PAGE
from botkit.model.money import format_units

_PLACES = {PAGE: "the page", TELEGRAM: "Telegram"}


def place_of(document: Mapping[str, Any]) -> str:
    """Return where a command comes from."""
    return _PLACES.get(str(document.get("by")), "the command line")


def tell_paused(bot: Bot, strategy: str, place: str) -> None:
    """Report a pause."""
    bot.notices.tell("info", f"{strategy} was paused by hand on {place}")


def tell_resumed(bot: Bot, strategy: str, place: str) -> None:
    """Report the end of a pause."""
    bot.notices.tell("info", f"{strategy} was resumed by hand on {place}")


def tell_set(bot: Bot, parameter: str, before: str, after: str, place: str) -> None:
    """Report the change of a parameter."""
    bot.notices.tell("info", f"{parameter} was set from {before} to {after} on {place}")


def tell_moved(
    bot: Bot, target: str, moved: str, capital: tuple[Mapping[str, int], Mapping[str, int]], place: str
) -> None:
    """Report a move of capital. ``capital`` is what the strategy had been given before, and after."""
    before, after = map(_amounts, capital)
    # strategies without capital of their own share what is free, which is no amount of theirs
    change = f", from {before or '0'} to {after or '0'}" if before or after else ""
    bot.notices.tell("info", f"the capital of {target} was changed by {moved} on {place}{change}")


def _amounts(units_by_currency: Mapping[str, int]) -> str:
    return ", ".join(f"{format_units(units)} {currency}" for currency, units in units_by_currency.items() if units)
