"""Reading bars from before the start from the exchange, for a bot that has no tape to take them from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from botkit.engine.market.bars import BarBuilder
from botkit.engine.orders.reads import Reads
from botkit.engine.outcome import HistoryWanted, Outbox
from botkit.engine.router.router import Priority
from botkit.model.clock import NS_PER_DAY, Nanos
from botkit.model.events import Bar, Candle
from botkit.model.inputs import History, PastBars
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, GetCandles, Outcome
from botkit.model.resolutions import bucket_start, fixed_length

_OWNER = "(history)"
#: candles in one request
_CANDLES_A_REQUEST = 5_000


class PastReads:
    """Reads what is wanted, a request at a time a series, and calls ``on_done`` when all of it is there.

    What cannot be read is missing, and said; it delays nothing.
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
        self._now = now
        self._on_done = on_done
        self._left = len(most)
        self._found: list[PastBars] = []
        self._candles: dict[tuple[Pair, str], list[Candle]] = {key: [] for key in most}
        if not most:
            reads.later(now, lambda at: on_done(History()))
        for (pair, resolution), count in most.items():
            length = fixed_length(resolution) or 31 * NS_PER_DAY
            # two more than wanted: the first of a reply may be cut, and the running one is left out
            start = bucket_start(now - (count + 2) * length, resolution)
            self._ask(pair, resolution, count, start, now)

    def _ask(self, pair: Pair, resolution: str, count: int, start: Nanos, at: Nanos) -> None:
        length = fixed_length(resolution) or 31 * NS_PER_DAY
        end = min(self._now, start + _CANDLES_A_REQUEST * length)

        def on_answer(answer: Answer, now: Nanos) -> None:
            if answer.outcome is not Outcome.OK or not isinstance(answer.body, tuple):
                why = answer.text or answer.outcome.value
                self._outbox.note("warning", f"the candles of {pair} {resolution} could not be read: {why}")
                self._end(pair, resolution, count)
                return
            self._candles[pair, resolution] += [row for row in answer.body if isinstance(row, Candle)]
            if end < self._now:
                self._ask(pair, resolution, count, end, now)
            else:
                self._end(pair, resolution, count)

        self._reads.read(
            lambda i: GetCandles(id=i, pair=pair, resolution=resolution, start=start, end=end),
            on_answer,
            endpoint=GetCandles.endpoint,
            owner=_OWNER,
            now=at,
            priority=Priority.PUBLIC_READ,
        )

    def _end(self, pair: Pair, resolution: str, count: int) -> None:
        builder = BarBuilder(pair, resolution, grace_ns=0)
        bars: list[Bar] = []
        for candle in self._candles.pop((pair, resolution)):
            bars += builder.on_candle(
                candle.time, candle.open, candle.high, candle.low, candle.close, candle.volume, resolution
            )
        bars += builder.close_due(bucket_start(self._now, resolution))
        self._found.append(PastBars(pair, resolution, tuple(bars[-count:])))
        self._left -= 1
        if not self._left:
            self._on_done(History(bars=tuple(self._found)))
