"""Data for the charts: few points, rounded, in local time, so that a page with many pairs stays small."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import tzinfo
from itertools import pairwise
from typing import Any, TypeAlias

from botkit.model.clock import NS_PER_DAY, NS_PER_MS, NS_PER_S, Nanos, to_datetime
from botkit.model.results import BacktestResult, Curve, FillRow, IndicatorLine, PriceCandles

ChartData: TypeAlias = dict[str, Any]

#: at most this many points per equity curve (the bot's and each strategy's), candles, and pairs; a point takes 25 to 50
#: bytes
EQUITY_POINTS_MAX = 4_000
STRATEGY_POINTS_MAX = 1_000
PAIRS_MAX = 8
CANDLES_MAX = 1_500
CANDLES_MAX_TOGETHER = 6_000
#: at most this many indicator and plot lines on a pair's chart, and values of them on all charts together
LINES_MAX = 16
LINE_VALUES_MAX_TOGETHER = 60_000


class LocalTimes:
    """Converts times to milliseconds of local time. The chart library supports only UTC, so it gets local time labelled
    as UTC.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._offsets: dict[int, int] = {}  # UTC offsets, by quarter hour

    def ms(self, time: Nanos) -> int:
        """Return a time in local milliseconds."""
        hour = time // (900 * NS_PER_S)  # clock changes happen on the hour in UTC, but some zones are at :30 or :45
        offset = self._offsets.get(hour)
        if offset is None:
            delta = to_datetime(hour * 900 * NS_PER_S, self._zone).utcoffset()
            offset = self._offsets[hour] = round(delta.total_seconds() * 1000) if delta else 0
        return time // NS_PER_MS + offset


def rounded(value: float) -> float:
    """Round to eight significant digits, because more would not be visible and would double the page's size."""
    return float(f"{value:.8g}")


def thin(curve: Curve, points_max: int) -> Curve:
    """Reduce a curve to ``points_max`` points, keeping both ends and each stretch's lowest and highest point."""
    n = len(curve.times)
    if n <= points_max:
        return curve
    stretches = (points_max - 2) // 2
    kept = {0, n - 1}
    for i in range(stretches):
        part = range(i * n // stretches, (i + 1) * n // stretches)
        kept.add(min(part, key=curve.values.__getitem__))
        kept.add(max(part, key=curve.values.__getitem__))
    rows = sorted(kept)
    return Curve([curve.times[i] for i in rows], [curve.values[i] for i in rows])


def ascending(times: Sequence[int]) -> list[int]:
    """Select points at strictly ascending times, by index; of several points in one millisecond, the last.

    If a clock change repeats an hour, only the first pass is kept, because the chart library refuses times that go
    back.
    """
    rows: list[int] = []
    for i, time in enumerate(times):
        if rows and time == times[rows[-1]]:
            rows[-1] = i
        elif not rows or time > times[rows[-1]]:
            rows.append(i)
    return rows


def deltas(times: Sequence[int]) -> list[int]:
    """Return the first time, followed by differences, which need half the digits."""
    return [*times[:1], *(b - a for a, b in pairwise(times))]


def line(curve: Curve, local: LocalTimes, points_max: int, *, less: float = 0.0) -> ChartData:
    """Return a curve in the page's format, with ``less`` subtracted."""
    curve = thin(curve, points_max)
    return _points([local.ms(t) for t in curve.times], [rounded(v - less) for v in curve.values])


def _points(times: Sequence[int], values: Sequence[float]) -> ChartData:
    rows = ascending(times)
    return {"t": deltas([times[i] for i in rows]), "v": [values[i] for i in rows]}


def drawdowns(curve: Curve, local: LocalTimes) -> ChartData:
    """Compute the equity relative to its previous peak, in percent (0 or below)."""
    falls, peak = [], float("-inf")
    for value in curve.values:
        peak = max(peak, value)
        falls.append(round((value / peak - 1) * 100, 4) if peak > 0 else 0.0)
    return _points([local.ms(t) for t in curve.times], falls)


def join_candles(candles: PriceCandles, candles_max: int) -> PriceCandles:
    """Join candles into wider ones if there are more than ``candles_max``."""
    n = len(candles.times)
    if n <= candles_max:
        return candles
    step = -(-n // candles_max)
    cuts = [slice(i, i + step) for i in range(0, n, step)]
    return PriceCandles(
        candles.pair,
        candles.width * step,
        [candles.times[c.start] for c in cuts],
        [candles.open[c.start] for c in cuts],
        [max(candles.high[c]) for c in cuts],
        [min(candles.low[c]) for c in cuts],
        [candles.close[c][-1] for c in cuts],
        [sum(candles.volume[c]) for c in cuts] if candles.volume else [],
    )


def marks(candles: PriceCandles, fills: Sequence[FillRow]) -> list[list[Any]]:
    """Create marks for fills on a pair's candles, one per candle and side: [candle, side, fills, amount, average
    price].

    One mark per fill would make the page too large.
    """
    joined: dict[tuple[int, str], list[float]] = {}
    for fill in fills:
        at = bisect_right(candles.times, fill.time) - 1
        sums = joined.setdefault((max(at, 0), fill.side), [0, 0.0, 0.0])
        rules = fill.pair.rules
        amount = rules.amount(fill.lots)
        sums[0] += 1
        sums[1] += amount
        sums[2] += amount * rules.price(fill.price_ticks)
    return [
        [at, 1 if side == "buy" else -1, number, rounded(amount), rounded(value / amount if amount else 0.0)]
        for (at, side), (number, amount, value) in sorted(joined.items())
    ]


def line_values(candles: PriceCandles, found: IndicatorLine) -> list[float | None]:
    """Return a line's last value within each candle, or None if it has none there.

    Values are placed at the candles' times, because the chart library would leave a gap in the candles at any other
    time.
    """
    values: list[float | None] = []
    done = bisect_left(found.times, candles.times[0]) if candles.times else 0
    ends = [*candles.times[1:], candles.times[-1] + candles.width] if candles.times else []
    for end in ends:
        stop = bisect_left(found.times, end, done)
        values.append(rounded(found.values[stop - 1]) if stop > done else None)
        done = stop
    return values


def line_charts(candles: PriceCandles, lines: Sequence[IndicatorLine]) -> list[ChartData]:
    """Return the lines on a pair's chart. Lines of one indicator share a number, which determines their colour."""
    several = len({found.strategy for found in lines}) > 1
    numbers: dict[tuple[str, str], int] = {}
    charts = []
    for found in lines:
        values = line_values(candles, found)
        if all(value is None for value in values):
            continue
        title = f"{found.name} {found.field}" if found.field else found.name
        charts.append(
            {
                "name": f"{found.strategy}: {title}" if several else title,
                "field": found.field,
                "pane": found.pane,
                "group": numbers.setdefault((found.strategy, found.name), len(numbers)),
                "v": values,
            }
        )
    return charts


def pair_chart(
    candles: PriceCandles,
    fills: Sequence[FillRow],
    local: LocalTimes,
    candles_max: int,
    lines: Sequence[IndicatorLine] = (),
) -> ChartData:
    """Return one pair's price, volume and fills, with its strategies' indicators and plots."""
    candles = join_candles(candles, candles_max)
    rows = ascending([local.ms(t) for t in candles.times])
    times = [candles.times[i] for i in rows]
    volume = [candles.volume[i] for i in rows] if any(candles.volume) else []
    figures = {name: [getattr(candles, name)[i] for i in rows] for name in ("open", "high", "low", "close")}
    candles = PriceCandles(candles.pair, candles.width, times, **figures, volume=volume)
    return {
        "pair": str(candles.pair),
        "base": candles.pair.base.upper(),
        "decimals": candles.pair.rules.price_decimals,
        "t": deltas([local.ms(t) for t in candles.times]),
        **{name[0]: [rounded(v) for v in column] for name, column in figures.items()},
        "volume": [float(f"{v:.4g}") for v in volume],
        "marks": marks(candles, fills) if candles.times else [],
        "lines": line_charts(candles, lines[:LINES_MAX]),
        "left_out": max(0, len(lines) - LINES_MAX),
    }


def buy_and_hold(result: BacktestResult, local: LocalTimes) -> ChartData | None:
    """Return the run's benchmark, or else the value of the opening equity if it were invested in the traded pair; None
    unless there is exactly one.
    """
    if result.benchmark is not None:
        return line(result.benchmark.equity, local, EQUITY_POINTS_MAX)
    opening = result.summary.get("opening_equity")
    if len(result.prices) != 1 or not isinstance(opening, (int, float)):
        return None
    candles = result.prices[0]
    if candles.pair.quote != result.currency or not candles.times or not candles.open[0]:
        return None
    scale = opening / candles.open[0]
    ends = [min(t + candles.width, result.end) for t in candles.times]
    curve = Curve([candles.times[0], *ends], [opening, *(close * scale for close in candles.close)])
    return line(curve, local, EQUITY_POINTS_MAX)


def charts(result: BacktestResult, zone: tzinfo) -> ChartData:
    """Return the data of everything that the page draws."""
    local = LocalTimes(zone)
    equity = thin(result.equity, EQUITY_POINTS_MAX)
    strategies = []
    if len(result.strategy_equity) > 1:
        for name, curve in list(result.strategy_equity.items())[:12]:
            opening = curve.values[0] if curve.values else 0.0
            strategies.append({"name": name, **line(curve, local, STRATEGY_POINTS_MAX, less=opening)})
    fills: dict[str, list[FillRow]] = {}
    for fill in result.fills:
        fills.setdefault(str(fill.pair), []).append(fill)
    # traded pairs first, because not all pairs may fit
    prices = sorted(result.prices, key=lambda c: str(c.pair) not in fills)[:PAIRS_MAX]
    lines: dict[str, list[IndicatorLine]] = {}
    for found in result.indicators:
        lines.setdefault(found.pair, []).append(found)
    number = sum(min(LINES_MAX, len(lines.get(str(candles.pair), ()))) for candles in prices)
    candles_max = min(CANDLES_MAX, CANDLES_MAX_TOGETHER // max(1, len(prices)))
    candles_max = min(candles_max, LINE_VALUES_MAX_TOGETHER // max(1, number))
    return {
        "currency": result.currency.upper(),
        "seconds": result.end - result.start < NS_PER_DAY,
        "equity": line(equity, local, EQUITY_POINTS_MAX),
        "drawdown": drawdowns(equity, local),
        "hold": buy_and_hold(result, local),
        "strategies": strategies,
        "prices": [
            pair_chart(c, fills.get(str(c.pair), []), local, candles_max, lines.get(str(c.pair), [])) for c in prices
        ],
    }
