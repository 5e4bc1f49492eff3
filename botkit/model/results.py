"""A backtest's result as plain data. The driver fills it in; `backtest.outputs` and `report` present it.

Rows contain integers (ticks, lots, units of 1e-8), so that files are exact. Totals across currencies are floats in the
run's valuation currency. Times are nanoseconds since the epoch, UTC. An undefined metric, such as the Sharpe ratio of a
single day, is None and never NaN, because JSON does not support NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from botkit.model.clock import Nanos
from botkit.model.events import Fill
from botkit.model.orders import Order, OrderSpec
from botkit.model.pairs import Pair

__all__ = [
    "MARKOUTS_S",
    "SUMMARY_KEYS",
    "SYNTHETIC",
    "BacktestResult",
    "Benchmark",
    "Caution",
    "ClosedTrade",
    "Curve",
    "DataDescription",
    "DayRow",
    "Drawdown",
    "EndpointUse",
    "Figure",
    "FillMark",
    "FillRow",
    "IndicatorLine",
    "LatencyRow",
    "MakerRow",
    "OpenLot",
    "OrderRow",
    "PositionRow",
    "PriceCandles",
    "QueueReading",
    "RestRow",
    "RouterUse",
    "StrategyRow",
    "TradeFigures",
    "TradeKind",
]

Figure: TypeAlias = float | int | str | None
TradeKind: TypeAlias = Literal["long", "short", "loop"]

#: the times after a fill, in seconds, at which the mid price is recorded
MARKOUTS_S = (1, 10, 60)

#: the metrics in every summary, in output order; more may follow
SUMMARY_KEYS = (
    "strategy",
    "currency",
    "orders",
    "fills",
    "refused",
    "opening_equity",
    "final_equity",
    "pnl",
    "return",
    "max_drawdown",
    "sharpe",
    "sortino",
    "fees",
    "turnover",
    "exposure",
    "win_rate",
    "profit_factor",
    "buy_and_hold_return",
    "events",
    "events_per_second",
    "wall_s",
    "orders_delayed",
    "max_queue_ms",
    "journal_sha256",
)


class OrderRow(msgspec.Struct, frozen=True, gc=False):
    """An order at the end of a run: the request and its outcome. ``sent`` is 0 if the order was never sent."""

    spec: OrderSpec
    sent: Nanos
    updated: Nanos
    order_id: str
    state: str
    reason: str
    executed_lots: int
    executed_units: int

    @classmethod
    def of(cls, order: Order) -> OrderRow:
        """Return the row for an order in its current state. (``_value_`` returns ``value`` without a Python call.)"""
        return cls(
            order.spec,
            order.sent,
            order.updated,
            order.order_id,
            order.state._value_,
            order.reason,
            order.executed_lots,
            order.executed_units,
        )


class FillRow(msgspec.Struct, frozen=True, gc=False):
    """A fill. ``value`` and ``fee_value`` are in the valuation currency, converted at the time of the fill."""

    time: Nanos
    strategy: str
    client_id: int
    order_id: str
    pair: Pair
    side: str
    is_maker: bool
    price_ticks: int
    lots: int
    value_units: int
    fee_units: int
    fee_currency: str
    value: float
    fee_value: float
    tag: str

    @classmethod
    def of(cls, fill: Fill, value: float, fee_value: float) -> FillRow:
        """Return the row for a fill, given its value and fee in the valuation currency."""
        order = fill.order
        return cls(
            fill.time,
            order.strategy,
            order.client_id,
            order.order_id,
            fill.pair,
            fill.side._value_,
            fill.is_maker,
            fill.price_ticks,
            fill.lots,
            fill.value_units,
            fill.fee_units,
            fill.fee_currency,
            value,
            fee_value,
            order.tag,
        )


class ClosedTrade(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A trade: the part of a strategy's position in a pair that was closed by one order, or a loop through several
    pairs.

    Money is in ``currency``: the pair's quote currency, or the currency in which a loop starts and ends.
    ``entry_units`` and ``exit_units`` are values at the fill prices, before fees. ``pnl_units`` is the profit after
    entry and exit fees, and ``pnl`` is the same profit in the valuation currency, at the exit rate.
    """

    strategy: str
    #: the pair, or the pairs of a loop's legs in order
    pairs: tuple[Pair, ...]
    kind: TradeKind
    currency: str
    opened: Nanos
    closed: Nanos
    #: the base currency that was closed, net of fees paid in it; for a loop, the money spent
    units: int
    entry_units: int
    exit_units: int
    fee_units: int
    pnl_units: int
    pnl: float
    #: True if the trade sold coins that were handed over, not bought, so that it is excluded from win rates
    is_given: bool = False
    entry_tag: str = ""
    exit_tag: str = ""
    exit_reason: str = "signal"
    #: the client id of the order that closed the trade
    client_id: int = 0
    #: changes in the holding over time: (time, base units added, quote units received before fees)
    steps: tuple[tuple[Nanos, int, int], ...] = ()
    #: the worst and best results before the exit, as fractions of the entry value; None if unknown
    mae: float | None = None
    mfe: float | None = None

    @property
    def return_(self) -> float | None:
        """``pnl`` as a fraction of the entry value."""
        return self.pnl_units / self.entry_units if self.entry_units else None

    @property
    def pair_text(self) -> str:
        """The pair's name, or a loop's legs: ``btc_twd > btc_usdt > usdt_twd``."""
        return " > ".join(self.pairs)


class FillMark(msgspec.Struct, frozen=True, gc=False):
    """The mid price at a fill, and `MARKOUTS_S` seconds after the fill; None if a price is unknown."""

    mid: float | None = None
    after: tuple[float | None, ...] = (None,) * len(MARKOUTS_S)


class MakerRow(msgspec.Struct, frozen=True, kw_only=True):
    """The results of a strategy's maker fills in a pair. Averages are weighted by fill value.

    Basis points are relative to the fill price, and positive values favor the strategy. Values are None if there is no
    mid price.
    """

    strategy: str
    pair: Pair
    #: the number of maker fills, and their value in the valuation currency
    fills: int
    value: float
    #: the value of maker fills as a fraction of the value of all of the strategy's fills in the pair
    share: float
    #: the distance of the fill prices from the mid price at the time of the fill
    spread_bps: float | None
    #: the distance of the fill prices from the mid price `MARKOUTS_S` seconds later
    markouts_bps: tuple[float | None, ...]
    fee_bps: float
    #: base currency held during the run, excluding coins that were handed over: minimum, maximum, and time average
    inventory_least: float
    inventory_most: float
    inventory_average: float


class RestRow(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics on a strategy's limit orders in a pair, compared with the recorded books."""

    strategy: str
    pair: Pair
    #: the number of resting orders, and how many of them were filled at least partly
    orders: int
    filled: int
    #: the fraction of the run during which the strategy's best bid (or ask) was equal to or better than the recorded
    #: one
    at_best_bid: float
    at_best_ask: float
    #: the median amount of base currency ahead of an order when it joined the queue, under the queue assumption; None
    #: if no book was deep enough to include the orders' prices
    ahead_median: float | None
    #: the median time that orders rested; None without orders
    rested_median_s: float | None


class TradeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics of a set of trades. Money is in the valuation currency. A metric is None if it is undefined for these
    trades.
    """

    count: int
    wins: int
    gross_profit: float
    gross_loss: float
    average_return: float | None = None
    best_return: float | None = None
    worst_return: float | None = None
    average_holding_s: float | None = None
    longest_holding_s: float | None = None

    @property
    def win_rate(self) -> float | None:
        """Fraction of trades with a profit."""
        return self.wins / self.count if self.count else None

    @property
    def profit_factor(self) -> float | None:
        """Gross profit / gross loss; None without a losing trade."""
        return self.gross_profit / self.gross_loss if self.gross_loss > 0 else None

    @property
    def expectancy(self) -> float | None:
        """The mean profit per trade."""
        return (self.gross_profit - self.gross_loss) / self.count if self.count else None


class OpenLot(msgspec.Struct, frozen=True, kw_only=True):
    """Base currency that a strategy held at the end: bought (positive units) or sold short (negative units).

    ``cost_units`` is the lot's cost in quote currency, including fees. It is negative for the proceeds of a short sale.
    """

    strategy: str
    pair: Pair
    opened: Nanos
    units: int
    cost_units: int
    is_given: bool = False


class Curve(msgspec.Struct):
    """A line for a chart: values in the valuation currency at ascending times."""

    times: list[Nanos]
    values: list[float]


class PriceCandles(msgspec.Struct):
    """One pair's prices for a chart, ordered by bucket start; buckets are ``width`` nanoseconds long."""

    pair: Pair
    width: Nanos
    times: Sequence[Nanos]
    open: Sequence[float]
    high: Sequence[float]
    low: Sequence[float]
    close: Sequence[float]
    #: trading volumes in base currency; empty if unknown
    volume: Sequence[float] = ()


class IndicatorLine(msgspec.Struct):
    """A line on a pair's price chart: an attached indicator, or values that a strategy plotted.

    ``pane`` is "price", or the name of a separate pane below the chart. Times are in ascending order. On the chart, a
    point is drawn at the candle that contains it.
    """

    pair: str
    strategy: str
    name: str
    pane: str
    times: list[Nanos]
    values: list[float]
    #: the name of the indicator's value, such as "upper" for Bollinger bands
    field: str = ""


class Drawdown(msgspec.Struct, frozen=True):
    """A drawdown of equity from a peak, as a ``fraction`` of the peak, with its times.

    ``peak_time`` is the last time at the peak. ``recovered`` is the time at which equity first reached the peak again,
    or None.
    """

    fraction: float = 0.0
    peak_time: Nanos | None = None
    trough_time: Nanos | None = None
    recovered: Nanos | None = None


class DayRow(msgspec.Struct, frozen=True):
    """Equity at the end of one calendar day of the run. ``end`` is midnight, or the end of the run.

    ``return_`` is None for a partial first or last day.
    """

    date: str
    end: Nanos
    equity: float
    return_: float | None = None


class PositionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy's position in one pair at the end. Amounts are in lots, money in quote currency."""

    pair: Pair
    lots: int
    average_entry: float | None = None
    realised: float = 0.0
    unrealised: float | None = None


class StrategyRow(msgspec.Struct, kw_only=True):
    """One strategy's results. Money is in the valuation currency.

    ``skips`` and ``refusals`` count the reasons why the strategy did not trade.
    """

    name: str
    use: str = ""
    #: effective parameters, including defaults, as plain JSON values
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    orders: int = 0
    fills: int = 0
    refused: int = 0
    pnl: float | None = None
    return_: float | None = None
    max_drawdown: float | None = None
    fees: float = 0.0
    turnover: float = 0.0
    realised: float | None = None
    unrealised: float | None = None
    win_rate: float | None = None
    round_trips: int = 0
    positions: list[PositionRow] = msgspec.field(default_factory=list)
    skips: dict[str, int] = msgspec.field(default_factory=dict)
    refusals: dict[str, int] = msgspec.field(default_factory=dict)
    stopped: str = ""  # why the strategy stopped early, with the last line of the traceback


class EndpointUse(msgspec.Struct, frozen=True, kw_only=True):
    """The router's use of one endpoint.

    ``peak_use`` is the highest utilization of any of the endpoint's windows, as a fraction of the documented ``limit``
    (such as "1,200 in 60 s per account"). Waits are in milliseconds and cover only orders that had to wait.
    """

    endpoint: str
    requests: int
    limit: str = ""
    peak_use: float | None = None
    delayed: int = 0
    wait_p50_ms: float | None = None
    wait_p99_ms: float | None = None
    wait_max_ms: float | None = None
    batched: int = 0
    dropped: int = 0


class RouterUse(msgspec.Struct, kw_only=True):
    """The router's statistics for a run: the number of orders that waited for a slot, their wait times, and the use of
    each endpoint.
    """

    endpoints: list[EndpointUse] = msgspec.field(default_factory=list)
    orders_delayed: int = 0
    max_queue_ms: float = 0.0
    batched: int = 0
    dropped: int = 0
    refused_by_exchange: int = 0  # 429 responses; 0 as long as the router stays within its slots


class DataDescription(msgspec.Struct, kw_only=True):
    """The recorded data used in a run. ``kinds`` contains each pair's source: {"btc_usdt": "candles 1m"}."""

    path: str
    start: Nanos
    end: Nanos
    rows: int
    synthetic: bool
    kinds: dict[str, str] = msgspec.field(default_factory=dict)
    source: str = ""
    gaps: int = 0


class QueueReading(msgspec.Struct, kw_only=True):
    """The run's metrics under one queue assumption. ``figures`` uses the keys of the summary."""

    name: str
    chosen: bool
    figures: dict[str, Figure]


#: caution for generated data; shown in the report's banner
SYNTHETIC = "the data is a synthetic market: the result says nothing about a real market"


class Caution(msgspec.Struct, frozen=True):
    """A fact that the reader must know before trusting the result. Serious cautions (``grave``) are shown in red."""

    text: str
    grave: bool = True


class Benchmark(msgspec.Struct, kw_only=True):
    """The equity over time if the opening equity had been invested without the strategies, for comparison with a
    run.
    """

    name: str
    equity: Curve
    days: list[DayRow]
    return_: float | None
    max_drawdown: float
    sharpe: float | None


class LatencyRow(msgspec.Struct, frozen=True, kw_only=True):
    """The distribution of one latency in a live session, in milliseconds. ``what`` is the measured delay, such as
    "order" or "answer", and ``kind`` is the kind of request or event it applies to, such as "create".
    """

    what: str
    kind: str
    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class BacktestResult(msgspec.Struct, kw_only=True):
    """The result of a finished backtest, or of a live session so far (``mode`` emulator, paper or live).

    Orders, fills, trades and marks of a long run are in a file and are read again each time; `botkit.model.row_columns`
    reads only the columns that are needed.

    If ``is_replayed`` is False, the session could not be replayed, so data that was available only in the bot is
    missing: the reasons for not trading and the use of rate limits. Indicators and plots then have only one value per
    minute.
    """

    name: str
    mode: str = "backtest"
    is_replayed: bool = True
    latencies: list[LatencyRow] = msgspec.field(default_factory=list)
    currency: str
    timezone: str
    start: Nanos
    end: Nanos
    seed: int
    summary: dict[str, Figure]
    equity: Curve
    drawdown: Drawdown
    data: DataDescription
    config_text: str = ""
    days: list[DayRow] = msgspec.field(default_factory=list)
    benchmark: Benchmark | None = None
    strategies: list[StrategyRow] = msgspec.field(default_factory=list)
    strategy_days: dict[str, list[DayRow]] = msgspec.field(default_factory=dict)
    strategy_equity: dict[str, Curve] = msgspec.field(default_factory=dict)
    orders: Sequence[OrderRow] = msgspec.field(default_factory=list)
    fills: Sequence[FillRow] = msgspec.field(default_factory=list)
    trades: Sequence[ClosedTrade] = msgspec.field(default_factory=list)
    #: the strategies' holdings at the start, in units by currency
    opening: dict[str, int] = msgspec.field(default_factory=dict)
    #: trade metrics by group; first key: the breakdown (such as "exit_reason"), second key: the group
    groups: dict[str, dict[str, TradeFigures]] = msgspec.field(default_factory=dict)
    #: a mark for each fill; empty without order books
    marks: Sequence[FillMark] = msgspec.field(default_factory=list)
    makers: list[MakerRow] = msgspec.field(default_factory=list)
    rests: list[RestRow] = msgspec.field(default_factory=list)
    #: the command that repeats the run; empty if the run was not started from the command line
    command: str = ""
    open_lots: list[OpenLot] = msgspec.field(default_factory=list)
    #: the deepest drawdowns of equity, deepest first
    drawdowns: list[Drawdown] = msgspec.field(default_factory=list)
    prices: list[PriceCandles] = msgspec.field(default_factory=list)
    indicators: list[IndicatorLine] = msgspec.field(default_factory=list)
    router: RouterUse = msgspec.field(default_factory=RouterUse)
    assumptions: list[str] = msgspec.field(default_factory=list)
    warnings: list[Caution] = msgspec.field(default_factory=list)
    queue_readings: list[QueueReading] = msgspec.field(default_factory=list)
    dust: list[str] = msgspec.field(default_factory=list)
    #: money that was not assigned to any strategy at the end, in units by currency; excluded from all metrics
    unassigned: dict[str, int] = msgspec.field(default_factory=dict)
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    # data for plugins' report sections; botkit itself does not read it
    extra: dict[str, Any] = msgspec.field(default_factory=dict)
