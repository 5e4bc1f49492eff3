"""Builds a bot's outputs: notifiers and the log file, with their secrets filled in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from functools import partial

from botkit.config.secrets import SecretOptions, credentials, ledger_passwords
from botkit.live.machine import this_machine
from botkit.live.notifications.display import Display
from botkit.live.notifications.logs import LogFile, Redactor
from botkit.live.notifications.notify import Channel, policy_of
from botkit.live.notifications.outputs import BotOutputs
from botkit.live.ports import Machine
from botkit.model.clock import day_start
from botkit.plugins import made
from botkit.project.project import Project

__all__ = ["Display", "bot_outputs", "check_notifier", "notify_channels"]


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
    channels = notify_channels(project, options)
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


def notify_channels(project: Project, options: SecretOptions) -> list[Channel]:
    """Return the configured notifiers, with their secrets filled in. Sends nothing. Raises ConfigError."""
    return [_channel(project, index, options) for index in range(len(project.config.notify))]


def check_notifier(project: Project, index: int) -> None:
    """Check an entry in ``notify:`` as far as possible without reading secrets: the names of its options, and the
    values that are written in the configuration itself. Raises ConfigError.
    """
    section, found = project.config.notify[index], project.notifier(index)
    written = {key: value for key, value in section.options.items() if "${" not in str(value)}
    with _refused_at_its_line(project, index, Redactor(())):
        _, own = policy_of(section.level, written)
        check = getattr(found.thing, "check", None)  # a plugin's notifier may have none
        if check is not None:
            check(own)


def _channel(project: Project, index: int, options: SecretOptions) -> Channel:
    section = project.config.notify[index]
    found = project.notifier(index)
    resolved = options.resolve(section.options, f"notify.{index}")
    with _refused_at_its_line(project, index, Redactor(options.found)):
        policy, own = policy_of(section.level, resolved)
        return Channel(section.use, made("notifiers", found, own), policy)


@contextlib.contextmanager
def _refused_at_its_line(project: Project, index: int, redactor: Redactor) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError) as error:
        key, place = getattr(error, "key", None), f"notify.{index}"
        at = f"{place}.{key}" if key in project.config.notify[index].options else place
        raise project.loaded.error(at, redactor.clean(str(error))) from None
