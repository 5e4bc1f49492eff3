"""Converts a result's rows to DataFrames. Times are in UTC, monetary amounts are floats, and missing values are NaN or
NaT.

Text columns have the pandas type ``string``, counts ``int64``, other numbers ``float64``, and times ``datetime64[ns,
UTC]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from botkit.backtesting.making import edge_bps
from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos
from botkit.model.money import UNIT
from botkit.model.results import MARKOUTS_S, BacktestResult, ClosedTrade, Figure, TradeFigures

if TYPE_CHECKING:
    import pandas as pd


def orders_frame(result: BacktestResult) -> pd.DataFrame:
    """Return all orders, in the order they were placed."""
    rows = list(result.orders)
    specs = [order.spec for order in rows]
    return _frame(
        {
            "time": _times([spec.created for spec in specs]),
            "strategy": _texts([spec.strategy for spec in specs]),
            "pair": _texts([spec.pair for spec in specs]),
            "side": _texts([spec.side.value for spec in specs]),
            "type": _texts([spec.type.value for spec in specs]),
            "price": _figures(
                [spec.pair.rules.price(spec.price_ticks) if spec.price_ticks else None for spec in specs]
            ),
            "amount": _figures(
                [spec.pair.rules.amount(spec.amount_lots) if spec.amount_lots else None for spec in specs]
            ),
            "spend": _figures([spec.spend_units / UNIT if spec.spend_units else None for spec in specs]),
            "stop_price": _figures(
                [spec.pair.rules.price(spec.stop_ticks) if spec.stop_ticks else None for spec in specs]
            ),
            "post_only": np.array([spec.post_only for spec in specs], dtype=bool),
            "state": _texts([order.state for order in rows]),
            "reason": _texts([order.reason for order in rows]),
            "executed": _figures([order.spec.pair.rules.amount(order.executed_lots) for order in rows]),
            "value": _figures([order.executed_units / UNIT for order in rows]),
            "queue_ms": _figures(
                [(order.sent - order.spec.created) / NS_PER_MS if order.sent else None for order in rows]
            ),
            "updated": _times([order.updated for order in rows]),
            "client_id": _counts([spec.client_id for spec in specs]),
            "order_id": _texts([order.order_id for order in rows]),
            "tag": _texts([spec.tag for spec in specs]),
        }
    )


def fills_frame(result: BacktestResult) -> pd.DataFrame:
    """Return all fills in chronological order. With order books, each row has the mid price at the fill and its
    markouts in basis points.
    """
    rows = list(result.fills)
    columns = {
        "time": _times([fill.time for fill in rows]),
        "strategy": _texts([fill.strategy for fill in rows]),
        "pair": _texts([fill.pair for fill in rows]),
        "side": _texts([fill.side for fill in rows]),
        "liquidity": _texts(["maker" if fill.is_maker else "taker" for fill in rows]),
        "price": _figures([fill.pair.rules.price(fill.price_ticks) for fill in rows]),
        "amount": _figures([fill.pair.rules.amount(fill.lots) for fill in rows]),
        "value": _figures([fill.value_units / UNIT for fill in rows]),
        "fee": _figures([fill.fee_units / UNIT for fill in rows]),
        "fee_currency": _texts([fill.fee_currency for fill in rows]),
        "worth": _figures([fill.value for fill in rows]),
        "fee_worth": _figures([fill.fee_value for fill in rows]),
        "client_id": _counts([fill.client_id for fill in rows]),
        "order_id": _texts([fill.order_id for fill in rows]),
        "tag": _texts([fill.tag for fill in rows]),
    }
    marks = list(result.marks)
    columns["mid"] = _figures([mark.mid for mark in marks] if marks else [None] * len(rows))
    for number, seconds in enumerate(MARKOUTS_S):
        after = [mark.after[number] for mark in marks] if marks else [None] * len(rows)
        columns[f"markout_{seconds}s_bps"] = _figures(
            [None if mid is None else edge_bps(fill, mid) for fill, mid in zip(rows, after, strict=True)]
        )
    return _frame(columns)


def trades_frame(result: BacktestResult) -> pd.DataFrame:
    """Return all trades, ordered by exit time."""
    rows = list(result.trades)
    return _frame(
        {
            "opened": _times([trade.opened for trade in rows]),
            "closed": _times([trade.closed for trade in rows]),
            "strategy": _texts([trade.strategy for trade in rows]),
            "pair": _texts([trade.pair_text for trade in rows]),
            "kind": _texts([trade.kind for trade in rows]),
            "amount": _figures([trade.units / UNIT for trade in rows]),
            "entry_price": _figures([_price(trade, trade.entry_units) for trade in rows]),
            "exit_price": _figures([_price(trade, trade.exit_units) for trade in rows]),
            "entry_value": _figures([trade.entry_units / UNIT for trade in rows]),
            "exit_value": _figures([trade.exit_units / UNIT for trade in rows]),
            "fees": _figures([trade.fee_units / UNIT for trade in rows]),
            "profit": _figures([trade.pnl_units / UNIT for trade in rows]),
            "currency": _texts([trade.currency for trade in rows]),
            "pnl": _figures([trade.pnl for trade in rows]),
            "return": _figures([trade.return_ for trade in rows]),
            "mae": _figures([trade.mae for trade in rows]),
            "mfe": _figures([trade.mfe for trade in rows]),
            "holding_s": _figures([(trade.closed - trade.opened) / NS_PER_S for trade in rows]),
            "exit_reason": _texts([trade.exit_reason for trade in rows]),
            "entry_tag": _texts([trade.entry_tag for trade in rows]),
            "exit_tag": _texts([trade.exit_tag for trade in rows]),
            "given": np.array([trade.is_given for trade in rows], dtype=bool),
            "client_id": _counts([trade.client_id for trade in rows]),
        }
    )


def equity_frame(result: BacktestResult) -> pd.DataFrame:
    """Return the sampled equity by time and its drawdown from the peak so far. If there are several strategies, the
    equity of each strategy is included.
    """
    times, values = result.equity.times, np.asarray(result.equity.values, dtype=np.float64)
    peaks = np.maximum.accumulate(values) if len(values) else values
    with np.errstate(divide="ignore", invalid="ignore"):
        falls = np.where(peaks > 0, 1 - values / peaks, 0.0)
    columns: dict[str, Any] = {"equity": values, "drawdown": falls}
    curves = {**result.strategy_equity, **({"benchmark": result.benchmark.equity} if result.benchmark else {})}
    for name, curve in curves.items():
        at = np.searchsorted(np.asarray(curve.times, np.int64), np.asarray(times, np.int64), side="right")
        columns[name] = np.concatenate(([np.nan], np.asarray(curve.values, dtype=np.float64)))[at]
    return _frame(columns, index=_index(times, "time"))


def daily_frame(result: BacktestResult) -> pd.DataFrame:
    """Return each calendar day of the run, indexed by the time of its close: date in the run's time zone, equity and
    return.
    """
    days = result.days
    columns: dict[str, Any] = {
        "date": _texts([day.date for day in days]),
        "equity": _figures([day.equity for day in days]),
        "return": _figures([day.return_ for day in days]),
    }
    curves = {**result.strategy_days, **({"benchmark": result.benchmark.days} if result.benchmark else {})}
    for name, rows in curves.items():
        closes = {row.end: row.equity for row in rows}
        columns[name] = _figures([closes.get(day.end) for day in days])
    return _frame(columns, index=_index([day.end for day in days], "end"))


def drawdowns_frame(result: BacktestResult) -> pd.DataFrame:
    """Return the deepest drawdowns, deepest first, computed over every row of the equity."""
    falls = result.drawdowns
    lasted = [(fall.recovered or result.end) - (fall.peak_time or 0) for fall in falls]
    return _frame(
        {
            "fall": _figures([fall.fraction for fall in falls]),
            "peak": _times([fall.peak_time for fall in falls]),
            "trough": _times([fall.trough_time for fall in falls]),
            "recovered": _times([fall.recovered for fall in falls]),
            "lasted": np.array(lasted, dtype="timedelta64[ns]"),
        }
    )


def makers_frame(result: BacktestResult) -> pd.DataFrame:
    """Return the results of each strategy's maker fills in each pair. The frame is empty without order books."""
    rows = result.makers
    return _frame(
        {
            "strategy": _texts([row.strategy for row in rows]),
            "pair": _texts([row.pair for row in rows]),
            "fills": _counts([row.fills for row in rows]),
            "worth": _figures([row.value for row in rows]),
            "share": _figures([row.share for row in rows]),
            "spread_bps": _figures([row.spread_bps for row in rows]),
            **{
                f"markout_{seconds}s_bps": _figures([row.markouts_bps[number] for row in rows])
                for number, seconds in enumerate(MARKOUTS_S)
            },
            "fee_bps": _figures([row.fee_bps for row in rows]),
            "inventory_least": _figures([row.inventory_least for row in rows]),
            "inventory_most": _figures([row.inventory_most for row in rows]),
            "inventory_average": _figures([row.inventory_average for row in rows]),
        }
    )


def grouped_frame(found: Mapping[str, TradeFigures], name: str) -> pd.DataFrame:
    """Return trade metrics, with one row per group. Trades in coins that were handed over are excluded."""
    import pandas as pd

    rows = list(found.values())
    return _frame(
        {
            "trades": _counts([row.count for row in rows]),
            "wins": _counts([row.wins for row in rows]),
            "win_rate": _figures([row.win_rate for row in rows]),
            "pnl": _figures([row.gross_profit - row.gross_loss for row in rows]),
            "expectancy": _figures([row.expectancy for row in rows]),
            "profit_factor": _figures([row.profit_factor for row in rows]),
            "average_trade": _figures([row.average_return for row in rows]),
            "best_trade": _figures([row.best_return for row in rows]),
            "worst_trade": _figures([row.worst_return for row in rows]),
            "average_holding_s": _figures([row.average_holding_s for row in rows]),
        },
        index=pd.Index(_texts(list(found)), name=name),
    )


def summary_frame(figures: Mapping[str, Figure], name: str) -> pd.DataFrame:
    """Return a summary as one row. Undefined metrics are NaN, or missing values in text columns."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for key, value in figures.items():
        if isinstance(value, str) or (value is None and key in ("strategy", "currency", "ratios_missing")):
            columns[key] = _texts([value])
        elif isinstance(value, int):
            columns[key] = _counts([value])
        else:
            columns[key] = _figures([value])
    return _frame(columns, index=pd.Index(_texts([name]), name="run"))


def _price(trade: ClosedTrade, money: int) -> float | None:
    """Return a trade's mean price, that is, its value divided by its amount. Returns None for a loop, which has several
    prices.
    """
    return money / trade.units if trade.kind != "loop" and trade.units else None


def _frame(columns: Mapping[str, Any], index: Any = None) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns, index=index)


def _texts(values: Sequence[str | None]) -> Any:
    import pandas as pd

    return pd.array([None if value is None else str(value) for value in values], dtype="string")


def _figures(values: Sequence[float | None]) -> Any:
    return np.array(values, dtype=np.float64)


def _counts(values: Sequence[int]) -> Any:
    return np.array(values, dtype=np.int64)


def _times(values: Sequence[Nanos | None]) -> Any:
    import pandas as pd

    none = np.iinfo(np.int64).min  # NaT
    moments = np.array([none if value is None else value for value in values], dtype=np.int64)
    return pd.Series(moments.astype("datetime64[ns]")).dt.tz_localize("UTC").array


def _index(values: Sequence[Nanos], name: str) -> pd.DatetimeIndex:
    import pandas as pd

    return pd.DatetimeIndex(np.array(values, dtype="datetime64[ns]"), name=name).tz_localize("UTC")
