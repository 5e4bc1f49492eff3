"""One running bot: started, kept, and stopped.

lock the folder -> read the journal -> probe what the strategies subscribe to -> follow the account's streams
-> compare the books with the exchange's -> read history -> on_start -> follow the market -> trade
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from botkit.engine.decisions import DecisionLog
from botkit.engine.orders.reconcile import Reconciliation
from botkit.engine.router.router import SentBefore
from botkit.engine.turn import Engine, StrategyFailure
from botkit.errors import ConfigError
from botkit.live.bar_check import BarCheck
from botkit.live.driver import Driver
from botkit.live.history import History
from botkit.live.inputs import Inputs
from botkit.live.journal import Journal
from botkit.live.journal_rows import JournalError
from botkit.live.limits.protocol import LedgerUnreachable
from botkit.live.limits.succession import disown_with_a_broken_journal, keep_identity, predecessor
from botkit.live.orphans import StartRefused, end_orphans
from botkit.live.parts import Parts
from botkit.live.persistence import Persistence, without_locks
from botkit.live.settings import set_parameter
from botkit.live.standstill import Standstill
from botkit.live.state_folder import Halt
from botkit.live.stopping import stop_in_order
from botkit.live.telling.order_news import OrderNews
from botkit.live.telling.stream_news import CONNECTED, StreamNews
from botkit.live.watchdog import Blocked, Watchdog
from botkit.model.clock import NS_PER_HOUR, NS_PER_S, Nanos
from botkit.model.events import BalanceReport, Connection, ConnectionState
from botkit.model.limits import SlotsChanged
from botkit.model.money import format_units
from botkit.model.orders import FINAL_STATES, LIVE_STATES, Order, OrderState
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, GetBalances, Outcome

log = logging.getLogger("botkit.live")

#: streams of the account that must be connected before anything is compared
_ACCOUNT_STREAMS = 4
_CONNECT_S = 20.0
_ASK_AGAIN_S = 1.0
_RECONCILE_S = 60.0
#: between something suspicious and the comparison that it leads to
_SUSPECTED_FOR: Nanos = 2 * NS_PER_S
_SUSPECTED_EVERY: Nanos = 10 * NS_PER_S
#: a comparison that failed so often is told of
_FAILURES_TOLD = 3
#: final orders are remembered this long, to recognise what arrives late
_REMEMBERED: Nanos = 2 * NS_PER_HOUR
_WINDOWS: Nanos = 2 * NS_PER_HOUR
_BOOK_DEPTH = 5


class Notices:
    """What the user is told, in order; whoever shows it subscribes, and may be called from any thread."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[str, str], None]] = []

    def tell(self, level: str, text: str) -> None:
        """One sentence: level info, warning, error or breaker."""
        number = {"info": logging.INFO, "warning": logging.WARNING}.get(level, logging.ERROR)
        log.log(number, "%s", text)
        for listener in self.listeners:
            listener(level, text)


class Bot:
    """A bot from its lock to its summary. ``adopt`` and ``cancel_orphans``: what to do with orders of strategies that
    are no longer in the configuration."""

    def __init__(self, parts: Parts, *, orphans: Literal["refuse", "adopt", "cancel"] = "refuse") -> None:
        self.parts = parts
        self.notices = Notices()
        self.orphans = orphans
        self.engine: Engine
        self.driver: Driver
        self.journal: Journal
        self.persistence: Persistence
        self.bar_check: BarCheck
        self.decisions: DecisionLog
        #: what enters the engine, for `botkit replay`
        self.inputs: Inputs
        self.began: Nanos = 0
        self.started_at: Nanos = 0
        self.reconciled_at: Nanos = 0
        self.connections: dict[tuple[str, str], ConnectionState] = {}
        self.watched_books: dict[Pair, int] = {}
        self.watched_trades: set[Pair] = set()
        self.watched_tickers: set[Pair] = set()
        self.reconciliation: Reconciliation | None = None
        self.opening_equity: int | None = None
        #: answers by their outcome
        self.outcomes: dict[Outcome, int] = {}
        self._failures_told = 0
        self._order_news = OrderNews(self.notices.tell)
        self._stream_news = StreamNews(self.notices.tell)
        self._failing: Reconciliation | None = None
        #: when a stream said something because of which the books may be wrong
        self.suspected_at: Nanos | None = None
        self._orphan_orders: list[Order] = []
        self._latched = False
        self._halt_to_write: Halt | None = None
        self._halts: dict[str, str] = {}
        self._connected = asyncio.Event()
        self._watchdog: Watchdog | None = None
        self._file: Any = None

    # -- starting -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Everything up to the first market event. Raises BotkitError; then nothing was traded."""
        parts = self.parts
        parts.folder.lock()
        if parts.is_new_world:
            for suffix in ("", "-wal", "-shm"):
                (parts.folder.path / f"journal.sqlite{suffix}").unlink(missing_ok=True)
            parts.folder.clear_halt()
        self.journal = Journal.open(parts.folder.journal)
        await parts.adapter.open()
        self.began = now = parts.clock.now()
        balances = await self._opening_balances()
        wanted = self._probe(balances)
        history = History()
        first_id, ids_until = self._client_ids()
        self._run_folder.mkdir(parents=True, exist_ok=True)
        self._file = (self._run_folder / "decisions.jsonl").open("wb")
        self.decisions = DecisionLog(self._keep_decisions)
        self.engine = parts.engine(self.decisions, history, first_id, parts.clock.now)
        self.inputs = Inputs(
            self.engine,
            self._run_folder,
            {**parts.recorded_as(), "first_client_id": first_id},
            shared=parts.shared,
            bytes_max=parts.recording_bytes_max,
            tell=lambda text: self.notices.tell("warning", text),
        )
        self.persistence = persistence = Persistence(self.engine, self.journal, ids_until, parts.random)
        persistence.on_unwritable = self._state_unwritable
        self._watchdog = Watchdog(self._blocked)
        self.driver = Driver(self.engine, parts.adapter, parts.clock, persistence, parts.folder, self._watchdog)
        self.standstill = Standstill(self._woke, self._compared_at, speed=parts.clock.speed)
        self.driver.gate = self.standstill.gate
        self.bar_check = BarCheck(self.engine, self._tell_of_bars, speed=parts.clock.speed)
        self.driver.observers += [self._observe, self.bar_check.observe]
        self.driver.after_turns += [self._after_turns, lambda now: self.inputs.settle()]
        at_start = SentBefore(endpoint=GetBalances.endpoint, sent=now, answered=parts.clock.now())
        self.engine.router.cool_down([at_start], now)
        await self._share_limits(now)
        if not parts.is_new_world:  # what earlier runs sent still counts in the exchange's windows
            self.engine.router.cool_down(self.journal.sends_since(now - _WINDOWS), now)
        self._restore(now, balances)
        parts.adapter.watch(self.driver.sink, account=True)
        try:
            await asyncio.wait_for(self._connected.wait(), _CONNECT_S)
        except TimeoutError:
            troubles = self._stream_news.summary()
            raise StartRefused(
                f"the account's streams did not connect within {_CONNECT_S:.0f} s ({troubles or 'without a word'}); "
                "nothing was traded. Check the address and the key"
            ) from None
        orphans, self._orphan_orders = self._orphan_orders, []
        await end_orphans(self, orphans)
        await self._reconcile_at_start(first=not self.engine.portfolio.account)
        await history.read(wanted, self.driver.ask, self.driver.now())
        for pair in self.engine.portfolio.prices:
            price = history.last_price(self.parts.pairs[pair])
            if price is not None:
                self.engine.portfolio.mark(self.parts.pairs[pair], price)
        self._latch_at_start()
        self.started_at = self.driver.now()
        self._watchdog.start()
        self.driver.start()
        self.follow_markets()
        self._after_turns(self.started_at)

    def _client_ids(self) -> tuple[int, int]:
        """The first client id, and one past the last that is reserved."""
        parts = self.parts
        first, until = self.journal.lease_ids(parts.random)
        if parts.client_ids is not None:
            apart = parts.client_ids.claim(parts.name, first, parts.random)
            if apart != first:
                return self.journal.lease_ids(parts.random, after=apart)
        return first, until

    async def _opening_balances(self) -> BalanceReport:
        async with self.parts.aside() as reads:
            for attempt in range(3):
                answer: Answer = await reads.send(GetBalances(id=-1 - attempt))
                if answer.outcome is Outcome.OK and isinstance(answer.body, BalanceReport):
                    return answer.body
                if answer.outcome is Outcome.REFUSED:
                    break
                await asyncio.sleep(_ASK_AGAIN_S)
        why = answer.text or answer.outcome.value
        raise StartRefused(f"the account's balances cannot be read: {why}. Nothing was traded; {_remedy(answer)}")

    def _probe(self, balances: BalanceReport) -> dict[tuple[Pair, str], int]:
        """Run ``on_start`` on a bot that is thrown away: its questions for history must be answered before the real
        one asks them. Nothing it orders is sent."""
        questions = History()
        engine = self.parts.engine(DecisionLog(), questions, 1, self.parts.clock.now)
        self._restore_books(engine, balances)
        # each strategy's own logger: disabling their parent would not silence them
        loggers = [context.log.logger for context in engine.contexts.values()]
        for logger in loggers:
            logger.disabled = True
        try:
            engine.start(self.parts.clock.now())
        finally:
            for logger in loggers:
                logger.disabled = False
        if engine.failures:
            failure = engine.failures[0]
            raise StartRefused(f"strategy {failure.strategy!r} cannot start: {_failure_text(failure)}")
        wanted = dict(questions.wanted)
        if not engine.markets() and engine.timers.next_due() is None:
            self.notices.tell("warning", "no strategy subscribed to anything or set a timer in on_start")
        # a price to value things by, from before the first trade
        for pair in [*map(self._pair, engine.portfolio.prices)]:
            wanted.setdefault((pair, "1m"), 1)
        return {key: max(count, 1) for key, count in wanted.items()}

    def _pair(self, name: str) -> Pair:
        return self.parts.pairs[name]

    def _restore_books(self, engine: Engine, balances: BalanceReport) -> None:
        document = self.journal.meta("portfolio")
        try:
            if document is None:
                engine.portfolio.open({currency: available for currency, (_, available) in balances.balances.items()})
                # what stands in orders that are not ours belongs to no strategy
                engine.portfolio.on_balances(balances, self.began, quiet=True)
            else:
                engine.portfolio.restore(without_locks(json.loads(document)))
        except ValueError as error:
            raise ConfigError(str(error)) from None
        for name, context in engine.contexts.items():
            document = self.journal.meta(f"strategy:{name}")
            if document is not None:
                context.recall(json.loads(document))
        for strategy, name, value in self.journal.parameters():
            if strategy in engine.contexts:
                with contextlib.suppress(ValueError):
                    set_parameter(engine, strategy, name, value, tell=False)

    def _restore(self, now: Nanos, balances: BalanceReport) -> None:
        engine = self.engine
        if self.journal.meta("portfolio") is None:
            return  # opened when the account's own picture has been taken in whole
        self._restore_books(engine, balances)
        pairs = dict(self.parts.pairs)
        orphans = []
        for order in self.journal.orders(pairs, since=now - _REMEMBERED):
            if order.strategy not in engine.contexts:
                if order.state in LIVE_STATES:
                    orphans.append(order)
                continue
            if order.state is OrderState.QUEUED:
                continue
            executed = [(fill.price_ticks, fill.lots) for fill in self.journal.fills(order.client_id)]
            engine.restore(order, executed, now)
        self._orphans(orphans)

    def _orphans(self, orphans: list[Order]) -> None:
        if not orphans:
            return
        names = ", ".join(sorted({order.strategy for order in orphans}))
        if self.orphans == "refuse":
            raise StartRefused(
                f"{len(orphans)} open orders belong to {names}, which the configuration has no more. Put the strategy "
                "back, or start once with --cancel (end them) or --adopt (leave them standing, as foreign orders)"
            )
        self._orphan_orders = orphans

    async def _share_limits(self, now: Nanos) -> None:
        """Join the other processes that count into the same windows. Nothing is sent before."""
        shared = self.parts.shared
        before = predecessor(self.journal, now - _WINDOWS)
        keep_identity(self.journal, shared)
        if shared is None:
            return

        def on_change(change: SlotsChanged) -> None:
            self.engine.router.slots_changed(change)
            self.driver.wake()

        shared.on_change = on_change
        shared.on_notice = lambda text, good: self.notices.tell("info" if good else "warning", text)
        try:
            await shared.start()
        except LedgerUnreachable as error:
            raise StartRefused(str(error)) from None
        if before is not None:
            await shared.succeed(before)
        disown_with_a_broken_journal(self.driver, shared)

    async def _reconcile_at_start(self, *, first: bool) -> None:
        found: list[BalanceReport] = []

        def on_balances(report: BalanceReport, now: Nanos) -> None:
            found.append(report)
            if first:
                self._restore_books(self.engine, report)
            else:
                self._take_balances(report, now)

        comparison = Reconciliation(self.engine, self.driver.now(), on_balances)
        self.driver.wake()
        waited = 0.0
        while not comparison.is_done:
            await asyncio.sleep(0.02)
            waited += 0.02
            if self.driver.fault is not None:
                raise StartRefused(f"the bot met a fault of its own while comparing: {self.driver.fault!r}")
            if waited > _RECONCILE_S:
                why = comparison.failures[-1] if comparison.failures else "some orders could not be read"
                raise StartRefused(f"the books could not be compared with the exchange's: {why}")
        self.reconciled_at = self.driver.now()
        self._explain(comparison)

    def _take_balances(self, report: BalanceReport, now: Nanos) -> None:
        engine = self.engine
        quiet = not any(order.state in LIVE_STATES for order in engine.desk.all_open())
        for found in engine.portfolio.on_balances(report, now, quiet=quiet):
            if found.adopted_units:
                self.notices.tell(
                    self._foreign_level,
                    f"{found.currency}: {format_units(found.adopted_units)} came or went by other hands than this "
                    f"bot's{self._or_siblings}; it counts as unassigned",
                )

    @property
    def _foreign_level(self) -> str:
        """How loudly to say that somebody else used the account: another bot of this process is no reason to worry."""
        return "info" if self.parts.siblings else "warning"

    @property
    def _or_siblings(self) -> str:
        return f" ({', '.join(self.parts.siblings)} trade there too)" if self.parts.siblings else ""

    def _tell_differences(self, comparison: Reconciliation) -> None:
        for difference in comparison.differences:
            if difference.kind == "balance" and self.parts.siblings:
                # the account moves with every fill of theirs; a shortage is told of all the same, and halts
                log.debug("%s", difference.text)
                continue
            self.notices.tell("warning", difference.text)
            self._note("difference", difference.text)

    def _explain(self, comparison: Reconciliation) -> None:
        self._tell_differences(comparison)
        unknown = [o for o in self.engine.desk.all_open() if o.state is OrderState.UNKNOWN]
        for order in unknown:
            self._order_news.changed(order)
        self.engine.order_observers.append(self._order_news.changed)
        if comparison.foreign:
            rows = list(self.engine.foreign_orders.values())[:5]
            shown = "; ".join(f"{r.order_id} {r.side.value} {r.pair}" for r in rows)
            self.notices.tell(
                "info", f"{comparison.foreign} open orders are not this bot's and will not be touched: {shown}"
            )

    def _latch_at_start(self) -> None:
        halt = self.parts.folder.halt()
        if halt is not None:
            self.notices.tell(
                "error",
                f"halted ({halt.kind}): {halt.reason}. No new orders; `botkit resume` lifts it",
            )
            self._latched = True
            self.engine.halt(halt.reason)
        for strategy, reason in json.loads(self.journal.meta("halts") or "{}").items():
            if strategy in self.engine.contexts:
                self.notices.tell("warning", f"{strategy} is halted: {reason}; `botkit resume` lets it trade")
                self.engine.risk.halt(strategy, reason)
                self._halts[strategy] = reason

    def _keep_halts(self) -> None:
        """Halts of strategies (a loss, or by hand) outlive the process, as the bot's own does."""
        halts = {level: reason for level, reason in self.engine.risk.halts.items() if level is not None}
        if halts != self._halts:
            self._halts = halts
            with contextlib.suppress(JournalError):
                self.journal.put_meta({"halts": json.dumps(halts)})

    def look_at_latch(self) -> None:
        """Another process may have set the latch, or lifted it."""
        self._write_halt()
        if self._halt_to_write is not None:
            return
        halt = self.parts.folder.halt()
        if halt is not None and not self._latched:
            self._latched = True
            self.notices.tell("breaker", f"halted ({halt.kind}): {halt.reason}. Open orders are cancelled")
            self.engine.halt(halt.reason)
            self.driver.wake()
        elif halt is None and self._latched:
            self._latched = False
            self.engine.resume(None, self.driver.now())
            self.notices.tell("info", "the halt was lifted; the bot trades again")

    # -- following ------------------------------------------------------------------------------------------------

    def follow_markets(self) -> None:
        """Open the streams of what the strategies subscribed to or trade, and of the pairs that value things.

        A market order is held against the visible book, so a pair that is traded has one, whoever subscribed to what.
        """
        wanted = {pair: _BOOK_DEPTH for share in self.engine.portfolio.shares for pair in share.pairs}
        wanted |= {market.pair: market.book_depth or _BOOK_DEPTH for market in self.engine.markets()}
        tickers = [m.pair for m in self.engine.markets() if m.ticker_listeners and m.pair not in self.watched_tickers]
        # a deeper book asked for later needs a stream of its own; the shallower one goes on and does no harm
        books = {pair: depth for pair, depth in wanted.items() if self.watched_books.get(pair, 0) < depth}
        traded = [*wanted, *self.parts.valuation_pairs]
        trades = [pair for pair in dict.fromkeys(traded) if pair not in self.watched_trades]
        if books or trades or tickers:
            self.watched_books.update(books)
            self.watched_trades.update(trades)
            self.watched_tickers.update(tickers)
            self.parts.adapter.watch(self.driver.sink, books=books, trades=trades, tickers=tickers, account=False)

    def _tell_of_bars(self, level: str, text: str) -> None:
        self.notices.tell(level, text)
        with contextlib.suppress(JournalError):
            self.journal.note("bars", text, self.driver.now())

    def _observe(self, event: Any, now: Nanos) -> None:
        if type(event) is Answer:
            self.outcomes[event.outcome] = self.outcomes.get(event.outcome, 0) + 1
        elif type(event) is BalanceReport:
            account = self.engine.portfolio.account
            wrong = any(total != account.get(currency, 0) for currency, (total, _) in event.balances.items())
            if wrong and self.driver.started and not self.engine.desk.has_live:
                self.suspect(now)  # it is adopted as others' doing, which a frame that was overtaken is not
        if type(event) is not Connection:
            return
        key = (event.stream, str(event.pair or ""))
        before = self.connections.get(key)
        self.connections[key] = event.state
        if event.pair is None:
            states = [state for (_, pair), state in self.connections.items() if not pair]
            if sum(state in CONNECTED for state in states) >= _ACCOUNT_STREAMS:
                self._connected.set()
            if before in (ConnectionState.LOST, ConnectionState.STALE) and event.state in CONNECTED:
                self.compare()  # whatever the stream would have said meanwhile is read
            if event.state is ConnectionState.STALE:
                self.suspect(now)
        self._stream_news.changed(event)

    def suspect(self, now: Nanos) -> None:
        """The books may be wrong: compare them soon, when what is under way has come."""
        if self.suspected_at is None:
            self.suspected_at = now

    def compare_if_suspected(self, now: Nanos) -> None:
        """Compare the books where `suspect` asked for it a moment ago."""
        if self.suspected_at is None or now < self.suspected_at + _SUSPECTED_FOR:
            return
        # somebody who trades by hand on the account all the time leaves the reads their room
        if now >= self.reconciled_at + _SUSPECTED_EVERY and self.compare():
            self.suspected_at = None

    def compare(self) -> bool:
        """Compare the books with the exchange's; False where that is being done already."""
        if not self.driver.started or (self.reconciliation is not None and not self.reconciliation.is_done):
            return False
        self.reconciliation = Reconciliation(self.engine, self.driver.now(), self._take_balances)
        self.driver.wake()
        return True

    def _woke(self, slept_s: float) -> None:
        self.notices.tell(
            "warning",
            f"the bot stood still for {slept_s:,.0f} s (the machine slept, or the process was stopped); it connects "
            "anew and sends no new order until its books are compared with the exchange's",
        )
        self._note("standstill", f"{slept_s:.0f} s")
        reconnect = getattr(self.parts.adapter, "reconnect", None)
        if reconnect is not None:
            reconnect()  # a connection that died meanwhile would show nothing for half a minute more
        if not self.compare():  # one is under way, from before
            self.suspect(self.driver.now())

    def _compared_at(self) -> Nanos:
        comparison = self.reconciliation
        return comparison.began if comparison is not None and comparison.is_done else 0

    def _after_turns(self, now: Nanos) -> None:
        engine = self.engine
        self._stream_news.tell(now)
        for failure in engine.failures[self._failures_told :]:
            self._failures_told += 1
            self.notices.tell("error", f"strategy {failure.strategy!r} was stopped: {_failure_text(failure)}")
        messages, engine.messages = engine.messages, []
        for level, text in messages:
            self.notices.tell(level, text)
        if engine.halted is not None and not self._latched:
            self.halt("loss", engine.halted)
        if self._halts or engine.risk.halts:
            self._keep_halts()
        comparison = self.reconciliation
        if comparison is not None and comparison is not self._failing and len(comparison.failures) >= _FAILURES_TOLD:
            self._failing = comparison
            self.notices.tell(
                "warning",
                f"the books cannot be compared with the exchange's: {comparison.failures[-1]}; it is tried again every "
                "second, and until then the streams alone are believed",
            )
        if comparison is not None and comparison.is_done and self.reconciled_at < comparison.began:
            self.reconciled_at = now
            if comparison is self._failing:
                self.notices.tell("info", "the books were compared with the exchange's again")
            self._tell_differences(comparison)

    def halt(self, kind: str, reason: str) -> None:
        """Set the durable latch, take no new orders, cancel what is open."""
        self._latched = True
        self.engine.halt(reason)
        self.driver.wake()
        self.notices.tell("breaker", f"halted: {reason}. Open orders are cancelled; `botkit resume` lifts it")
        self._halt_to_write = Halt(kind=kind, reason=reason, time=self.driver.now())
        self._write_halt()
        if self._halt_to_write is not None:
            self.notices.tell(
                "error",
                f"the halt could not be written to {self.parts.folder.path}: it is tried again, and until then a "
                "restart would forget it",
            )
        self._note("halt", reason)

    def _write_halt(self) -> None:
        halt = self._halt_to_write
        if halt is not None:
            with contextlib.suppress(OSError):
                self.parts.folder.set_halt(halt)
                self._halt_to_write = None

    def _note(self, kind: str, text: str) -> None:
        """Keep it for later; a journal that fails is told of elsewhere, and nothing else may fail by it."""
        with contextlib.suppress(JournalError):
            self.journal.note(kind, text, self.driver.now())

    def _blocked(self, blocked: Blocked) -> None:
        # from the watchdog's own thread: a callback that never ends would keep it from the loop's
        log.error("%s\n%s", blocked, blocked.stack.rstrip())
        self.notices.tell("error", str(blocked))

    def _state_unwritable(self, strategy: str, why: str) -> None:
        self.notices.tell("error", f"self.state of {strategy!r} cannot be kept for a restart: {why}")

    def _keep_decisions(self, block: bytes) -> None:
        if self.inputs.is_full or self._file is None:
            return
        try:
            self._file.write(block)
        except OSError as error:
            self._end_decisions()
            self.notices.tell("warning", f"decisions.jsonl of this run can no longer be written: {error}")

    def _end_decisions(self) -> None:
        file, self._file = self._file, None
        with contextlib.suppress(OSError):  # what it holds back may not fit on the disk
            if file is not None:
                file.close()

    @property
    def _run_folder(self) -> Path:
        """Where this run's decisions, and what led to them, are written."""
        return self.parts.folder.path / "runs" / str(self.journal.run)

    # -- stopping -------------------------------------------------------------------------------------------------

    async def stop(self, *, wait_s: float = 15.0) -> None:
        """Stop the strategies, then do with their orders what the configuration says, and wait for their ends."""
        await stop_in_order(self, wait_s)

    async def close(self) -> None:
        """Let go of everything. Safe to call whatever happened before."""
        if self._watchdog is not None:
            self._watchdog.stop()
        if self.parts.shared is not None:
            await self.parts.shared.stop()
        with contextlib.suppress(Exception):
            await self.parts.adapter.close()
        if hasattr(self, "decisions"):
            self.decisions.flush()
        if hasattr(self, "inputs"):
            self.inputs.close()
        self._end_decisions()
        if hasattr(self, "journal"):
            self.journal.close()
        self.parts.folder.unlock()

    # -- figures --------------------------------------------------------------------------------------------------

    def remaining(self) -> list[Order]:
        """Our orders that may still stand at the exchange."""
        return [order for order in self.engine.desk.all_open() if order.state not in FINAL_STATES]

    @property
    def uptime_s(self) -> float:
        """Seconds of the bot's clock since it started."""
        return (self.driver.now() - self.started_at) / NS_PER_S if self.started_at else 0.0


def _remedy(answer: Answer) -> str:
    """What to do when the first read fails."""
    if answer.outcome is Outcome.NOT_SENT:
        return (
            "check the address and the network, and for a certificate also this machine's clock: there is no switch "
            "to trust a bad one"
        )
    if answer.outcome is Outcome.REFUSED:
        return "check the address, the key and this machine's clock"
    return "the exchange or the way to it is at fault: start again in a minute"


def _failure_text(failure: StrategyFailure) -> str:
    return f"{failure.error} in {failure.callback} at {failure.where}\n{failure.text.rstrip()}"


class Ended(msgspec.Struct, frozen=True):
    """How a run ended: "duration", "signal", "command", "fault"."""

    why: str
