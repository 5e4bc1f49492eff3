"""Builds a bot's outputs: notifiers and the log file, with their secrets filled in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial

from botkit.config.secrets import SecretOptions, credentials, ledger_passwords
from botkit.live.machine import this_machine
from botkit.live.ports import Machine
from botkit.live.telling.display import Display
from botkit.live.telling.logs import LogFile, Redactor
from botkit.live.telling.notify import Channel, policy_of
from botkit.live.telling.outputs import BotOutputs
from botkit.model.clock import day_start
from botkit.plugins import made
from botkit.project.project import Project

__all__ = ["Display", "bot_outputs"]


def bot_outputs(
    project: Project,
    mode: str,
    *,
    is_alone: bool = True,
    environ: Mapping[str, str] = os.environ,
    machine: Machine | None = None,
) -> BotOutputs:
    """Return the outputs requested by one configuration. ``is_alone`` means that no other bot is running in this
    process.

    All outputs are checked before any trading: an address that no notifier supports, or a log that cannot be written,
    raises ConfigError.
    """
    config = project.config
    options = SecretOptions(project.loaded, environ)
    channels = [_channel(project, index, options) for index in range(len(config.notify))]
    secrets = options.found | credentials(project.loaded, mode, environ) | ledger_passwords(project.loaded, environ)
    log = None
    if config.log.file is not None:
        bot = None if is_alone else config.name
        log = LogFile(config.log.file, level=config.log.level, secrets=secrets, bot=bot, zone=config.zone)
    return BotOutputs(
        channels,
        title=config.name if mode == "live" else f"{config.name} ({mode})",
        day_start=partial(day_start, zone=config.zone),
        redactor=Redactor(secrets),
        machine=machine or this_machine(),
        log=log,
        metrics=project.plugins.metrics,
    )


def _channel(project: Project, index: int, options: SecretOptions) -> Channel:
    section, place, loaded = project.config.notify[index], f"notify.{index}", project.loaded
    found = project.notifier(index)
    resolved = options.resolve(section.options, place)
    try:
        policy, own = policy_of(section.level, resolved)
        return Channel(section.use, made("notifiers", found, own), policy)
    except (ValueError, TypeError) as error:
        key = getattr(error, "key", None)
        at = f"{place}.{key}" if key in section.options else place
        raise loaded.error(at, Redactor(options.found).clean(str(error))) from None
