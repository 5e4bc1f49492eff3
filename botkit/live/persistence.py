"""Decides which data to write to the journal after a turn: changed orders, fills, slots, the books and the strategies'
state.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

import msgspec

from botkit.engine.outcome import Outcome
from botkit.engine.strategy.record import changed_key, unkept
from botkit.engine.view import EngineView
from botkit.live.journal import ID_BLOCK, ID_MAX, SKIPPED_MAX, Journal
from botkit.live.journal_rows import JournalError
from botkit.model.clock import Nanos
from botkit.model.events import Fill
from botkit.model.orders import Order
from botkit.model.requests import CancelBatch, CancelOrder, CreateBatch, CreateOrder, Request

log = logging.getLogger("botkit.live")


# the standard library's json, because a strategy's state may contain any type, and int keys must become text
_document = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
#: the document of a strategy that keeps nothing
NOTHING_KEPT = _document({"state": {}, "timers": {}, "best": {}}).encode()


class Persistence:
    """Collects the changes made by turns, and writes all changes of a pass in one transaction.

    The books are written without the orders' locks (`without_locks`), so market data alone never changes them. An order
    triggered by a book or a trade therefore waits only for its own row to be written, not for a check of the account's
    books. Other inputs may change the books and are reported through `heard`.
    """

    def __init__(self, view: EngineView, journal: Journal, ids_until: int, random: Random) -> None:
        self._view = view
        self._journal = journal
        self._ids_until = ids_until
        self._random = random
        self._orders: dict[int, Order] = {}
        self._fills: list[tuple[Fill, Nanos]] = []
        self._answered: list[tuple[int, Nanos]] = []
        self._written: dict[str, bytes] = {}
        self._unwritable: set[str] = set()
        #: True if the books may have changed since they were last written; ``_unsure`` means that this has not been
        #: checked yet
        self._heard = self._unsure = True
        self._books_due = False
        #: False until it is certain what the bot owns, because newly opened books may still be refused
        self.owns_books = True
        #: strategies whose state is not written yet, because the journal still has that of another under their name
        self.withheld: frozenset[str] = frozenset()
        #: (strategy, reason) for strategies whose state could not be written since the last call
        self.unwritable: list[tuple[str, str]] = []

    def take(self, out: Outcome, now: Nanos) -> None:
        """Collect the orders that a turn changed for the next commit."""
        for order, _ in out.states:
            if order.sent:  # not journaled: an unsent order cannot be at the exchange
                self._orders[order.client_id] = order
        for fill in out.fills:
            self._fills.append((fill, now))
            self._orders[fill.order.client_id] = fill.order

    def take_unwritable(self) -> list[tuple[str, str]]:
        """Return (strategy, reason) for strategies whose state cannot be written. Each strategy is returned only
        once.
        """
        found, self.unwritable = self.unwritable, []
        return found

    def answered(self, request_id: int, now: Nanos) -> None:
        """Record that a request was answered, which starts the cool-down of its slot."""
        self._answered.append((request_id, now))

    def keep_books(self) -> None:
        """Write the books at the next check if they have changed, even without an order. Prices alone may have changed
        them (peak equity).
        """
        self._heard = self._books_due = True

    def heard(self) -> None:
        """Record that an input may have moved money, so that the next commit checks the books."""
        self._heard = self._unsure = True

    def fill(self) -> None:
        """Start copying committed data into SQLite in the background."""
        if self._journal.filling is not None:
            self._journal.filling.beside()

    def settle(self) -> None:
        """Do work that no order should wait for: start filling SQLite, check the books so that the next order need not,
        and reserve client ids.
        """
        self.fill()
        if not self._unsure:
            return
        self._unsure = False
        self._heard = self._written.get("portfolio") != self._books()
        with contextlib.suppress(JournalError):
            self._reserve_ids(ID_BLOCK // 5)

    @property
    def is_dirty(self) -> bool:
        """True if there are changes that a crash must not lose. Responses are included: after a restart, the slot of an
        unanswered request is held for a minute or more, so a bot that restarts often would have to wait before it can
        read.
        """
        return bool(self._orders or self._fills or self._answered or self._books_due)

    def commit(self, requests: Sequence[Request], now: Nanos, notes: Iterable[tuple[str, str, Nanos]] = ()) -> None:
        """Write all collected changes before the requests are sent, with ``notes`` of (kind, text, time). If
        JournalError is raised, nothing was written, and everything but the notes is written with the next commit.
        """
        sends = []
        for request in requests:
            ids = client_ids_of(request)
            sends.append((request.id, request.endpoint, now, ids))
            for client_id in ids:
                order = self._view.order(client_id)
                if order is not None:
                    self._orders[client_id] = order
        self._reserve_ids(ID_BLOCK // 10)
        states = self._states(books=self._heard or not requests)
        self._journal.commit(
            orders=self._orders.values(),
            fills=self._fills,
            sends=sends,
            answered=self._answered,
            states=states,
            notes=notes,
        )
        self._orders.clear()
        self._fills.clear()
        self._answered.clear()
        self._written.update(states)
        self._heard = self._unsure = self._books_due = False

    def _books(self) -> bytes | None:
        money = self._view.money
        if not money.account or not self.owns_books:
            return None
        books = without_locks(money.document())
        try:
            return msgspec.json.encode(books)
        except OverflowError:  # an integer of more than 64 bits
            return _document(books).encode()

    def _states(self, *, books: bool) -> list[tuple[str, bytes]]:
        """Return the documents that have changed since they were last written."""
        written = self._written
        changed = []
        document = self._books() if books else None
        if document is not None and written.get("portfolio") != document:
            changed.append(("portfolio", document))
        for name, kept in self._view.all_kept().items():
            if name in self.withheld:
                continue
            key = f"strategy:{name}"
            try:
                text = _document(kept).encode() if any(kept.values()) else NOTHING_KEPT
            except (TypeError, ValueError, RecursionError) as error:
                self._tell_unwritable(key, name, unkept(kept["state"]) or str(error))
                continue
            before = written.get(key, b"")
            if before != text:
                changed.append((key, text))
                if len(before) != len(text):  # otherwise hardly a key was added, and the look would cost each order
                    self._tell_unwritable(key, name, changed_key(kept["state"]))
        return changed

    def skip_ids(self, until: int) -> int:
        """Reserve client ids that a lost run cannot have used, and return the first of them. ``until`` is one past the
        largest of its ids that the exchange knows; orders with ids after that may still be under way. Raises
        JournalError.
        """
        after = max(until + SKIPPED_MAX, self._ids_until)
        first, self._ids_until = self._journal.lease_ids(self._random, after=after)
        return first

    def _tell_unwritable(self, key: str, name: str, why: str | None) -> None:
        if why is not None and key not in self._unwritable:
            self._unwritable.add(key)
            self.unwritable.append((name, why))

    def _reserve_ids(self, least: int) -> None:
        at = self._view.next_client_id
        left = self._ids_until - at
        if not 0 < left <= ID_BLOCK or left < least:
            _, self._ids_until = self._journal.lease_ids(self._random, after=at)


def client_ids_of(request: Request) -> tuple[int, ...]:
    """Return the client ids of a request's orders."""
    if isinstance(request, CreateOrder):
        return (request.order.client_id,)
    if isinstance(request, CreateBatch):
        return tuple(order.client_id for order in request.orders)
    if isinstance(request, CancelOrder):
        return (request.client_id,)
    return request.client_ids if isinstance(request, CancelBatch) else ()


def without_locks(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the books without any order's locks, because every live order locks its money again at a restart.

    An order that was still queued when the bot stopped was never sent, so nothing else would release its money.
    """
    ledger = state["ledger"]
    parts = {
        name: {
            currency: [available + locked, 0, 0, claims] for currency, (available, locked, _, claims) in funds.items()
        }
        for name, funds in ledger["parts"].items()
    }
    positions = {
        name: {pair: [amount, cost, realised, 0, *rest] for pair, (amount, cost, realised, _, *rest) in own.items()}
        for name, own in state["positions"].items()
    }
    return {**state, "ledger": {**ledger, "parts": parts, "locks": {}}, "positions": positions}


__all__ = ["ID_MAX", "Persistence", "client_ids_of", "without_locks"]
