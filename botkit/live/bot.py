"""A running bot: its engine, its driver, and the services it offers to the user.

`botkit.live.starting.start` creates the bot with all its parts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial

from botkit.engine.engine import Engine
from botkit.engine.outcome import Outcome
from botkit.engine.outcome_parts import Reply
from botkit.live.claims import Claims
from botkit.live.comparing import Comparisons
from botkit.live.driver import LiveDriver
from botkit.live.hand_set import configured_values
from botkit.live.journal import Journal
from botkit.live.journal_losses import Unjournaled
from botkit.live.journal_rows import JournalError
from botkit.live.journal_watch import JournalWatch
from botkit.live.latch import Latch
from botkit.live.latencies import Latencies
from botkit.live.limits.leases import SharedLimits
from botkit.live.notices import Notices
from botkit.live.notifications.fills import FillNews
from botkit.live.notifications.lines import Lines
from botkit.live.notifications.messages import Messages
from botkit.live.notifications.minutes import Minutes
from botkit.live.notifications.order_news import OrderNews
from botkit.live.notifications.outcome_news import tell_failures
from botkit.live.notifications.page_feed import PageFeed
from botkit.live.notifications.stream_news import StreamNews
from botkit.live.page_files import PageFiles
from botkit.live.parts import BotParts
from botkit.live.persistence import Persistence
from botkit.live.refused_key import KEY_HALT, REFUSED_STATUS, key_refused
from botkit.live.run_files import RunFiles
from botkit.live.standing import Standing
from botkit.live.standstill import Standstill
from botkit.live.streams import Streams
from botkit.live.watchdog import Blocked, Watchdog
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import BalanceReport, Connection, ConnectionState
from botkit.model.inputs import AccountEvents, Input
from botkit.model.orders import FINAL_STATES, Order
from botkit.model.requests import Answer, Ending

log = logging.getLogger("botkit.live")


class Bot:
    """A bot, from its first contact with the exchange until it stops. It also acts as the `Listener` of its driver."""

    def __init__(
        self,
        parts: BotParts,
        notices: Notices,
        engine: Engine,
        journal: Journal,
        persistence: Persistence,
        files: RunFiles,
        shared: SharedLimits | None,
    ) -> None:
        """``shared`` contains the rate-limit windows that this bot shares with other bots, or None if it shares
        none.
        """
        self.parts = parts
        self.notices = notices
        self.journal = journal
        self.persistence = persistence
        self.files = files
        self.shared = shared
        self.view = engine.view
        #: the values of the strategies' parameters in the configuration
        self.configured = configured_values(self.view.strategies())
        self.fills = FillNews(parts.zone)
        self.started_at: Nanos = 0
        self.opening_equity: int | None = None
        #: number of responses for each outcome
        self.outcomes: dict[Ending, int] = {}
        #: set when a turn completes a step that startup is waiting for
        self.happened = asyncio.Event()
        self.start_failures: list[str] = []
        #: finds orders of the last run that arrive after the start; None if the journal cannot have lost any
        self.unjournaled: Unjournaled | None = None
        self.compare_refusal: str | None = None
        #: set when the exchange rejects the key
        self.key_refused = asyncio.Event()
        #: the claims of this and other bots on the account; None on the embedded emulator, which no other bot uses
        self.claims = None if parts.is_new_world else Claims(parts.folder)
        self._order_news = OrderNews(notices.tell)
        self._tells_orders = False
        self.watchdog = Watchdog(self._blocked, clock=parts.machine.clock, background=parts.machine.background)
        self.journal_watch = JournalWatch(journal, notices.tell)
        self.comparisons = Comparisons(notices, self.note, say=self.say, others=parts.siblings, speed=parts.clock.speed)
        self.standstill = Standstill(self._woke, lambda: self.comparisons.began, speed=parts.clock.speed)
        about = {"bot": parts.name, "mode": parts.mode, "speed": parts.clock.speed}
        self.latencies = Latencies(files.folder, parts.folder.disk, about=about)
        self.driver = LiveDriver(
            engine,
            parts.adapter,
            parts.clock,
            persistence,
            files.recording,
            parts.folder,
            listener=self,
            gate=self._gate,
            watchdog=self.watchdog,
        )
        self.latch = Latch(
            parts.folder, journal, notices, configured=self.view.names(), say=self.say, now=self.driver.now
        )
        self.page = self._page_feed(files)
        self.streams = Streams(parts.adapter, self.driver.sink, StreamNews(notices.tell))

    def _page_feed(self, files: RunFiles) -> PageFeed:
        parts, disk = self.parts, self.parts.folder.disk
        minutes = Minutes(files.folder, disk, partial(self.notices.tell, "warning"))
        lines = Lines(files.folder, disk, partial(self.notices.tell, "warning"))
        messages = Messages(files.folder, disk, self.driver.now)
        files.recording.on_trade = minutes.saw
        self.notices.listeners.append(messages.tell)
        return PageFeed(
            PageFiles(parts.folder.path, disk),
            minutes,
            lines,
            messages,
            clock=parts.machine.clock,
            control=parts.page_control,
        )

    def say(self, given: Input) -> Reply:
        """Pass a stage or a command to the engine. Raises ConfigError if a stage does not match the configuration."""
        return self.driver.say(given)

    # -- watching the driver --------------------------------------------------------------------------------------

    def went_in(self, given: Input, now: Nanos) -> None:
        """Record that an input is about to be processed."""
        self.latencies.went_in(given, now)
        if type(given) is Answer:
            self.outcomes[given.outcome] = self.outcomes.get(given.outcome, 0) + 1
            if given.status == REFUSED_STATUS and given.outcome is Ending.REFUSED:
                self._refuse_key(f"{given.status} {given.text}")
        elif type(given) is AccountEvents:
            self._compare_if_wrong(given, now)
        elif type(given) is Connection:
            if given.is_refused:
                self._refuse_key(given.detail.partition(";")[0])
            # read what was missed while the stream was disconnected; the first comparison of a start reads it anyway
            if self.streams.changed(given) and self.comparisons.has_begun:
                self.driver.soon(self.comparisons.at_once)
            if given.pair is None and given.state is ConnectionState.STALE:
                self.comparisons.suspect(now)

    def _refuse_key(self, words: str) -> None:
        """Stop sending requests that need the key. Halt a running bot until the user resumes it."""
        if self.driver.key_refusal is not None:
            return
        self.driver.key_refusal = why = key_refused(words, self.parts.address[0])
        self.key_refused.set()
        self.happened.set()
        if self.started_at:
            self.driver.soon(lambda: self.latch.set(KEY_HALT, why))  # the halt must not be set within the current turn

    def _compare_if_wrong(self, given: AccountEvents, now: Nanos) -> None:
        # A comparison books an unexplained balance change as a deposit or withdrawal. A frame that merely arrived out
        # of order must not cause this.
        for event in given.events:
            if type(event) is BalanceReport and self.started_at and not self.view.has_live_orders:
                account = self.view.money.account
                if any(total != account.get(currency, 0) for currency, (total, _) in event.balances.items()):
                    self.comparisons.suspect(now)

    def came_out(self, out: Outcome, now: Nanos) -> None:
        """Process the results of a turn."""
        if out.requests or out.fills:
            self.latencies.came_out(out.requests, out.fills, now)
        if self._tells_orders:
            for order, state in out.states:
                self._order_news.changed(order, state)
        for fill in out.fills:
            self.fills.filled(fill)
        for note in out.notes:
            self.notices.tell(note.level, note.text, is_logged=note.is_logged)
            if note.kind:
                self.note(note.kind, note.text)
        if out.failures:
            self.start_failures += tell_failures(out.failures, self.notices)
        if (out.comparisons or out.compare_failures) and self.comparisons.came_out(out, now):
            self.driver.soon(self.comparisons.at_once)
        if out.comparisons and self.unjournaled is not None and self.started_at:
            for text in self.unjournaled.news(self.view.foreign_orders(), self.view.orders()):
                self.notices.tell("error", text)
        for why, ending in out.compare_failures:
            if ending is Ending.REFUSED:
                self.compare_refusal = f"{why}. Nothing was traded; check the address, the key and this machine's clock"
            elif ending is Ending.OK:  # the account does not cover the capital
                self.compare_refusal = f"{why.removesuffix('.')}. Nothing was traded"
        for pair in out.resynchronise:
            self.notices.tell(
                "warning",
                f"the order book of {pair} changed, but its stream stayed silent; the book was fetched over REST, and "
                f"the stream is reconnecting",
            )
            self.streams.reconnect("books")
        for halt in out.halts:
            self.latch.remember(halt.kind, halt.reason)
        if out.comparisons or out.compare_failures:
            self.happened.set()

    def looked(self, now: Nanos) -> None:
        """Do periodic work after a pass, once its requests have been handed over for sending."""
        self.latencies.settle()
        self.streams.tell(now)
        self.latch.keep(self.view.halts)
        for strategy, why in self.persistence.take_unwritable():
            self.notices.tell("error", f"self.state of {strategy!r} would not survive a restart: {why}")
        if self.shared is not None and self.driver.journal_fault is not None:
            self.shared.disown()  # from this point on, cancels and reads are sent without being journaled
        if self.view.is_trading and not self.happened.is_set():
            self.happened.set()

    def _gate(self, now: Nanos) -> str | None:
        return self.journal_watch.gate() or self.standstill.gate(now)

    # -- services to the user ------------------------------------------------------------------------------------

    def tell_of_orders(self) -> None:
        """Start reporting orders whose outcome is unknown. Existing orders of this kind are included."""
        self._tells_orders = True
        for order in self.view.open_orders():
            self._order_news.changed(order, order.state)

    def follow_markets(self) -> None:
        """Open the streams of the pairs that the strategies watch or trade, and of the pairs used for valuation."""
        self.streams.follow(self.view.streams(), self.parts.valuation_pairs)

    def _woke(self, slept_s: float) -> None:
        self.notices.tell(
            "warning",
            f"the bot was suspended for {slept_s:,.0f} s (the machine slept, or the process was stopped); it is "
            f"reconnecting, and sends no new orders until it is reconciled with the exchange",
        )
        self.note("standstill", f"{slept_s:.0f} s")
        self.streams.reconnect()  # otherwise a dead connection would go unnoticed for half a minute
        self.driver.soon(self.comparisons.at_once)

    def note(self, kind: str, text: str) -> None:
        """Add a note to the journal. Errors are ignored here, because JournalWatch reports journal failures."""
        with contextlib.suppress(JournalError):
            self.journal.note(kind, text, self.driver.now())

    def keep_claim(self) -> None:
        """Update this bot's claim, which other bots on the account read. If the disk is full, the previous claim stays
        in force.
        """
        if self.claims is not None and self.started_at:
            with contextlib.suppress(OSError):
                self.claims.update(self.view.money.pooled, self.view.money.holdings(None))

    def elsewhere(self) -> dict[str, int]:
        """Return the coins in the account that are owned by other running bots, in units by currency."""
        return {} if self.claims is None else self.claims.elsewhere()

    def _blocked(self, blocked: Blocked) -> None:
        # runs on the watchdog's own thread, because a callback that never returns would block the loop
        level = logging.ERROR if blocked.is_of_plugin else logging.WARNING
        log.log(level, "%s\n%s", blocked, blocked.stack.rstrip())
        self.notices.tell(blocked.level, str(blocked))

    # -- figures --------------------------------------------------------------------------------------------------

    def remaining(self) -> list[Order]:
        """Return this bot's orders that may still be at the exchange."""
        return [order for order in self.view.open_orders() if order.state not in FINAL_STATES]

    @property
    def uptime_s(self) -> float:
        """Seconds since the start, measured by the bot's clock."""
        return (self.driver.now() - self.started_at) / NS_PER_S if self.started_at else 0.0

    def standing(self) -> Standing:
        """Return the bot's current state."""
        driver = self.driver
        lost = self.streams.lost()
        return Standing(
            name=self.parts.name,
            mode=self.parts.mode,
            view=self.view,
            now=driver.now(),
            uptime_s=self.uptime_s,
            opening_equity=self.opening_equity,
            lost_streams=tuple(lost),
            connected_streams=len(self.streams.connections) - len(lost),
            rate_limited=self.outcomes.get(Ending.RATE_LIMITED, 0),
            faults=tuple(text for text in (driver.journal_fault, str(driver.fault) if driver.fault else None) if text),
            turns=driver.turns,
            journal_sha256=self.files.decisions.sha256(),
        )

    # -- the end --------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Release all resources. Orders are left as they are, so call `botkit.live.stopping.stop` first to cancel
        them.
        """
        await self.driver.close()
        self.watchdog.stop()
        if self.shared is not None:
            await self.shared.stop()
        try:
            await self.parts.adapter.close()
        except Exception:
            log.exception("the connections did not close cleanly")
        self.latencies.save()
        self.files.close()
        self.page.close()
        self.journal.close()
        self.parts.folder.unlock()
