"""Builds the runs of a command's bots, each with the guard requested by its configuration."""

from __future__ import annotations

from functools import partial
from typing import Any

from botkit.assembly.guard import start_guard
from botkit.assembly.live_parts import LiveParts
from botkit.live.bot_run import BotRun
from botkit.live.notifications.outputs import BotOutputs

__all__ = ["BotRun", "bot_run"]


def bot_run(parts: LiveParts, outputs: BotOutputs, **more: Any) -> BotRun:
    """Return one bot's run. ``more`` are further arguments for `BotRun`, chosen by the command."""
    config, guard_s = parts.project.loaded.path, parts.project.config.live.guard_s
    is_guarded = guard_s is not None and not parts.is_new_world
    guard = partial(start_guard, config, parts.folder, guard_s or 0, parts.address) if is_guarded else None
    return BotRun(parts, outputs, config=config, guard=guard, **more)
