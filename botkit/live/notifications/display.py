"""The display that the bots of one process share: the terminal and the metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from botkit.live.notifications.metrics_server import MetricsServer, MetricsSource
from botkit.live.notifications.outputs import BotOutputs
from botkit.live.notifications.picture import BotState, Picture

if TYPE_CHECKING:  # imported only if it is needed
    from rich.console import Console

    from botkit.live.notifications.view import TerminalView


class Display:
    """The display that the bots of one process share: the terminal and the metrics. It is an async context manager."""

    def __init__(
        self, outputs: Mapping[str, BotOutputs], zone: tzinfo, *, metrics_port: int | None, console: Console | None
    ) -> None:
        """``outputs`` are keyed by the bots' names. ``console`` is the terminal to draw on. None means plain lines,
        which the command itself prints. Raises ConfigError if the metrics library is missing.
        """
        self._outputs = outputs
        self.view: TerminalView | None = None
        self.metrics: MetricsServer | None = None
        if console is not None:
            from botkit.live.notifications.view import TerminalView

            self.view = TerminalView(self._standings, console=console, zone=zone)
            for name, output in outputs.items():
                output.listeners.append(self.view.tell if len(outputs) == 1 else partial(self._tell, self.view, name))
        if metrics_port is not None:
            self.metrics = MetricsServer(self._sources(), port=metrics_port)
        self._stack = contextlib.AsyncExitStack()

    @staticmethod
    def _tell(view: TerminalView, name: str, level: str, text: str) -> None:
        view.tell(level, f"{name}: {text}")

    def _standings(self) -> Sequence[BotState]:
        return [
            BotState(name=name, state=output.state, picture=output.picture()) for name, output in self._outputs.items()
        ]

    def _sources(self) -> Sequence[MetricsSource]:
        several = len(self._outputs) > 1
        return [
            MetricsSource(
                look=partial(_picture_while_running, output),
                added=output.metrics,
                bot=name if several else None,
            )
            for name, output in self._outputs.items()
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


def _picture_while_running(output: BotOutputs) -> Picture | None:
    return output.picture() if output.is_running else None
