"""Builds the bars that precede a run's start from recorded candles or trades."""

from __future__ import annotations

from collections.abc import Sequence

from botkit.backtesting.plan import Plan
from botkit.engine.market.bars import BarBuilder, can_build
from botkit.engine.outcome_parts import HistoryWanted
from botkit.model.clock import NS_PER_DAY, Nanos
from botkit.model.columns import CandleColumns, TradeColumns
from botkit.model.events import Bar
from botkit.model.inputs import History, PastBars
from botkit.model.pairs import Pair
from botkit.model.resolutions import RESOLUTIONS, bucket_start, fixed_length
from botkit.tape.feed import Feed
from botkit.tape.manifest import StreamInfo


def history_before(feed: Feed, wanted: Sequence[HistoryWanted], now: Nanos, plan: Plan) -> History:
    """Return the most recent bars completed before ``now``, and the bars still open at ``now``. All bars are built from
    recorded candles or trades.
    """
    bars = []
    for item in wanted:
        # In a run on candles, the candle that ends at `now` will still be delivered as a row. In a run on trades it
        # will not, so the history includes that candle.
        end = now if item.pair in plan.candle_pairs else now + 1
        found = bars_before(feed, item.pair, item.resolution, item.count, end)
        running = running_bar(feed, item.pair, item.resolution, now, on_candles=item.pair in plan.candle_pairs)
        bars.append(PastBars(item.pair, item.resolution, tuple(found), running))
    return History(
        bars=tuple(bars),
        candle_pairs=plan.candle_pairs,
        kinds=frozenset((pair, kind) for pair, kind, _ in plan.keys),
    )


def bars_before(feed: Feed, pair: Pair, resolution: str, count: int, before: Nanos) -> list[Bar]:
    """Return the last ``count`` bars that ended before ``before``. They are built from the finest candles that reach
    back far enough, or otherwise from trades.
    """
    target = fixed_length(resolution) or 31 * NS_PER_DAY
    for finer in RESOLUTIONS:
        info = feed.stream(pair, "candles", finer)
        if info is None or info.start >= before:
            continue
        if RESOLUTIONS.index(finer) > RESOLUTIONS.index(resolution):
            break
        start = max(info.start, before - (count + 2) * target)
        builder = BarBuilder(pair, resolution, grace_ns=0)
        bars = _add_candles(builder, feed, info, start, before)
        bars += builder.close_due(before - 1)  # this read excludes rows that end exactly at `before`
        return bars[-count:]
    return _bars_of_trades(feed, pair, resolution, count, before)


def _bars_of_trades(feed: Feed, pair: Pair, resolution: str, count: int, before: Nanos) -> list[Bar]:
    info = feed.stream(pair, "trades", None)
    if info is None or info.start >= before:
        return []
    target = fixed_length(resolution) or 31 * NS_PER_DAY
    builder = BarBuilder(pair, resolution, grace_ns=0)
    bars = _add_trades(builder, feed, max(info.start, before - (count + 2) * target), before)
    bars += builder.close_due(before)
    # the first bar may be partial, because the rows may start within the bar
    return bars[1:][-count:]


def running_bar(feed: Feed, pair: Pair, resolution: str, start: Nanos, *, on_candles: bool) -> Bar | None:
    """Return the bar that is open at ``start``, built from the rows received earlier, or None if there are no such
    rows. Without these rows, the first bar after ``--from`` would be partial but look complete.

    For a pair that runs on candles, the bar is built from candles. For other pairs it is built from trades. If the
    trades start within the bar, candles cover the time before them.
    """
    builder = BarBuilder(pair, resolution, grace_ns=0)
    # in a run on candles, the candle that ends at `start` will still be delivered, so the bar that it completes is
    # still open
    begins = bucket_start(start - 1 if on_candles else start, resolution)
    trades = None if on_candles else feed.stream(pair, "trades", None)
    trades_from = start if trades is None else max(trades.start, begins)
    if trades_from > begins:
        candles = _finest_candles(feed, builder)
        if candles is not None:
            _add_candles(builder, feed, candles, begins, min(trades_from, start), since=begins)
    if trades is not None and trades_from < start:
        _add_trades(builder, feed, begins, start, since=begins)
    return builder.running()


def _finest_candles(feed: Feed, builder: BarBuilder) -> StreamInfo | None:
    for resolution in RESOLUTIONS:
        info = feed.stream(builder.pair, "candles", resolution)
        # a candle of the bar's own resolution would already be the complete bar
        if info is not None and resolution != builder.resolution and can_build(builder.resolution, resolution):
            return info
    return None


def _add_candles(
    builder: BarBuilder, feed: Feed, info: StreamInfo, begin: Nanos, end: Nanos, *, since: Nanos = 0
) -> list[Bar]:
    """Add the candles starting at or after ``since`` that were received from ``begin`` up to, but not including,
    ``end``. Returns the bars completed by these candles.
    """
    rules, resolution = builder.pair.rules, info.resolution
    assert resolution is not None
    bars: list[Bar] = []
    for piece in feed.slices([info.key], begin, end):
        for columns in piece.columns:
            assert isinstance(columns, CandleColumns)
            table = zip(
                *(getattr(columns, name).tolist() for name in ("time", "open", "high", "low", "close", "lots")),
                strict=True,
            )
            for time, opened, high, low, close, lots in table:
                # a candle is received when it ends, so a candle that ends exactly when the trades start precedes them
                if time >= since:
                    bars += builder.on_candle(
                        time,
                        rules.price(opened),
                        rules.price(high),
                        rules.price(low),
                        rules.price(close),
                        rules.amount(lots),
                        resolution,
                    )
    return bars


def _add_trades(builder: BarBuilder, feed: Feed, begin: Nanos, end: Nanos, *, since: Nanos = 0) -> list[Bar]:
    """Add trades in the same way as `_add_candles` adds candles."""
    rules = builder.pair.rules
    bars: list[Bar] = []
    for piece in feed.slices([(str(builder.pair), "trades", None)], begin, end):
        for columns in piece.columns:
            assert isinstance(columns, TradeColumns)
            rows = zip(columns.time.tolist(), columns.ticks.tolist(), columns.lots.tolist(), strict=True)
            for time, ticks, lots in rows:
                if time >= since:
                    bars += builder.on_trade(time, rules.price(ticks), rules.amount(lots))
    return bars
