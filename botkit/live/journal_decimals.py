"""The decimals of the prices and amounts in the journal, and the conversion of its rows when the exchange has changed
them.

The journal's prices and amounts are integers, as everywhere in the bot. What they are worth depends on how many
decimals the pair had when they were written. The journal therefore has a document with the decimals of every pair. A
start compares it with the exchange's list. If a pair has other decimals, all of the pair's rows are converted, together
with the document, before anything is restored from them. Readers convert with the decimals of the document.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from botkit.live.journal import LARGEST_INTEGER, Journal
from botkit.live.journal_reading import JournalReading
from botkit.live.journal_rows import ORDER_FIELDS
from botkit.live.journal_tables import SEALED, RowWriter, whole_rows
from botkit.model.clock import Nanos
from botkit.model.pairs import Pair, PairRules

#: the decimals of a pair's prices and of its amounts
_Decimals = tuple[int, int]

#: key in ``meta`` for the decimals of each pair in this journal
DECIMALS = "decimals"
_FILL_FIELDS = SEALED["fills"][2]
#: how many orders are read at a time, because a market maker's journal has millions
_AT_ONCE = 1_000
#: the rules of a pair that only the journal has: just the decimals are known
_UNLISTED = PairRules(
    price_decimals=0,
    amount_decimals=0,
    display_decimals=0,
    least_lots=1,
    most_lots=LARGEST_INTEGER,
    least_spend_units=0,
    open_orders_max=0,
)


def decimals_of(journal: JournalReading) -> dict[str, _Decimals]:
    """Return how many decimals each pair's prices and amounts have in this journal. Journals that an older botkit wrote
    do not tell, and have those of the exchange's list at that time. Raises JournalError.
    """
    document = journal.document(DECIMALS) or {}
    with journal.reading(f"document {DECIMALS}"):
        return {name: (int(price), int(amount)) for name, (price, amount) in document.items()}


def pairs_of_journal(journal: JournalReading, pairs: Mapping[str, Pair]) -> dict[str, Pair]:
    """Return ``pairs`` with the decimals in which the journal counts, and the pairs that only the journal has. They
    serve to read its rows, not to trade: their minima and maxima may be wrong. Raises JournalError.
    """
    found = dict(pairs)
    for name, (price, amount) in decimals_of(journal).items():
        pair = pairs.get(name)
        if pair is None or _size(pair) != (price, amount):
            rules = _UNLISTED if pair is None else pair.rules
            rules = msgspec.structs.replace(rules, price_decimals=price, amount_decimals=amount)
            found[name] = Pair(name, rules)
    return found


def follow_decimals(journal: Journal, pairs: Mapping[str, Pair], now: Nanos) -> str | None:
    """Make the journal count in the ticks and lots of ``pairs``. Return a sentence for the user if that changed any of
    its rows. Raises JournalError, in which case nothing has changed.
    """
    known = decimals_of(journal)
    listed = {name: _size(pair) for name, pair in pairs.items()}
    recounts = {
        name: _Recount(known[name], decimals)
        for name, decimals in listed.items()
        if known.get(name, decimals) != decimals
    }
    wanted = {**known, **listed}  # a pair that is not listed now may be listed again
    if wanted == known:
        return None
    told: list[str] = []
    filling = journal.filling
    assert filling is not None, "the journal is read-only"

    def change(db: sqlite3.Connection) -> None:
        writer = RowWriter()
        if recounts:
            _recount_untold(db, writer, recounts)
        for name, recount in recounts.items():
            _recount_orders(db, writer, name, recount, _recount_fills(db, writer, name, recount))
        writer.write(db, [("meta", (DECIMALS, json.dumps(wanted, separators=(",", ":"))))])
        changed = {name: recount for name, recount in recounts.items() if recount.rows}
        if changed:
            told.append(_told(changed))
            writer.write(db, [("note", (now, "precision", told[0]))])

    with journal.reading("a row"):
        filling.rewrite(change)
    return told[0] if told else None


def _size(pair: Pair) -> _Decimals:
    return pair.rules.price_decimals, pair.rules.amount_decimals


class _Recount:
    """Converts one pair's ticks and lots."""

    def __init__(self, before: _Decimals, after: _Decimals) -> None:
        self.before = before
        self.after = after
        #: how many rows were converted
        self.rows = 0
        #: False once a figure had to be rounded
        self.is_exact = True

    def ticks(self, ticks: int) -> int:
        # only an order that no exchange accepts has a price that large
        return min(self._converted(ticks, self.after[0] - self.before[0]), LARGEST_INTEGER)

    def lots(self, lots: int) -> int:
        return self._converted(lots, self.after[1] - self.before[1])

    def _converted(self, figure: int, places: int) -> int:
        if places >= 0:
            return figure * int(10**places)
        scale = int(10**-places)
        if figure % scale:
            self.is_exact = False
        # 0 would mean that there is no price or no amount
        return max((figure + scale // 2) // scale, 1) if figure else 0


def _recount_orders(
    db: sqlite3.Connection, writer: RowWriter, pair: str, recount: _Recount, executed: Mapping[int, int]
) -> None:
    """Convert the pair's orders. ``executed`` has the executed lots of those that cannot simply be rounded."""
    statement = (
        f"SELECT {', '.join(ORDER_FIELDS)}, crc FROM orders WHERE pair = ? AND client_id > ? ORDER BY client_id "
        f"LIMIT {_AT_ONCE}"
    )
    last = -1
    while rows := db.execute(statement, (pair, last)).fetchall():
        last = rows[-1][0]
        for values, is_whole in whole_rows(rows):
            if not is_whole:
                continue  # it stays as it is, and is reported when it is read
            row = dict(zip(ORDER_FIELDS, values, strict=True))
            done = executed.get(row["client_id"], recount.lots(int(row["executed_lots"])))
            amount = int(row["amount_lots"])
            row["price_ticks"], row["stop_ticks"] = recount.ticks(row["price_ticks"]), recount.ticks(row["stop_ticks"])
            row["amount_lots"] = str(max(recount.lots(amount), done) if amount else 0)
            row["executed_lots"] = str(done)
            writer.write(db, [("order", tuple(row.values()))])
            recount.rows += 1


def _recount_fills(db: sqlite3.Connection, writer: RowWriter, pair: str, recount: _Recount) -> dict[int, int]:
    """Convert the pair's fills. Return the executed lots of the orders of which two fills would have had equal keys, so
    that one had to move up.
    """
    moved: dict[int, int] = {}
    for (client_id,) in db.execute("SELECT DISTINCT client_id FROM fills WHERE pair = ?", (pair,)).fetchall():
        whole, taken = [], set()
        for values, is_whole in _fills_of(db, client_id):
            if is_whole:
                whole.append(dict(zip(_FILL_FIELDS, values, strict=True)))
            else:
                taken.add(values[1])
        whole.sort(key=lambda row: int(row["executed_lots"]))
        for row in whole:
            db.execute("DELETE FROM fills WHERE client_id = ? AND executed_lots = ?", (client_id, row["executed_lots"]))
        before = last = 0  # executed by the previous fill, in old and in new lots
        for row in whole:
            executed, lots = int(row["executed_lots"]), int(row["lots"])
            begin = last if executed - lots == before else recount.lots(executed - lots)
            done = max(recount.lots(executed), last + 1)
            while str(done) in taken:
                done += 1
            if done != recount.lots(executed):
                moved[client_id] = done
            else:
                moved.pop(client_id, None)
            row["price_ticks"] = recount.ticks(row["price_ticks"])
            row["executed_lots"], row["lots"] = str(done), str(max(done - begin, 1))
            writer.write(db, [("fill", tuple(row.values()))])
            recount.rows += 1
            before, last = executed, done
    return moved


def _fills_of(db: sqlite3.Connection, client_id: int) -> Iterator[tuple[tuple[Any, ...], bool]]:
    return whole_rows(
        db.execute(f"SELECT {', '.join(_FILL_FIELDS)}, crc FROM fills WHERE client_id = ?", (client_id,)).fetchall()
    )


def _recount_untold(db: sqlite3.Connection, writer: RowWriter, recounts: Mapping[str, _Recount]) -> None:
    """Convert the fills that are kept with a strategy's state because the strategy has not heard of them."""
    rows = db.execute("SELECT key, value, crc FROM meta WHERE key GLOB 'strategy:*'").fetchall()
    for (key, value), is_whole in whole_rows(rows):
        kept = json.loads(value) if is_whole else {}
        has_changed = False
        for fill in kept.get("untold", ()):
            found = db.execute("SELECT pair FROM orders WHERE client_id = ?", (fill["client_id"],)).fetchone()
            recount = None if found is None else recounts.get(found[0])
            if recount is not None:
                fill["price_ticks"] = recount.ticks(fill["price_ticks"])
                fill["lots"], fill["executed_lots"] = recount.lots(fill["lots"]), recount.lots(fill["executed_lots"])
                has_changed = True
        if has_changed:
            text = json.dumps(kept, separators=(",", ":"), allow_nan=False)
            writer.write(db, [("meta", (key, text.encode()))])


def _told(recounts: Mapping[str, _Recount]) -> str:
    changes = []
    for name, recount in recounts.items():
        figures = zip(("quotePrecision", "basePrecision"), recount.before, recount.after, strict=True)
        changed = " and ".join(f"{which} from {old} to {new}" for which, old, new in figures if old != new)
        changes.append(f"{name} ({changed})")
    text = (
        f"the exchange has changed the precision of {', '.join(changes)} since the last run: the journal's prices and "
        "amounts are now counted in the new ticks and lots"
    )
    rounded = [name for name, recount in recounts.items() if not recount.is_exact]
    return text + (f", and those of {', '.join(rounded)} that do not fit are rounded" if rounded else "")
