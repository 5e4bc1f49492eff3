"""Everything by which a running bot tells its user something: log file, notifiers, metrics, the view in a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from botkit.assembly import Project, day_start
from botkit.config.secrets import resolve_account, resolve_text
from botkit.errors import ConfigError
from botkit.live.clock import SteadyClock
from botkit.live.logs import LogFile, Redactor
from botkit.live.notify import Channel, Telling, policy_of
from botkit.live.summary import summary_lines, summary_of

if TYPE_CHECKING:
    from rich.console import Console

    from botkit.live.bot import Bot
    from botkit.live.keeper import Keeper
    from botkit.live.metrics_server import MetricsServer
    from botkit.live.picture import Picture
    from botkit.live.view import TerminalView

_LOOK_EVERY_S = 20.0


class Told:
    """Makes what the configuration asks for, and shows one bot through it. An async context manager.

    Making it checks everything: an address that no notifier understands, or a log that cannot be written, is a
    ConfigError before anything is traded.
    """

    def __init__(
        self,
        project: Project,
        mode: str,
        *,
        metrics_port: int | None = None,
        console: Console | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """``console`` is the terminal to draw in, None for plain lines (which the command itself prints)."""
        config = project.config
        self._project = project
        self._secrets: set[str] = set()
        channels = self._channels(environ)
        self._secrets.update(_credentials(project, mode, environ))
        self.telling = Telling(
            channels,
            name=config.name if mode == "live" else f"{config.name} ({mode})",
            clock=SteadyClock(),
            day_start=partial(day_start, zone=config.zone),
            redactor=Redactor(self._secrets),
        )
        self.log = LogFile(config.log.file, level=config.log.level, secrets=self._secrets) if config.log.file else None
        self.view: TerminalView | None = None
        self.metrics: MetricsServer | None = None
        if console is not None:
            from botkit.live.view import TerminalView

            self.view = TerminalView(self._look, console=console, zone=config.zone)
        if metrics_port is not None:
            from botkit.live.metrics_server import MetricsServer

            self.metrics = MetricsServer(self._look, port=metrics_port, added=project.plugins.metrics)
        self._bot: Bot | None = None
        self._stack = contextlib.AsyncExitStack()

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
        text = resolve_text(self._project.loaded, environ, value, place)
        if text != value or "://" in text:  # an address of a notifier holds its token, filled in or not
            self._secrets.add(text)
        return text

    async def __aenter__(self) -> Told:
        async with contextlib.AsyncExitStack() as stack:
            if self.log is not None:
                stack.enter_context(self.log)
            if self.telling:
                self.telling.start()
                # in a thread, so that the last messages hold up neither the loop nor a second Ctrl-C
                stack.push_async_callback(asyncio.to_thread, self.telling.close)
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

    def follow(self, bot: Bot, keeper: Keeper) -> None:
        """Tell of this bot from now on."""
        bot.notices.listeners.append(self.telling.tell)
        keeper.fill_listeners.append(lambda text: self.telling.tell("info", text))
        if self.view is not None:
            bot.notices.listeners.append(self.view.tell)
            keeper.fill_listeners.append(partial(self.view.tell, "info"))
        task = asyncio.create_task(self._days(bot), name="daily summary")
        self._stack.push_async_callback(_ended, task)

    def started(self, bot: Bot) -> None:
        """The bot trades: there is something to look at."""
        self._bot = bot

    async def _days(self, bot: Bot) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if self._bot is not None:
                self.telling.tell_of_the_day(lambda: "\n".join(summary_lines(summary_of(bot))))

    def _look(self) -> Picture | None:
        from botkit.live.picture import picture_of

        return None if self._bot is None else picture_of(self._bot)


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
