"""Processing books within a span is equivalent to processing the exchange's published books one by one.

Random tapes have books and trades of one or two pairs, either as recorded from the wire or thinned out. Strategies act
rarely, so that orders rest for a long time; all latencies, queue assumptions, timers and loss limits are covered. Each
world runs once with the driver's spans, and once with a separate turn for each row and each book.
"""

from __future__ import annotations

import inspect
import textwrap
from collections import Counter
from itertools import pairwise
from random import Random
from types import FunctionType
from typing import Any

import msgspec
import numpy as np
import pytest

from botkit.backtesting.driver import Driver
from botkit.engine.market.book_run import BookRun
from botkit.engine.spans import Spans
from botkit.model.columns import BookColumns, MarketColumns, TradeColumns
from botkit.model.inputs import History
from botkit.model.pairs import Pair
from botkit.sim.account_setup import AccountSetup
from botkit.sim.book_feed import BookFeed
from botkit.sim.books_ahead import BooksAhead
from botkit.sim.feed_ahead import FeedAhead
from botkit.sim.fees import FixedFees
from botkit.sim.fills import Optimistic, Pessimistic, Queue
from botkit.sim.kernel import Kernel
from botkit.sim.latency import Constant
from botkit.sim.public_news import PublicNews
from botkit.tape.feed import Slice
from tests.engine_world import BTC, ETH, PAIRS, T0, UNIT, Bot, Listener, S
from tests.plain_form import replaces_code
from tests.row_by_row import RowByRow

WORLDS = 60
ROWS = 300


class Actor(Listener):
    """Acts rarely, and records the events that it receives."""

    def __init__(self, plan: dict[str, Any]) -> None:
        super().__init__(*plan["pairs"])
        self.plan = plan

    def on_start(self) -> None:
        for pair in self.pairs:
            self.subscribe_book(pair, depth=self.plan["depth"])
            if self.plan["trades"]:
                self.subscribe_trades(pair)
        if self.plan["every_s"]:
            self.set_timer(every_s=self.plan["every_s"])

    def _hear(self, name: str, event: Any) -> None:
        book = self.book(self.pairs[-1])
        seen = (book.best_bid, book.mid, book.age_s)
        if name == "book":
            # read all levels of a book, only its best prices, or no prices
            how = self.now // S % 3
            seen += ((event.bid_levels, event.ask_levels, event.time), (event.best_ask, event.spread_bps), ())[how]
        self.heard.append((name, (self.now, seen, self.last_price(self.pairs[0]))))
        if name in ("trade", "book", "timer", "fill") and self.random.random() < self.plan["acts"]:
            self.act()

    def act(self) -> None:
        dice = self.random
        pair = dice.choice(self.pairs)
        price = round(self.last_price(pair) or 1_000)
        choice = dice.randrange(10)
        lots = dice.choice([0.001, 0.0257, 0.4, 3])
        if choice == 0:
            self.market_buy(pair, spend=dice.randint(200, 2_000))
        elif choice == 1:
            self.market_sell(pair, amount=lots)
        elif choice in (2, 3, 4):
            self.buy(pair, amount=lots, price=price - dice.randint(-2, 9), post_only=dice.random() < 0.5)
        elif choice in (5, 6, 7):
            self.sell(pair, amount=lots, price=price + dice.randint(-2, 9), post_only=dice.random() < 0.5)
        elif choice == 8:
            self.cancel_all()
        else:
            self.sell(pair, amount=lots, price=price - 8, stop_price=price - 7)


def recorded(random: Random, pair: Pair) -> list[MarketColumns]:
    """Generate books with three levels per side, and trades between the books."""
    price, spike, has_gaps = 1_000, 0, random.random() < 0.1
    times, rows = [], []
    now = T0 + S
    for _ in range(random.randint(1, ROWS)):
        now += random.choice([0, 1, S // 10, S // 2, S, S, 3 * S, 90 * S if random.random() < 0.05 else S])
        price = max(50, price + random.choice([0, 0, 0, 1, -1, 2, -2, random.randint(-12, 12)]))
        spike = random.choice([3, 20]) if random.random() < 0.01 else 0 if random.random() < 0.5 else spike
        spread = random.choice([1, 1, 2, 5, 5, -3 if random.random() < 0.1 else 5])
        middle = price * spike or price
        sides = []
        for sign in (-1, 1):
            ticks = [middle + sign * (spread + step) for step in range(3)]
            lots = [random.choice([40_000, 40_000, 90_000, 70_000]) for _ in ticks]
            levels = random.choice([0, 1, 2, 2, 2]) if random.random() < 0.1 else 3
            lots[levels:] = [0] * (3 - levels)
            if has_gaps and random.random() < 0.1:
                lots[random.randrange(3)] = 0
            sides += [[t if a else 0 for t, a in zip(ticks, lots, strict=True)], lots]
        if rows and random.random() < 0.2:
            sides = rows[-1]  # unchanged
        times.append(now)
        rows.append(sides)
    received = np.array(times, dtype=np.int64)
    bid_ticks, bid_lots, ask_ticks, ask_lots = (np.array([row[i] for row in rows], dtype=np.int64) for i in range(4))
    books = BookColumns(pair, received, received - received % S, bid_ticks, bid_lots, ask_ticks, ask_lots)
    at = sorted(random.choice(times) + random.choice([0, 0, 0, S // 3, S]) for _ in range(random.randint(1, ROWS)))
    ticks = [max(1, 1_000 + random.randint(-15, 15)) for _ in at]
    side = [random.choice([-1, 0, 1]) for _ in at]
    lots = [random.choice([1, 50, 5_000, 60_000]) for _ in at]
    heard = np.array(at, dtype=np.int64)
    trades = TradeColumns(
        pair,
        heard,
        heard - heard % S,
        np.array(ticks, dtype=np.int64),
        np.array(lots, dtype=np.int64),
        np.array(side, dtype=np.int8),
    )
    return [books, trades]


def play(seed: int, driver: type[Driver]) -> tuple[Any, ...]:
    """Run a seed's world, and return all data in which two runs could differ."""
    random = Random(f"books {seed}")
    pairs = random.choice([(BTC,), (BTC, ETH)])
    if random.random() < 0.3:  # displayed amounts are coarser than order amounts
        pairs = tuple(pair.with_rules(msgspec.structs.replace(pair.rules, display_decimals=2)) for pair in pairs)
    known = {**PAIRS, **{str(pair): pair for pair in pairs}}
    plans = [
        {
            "pairs": pairs,
            "depth": random.choice([1, 5]),
            "trades": random.random() < 0.5,
            "every_s": random.choice([0, 0, 7, 61]),
            "acts": random.choice([0, 0.01, 0.05, 0.15]),
        }
        for _ in range(random.choice([1, 1, 2]))
    ]
    walk = random.randrange(10**6) if random.random() < 0.3 else None  # both pairs may have books with equal timestamps
    columns = [column for pair in pairs for column in recorded(Random(walk) if walk else random, pair)]
    columns.sort(key=lambda column: column.kind)
    balances = {"twd": 10**6 * UNIT, **{pair.base: 50 * UNIT for pair in pairs}}
    limit = random.choice([None, None, 3_000])
    b = Bot(
        *(Actor(plan) for plan in plans),
        pairs=known,
        balances=balances,
        risk={"max_daily_loss": {"twd": limit}} if limit else None,
        seed=seed,
        start=False,
    )
    order_ms, answer_ms = random.choice([(0, 0), (0, 30), (40, 30), (400, 0), (700, 900)])
    kernel = Kernel(
        pairs=known,
        accounts={"bot": AccountSetup(dict(balances), FixedFees({"maker": "0.001", "taker": "0.002"}))},
        queue=random.choice([Queue, Queue, Optimistic, Pessimistic])(),
        latency=Constant({"order_ms": order_ms, "answer_ms": answer_ms}),
        limits=None,
        book_cadence_ms=random.choice([1000, 1000, 2500]),
        max_book_age_s=random.choice([None, None, 2, 60]),
    )
    is_wire = random.random() < 0.5
    end = max(int(c.received[-1]) for c in columns) + 1
    cuts = [T0 + (end - T0) * quarter // 4 for quarter in range(5)]
    b.begin()
    for pair in pairs:
        kernel.publish_books(pair, 5, is_wire=is_wire)
    carrier = driver(b.engine, kernel, "bot", observe=lambda out, now: None, history=lambda wanted, now: History())
    carrier.run([cut(columns, *piece) for piece in pairwise(cuts)], lambda piece, rows: None)
    b.check()
    kernel.check()
    b.decisions.flush()
    heard = [s.heard for s in b.strategies]
    view = b.engine.view
    return b.decisions.sha256(), heard, view.events, b"".join(b.log), b.risk.halts, view.checks.withheld()


def cut(columns: list[MarketColumns], start: int, end: int) -> Slice:
    """Return the rows within a time slice."""
    pieces = []
    for column in columns:
        first, last = column.received.searchsorted([start, end])
        pieces.append(column.rows(int(first), int(last)))
    return Slice(start, end, pieces)


@replaces_code  # the patched method counts books processed in spans
@pytest.mark.parametrize("first", range(0, WORLDS, 20))
def test_processing_books_in_spans_or_in_separate_turns_yields_identical_decisions(
    first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[str] = Counter()
    plain_span = Spans.run_with_books

    def counted(self: Spans, *given: Any) -> tuple[int, int]:
        found = plain_span(self, *given)
        counts["in spans"] += found[1]
        return found

    monkeypatch.setattr(Spans, "run_with_books", counted)
    for seed in range(first, first + 20):
        fast, plain = play(seed, Driver), play(seed, RowByRow)
        for ours, theirs in zip(fast[3].splitlines(), plain[3].splitlines(), strict=False):
            assert ours == theirs, seed
        for ours, theirs in zip(fast[1], plain[1], strict=True):
            for one, other in zip(ours, theirs, strict=False):
                assert one == other, seed
        assert fast == plain, seed
        counts["books"] += sum(name == "book" for heard in fast[1] for name, _ in heard)
        counts["fills"] += fast[3].count(b'"k":"fill"')
        counts["withheld"] += fast[3].count(b'"k":"quarantine"')
    assert counts["fills"], counts
    assert counts["withheld"], counts
    assert counts["in spans"] > counts["books"] / 10, counts  # without quiet spans, the test proves nothing


#: every condition that ends a book span, or excludes books from a span: (the function, the condition's text, the
#: replacement in a mutant, the seed of a world in which the mutant behaves differently)
EXITS: tuple[tuple[FunctionType, str, str, int], ...] = (
    (Spans.run_with_books, "books.done < count and changes.count == before", "books.done < count", 2),
    (Spans.run_with_books, "if position < end and changes.count == before:", "if position < end:", 2),
    (Spans.run_with_books, "place == stop", "False", 0),
    (Spans.run_with_books, "run.is_ordinary[index] and not market.doubts", "not market.doubts", 5),
    (Spans.run_with_books, "run.is_ordinary[index] and not market.doubts", "run.is_ordinary[index]", 5),
    (Spans._take_book, "book if depth <= wanted else book.cut(wanted)", "book", 0),
    (BookRun.__init__, "books.pairs.count(books.pairs[0]) == len(books.pairs)", "True", 8),
    (Driver._rows, "earliest(books.until, wake)", "wake", 0),
    (Driver._rows, "earliest(books.until, wake)", "books.until", 3),
    (Kernel._quiet_until, "self._arrivals[0][0] if self._arrivals else None", "None", 2),
    (Kernel._quiet_until, "due[0][0] if due else None", "None", 12),
    (Kernel._quiet_until, "self._touches.next_touch(ahead.times[-1])", "None", 2),
    (Kernel.books_ahead, "not (self._is_instant and len(self._feeds) > 1)", "True", 56),
    (Kernel._note_books, "self._is_instant and", "False and", 43),
    (Kernel._note_books, "self._ahead.is_latest() and", "", 3),
    (Kernel.load, "self._ahead.drop()", "pass", 102),
    (PublicNews.publish_due, "self._ahead.drop()", "pass", 2),
    (BookFeed.ahead, "or self.changed_at is not None", "", 74),
    (BookFeed.ahead, "or market.taken", "", 17),
    (BookFeed.ahead, "or not self._is_exact()", "", 2),
    (BookFeed.ahead, "market.is_older_than(self._cadence) or", "", 31),
    (BookFeed.ahead, "or not market.is_regular", "", 0),
    (BookFeed.ahead, "is_cut=is_thinned and not self._is_wire", "is_cut=False", 0),
    (BookFeed._spaced, "not self._is_wire and received[0] < last_at + gap", "False", 8),
    (BookFeed._spaced, "if is_close.any()", "if False", 0),
    (BooksAhead.prepare, "elif feed.due is not None:", "elif False:", 0),
    (FeedAhead.drop_unchanged, "if is_unchanged:", "if False:", 0),
    (FeedAhead.find_further, "at if at is None or at > earliest else earliest", "None", 0),
)


@replaces_code
@pytest.mark.parametrize(("function", "text", "instead", "seed"), EXITS)
def test_a_mutant_that_lacks_one_exit_condition_of_a_book_span_is_caught(
    function: FunctionType, text: str, instead: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(text) == 1, "the exit is written in another way now"
    made: dict[str, Any] = {}
    mutated = "from __future__ import annotations\n" + source.replace(text, instead)
    exec(compile(mutated, "mutant", "exec"), function.__globals__, made)
    plain = play(seed, RowByRow)
    monkeypatch.setattr(function, "__code__", made[function.__name__].__code__)
    try:
        found = play(seed, Driver)
    except (AssertionError, IndexError, TypeError):
        return  # one of the code's own assertions failed
    assert found != plain, "nothing noticed it"
