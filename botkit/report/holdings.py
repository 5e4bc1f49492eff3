"""The exact holdings of a run over time, computed from its opening holdings and its fills, in units of 1e-8."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from botkit.model.results import FillRow
from botkit.model.row_columns import column_blocks

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class Holdings:
    """The units of each currency after each fill."""

    def __init__(self, opening: dict[str, int], fills: Sequence[FillRow]) -> None:
        self._opening = dict(opening)
        self._fills = fills

    def units_at(self, currency: str, times: IntArray) -> IntArray:
        """Return the units of a currency at each time, including fills at exactly that time. Times are ascending."""
        changes = np.zeros(len(times) + 1, np.int64)
        columns = ("time", "pair", "side", "lots", "value_units", "fee_currency", "fee_units")
        for moments, pairs, sides, lots, money, paid_in, fees in column_blocks(self._fills, *columns):
            signs = np.array([1 if side == "buy" else -1 for side in sides], np.int64)
            units = np.zeros(len(signs), np.int64)
            for pair in set(pairs):
                if currency in (pair.base, pair.quote):
                    is_pair = True if pairs.count(pair) == len(pairs) else np.array([other == pair for other in pairs])
                    if currency == pair.base:
                        units += signs * is_pair * np.array(list(map(pair.rules.base_units, lots)), np.int64)
                    else:
                        units -= signs * is_pair * np.array(money, np.int64)
            if currency in paid_in:
                units -= np.array(
                    [fee if name == currency else 0 for name, fee in zip(paid_in, fees, strict=True)], np.int64
                )
            np.add.at(changes, np.searchsorted(times, np.array(moments, np.int64)), units)
        return self._opening.get(currency, 0) + np.cumsum(changes[:-1])
