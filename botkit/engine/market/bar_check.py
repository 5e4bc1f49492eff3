"""Checks bars built from streamed trades against the exchange's own candles.

BitoPro has no candle stream, so a running bot builds its bars from trades, and a missed trade silently corrupts a bar.
Every few minutes the check reads the candles of newly finished bars, with one read per pair and resolution, at a lower
priority than all other requests.

A bar that differs is reported and counted, but not corrected. The strategy and its indicators have already used it, so
a corrected bar would neither explain their actions nor match `botkit replay`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import tzinfo
from typing import Literal

import numpy as np

from botkit.engine.market.markets import Markets
from botkit.engine.market.pair_market import BarFeed
from botkit.engine.market.plausible import LEAST, MOST
from botkit.engine.orders.reads import Reads
from botkit.engine.router.router import Priority
from botkit.model.clock import NS_PER_MINUTE, NS_PER_S, Nanos, format_time
from botkit.model.events import Bar, Candle, Connection, ConnectionState, Trade
from botkit.model.pairs import Pair, PairRules
from botkit.model.requests import Answer, Ending, GetCandles
from botkit.model.resolutions import bucket_end

#: interval between candle reads for one pair and resolution, in machine time
CHECK_EVERY_S = 180.0
#: a candle is assumed to be complete this long after its end; the exchange does not document how late its candles are
SETTLE_S = 60.0
#: the maximum time until a dead connection is detected, in machine time
_UNNOTICED_S = 60.0
#: this long after connecting, a stream's initial list must have arrived, even if the pair has not traded
_LISTED_S = 30.0
#: the maximum trade delay that can be explained by a busy machine or connection
_LATE_S = 10.0
#: number of consecutive matching bars that ends a stretch of differing bars
_AGREE_TO_END = 5
#: maximum number of bars per read; the rest is left for the next read
_BARS_A_READ = 1_000
_OUTAGES_KEPT = 50

Tell = Callable[[Literal["info", "warning"], str], None]


class _TradesSeen:
    """The state of one pair's trade stream."""

    __slots__ = ("connected_at", "counts", "gaps", "last_at", "latest", "outages", "whole_since")

    def __init__(self) -> None:
        self.connected_at: Nanos | None = None
        self.last_at: Nanos = 0
        #: all trades since this time have arrived, except during outages
        self.whole_since: Nanos | None = None
        #: (from, to) of outages, during which trades may be missing or late; the end of the last outage may be unknown
        self.outages: list[tuple[Nanos, Nanos | None]] = []
        #: (from, to) of gaps between two trade lists that did not overlap
        self.gaps: list[tuple[Nanos, Nanos]] = []
        #: number of trades in each minute, used to bound the total rounding error of their amounts
        self.counts: dict[Nanos, int] = {}
        #: delay of the latest trade in each minute; only for minutes with a noticeably late trade
        self.latest: dict[Nanos, Nanos] = {}


class _Series:
    """Records how far the bars of one pair and resolution have been checked."""

    __slots__ = (
        "agreeing",
        "asking",
        "checked_in_all",
        "different",
        "different_in_all",
        "due",
        "judged_until",
        "suspects",
        "told",
    )

    def __init__(self, since: Nanos) -> None:
        #: a strategy may subscribe at any time, so its first bar may be incomplete
        self.judged_until = since
        self.due: Nanos = 0
        self.asking = False
        #: bars that differed at the last read and have not been reported yet
        self.suspects: set[Nanos] = set()
        #: number of bars compared with candles since the start, and number of bars that differed
        self.checked_in_all = 0
        self.different_in_all = 0
        #: the causes reported in this stretch of differing bars; empty while bars agree
        self.told: set[str] = set()
        self.different = 0
        self.agreeing = 0


class BarCheck:
    """Checks a bot's bars. ``tell`` takes a log level and a message; ``speed`` is the speed of the bot's clock."""

    def __init__(
        self,
        markets: Markets,
        reads: Reads,
        tell: Tell,
        *,
        zone: tzinfo,
        speed: float = 1.0,
        every_s: float = CHECK_EVERY_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._markets = markets
        self._reads = reads
        self._zone = zone
        self._tell = tell
        self._scale = NS_PER_S * max(1.0, speed)
        self._every: Nanos = int(every_s * self._scale)
        self._settle: Nanos = int(settle_s * NS_PER_S)
        self._trades: dict[Pair, _TradesSeen] = {}
        self._series: dict[tuple[Pair, str], _Series] = {}
        self._late_told = False

    # -- the streams ----------------------------------------------------------------------------------------------

    def observe(self, event: object, now: Nanos) -> None:
        """Record an event from a stream."""
        if type(event) is Trade:
            found = self._trades.get(event.pair)
            if found is None:
                found = self._trades[event.pair] = _TradesSeen()
            self._traded(found, event, now)
        elif type(event) is Connection and event.stream == "trades" and event.pair is not None:
            self._changed(self._trades.setdefault(event.pair, _TradesSeen()), event, now)

    def _traded(self, found: _TradesSeen, trade: Trade, now: Nanos) -> None:
        minute = trade.time - trade.time % NS_PER_MINUTE
        found.counts[minute] = found.counts.get(minute, 0) + 1
        if now - trade.time > _LATE_S * self._scale:
            found.latest[minute] = max(now - trade.time, found.latest.get(minute, 0))
        found.last_at = now
        if found.whole_since is None:
            # a stream's initial list is history; this trade came after the list
            found.whole_since = now
        if found.outages and found.outages[-1][1] is None and found.connected_at is not None:
            found.outages[-1] = (found.outages[-1][0], now)

    def _changed(self, found: _TradesSeen, change: Connection, now: Nanos) -> None:
        if change.state is ConnectionState.CONNECTED:
            found.connected_at = now
        if change.gap:
            found.gaps = [*found.gaps[-_OUTAGES_KEPT:], (found.last_at, now)]
        elif change.state is ConnectionState.LOST:
            found.connected_at = None
            if found.outages and found.outages[-1][1] is None:
                return
            # the connection died at an unknown time after the last message arrived
            since = max(found.last_at, now - int(_UNNOTICED_S * self._scale))
            found.outages = [*found.outages[-_OUTAGES_KEPT:], (since, None)]

    # -- reading --------------------------------------------------------------------------------------------------

    def look(self, now: Nanos) -> bool:
        """Request the candles of unchecked bars. Returns True if any candles were requested."""
        asked = False
        for market in self._markets.all():
            if not market.bar_feeds:
                continue
            trades = self._trades.get(market.pair)
            since = None if trades is None else self._whole_since(trades, now)
            for feed in market.bar_feeds.values():
                series = self._series.setdefault((market.pair, feed.resolution), _Series(now))
                if since is None or series.asking or now < series.due:
                    continue
                bars = self._ended(feed, max(series.judged_until, since), now)
                if bars:
                    self._ask(feed, series, bars, now)
                    asked = True
        return asked

    def _whole_since(self, trades: _TradesSeen, now: Nanos) -> Nanos | None:
        if trades.whole_since is None and trades.connected_at is not None:
            listed = trades.connected_at + int(_LISTED_S * self._scale)
            if listed <= now:
                # either the pair is quiet or the stream is dead; the candles will show which
                trades.whole_since = listed
        return trades.whole_since

    def _ended(self, feed: BarFeed, since: Nanos, now: Nanos) -> list[Bar]:
        """Return the bars that started at ``since`` or later and finished long enough ago to be checked."""
        # a series subscribed to at run time waits for its history
        series = next((listener[1] for listener in feed.listeners if listener[1].is_ready), None)
        if series is None:
            return []
        times = series.time
        first = int(np.searchsorted(times, since))
        last = len(times)
        while last > first and bucket_end(int(times[last - 1]), feed.resolution) + self._settle > now:
            last -= 1
        return series[first : min(last, first + _BARS_A_READ)]

    def _ask(self, feed: BarFeed, series: _Series, bars: list[Bar], now: Nanos) -> None:
        pair, resolution = bars[0].pair, feed.resolution
        start, end = bars[0].time, bucket_end(bars[-1].time, resolution)
        series.asking = True
        series.due = now + self._every

        def on_answer(answer: Answer, at: Nanos) -> None:
            series.asking = False
            if answer.outcome is Ending.OK and isinstance(answer.body, tuple):
                candles = {row.time: row for row in answer.body if isinstance(row, Candle)}
                self._compare(feed, series, bars, candles)
            # if the read fails, these bars are requested again next time

        self._reads.read(
            lambda i: GetCandles(id=i, pair=pair, resolution=resolution, start=start, end=end),
            on_answer,
            endpoint=GetCandles.endpoint,
            owner="(bars)",
            now=now,
            priority=Priority.PUBLIC_READ,
            urgent=False,
        )

    # -- comparing ------------------------------------------------------------------------------------------------

    def _compare(self, feed: BarFeed, series: _Series, bars: list[Bar], candles: dict[Nanos, Candle]) -> None:
        trades = self._trades[bars[0].pair]
        suspects, series.suspects = series.suspects, set()
        for bar in bars:
            candle = candles.get(bar.time)
            end = bucket_end(bar.time, feed.resolution)
            count = sum(trades.counts.get(minute, 0) for minute in _minutes(bar.time, end))
            differs = not agrees(bar, candle, count)
            if differs and bar.time not in suspects:
                series.suspects.add(bar.time)  # the exchange's candles may lag behind, so they are read once more
            if series.suspects:
                continue  # report bars in order, so that a stretch of differing bars is not interrupted
            series.judged_until = end
            series.checked_in_all += 1
            if differs:
                self._differs(feed, series, bar, candle, end)
            else:
                self._agrees(feed, series, bar)
        # other resolutions of the pair may still need the later data
        keep = min(s.judged_until for (pair, _), s in self._series.items() if pair == bars[0].pair)
        trades.counts = {minute: count for minute, count in trades.counts.items() if minute >= keep}
        trades.latest = {minute: late for minute, late in trades.latest.items() if minute >= keep}

    def _agrees(self, feed: BarFeed, series: _Series, bar: Bar) -> None:
        series.agreeing += 1
        if series.told and series.agreeing >= _AGREE_TO_END:
            name = f"{bar.pair} {feed.resolution}"
            self._tell("info", f"{name}: bars match the exchange's candles again, after {series.different} differences")
            series.told.clear()
            series.different = 0

    def _differs(self, feed: BarFeed, series: _Series, bar: Bar, candle: Candle | None, end: Nanos) -> None:
        series.different_in_all += 1
        series.different += 1
        series.agreeing = 0
        level, cause = self._cause(feed, bar, candle, end)
        if cause in series.told or (cause == _LATE and self._late_told):
            return
        series.told.add(cause)
        self._late_told = self._late_told or cause == _LATE
        rules, when = bar.pair.rules, format_time(bar.time, self._zone)
        ours, theirs = _figures(None if bar.empty else bar, rules), _figures(candle, rules)
        self._tell(
            level,
            f"{bar.pair} {feed.resolution}: the bar of {when} is {ours} here and {theirs} at the exchange; {cause}. "
            "The bar is not corrected, because strategies have already used it",
        )

    def _cause(
        self, feed: BarFeed, bar: Bar, candle: Candle | None, end: Nanos
    ) -> tuple[Literal["info", "warning"], str]:
        trades = self._trades[bar.pair]
        for since, until in trades.outages:
            # no trade has arrived since the reconnect, so the outage ended at the latest when the initial list was due
            if until is None and trades.connected_at is not None:
                until = trades.connected_at + int(_LISTED_S * self._scale)
            if since < end and (until is None or bar.time <= until):
                return "info", "the stream of trades was down, and the missed trades cannot be recovered"
        if any(since < end and bar.time <= until for since, until in trades.gaps):
            return "warning", "more trades happened between two frames than the exchange lists, so some were missed"
        if bar.time in feed.builder.late_bars:
            if all(trades.latest.get(minute, 0) <= _LATE_S * self._scale for minute in _minutes(bar.time, end)):
                return "info", _LATE
            return (
                "warning",
                "trades arrived long after the bar had closed, which suggests that frames of the stream were lost",
            )
        if candle is not None and not bar.empty and (candle.high > bar.high * MOST or candle.low < bar.low * LEAST):
            return "info", "an implausible price was withheld"
        return "warning", "trades were probably missed, so indicators based on bars are off as well"

    # -- figures --------------------------------------------------------------------------------------------------

    @property
    def figures(self) -> dict[str, dict[str, int]]:
        """Return the number of bars checked and the number that differed, keyed by pair and resolution, such as
        ``btc_twd 1m``.
        """
        return {
            f"{pair} {resolution}": {"checked": series.checked_in_all, "different": series.different_in_all}
            for (pair, resolution), series in self._series.items()
        }


_LATE = "trades arrived after the bar had closed; increase `bar_grace_ms` to wait for them"


def agrees(bar: Bar, candle: Candle | None, trades: int) -> bool:
    """Return True if a bar matches the exchange's candle.

    ``trades`` is the number of trades in the bar. This number matters because the stream may have rounded each trade's
    amount to amountPrecision. For an interval without trades, the exchange returns either no candle or a flat candle.
    """
    if candle is None or bar.empty:
        return bar.empty and (candle is None or candle.volume == 0)
    rules = bar.pair.rules
    step = 10 ** max(0, rules.amount_decimals - rules.display_decimals)
    scale = 10**rules.amount_decimals
    if abs(bar.volume - candle.volume) * scale > trades * step / 2 + 0.5:
        return False
    return _ticks((bar.open, bar.high, bar.low, bar.close), rules) == _ticks(
        (candle.open, candle.high, candle.low, candle.close), rules
    )


def _minutes(start: Nanos, end: Nanos) -> range:
    return range(start, end, NS_PER_MINUTE)


def _ticks(prices: Iterable[float], rules: PairRules) -> list[int]:
    return [round(price * 10**rules.price_decimals) for price in prices]


def _figures(row: Bar | Candle | None, rules: PairRules) -> str:
    if row is None:
        return "without trades"
    prices = (rules.price_text(ticks) for ticks in _ticks((row.open, row.high, row.low, row.close), rules))
    open_, high, low, close = prices
    return f"open {open_} high {high} low {low} close {close} volume {row.volume:.8g}"


__all__ = ["BarCheck", "agrees"]
