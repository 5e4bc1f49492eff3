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
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from types import MappingProxyType

from botkit.backtesting.equity import EquityCurve
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


def fill_rows(fills: Sequence[Fill], curve: EquityCurve) -> list[FillRow]:
    """Return the fills within the latest slice of ``curve``, valued at the time of each fill."""
    if not fills:
        return []
    times = [fill.time for fill in fills]
    currencies = {fill.pair.quote for fill in fills} | {fill.fee_currency for fill in fills if fill.fee_units}
    rates = {currency: curve.value_at(currency, times).tolist() for currency in sorted(currencies)}
    make = FillRow.of
    rows = []
    for i, fill in enumerate(fills):
        value = fill.value_units / UNIT * rates[fill.pair.quote][i]
        fee = fill.fee_units / UNIT * rates[fill.fee_currency][i] if fill.fee_units else 0.0
        rows.append(make(fill, value, fee))
    return rows


def trade_figures(trades: Iterable[ClosedTrade]) -> TradeFigures:
    """Return the metrics of a strategy's trades, excluding trades in coins that were handed over."""
    own = [trade for trade in trades if not trade.is_given]
    returns = [value for trade in own if (value := trade.return_) is not None]
    holdings = [(trade.closed - trade.opened) / NS_PER_S for trade in own]
    return TradeFigures(
        count=len(own),
        wins=sum(trade.pnl_units > 0 for trade in own),
        gross_profit=math.fsum(trade.pnl for trade in own if trade.pnl_units > 0),
        gross_loss=-math.fsum(trade.pnl for trade in own if trade.pnl_units < 0),
        average_return=math.fsum(returns) / len(returns) if returns else None,
        best_return=max(returns, default=None),
        worst_return=min(returns, default=None),
        average_holding_s=math.fsum(holdings) / len(holdings) if holdings else None,
        longest_holding_s=max(holdings, default=None),
    )


#: the properties by which trades can be grouped; a trade's month is its exit month, in the run's time zone
GROUPS: Mapping[str, Callable[[ClosedTrade, tzinfo], str]] = MappingProxyType(
    {
        "pair": lambda trade, zone: trade.pair_text,
        "strategy": lambda trade, zone: trade.strategy,
        "kind": lambda trade, zone: trade.kind,
        "exit_reason": lambda trade, zone: trade.exit_reason,
        "entry_tag": lambda trade, zone: trade.entry_tag,
        "exit_tag": lambda trade, zone: trade.exit_tag,
        "month": lambda trade, zone: format(to_datetime(trade.closed, zone), "%Y-%m"),
    }
)


def grouped_trades(trades: Sequence[ClosedTrade], zone: tzinfo) -> dict[str, dict[str, TradeFigures]]:
    """Return trade metrics for each breakdown in `GROUPS`. The groups in each breakdown are sorted by name."""
    found = {}
    for name, key in GROUPS.items():
        groups: dict[str, list[ClosedTrade]] = {}
        for trade in trades:
            if not trade.is_given:
                groups.setdefault(key(trade, zone), []).append(trade)
        found[name] = {group: trade_figures(rows) for group, rows in sorted(groups.items())}
    return found


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
    turnover = math.fsum(fill.value for fill in fills)
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
        "fees": math.fsum(fill.fee_value for fill in fills),
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
    """Fill in a strategy's metrics from its equity curve, its fills and its trades."""
    opening, final, trips = curve.opening, curve.final, trade_figures(trades)
    row.fills = len(fills)
    row.fees = math.fsum(fill.fee_value for fill in fills)
    row.turnover = math.fsum(fill.value for fill in fills)
    row.round_trips = trips.count
    row.win_rate = trips.win_rate
    row.realised = math.fsum(trade.pnl for trade in trades)
    if opening is not None and final is not None:
        row.pnl = final - opening
        row.return_ = row.pnl / opening if opening else None
        # a strategy that shares the account's funds has an opening equity of 0, so its drawdown cannot be expressed as
        # a fraction
        row.max_drawdown = curve.drawdown.fraction if opening else None
        row.unrealised = round(row.pnl - row.realised, 8) + 0.0  # remove rounding errors and -0.0
