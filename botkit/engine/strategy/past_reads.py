"""Reads bars from before the start from the exchange, for a bot without a tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
#: candles in one request
_CANDLES_A_REQUEST = 5_000


class PastReads:
    """Reads the needed bars, one request at a time per series, and calls ``on_done`` when all have arrived.

    Bars that cannot be read are reported as missing and delay nothing.
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
        self._left = len(most)
        self._most = most
        self._found: dict[tuple[Pair, str], PastBars] = {}
        #: when a series was read last: its running bar is as of that time
        self._read_at: dict[tuple[Pair, str], Nanos] = {}
        self._candles: dict[tuple[Pair, str], list[Candle]] = {}
        self._is_second_round = False
        if not most:
            reads.later(now, lambda at: on_done(History()))
        for pair, resolution in most:
            self._begin(pair, resolution, now)

    def _begin(self, pair: Pair, resolution: str, now: Nanos) -> None:
        length = fixed_length(resolution) or 31 * NS_PER_DAY
        self._candles[pair, resolution] = []
        # one more than needed, since the first of a reply may be incomplete
        start = bucket_start(now - (self._most[pair, resolution] + 1) * length, resolution)
        self._ask(pair, resolution, start, now)

    def _ask(self, pair: Pair, resolution: str, start: Nanos, at: Nanos) -> None:
        length = fixed_length(resolution) or 31 * NS_PER_DAY
        last = bucket_end(bucket_start(at, resolution), resolution)
        end = min(last, start + _CANDLES_A_REQUEST * length)

        def on_answer(answer: Answer, now: Nanos) -> None:
            if answer.outcome is not Ending.OK or not isinstance(answer.body, tuple):
                why = answer.text or answer.outcome.value
                self._outbox.note("warning", f"the candles of {pair} {resolution} could not be read: {why}")
                self._end(pair, resolution, now)
                return
            self._candles[pair, resolution] += [row for row in answer.body if isinstance(row, Candle)]
            if end < last:
                self._ask(pair, resolution, end, now)
            else:
                self._end(pair, resolution, now)

        self._reads.read(
            lambda i: GetCandles(id=i, pair=pair, resolution=resolution, start=start, end=end, running=True),
            on_answer,
            endpoint=GetCandles.endpoint,
            owner=_OWNER,
            now=at,
            priority=Priority.PUBLIC_READ,
        )

    def _end(self, pair: Pair, resolution: str, now: Nanos) -> None:
        key = (pair, resolution)
        builder = BarBuilder(pair, resolution, grace_ns=0)
        bars: list[Bar] = []
        running: Bar | None = None
        begins = bucket_start(now, resolution)
        for candle in self._candles.pop(key):
            figures = (candle.time, candle.open, candle.high, candle.low, candle.close, candle.volume)
            if candle.time >= begins:
                running = Bar(pair, *figures, resolution, candle.volume == 0 and candle.high == candle.low)
            else:
                bars += builder.on_candle(*figures, resolution)
        bars += builder.close_due(begins)
        self._found[key] = PastBars(pair, resolution, tuple(bars[-self._most[key] :]), running)
        self._read_at[key] = now
        self._left -= 1
        if self._left:
            return
        # a bar that ended while others were being read was incomplete when read, and is complete by now
        ended = [key for key, at in self._read_at.items() if bucket_start(at, key[1]) < bucket_start(now, key[1])]
        if not ended or self._is_second_round:
            self._on_done(History(bars=tuple(self._found.values())))
            return
        self._is_second_round = True
        self._left = len(ended)
        for pair, resolution in ended:
            self._begin(pair, resolution, now)
