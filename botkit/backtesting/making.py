"""Computes the spread that resting orders earned, and how the market moved after their fills.

* ``spread_bps``: how far below the mid price a bid was filled, or how far above the mid price an ask was filled.
  This is the profit if the mid price does not move.
* ``markouts_bps``: the same, relative to the mid price 1, 10 and 60 s after the fill. The difference from
  ``spread_bps`` is the loss to better-informed takers.
* ``fee_bps``: fees on the maker fills / their value.
* inventory: base currency held after each fill, excluding coins that were handed over; the average is over
  time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from botkit.model.clock import Nanos
from botkit.model.money import UNIT
from botkit.model.results import MARKOUTS_S, FillMark, FillRow, MakerRow


def maker_rows(fills: Sequence[FillRow], marks: Sequence[FillMark], start: Nanos, end: Nanos) -> list[MakerRow]:
    """Return a row for each strategy and pair with maker fills. Returns no rows without ``marks``, because marks
    require order books.
    """
    grouped: dict[tuple[str, str], list[int]] = {}
    for index, fill in enumerate(fills):
        grouped.setdefault((fill.strategy, str(fill.pair)), []).append(index)
    rows = []
    for indices in grouped.values() if marks else ():
        made = [index for index in indices if fills[index].is_maker]
        if made:
            rows.append(_row([fills[index] for index in indices], {i: (fills[i], marks[i]) for i in made}, start, end))
    return rows


def _row(fills: Sequence[FillRow], made: Mapping[int, tuple[FillRow, FillMark]], start: Nanos, end: Nanos) -> MakerRow:
    value = math.fsum(fill.value for fill, _ in made.values())
    everything = math.fsum(fill.value for fill in fills)
    least, most, average = _inventory(fills, start, end)
    return MakerRow(
        strategy=fills[0].strategy,
        pair=fills[0].pair,
        fills=len(made),
        value=value,
        share=value / everything if everything else 0.0,
        spread_bps=_weighted([(fill, mark.mid) for fill, mark in made.values()]),
        markouts_bps=tuple(
            _weighted([(fill, mark.after[n]) for fill, mark in made.values()]) for n in range(len(MARKOUTS_S))
        ),
        fee_bps=math.fsum(fill.fee_value for fill, _ in made.values()) / value * 10_000 if value else 0.0,
        inventory_least=least,
        inventory_most=most,
        inventory_average=average,
    )


def edge_bps(fill: FillRow, mid: float) -> float:
    """Return how much better than the mid price a fill was, in basis points of the fill price."""
    price = fill.pair.rules.price(fill.price_ticks)
    return (mid - price) / price * 10_000 * (1 if fill.side == "buy" else -1)


def _weighted(rows: Sequence[tuple[FillRow, float | None]]) -> float | None:
    known = [(fill.value, edge_bps(fill, mid)) for fill, mid in rows if mid is not None]
    weight = math.fsum(value for value, _ in known)
    return math.fsum(value * edge for value, edge in known) / weight if weight > 0 else None


def _inventory(fills: Sequence[FillRow], start: Nanos, end: Nanos) -> tuple[float, float, float]:
    units = least = most = weighted = 0
    since = start
    for fill in fills:
        weighted += units * (fill.time - since)
        since = fill.time
        change = fill.pair.rules.base_units(fill.lots)
        units += change if fill.side == "buy" else -change
        if fill.fee_currency == fill.pair.base:
            units -= fill.fee_units
        least, most = min(least, units), max(most, units)
    weighted += units * max(0, end - since)
    lasted = max(end, since) - start
    return least / UNIT, most / UNIT, weighted / lasted / UNIT if lasted else 0.0
