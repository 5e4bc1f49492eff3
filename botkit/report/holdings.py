"""What a run held over time, exactly: its opening holdings and its fills, in units of 1e-8."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from botkit.model.clock import Nanos
from botkit.model.results import FillRow

IntArray = npt.NDArray[np.int64]


class Holdings:
    """The units of each currency after each fill."""

    def __init__(self, opening: dict[str, int], fills: Sequence[FillRow]) -> None:
        times: dict[str, list[Nanos]] = {}
        changes: dict[str, list[int]] = {}

        def change(currency: str, time: Nanos, units: int) -> None:
            times.setdefault(currency, []).append(time)
            changes.setdefault(currency, []).append(units)

        for fill in fills:
            sign = 1 if fill.side == "buy" else -1
            change(fill.pair.base, fill.time, sign * fill.pair.rules.base_units(fill.lots))
            change(fill.pair.quote, fill.time, -sign * fill.value_units)
            if fill.fee_units:
                change(fill.fee_currency, fill.time, -fill.fee_units)
        self._opening = dict(opening)
        self._times = {currency: np.asarray(column, np.int64) for currency, column in times.items()}
        self._units = {currency: np.cumsum(np.asarray(column, np.int64)) for currency, column in changes.items()}

    def units_at(self, currency: str, times: IntArray) -> IntArray:
        """Return the units of a currency at each time, with the fills of that very moment."""
        opening = self._opening.get(currency, 0)
        if currency not in self._times:
            return np.full(len(times), opening, np.int64)
        after = np.concatenate(([0], self._units[currency])) + opening
        return after[np.searchsorted(self._times[currency], times, side="right")]
