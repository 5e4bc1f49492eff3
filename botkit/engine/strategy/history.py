"""Bars from before the start: tracks the series that need them and delivers them."""

from __future__ import annotations

from typing import Literal

from botkit.engine.market.markets import Markets
from botkit.engine.market.pair_market import BarFeed
from botkit.engine.outcome import Outbox
from botkit.engine.outcome_parts import HistoryWanted
from botkit.engine.strategy.bar_series import BarSeries
from botkit.model.events import Bar
from botkit.model.inputs import History
from botkit.model.pairs import Pair

#: the kind of data that each subscription needs
_NEEDS: dict[str, tuple[str, ...]] = {
    "trades": ("trades",),
    "books": ("books",),
    "tickers": ("trades", "tickers"),
    "bars": ("candles", "trades"),
}


class PastBook:
    """Tracks the history that each series needs until it has arrived."""

    def __init__(self, markets: Markets, outbox: Outbox) -> None:
        self._markets = markets
        self._outbox = outbox
        #: the (pair, kind) combinations that the run reads; None means all
        self._kinds: frozenset[tuple[str, str]] | None = None
        #: (feed, its series, whether the feed's builder is new) for each series still without history
        self._waiting: list[tuple[BarFeed, BarSeries, bool]] = []
        self._asked = 0
        self._series: list[BarSeries] = []
        #: True if a newly attached indicator may need more bars than its series kept
        self._may_lack = False
        #: True if `ask` has requests to add
        self.is_wanting = False

    def check(self, pair: Pair, kind: Literal["trades", "books", "tickers", "bars"]) -> None:
        """Raise ValueError for a subscription to data that the run does not read."""
        if self._kinds is not None and not any((str(pair), need) in self._kinds for need in _NEEDS[kind]):
            known = ", ".join(sorted({f"{name} {what}" for name, what in self._kinds})) or "nothing"
            raise ValueError(
                f"this run reads no {kind} of {pair}, since no strategy subscribed to them in on_start; "
                f"it reads {known}"
            )

    def want(self, feed: BarFeed, series: BarSeries, *, is_new: bool) -> None:
        """Register a new series, which starts once its history has arrived."""
        self._waiting.append((feed, series, is_new))
        self._series.append(series)
        self.is_wanting = True

    def look_again(self) -> None:
        """Check the indicators again, because a newly attached indicator may need more bars than its series has
        kept.
        """
        self._may_lack = self.is_wanting = True

    def ask(self) -> None:
        """Add requests for newly needed history to the outcome. Called at the end of a turn."""
        wanted = self._outbox.out.history
        for feed, series, _ in self._waiting[self._asked :]:
            wanted.append(HistoryWanted(series.pair, feed.resolution, max(series.wanted_history, 1)))
        self._asked = len(self._waiting)
        self.is_wanting = False
        if self._may_lack:
            self._may_lack = False
            for series in self._series:
                if series.is_ready and series.missing_history:
                    count = len(series) + series.missing_history
                    wanted.append(HistoryWanted(series.pair, series.resolution, count))

    def give(self, given: History) -> None:
        """Deliver the history to the series."""
        if given.kinds is not None:
            self._kinds = given.kinds
        bars_of = {(past.pair, past.resolution): past.bars for past in given.bars}
        running = {(past.pair, past.resolution): past.running for past in given.bars}
        waiting, self._waiting, self._asked = self._waiting, [], 0
        for feed, series, is_new in waiting:
            bars: tuple[Bar, ...] = bars_of.get((series.pair, feed.resolution), ())
            if is_new:
                self._markets.warm_builder(feed, bars[-1:], running.get((series.pair, feed.resolution)))
            wanted = series.wanted_history
            series.begin(bars[-wanted:] if wanted else ())
        begun = {id(series) for _, series, _ in waiting}
        for series in self._series:
            older = bars_of.get((series.pair, series.resolution))
            if older and id(series) not in begun and series.missing_history:
                series.backfill(older)
