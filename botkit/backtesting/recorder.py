"""Records a run slice by slice: fills, equity at every price, and chart prices."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import tzinfo
from itertools import pairwise

import numpy as np

from botkit.backtesting.benchmark import BuyAndHold
from botkit.backtesting.downsample import CandleSampler, FloatArray, TimeArray
from botkit.backtesting.equity import EquityCurve
from botkit.backtesting.metrics import fill_rows
from botkit.backtesting.packed_rows import FILLS, ORDERS, PackedRows
from botkit.backtesting.withheld import taken_in
from botkit.engine.money.valuation import Valuation
from botkit.engine.outcome import Outcome
from botkit.engine.outcome_parts import Withheld
from botkit.engine.view import EngineView
from botkit.model.clock import Nanos
from botkit.model.columns import CandleColumns, MarketColumns, TradeColumns
from botkit.model.events import Fill
from botkit.model.orders import BUY, Order
from botkit.model.pairs import Pair
from botkit.model.results import OrderRow
from botkit.model.row_columns import row_values

Change = tuple[Nanos, str, int]


class ResultRecorder:
    """Records one run. Only samples are kept in memory, and orders and fills in a file, so a tape may be larger than
    memory.
    """

    def __init__(
        self,
        view: EngineView,
        pairs: Sequence[Pair],
        traded: Sequence[Pair],
        zone: tzinfo,
        begin: Nanos,
        *,
        benchmark: BuyAndHold | None = None,
        candles_max: int = 1_500,
    ) -> None:
        currency = view.money.currency
        self.benchmark = benchmark
        names = view.names()
        self.fills = PackedRows(FILLS)
        self.orders = PackedRows(ORDERS)
        #: client id of an order -> client id of the order that it closes, as specified by the strategy
        self.closes: dict[int, int] = {}
        self.rows = 0
        self._new: list[tuple[Nanos, Fill]] = []
        # coins that are not assigned to any strategy are excluded, because they cannot generate a profit or a loss
        valuation = Valuation({str(pair): pair for pair in pairs})

        def opening(name: str | None) -> dict[str, int]:
            # what is owed for fees of earlier runs counts for nothing if nothing can value it
            return {
                held: units
                for held, units in view.money.holdings(name).items()
                if units >= 0 or held == currency or valuation.find_path(held, currency) is not None
            }

        self.opening = owned = opening(None)
        #: fees that are in no figure, in units by currency, because their currency cannot be valued
        self.unvalued_fees: dict[str, int] = {}
        self.curve = EquityCurve(pairs=pairs, currency=currency, zone=zone, opening=owned, traded=traded, begin=begin)
        self.strategy_curves: dict[str, EquityCurve] = {}
        if len(names) > 1:
            for name in names:
                self.strategy_curves[name] = EquityCurve(
                    pairs=pairs,
                    currency=currency,
                    zone=zone,
                    opening=opening(name),
                    traded=traded,
                    begin=begin,
                )
        self.samplers = {pair: CandleSampler(pair, candles_max) for pair in traded}
        #: the base units that each strategy held in each pair at the start
        self._opening_units = {
            (name, str(position.pair)): position.amount_units
            for name in names
            for position in view.money.positions(name)
            if position.amount_units
        }
        self._first_prices: dict[str, float] = {}
        self._withheld: list[Withheld] = []
        #: every implausible market row that the bot withheld
        self.withheld: list[Withheld] = []

    def leave_out_unpriced(self, currency: str, priced: Collection[str]) -> None:
        """Count a currency for nothing unless it can be valued through the pairs named ``priced``. Call this before the
        first slice.
        """
        if not self.curve.is_priced(currency, priced):
            self.opening.pop(currency, None)
            for curve in (self.curve, *self.strategy_curves.values()):
                curve.leave_out(currency)

    def observe(self, out: Outcome, now: Nanos) -> None:
        """Record the outcome of a turn."""
        for fill in out.fills:
            self._new.append((now, fill))
        self._withheld += out.withheld
        self.withheld += out.withheld

    def opening_positions(self) -> dict[tuple[str, str], tuple[int, float]]:
        """Return a mapping from (strategy, pair) to the base units held at the start and their cost, using the pair's
        first price.
        """
        return {
            key: (units, self._first_prices[key[1]])
            for key, units in self._opening_units.items()
            if key[1] in self._first_prices
        }

    def slice_done(self, delivered: Sequence[MarketColumns]) -> None:
        """Add the rows of a completed slice, and value the holdings that changed in it."""
        prices: dict[str, tuple[TimeArray, FloatArray]] = {}
        withheld, self._withheld = self._withheld, []
        for columns in delivered:
            self.rows += len(columns)
            scale = 10**columns.pair.rules.price_decimals
            sampler = self.samplers.get(columns.pair)
            if isinstance(columns, TradeColumns):
                received, values, lots = taken_in(
                    withheld, columns, columns.received, columns.ticks / scale, columns.lots
                )
                prices[columns.pair] = (received, values)
                if sampler is not None:
                    sampler.add(received, values, volume=lots / 10**columns.pair.rules.amount_decimals)
            elif isinstance(columns, CandleColumns):
                figures = (columns.time, columns.open / scale, columns.high / scale, columns.low / scale)
                volumes = columns.lots / 10**columns.pair.rules.amount_decimals
                received, values, time, *others = taken_in(
                    withheld, columns, columns.received, columns.close / scale, *figures, volumes
                )
                prices[columns.pair] = (received, values)
                if sampler is not None:
                    sampler.add(time, values, *others)
        for pair, (_, values) in prices.items():
            if len(values):
                self._first_prices.setdefault(str(pair), float(values[0]))
        fills, self._new = self._new, []
        left_out = {name for name in {fill.fee_currency for _, fill in fills} if not self.curve.values(name)}
        for name in left_out:
            units = sum(fill.fee_units for _, fill in fills if fill.fee_currency == name)
            if units:
                self.unvalued_fees[name] = self.unvalued_fees.get(name, 0) + units
        self.curve.add_slice(prices, _changes(fills, left_out))
        if self.benchmark is not None:
            self.benchmark.add_slice(prices, self.curve)
        self.fills.extend(fill_rows([fill for _, fill in fills], self.curve))
        for name, curve in self.strategy_curves.items():
            curve.add_slice(prices, _changes([row for row in fills if row[1].order.strategy == name], left_out))

    def keep_orders(self, orders: Iterable[Order]) -> None:
        """Record orders that can no longer change."""
        kept = list(orders)
        self.orders.extend(map(OrderRow.of, kept))
        self.closes.update((order.client_id, order.closes) for order in kept if order.closes)

    def finish(self, end: Nanos, orders: Iterable[Order]) -> None:
        """Record the remaining orders and close the remaining days after a run."""
        self.keep_orders(orders)
        # orders are recorded when they reach a final state, so sort them by the order in which they were placed
        if any(later < earlier for earlier, later in pairwise(row_values(self.orders, "spec.client_id"))):
            ids = np.fromiter(row_values(self.orders, "spec.client_id"), np.int64, len(self.orders))
            self.orders.reorder(np.argsort(ids, kind="stable"))
        for curve in (self.curve, *self.strategy_curves.values()):
            curve.finish(end)
        if self.benchmark is not None:
            self.benchmark.finish(end)

    def curve_of(self, strategy: str) -> EquityCurve:
        """Return a strategy's equity curve. If it is the only strategy, this is the bot's curve."""
        return self.strategy_curves.get(strategy, self.curve)


def _changes(fills: Sequence[tuple[Nanos, Fill]], left_out: Collection[str]) -> list[Change]:
    """Return the changes in holdings caused by fills, at the times at which the bot received the fills, without fees in
    currencies that are ``left_out``.
    """
    changes: list[Change] = []
    for now, fill in fills:
        pair = fill.pair
        coins, money = pair.rules.base_units(fill.lots), fill.value_units
        bought = fill.side is BUY
        changes.append((now, pair.base, coins if bought else -coins))
        changes.append((now, pair.quote, -money if bought else money))
        if fill.fee_units and fill.fee_currency not in left_out:
            changes.append((now, fill.fee_currency, -fill.fee_units))
    return changes
