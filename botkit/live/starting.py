"""Starts a bot in stages. Each stage returns the data that the next stage needs. Nothing is traded before the last
stage.

    open      lock the folder, read the journal, open the connections for sending
    make      create the engine with its driver, the recording, and the windows shared with other bots
    follow    count the journal in the pairs' present ticks and lots
    restore   restore the state of earlier runs: books, orders, strategies' state, halts
    connect   connect the account's streams
    settle    reconcile with the exchange, then cancel or adopt the orders of strategies no longer configured
    claim     claim the coins that the bot owns in the account, after a comparison with other bots
    begin     run on_start, read the history, run on_ready
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from botkit.live.abandoned import abandoned
from botkit.live.bot import Bot
from botkit.live.claims import ClaimRefused
from botkit.live.connecting import connect
from botkit.live.hand_set import still_set
from botkit.live.journal import REMEMBERED
from botkit.live.journal_decimals import follow_decimals
from botkit.live.journal_faults import commits_lost
from botkit.live.journal_losses import Unjournaled, write_off
from botkit.live.journal_rows import JournalError
from botkit.live.latch import halts_of
from botkit.live.limits.protocol import LedgerUnreachable
from botkit.live.limits.succession import keep_identity, predecessor
from botkit.live.notices import Notices
from botkit.live.notifications.summary import standstill_of
from botkit.live.opening import Opened, losses_of, open_bot
from botkit.live.parts import BotParts
from botkit.live.persistence import Persistence, without_locks
from botkit.live.refused_key import KEY_HALT
from botkit.live.run_files import RunFiles
from botkit.live.start_refused import StartRefused
from botkit.live.state_folder import JOURNAL_HALT
from botkit.live.uses import Uses
from botkit.model.clock import NS_PER_HOUR, Nanos
from botkit.model.counts import counted
from botkit.model.inputs import (
    Begin,
    BookedExecution,
    CancelOrphans,
    LeaveOrphans,
    Restore,
    RestoredOrder,
    Resume,
    SentBefore,
)
from botkit.model.money import format_units
from botkit.model.orders import FINAL_STATES, LIVE_STATES, Order, OrderState

#: startup is aborted after this many consecutive requests, one second apart, for which no connection could be made
_UNREACHABLE_MAX = 3
_SETTLE_S = 60.0
_HISTORY_S = 120.0
#: number of times to compare a claim with other bots' claims before giving up, and the pause between attempts in
#: seconds
_CLAIM_LOOKS = 3
_CLAIM_AGAIN_S = 1.5
_WINDOWS: Nanos = 2 * NS_PER_HOUR
#: requests that are sent even without a journal, and the length of the windows that a few such requests can fill
_CANCELS, _BRIEF_S = ("cancel_order", "cancel_batch"), 1
_LIFTED = "lifted while the bot was stopped"

#: the reason in the journal of an order that is no longer this bot's
_LEFT_OPEN = "left open as foreign orders"

OrphanChoice = Literal["refuse", "adopt", "cancel"]


async def start(parts: BotParts, notices: Notices, *, orphans: OrphanChoice = "refuse") -> Bot:
    """Start a bot and return it once it is trading. If BotkitError is raised, nothing was traded and all resources are
    released.

    ``orphans`` determines how to handle open orders whose strategies are no longer configured.
    """
    async with contextlib.AsyncExitStack() as stack:
        opened = await open_bot(parts, stack)
        bot = _make(parts, notices, opened)
        stack.push_async_callback(bot.close)
        if opened.dropped_commands:
            dropped = ", ".join(opened.dropped_commands)
            notices.tell("warning", f"commands to an earlier run, which did not obey them, are dropped: {dropped}")
        if opened.forgets:
            notices.tell(
                "info",
                "this simulated exchange is new: orders, positions, halts and values set by hand of the last run ended "
                "with its own (`botkit emulator` in a process of its own outlives its bots)",
            )
        changed = follow_decimals(opened.journal, parts.pairs, opened.began)
        if changed is not None:
            notices.tell("warning", changed)
        await _share_limits(bot, opened)
        uses = Uses(opened.journal, parts.uses)
        gone = _restore(bot, opened, orphans, uses)
        await _claim_pool(bot)
        await connect(bot)
        await _settle(bot, gone, orphans, opened)
        await _claim(bot)
        await _begin(bot, uses)
        stack.pop_all()
        return bot


def _make(parts: BotParts, notices: Notices, opened: Opened) -> Bot:
    shared = parts.sharing.windows()
    try:
        files = RunFiles(
            opened.run_folder,
            parts.recorded_as(shared, opened.first_client_id),
            parts.recording_bytes_max,
            lambda text: notices.tell("warning", text),
            parts.folder.disk,
        )
    except OSError as error:
        raise StartRefused(
            f"the folder of this run, {opened.run_folder}, cannot be written ({error.strerror or error}); free some "
            f"space or fix its permissions. If a file has the folder's name, move it elsewhere"
        ) from None
    engine = parts.engine(files.decisions, opened.first_client_id, None if shared is None else shared.leased)
    persistence = Persistence(engine.view, opened.journal, opened.ids_until, parts.machine.random)
    return Bot(parts, notices, engine, opened.journal, persistence, files, shared)


async def _share_limits(bot: Bot, opened: Opened) -> None:
    """Join the other processes that share these windows. Nothing may be sent before this step."""
    shared = bot.shared
    before = predecessor(opened.journal, opened.began - _WINDOWS)
    keep_identity(opened.journal, shared)
    if shared is None:
        return
    shared.on_change = bot.driver.sink
    shared.on_notice = lambda text, good: bot.notices.tell("info" if good else "warning", text)
    try:
        await shared.start()
    except LedgerUnreachable as error:
        raise StartRefused(str(error)) from None
    if before is not None:
        await shared.succeed(before)


def _restore(bot: Bot, opened: Opened, orphans: OrphanChoice, uses: Uses) -> list[Order]:
    """Restore the engine's state from earlier runs and return the open orders of strategies that are no longer
    configured, or that are another strategy under the same name. Like all others, they are restored, so that what
    became of them is found out and booked.
    """
    journal, parts = opened.journal, bot.parts
    document = journal.document("portfolio")
    with journal.reading("document portfolio"):
        books = None if document is None else without_locks(document)
    names = bot.view.names()
    gone: list[Order] = []
    orders: list[RestoredOrder] = []
    # a bot without books has never owned anything; the first comparison creates its books
    for order in journal.orders(dict(parts.pairs), since=opened.began - REMEMBERED) if document is not None else ():
        if order.reason == _LEFT_OPEN:
            continue
        fills = journal.fills(order.client_id)
        booked = tuple(BookedExecution(fill.price_ticks, fill.lots, fill.fee_units) for fill in fills)
        orders.append(RestoredOrder(order, booked))
        if (order.strategy not in names or order.strategy in uses.former) and order.state in LIVE_STATES:
            gone.append(order)
    undecided = [order for order in gone if not order.cancel_requested]
    if undecided and orphans == "refuse":
        owners = sorted({order.strategy for order in undecided})
        strategies = ", ".join(
            f"{name}, which was {uses.former[name]} and is {parts.uses[name]}" if name in uses.former else name
            for name in owners
        )
        raise StartRefused(
            f"{counted(len(undecided), 'open order')} of strategies no longer in the configuration ({strategies}). "
            "Restore the strategies, or start once with --cancel (cancel them) or --adopt (leave them open, as foreign "
            "orders)"
        )
    bot.persistence.withheld = frozenset(uses.former)
    kept = {name: found for name in names if (found := uses.kept(name)) is not None}
    halts = {name: reason for name, reason in halts_of(journal).items() if name in names}
    halt = parts.folder.halt()
    lifted = [level for level in bot.latch.lifted if level is not None or halt is None]
    if halt is not None:
        bot.notices.tell("error", f"halted ({halt.kind}): {halt.reason}. No new orders; `botkit resume` lifts it")
    if opened.losses is not None and halt is not None and opened.losses not in halt.reason:
        bot.notices.tell("error", opened.losses)  # an earlier, unresolved loss stays in force
    for sentence in uses.sentences():
        bot.notices.tell("warning", sentence)
    for name, reason in halts.items():
        bot.notices.tell("warning", standstill_of(name, reason))
    set_by_hand = still_set(journal, bot.view.strategies(), parts.pairs, parts.zone, bot.notices.tell)
    bot.say(
        Restore(
            books=books,
            orders=tuple(orders),
            kept=kept if document is not None else {},
            parameters=tuple(set_by_hand),
            # requests from earlier runs still count toward the exchange's windows
            sends=() if parts.is_new_world else tuple(_sent_before(bot, opened)),
            halts={**halts, **{name: _LIFTED for name in lifted if name is not None}},
            halted=halt.reason if halt is not None else _LIFTED if None in lifted else None,
            leaves=tuple(order.client_id for order in undecided) if orphans == "adopt" else (),
            keeps_orders=None in lifted or (halt is not None and halt.kind == KEY_HALT),
        )
    )
    _resume(bot, lifted)
    for strategy, pairs in (books or {}).get("positions", {}).items():
        for pair, figures in pairs.items() if strategy not in names else ():
            if figures[0]:
                amount = f"{format_units(figures[0])} {pair.partition('_')[0]} in {pair}"
                bot.notices.tell(
                    "warning",
                    f"{strategy} is not in the configuration any more, but holds {amount}: its books are kept, and "
                    f"nothing trades its coins until the strategy is back",
                )
    return gone


def _resume(bot: Bot, lifted: Iterable[str | None]) -> None:
    """Lift the halts that were lifted while the bot was stopped in its books too, so that losses are measured from now
    on, as they are when a running bot is resumed. Raises JournalError.
    """
    for level in lifted:
        bot.say(Resume(level))
    if bot.latch.lifted:
        bot.persistence.commit((), bot.driver.now())  # otherwise a crash could undo the resume, but not the next step
        bot.latch.forget_lifted()


def _sent_before(bot: Bot, opened: Opened) -> Iterator[SentBefore]:
    """Yield the requests from earlier runs that windows may still count.

    Also yield as many cancels as fit into a one-second window. Cancels continue while a journal cannot be written, so
    the last run may have just sent cancels that are missing from its journal.
    """
    yield from opened.journal.sends_since(opened.began - _WINDOWS)
    if opened.journal.is_new:
        return
    for name in _CANCELS:
        endpoint = bot.parts.adapter.limits.endpoints.get(name)
        windows = endpoint.windows if endpoint is not None else ()
        for _ in range(max((window.requests for window in windows if window.per_s <= _BRIEF_S), default=0)):
            yield SentBefore(endpoint=name, sent=opened.began, answered=opened.began)


async def _claim_pool(bot: Bot) -> None:
    """Check, before anything is sent, that no other bot pools the same money. Raises StartRefused if another bot
    does.
    """
    claims, money = bot.claims, bot.view.money
    if claims is None:
        return
    # on a first start, the books are created from the exchange's balances; they belong to this bot once its claim is
    # accepted
    bot.persistence.owns_books = bool(money.account)
    try:
        claims.forget()
        await claims.register(money.pooled, money.holdings(None), None)
    except ClaimRefused as error:
        raise StartRefused(f"{error}. Nothing was traded") from None
    except OSError as error:
        raise StartRefused(f"what this bot owns cannot be recorded: {error}. Nothing was traded") from None


async def _claim(bot: Bot) -> None:
    """Claim the coins that the bot owns. Raises StartRefused if other bots own some of them, in which case the books
    are not saved.
    """
    claims, money = bot.claims, bot.view.money
    if claims is None:
        return
    for left in range(_CLAIM_LOOKS, 0, -1):
        try:
            # the claim is compared with the reported balances, not with the books: while this bot's orders are open,
            # the books do not include what other bots have earned in the meantime
            await claims.register(money.pooled, money.holdings(None), money.reported, slack=money.rounding_units)
        except ClaimRefused as error:
            if left == 1:
                raise StartRefused(f"{error}. Nothing was traded") from None
            # the other bot's fills may already be in its claim but not yet in the balances, or vice versa
            await asyncio.sleep(_CLAIM_AGAIN_S)
            before = bot.comparisons.began
            bot.comparisons.at_once()
            await _until(bot, lambda before=before: bot.comparisons.began != before, _SETTLE_S)  # type: ignore[misc]
        except OSError as error:
            raise StartRefused(f"what this bot owns cannot be recorded: {error}. Nothing was traded") from None
        else:
            break
    bot.persistence.owns_books = True
    bot.persistence.keep_books()


async def _settle(bot: Bot, gone: list[Order], orphans: OrphanChoice, opened: Opened) -> None:
    bot.comparisons.at_once(opened.unwritten)
    await _until(bot, lambda: _is_settled(bot), _SETTLE_S)
    if bot.driver.key_refusal is not None:
        raise StartRefused(f"{bot.driver.key_refusal}. Nothing was traded")
    if bot.compare_refusal is not None:
        # the missing money may be in positions that are recorded only in the lost journal
        also = f". Also, {opened.starts_over}" if opened.starts_over is not None else ""
        raise StartRefused(f"{bot.compare_refusal}{also}")
    if bot.comparisons.first is None:
        waited = "" if bot.comparisons.unreachable >= _UNREACHABLE_MAX else f" within {_SETTLE_S:.0f} s"
        raise StartRefused(
            f"the bot could not be reconciled with the exchange{waited}: "
            f"{bot.comparisons.last_failure or 'some orders could not be read'}. Nothing was traded; check the address "
            "and the network and, after a certificate error, this machine's clock too (invalid certificates are never "
            "accepted), then start again"
        )
    unread = bot.streams.unreadable()
    if unread:
        raise StartRefused(
            f"the account's streams send data that cannot be read ({unread}). Nothing was traded; check whether there "
            f"is a newer botkit"
        )
    lost = bot.comparisons.first.unwritten
    if lost:
        count = "an order" if len(lost) == 1 else f"{len(lost)} orders"
        evidence = f"the exchange has {count} of this bot that the journal does not contain: {'; '.join(lost[:5])}"
        bot.latch.set(JOURNAL_HALT, losses_of(commits_lost(bot.journal.path, evidence)))
        write_off(bot.journal, bot.comparisons.first.unwritten_until)
    if opened.unwritten is not None:
        bot.unjournaled = Unjournaled(opened.unwritten)
    if opened.starts_over is not None:
        bot.notices.tell("warning", opened.starts_over)
    if gone:
        await _end_orphans(bot, gone, orphans)
    bot.tell_of_orders()
    foreign = bot.view.foreign_orders()
    if foreign:
        shown = "; ".join(f"{row.order_id} {row.side.value} {row.pair}" for row in foreign[:5])
        many = "1 open order is" if len(foreign) == 1 else f"{len(foreign)} open orders are"
        bot.notices.tell("info", f"{many} not this bot's and will not be touched: {shown}")


def _is_settled(bot: Bot) -> bool:
    """Return whether the first comparison has finished or can no longer succeed."""
    comparisons = bot.comparisons
    is_reached = comparisons.unreachable < _UNREACHABLE_MAX
    return (
        comparisons.first is not None or bot.compare_refusal is not None or bot.key_refused.is_set() or not is_reached
    )


async def _end_orphans(bot: Bot, gone: list[Order], orphans: OrphanChoice) -> None:
    """Cancel or let go of the orders of removed and replaced strategies that are still open. What they executed is
    already booked, and an order whose outcome is unknown is followed until it is known.
    """
    left: list[Order] = []
    if orphans == "adopt":
        left = [order for order in gone if order.state not in FINAL_STATES and not order.cancel_requested]
    if left:
        ids = tuple(order.client_id for order in left)
        bot.journal.let_go(ids, _LEFT_OPEN)
        bot.say(LeaveOrphans(ids, _LEFT_OPEN))
        before = bot.comparisons.began
        bot.comparisons.at_once()  # it finds them again, as foreign orders
        await _until(bot, lambda: bot.comparisons.began != before, _SETTLE_S)
        _tell_of_orphans(bot, left, _LEFT_OPEN)
    rest = [order for order in gone if order not in left]
    bot.say(CancelOrphans(tuple(order.client_id for order in rest if order.state not in FINAL_STATES)))
    await _until(bot, lambda: all(not order.order_id or order.state in FINAL_STATES for order in rest), _SETTLE_S)
    still = [order.order_id for order in rest if order.order_id and order.state not in FINAL_STATES]
    if still:
        raise StartRefused(
            f"orders of {_owners(bot, rest)} strategies could not be cancelled within {_SETTLE_S:.0f} s: "
            f"{', '.join(still[:5])}"
        )
    for state in dict.fromkeys(order.state for order in rest):
        if state is OrderState.ABSENT:
            what = "proved never to have arrived"
        elif state in FINAL_STATES:
            what = state.value
        else:
            what = "sent when the last run ended, and the outcome is unknown; what turns up is cancelled"
        _tell_of_orphans(bot, [order for order in rest if order.state is state], what)


def _tell_of_orphans(bot: Bot, orders: list[Order], what: str) -> None:
    count = len(orders)
    whose = f"{counted(count, 'order')} of {_owners(bot, orders)} strategies"
    bot.notices.tell("warning", f"{whose} {'was' if count == 1 else 'were'} {what}")


def _owners(bot: Bot, orders: list[Order]) -> str:
    """Return "removed", "replaced" or both, for what became of the orders' strategies."""
    present = {order.strategy in bot.view.names() for order in orders}
    return " or ".join(["removed"] * (False in present) + ["replaced"] * (True in present))


async def _begin(bot: Bot, uses: Uses) -> None:
    first, first_client_id = bot.comparisons.first, 0
    if first is not None and first.unwritten:
        # a folder that was put back leads to the ids of the lost run, and they may just be those of this run
        try:
            first_client_id = bot.persistence.skip_ids(first.unwritten_until)
        except JournalError as error:
            raise StartRefused(f"client ids cannot be reserved: {error}. Nothing was traded") from None
    try:
        uses.keep()
    except JournalError as error:
        raise StartRefused(f"{error}. Nothing was traded") from None
    bot.persistence.withheld = frozenset()
    bot.say(Begin(reads_history=True, first_client_id=first_client_id))
    if bot.start_failures:
        raise StartRefused(bot.start_failures[0])
    if not bot.view.markets() and not bot.view.has_timers():
        bot.notices.tell("warning", "no strategy subscribed to anything or set a timer in on_start")
    await _until(bot, lambda: bot.view.is_trading, _HISTORY_S)
    if not bot.view.is_trading:
        raise StartRefused(f"candles from before the start could not be fetched within {_HISTORY_S:.0f} s; start again")
    for strategy, pair in bot.view.unprotected():
        bot.notices.tell(
            "warning",
            f"{strategy} holds {pair}, which it protected in the last run; protections end with the run, and it has "
            "set no new one: call self.protect in on_start",
        )
    for sentence in abandoned(bot.view):
        bot.notices.tell("warning", sentence)
    bot.started_at = bot.driver.now()
    bot.watchdog.start()
    bot.follow_markets()
    bot.looked(bot.started_at)


async def _until(bot: Bot, is_so: Callable[[], bool], timeout_s: float) -> None:
    """Wait until a condition is true, but for at most ``timeout_s`` seconds of machine time. Raises StartRefused after
    an internal error.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while not is_so():
                if bot.driver.fault is not None:
                    raise StartRefused(f"the bot hit an internal error while starting: {bot.driver.fault!r}")
                bot.happened.clear()
                waiting = [asyncio.ensure_future(e.wait()) for e in (bot.happened, bot.driver.ended)]
                try:
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in waiting:
                        task.cancel()
