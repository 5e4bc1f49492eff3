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

from collections.abc import Sequence

from botkit.backtesting.exact_sum import ExactSum
from botkit.model.clock import Nanos
from botkit.model.money import UNIT
from botkit.model.pairs import Pair
from botkit.model.results import MARKOUTS_S, FillMark, FillRow, MakerRow
from botkit.model.row_columns import BLOCK_ROWS, row_values


def maker_rows(fills: Sequence[FillRow], marks: Sequence[FillMark], start: Nanos, end: Nanos) -> list[MakerRow]:
    """Return a row for each strategy and pair with maker fills. Returns no rows without ``marks``, because marks
    require order books.
    """
    if not marks:
        return []
    makers: dict[tuple[str, str], _Maker] = {}
    moved = row_values(fills, "strategy", "pair", "side", "time", "lots", "fee_currency", "fee_units")
    worth = row_values(fills, "is_maker", "price_ticks", "value", "fee_value")
    for change, money, (mid, after) in zip(moved, worth, row_values(marks, "mid", "after"), strict=True):
        strategy, pair, side, time, lots, fee_currency, fee_units = change
        maker = makers.get((strategy, pair))
        if maker is None:
            maker = makers[strategy, pair] = _Maker(strategy, pair, start)
        maker.moved(side, time, lots, fee_currency, fee_units)
        is_maker, price_ticks, value, fee_value = money
        maker.filled(side, is_maker, price_ticks, value, fee_value, (mid, *after))
    return [maker.row(start, end) for maker in makers.values() if maker.fills]


class _Maker:
    """One strategy's fills in a pair."""

    def __init__(self, strategy: str, pair: Pair, start: Nanos) -> None:
        self.strategy, self.pair = strategy, pair
        self.fills = 0
        self._everything, self._value, self._fees = _Total(), _Total(), _Total()
        #: for the mid price at a fill, and for each later one: the weights, and the weighted distances
        self._distances = [(_Total(), _Total()) for _ in range(1 + len(MARKOUTS_S))]
        self._units = self._least = self._most = self._weighted = 0
        self._since = start

    def moved(self, side: str, time: Nanos, lots: int, fee_currency: str, fee_units: int) -> None:
        """Count what a fill moved."""
        self._weighted += self._units * (time - self._since)
        self._since = time
        change = self.pair.rules.base_units(lots)
        self._units += change if side == "buy" else -change
        if fee_currency == self.pair.base:
            self._units -= fee_units
        self._least, self._most = min(self._least, self._units), max(self._most, self._units)

    def filled(
        self,
        side: str,
        is_maker: bool,
        price_ticks: int,
        value: float,
        fee_value: float,
        mids: tuple[float | None, ...],
    ) -> None:
        """Count what a fill was worth, compared with the mid price at the fill and with later ones."""
        self._everything.add(value)
        if not is_maker:
            return
        self.fills += 1
        self._value.add(value)
        self._fees.add(fee_value)
        for mid, (weight, weighted) in zip(mids, self._distances, strict=True):
            if mid is not None:
                weight.add(value)
                weighted.add(value * _edge_bps(self.pair, price_ticks, side, mid))

    def row(self, start: Nanos, end: Nanos) -> MakerRow:
        value, everything = self._value.value, self._everything.value
        weighted = self._weighted + self._units * max(0, end - self._since)
        lasted = max(end, self._since) - start
        spread, *markouts = [
            total.value / weight.value if weight.value > 0 else None for weight, total in self._distances
        ]
        return MakerRow(
            strategy=self.strategy,
            pair=self.pair,
            fills=self.fills,
            value=value,
            share=value / everything if everything else 0.0,
            spread_bps=spread,
            markouts_bps=tuple(markouts),
            fee_bps=self._fees.value / value * 10_000 if value else 0.0,
            inventory_least=self._least / UNIT,
            inventory_most=self._most / UNIT,
            inventory_average=weighted / lasted / UNIT if lasted else 0.0,
        )


class _Total:
    """An exact sum, to which values are added one by one."""

    __slots__ = ("_new", "_sum")

    def __init__(self) -> None:
        self._sum = ExactSum()
        self._new: list[float] = []

    def add(self, value: float) -> None:
        self._new.append(value)
        if len(self._new) == BLOCK_ROWS:
            self._sum.add(self._new)
            self._new.clear()

    @property
    def value(self) -> float:
        self._sum.add(self._new)
        self._new.clear()
        return self._sum.value


def edge_bps(fill: FillRow, mid: float) -> float:
    """Return how much better than the mid price a fill was, in basis points of the fill price."""
    return _edge_bps(fill.pair, fill.price_ticks, fill.side, mid)


def _edge_bps(pair: Pair, price_ticks: int, side: str, mid: float) -> float:
    price = pair.rules.price(price_ticks)
    return (mid - price) / price * 10_000 * (1 if side == "buy" else -1)
