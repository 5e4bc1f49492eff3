"""A backtest's metrics and their definitions. Metrics that cannot be computed are None, never NaN or infinity.

* ``pnl``: final equity less opening equity, in the valuation currency, including unrealized gains, net of fees.
* ``return``: pnl / opening equity.
* ``max_drawdown``: the deepest fall of equity below an earlier peak as a fraction of that peak, over every
  price row.
* ``sharpe``, ``sharpe_error``, ``sortino``, ``cagr``, ``volatility``, ``calmar``, ``var_95``, ``cvar_95``:
  computed from daily returns as defined in `botkit.backtesting.statistics`. Days are calendar days of the
  configured time zone, including flat days; a partial first or last day has no return. None with fewer than 30
  returns (``ratios_missing`` states the reason).
* ``days``: number of daily returns used for these ratios.
* ``longest_drawdown_s``: the longest time from an equity peak until the peak was reached again, or until the
  end of the run.
* ``fees``: all fees, each valued at the time of its fill.
* ``turnover``: the total value of all fills, each valued at its own time, in the valuation currency.
* ``exposure``: fraction of the time during which at least the minimum order amount of a traded base currency
  was held.
* ``round_trips``: number of trades, as identified by `botkit.backtesting.trades`. Sales of coins that were
  handed over are excluded from this metric and from those below.
* ``win_rate``: fraction of trades that made a profit after entry and exit fees.
* ``profit_factor``: the total profit of winning trades / the total loss of losing trades. None without a losing
  trade.
* ``expectancy``: the mean profit per trade, in the valuation currency.
* ``average_trade``, ``best_trade``, ``worst_trade``: profits as fractions of the trade's entry value.
* ``average_holding_s``, ``longest_holding_s``: from a trade's first entry to its last exit.
* ``buy_and_hold_return``: the return from holding the traded base currencies in equal parts from first to last
  price, without fees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import tzinfo
from types import MappingProxyType
from typing import Any

from botkit.backtesting.equity import EquityCurve
from botkit.backtesting.exact_sum import ExactSum
from botkit.backtesting.statistics import (
    cagr,
    calmar,
    conditional_value_at_risk,
    finite,
    missing_ratios,
    sharpe,
    sharpe_error,
    sortino,
    value_at_risk,
    volatility,
)
from botkit.model.clock import NS_PER_S, to_datetime
from botkit.model.events import Fill
from botkit.model.money import UNIT
from botkit.model.results import ClosedTrade, Figure, FillRow, RouterUse, StrategyRow, TradeFigures
from botkit.model.row_columns import column_blocks, row_values


def fill_rows(fills: Sequence[Fill], curve: EquityCurve) -> list[FillRow]:
    """Return the fills within the latest slice of ``curve``, valued at the time of each fill. A fee that ``curve``
    leaves out has the value 0.
    """
    if not fills:
        return []
    times = [fill.time for fill in fills]
    paid_in = {fill.fee_currency for fill in fills if fill.fee_units}
    paid_in = {currency for currency in paid_in if curve.values(currency)}
    currencies = {fill.pair.quote for fill in fills} | paid_in
    rates = {currency: curve.value_at(currency, times).tolist() for currency in sorted(currencies)}
    make = FillRow.of
    rows = []
    for i, fill in enumerate(fills):
        value = fill.value_units / UNIT * rates[fill.pair.quote][i]
        is_valued = fill.fee_units and fill.fee_currency in paid_in
        fee = fill.fee_units / UNIT * rates[fill.fee_currency][i] if is_valued else 0.0
        rows.append(make(fill, value, fee))
    return rows


class _Figures:
    """The metrics of trades, computed block by block."""

    __slots__ = ("best", "count", "held", "held_longest", "loss", "profit", "returned", "returns", "wins", "worst")

    def __init__(self) -> None:
        self.count = self.wins = self.returns = 0
        self.profit, self.loss, self.returned, self.held = ExactSum(), ExactSum(), ExactSum(), ExactSum()
        self.best: float | None = None
        self.worst: float | None = None
        self.held_longest: float | None = None

    def add(self, trades: Sequence[tuple[int, float, float | None, float]]) -> None:
        """Add trades, each as (profit in units, profit, return, holding time in seconds)."""
        self.count += len(trades)
        self.wins += sum(units > 0 for units, _, _, _ in trades)
        self.profit.add(pnl for units, pnl, _, _ in trades if units > 0)
        self.loss.add(pnl for units, pnl, _, _ in trades if units < 0)
        returns = [value for _, _, value, _ in trades if value is not None]
        if returns:
            self.returns += len(returns)
            self.returned.add(returns)
            self.best = max(returns) if self.best is None else max(self.best, *returns)
            self.worst = min(returns) if self.worst is None else min(self.worst, *returns)
        holdings = [held for _, _, _, held in trades]
        self.held.add(holdings)
        self.held_longest = max(holdings if self.held_longest is None else [self.held_longest, *holdings])

    def found(self) -> TradeFigures:
        return TradeFigures(
            count=self.count,
            wins=self.wins,
            gross_profit=self.profit.value,
            gross_loss=-self.loss.value,
            average_return=self.returned.value / self.returns if self.returns else None,
            best_return=self.best,
            worst_return=self.worst,
            average_holding_s=self.held.value / self.count if self.count else None,
            longest_holding_s=self.held_longest,
        )


#: the columns from which the metrics of a trade are computed
_MEASURED = ("is_given", "pnl_units", "pnl", "entry_units", "opened", "closed")


def _measured(columns: Sequence[Sequence[Any]]) -> Iterator[tuple[int, float, float | None, float] | None]:
    """Yield for each trade what `_Figures` adds, or None for a trade in coins that were handed over."""
    for is_given, pnl_units, pnl, entry_units, opened, closed in zip(*columns, strict=True):
        if is_given:
            yield None
        else:
            yield pnl_units, pnl, pnl_units / entry_units if entry_units else None, (closed - opened) / NS_PER_S


def trade_figures(trades: Sequence[ClosedTrade], strategy: str | None = None) -> TradeFigures:
    """Return the metrics of trades, or of one strategy's trades among them, excluding trades in coins that were handed
    over.
    """
    figures = _Figures()
    for owners, *columns in column_blocks(trades, "strategy", *_MEASURED):
        own = [
            trade
            for owner, trade in zip(owners, _measured(columns), strict=True)
            if trade is not None and (strategy is None or owner == strategy)
        ]
        if own:
            figures.add(own)
    return figures.found()


#: the properties by which trades can be grouped: the columns that are read, and how a group is named from them; a
#: trade's month is its exit month, in the run's time zone
GROUPS: Mapping[str, tuple[str, Callable[[Any, tzinfo], str]]] = MappingProxyType(
    {
        "pair": ("pairs", lambda pairs, zone: " > ".join(pairs)),
        "strategy": ("strategy", lambda name, zone: name),
        "kind": ("kind", lambda kind, zone: kind),
        "exit_reason": ("exit_reason", lambda reason, zone: reason),
        "entry_tag": ("entry_tag", lambda tag, zone: tag),
        "exit_tag": ("exit_tag", lambda tag, zone: tag),
        "month": ("closed", lambda closed, zone: format(to_datetime(closed, zone), "%Y-%m")),
    }
)


def grouped_trades(trades: Sequence[ClosedTrade], zone: tzinfo) -> dict[str, dict[str, TradeFigures]]:
    """Return trade metrics for each breakdown in `GROUPS`. The groups in each breakdown are sorted by name."""
    found: dict[str, dict[str, _Figures]] = {name: {} for name in GROUPS}
    sources = [source for source, _ in GROUPS.values()]
    for columns in column_blocks(trades, *sources, *_MEASURED):
        measured = list(_measured(columns[len(sources) :]))
        for (name, (_, group_of)), column in zip(GROUPS.items(), columns, strict=False):
            groups: dict[str, list[tuple[int, float, float | None, float]]] = {}
            for value, trade in zip(column, measured, strict=True):
                if trade is not None:
                    groups.setdefault(group_of(value, zone), []).append(trade)
            for group, rows in groups.items():
                found[name].setdefault(group, _Figures()).add(rows)
    return {
        name: {group: figures.found() for group, figures in sorted(groups.items())} for name, groups in found.items()
    }


def summarise(
    *,
    strategies: Sequence[str],
    currency: str,
    curve: EquityCurve,
    orders: int,
    refused: int,
    fills: Sequence[FillRow],
    trades: Sequence[ClosedTrade],
    router: RouterUse,
    events: int,
    wall_s: float,
    journal_sha256: str,
) -> dict[str, Figure]:
    """Return a run's summary, with its keys in `SUMMARY_KEYS` order.

    ``orders`` is the number of orders that strategies placed. ``refused`` is the number of those orders that were
    refused by rules or risk checks.
    """
    opening, final = curve.opening, curve.final
    pnl = final - opening if final is not None and opening is not None else None
    returns, trips = curve.daily_returns(), trade_figures(trades)
    max_drawdown = curve.drawdown.fraction if opening is not None else None
    turnover, fees = _value_and_fees(fills)
    figures: dict[str, Figure] = {
        "strategy": ", ".join(strategies),
        "currency": currency,
        "orders": orders,
        "fills": len(fills),
        "refused": refused,
        "opening_equity": opening,
        "final_equity": final,
        "pnl": pnl,
        "return": pnl / opening if pnl is not None and opening else None,
        "max_drawdown": max_drawdown,
        "sharpe": sharpe(returns),
        "sortino": sortino(returns),
        "fees": fees,
        "turnover": turnover,
        "exposure": curve.exposure,
        "win_rate": trips.win_rate,
        "profit_factor": trips.profit_factor,
        "buy_and_hold_return": curve.buy_and_hold_return,
        "events": events,
        "events_per_second": round(events / wall_s) if wall_s > 0 else None,
        "wall_s": round(wall_s, 6),
        "orders_delayed": router.orders_delayed,
        "max_queue_ms": router.max_queue_ms,
        "journal_sha256": journal_sha256,
        "turnover_ratio": turnover / opening if opening else None,
        "round_trips": trips.count,
        "expectancy": trips.expectancy,
        "average_trade": trips.average_return,
        "best_trade": trips.best_return,
        "worst_trade": trips.worst_return,
        "average_holding_s": trips.average_holding_s,
        "longest_holding_s": trips.longest_holding_s,
        "sharpe_error": sharpe_error(returns),
        "cagr": cagr(returns),
        "volatility": volatility(returns),
        "calmar": calmar(returns, max_drawdown),
        "var_95": value_at_risk(returns),
        "cvar_95": conditional_value_at_risk(returns),
        "longest_drawdown_s": curve.longest_fall_s,
        "days": len(returns),
        "ratios_missing": missing_ratios(returns),
    }
    return {key: finite(value) if isinstance(value, float) else value for key, value in figures.items()}


def complete_strategy(
    row: StrategyRow, curve: EquityCurve, fills: Sequence[FillRow], trades: Sequence[ClosedTrade]
) -> None:
    """Fill in a strategy's metrics from its equity curve, and from its fills and trades among those of the run."""
    opening, final, trips = curve.opening, curve.final, trade_figures(trades, row.name)
    row.fills = sum(names.count(row.name) for (names,) in column_blocks(fills, "strategy"))
    row.turnover, row.fees = _value_and_fees(fills, row.name)
    row.round_trips = trips.count
    row.win_rate = trips.win_rate
    row.realised = math.fsum(pnl for name, pnl in row_values(trades, "strategy", "pnl") if name == row.name)
    if opening is not None and final is not None:
        row.pnl = final - opening
        row.return_ = row.pnl / opening if opening else None
        # a strategy that shares the account's funds has an opening equity of 0, so its drawdown cannot be expressed as
        # a fraction
        row.max_drawdown = curve.drawdown.fraction if opening else None
        row.unrealised = round(row.pnl - row.realised, 8) + 0.0  # remove rounding errors and -0.0


def _value_and_fees(fills: Sequence[FillRow], strategy: str | None = None) -> tuple[float, float]:
    """Return the sum of the fills' values and the sum of their fees, of one strategy if it is named."""
    value, fees = ExactSum(), ExactSum()
    for names, worths, paid in column_blocks(fills, "strategy", "value", "fee_value"):
        if strategy is not None and names.count(strategy) < len(names):
            worths = [worth for name, worth in zip(names, worths, strict=True) if name == strategy]
            paid = [fee for name, fee in zip(names, paid, strict=True) if name == strategy]
        value.add(worths)
        fees.add(paid)
    return value.value, fees.value
