"""Detects frozen books by reading them over REST when the stream has been quiet for a long time.

Staleness is measured per pair and by book frames only, because pings would hide a frozen book on a live socket. A book
that has received no frames for a long time is read over REST. If the book is unchanged, it is considered fresh. If it
differs, frames were missed: the new book is adopted and the stream reconnects. After two differing reads without a
frame, or if the book cannot be read, the bot halts. Frames that the quarantine withheld are not counted here, nor is
the time in which the bot was suspended: it could not have heard them, and after it wakes the network may take a moment.
"""

from __future__ import annotations

from collections.abc import Callable

from botkit.engine.market.markets import Markets
from botkit.engine.orders.reads import Reads
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import OrderBook
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, Ending, GetBook

#: a healthy pair once had no frame for 84 s, so silence alone only triggers a check
QUIET_S = 60.0
#: a longer gap between looks, which are due every second or so, means that the bot was suspended
_SUSPENDED_S = 15.0
DIFFERENT_READINGS_MAX = 2


class QuietBooks:
    """Watches a running bot's books. ``trip(reason)`` halts the bot, and ``resynchronise(pair)`` repairs a stream."""

    def __init__(
        self,
        markets: Markets,
        reads: Reads,
        *,
        trip: Callable[[str], None],
        resynchronise: Callable[[Pair], None],
        speed: float = 1.0,
    ) -> None:
        self._markets = markets
        self._reads = reads
        self._trip = trip
        self._resynchronise = resynchronise
        # on a fast emulator, a minute of bot time can pass in one real second, so at least this much machine time must
        # also pass
        self._quiet_ns: Nanos = int(QUIET_S * NS_PER_S * max(1.0, speed))
        self._gap_ns: Nanos = int(_SUSPENDED_S * NS_PER_S * max(1.0, speed))
        self._looked_at: Nanos | None = None
        #: the time at which the bot started to listen, or woke
        self._awake_since: Nanos = 0
        self._seen: dict[Pair, Nanos] = {}
        self._books: dict[Pair, OrderBook] = {}
        self._different: dict[Pair, int] = {}
        self._asking: set[Pair] = set()
        self._read_at: dict[Pair, Nanos] = {}

    def observe(self, book: OrderBook, now: Nanos) -> None:
        """Record a book's arrival."""
        pair = book.pair
        self._seen[pair] = now
        self._books[pair] = book

    def _is_doubted(self, pair: Pair) -> bool:
        return "book" in self._markets.of(pair).doubts

    def look(self, pairs: dict[Pair, int], now: Nanos) -> None:
        """Request the books that have been quiet for too long. ``pairs`` maps the followed pairs to their depths."""
        if self._looked_at is not None and now - self._looked_at > self._gap_ns:
            self._awake_since = now
        self._looked_at = now
        for pair, depth in pairs.items():
            since = self._seen.setdefault(pair, now)
            if self._is_doubted(pair):
                since = self._markets.of(pair).book_seen
            since = max(since, self._read_at.get(pair, 0), self._awake_since)
            if now - since < self._quiet_ns or pair in self._asking:
                continue
            self._asking.add(pair)
            self._ask(pair, depth, now)

    def _ask(self, pair: Pair, depth: int, now: Nanos) -> None:
        def on_answer(answer: Answer, at: Nanos) -> None:
            self._asking.discard(pair)
            is_doubted = self._is_doubted(pair)
            if self._seen[pair] > now and not is_doubted:
                return  # a frame arrived in the meantime
            if min(self._seen[pair], self._markets.of(pair).book_seen) > self._read_at.get(pair, 0):
                self._different.pop(pair, None)  # a frame has arrived and been accepted since the last read
            self._read_at[pair] = at
            if answer.outcome is not Ending.OK or not isinstance(answer.body, OrderBook):
                quiet_s = self._quiet_ns // NS_PER_S
                self._trip(f"no book of {pair} for {quiet_s} s, and it cannot be fetched: {answer.text}")
                return
            before = self._books.get(pair)
            if before is not None and _same(before, answer.body) and not is_doubted:
                return
            self._books[pair] = answer.body
            self._markets.on_read_book(answer.body, at)
            count = self._different[pair] = self._different.get(pair, 0) + 1
            if count < DIFFERENT_READINGS_MAX:
                if not is_doubted:
                    self._resynchronise(pair)
            else:
                self._trip(
                    f"the frames of {pair}'s book cannot be trusted, and fetching it over REST did not help"
                    if is_doubted
                    else f"the book of {pair} is changing, but the stream does not show it"
                )

        self._reads.read(
            lambda i: GetBook(id=i, pair=pair, depth=depth),
            on_answer,
            endpoint=GetBook.endpoint,
            owner="(quiet books)",
            now=now,
        )


def _same(a: OrderBook, b: OrderBook) -> bool:
    """Return True if the best prices are equal. Amounts are not compared, because the stream and REST round them
    differently.
    """
    return [t for t, _ in a.bid_levels[:5]] == [t for t, _ in b.bid_levels[:5]] and [
        t for t, _ in a.ask_levels[:5]
    ] == [t for t, _ in b.ask_levels[:5]]
