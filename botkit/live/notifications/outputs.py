"""Sends a running bot's messages and figures to its notifiers, log file, metrics and views."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType

from botkit.live.bot import Bot
from botkit.live.clock import SteadyClock
from botkit.live.notices import Notices
from botkit.live.notifications.logs import LogFile, Redactor
from botkit.live.notifications.notify import Channel, Notifications, TakesCommands
from botkit.live.notifications.picture import Picture, picture_of
from botkit.live.notifications.summary import summary_lines, summary_of
from botkit.live.ports import Machine
from botkit.model.clock import Nanos

_LOOK_EVERY_S = 20.0


class BotOutputs:
    """The configured outputs of one bot. It is an async context manager."""

    def __init__(
        self,
        channels: Sequence[Channel],
        *,
        title: str,
        day_start: Callable[[Nanos], Nanos],
        redactor: Redactor,
        machine: Machine,
        log: LogFile | None = None,
        metrics: Callable[[dict[str, float]], Mapping[str, float]] = lambda figures: {},
    ) -> None:
        """``title`` is the heading of each message. ``metrics`` returns additional figures from plugins."""
        self.log = log
        self.metrics = metrics
        self._background = machine.background
        self.notifications = Notifications(
            channels,
            name=title,
            clock=SteadyClock.of(machine.clock),
            day_start=day_start,
            redactor=redactor,
            background=machine.background,
        )
        #: the state of the bot, for the view of several bots
        self.state = "starting"
        #: called with every message, in addition to the notifiers
        self.listeners: list[Callable[[str, str], None]] = []
        self._commanded = [one.notifier for one in channels if isinstance(one.notifier, TakesCommands)]
        self._machine = machine
        self._bot: Bot | None = None
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> BotOutputs:
        async with contextlib.AsyncExitStack() as stack:
            if self.log is not None:
                stack.enter_context(self.log)
            if self.notifications:
                self.notifications.start()
                # closed in the background, so that sending the last messages delays neither the loop nor a second
                # Ctrl-C
                stack.push_async_callback(self._background.run, self.notifications.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def follow(self, notices: Notices) -> None:
        """Start reporting on a bot that is about to start."""
        notices.listeners += [self.notifications.tell, *self.listeners]
        task = asyncio.create_task(self._days(), name="daily summary")
        self._stack.push_async_callback(_ended, task)

    def started(self, bot: Bot) -> None:
        """Record that the bot is trading, so that its state can be shown."""
        self._bot = bot
        self.state = "running"
        bot.fills.listeners += [partial(tell, "info") for tell in (self.notifications.tell, *self.listeners)]
        for notifier in self._commanded:
            listening = notifier.listen(bot.parts.folder, self._machine, bot.notices.tell)
            if listening is not None:
                self._stack.push_async_callback(self._background.run, listening.close)

    async def _days(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            bot = self._bot
            if bot is not None:
                self.notifications.tell_of_the_day(lambda: "\n".join(summary_lines(summary_of(bot.standing()))))  # noqa: B023

    @property
    def is_running(self) -> bool:
        """True from the bot's start until it has stopped."""
        return self._bot is not None and self.state in ("running", "stopping")

    def picture(self) -> Picture | None:
        """Return the bot's current picture, its last picture after it has stopped, or None before its start."""
        return None if self._bot is None else picture_of(self._bot.standing())


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
