"""Bars from before the start: which series want some, and handing them over."""

from __future__ import annotations

from typing import Literal

from botkit.engine.market.bars import BarSeries
from botkit.engine.market.markets import Markets
from botkit.engine.market.pair_market import BarFeed
from botkit.engine.outcome import HistoryWanted, Outbox
from botkit.model.events import Bar
from botkit.model.inputs import History
from botkit.model.pairs import Pair

#: what a subscription needs of the data, one of each
_NEEDS: dict[str, tuple[str, ...]] = {
    "trades": ("trades",),
    "books": ("books",),
    "tickers": ("trades", "tickers"),
    "bars": ("candles", "trades"),
}


class PastBook:
    """What series want of the past, until it is there."""

    def __init__(self, markets: Markets, outbox: Outbox) -> None:
        self._markets = markets
        self._outbox = outbox
        #: (pair, kind) that the run reads; None: whatever is asked for
        self._kinds: frozenset[tuple[str, str]] | None = None
        #: (feed, its series, bars wanted, whether the feed's builder is new)
        self._waiting: list[tuple[BarFeed, BarSeries, int, bool]] = []
        self._asked = 0

    def check(self, pair: Pair, kind: Literal["trades", "books", "tickers", "bars"]) -> None:
        """Refuse a subscription to what the run does not read. Raises ValueError."""
        if self._kinds is not None and not any((str(pair), need) in self._kinds for need in _NEEDS[kind]):
            known = ", ".join(sorted({f"{name} {what}" for name, what in self._kinds})) or "nothing"
            raise ValueError(
                f"this run reads no {kind} of {pair}, since no strategy subscribed to them in on_start; "
                f"it reads {known}"
            )

    def want(self, feed: BarFeed, series: BarSeries, count: int, *, is_new: bool) -> None:
        """A series was subscribed to, with ``count`` bars from before."""
        self._waiting.append((feed, series, count, is_new))

    @property
    def is_waiting(self) -> bool:
        """True while a series has not been given its past."""
        return bool(self._waiting)

    def ask(self) -> None:
        """Name in the outcome what was wanted since the last time. Called at the end of a turn."""
        for feed, series, count, _ in self._waiting[self._asked :]:
            self._outbox.out.history.append(HistoryWanted(series.pair, feed.resolution, max(count, 1)))
        self._asked = len(self._waiting)

    def give(self, given: History) -> None:
        """Hand out what came. A series that has bars of its own by now keeps to those."""
        if given.kinds is not None:
            self._kinds = given.kinds
        bars_of = {(past.pair, past.resolution): past.bars for past in given.bars}
        waiting, self._waiting, self._asked = self._waiting, [], 0
        for feed, series, count, is_new in waiting:
            bars: tuple[Bar, ...] = bars_of.get((series.pair, feed.resolution), ())
            if is_new:
                self._markets.warm_builder(feed, bars[-1:])
            if count and not len(series):
                series.warm_start(bars[-count:])
