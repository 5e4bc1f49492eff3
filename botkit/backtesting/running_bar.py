"""The bars still open when a run begins: what the tape has of them from before the start.

Without this the first bar after ``--from`` would be partial but look whole.
"""

from __future__ import annotations

from botkit.engine.market.bars import BarBuilder, can_build
from botkit.model.clock import Nanos
from botkit.model.columns import CandleColumns, TradeColumns
from botkit.model.events import Bar
from botkit.model.pairs import Pair
from botkit.model.resolutions import RESOLUTIONS, bucket_start
from botkit.tape.feed import Feed
from botkit.tape.manifest import StreamInfo


def running_bar(feed: Feed, pair: Pair, resolution: str, start: Nanos, *, on_candles: bool) -> Bar | None:
    """The bar open at ``start``, built from the rows received before; None if there are none.

    A pair that runs on candles uses candles. The others use trades; if these begin within the bar, candles of
    the time before them stand in.
    """
    builder = BarBuilder(pair, resolution, grace_ns=0)
    # a run on candles still gets the candle that ends at the start, so the bar it closes is still open
    begins = bucket_start(start - 1 if on_candles else start, resolution)
    trades = None if on_candles else feed.stream(pair, "trades", None)
    trades_from = start if trades is None else max(trades.start, begins)
    if trades_from > begins:
        candles = _finest_candles(feed, builder)
        if candles is not None:
            _add_candles(builder, feed, candles, begins, min(trades_from, start))
    if trades is not None and trades_from < start:
        _add_trades(builder, feed, begins, start)
    return builder.running()


def _finest_candles(feed: Feed, builder: BarBuilder) -> StreamInfo | None:
    for resolution in RESOLUTIONS:
        info = feed.stream(builder.pair, "candles", resolution)
        # a candle of the bar's own length would be the whole bar
        if info is not None and resolution != builder.resolution and can_build(builder.resolution, resolution):
            return info
    return None


def _add_candles(builder: BarBuilder, feed: Feed, info: StreamInfo, begins: Nanos, until: Nanos) -> None:
    rules = builder.pair.rules
    resolution = info.resolution
    assert resolution is not None
    # candles are received at their end: one that ends when the trades begin comes before them
    for piece in feed.slices([info.key], begins, until):
        for columns in piece.columns:
            assert isinstance(columns, CandleColumns)
            table = zip(
                *(getattr(columns, name).tolist() for name in ("time", "open", "high", "low", "close", "lots")),
                strict=True,
            )
            for time, opened, high, low, close, lots in table:
                if time >= begins:
                    builder.on_candle(
                        time,
                        rules.price(opened),
                        rules.price(high),
                        rules.price(low),
                        rules.price(close),
                        rules.amount(lots),
                        resolution,
                    )


def _add_trades(builder: BarBuilder, feed: Feed, begins: Nanos, start: Nanos) -> None:
    rules = builder.pair.rules
    for piece in feed.slices([(str(builder.pair), "trades", None)], begins, start):
        for columns in piece.columns:
            assert isinstance(columns, TradeColumns)
            rows = zip(columns.time.tolist(), columns.ticks.tolist(), columns.lots.tolist(), strict=True)
            for time, ticks, lots in rows:
                if time >= begins:  # the others belong to bars in the history
                    builder.on_trade(time, rules.price(ticks), rules.amount(lots))
