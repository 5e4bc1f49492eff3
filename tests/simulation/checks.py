"""Checks of invariants. They read the exchange's records and the journal file using code that is independent of the
engine.

The invariants are numbered:

    I1 at most one order per client ID      I2 every bot order has a row        I3 no live order has a final row
    I4 executed never decreases; executed + remaining = original                I5 money is conserved, to the unit
    I6 exposure stays within its limit      I7 no rate-limit window is exceeded
    I8 no secret in any output              I9 tasks and queues are bounded      I10 every fill is reported once
"""

from __future__ import annotations

import os
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from botkit.live.journal import Journal
from botkit.model.orders import FINAL_STATES, OrderState, OrderType, Side

_FINAL = frozenset(state.value for state in FINAL_STATES)
#: states of a journal row that mean that the order does not exist at the exchange
_NEVER_THERE = ("absent", "rejected", "not_sent", "refused", "expired")
_LIVING = frozenset({OrderState.UNTRIGGERED, OrderState.OPEN, OrderState.PARTLY_FILLED})
#: maximum number of tasks: those of two bots (streams, requests in flight, supervisors), and those of the exchange for
#: their connections and for connections of bots that died
TASKS_MAX = 400
#: maximum number of events waiting for a turn
EVENTS_MAX = 2_000


class Broken(AssertionError):
    """An invariant was violated. The message starts with the invariant's name."""


class Books:
    """Tracks one account at the exchange, order by order."""

    def __init__(self, venue: Any, account: str, *, most_base_units: Mapping[str, int]) -> None:
        """``most_base_units`` is the bot's ``max_position``, by currency."""
        self._venue = venue
        #: True if anything has happened at the exchange since the last check
        self.is_touched = True
        for name in ("advance", "submit"):
            setattr(venue, name, self._touching(getattr(venue, name)))
        self._name = account
        self._account = venue.kernel.account(account)
        self._began = dict(self._account.total)
        self._moved: dict[str, int] = {}
        self._most = most_base_units
        self._by_client_id: dict[int, str] = {}
        self._seen = 0
        self._trades = 0
        self._executed: dict[str, int] = {}
        self._sums: dict[str, int] = dict.fromkeys(self._began, 0)
        #: filled lots by order, from trades
        self.filled: dict[str, int] = {}
        #: client IDs whose rows were in a lost commit; the loss cannot be detected, because the exchange never had
        #: these orders
        self.excused: set[int] = set()
        #: client IDs of orders that the exchange accepted and called refused: the bot may hold them for rejected until
        #: they turn up
        self.called_refused: set[int] = set()
        #: True once a journal was restored from a copy that lacks requests which the windows still count
        self.excuses_rates = False

    def _touching(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def touching(*arguments: Any, **options: Any) -> Any:
            self.is_touched = True
            return work(*arguments, **options)

        return touching

    @property
    def orders(self) -> Mapping[str, Any]:
        """All orders that the exchange has accepted, by order ID."""
        found: Mapping[str, Any] = self._account.orders
        return found

    def moved(self, currency: str, units: int) -> None:
        """Record that money was deposited or withdrawn outside the bot."""
        self._moved[currency] = self._moved.get(currency, 0) + units

    # -- after every step -----------------------------------------------------------------------------------------

    def look(self, row_of: Callable[[int], str | None]) -> None:
        """Check all changes since the last call. ``row_of`` returns the state in the journal row for a client ID, or
        None if there is no row.

        Raises Broken.
        """
        self.is_touched = False
        orders = self._account.orders
        if len(orders) != self._seen:
            fresh = list(orders.values())[self._seen :]
            self._seen = len(orders)
            for order in fresh:
                self._arrived(order, row_of)
        if len(self._account.trades) != self._trades:
            for trade in self._account.trades[self._trades :]:
                self._traded(trade)
            self._trades = len(self._account.trades)
        limits = self._venue.limits
        if limits.refused and not self.excuses_rates:
            busiest = {name: count.busiest for name, count in limits.counts.items() if count.refusals}
            raise Broken(f"I7: the exchange refused {limits.refused} requests for their rate: {busiest}")

    def _arrived(self, order: Any, row_of: Callable[[int], str | None]) -> None:
        client_id = order.new.client_id
        if not client_id:
            raise Broken(f"I2: order {order.order_id} has no client id")
        before = self._by_client_id.setdefault(client_id, order.order_id)
        if before != order.order_id:
            raise Broken(f"I1: client id {client_id} has the orders {before} and {order.order_id}")
        state = row_of(client_id)
        if state in _NEVER_THERE:
            raise Broken(f"I3: the exchange took in {client_id}, whose row is {state}: {order!r}")
        if state is None and client_id not in self.excused:
            raise Broken(f"I2: the exchange took in {client_id}, of which the journal has no row")
        base = order.pair.base
        if base in self._most and order.is_buy:
            exposed = self._exposed(base)
            if exposed > self._most[base]:
                raise Broken(f"I6: {exposed} units of {base} are held or may be, of at most {self._most[base]}")

    def _exposed(self, base: str) -> int:
        """Return the coins held, including those assigned at the start, plus the coins that open buys could still
        add.
        """
        rules = {pair: pair.rules for pair in self._venue.pairs.values()}
        total: int = self._account.total[base] - self._moved.get(base, 0)
        for order in self._account.open.values():
            if order.is_buy and order.pair.base == base and order.new.client_id not in self.called_refused:
                total += rules[order.pair].base_units(order.remaining_lots)
        return total

    def _traded(self, trade: Any) -> None:
        rules = trade.pair.rules
        base, quote = trade.pair.base, trade.pair.quote
        lots, value = rules.base_units(trade.lots), rules.value_units(trade.price_ticks, trade.lots)
        sign = 1 if trade.side is Side.BUY else -1
        self._sums[base] += sign * lots
        self._sums[quote] -= sign * value
        self._sums[trade.fee_currency] -= trade.fee_units
        self.filled[trade.order_id] = self.filled.get(trade.order_id, 0) + trade.lots

    def ended(self, client_id: int, state: str) -> None:
        """Check an order that the bot considers final. Raises Broken if the order is still live."""
        order_id = self._by_client_id.get(client_id)
        if order_id is None and state in _NEVER_THERE:
            order_id = next((o.order_id for o in self._account.orders.values() if o.new.client_id == client_id), None)
        if order_id is None:
            return
        order = self._account.orders[order_id]
        if state == "rejected" and client_id in self.called_refused:
            return
        if order.state in _LIVING or state in _NEVER_THERE:
            raise Broken(f"I3: the bot holds {client_id} for {state}, and the exchange has {order!r}")

    # -- from time to time, and at the end ----------------------------------------------------------------------------

    def check(self, rows: Mapping[int, Mapping[str, Any]]) -> None:
        """Check all orders and balances against the journal rows. Raises Broken."""
        for order in self._account.orders.values():
            row = rows.get(order.new.client_id)
            if row is None and order.new.client_id in self.excused:
                continue
            if row is None:
                raise Broken(f"I2: the journal has no row of {order.new.client_id}")
            is_called_refused = row["state"] == "rejected" and order.new.client_id in self.called_refused
            if row["final"] and order.state in _LIVING and not is_called_refused:
                raise Broken(f"I3: the row of {order.new.client_id} is {row['state']}, and its order lives: {order!r}")
            self._check_amounts(order, row)
        for currency, total in self._account.total.items():
            wanted = self._began[currency] + self._sums[currency] + self._moved.get(currency, 0)
            if total != wanted:
                raise Broken(f"I5: the exchange holds {total} of {currency}, and its trades sum up to {wanted}")
            if total < 0 or self._account.locked[currency] < 0 or self._account.locked[currency] > total:
                raise Broken(f"I5: {currency}: {self._account.locked[currency]} of {total} are locked")

    def _check_amounts(self, order: Any, row: Mapping[str, Any]) -> None:
        executed = int(row["executed_lots"])
        if executed > order.executed_lots:
            raise Broken(f"I4: {executed} lots of {order.new.client_id} are journaled, of {order.executed_lots}")
        if executed < self._executed.get(order.order_id, 0):
            raise Broken(f"I4: what is executed of {order.new.client_id} fell to {executed}")
        self._executed[order.order_id] = executed
        if order.executed_lots != self.filled.get(order.order_id, 0):
            raise Broken(f"I5: trades of {order.order_id} sum up to {self.filled.get(order.order_id, 0)}: {order!r}")
        is_spend = order.type is OrderType.MARKET and order.is_buy
        if not is_spend and order.executed_lots + order.remaining_lots != order.original_lots:
            raise Broken(f"I4: {order!r} has executed {order.executed_lots}")

    def settled(self, rows: Mapping[int, Mapping[str, Any]], told: Mapping[str, int]) -> list[str]:
        """Return the remaining differences between the exchange and the journal. The list is empty once all orders are
        settled.

        ``told`` is the number of filled lots reported to the strategy, by client ID.
        """
        found = []
        for order in self._account.orders.values():
            client_id = order.new.client_id
            row = rows.get(client_id)
            if row is None:
                continue
            if row["state"] == "rejected" and client_id in self.called_refused and order.state not in _LIVING:
                continue  # somebody, such as the guard, ended it before it turned up
            if row["state"] != order.state.value:
                found.append(f"{client_id} is {row['state']} in the journal and {order.state.value} at the exchange")
            if int(row["executed_lots"]) != order.executed_lots:
                found.append(f"{client_id}: {row['executed_lots']} of {order.executed_lots} lots are journaled")
            if told.get(str(client_id), 0) != order.executed_lots:
                found.append(f"{client_id}: {told.get(str(client_id), 0)} of {order.executed_lots} lots were told")
        at_exchange = self._by_client_id
        for client_id, row in rows.items():
            if not row["final"] and client_id not in at_exchange:
                found.append(f"{client_id} is {row['state']} in the journal and unknown at the exchange")
        return found

    def check_explained(self, resting: Iterable[int], before: int) -> None:
        """Check a bot that is starting to trade. No order that the bot considers ``resting`` (client IDs) may have
        become final ``before`` its start (nanoseconds, exchange time). Raises Broken.
        """
        for client_id in resting:
            order_id = self._by_client_id.get(client_id)
            order = None if order_id is None else self._account.orders[order_id]
            if order is not None and order.state not in _LIVING and order.updated < before:
                raise Broken(f"restart: the bot trades, and does not know that {client_id} had ended before: {order!r}")

    def check_told(self, told: Mapping[str, int]) -> None:
        """Check I10: every reported fill occurred and was reported only once. Raises Broken."""
        for client_id, lots in told.items():
            order_id = self._by_client_id.get(int(client_id))
            there = 0 if order_id is None else self._account.orders[order_id].executed_lots
            if lots > there:
                raise Broken(f"I10: {lots} lots of {client_id} were told as filled, and {there} are")

    def check_replaced(self, replaced: Mapping[str, Sequence[int]]) -> None:
        """Check that no replacement has ordered again what its old order had filled. ``replaced`` is, by the client id
        of the replacement, the old order and the lots that the two may have together. Raises Broken.
        """
        for client_id, (old_id, most) in replaced.items():
            new, old = self._by_client_id.get(int(client_id)), self._by_client_id.get(old_id)
            if new is None or old is None:
                continue
            filled, ordered = self._account.orders[old].executed_lots, self._account.orders[new].original_lots
            if filled + ordered > most:
                raise Broken(f"replace: {filled} lots of {old_id} filled, and {client_id} is {ordered} of {most} lots")

    def check_recovered(
        self,
        words: str,
        demands: bool,
        before: Mapping[int, Any],
        now: Mapping[int, Any],
        *,
        began: int,
        starts_over: bool = False,
    ) -> None:
        """Check that a bot that trades on a damaged journal has lost nothing important. ``before`` contains the rows
        from before the damage. Raises Broken.

        An order that arrived after the start had ``began`` may have been missed by the start's listing; the running bot
        reports it. A bot without a journal ``starts_over`` if it reports that the journal is missing. Its earlier
        orders are then foreign, as if the user had moved the journal to another location.
        """
        if demands:
            raise Broken(f"journal: {words}, and the bot trades on it")
        lost = [client_id for client_id in before if client_id not in now]
        there = [
            client_id
            for client_id in lost
            if client_id in self._by_client_id and self.orders[self._by_client_id[client_id]].arrived < began
        ]
        if there and not starts_over:
            raise Broken(
                f"journal: {words}, and the bot trades without the rows of {there[:5]}, which the exchange has"
            )
        self.excused.update(lost)

    def owned(self, began: Mapping[str, int], is_own: Callable[[int], bool]) -> dict[str, int]:
        """Return a bot's holdings in units by currency, computed from its initial holdings (``began``) and its orders'
        trades.
        """
        owned = dict(began)
        for trade in self._account.trades:
            if not is_own(self._account.orders[trade.order_id].new.client_id):
                continue
            rules = trade.pair.rules
            sign = 1 if trade.side is Side.BUY else -1
            owned[trade.pair.base] += sign * rules.base_units(trade.lots)
            owned[trade.pair.quote] -= sign * rules.value_units(trade.price_ticks, trade.lots)
            owned[trade.fee_currency] -= trade.fee_units
        return owned

    def locked(self, currency: str) -> int:
        """Return the units locked by the account's open orders."""
        units: int = self._account.locked[currency]
        return units

    def still_open(self) -> set[str]:
        """Return the IDs of the account's orders that are open at the exchange."""
        return {order.order_id for order in self._account.open.values()}

    def money(self) -> dict[str, int]:
        """Return the account's totals by currency, in units."""
        return dict(self._account.total)


class Journaled:
    """The journal's contents at one point in time: those in SQLite plus the newer commits in the log."""

    def __init__(self, path: Path) -> None:
        """Read the journal's contents. Raises JournalError."""
        journal = Journal.open(path, read_only=True)
        try:
            self.rows = {int(row["client_id"]): row for row in journal.order_rows()}
            #: the filled lots that were reported to the strategy, by client ID
            kept = journal.document(_STRATEGY)
            self.told = _told(kept)
            #: which order each replacement replaces, and the lots that the two may have together
            self.replaced: dict[str, list[int]] = {} if kept is None else dict(kept["state"].get("replaced", {}))
            #: the lots in an order's fills, by client ID
            self.filled: dict[int, int] = {}
            for fill in journal.fills():
                self.filled[fill.client_id] = self.filled.get(fill.client_id, 0) + fill.lots
            if journal.damage is not None:
                raise Broken(f"log: {journal.damage}")
        finally:
            journal.close()


def _told(kept: Any) -> dict[str, int]:
    return {} if kept is None else dict(kept["state"].get("fills", {}))


#: the name of the document that holds the strategy's saved state
_STRATEGY = "strategy:t"
#: prefix of a log record: body length, CRC-32 of record number and body, record number
_PREFIX = struct.Struct("<IIQ")
_NUMBER_BYTES = 8


class Followed:
    """The contents of a journal, updated from its log as the log grows. Each commit is read once, whereas `Journaled`
    reads the entire journal.

    The records are parsed independently of the product: each has a prefix and a body and starts at a multiple of 8
    bytes. The first record of a segment is its header.
    """

    def __init__(self, path: Path) -> None:
        """Start following the journal at ``path``. Raises JournalError and Broken."""
        self._path = path
        self._segments = f"{path}-log-"
        self._file = -1
        self._begin()

    @property
    def told(self) -> dict[str, int]:
        """The filled lots that were reported to the strategy, by client ID."""
        return self._told if self._kept is None else _told(msgspec.json.decode(self._kept))

    def look(self) -> Self:
        """Read the new commits. Raises JournalError and Broken."""
        self._read()
        while self._open(self._segment + 1):
            self._read()
        if not os.path.exists(f"{self._segments}{self._segment:08d}"):  # noqa: PTH110  at every order
            self._begin()  # the bot has exited, or a new bot has started
        return self

    def close(self) -> None:
        """Close the log file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _begin(self) -> None:
        self.close()
        db = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, isolation_level=None)
        try:
            db.execute("BEGIN")
            found = db.execute("SELECT * FROM orders ORDER BY created, client_id")
            names = [column[0] for column in found.description]
            self.rows: dict[int, dict[str, Any]] = {row[0]: dict(zip(names, row, strict=True)) for row in found}
            kept = dict(db.execute("SELECT key, value FROM meta WHERE key IN (?, 'log')", (_STRATEGY,)))
        finally:
            db.close()
        self._told = _told(msgspec.json.decode(kept[_STRATEGY])) if _STRATEGY in kept else {}
        self._kept = None
        # SQLite has all commits before this place in the log
        place = msgspec.json.decode(kept["log"])
        self._segment, self._at, self._number = place["segment"] - 1, 0, 0
        if self._open(place["segment"]):
            if place["offset"]:
                self._at, self._number = place["offset"], place["number"]
            self._read()

    def _open(self, segment: int) -> bool:
        """Open the given segment and return True if the segment exists and is complete enough."""
        try:
            file = os.open(f"{self._segments}{segment:08d}", os.O_RDONLY)
        except FileNotFoundError:
            return False
        content = os.pread(file, 4096, 0)
        length, crc, number = _PREFIX.unpack_from(content)
        if not length or zlib.crc32(content[_PREFIX.size - _NUMBER_BYTES : _PREFIX.size + length]) != crc:
            os.close(file)  # the file is empty, or a failing disk wrote only part of its header
            return False
        self.close()
        heading = msgspec.msgpack.decode(content[_PREFIX.size : _PREFIX.size + length])
        self._fields = heading["order_fields"]
        self._file, self._segment, self._number = file, segment, number
        self._at = _aligned(_PREFIX.size + length)
        return True

    def _read(self) -> None:
        """Read all new complete records."""
        while self._file >= 0:
            prefix = os.pread(self._file, _PREFIX.size, self._at)
            length, crc, number = _PREFIX.unpack(prefix.ljust(_PREFIX.size, b"\0"))
            sealed = os.pread(self._file, _NUMBER_BYTES + length, self._at + _PREFIX.size - _NUMBER_BYTES)
            if not length or number != self._number or zlib.crc32(sealed) != crc:
                return
            for name, values in msgspec.msgpack.decode(sealed[_NUMBER_BYTES:]):
                if name == "order":
                    row = dict(zip(self._fields, values, strict=True))
                    self.rows[row["client_id"]] = row
                elif name == "let_go" and values[0] in self.rows:
                    self.rows[values[0]] |= {"state": "absent", "final": 1, "reason": values[1]}
                elif name == "meta" and values[0] == _STRATEGY:
                    self._kept = values[1]
            self._at += _aligned(_PREFIX.size + length)
            self._number += 1


def _aligned(count: int) -> int:
    return -(-count // 8) * 8


def check_rows(rows: Mapping[int, Mapping[str, Any]]) -> None:
    """Check the invariants that need only the journal rows. Raises Broken."""
    for client_id, row in rows.items():
        if bool(row["final"]) != (row["state"] in _FINAL):
            raise Broken(f"I3: the row of {client_id} is {row['state']} and final={row['final']}")


def check_fills(rows: Mapping[int, Mapping[str, Any]], filled: Mapping[int, int]) -> None:
    """Check I5 within the journal: the executed lots of an order equal the sum of its fills. Raises Broken."""
    for client_id, row in rows.items():
        lots = filled.get(client_id, 0)
        if int(row["executed_lots"]) != lots:
            raise Broken(f"I5: {row['executed_lots']} lots of {client_id} are executed, and its fills are {lots}")


def wrong_positions(books: Mapping[str, Any]) -> list[str]:
    """Compare the positions in a bot's books with its funds, where each strategy has its own capital. Return the
    differences: the coins of a strategy are in its positions, and its positions lock what its orders lock.
    """
    found = []
    for strategy, positions in books["positions"].items():
        coins: dict[str, list[int]] = {}
        for pair, (amount, _, _, locked, *_) in positions.items():
            held = coins.setdefault(pair.partition("_")[0], [0, 0])
            held[0] += amount
            held[1] += locked
        for currency, (amount, locked) in coins.items():
            available, in_orders, _, claims = books["ledger"]["parts"][strategy].get(currency, (0, 0, 0, 0))
            if amount != available + in_orders + claims:
                found.append(f"{strategy} has {available + in_orders + claims} of {currency}, in positions {amount}")
            if locked != in_orders:
                found.append(f"orders of {strategy} lock {in_orders} of {currency}, its positions {locked}")
    return found


#: a process suspended for at least this long must read from the exchange before it sends an order
STANDSTILL_S = 16.0
_LOOKS = frozenset({"open_orders", "balance"})


class Standstills:
    """Checks which requests a bot sends after it was suspended."""

    def __init__(self) -> None:
        self._slept_s = 0.0
        #: the endpoints that the bot must still read before it may send an order
        self._unread: set[str] = set()

    def woke(self, slept_s: float) -> None:
        """Record that the bot resumed after a suspension of ``slept_s`` seconds."""
        if slept_s >= STANDSTILL_S:
            self._slept_s, self._unread = slept_s, set(_LOOKS)

    def sends(self, endpoint: str) -> None:
        """Record that a request is sent. Raises Broken if the bot should have read from the exchange first."""
        if self._unread and endpoint.startswith("create"):
            raise Broken(
                f"standstill: after {self._slept_s:g} s an order leaves before {sorted(self._unread)} are read"
            )

    def reads(self, endpoint: str) -> None:
        """Record that a read sent after the bot resumed has received its response."""
        self._unread.discard(endpoint)


#: maximum length of a user message about a journal
_SENTENCE_MAX = 700


def check_told_of_damage(text: str, words: str, is_damaged: bool) -> None:
    """Check the message from a bot that refuses to trade because of its journal. Raises Broken."""
    if not is_damaged:
        raise Broken(f"journal: nothing was damaged, and the bot says: {text}")
    if "journal" not in text or "\n" in text or len(text) > _SENTENCE_MAX or "Traceback" in text:
        raise Broken(f"journal: {words}, and what the user is told is no sentence about it: {text}")


def check_no_secret(secrets: Iterable[str], folder: Path, told: Iterable[str]) -> None:
    """Check I8. Raises Broken."""
    wanted = [secret.encode() for secret in secrets]
    text = "\n".join(told).encode()
    files = [(str(path), path.read_bytes()) for path in folder.rglob("*") if path.is_file()]
    for name, content in [("what was told", text), *files]:
        for secret in wanted:
            if secret in content:
                raise Broken(f"I8: a secret is in {name}")
