"""Equity at many prices of one pair at once, to find the price at which a loss limit is reached.

Floats only select the candidates: their error is bounded, and the exact integers decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from botkit.engine.money.portfolio import Portfolio
from botkit.engine.money.valuation import ValuationPath
from botkit.model.pairs import Pair


class WorthOverPrice:
    """A level's equity as a float function of one price: ``constant + rising x price + falling / price``."""

    __slots__ = ("_falling", "_pair", "_rising", "_scale", "constant", "paths", "unknown")

    def __init__(self, portfolio: Portfolio, holdings: Mapping[str, int], into: str, pair: Pair) -> None:
        self.constant = 0
        self._rising = self._falling = 0.0
        self._pair = pair
        self._scale = portfolio.prices[pair].scale
        self.unknown = False
        self.paths: list[ValuationPath] = []
        valuation = portfolio.valuation
        for currency, units in holdings.items():
            path = valuation.find_path(currency, into) if units else None
            if path is None or valuation.leaves_out(currency, into):
                continue
            direction = path.direction(pair)
            if not direction:
                worth = path.convert(units)
                self.unknown = self.unknown or worth is None
                self.constant += worth or 0
                continue
            rate = path.rate(without=pair)
            if rate is None:
                self.unknown = True
                continue
            self.paths.append(path)
            if direction > 0:
                self._rising += units * rate
            else:
                self._falling += units * rate

    def values(self, prices: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], float]:
        """Return (equity at each price as floats, the maximum error relative to the exact integers). All prices must be
        above 0.
        """
        rounded = np.rint(prices * self._scale) / self._scale
        low, high = float(rounded.min()), float(rounded.max())
        worth = self.constant + self._rising * rounded + (self._falling / rounded if self._falling else 0.0)
        gross = abs(self._rising) * high + (abs(self._falling) / low if self._falling else 0.0) + abs(self.constant)
        slack = 1.0 + 1e-12 * gross + sum(_rounding_units(path, self._pair, low, high) for path in self.paths)
        return worth, slack

    def candidates(self, prices: np.ndarray[Any, Any], threshold: int) -> Any:
        """Find all prices at which the equity may be at or below ``threshold``. Returns the indices of these prices in
        order, with few false positives.
        """
        if not self.paths:
            return range(1) if self.constant <= threshold else ()
        scale = self._scale
        low, high = round(float(prices.min()) * scale) / scale, round(float(prices.max()) * scale) / scale
        if low <= 0:  # rows without a price are filtered out by the exact check
            return range(len(prices))
        rising, falling = self._rising, self._falling
        gross = abs(rising) * high + abs(falling) / low + abs(self.constant) + abs(threshold)
        # upper bound on the float error relative to the exact integer calculation, which rounds down at every step of a
        # path
        slack = 1.0 + 1e-12 * gross + sum(_rounding_units(path, self._pair, low, high) for path in self.paths)
        allowed = threshold - self.constant + slack
        # the cheap test comes first: no price between the lowest and the highest can reduce equity below the threshold
        if min(rising * low, rising * high) + min(falling / low, falling / high) > allowed:
            return ()
        rounded = np.rint(prices * scale) / scale
        worth = rising * rounded
        if falling:
            worth += falling / rounded
        return np.flatnonzero(worth <= allowed)


def _rounding_units(path: ValuationPath, pair: Pair, low: float, high: float) -> float:
    """Return the maximum number of units that a path may lose by rounding down at each step, with the price of ``pair``
    between ``low`` and ``high``.

    The rounding loss of a step is multiplied by the prices of all later steps: for example, a loss of one satoshi
    becomes 0.03 TWD.
    """
    lost = 0.0
    for cell, forward in path.steps:
        if cell.pair == pair:
            rate = high if forward else 1 / low
        else:
            ticks = cell.ticks
            assert ticks is not None, path
            rate = ticks / cell.scale if forward else cell.scale / ticks
        lost = lost * rate + 1
    return lost
