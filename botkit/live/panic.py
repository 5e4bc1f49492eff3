"""Cancels all of an account's orders from a second process, regardless of the state of the bot.

The latch is set first and is on disk before anything is sent. If a hanging bot resumes, it checks the latch before it
sends its next order. All orders are then cancelled and listed again until none are left.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Container, Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec

from botkit.live.journal_decimals import decimals_of
from botkit.live.journal_reading import JournalReading
from botkit.live.journal_rows import JournalError
from botkit.live.refused_key import REFUSED_STATUS, key_refused
from botkit.live.state_folder import KeptHalt, StateFolder
from botkit.model.adapter import Capabilities, Sender
from botkit.model.clock import Nanos
from botkit.model.counts import counted
from botkit.model.events import OrderReport
from botkit.model.requests import (
    Answer,
    CancelAck,
    CancelAll,
    CancelBatch,
    CancelOrder,
    Ending,
    ListOpenOrders,
    Request,
)

_TRIES = 5
_PAUSE_S = 1.0


class PanicResult(msgspec.Struct, kw_only=True):
    """The result of a panic.

    ``hit`` contains the exchange ids of the orders to cancel, whichever listing or response to a cancel named them
    first. ``foreign`` counts the orders that are not the bot's, including spared ones. ``left`` lists the orders that
    were still open in the last listing that succeeded. It is None if there was no such listing, or if the last one was
    incomplete and showed no order.
    """

    hit: set[str] = msgspec.field(default_factory=set)
    foreign: int = 0
    left: tuple[str, ...] | None = None
    #: True if the exchange does not accept the key, in which case no further requests were sent
    is_key_refused: bool = False
    problems: list[str] = msgspec.field(default_factory=list)

    @property
    def cancelled(self) -> int:
        """The number of orders that are not open any more, as far as is known."""
        return len(self.hit) - len(self.left or ())


def outcome_of(result: PanicResult, *, is_running: bool = True, is_held: bool = True) -> str:
    """Format the result of a panic as text. ``is_running`` means that the bot is running. If the halt was written
    (``is_held``), it also cancels its own orders; if not, it trades on, and what is true now may not stay so.
    """
    if is_running and not is_held:
        return f"{_result_of(result, is_running=False)}. THE BOT IS NOT HALTED and may place new orders at any moment"
    return _result_of(result, is_running=is_running)


def _result_of(result: PanicResult, *, is_running: bool) -> str:
    if result.left:
        return "STILL OPEN:\n  " + "\n  ".join(result.left)
    if result.left is None:
        return "the exchange could not be queried; check its website for open orders"
    if not result.cancelled and is_running:
        return "none still open; the running bot cancels its own orders when it is halted"
    return f"{counted(result.cancelled, 'order')} cancelled, none still open"


class OwnOrders:
    """Distinguishes a bot's orders from other orders, based on the bot's journal (`Journal.order_rows`).

    If the bot never read the response to an order, the row has no exchange id. The order is then recognised by the
    contents of its request. ``decimals`` are those of the rows (`decimals_of`); a pair without them has those that
    the exchange lists.
    """

    def __init__(
        self, rows: Iterable[Mapping[str, Any]], decimals: Mapping[str, tuple[int, int]] = MappingProxyType({})
    ) -> None:
        self._ids: set[str] = set()
        self._sent: set[tuple[int, str, str, Decimal]] = set()
        self._undetermined: set[tuple[int, str, str, int]] = set()
        for row in rows:
            name, ticks = row["pair"], row["price_ticks"]
            if row["order_id"]:
                self._ids.add(row["order_id"])
            elif name in decimals:
                price = Decimal(ticks).scaleb(-decimals[name][0])
                self._sent.add((row["client_id"], name, row["side"], price))
            else:
                self._undetermined.add((row["client_id"], name, row["side"], ticks))

    def __contains__(self, row: object) -> bool:
        """Accept an order's row, or an exchange id if nothing else is known of the order."""
        if isinstance(row, str):
            return row in self._ids
        assert isinstance(row, OrderReport)
        sent = (row.client_id or 0, str(row.pair), row.side.value)
        return (
            row.order_id in self._ids
            or (*sent, row.pair.rules.exact_price(row.price_ticks)) in self._sent
            or (*sent, row.price_ticks) in self._undetermined
        )


def own_orders(journal: JournalReading) -> OwnOrders:
    """Return the orders of a bot's journal, except the unreadable ones (`JournalReading.damage`)."""
    rows = journal.order_rows()
    try:
        return OwnOrders(rows, decimals_of(journal))
    except JournalError as error:
        journal.damage = journal.damage or str(error)
        return OwnOrders(rows)


def text_of(row: OrderReport) -> str:
    """Format an order at the exchange as one line of text."""
    rules = row.pair.rules
    return (
        f"{row.order_id} {row.side.value} {rules.amount_text(row.original_lots)} {row.pair} "
        f"at {rules.price_text(row.price_ticks)}"
    )


def hold_back(folder: StateFolder, now: Nanos, say: Callable[[str], None]) -> bool:
    """Set the latch before anything else, because later steps may fail. Return False if the disk does not accept the
    latch. Even then, the orders must be cancelled.
    """
    try:
        folder.set_halt(KeptHalt(kind="panic", reason="botkit panic", time=now))
    except OSError as error:
        holder = folder.holder()
        ends = f"end the bot (`kill {holder}`)" if holder else "do not start the bot"
        makes = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "make that folder writable"
        say(
            f"problem: the halt cannot be written to {folder.path} ({error.strerror or error}), so new orders are not "
            f"blocked: {ends}, {makes}, then run `botkit panic` again"
        )
        return False
    say("new orders are blocked until `botkit resume`")
    return True


async def panic(
    adapter: Sender,
    own: Container[object],
    *,
    own_only: bool,
    can: Capabilities,
    say: Callable[[str], None],
    pause_s: float = _PAUSE_S,
) -> PanicResult:
    """Cancel all of the account's orders. With ``own_only``, cancel only the orders in ``own``. ``can`` lists the
    exchange's capabilities.
    """
    result = PanicResult()
    number = 0
    found: set[str] = set()

    async def send(make: Callable[[int], Request]) -> Answer:
        nonlocal number
        number -= 1
        answer = await adapter.send(make(number), urgent=True)
        if isinstance(answer.body, CancelAck):
            for pair, order_id in answer.body.orders:
                # this order was cancelled without having been listed, because a listing failed or was too old
                note(order_id, order_id, f"{order_id} {pair}")
        if answer.outcome is Ending.OK:
            return answer
        problem = answer.text or answer.outcome.value
        if answer.status == REFUSED_STATUS:
            problem, result.is_key_refused = key_refused(f"{answer.status} {answer.text}", None), True
        if problem not in result.problems:
            say(f"problem: {problem}")
        result.problems.append(problem)
        return answer

    def note(order_id: str, order: OrderReport | str, text: str) -> None:
        """Count an order, and name it if it is foreign, when it is found for the first time."""
        is_spared = own_only and order not in own
        if not is_spared:
            result.hit.add(order_id)
        if order_id not in found:
            found.add(order_id)
            if order not in own:
                result.foreign += 1
                say(f"{'spared' if is_spared else 'cancelled too'} (not this bot's order): {text}")

    for attempt in range(_TRIES):
        answer = await send(lambda i: ListOpenOrders(id=i))
        wanted: list[OrderReport] | None = None
        if isinstance(answer.body, tuple):
            listed = [row for row in answer.body if isinstance(row, OrderReport)]
            for row in listed:
                note(row.order_id, row, text_of(row))
            wanted = [row for row in listed if row in own] if own_only else listed
            is_complete = answer.outcome is Ending.OK
            result.left = tuple(text_of(row) for row in wanted) if wanted or is_complete else None
            if is_complete and not wanted:
                return result
        if result.is_key_refused:
            return result
        if not own_only and can.cancel_all:
            # done even if the listing failed, because orders can be cancelled without being listed
            await send(lambda i: CancelAll(id=i))
        elif can.batch_cancel_max:
            for start in range(0, len(wanted or ()), can.batch_cancel_max):
                part = tuple((row.pair, row.order_id) for row in (wanted or [])[start : start + can.batch_cancel_max])
                await send(lambda i, part=part: CancelBatch(id=i, orders=part))  # type: ignore[misc]
        else:
            for row in wanted or ():
                await send(lambda i, row=row: CancelOrder(id=i, pair=row.pair, order_id=row.order_id))  # type: ignore[misc]
        if result.is_key_refused:
            return result
        if attempt < _TRIES - 1:
            await asyncio.sleep(pause_s)
    return result
