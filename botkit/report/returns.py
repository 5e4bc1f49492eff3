"""Monthly returns, and the distribution of trade returns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from botkit.model.results import BacktestResult, DayRow
from botkit.model.row_columns import row_values

#: maximum number of histogram bars; more would be too narrow to point at
BARS_MAX = 40
#: the fraction of trades at each end that share the end bar, so that a single outlier does not squeeze the other bars
TAIL = 0.01
#: the monthly return at which the color is strongest
FULL_HEAT = 0.1


class MonthRow(msgspec.Struct, frozen=True):
    """One year: the return of each month (None if the month is not in the run) and of the year."""

    year: str
    months: list[float | None]
    whole: float


def monthly_returns(result: BacktestResult) -> list[MonthRow]:
    """Return the change in equity in each month, by year. Only the part of the first and last months inside the run is
    included, so the monthly returns compound to the run's return.
    """
    opening = result.summary.get("opening_equity")
    if not result.days or not isinstance(opening, (int, float)) or opening <= 0:
        return []
    closes = _last_of_each(result.days, 7)
    found: dict[str, list[float | None]] = {}
    before = float(opening)
    starts: dict[str, float] = {}
    for month, equity in closes.items():
        year = month[:4]
        starts.setdefault(year, before)
        row = found.setdefault(year, [None] * 12)
        row[int(month[5:7]) - 1] = equity / before - 1 if before > 0 else None
        before = equity
    ends = _last_of_each(result.days, 4)
    return [
        MonthRow(year, row, ends[year] / starts[year] - 1 if starts[year] > 0 else 0.0) for year, row in found.items()
    ]


def _last_of_each(days: Sequence[DayRow], letters: int) -> dict[str, float]:
    """Return the last equity of each period. The first ``letters`` characters of a date identify its period."""
    return {day.date[:letters]: day.equity for day in days}


def heat(value: float) -> int:
    """Return the color strength for a month, in percent. Returns of 10 % or more, positive or negative, have the
    maximum strength, at which the text is still readable.
    """
    return round(8 + 37 * min(1.0, abs(value) / FULL_HEAT)) if value else 0


class ReturnBar(msgspec.Struct, frozen=True):
    """The number of trades with a return from ``low`` up to, but not including, ``high``. The end bars also include all
    returns beyond them.
    """

    low: float
    high: float
    trades: int
    is_open: bool = False


def trade_histogram(result: BacktestResult) -> list[ReturnBar]:
    """Return a histogram of the returns on trades in coins that the strategies bought. All bars have the same round
    width, and one bar boundary is at zero.
    """
    columns = row_values(result.trades, "is_given", "pnl_units", "entry_units")
    found = np.sort(
        np.fromiter((pnl / value for is_given, pnl, value in columns if value and not is_given), np.float64)
    )
    if len(found) < 2:
        return []
    cut = int(len(found) * TAIL)
    least, most = float(found[cut]), float(found[-1 - cut])
    width = _round_width(max(most - least, 1e-6) / min(BARS_MAX, max(8, round(math.sqrt(len(found))) * 2)))
    first, last = math.floor(least / width), math.floor(most / width)
    bars = np.clip(np.floor(found / width), first, last).astype(np.int64) - first
    counts: list[int] = np.bincount(bars, minlength=last - first + 1).tolist()
    outside = bool(found[0] < first * width), bool(found[-1] >= (last + 1) * width)
    return [
        ReturnBar(
            (first + i) * width,
            (first + i + 1) * width,
            count,
            (i == 0 and outside[0]) or (i == len(counts) - 1 and outside[1]),
        )
        for i, count in enumerate(counts)
    ]


def _round_width(width: float) -> float:
    """Return the next larger width that is 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= width * (1 - 1e-9))
