"""Bars from before the start: what strategies ask for in ``on_start``, read from the exchange beforehand."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from botkit.engine.market.bars import BarBuilder
from botkit.model.clock import NS_PER_DAY, Nanos
from botkit.model.events import Bar, Candle
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, GetCandles, Outcome, Request
from botkit.model.resolutions import bucket_start, fixed_length

log = logging.getLogger("botkit.live")

#: candles asked for in one request
_CANDLES_A_REQUEST = 5_000

Ask = Callable[[Callable[[int], Request], str], Awaitable[Answer]]


class History:
    """Finished bars by (pair, resolution). Used as the engine's ``history``; what was not read is not there."""

    def __init__(self) -> None:
        self._bars: dict[tuple[str, str], list[Bar]] = {}
        #: the most bars that were asked for of each series: a probe's questions, answered for the bot
        self.wanted: dict[tuple[Pair, str], int] = {}

    def __call__(self, pair: Pair, resolution: str, count: int) -> Sequence[Bar]:
        """The last ``count`` finished bars before the start."""
        self.wanted[pair, resolution] = max(count, self.wanted.get((pair, resolution), 0))
        bars = self._bars.get((pair, resolution), [])
        return bars[-count:] if count else []

    def last_price(self, pair: Pair) -> float | None:
        """The close of the newest bar that was read of a pair."""
        newest = [bars[-1] for (name, _), bars in self._bars.items() if name == pair and bars]
        return max(newest, key=lambda bar: bar.time).close if newest else None

    async def read(self, wanted: dict[tuple[Pair, str], int], ask: Ask, now: Nanos) -> None:
        """Read what is wanted. What cannot be read is missing, and said; it delays nothing."""
        for (pair, resolution), count in wanted.items():
            if count:
                self._bars[pair, resolution] = await _bars(pair, resolution, count, ask, now)


async def _bars(pair: Pair, resolution: str, count: int, ask: Ask, now: Nanos) -> list[Bar]:
    length = fixed_length(resolution) or 31 * NS_PER_DAY
    # two more than wanted: the first of a reply may be cut, and the running one is left out
    start = bucket_start(now - (count + 2) * length, resolution)
    candles: list[Candle] = []
    while start < now:
        end = min(now, start + _CANDLES_A_REQUEST * length)
        answer = await ask(_request(pair, resolution, start, end), GetCandles.endpoint)
        if answer.outcome is not Outcome.OK or not isinstance(answer.body, tuple):
            log.warning("the candles of %s %s could not be read: %s", pair, resolution, answer.text)
            break
        candles += [row for row in answer.body if isinstance(row, Candle)]
        start = end
    builder = BarBuilder(pair, resolution, grace_ns=0)
    bars: list[Bar] = []
    for candle in candles:
        bars += builder.on_candle(
            candle.time, candle.open, candle.high, candle.low, candle.close, candle.volume, resolution
        )
    bars += builder.close_due(bucket_start(now, resolution))
    return bars[-count:]


def _request(pair: Pair, resolution: str, start: Nanos, end: Nanos) -> Callable[[int], Request]:
    return lambda i: GetCandles(id=i, pair=pair, resolution=resolution, start=start, end=end)
