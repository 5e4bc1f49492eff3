"""Returns by month, and how the returns of trades are distributed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from botkit.model.results import BacktestResult, DayRow

#: more bars of a histogram would be narrower than what one can point at
BARS_MAX = 40
#: the smallest and the largest share of trades that one end bar takes, so that one outlier does not squeeze the rest
TAIL = 0.01
#: the return of a month that gets the strongest colour
FULL_HEAT = 0.1


class MonthRow(msgspec.Struct, frozen=True):
    """One year: each month's return (None: not in the run), and the whole year's."""

    year: str
    months: list[float | None]
    whole: float


def monthly_returns(result: BacktestResult) -> list[MonthRow]:
    """Return the change of equity in each month, by year. The first and the last month count as far as the run goes, so
    all months together make the run's return.
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
    """Return how strongly to colour a month, in percent: a tenth or more gets the full colour, which text still stands
    out from.
    """
    return round(8 + 37 * min(1.0, abs(value) / FULL_HEAT)) if value else 0


class ReturnBar(msgspec.Struct, frozen=True):
    """How many trades had a return from ``low`` to before ``high``; the end bars also hold all beyond."""

    low: float
    high: float
    trades: int
    is_open: bool = False


def trade_histogram(result: BacktestResult) -> list[ReturnBar]:
    """Return the distribution of the returns of trades in coins that the strategies bought, in bars of one round width
    with a border at zero.
    """
    values = sorted(v for trade in result.trades if not trade.is_given and (v := trade.return_) is not None)
    if len(values) < 2:
        return []
    cut = int(len(values) * TAIL)
    least, most = values[cut], values[-1 - cut]
    width = _round_width(max(most - least, 1e-6) / min(BARS_MAX, max(8, round(math.sqrt(len(values))) * 2)))
    first, last = math.floor(least / width), math.floor(most / width)
    counts = [0] * (last - first + 1)
    for value in values:
        counts[min(max(math.floor(value / width), first), last) - first] += 1
    outside = values[0] < first * width, values[-1] >= (last + 1) * width
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
    """Return the next larger width of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= width * (1 - 1e-9))
