"""Runs one of the bots that a command starts, from startup to the final summary. Several bots run concurrently without
affecting each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from botkit.errors import BotkitError
from botkit.live.bot import Bot
from botkit.live.collector import quiet_collector
from botkit.live.guard import Guarding, GuardProcess
from botkit.live.notices import Notices
from botkit.live.notifications.logs import CURRENT_BOT
from botkit.live.notifications.outputs import BotOutputs
from botkit.live.notifications.summary import order_text, summary_of
from botkit.live.parts import BotParts
from botkit.live.starting import OrphanChoice, start
from botkit.live.stopping import orders_at_stop, stop
from botkit.live.supervisor import Supervisor
from botkit.model.counts import counted

log = logging.getLogger("botkit.live")


class BotRun:
    """Starts one bot, keeps it running and stops it cleanly. Call `run` only once. The result is stored in `summary`,
    `failed`, `has_left_orders` and `has_stopped_strategies`.
    """

    def __init__(
        self,
        parts: BotParts,
        outputs: BotOutputs,
        *,
        config: Path,
        guard: Callable[[], GuardProcess] | None,
        orphans: OrphanChoice,
        say: Callable[[str], None],
        say_notice: Callable[[str, str], None] | None,
        shows_lines: bool,
    ) -> None:
        """``config`` is the bot's own file, which is named in messages. ``guard`` starts a guard process. None means no
        guard.

        ``say`` prints a line, and ``say_notice`` prints a line with its level. ``shows_lines`` means that fills and
        figures are printed as they arrive.
        """
        self.parts = parts
        self.outputs = outputs
        self._config = config
        self._guard = guard
        self.summary: dict[str, Any] = {"name": parts.name, "mode": parts.mode, "ended": ""}
        self.failed = False
        #: True if orders that should have been cancelled are still open
        self.has_left_orders = False
        #: True if a strategy was stopped early, by an exception or a loss limit
        self.has_stopped_strategies = False
        self._say = say
        self._orphans = orphans
        self._notices = Notices()
        self.supervisor = Supervisor()
        if say_notice is not None:
            self._notices.listeners.append(say_notice)
        self._shows_lines = shows_lines
        self._bot: Bot | None = None

    async def run(self, duration_s: float | None) -> None:
        """Run the bot from start to finish. Raises BotkitError if the bot cannot start, in which case nothing was
        traded.
        """
        # tasks started from here on run in this bot's context, so their log lines are attributed to it
        CURRENT_BOT.set(self.parts.name)
        outputs = self.outputs
        outputs.follow(self._notices)
        guarding: Guarding | None = None
        watching: asyncio.Task[None] | None = None
        in_order = False
        bot = self._bot = await start(self.parts, self._notices, orphans=self._orphans)
        try:
            opening = self._opening(bot)
            self._say(opening)
            self._say(self._ownership(bot))
            log.info("started: %s", opening)
            bot.fills.listeners.append(partial(log.info, "fill: %s"))
            lacks_coin = self.parts.lacks_coin(bot.view.money.account)
            if lacks_coin is not None:
                self._notices.tell("warning", lacks_coin)
            guarding = self._guarding()
            if guarding is not None:
                watching = asyncio.create_task(guarding.watch(), name="guard's guard")
            outputs.started(bot)
            if self._shows_lines:
                bot.fills.listeners.append(self._say)
                self.supervisor.on_line = self._say
            with quiet_collector():
                await self._keep(bot, duration_s)
            # unless the user chose not to wait, a guard keeps trying to cancel the orders that the bot could not cancel
            in_order = not self.failed and (not self.has_left_orders or self.summary["ended"] == "left")
        finally:
            if watching is not None:
                watching.cancel()
            await bot.close()
            if guarding is not None and in_order:
                guarding.end()

    async def run_beside_others(self, duration_s: float | None) -> None:
        """Run the bot like `run`, but never raise an exception, so that the other bots continue."""
        try:
            await self.run(duration_s)
        except BotkitError as error:
            self._fail(str(error))
        except Exception as error:  # a bug in botkit or a plugin stops only this bot
            log.exception("the bot %s has ended", self.parts.name)
            self._fail(f"{type(error).__name__}: {error}")

    def _fail(self, why: str) -> None:
        self.failed = True
        self.summary |= {"ended": "failed", "error": why}
        self.outputs.state = "failed"
        self._notices.tell("error", f"this bot has failed: {why}. The other bots continue")

    async def _keep(self, bot: Bot, duration_s: float | None) -> None:
        try:
            why = await self.supervisor.run(bot, duration_s)
        except Exception:
            # cancel the open orders, no matter what failed here
            with contextlib.suppress(Exception):
                await stop(bot)
            self.summary = summary_of(bot.standing(), "failed")
            self.supervisor.write_status(bot, "failed")
            raise
        fault = bot.driver.fault
        self.failed = fault is not None
        if why != "left":
            self.outputs.state = "stopping"
            self._say(f"stopping ({why}): {orders_at_stop(self.parts.on_stop)} ...")
            log.info("stopping (%s)", why)
            await self.supervisor.stop(bot)
        self.summary = summary_of(bot.standing(), why)
        self.supervisor.write_status(bot, why)
        self.has_stopped_strategies = bool(self.summary["stopped"])
        self._look_for_orders(bot)
        if fault is not None:
            self.summary |= {"error": repr(fault)}
            self._notices.tell("error", f"the bot failed with an internal error and has ended: {fault!r}")
        self.outputs.state = f"ended: {why}"
        log.info(
            "ended (%s): %s orders, %s fills, %s still open",
            *(why, self.summary["orders"], self.summary["fills"], self.summary["open_orders"]),
        )

    def _look_for_orders(self, bot: Bot) -> None:
        """Report orders that should have been cancelled but are still open. Orders on the embedded emulator are not
        reported, because they disappear with the emulator.
        """
        parts = self.parts
        left = [o for o in bot.remaining() if o.sent and parts.on_stop.get(o.strategy) != "keep"]
        self.has_left_orders = bool(left) and not parts.is_new_world
        if self.has_left_orders:
            self._notices.tell("error", self._left_open(len(left)))

    def _left_open(self, count: int) -> str:
        remedy = f"`botkit panic {self._config}` cancels them"
        return f"{counted(count, 'order')} may still be open at the exchange; {remedy}"

    def last_words(self) -> list[str]:
        """Return lines about the orders that stay open if the process ends without a stop. Reads only memory."""
        sent = [] if self._bot is None else [order for order in self._bot.remaining() if order.sent]
        lines = [f"{self.parts.name}: still open: {order_text(order)}" for order in sent]
        if sent and not self.parts.is_new_world:
            lines.append(f"{self.parts.name}: {self._left_open(len(sent))}")
        return lines

    def _guarding(self) -> Guarding | None:
        if self._guard is None:
            return None
        return Guarding(self._guard, partial(self._notices.tell, "warning"), self.parts.machine.clock)

    def _ownership(self, bot: Bot) -> str:
        """Describe what each strategy owns and which coins are unassigned, including the command that assigns
        unassigned coins.
        """
        found = bot.view.money.ownership(bot.elsewhere())
        remedy = found.remedy(None if self.parts.is_new_world else str(self._config))
        return found.sentence() + (f"; {remedy}" if remedy else "")

    def _opening(self, bot: Bot) -> str:
        parts = self.parts
        pairs = ", ".join(str(market.pair) for market in bot.view.markets()) or "no pairs"
        speed = f" at {parts.clock.speed:g}x" if parts.clock.speed != 1.0 else ""
        return f"{parts.name}: mode {parts.mode}{speed}, {pairs}; state in {parts.folder.path}; Ctrl-C stops"
