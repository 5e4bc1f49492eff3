"""The public trades of a pair, as a strategy reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from botkit.engine.indicators.indicator import Indicator
from botkit.engine.market.column import Column
from botkit.engine.strategy.attached import Attached
from botkit.engine.strategy.plots import PlotStore
from botkit.engine.strategy.series import KEEP_ROWS, FloatArray, Series, TimeArray, V
from botkit.model.clock import Nanos
from botkit.model.events import Trade
from botkit.model.orders import Side
from botkit.model.pairs import Pair

_SIDES: dict[int, Side | None] = {1: Side.BUY, 0: None, -1: Side.SELL}
_SIGNS = {side: sign for sign, side in _SIDES.items()}


class TradeSeries(Series[Trade]):
    """The public trades of one pair, oldest first, with attached indicators, as returned by ``subscribe_trades``.

    ``price``, ``amount`` (float64) and ``time`` (int64 nanoseconds, the exchange's own timestamps) are read-only numpy
    arrays. The series contains the trades since the first indicator was attached, but at most the last 10,000 (or
    ``keep``) of them.
    """

    __slots__ = ()
    names: ClassVar[tuple[str, ...]] = ("time", "price", "amount", "side")
    noun = ("trade", "trades")

    def __init__(self, pair: Pair, *, keep: int | None = KEEP_ROWS, plots: PlotStore | None = None) -> None:
        super().__init__(pair, keep, plots, is_ready=True)
        self._columns = {
            "time": Column(np.int64), "price": Column(np.float64), "amount": Column(np.float64), "side": Column(np.int8)
        }  # fmt: skip

    def extend(self, time: npt.ArrayLike, price: npt.ArrayLike, amount: npt.ArrayLike, side: npt.ArrayLike) -> None:
        """Add many trades as arrays of equal length, oldest first; ``side`` is 1 if the taker bought, -1 if the taker
        sold, and 0 if unknown.
        """
        if self._pending:
            self._flush()
        arrays: dict[str, npt.NDArray[Any]] = {
            "time": np.asarray(time, np.int64),
            "price": np.asarray(price, np.float64),
            "amount": np.asarray(amount, np.float64),
            "side": np.asarray(side, np.int8),
        }
        assert len({len(values) for values in arrays.values()}) == 1, "columns of unequal length"
        self._write(arrays)

    def _values(self, row: Any) -> tuple[Any, ...]:
        return row.time, row.price, row.amount, _SIGNS[row.side]

    def _numbers(self, name: str, values: Iterable[Any]) -> Iterable[Any]:
        return map(_SIGNS.__getitem__, values) if name == "side" else values

    def _end_of(self, row: Any) -> Nanos:
        time: int = row.time
        return time

    def _ends_of(self, times: TimeArray) -> TimeArray:
        return times

    def attach(self, indicator: Indicator[V], name: str | None = None, of: str = "price") -> Attached[V]:
        """Attach an indicator that is fed by each trade and drawn in charts. Returns an `Attached` with its values at
        each trade.

        ``of`` is "price" or "amount". An indicator with several inputs gets the trade's price for each price input and
        its amount for the volume. There are no trades from before the start, so values are None until enough trades
        have arrived.
        """
        if of not in ("price", "amount"):
            raise ValueError(f"of={of!r} is not a value of a trade; choose price or amount")
        inputs = indicator.inputs
        if len(inputs) == 1:
            inputs = (of,) if of != "price" else ("amount" if inputs[0] == "volume" else "price",)
        elif of != "price":
            raise ValueError(f"{indicator!r} takes {', '.join(inputs)}; omit of={of!r}")
        else:
            inputs = tuple("amount" if name == "volume" else "price" for name in inputs)
        return self._attach(indicator, name, of, "price", inputs)

    @property
    def price(self) -> FloatArray:
        """Prices, in quote currency."""
        return self._view("price")

    @property
    def amount(self) -> FloatArray:
        """Amounts, in base currency."""
        return self._view("amount")

    def _row(self, i: int) -> Trade:
        time, price, amount, side = (column.view()[i] for column in self._columns.values())
        return Trade(self.pair, int(time), float(price), float(amount), _SIDES[int(side)])
