"""Summarises a running or finished bot for ``--json``, ``botkit status`` and the last lines on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from botkit.engine.risk.review import PAUSED
from botkit.live.notifications.unvalued_fees import unvalued_fees_sentence
from botkit.live.standing import Standing
from botkit.model.counts import counted
from botkit.model.figures import amount_figure, money_figure, price_figure, separated
from botkit.model.money import format_units
from botkit.model.orders import Order, OrderState
from botkit.model.reasons import grouped

_UNIT = 10**8


def order_text(order: Order, state: OrderState | None = None) -> str:
    """Format an order as one line of text, showing either its current state or a given state."""
    rules = order.pair.rules
    spends = f"{separated(format_units(order.spend_units))} {order.pair.quote} of"
    what = spends if order.spend_units else amount_figure(rules, order.amount_lots)
    at = f" at {price_figure(rules, order.price_ticks)}" if order.price_ticks else ""
    executed = amount_figure(rules, order.executed_lots)
    return f"{order.side.value} {what} {order.pair}{at}, {(state or order.state).value}, executed {executed}"


def summary_of(standing: Standing, why: str = "") -> dict[str, Any]:
    """Return the summary as a JSON object: orders, fills, money, open orders, and the strategies' reasons for not
    trading.
    """
    view = standing.view
    money, strategies, names = view.money, view.strategies(), view.names()
    equity, opening = money.equity(), standing.opening_equity
    use = view.router.statistics()
    open_orders = view.open_orders()
    return {
        "name": standing.name,
        "mode": standing.mode,
        "currency": money.currency,
        "ended": why,
        "uptime_s": round(standing.uptime_s, 3),
        "halted": view.halted,
        "held": view.router.held(),
        "stopped": {s.name: s.stopped_because for s in strategies if not s.active},
        "orders": sum(strategy.sent for strategy in strategies),
        "fills": sum(strategy.fills for strategy in strategies),
        "refused": sum(sum(strategy.refusals.values()) for strategy in strategies),
        "equity": None if equity is None else equity / _UNIT,
        "pnl": None if equity is None or opening is None else (equity - opening) / _UNIT,
        "unvalued_fees": _amounts(money.fees.unvalued()),
        "open_orders": len(open_orders),
        "unknown_orders": sum(order.state is OrderState.UNKNOWN for order in open_orders),
        "open": [order_text(order) for order in open_orders[:50]],
        "foreign_orders": len(view.foreign_orders()),
        "positions": {
            f"{strategy.name} {position.pair}": position.amount
            for strategy in strategies
            for position in money.positions(strategy.name)
        },
        "owned": {name: _amounts(money.holdings(name)) for name in names},
        "departed": {
            ", ".join(owner.strategies): amounts
            for owner in money.ownership().owners
            if (amounts := _amounts(owner.units)) and set(owner.strategies).isdisjoint(names)
        },
        "unassigned": _amounts(money.unassigned),
        "strategies": {
            strategy.name: {
                "active": strategy.active,
                "stopped": strategy.stopped_because,
                "halted": strategy.halted or "",
                "orders": strategy.sent,
                "fills": strategy.fills,
                "skips": grouped(strategy.skips),
                "refusals": grouped(strategy.refusals),
            }
            for strategy in strategies
        },
        "bars": view.checks.bars(),
        "events": view.events,
        "turns": standing.turns,
        "orders_delayed": use.orders_delayed,
        "max_queue_ms": use.max_queue_ms,
        "refused_by_exchange": standing.rate_limited,
        "journal_sha256": standing.journal_sha256,
    }


def _amounts(units_by_currency: Mapping[str, int]) -> dict[str, str]:
    return {currency: format_units(units) for currency, units in units_by_currency.items() if units}


def _held(positions: Mapping[str, float]) -> list[str]:
    """Return what each strategy holds of each coin. Its positions in pairs with the same base are one holding: coins of
    its capital count in its first pair, and may be sold in another.
    """
    by_coin: dict[tuple[str, str], dict[str, float]] = {}
    for name, amount in positions.items():
        strategy, _, pair = name.rpartition(" ")
        if amount:
            by_coin.setdefault((strategy, pair.partition("_")[0]), {})[pair] = amount
    found = []
    for (strategy, coin), pairs in by_coin.items():
        total = math.fsum(pairs.values())
        where = next(iter(pairs)) if len(pairs) == 1 else ", ".join(f"{_coins(n)} in {p}" for p, n in pairs.items())
        found.append(f"{_coins(total)} {coin} ({strategy}: {where})")
    return found


def _coins(amount: float) -> str:
    return separated(f"{amount:.8f}".rstrip("0").rstrip("."))


def standstill_of(strategy: str, halt: str) -> str:
    """Return a sentence about a strategy that is paused or halted, with its remedy."""
    what = "paused" if halt == PAUSED else f"halted: {halt}"
    return f"{strategy} is {what}; `botkit resume CONFIG {strategy}` lets it trade"


def stopped_lines(summary: dict[str, Any]) -> list[str]:
    """Return the first lines of a summary, which list the stopped strategies with the reasons."""
    stopped = {
        name: row["stopped"] for name, row in summary.get("strategies", {}).items() if not row.get("active", True)
    }
    return [f"STOPPED: {name}: {why}" for name, why in stopped.items()]


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """Format the summary as text, stopped strategies first. For a bot that never started, return only the reason."""
    if "strategies" not in summary:
        return [f"{summary['name']}: {summary['ended']}: {summary.get('error', '')}"]
    money = summary["currency"]
    pnl = summary["pnl"]
    profit = "" if pnl is None else f", profit {money_figure(pnl, signed=True)} {money}"
    lines = [
        *stopped_lines(summary),
        f"{summary['name']}: {counted(summary['orders'], 'order')}, {counted(summary['fills'], 'fill')}, "
        f"{summary['refused']:,} refused{profit}",
    ]
    unvalued = unvalued_fees_sentence(summary.get("unvalued_fees", {}))  # absent from the status of an older botkit
    if unvalued:
        lines.append(f"  {unvalued}")
    for name, row in summary["strategies"].items():
        reasons = sorted({**row["skips"], **row["refusals"]}.items(), key=lambda item: -item[1])[:3]
        told = "; ".join(f"{count} {reason}" for reason, count in reasons)
        counts = f"{counted(row['orders'], 'order')}, {counted(row['fills'], 'fill')}"
        lines.append(f"  {name}: {counts}" + (f" ({told})" if told else ""))
        if row.get("halted"):  # absent from the status of an older botkit
            lines.append(f"  {standstill_of(name, row['halted'])}")
    for name, bars in summary.get("bars", {}).items():
        if bars["different"]:
            lines.append(
                f"  bars of {name}: {bars['different']} of {bars['checked']} differ from the exchange's candles"
            )
    lines += [f"  holds {text}" for text in _held(summary["positions"])]
    for name, amounts in summary.get("departed", {}).items():
        owned = ", ".join(f"{separated(amount)} {currency}" for currency, amount in amounts.items())
        lines.append(
            f"  {name}, not in the configuration any more, still owns {owned}: they count in equity and today, not in "
            f"what the other strategies made in all; `botkit capital take CONFIG {name} ...` takes them back"
        )
    lines += [f"  still open: {text}" for text in summary["open"]]
    if "error" in summary:
        lines.append(f"  failed: {summary['error']}")
    lines += [f"  {text}" for text in summary.get("held", ())]  # absent from the status of an older botkit
    if summary["halted"]:
        lines.append(f"  halted: {summary['halted']}")
    return lines
