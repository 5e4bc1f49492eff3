"""Removes the rows that the bot rejected as implausible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from botkit.backtesting.downsample import FloatArray, TimeArray
from botkit.engine.outcome_parts import Withheld
from botkit.model.columns import MarketColumns


def taken_in(
    withheld: Sequence[Withheld], columns: MarketColumns, received: TimeArray, prices: FloatArray, *others: Any
) -> tuple[Any, ...]:
    """Return the columns without the rows that the bot rejected."""
    rows = [row for row in withheld if row.pair == columns.pair]
    if not rows:
        return received, prices, *others
    keep = np.ones(len(prices), dtype=bool)
    for row in rows:
        first, stop = np.searchsorted(received, [row.time, row.time + 1])
        keep[first:stop] &= prices[first:stop] != row.price
    return tuple(column[keep] for column in (received, prices, *others))
