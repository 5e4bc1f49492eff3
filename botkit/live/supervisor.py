"""Keeps a bot running: health checks, commands and status reports."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from botkit.live import capital, commands
from botkit.live.bot import Bot
from botkit.live.by_hand import place_of, tell_paused, tell_resumed, tell_set
from botkit.live.hand_set import origin
from botkit.live.journal import REMEMBERED
from botkit.live.journal_rows import JournalError
from botkit.live.notifications.memory import MemoryWatch
from botkit.live.notifications.page_feed import spelled
from botkit.live.notifications.summary import summary_of
from botkit.live.notifications.unvalued_fees import unvalued_fees_sentence
from botkit.live.page_control import refusal
from botkit.live.panic import hold_back, outcome_of, own_orders, panic
from botkit.live.refused_key import key_ends_soon
from botkit.live.stopping import stop
from botkit.model.clock import NS_PER_HOUR, NS_PER_S, Nanos, format_time, to_datetime
from botkit.model.counts import counted
from botkit.model.figures import fixed, money_figure
from botkit.model.inputs import CancelByHand, Forget, Pause, Resume, SetParameter
from botkit.model.money import UNIT, format_units

log = logging.getLogger("botkit.live")

_LOOK_S = 0.2
_STATUS_S = 1.0
_LINE_S = 5.0
_REASONS_EVERY: Nanos = 60 * NS_PER_S
_FORGET_EVERY: Nanos = NS_PER_HOUR // 6
#: maximum difference between the machine's clock and the exchange's clock; the exchange's timestamps are whole seconds,
#: and its tolerance is unpublished
SKEW_MS_MAX = 5_000
#: a smaller change in the wall clock is a normal gradual correction
_MOVED_S = 2.0


class Supervisor:
    """Keeps one bot running until a stop is requested."""

    def __init__(self) -> None:
        #: called with a status line for the user every few seconds
        self.on_line: Callable[[str], None] = lambda text: None
        self._stop = asyncio.Event()
        self._left = asyncio.Event()
        self._why = ""
        self._beat_at: Nanos = 0
        self._reasons_at: Nanos = 0
        self._pruned_at: Nanos = 0
        self._dropped_told = 0
        self._moved_s = 0.0
        self._key_told: int | None = None
        self._reasons_kept: dict[tuple[str, str, str], int] = {}
        self._panics: set[asyncio.Task[None]] = set()

    def request_stop(self, why: str) -> None:
        """Request an orderly stop."""
        self._why = self._why or why
        self._stop.set()

    def leave_now(self) -> None:
        """Exit immediately, without waiting. Open orders stay open."""
        self._left.set()
        self._stop.set()

    async def run(self, bot: Bot, duration_s: float | None) -> str:
        """Run the bot until it should stop. Return the reason: duration, signal, command, fault or left."""
        driver, machine = bot.driver, bot.parts.machine
        memory = MemoryWatch(bot.notices.tell, read=machine.resident_bytes)
        now_s = machine.clock.monotonic_s
        status_at = now_s()
        line_at = status_at + _LINE_S
        until = None if duration_s is None else status_at + duration_s
        ends = [asyncio.ensure_future(self._stop.wait()), asyncio.ensure_future(driver.ended.wait())]
        try:
            while not self._stop.is_set() and driver.fault is None:
                now = now_s()
                bot.standstill.beat(driver.now())
                bot.journal_watch.look(driver.journal_fault)
                if until is not None and now >= until:
                    self._why = "duration"
                    break
                self._obey(bot)
                bot.latch.look()
                self._care(bot, driver.now())
                if now >= status_at:
                    status_at = now + _STATUS_S
                    memory.look()
                    self.beat(bot)
                    self.write_status(bot)
                    bot.keep_claim()
                    self._look_for_strike(bot)
                if now >= line_at:
                    line_at = now + _LINE_S
                    self.on_line(_line(bot))
                wait_s = _LOOK_S if until is None else min(_LOOK_S, max(0.0, until - now))
                await asyncio.wait(ends, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in (*ends, *self._panics):
                end.cancel()
            await asyncio.gather(*ends, *self._panics, return_exceptions=True)
        if self._left.is_set():
            return "left"
        return "fault" if driver.fault is not None else self._why

    async def stop(self, bot: Bot) -> None:
        """Stop the bot cleanly. `leave_now` cuts the wait short."""
        bot.standstill.end()
        with contextlib.suppress(JournalError):
            self._keep_reasons(bot, bot.driver.now())
        stopping = asyncio.ensure_future(stop(bot))
        leaving = asyncio.ensure_future(self._left.wait())
        while not stopping.done() and not leaving.done():
            self.beat(bot)  # a stop may take longer than a guard's patience
            await asyncio.wait([stopping, leaving], timeout=_STATUS_S, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not stopping.done():
            stopping.cancel()
        await asyncio.gather(stopping, leaving, return_exceptions=True)
        if stopping.done() and not stopping.cancelled() and stopping.exception() is not None:
            raise stopping.exception()  # type: ignore[misc]

    # -- health checks --------------------------------------------------------------------------------------------

    def _care(self, bot: Bot, now: Nanos) -> None:
        bot.follow_markets()
        bot.files.flush()
        bot.page.flush()
        bot.comparisons.look(now)
        self._watch_clock(bot)
        self._watch_time_of_day(bot)
        dropped = bot.driver.dropped_events
        if dropped != self._dropped_told:
            self._dropped_told = dropped
            what = "1 book was skipped because it" if dropped == 1 else f"{dropped:,} books were skipped because they"
            bot.notices.tell("warning", f"{what} arrived faster than the bot can process books")
        with contextlib.suppress(JournalError):  # the journal watch reports this and blocks new orders
            self._keep(bot, now)
        bot.persistence.fill()

    @staticmethod
    def _watch_clock(bot: Bot) -> None:
        """Halt if the exchange's responses show that this machine's clock and the exchange's clock differ too much."""
        skew_ms = bot.parts.adapter.clock_skew_ms
        if bot.driver.clock.speed != 1.0 or skew_ms is None or abs(skew_ms) <= SKEW_MS_MAX:
            return
        if bot.view.halted is None:
            way = "ahead of" if skew_ms > 0 else "behind"
            # a restart is needed, because the bot reads the machine's wall time only once, at startup
            bot.latch.set(
                "breaker",
                f"this machine's clock is {abs(skew_ms):,} ms {way} the exchange's; set it, restart the bot, then "
                "resume",
            )

    def _watch_time_of_day(self, bot: Bot) -> None:
        moved_s = bot.driver.clock.drift_ns() / NS_PER_S
        if abs(moved_s - self._moved_s) >= _MOVED_S:
            self._moved_s = moved_s
            bot.notices.tell(
                "warning",
                f"this machine's clock was set {abs(moved_s):,.0f} s {'forward' if moved_s > 0 else 'back'}; the "
                f"bot's own clock is unaffected. If the bot's clock is the wrong one, the exchange's responses will "
                f"show it; then restart the bot",
            )

    @staticmethod
    def _look_for_strike(bot: Bot) -> None:
        """Check whether a guard considered this bot or its previous run dead."""
        strike = bot.parts.folder.take_strike()
        if strike is None:
            return
        # the guard has only this machine's clock, in which the bot's other lines are not if its emulator runs faster
        clock = " by this machine's clock" if bot.parts.mode == "emulator" else ""
        text = (
            f"the guard cancelled {strike.cancelled} of this bot's orders at "
            f"{format_time(strike.time, bot.parts.zone)}{clock}, after the bot had been silent for "
            f"{strike.silent_s:,.0f} s"
        )
        bot.notices.tell("warning", f"{text}; the bot is reconciled with the exchange")
        bot.note("guard", text)
        bot.comparisons.at_once()

    def _keep(self, bot: Bot, now: Nanos) -> None:
        money = bot.view.money
        if now - self._reasons_at >= _REASONS_EVERY:
            self._reasons_at = now
            self._tell_of_key(bot, now)
            self._keep_reasons(bot, now)
            bot.latencies.save()
            if money.has_peaks:
                bot.persistence.keep_books()
        # a price that is still to come makes fees of earlier runs a loss, which is not this run's
        if bot.opening_equity is None and not money.fees.awaits_price:
            bot.opening_equity = money.equity()
        if now - self._pruned_at >= _FORGET_EVERY:
            self._pruned_at = now
            if bot.journal.filling is not None:
                bot.journal.filling.prune_beside(now, now - bot.parts.unfilled_kept_ns)
            bot.say(Forget(now - REMEMBERED))

    def _tell_of_key(self, bot: Bot, now: Nanos) -> None:
        created = bot.parts.key_day
        if created is None:
            return
        found = key_ends_soon(created, to_datetime(now, bot.parts.zone).date(), self._key_told)
        if found is not None:
            text, self._key_told = found
            bot.notices.tell("warning", text)

    def _keep_reasons(self, bot: Bot, now: Nanos) -> None:
        """Record in the journal why strategies did not trade since the last call, for `botkit why`."""
        rows = []
        for strategy in bot.view.strategies():
            name = strategy.name
            for kind, counts in (("skipped", strategy.skips), ("refused", strategy.refusals)):
                for reason, count in counts.items():
                    before = self._reasons_kept.get((name, kind, reason), 0)
                    if count > before:
                        rows.append((name, kind, reason, count - before))
                        self._reasons_kept[name, kind, reason] = count
        bot.journal.reasons(now, rows)

    # -- commands -------------------------------------------------------------------------------------------------

    def _obey(self, bot: Bot) -> None:
        for path, document in commands.take(bot.parts.folder):
            why_not = refusal(bot, document) or _unusable(document)
            if why_not is not None:
                _answer(bot, path, ok=False, text=why_not)
                continue
            if document["command"] == "panic":
                task = asyncio.create_task(self._panic(bot, path), name="panic")
                self._panics.add(task)
                task.add_done_callback(self._panics.discard)
                continue
            try:
                ok, text = True, self._do(bot, document)
            except (ValueError, KeyError, TypeError, JournalError) as error:
                ok, text = False, str(error)
            except Exception as error:  # whatever a file contains, the bot must stay watched
                log.exception("the command %r failed", document["command"])
                ok, text = False, f"{type(error).__name__}: {error}"
            _answer(bot, path, ok=ok, text=text)

    async def _panic(self, bot: Bot, path: Path) -> None:
        """Cancel every order on the account, for a process that does not have the account's key. As in `botkit panic`,
        the halt is set first.
        """
        said: list[str] = []
        parts = bot.parts
        try:
            is_held = hold_back(parts.folder, bot.driver.now(), said.append)
            bot.latch.look()
            if parts.mode == "paper":
                said.append("the bot cancels its own orders; a paper account has no others")
            else:
                async with parts.outside_router(hurries=True, say=said.append) as sender:
                    own, can = own_orders(bot.journal), parts.adapter.capabilities
                    result = await panic(sender, own, own_only=False, can=can, say=said.append)
                said.append(outcome_of(result, is_held=is_held))
                if result.left or result.left is None:
                    raise ValueError("\n".join(said))
        except Exception as error:
            log.exception("a panic failed")
            _answer(bot, path, ok=False, text=str(error) or type(error).__name__)
        else:
            _answer(bot, path, ok=True, text="\n".join(said))

    def _do(self, bot: Bot, document: dict[str, Any]) -> str:
        now = bot.driver.now()
        command, place = document["command"], place_of(document)
        if command == "stop":
            self.request_stop("command")
            return "stopping"
        if command in ("pause", "resume"):
            strategy = str(document["strategy"])
            reply = bot.say(Pause(strategy) if command == "pause" else Resume(strategy))
            if reply.refusal is not None:
                raise ValueError(reply.refusal)
            bot.journal.note(command, strategy, now)
            if command == "pause":
                tell_paused(bot, strategy, place)
                return f"{strategy} is paused; its open orders are being cancelled"
            tell_resumed(bot, strategy, place)
            if bot.view.halted is not None:
                return f"{strategy} is not paused any more, but the bot is halted: {bot.view.halted}"
            return f"{strategy} is trading again"
        if command == "set":
            strategy, name = str(document["strategy"]), str(document["name"])
            before = _parameter(bot, strategy, name)
            reply = bot.say(SetParameter(strategy, name, document["value"]))
            if reply.refusal is not None:
                raise ValueError(reply.refusal)
            documents = origin(strategy, name, bot.configured, now)
            bot.journal.parameter(strategy, name, document["value"], now, documents=documents)
            tell_set(bot, f"{strategy}.{name}", before, _parameter(bot, strategy, name), place)
            return f"{strategy}.{name} is {reply.value}"
        if command == "cancel":
            client_id = int(document["order"])
            if not 0 < client_id < 2**63:  # what a recording can hold
                raise ValueError(f"{client_id} is not the client id of an order")
            reply = bot.say(CancelByHand(client_id))
            if reply.refusal is not None:
                raise ValueError(reply.refusal)
            bot.journal.note(command, f"order {client_id}", now)
            return f"order {client_id} is being cancelled"
        if command == "capital":
            target, units = str(document["strategy"]), dict(document["units"])
            return capital.move(bot, target, units, document.get("cost_e8"), place=place)
        raise ValueError(f"{command!r} is not a command of this bot")

    def beat(self, bot: Bot) -> None:
        """Update the heartbeat that shows the guard that the bot is alive."""
        wall = bot.parts.machine.clock.wall_ns()
        # two successive timestamps must differ, even if the wall clock is stopped or set back
        self._beat_at = wall if wall != self._beat_at else wall + NS_PER_S
        with contextlib.suppress(OSError):  # the guard tests the disk itself before it considers the bot dead
            bot.parts.folder.beat(self._beat_at)

    # -- reporting ------------------------------------------------------------------------------------------------

    def write_status(self, bot: Bot, ended: str = "") -> None:
        """Write the current status for `botkit status`, or the final status with the reason why the bot ``ended``. Also
        publish the state for the live page if the page is being viewed.
        """
        standing = bot.standing()
        status = summary_of(standing, ended)
        status["time"] = bot.driver.now()
        status["beat"] = self._beat_at
        status["latest_fills"] = bot.fills.latest
        status["streams"] = {" ".join(key).strip(): state.value for key, state in bot.streams.connections.items()}
        status["limits"] = [
            {"pool": u.pool, "scope": u.scope.value, "held": u.held, "limit": u.limit, "per_s": u.per_s}
            for u in bot.view.router.usage(bot.driver.now())
            if u.held
        ]
        status["reconciled"] = bot.comparisons.ended
        status["timezone"] = str(bot.parts.zone)
        status["since"] = bot.started_at
        opening = standing.opening_equity
        status["opening_equity"] = None if opening is None else opening / UNIT
        money = bot.view.money
        day = money.day_pnl()
        status["day_pnl"] = None if day is None else day / UNIT
        status["balances"] = {
            currency: {"total": format_units(units), "unassigned": format_units(money.unassigned.get(currency, 0))}
            for currency, units in money.account.items()
            if units
        }
        #: profits are measured from each strategy's first start, in the pair's quote currency
        status["profits"] = [
            {
                "strategy": name,
                "pair": str(p.pair),
                "quote": p.pair.quote,
                "realised": p.realised,
                "unrealised": p.unrealised,
            }
            for name in bot.view.names()
            for p in money.positions(name)
        ]
        status["parameters"] = {
            strategy.name: {name: spelled(value) for name, value in strategy.parameters.items()}
            for strategy in bot.view.strategies()
        }
        status["address"] = list(bot.parts.address)
        status["journal_fault"] = bot.driver.journal_fault
        status["journal_waiting"] = bot.journal.filling.waiting if bot.journal.filling is not None else 0
        status["process"] = os.getpid()
        status["tasks"] = len(asyncio.all_tasks())
        log_file = bot.parts.log_file
        status["log_file"] = None if log_file is None else str(log_file.absolute())
        status["page_hosts"] = list(bot.parts.page_hosts)
        with contextlib.suppress(OSError):  # on a full disk, the bot continues without a status file
            bot.parts.folder.write_status(status)
        bot.page.saw(bot.view, bot.driver.now(), status["equity"], status["pnl"])
        if ended or bot.page.is_viewed():
            bot.page.publish(standing, bot.journal.run, status)


def _parameter(bot: Bot, strategy: str, name: str) -> str:
    values = {found.name: found.parameters for found in bot.view.strategies()}.get(strategy, {})
    return spelled(values.get(name))


def _unusable(document: dict[str, Any]) -> str | None:
    """Return the reason why a command cannot become an input, or None. An input that cannot be recorded would stop the
    bot.
    """
    try:
        msgspec.msgpack.encode(document)
    except (ValueError, OverflowError, RecursionError) as error:
        return f"the command contains a value that cannot be recorded ({error})"
    return None


def _answer(bot: Bot, path: Path, *, ok: bool, text: str) -> None:
    with contextlib.suppress(OSError):
        commands.answer(bot.parts.folder, path, ok=ok, text=text)


def _line(bot: Bot) -> str:
    summary = summary_of(bot.standing())
    equity, pnl = summary["equity"], summary["pnl"]
    money = "" if equity is None else f", {money_figure(equity)} {summary['currency']}"
    profit = "" if pnl is None else f" ({money_figure(pnl, signed=True)})"
    unvalued = unvalued_fees_sentence(summary["unvalued_fees"])
    prices = "  ".join(
        f"{m.pair} {fixed(m.last, m.pair.rules.price_decimals)}" for m in bot.view.markets() if m.last is not None
    )
    when = format_time(bot.driver.now(), bot.parts.zone)
    counts = (
        f"{counted(summary['orders'], 'order')}, {counted(summary['fills'], 'fill')}, {summary['open_orders']:,} open"
    )
    return f"{when} {counts}{money}{profit}  {prices}" + (f"  {unvalued}" if unvalued else "")
