"""The exact holdings of a run over time, computed from its opening holdings and its fills, in units of 1e-8."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from botkit.model.clock import Nanos
from botkit.model.results import FillRow

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class Holdings:
    """The units of each currency after each fill."""

    def __init__(self, opening: dict[str, int], fills: Sequence[FillRow]) -> None:
        changes: dict[str, tuple[list[Nanos], list[int]]] = {}
        for fill in fills:
            pair = fill.pair
            sign = 1 if fill.side == "buy" else -1
            moved = [(pair.base, sign * pair.rules.base_units(fill.lots)), (pair.quote, -sign * fill.value_units)]
            if fill.fee_units:
                moved.append((fill.fee_currency, -fill.fee_units))
            for currency, units in moved:
                column = changes.get(currency)
                if column is None:
                    column = changes[currency] = ([], [])
                column[0].append(fill.time)
                column[1].append(units)
        self._opening = dict(opening)
        self._times = {currency: np.asarray(column, np.int64) for currency, (column, _) in changes.items()}
        self._units = {currency: np.cumsum(np.asarray(column, np.int64)) for currency, (_, column) in changes.items()}

    def units_at(self, currency: str, times: IntArray) -> IntArray:
        """Return the units of a currency at each time, including fills at exactly that time."""
        opening = self._opening.get(currency, 0)
        if currency not in self._times:
            return np.full(len(times), opening, np.int64)
        after = np.concatenate(([0], self._units[currency])) + opening
        return after[np.searchsorted(self._times[currency], times, side="right")]
