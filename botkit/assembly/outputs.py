"""By what a configuration's bot tells its user something: notifiers and log file, with their secrets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from botkit.assembly import Project
from botkit.config.secrets import resolve_account, resolve_ledger, resolve_text
from botkit.errors import ConfigError
from botkit.live.machine import this_machine
from botkit.live.ports import Machine
from botkit.live.telling.display import Display
from botkit.live.telling.logs import LogFile, Redactor
from botkit.live.telling.notify import Channel, policy_of
from botkit.live.telling.outputs import BotOutputs
from botkit.model.clock import day_start

__all__ = ["Display", "bot_outputs"]


def bot_outputs(
    project: Project,
    mode: str,
    *,
    is_alone: bool = True,
    environ: Mapping[str, str] = os.environ,
    machine: Machine | None = None,
) -> BotOutputs:
    """What one configuration asks for. ``is_alone``: no other bot runs in this process.

    Everything is checked: an address that no notifier understands, or a log that cannot be written, is a ConfigError
    before anything is traded.
    """
    config, wired = project.config, _Notifiers(project, environ)
    secrets = wired.secrets | _credentials(project, mode, environ) | _ledger_passwords(project, environ)
    log = None
    if config.log.file is not None:
        bot = None if is_alone else config.name
        log = LogFile(config.log.file, level=config.log.level, secrets=secrets, bot=bot)
    return BotOutputs(
        wired.channels,
        title=config.name if mode == "live" else f"{config.name} ({mode})",
        day_start=partial(day_start, zone=config.zone),
        redactor=Redactor(secrets),
        machine=machine or this_machine(),
        log=log,
        metrics=project.plugins.metrics,
    )


class _Notifiers:
    """The notifiers of a configuration, and what must not stand in any output."""

    def __init__(self, project: Project, environ: Mapping[str, str]) -> None:
        self._project = project
        self.secrets: set[str] = set()
        self.channels = self._channels(environ)

    def _channels(self, environ: Mapping[str, str]) -> list[Channel]:
        loaded, channels = self._project.loaded, []
        for index, section in enumerate(self._project.config.notify):
            place = f"notify.{index}"
            factory = self._project.plugins.pick("notifiers", section.use, loaded.where(f"{place}.use")).thing
            resolved = self._resolved(section.options, environ, place)
            try:
                policy, options = policy_of(section.level, resolved)
                channels.append(Channel(section.use, factory(options), policy))
            except (ValueError, TypeError) as error:
                raise loaded.error(place, Redactor(self.secrets).clean(str(error))) from None
        return channels

    def _resolved(self, value: Any, environ: Mapping[str, str], place: str) -> Any:
        """Options with every ``${NAME}`` filled in; what was filled in is a secret from here on."""
        if isinstance(value, dict):
            return {key: self._resolved(item, environ, f"{place}.{key}") for key, item in value.items()}
        if isinstance(value, list):
            return [self._resolved(item, environ, f"{place}.{index}") for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        text = resolve_text(self._project.loaded, environ, value, place)
        if text != value or "://" in text:  # an address of a notifier holds its token, filled in or not
            self.secrets.add(text)
        return text


def _credentials(project: Project, mode: str, environ: Mapping[str, str]) -> set[str]:
    """What must not stand in any output: of the one account that this mode uses."""
    section = "account" if mode == "live" else "emulator.account"
    try:
        account = resolve_account(project.loaded, environ, section=section)
    except ConfigError:
        return set()  # where the mode needs it, its own wiring says so
    return {account.key, account.secret}


def _ledger_passwords(project: Project, environ: Mapping[str, str]) -> set[str]:
    """The password of a shared ledger, as it is and as its address spells it."""
    try:
        address = resolve_ledger(project.loaded, environ)
        spelt = urlsplit(address or "").password
    except (ConfigError, ValueError):
        return set()  # its own wiring says so
    return {spelt, unquote(spelt)} if spelt else set()
