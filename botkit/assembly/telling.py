"""Everything by which running bots tell their user something: log file, notifiers, metrics, the view in a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from botkit.assembly import Project, day_start
from botkit.config.secrets import resolve_account, resolve_text
from botkit.errors import ConfigError
from botkit.live.clock import SteadyClock
from botkit.live.machine import this_machine
from botkit.live.ports import Machine
from botkit.live.telling.logs import LogFile, Redactor
from botkit.live.telling.notify import Channel, Telling, policy_of
from botkit.live.telling.picture import BotState, Picture, picture_of
from botkit.live.telling.summary import summary_lines, summary_of

if TYPE_CHECKING:
    from rich.console import Console

    from botkit.live.bot import Bot
    from botkit.live.notices import Notices
    from botkit.live.telling.metrics_server import MetricsServer, Source
    from botkit.live.telling.view import TerminalView

_LOOK_EVERY_S = 20.0


class Told:
    """Makes what one configuration asks for, and tells of its bot through it. An async context manager.

    Making it checks everything: an address that no notifier understands, or a log that cannot be written, is a
    ConfigError before anything is traded.
    """

    def __init__(
        self,
        project: Project,
        mode: str,
        *,
        is_alone: bool = True,
        environ: Mapping[str, str] = os.environ,
        machine: Machine | None = None,
    ) -> None:
        """``is_alone``: no other bot runs in this process."""
        config = project.config
        machine = machine or this_machine()
        self.project = project
        self._background = machine.background
        self._secrets: set[str] = set()
        channels = self._channels(environ)
        self._secrets.update(_credentials(project, mode, environ))
        self.telling = Telling(
            channels,
            name=config.name if mode == "live" else f"{config.name} ({mode})",
            clock=SteadyClock.of(machine.clock),
            day_start=partial(day_start, zone=config.zone),
            redactor=Redactor(self._secrets),
            background=machine.background,
        )
        self.log: LogFile | None = None
        if config.log.file is not None:
            bot = None if is_alone else config.name
            self.log = LogFile(config.log.file, level=config.log.level, secrets=self._secrets, bot=bot)
        #: what the bot does, for the view of several
        self.state = "starting"
        #: told of everything that happens, beside the notifiers
        self.listeners: list[Callable[[str, str], None]] = []
        self._bot: Bot | None = None
        self._stack = contextlib.AsyncExitStack()

    def _channels(self, environ: Mapping[str, str]) -> list[Channel]:
        loaded, channels = self.project.loaded, []
        for index, section in enumerate(self.project.config.notify):
            place = f"notify.{index}"
            factory = self.project.plugins.pick("notifiers", section.use, loaded.where(f"{place}.use")).thing
            resolved = self._resolved(section.options, environ, place)
            try:
                policy, options = policy_of(section.level, resolved)
                channels.append(Channel(section.use, factory(options), policy))
            except (ValueError, TypeError) as error:
                raise loaded.error(place, Redactor(self._secrets).clean(str(error))) from None
        return channels

    def _resolved(self, value: Any, environ: Mapping[str, str], place: str) -> Any:
        """Options with every ``${NAME}`` filled in; what was filled in is a secret from here on."""
        if isinstance(value, dict):
            return {key: self._resolved(item, environ, f"{place}.{key}") for key, item in value.items()}
        if isinstance(value, list):
            return [self._resolved(item, environ, f"{place}.{index}") for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        text = resolve_text(self.project.loaded, environ, value, place)
        if text != value or "://" in text:  # an address of a notifier holds its token, filled in or not
            self._secrets.add(text)
        return text

    async def __aenter__(self) -> Told:
        async with contextlib.AsyncExitStack() as stack:
            if self.log is not None:
                stack.enter_context(self.log)
            if self.telling:
                self.telling.start()
                # in the background, so that the last messages hold up neither the loop nor a second Ctrl-C
                stack.push_async_callback(self._background.run, self.telling.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def follow(self, notices: Notices) -> None:
        """Tell of a bot that is about to start, from now on."""
        notices.listeners += [self.telling.tell, *self.listeners]
        task = asyncio.create_task(self._days(), name="daily summary")
        self._stack.push_async_callback(_ended, task)

    def started(self, bot: Bot) -> None:
        """The bot trades: there is something to look at."""
        self._bot = bot
        self.state = "running"
        bot.fills.listeners += [partial(tell, "info") for tell in (self.telling.tell, *self.listeners)]

    async def _days(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            bot = self._bot
            if bot is not None:
                self.telling.tell_of_the_day(lambda: "\n".join(summary_lines(summary_of(bot.standing()))))  # noqa: B023

    @property
    def is_running(self) -> bool:
        """True from the bot's start to its end."""
        return self._bot is not None and self.state in ("running", "stopping")

    def picture(self) -> Picture | None:
        """The bot as it stands, or as it stood when it ended; None before its start."""
        return None if self._bot is None else picture_of(self._bot.standing())


class Display:
    """What the bots of one process are shown in together: the terminal, and the metrics. An async context manager."""

    def __init__(
        self, tolds: Mapping[str, Told], zone: tzinfo, *, metrics_port: int | None, console: Console | None
    ) -> None:
        """``tolds`` by the bots' names. ``console`` is the terminal to draw in, None for plain lines (which the command
        itself prints). Raises ConfigError where the metrics lack their library."""
        self._tolds = tolds
        self.view: TerminalView | None = None
        self.metrics: MetricsServer | None = None
        if console is not None:
            from botkit.live.telling.view import TerminalView

            self.view = TerminalView(self._standings, console=console, zone=zone)
            for name, told in tolds.items():
                told.listeners.append(self.view.tell if len(tolds) == 1 else partial(self._tell, self.view, name))
        if metrics_port is not None:
            from botkit.live.telling.metrics_server import MetricsServer

            self.metrics = MetricsServer(self._sources(), port=metrics_port)
        self._stack = contextlib.AsyncExitStack()

    @staticmethod
    def _tell(view: TerminalView, name: str, level: str, text: str) -> None:
        view.tell(level, f"{name}: {text}")

    def _standings(self) -> Sequence[BotState]:
        return [BotState(name=name, state=told.state, picture=told.picture()) for name, told in self._tolds.items()]

    def _sources(self) -> Sequence[Source]:
        from botkit.live.telling.metrics_server import Source

        several = len(self._tolds) > 1
        return [
            Source(
                look=partial(_picture_while_running, told),
                added=told.project.plugins.metrics,
                bot=name if several else None,
            )
            for name, told in self._tolds.items()
        ]

    async def __aenter__(self) -> Display:
        async with contextlib.AsyncExitStack() as stack:
            if self.metrics is not None:
                await stack.enter_async_context(self.metrics)
            if self.view is not None:
                await stack.enter_async_context(self.view)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)


def _picture_while_running(told: Told) -> Picture | None:
    return told.picture() if told.is_running else None


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _credentials(project: Project, mode: str, environ: Mapping[str, str]) -> set[str]:
    """What must not stand in any output: of the one account that this mode uses."""
    section = "account" if mode == "live" else "emulator.account"
    try:
        account = resolve_account(project.loaded, environ, section=section)
    except ConfigError:
        return set()  # where the mode needs it, its own wiring says so
    return {account.key, account.secret}
