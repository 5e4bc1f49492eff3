"""Runs a trading bot's checks for frozen books and for bars that differ from the exchange's candles."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from functools import partial

from botkit.engine.agenda import Agenda
from botkit.engine.market.bar_check import BarCheck
from botkit.engine.market.markets import Markets
from botkit.engine.market.quiet_books import QuietBooks
from botkit.engine.money.portfolio import Portfolio
from botkit.engine.orders.closed_pairs import ClosedPairs
from botkit.engine.orders.reads import Reads
from botkit.engine.outcome import Outbox
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import Connection, Trade
from botkit.model.pairs import Pair

#: levels per side of a followed book, unless a strategy requests more
BOOK_DEPTH = 5
#: interval between checks, in machine time
_LOOK_EVERY_S = 1.0


class Watch:
    """Runs the checks once a second, starting with `begin`. ``trip(reason)`` halts the bot."""

    def __init__(
        self,
        *,
        agenda: Agenda,
        markets: Markets,
        reads: Reads,
        portfolio: Portfolio,
        outbox: Outbox,
        closed: ClosedPairs,
        trip: Callable[[str], None],
        zone: tzinfo,
        speed: float,
    ) -> None:
        self._markets = markets
        self._portfolio = portfolio
        self._outbox = outbox
        self._closed = closed
        self._every: Nanos = int(_LOOK_EVERY_S * NS_PER_S * max(1.0, speed))
        self._due: Nanos | None = None
        self._slot = agenda.slot("watch", lambda: self._due, self._look)
        self.bars = BarCheck(markets, reads, partial(outbox.note, kind="bars"), zone=zone, speed=speed)
        self.books = QuietBooks(markets, reads, trip=trip, resynchronise=self._resynchronise, speed=speed)

    def begin(self, now: Nanos) -> None:
        """Start checking. Called when the bot starts trading."""
        self._due = now
        self._slot.changed()

    def on_trade_or_connection(self, event: Trade | Connection, now: Nanos) -> None:
        """Pass a trade, or a stream's new state, to the bar check."""
        self.bars.observe(event, now)

    def followed(self) -> dict[Pair, int]:
        """Return the books that the bot follows (those of all traded or watched pairs) with their depths.

        The book of every traded pair is followed, even without a subscription, because market orders are checked
        against the visible book. That of a pair whose trades only value fees is of no use, and if it fell silent, the
        bot would halt for nothing.
        """
        wanted = {pair: BOOK_DEPTH for share in self._portfolio.shares for pair in share.pairs}
        for market in self._markets.all():
            if market.pair not in self._portfolio.fees.pairs or market.has_subscribers:
                wanted[market.pair] = market.book_depth or BOOK_DEPTH
        return wanted

    def _look(self, now: Nanos) -> None:
        self._due = now + self._every
        self.bars.look(now)
        # no order can go to a closed pair, so its book harms nobody if it stands still or cannot be read
        closed = self._closed.reasons
        self.books.look({pair: depth for pair, depth in self.followed().items() if pair not in closed}, now)

    def _resynchronise(self, pair: Pair) -> None:
        self._outbox.resynchronise(pair)
