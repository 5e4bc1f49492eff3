"""Values fees that were paid in a third currency, at the prices that a session recorded."""

from __future__ import annotations

import bisect
from collections.abc import Mapping

from botkit.engine.money.valuation import Valuation
from botkit.model.clock import Nanos
from botkit.model.events import Trade
from botkit.model.inputs import Input
from botkit.model.money import UNIT
from botkit.model.pairs import Pair


class RecordedFeeWorth:
    """The prices of the pairs that value a coin. Take all inputs of a recording first."""

    def __init__(self, pairs: Mapping[str, Pair]) -> None:
        self._valuation = Valuation(pairs)
        self._prices: dict[str, tuple[list[Nanos], list[float]]] = {str(pair): ([], []) for pair in pairs.values()}

    def take(self, now: Nanos, given: Input | None) -> None:
        """Take the next input of the recording."""
        if type(given) is Trade and given.pair in self._prices:
            times, prices = self._prices[given.pair]
            times.append(now)
            prices.append(given.price)

    def worth(self, units: int, currency: str, quote: str, time: Nanos) -> float | None:
        """Return the value of a fee in a quote currency, or None if a price is missing. A fee that was paid before the
        first price is valued at that one.
        """
        path = self._valuation.find_path(currency, quote)
        if path is None:
            return None
        worth = units / UNIT
        for cell, forward in path.steps:
            times, prices = self._prices[cell.pair]
            if not times:
                return None
            price = prices[max(0, bisect.bisect_right(times, time) - 1)]
            worth = worth * price if forward else worth / price
        return worth
