"""What a running bot does besides trading: it looks after itself, obeys commands, and says how it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botkit.live import capital, commands, settings
from botkit.live.breaker import Breaker
from botkit.live.journal_rows import JournalError
from botkit.live.journal_watch import JournalWatch
from botkit.live.telling.memory import MemoryWatch
from botkit.live.telling.summary import order_text, summary_of
from botkit.model.clock import NS_PER_HOUR, NS_PER_S, Nanos, format_time
from botkit.model.events import Fill
from botkit.model.money import format_units
from botkit.model.pairs import Pair

if TYPE_CHECKING:
    from botkit.live.bot import Bot

_LOOK_S = 0.2
_STATUS_S = 1.0
_LINE_S = 5.0
#: how often the books are compared with the exchange's: three reads a minute of limits in the hundreds
RECONCILE_EVERY: Nanos = 60 * NS_PER_S
EQUITY_EVERY: Nanos = 60 * NS_PER_S
#: final orders are remembered so long: four times as long as the exchange may still act on a request. A busy bot sends
#: 1,200 orders a minute of 2 kB each.
_REMEMBERED: Nanos = NS_PER_HOUR
_FORGET_EVERY: Nanos = NS_PER_HOUR // 6
_LATEST_FILLS = 20
#: a time of day that was moved by less is being corrected little by little, as it should be
_MOVED_S = 2.0


class Keeper:
    """Keeps one bot going until it is told to stop."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        #: shown to the user as it happens: fills, and a line on how things stand
        self.on_line: Callable[[str], None] = lambda text: None
        #: told of every fill in a sentence
        self.fill_listeners: list[Callable[[str], None]] = []
        self._stop = asyncio.Event()
        self._left = asyncio.Event()
        self._why = ""
        self._equity_at: Nanos = 0
        self._pruned_at: Nanos = 0
        self._dropped_told = 0
        self._breaker: Breaker | None = None
        self._moved_s = 0.0
        self._memory = MemoryWatch(bot.notices.tell)
        self._latest: list[str] = []
        self._reasons_kept: dict[tuple[str, str, str], int] = {}

    def request_stop(self, why: str) -> None:
        """Stop in order."""
        self._why = self._why or why
        self._stop.set()

    def leave_now(self) -> None:
        """Leave without waiting for anything; what is open stays open."""
        self._left.set()
        self._stop.set()

    async def run(self, duration_s: float | None) -> str:
        """Keep the bot until it is to stop; returns why: duration, signal, command, fault or left."""
        bot = self.bot
        driver, engine = bot.driver, bot.engine
        self._breaker = Breaker(
            engine,
            lambda reason: bot.halt("breaker", reason),
            resynchronise=self._connect_anew,
            speed=driver.clock.speed,
        )
        watch = JournalWatch(bot.journal, driver, bot.notices.tell)
        driver.observers.append(self._breaker.observe)
        engine.fill_observers.append(self._filled)
        until = None if duration_s is None else time.monotonic() + duration_s
        status_at = line_at = 0.0
        line_at = time.monotonic() + _LINE_S
        while not self._stop.is_set() and driver.fault is None:
            now = time.monotonic()
            bot.standstill.beat(driver.now())
            watch.look()
            if until is not None and now >= until:
                self._why = "duration"
                break
            self._obey()
            bot.look_at_latch()
            self._care(driver.now())
            if now >= status_at:
                status_at = now + _STATUS_S
                self._memory.look()
                self.write_status()
            if now >= line_at:
                line_at = now + _LINE_S
                self.on_line(self._line())
            wait_s = _LOOK_S if until is None else min(_LOOK_S, max(0.0, until - now))
            await self._sleep(wait_s)
        if self._left.is_set():
            return "left"
        return "fault" if driver.fault is not None else self._why

    async def _sleep(self, seconds: float) -> None:
        done, pending = await asyncio.wait(
            [asyncio.ensure_future(self._stop.wait()), asyncio.ensure_future(self.bot.driver.ended.wait())],
            timeout=seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        del done

    async def stop(self) -> None:
        """Stop the bot in order; a second request to leave ends the waiting."""
        self.bot.standstill.end()
        with contextlib.suppress(JournalError):
            self._keep_reasons(self.bot.driver.now())
        stopping = asyncio.ensure_future(self.bot.stop())
        leaving = asyncio.ensure_future(self._left.wait())
        await asyncio.wait([stopping, leaving], return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not stopping.done():
            stopping.cancel()
        await asyncio.gather(stopping, leaving, return_exceptions=True)
        if stopping.done() and not stopping.cancelled() and stopping.exception() is not None:
            raise stopping.exception()  # type: ignore[misc]

    # -- care -----------------------------------------------------------------------------------------------------

    def _care(self, now: Nanos) -> None:
        bot = self.bot
        engine = bot.engine
        bot.follow_markets()
        bot.decisions.flush()
        bot.inputs.flush()
        if now - bot.reconciled_at >= RECONCILE_EVERY * max(1, int(bot.driver.clock.speed)):
            bot.compare()
        bot.compare_if_suspected(now)
        if bot.bar_check.look(now):
            bot.driver.wake()
        assert self._breaker is not None
        quiet = self._breaker.look(bot.watched_books, now)
        if quiet:
            bot.driver.wake()
        if bot.driver.clock.speed == 1.0:
            self._breaker.skew(bot.parts.adapter.clock_skew_ms)
        self._watch_time_of_day()
        for alarm in engine.router.take_alarms():
            bot.notices.tell("warning", alarm.text)
        dropped = bot.driver.dropped_events
        if dropped != self._dropped_told:
            self._dropped_told = dropped
            bot.notices.tell("warning", f"{dropped} books were skipped: they came faster than the bot can look at them")
        with contextlib.suppress(JournalError):  # the driver tells of it, and holds new orders back
            self._keep(now)

    def _connect_anew(self, pair: Pair) -> None:
        self.bot.notices.tell(
            "warning",
            f"the stream showed no book of {pair} for long, though there is a new one; it was read, and the stream of "
            "books is connected anew",
        )
        self.bot.parts.adapter.reconnect("books")

    def _watch_time_of_day(self) -> None:
        drift = getattr(self.bot.driver.clock, "drift_ns", None)
        if drift is None:
            return
        moved_s = drift() / NS_PER_S
        if abs(moved_s - self._moved_s) >= _MOVED_S:
            self._moved_s = moved_s
            self.bot.notices.tell(
                "warning",
                f"this machine's time of day was set {abs(moved_s):,.0f} s {'forward' if moved_s > 0 else 'back'}; "
                "the bot goes on by its own count, which nobody sets. If that is the wrong one, the exchange's answers "
                "will show it, and starting anew mends it",
            )

    def _keep(self, now: Nanos) -> None:
        bot = self.bot
        portfolio = bot.engine.portfolio
        if now - self._equity_at >= EQUITY_EVERY:
            equity = portfolio.equity_units(None, portfolio.currency)
            self._equity_at = now
            if equity is not None:
                bot.journal.equity(now, portfolio.currency, equity)
            self._keep_reasons(now)
        if bot.opening_equity is None:
            bot.opening_equity = portfolio.equity_units(None, portfolio.currency)
        if now - self._pruned_at >= _FORGET_EVERY:
            has_more = bot.journal.prune(now, now - bot.parts.unfilled_kept_ns)
            self._pruned_at = now if not has_more else now - _FORGET_EVERY + NS_PER_S
            bot.engine.desk.forget_before(now - _REMEMBERED)

    def _keep_reasons(self, now: Nanos) -> None:
        """Write down why strategies did not trade since the last time, for `botkit why`."""
        rows = []
        for name, context in self.bot.engine.contexts.items():
            for kind, counts in (("skipped", context.skips), ("refused", context.refusals)):
                for reason, count in counts.items():
                    before = self._reasons_kept.get((name, kind, reason), 0)
                    if count > before:
                        rows.append((name, kind, reason, count - before))
                        self._reasons_kept[name, kind, reason] = count
        self.bot.journal.reasons(now, rows)

    # -- commands -------------------------------------------------------------------------------------------------

    def _obey(self) -> None:
        for path, document in commands.take(self.bot.parts.folder):
            try:
                ok, text = True, self._do(document)
            except (ValueError, KeyError, TypeError, JournalError) as error:
                ok, text = False, str(error)
            with contextlib.suppress(OSError):
                commands.answer(path, ok=ok, text=text)

    def _do(self, document: dict[str, Any]) -> str:
        bot = self.bot
        now = bot.driver.now()
        command = document["command"]
        if command == "stop":
            self.request_stop("command")
            return "stopping"
        if command in ("pause", "resume"):
            strategy = str(document["strategy"])
            (settings.pause if command == "pause" else settings.resume)(bot.engine, strategy)
            bot.journal.note(command, strategy, now)
            bot.driver.wake()
            return f"{strategy} is {'paused; its open orders are cancelled' if command == 'pause' else 'trading again'}"
        if command == "set":
            strategy, name = str(document["strategy"]), str(document["name"])
            value = settings.set_parameter(bot.engine, strategy, name, document["value"])
            bot.journal.parameter(strategy, name, document["value"], now)
            bot.decisions.note("set", now, f"{strategy}.{name}={value}")
            bot.driver.wake()
            return f"{strategy}.{name} is {value}"
        if command == "capital":
            told = capital.move(bot, str(document["strategy"]), dict(document["units"]))
            bot.driver.wake()
            return told
        raise ValueError(f"{command!r} is no command of this bot")

    # -- telling --------------------------------------------------------------------------------------------------

    def _filled(self, fill: Fill) -> None:
        rules = fill.pair.rules
        text = (
            f"{format_time(fill.time, self.bot.engine.zone)} {fill.order.strategy}: "
            f"{'bought' if fill.side.sign > 0 else 'sold'} {rules.amount_text(fill.lots)} {fill.pair.base} "
            f"at {rules.price_text(fill.price_ticks)} {fill.pair.quote}, {'maker' if fill.is_maker else 'taker'}, "
            f"fee {format_units(fill.fee_units)} {fill.fee_currency}"
        )
        self._latest = [*self._latest[-(_LATEST_FILLS - 1) :], text]
        self.on_line(text)
        for listener in self.fill_listeners:
            listener(text)

    def _line(self) -> str:
        summary = summary_of(self.bot)
        equity, pnl = summary["equity"], summary["pnl"]
        money = "" if equity is None else f", {equity:,.2f} {summary['currency']}"
        profit = "" if pnl is None else f" ({pnl:+,.2f})"
        prices = "  ".join(
            f"{m.pair} {m.last.price:,.8g}" for m in self.bot.engine.markets() if m.last.price is not None
        )
        when = format_time(self.bot.driver.now(), self.bot.engine.zone)
        counts = f"{summary['orders']} orders, {summary['fills']} fills, {summary['open_orders']} open"
        return f"{when} {counts}{money}{profit}  {prices}"

    def write_status(self, ended: str = "") -> None:
        """Let `botkit status` read how the bot is, or how it was when it ``ended``, and why."""
        bot = self.bot
        status = summary_of(bot, ended)
        status["time"] = bot.driver.now()
        status["latest_fills"] = self._latest
        status["streams"] = {" ".join(key).strip(): state.value for key, state in bot.connections.items()}
        status["limits"] = [
            {"pool": u.pool, "scope": u.scope.value, "held": u.held, "limit": u.limit, "per_s": u.per_s}
            for u in bot.engine.router.usage(bot.driver.now())
            if u.held
        ]
        status["reconciled"] = bot.reconciled_at
        status["address"] = list(bot.parts.address)
        status["journal_fault"] = bot.driver.journal_fault
        status["process"] = os.getpid()
        status["tasks"] = len(asyncio.all_tasks())
        with contextlib.suppress(OSError):  # on a full disk the bot goes on without
            bot.parts.folder.write_status(status)


__all__ = ["Keeper", "order_text"]
