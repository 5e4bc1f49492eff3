"""The bars that are running when a run begins: what the tape has of them from before the start.

Without it the first bar after ``--from`` would hold a part of its rows and be handed over as a whole one.
"""

from __future__ import annotations

from collections.abc import Iterable

from botkit.engine.market.bars import BarBuilder, can_build
from botkit.engine.market.pair_market import PairMarket
from botkit.model.clock import Nanos
from botkit.model.columns import CandleColumns, TradeColumns
from botkit.model.resolutions import RESOLUTIONS, bucket_start
from botkit.tape.feed import Feed
from botkit.tape.manifest import StreamInfo


def complete_running_bars(markets: Iterable[PairMarket], feed: Feed, start: Nanos, candle_pairs: Iterable[str]) -> None:
    """Give every bar builder the rows received before ``start`` of the bar that is running then.

    Pairs of ``candle_pairs`` run on candles. The others run on trades; where these begin within the bar, candles of
    the time before them stand in. Call it after the strategies have subscribed and before the first row.
    """
    on_candles = frozenset(candle_pairs)
    for market in markets:
        for bars in market.bar_feeds.values():
            _complete(bars.builder, feed, start, on_candles=market.pair in on_candles)


def _complete(builder: BarBuilder, feed: Feed, start: Nanos, *, on_candles: bool) -> None:
    # the candle that ends with the start is a row of a run on candles, and the bar that it ends is still running
    pair, begins = builder.pair, bucket_start(start - 1 if on_candles else start, builder.resolution)
    trades = None if on_candles else feed.stream(pair, "trades", None)
    trades_from = start if trades is None else max(trades.start, begins)
    if trades_from > begins:
        candles = _finest_candles(feed, builder)
        if candles is not None:
            _add_candles(builder, feed, candles, begins, min(trades_from, start))
    if trades is not None and trades_from < start:
        _add_trades(builder, feed, begins, start)


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
    # received at their end: one that ends just when the trades begin belongs before them
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
                if time >= begins:  # the others belong to bars that the history holds
                    builder.on_trade(time, rules.price(ticks), rules.amount(lots))
