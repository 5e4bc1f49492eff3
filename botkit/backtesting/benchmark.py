"""The buy-and-hold benchmark: spends the opening equity on all traded coins at their first prices, then holds the
coins.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

import numpy as np

from botkit.backtesting.equity import EquityCurve, Prices
from botkit.backtesting.statistics import sharpe
from botkit.model.clock import Nanos
from botkit.model.money import UNIT
from botkit.model.pairs import Pair
from botkit.model.results import Benchmark

BUY_AND_HOLD = "buy-and-hold"


class BuyAndHold:
    """A benchmark that invests equal parts of the opening equity in the base currency of each traded pair, without
    fees.

    Each coin is bought at its first price. The curve starts once every coin has a price. The valuation currency is
    excluded, even if it is a traded coin.
    """

    def __init__(self, pairs: Sequence[Pair], traded: Sequence[Pair], currency: str, zone: tzinfo) -> None:
        self._pairs, self._traded, self._currency, self._zone = pairs, traded, currency, zone
        self._coins = {pair.base for pair in traded} - {currency}
        self._known: dict[str, float] = {}
        self._curve: EquityCurve | None = None

    def add_slice(self, prices: Prices, run: EquityCurve) -> None:
        """Process a slice. ``run`` is the run's equity curve, which must already have processed this slice."""
        if self._curve is None:
            prices = self._begin(prices, run)
        if self._curve is not None:
            self._curve.add_slice(prices)

    def _begin(self, prices: Prices, run: EquityCurve) -> Prices:
        """Buy the coins once every coin has a price. Returns the rows from that time on."""
        firsts, opening = run.first_worths, run.opening
        if opening is None or not self._coins or not self._coins <= firsts.keys():
            self._known |= {pair: float(column[-1]) for pair, (_, column) in prices.items() if len(column)}
            return {}
        start = max(firsts[coin][0] for coin in self._coins)
        part = opening / len(self._coins)
        rest: Prices = {}
        for pair, (times, column) in prices.items():
            at = int(np.searchsorted(times, start))
            before = column[: int(np.searchsorted(times, start, side="right"))]
            if len(before):
                self._known[pair] = float(before[-1])
            rest[pair] = (times[at:], column[at:])
        self._curve = EquityCurve(
            pairs=self._pairs,
            currency=self._currency,
            zone=self._zone,
            opening={coin: round(part / firsts[coin][1] * UNIT) for coin in self._coins},
            traded=self._traded,
            first_prices=self._known,
        )
        return rest

    def finish(self, end: Nanos) -> None:
        """Close the remaining days at the end of a run."""
        if self._curve is not None:
            self._curve.finish(end)

    def result(self) -> Benchmark | None:
        """Return the benchmark, or None if a coin never had a price."""
        curve = self._curve
        if curve is None or curve.opening is None or curve.final is None:
            return None
        return Benchmark(
            name=BUY_AND_HOLD,
            equity=curve.curve(),
            days=curve.days(),
            return_=curve.final / curve.opening - 1 if curve.opening else None,
            max_drawdown=curve.drawdown.fraction,
            sharpe=sharpe(curve.daily_returns()),
        )
