"""What makes a running bot stop trading by itself: frozen books, rejections in a row, a clock that is off.

Staleness is per pair and counts books alone, since pings would hide a book that stands still on a live socket. A book
that is quiet for long is read over REST: equal means fresh, different means that frames are missing. It is adopted and
the stream connected anew; after two different readings without a frame, or when it cannot be read, the bot halts.
Frames that the engine does not believe (`botkit.engine.market.quarantine`) are no frames here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botkit.engine.turn import Engine
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import OrderBook
from botkit.model.orders import Order, OrderState
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, GetBook, Outcome

#: a healthy pair went 84 s without a frame, so silence alone proves nothing; it is a reason to look
QUIET_S = 60.0
DIFFERENT_READINGS_MAX = 2
#: rejections by the exchange in a row, of all strategies
REJECTIONS_MAX = 10
#: how far the machine's clock may be from the exchange's: its stamps are whole seconds, its window is not published
SKEW_MS_MAX = 5_000


class Breaker:
    """Watches one engine. ``trip(reason)`` halts the bot; ``resynchronise(pair)`` mends a stream of books."""

    def __init__(
        self,
        engine: Engine,
        trip: Callable[[str], None],
        *,
        resynchronise: Callable[[Pair], None] = lambda pair: None,
        speed: float = 1.0,
    ) -> None:
        self._engine = engine
        self._trip = trip
        self._resynchronise = resynchronise
        # at a fast emulator a second of silence is a minute there; what counts is never less than the machine's time
        self._quiet_ns: Nanos = int(QUIET_S * NS_PER_S * max(1.0, speed))
        self._seen: dict[Pair, Nanos] = {}
        self._books: dict[Pair, OrderBook] = {}
        self._different: dict[Pair, int] = {}
        self._asking: set[Pair] = set()
        self._read_at: dict[Pair, Nanos] = {}
        self._rejections = 0
        engine.order_observers.append(self._order_changed)

    # -- books ----------------------------------------------------------------------------------------------------

    def observe(self, event: Any, now: Nanos) -> None:
        """An event came in."""
        if type(event) is OrderBook:
            self._seen[event.pair] = now
            self._books[event.pair] = event

    def _is_doubted(self, pair: Pair) -> bool:
        return "book" in self._engine.market(pair).doubts

    def look(self, pairs: dict[Pair, int], now: Nanos) -> list[Pair]:
        """Ask for the books that have been quiet too long; ``pairs`` are those followed, with their depths."""
        quiet = []
        for pair, depth in pairs.items():
            since = self._seen.setdefault(pair, now)
            if self._is_doubted(pair):
                since = self._engine.market(pair).book_seen
            if now - max(since, self._read_at.get(pair, 0)) < self._quiet_ns or pair in self._asking:
                continue
            quiet.append(pair)
            self._asking.add(pair)
            self._ask(pair, depth, now)
        return quiet

    def _ask(self, pair: Pair, depth: int, now: Nanos) -> None:
        def on_answer(answer: Answer, at: Nanos) -> None:
            self._asking.discard(pair)
            is_doubted = self._is_doubted(pair)
            if self._seen[pair] > now and not is_doubted:
                return  # a frame came meanwhile
            if min(self._seen[pair], self._engine.market(pair).book_seen) > self._read_at.get(pair, 0):
                self._different.pop(pair, None)  # since the last reading a frame came and was believed
            self._read_at[pair] = at
            if answer.outcome is not Outcome.OK or not isinstance(answer.body, OrderBook):
                self._halt(
                    f"no book of {pair} for {self._quiet_ns // NS_PER_S} s, and it cannot be read: {answer.text}"
                )
                return
            before = self._books.get(pair)
            if before is not None and _same(before, answer.body) and not is_doubted:
                return
            self._books[pair] = answer.body
            self._engine.take_book(answer.body)
            count = self._different[pair] = self._different.get(pair, 0) + 1
            if count < DIFFERENT_READINGS_MAX:
                if not is_doubted:
                    self._resynchronise(pair)
            else:
                self._halt(
                    f"the frames of {pair}'s book cannot be believed, and reading it did not mend that"
                    if is_doubted
                    else f"the book of {pair} moves on, and the stream shows nothing of it"
                )

        self._engine.desk.read(
            lambda i: GetBook(id=i, pair=pair, depth=depth),
            on_answer,
            endpoint=GetBook.endpoint,
            owner="(breaker)",
            now=now,
        )

    def _halt(self, reason: str) -> None:
        if self._engine.halted is None:  # else it would be told of again at every reading
            self._trip(reason)

    # -- rejections and clocks ------------------------------------------------------------------------------------

    def _order_changed(self, order: Order) -> None:
        if order.state is OrderState.REJECTED:
            self._rejections += 1
            if self._rejections == REJECTIONS_MAX:
                self._trip(f"the exchange rejected {REJECTIONS_MAX} orders in a row, the last one: {order.reason}")
        elif order.state in (OrderState.OPEN, OrderState.PARTLY_FILLED, OrderState.FILLED):
            self._rejections = 0

    def skew(self, skew_ms: int | None) -> None:
        """The machine's time less the exchange's, as its answers show it."""
        if skew_ms is not None and abs(skew_ms) > SKEW_MS_MAX and self._engine.halted is None:
            way = "ahead of" if skew_ms > 0 else "behind"
            # the bot's own clock is read off the machine's once, at its start
            self._trip(
                f"this machine's clock is {abs(skew_ms):,} ms {way} the exchange's; set it, start the bot anew, then "
                "resume"
            )


def _same(a: OrderBook, b: OrderBook) -> bool:
    """Equal best prices: amounts are rounded differently by the stream and by REST."""
    return [t for t, _ in a.bid_levels[:5]] == [t for t, _ in b.bid_levels[:5]] and [
        t for t, _ in a.ask_levels[:5]
    ] == [t for t, _ in b.ask_levels[:5]]
