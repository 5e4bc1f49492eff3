"""Reads the bars that precede the start from the exchange, for a bot without a tape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from botkit.engine.market.bars import BarBuilder
from botkit.engine.orders.reads import Reads
from botkit.engine.outcome import Outbox
from botkit.engine.outcome_parts import HistoryWanted
from botkit.engine.router.router import Priority
from botkit.model.clock import NS_PER_DAY, Nanos
from botkit.model.events import Bar, Candle
from botkit.model.inputs import History, PastBars
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, Ending, GetCandles
from botkit.model.resolutions import bucket_end, bucket_start, fixed_length

_OWNER = "(history)"
#: maximum number of candles per request
_CANDLES_A_REQUEST = 5_000


class _PastSeries:
    """Bars of one pair and resolution: the number needed, and those read so far."""

    __slots__ = ("_candles", "bars", "length", "most", "pair", "read_at", "resolution")

    def __init__(self, pair: Pair, resolution: str, most: int) -> None:
        self.pair = pair
        self.resolution = resolution
        self.most = most
        self.length: Nanos = fixed_length(resolution) or 31 * NS_PER_DAY
        self._candles: list[Candle] = []
        #: the bars, once all have been read, and the time at which they and the running bar were read
        self.bars: PastBars | None = None
        self.read_at: Nanos = 0

    def begin(self, now: Nanos) -> Nanos:
        """Start over. Returns the time from which candles are needed."""
        self._candles.clear()
        # one more than needed, because the first candle in a response may be incomplete
        return bucket_start(now - (self.most + 1) * self.length, self.resolution)

    def take(self, rows: Iterable[object]) -> None:
        """Add the candles of a response."""
        self._candles += [row for row in rows if isinstance(row, Candle)]

    def end(self, now: Nanos) -> None:
        """Build bars from the candles. Called when all candles have arrived."""
        builder = BarBuilder(self.pair, self.resolution, grace_ns=0)
        bars: list[Bar] = []
        running: Bar | None = None
        begins = bucket_start(now, self.resolution)
        for candle in self._candles:
            figures = (candle.time, candle.open, candle.high, candle.low, candle.close, candle.volume)
            if candle.time >= begins:
                is_flat = candle.volume == 0 and candle.high == candle.low
                running = Bar(self.pair, *figures, self.resolution, is_flat)
            else:
                bars += builder.on_candle(*figures, self.resolution)
        bars += builder.close_due(begins)
        self.bars = PastBars(self.pair, self.resolution, tuple(bars[-self.most :]), running)
        self.read_at = now

    def has_ended_since(self, now: Nanos) -> bool:
        """Return True if the bar that was unfinished when it was read has ended since then."""
        return bucket_start(self.read_at, self.resolution) < bucket_start(now, self.resolution)


class PastReads:
    """Reads the needed bars, one request at a time per series, and calls ``on_done`` when all have arrived.

    Bars that cannot be read are immediately reported as missing.
    """

    def __init__(
        self,
        wanted: Sequence[HistoryWanted],
        reads: Reads,
        outbox: Outbox,
        now: Nanos,
        on_done: Callable[[History], None],
    ) -> None:
        most: dict[tuple[Pair, str], int] = {}
        for item in wanted:
            key = (item.pair, item.resolution)
            most[key] = max(item.count, most.get(key, 0))
        self._reads = reads
        self._outbox = outbox
        self._on_done = on_done
        self._all = [_PastSeries(*key, count) for key, count in most.items()]
        self._left = 0
        self._is_second_round = False
        if not most:
            reads.later(now, lambda at: on_done(History()))
        self._begin(self._all, now)

    def _begin(self, series: Sequence[_PastSeries], now: Nanos) -> None:
        self._left = len(series)
        for one in series:
            self._ask(one, one.begin(now), now)

    def _ask(self, series: _PastSeries, start: Nanos, at: Nanos) -> None:
        pair, resolution = series.pair, series.resolution
        last = bucket_end(bucket_start(at, resolution), resolution)
        end = min(last, start + _CANDLES_A_REQUEST * series.length)

        def on_answer(answer: Answer, now: Nanos) -> None:
            if answer.outcome is not Ending.OK or not isinstance(answer.body, tuple):
                why = answer.text or answer.outcome.value
                self._outbox.note("warning", f"the candles of {pair} {resolution} could not be read: {why}")
                self._end(series, now)
                return
            series.take(answer.body)
            if end < last:
                self._ask(series, end, now)
            else:
                self._end(series, now)

        self._reads.read(
            lambda i: GetCandles(id=i, pair=pair, resolution=resolution, start=start, end=end, running=True),
            on_answer,
            endpoint=GetCandles.endpoint,
            owner=_OWNER,
            now=at,
            priority=Priority.PUBLIC_READ,
        )

    def _end(self, series: _PastSeries, now: Nanos) -> None:
        series.end(now)
        self._left -= 1
        if self._left:
            return
        # a bar that ended during the other reads was incomplete when it was read, but is complete now
        ended = [one for one in self._all if one.has_ended_since(now)]
        if not ended or self._is_second_round:
            self._on_done(History(bars=tuple(one.bars for one in self._all if one.bars is not None)))
            return
        self._is_second_round = True
        self._begin(ended, now)
