"""Data for the charts. Points are in local time. Curves are reduced to a limited number of points, and values are
rounded, so that a page with many pairs stays small.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from datetime import tzinfo
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from botkit.model.clock import NS_PER_DAY, NS_PER_MS, Nanos
from botkit.model.money import UNIT
from botkit.model.resolutions import RESOLUTIONS, fixed_length
from botkit.model.results import BacktestResult, Curve, FillRow, IndicatorLine, OrderRow, PriceCandles
from botkit.model.row_columns import ChosenRows, column_blocks, row_values
from botkit.model.zone_offsets import offsets_s
from botkit.report.blocks import LongList, blocks_of, deltas_in_blocks, picked, rows_until
from botkit.report.holdings import FloatArray, Holdings, IntArray
from botkit.report.packing import BLOCK_ROWS, column_of, deltas, joined_column, narrow
from botkit.report.resting import longest, rested, resting_columns
from botkit.report.trade_list import trade_columns

ChartData: TypeAlias = dict[str, Any]
#: for each candle, the index of a line's point
PointArray: TypeAlias = npt.NDArray[np.int32]

#: maximum numbers of points per equity curve (the bot's and each strategy's), pairs, and candles; each point takes 25
#: to 50 bytes
EQUITY_POINTS_MAX = 4_000
STRATEGY_POINTS_MAX = 1_000
#: number of points in an equity curve that never changes
QUIET_POINTS = 1_000
PAIRS_MAX = 8
CANDLES_MAX = 1_050_000
CANDLES_MAX_TOGETHER = 1_050_000
#: above this number of candles, volumes have three significant digits instead of four
CANDLES_MANY = 300_000
#: maximum number of indicator and plot lines on a pair's chart, and of line values on all charts combined
LINES_MAX = 16
#: maximum number of coins with their own pane below the equity curve
COINS_MAX = 3
LINE_VALUES_MAX_TOGETHER = 600_000
#: significant digits of a line's largest value; all values on the line have the same number of decimals
LINE_DIGITS = 9
#: number of marks that are computed together
MARKS_AT_A_TIME = 2_048


def local_ms(times: Sequence[Nanos], zone: tzinfo) -> IntArray:
    """Return times in milliseconds of local time. The chart library supports only UTC, so it receives local times
    labeled as UTC.
    """
    column = np.asarray(times, np.int64)
    return column // NS_PER_MS + offsets_s(column, zone) * 1000


def rounded(value: float) -> float:
    """Round to eight significant digits. More digits would not be visible and would double the page size."""
    return float(f"{value:.8g}")


def shown(value: float) -> float:
    """Round to the precision of the values shown at the crosshair, so that the values shown are not rounded twice."""
    return float(f"{value:.13g}")


def thin(curve: Curve, points_max: int) -> Curve:
    """Reduce a curve to ``points_max`` points, keeping both ends and each segment's lowest and highest points."""
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


def ascending(times: Sequence[int] | IntArray) -> list[int]:
    """Return the indices of points at strictly increasing times. If several points fall within the same millisecond,
    the last is kept.

    If a clock change repeats an hour, only the first occurrence of the hour is kept, because the chart library refuses
    decreasing times.
    """
    column = np.asarray(times, np.int64)
    highest = np.flatnonzero(column == np.maximum.accumulate(column))
    found: list[int] = highest[np.flatnonzero(np.diff(column[highest], append=np.iinfo(np.int64).max))].tolist()
    return found


def line(curve: Curve, zone: tzinfo, points_max: int, *, less: float = 0.0) -> ChartData:
    """Return a curve in the page's format, with ``less`` subtracted from each value."""
    curve = thin(curve, points_max)
    return _points(local_ms(curve.times, zone).tolist(), [rounded(v - less) for v in curve.values])


def _points(times: Sequence[int], values: Sequence[float]) -> ChartData:
    rows = ascending(times)
    return {"t": deltas([times[i] for i in rows]), "v": [values[i] for i in rows]}


def falls_below_peak(values: Sequence[float]) -> list[float]:
    """Return each value relative to the highest value so far, in percent (0 or below)."""
    falls, peak = [], float("-inf")
    for value in values:
        peak = max(peak, value)
        # adding zero turns a negative zero into a positive zero
        falls.append(round((value / peak - 1) * 100, 4) + 0.0 if peak > 0 else 0.0)
    return falls


def with_quiet_fills(candles: PriceCandles, fills: Sequence[FillRow], length: Nanos) -> PriceCandles:
    """Add a flat candle wherever there was a fill but no recorded trade, so that every fill lies within a candle.
    Candles last ``length`` ns.
    """
    if not candles.times or not fills:
        return candles
    at = np.fromiter(row_values(fills, "time"), np.int64, len(fills))
    # a fill lies outside if the latest candle up to its time began a candle's length before it, or if there is none
    outside = rows_until(candles.times, at) == rows_until(candles.times, at - length)
    starts = np.unique(at[outside] // length * length)
    if not len(starts):
        return candles
    times = np.asarray(candles.times, np.int64)
    before = np.searchsorted(times, starts, side="right") - 1
    flat = np.where(before < 0, candles.open[0], np.asarray(candles.close)[np.maximum(before, 0)])
    order = np.argsort(np.concatenate((times, starts)), kind="stable")

    def merged(column: Sequence[float], added: FloatArray) -> Sequence[float]:
        return array("d", np.concatenate((column, added))[order].tobytes())

    return PriceCandles(
        candles.pair,
        candles.width,
        array("q", np.concatenate((times, starts))[order].tobytes()),
        merged(candles.open, flat),
        merged(candles.high, flat),
        merged(candles.low, flat),
        merged(candles.close, flat),
        merged(candles.volume, np.zeros(len(starts))) if candles.volume else [],
    )


def join_candles(candles: PriceCandles, candles_max: int) -> PriceCandles:
    """Merge candles into longer candles if there are more than ``candles_max``."""
    n = len(candles.times)
    if n <= candles_max:
        return candles
    step = -(-n // candles_max)
    joined = PriceCandles(
        candles.pair, candles.width * step, array("q"), array("d"), array("d"), array("d"), array("d"), array("d")
    )
    for cut in blocks_of(n, max(1, BLOCK_ROWS // step) * step):
        firsts = np.arange(0, cut.stop - cut.start, step)
        lasts = np.append(firsts[1:], cut.stop - cut.start) - 1
        opens, highs, lows, closes = (
            np.asarray(column[cut], float) for column in (candles.open, candles.high, candles.low, candles.close)
        )
        for column, values in (
            (joined.times, np.asarray(candles.times[cut], np.int64)[firsts]),
            (joined.open, opens[firsts]),
            (joined.high, np.maximum.reduceat(highs, firsts)),
            (joined.low, np.minimum.reduceat(lows, firsts)),
            (joined.close, closes[lasts]),
            (joined.volume, _summed(np.asarray(candles.volume[cut], float), step)),
        ):
            assert isinstance(column, array)
            column.frombytes(values.tobytes())
    return joined


def _summed(values: FloatArray, step: int) -> FloatArray:
    """Return the sums of every ``step`` values, added one after the other."""
    padded = np.zeros(-(-len(values) // step) * step)
    padded[: len(values)] = values
    return sum(padded.reshape(-1, step).T, np.zeros(len(padded) // step))


def marks(candles: PriceCandles, fills: Sequence[FillRow]) -> ChartData:
    """Return marks for fills on a pair's candles, one per candle and side. The columns are candle indices as
    differences, sides (1 or -1), numbers of fills, lots, and average prices in ticks above the candle's close.

    One mark per fill would make the page too large.
    """
    at = np.fromiter(row_values(fills, "time"), np.int64, len(fills))
    rows = np.maximum(rows_until(candles.times, at) - 1, 0) if len(at) else at
    sides = np.fromiter((1 if side == "buy" else -1 for side in row_values(fills, "side")), np.int8, len(fills))
    lots = np.fromiter(row_values(fills, "lots"), np.int64, len(fills))
    ticks = np.fromiter(row_values(fills, "price_ticks"), np.int64, len(fills))
    order = np.lexsort((sides, rows))
    rows, sides, lots, ticks = rows[order], sides[order], lots[order], ticks[order]
    begins = np.flatnonzero(np.diff(rows, prepend=-1) | np.diff(sides, prepend=0))
    counts = np.diff(np.append(begins, len(rows)))
    scale = 10**candles.pair.rules.price_decimals
    closes = picked(candles.close, rows[begins])
    amounts, prices = LongList(), LongList()
    for cut in blocks_of(len(begins), MARKS_AT_A_TIME):
        end = len(rows) if cut.stop == len(begins) else begins[cut.stop]
        part, firsts = slice(begins[cut.start], end), begins[cut] - begins[cut.start]
        # products and sums may have more than 64 bits
        several = lots[part].astype(object)
        summed = np.add.reduceat(several, firsts).tolist()
        worths = np.add.reduceat(several * ticks[part], firsts).tolist()
        amounts.extend(summed)
        prices.extend(
            [
                _whole_if_exact(worth, amount) - round(close * scale)
                for worth, amount, close in zip(worths, summed, closes[cut].tolist(), strict=True)
            ]
        )
    return {
        "row": deltas(rows[begins]),
        "side": column_of(sides[begins].astype(np.int64)),
        "fills": column_of(counts.astype(np.int64)),
        "lots": amounts.column(),
        "price": prices.column(),
    }


def _whole_if_exact(value: int, lots: int) -> float:
    """Return value / lots, as an integer if the result is exact, because integers need fewer digits."""
    ticks, rest = divmod(value, lots) if lots else (0, 0)
    return ticks if not rest else round(ticks + rest / lots, 4)


def points_in_force(candles: PriceCandles, found: IndicatorLine) -> PointArray:
    """For each candle, return the index of a line's last point up to the candle's end, or -1 before the first point.

    Values are placed at the candles' times, because the chart library would leave a gap in the candles at any other
    time. The value of an indicator on longer bars stays in force until its next bar.
    """
    points, count = np.asarray(found.times, np.int64), len(candles.times)
    in_force = np.full(count, -1, np.int32)
    for cut in blocks_of(count):
        ends = np.asarray(candles.times[cut.start + 1 : cut.stop + 1], np.int64)
        if cut.stop == count:
            ends = np.append(ends, candles.times[count - 1] + candles.width)
        stops = np.searchsorted(points, ends)
        in_force[cut] = np.where(stops > np.searchsorted(points, candles.times[0]), stops - 1, -1)
    return in_force


def in_force(values: Sequence[float], points: PointArray) -> ChartData:
    """Return a line's values in columns: the index of the first candle with a value, then the values as differences of
    scaled integers.
    """
    first = int((points >= 0).argmax())
    points = points[first:]
    used = np.zeros(len(values), bool)
    used[points] = True
    known = [rounded(value) if is_used else 0.0 for value, is_used in zip(values, used.tolist(), strict=True)]
    largest = max(map(abs, known), default=0.0)
    decimals = max(0, LINE_DIGITS - (math.floor(math.log10(largest)) + 1)) if largest else 0
    whole = np.array([round(value * 10**decimals) for value in known], np.int64)
    column = deltas_in_blocks(whole[points[cut]] for cut in blocks_of(len(points)))
    return {"first": first, "decimals": decimals, "v": column}


def line_charts(candles: PriceCandles, lines: Sequence[IndicatorLine]) -> list[ChartData]:
    """Return the lines on a pair's chart. Lines from the same indicator share a number, which determines their
    color.
    """
    several = len({found.strategy for found in lines}) > 1
    numbers: dict[tuple[str, str], int] = {}
    charts = []
    for found in lines:
        points = points_in_force(candles, found)
        if not (points >= 0).any():
            continue
        title = f"{found.name} {found.field}" if found.field else found.name
        charts.append(
            {
                "name": f"{found.strategy}: {title}" if several else title,
                "field": found.field,
                "pane": found.pane,
                "group": numbers.setdefault((found.strategy, found.name), len(numbers)),
                **in_force(found.values, points),
            }
        )
    return charts


def pair_chart(
    candles: PriceCandles,
    fills: Sequence[FillRow],
    zone: tzinfo,
    candles_max: int,
    lines: Sequence[IndicatorLine] = (),
    bar: Nanos = 0,
    resting: ChartData | None = None,
    simulated: Sequence[FillRow] | None = None,
) -> ChartData:
    """Return one pair's price, volume and fills, with its strategies' indicators and plots, and its ``resting`` orders.
    Recorded candles were ``bar`` ns long, if there were any. ``simulated`` are simulated fills to draw over the real
    fills.
    """
    drawn = fills if simulated is None else [*fills, *simulated]
    whole = with_quiet_fills(candles, drawn, max(bar, candles.width))
    candles = join_candles(whole, candles_max)
    times = [local_ms(candles.times[cut], zone) for cut in blocks_of(len(candles.times))]
    ends = np.array([end for block in times for end in (block[0], block[-1])], np.int64)
    if not ((np.diff(ends) > 0).all() and all((np.diff(block) > 0).all() for block in times)):
        joined = np.concatenate(times)
        rows = ascending(joined)
        times = [joined[rows]]
        names = ("open", "high", "low", "close") + (("volume",) if candles.volume else ())
        figures = {name: array("d", np.asarray(getattr(candles, name))[rows].tobytes()) for name in names}
        kept = array("q", np.asarray(candles.times, np.int64)[rows].tobytes())
        candles = PriceCandles(candles.pair, candles.width, kept, **figures)
    return {
        "pair": str(candles.pair),
        "base": candles.pair.base.upper(),
        "decimals": candles.pair.rules.price_decimals,
        "width": max(bar, candles.width) // NS_PER_MS,
        "joined": candles.width > whole.width,
        "t": deltas_in_blocks(times),
        **_price_columns(candles),
        **_volume_columns(candles.volume),
        "places": candles.pair.rules.amount_decimals,
        "marks": marks(candles, fills if candles.times else ()),
        "simulated": None if simulated is None else marks(candles, simulated if candles.times else ()),
        "lines": line_charts(candles, lines[:LINES_MAX]),
        "left_out": max(0, len(lines) - LINES_MAX),
        "resting": resting or {},
    }


def _volume_columns(volume: Sequence[float]) -> ChartData:
    """Return volumes with four significant digits (three if there are many), as integers and powers of ten. Without any
    volume, the columns are empty.
    """
    digits_kept = 4 if len(volume) <= CANDLES_MANY else 3
    digits, powers = [], []
    for cut in blocks_of(len(volume)):
        values = np.asarray(volume[cut], float)
        power = np.floor(np.log10(np.where(values > 0, values, 1.0))).astype(np.int64) - (digits_kept - 1)
        digits.append(narrow(np.rint(values / 10.0**power).astype(np.int64)))
        powers.append(narrow(power))
    if not any(block.any() for block in digits):
        return {"volume": [], "volume_power": []}
    return {"volume": joined_column(digits), "volume_power": joined_column(powers)}


def _price_columns(candles: PriceCandles) -> ChartData:
    """Return prices in ticks: closes as differences, opens relative to the previous close, highs and lows relative to
    the candle's body.
    """
    scale = 10**candles.pair.rules.price_decimals

    def ticks(column: Sequence[float]) -> IntArray:
        found: IntArray = np.rint(np.asarray(column, float) * scale).astype(np.int64)
        return found

    columns: dict[str, list[npt.NDArray[np.integer[Any]]]] = {"c": [], "o": [], "h": [], "l": []}
    last = 0
    for cut in blocks_of(len(candles.close)):
        opens, closes = ticks(candles.open[cut]), ticks(candles.close[cut])
        before = np.concatenate(([last], closes[:-1]))
        last = int(closes[-1])
        columns["c"].append(narrow(closes - before))
        columns["o"].append(narrow(opens - before))
        columns["h"].append(narrow(ticks(candles.high[cut]) - np.maximum(opens, closes)))
        columns["l"].append(narrow(np.minimum(opens, closes) - ticks(candles.low[cut])))
    return {name: joined_column(found) for name, found in columns.items()}


def hold_at(result: BacktestResult, times: IntArray) -> tuple[list[float] | None, bool]:
    """Return a comparison curve at the given times, and whether it is exact. The curve is the run's benchmark or,
    without one, the opening equity invested in the traded pair. Without a benchmark, it is None unless there is exactly
    one pair, quoted in the run's currency.

    The curve is exact on candles of the tape's own length. Longer candles do not show the price movements within them,
    so the curve is interpolated between their ends.
    """
    if result.benchmark is not None:
        curve = result.benchmark.equity
        return (_between(curve.times, curve.values, times), False) if curve.times else (None, False)
    opening = result.summary.get("opening_equity")
    if len(result.prices) != 1 or not isinstance(opening, (int, float)):
        return None, False
    candles = result.prices[0]
    if candles.pair.quote != result.currency or not candles.times or not candles.open[0]:
        return None, False
    scale = opening / candles.open[0]
    own = bar_length(result, candles)
    length = max(own, candles.width)
    if own < candles.width:
        starts = np.asarray(candles.times, np.int64)
        ends = np.concatenate((starts[:1], np.minimum(starts + length, result.end)))
        return _between(
            ends, np.concatenate(([float(opening)], np.asarray(candles.close, float) * scale)), times
        ), False
    # the last candle that has ended determines the value; before the first end, it is the opening equity
    ended = np.where(times < result.end, rows_until(candles.times, times - length), len(candles.times))
    values = np.where(ended > 0, picked(candles.close, np.maximum(ended - 1, 0)) * scale, float(opening))
    return [shown(value) for value in values.tolist()], True


def bar_length(result: BacktestResult, candles: PriceCandles) -> Nanos:
    """Return the length of a pair's recorded candles, or 0 if the pair's prices did not come from recorded candles."""
    own = result.data.kinds.get(str(candles.pair), "").removeprefix("candles ")
    return (fixed_length(own) or 0) if own in RESOLUTIONS else 0


def _between(ends: Sequence[Nanos] | IntArray, values: Sequence[float] | FloatArray, times: IntArray) -> list[float]:
    origin = ends[0]
    at = np.interp((times - origin).astype(float), np.asarray(ends, np.int64) - origin, np.asarray(values, float))
    return [rounded(value) for value in at.tolist()]


def equity_chart(result: BacktestResult, zone: tzinfo) -> ChartData:
    """Return equity, benchmark, drawdown, exposure and coins, all at the same times, so that all values shown at the
    crosshair have the same timestamp.

    Exposure is the fraction of equity that is not in the valuation currency.
    """
    curve = thin(_to_the_end(result), EQUITY_POINTS_MAX)
    falls = falls_below_peak(curve.values)
    ms = local_ms(curve.times, zone).tolist()
    rows = ascending(ms)
    times: IntArray = np.asarray([curve.times[i] for i in rows], np.int64)
    values = [curve.values[i] for i in rows]
    hold, is_exact = hold_at(result, times) if rows else (None, False)
    exposure, coins = None, []
    if result.opening and rows:
        holdings = Holdings(result.opening, result.fills)
        cash = (holdings.units_at(result.currency, times) / UNIT).tolist()
        exposure = [
            round((1 - money / value) * 100, 2) + 0.0 if value > 0 else None
            for money, value in zip(cash, values, strict=True)
        ]
        for coin in _coins(result)[:COINS_MAX]:
            units = (holdings.units_at(coin, times) / UNIT).tolist()
            coins.append({"name": coin.upper(), "v": [shown(value) for value in units]})
    return {
        "t": deltas([ms[i] for i in rows]),
        "v": [shown(value) for value in values],
        "fall": [falls[i] for i in rows],
        "hold": hold,
        "hold_exact": is_exact,
        "exposure": exposure,
        "coins": coins,
    }


def _to_the_end(result: BacktestResult) -> Curve:
    """Return the equity curve. If equity never changed, it was valued only at the start. In that case, extend the curve
    to the end of the run, where the curves compared with it also end.
    """
    curve = result.equity
    if not curve.times or len(set(curve.values)) > 1:
        return curve
    ends = {result.end}
    for candles in result.prices[:1]:
        length = max(bar_length(result, candles), candles.width)
        ends |= {time + length for time in candles.times[:: -(-len(candles.times) // QUIET_POINTS) or 1]}
    later = sorted(end for end in ends if curve.times[-1] < end <= result.end)
    return Curve([*curve.times, *later], [*curve.values, *[curve.values[-1]] * len(later)])


def _coins(result: BacktestResult) -> list[str]:
    """Return the traded base currencies, ordered by number of fills, highest first."""
    counts: dict[str, int] = {}
    for (pairs,) in column_blocks(result.fills, "pair"):
        for pair in set(pairs):
            counts[pair.base] = counts.get(pair.base, 0) + pairs.count(pair)
    counts.pop(result.currency, None)
    return sorted(counts, key=lambda coin: (-counts[coin], coin))


def _by_pair(fills: Sequence[FillRow]) -> dict[str, Sequence[FillRow]]:
    """Return the fills of each pair."""
    places: dict[str, list[IntArray]] = {}
    begin = 0
    for (pairs,) in column_blocks(fills, "pair"):
        for pair in dict.fromkeys(pairs):
            at = np.array([row for row, other in enumerate(pairs) if other == pair], np.int64)
            places.setdefault(str(pair), []).append(at + begin)
        begin += len(pairs)
    if len(places) == 1:
        return dict.fromkeys(places, fills)
    return {pair: ChosenRows(fills, np.concatenate(rows)) for pair, rows in places.items()}


def charts(result: BacktestResult, zone: tzinfo) -> ChartData:
    """Return the data for all charts on the page."""
    strategies = []
    if len(result.strategy_equity) > 1:
        for name, curve in list(result.strategy_equity.items())[:12]:
            opening = curve.values[0] if curve.values else 0.0
            strategies.append({"name": name, **line(curve, zone, STRATEGY_POINTS_MAX, less=opening)})
    fills = _by_pair(result.fills)
    # traded pairs first, because the number of pairs is limited
    prices = sorted(result.prices, key=lambda c: str(c.pair) not in fills)[:PAIRS_MAX]
    lines: dict[str, list[IndicatorLine]] = {}
    for found in result.indicators:
        lines.setdefault(found.pair, []).append(found)
    drawn = [found for candles in prices for found in lines.get(str(candles.pair), ())[:LINES_MAX]]
    candles_max = min(CANDLES_MAX, CANDLES_MAX_TOGETHER // max(1, len(prices)))
    if sum(len(found.times) for found in drawn) > LINE_VALUES_MAX_TOGETHER:
        candles_max = min(candles_max, LINE_VALUES_MAX_TOGETHER // len(drawn))
    in_zone = partial(local_ms, zone=zone)
    waited = rested(result)
    resting: dict[str, list[OrderRow]] = {str(candles.pair): [] for candles in prices}
    drawn_at = [number for number, pair in enumerate(row_values(waited, "spec.pair")) if pair in resting]
    for row in longest(ChosenRows(waited, np.array(drawn_at, np.int64)), result.end):
        resting[str(row.spec.pair)].append(row)
    return {
        "currency": result.currency.upper(),
        "seconds": result.end - result.start < NS_PER_DAY,
        "equity": equity_chart(result, zone),
        "strategies": strategies,
        "prices": [
            pair_chart(
                c,
                fills.get(str(c.pair), []),
                zone,
                candles_max,
                lines.get(str(c.pair), []),
                bar_length(result, c),
                resting_columns(resting[str(c.pair)], result.end, in_zone, deltas),
            )
            for c in prices
        ],
        "rested": len(waited),
        "trades": trade_columns(result, in_zone),
    }
