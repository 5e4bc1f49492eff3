"""The figures of a running or finished bot: for ``--json``, ``botkit status`` and the last lines on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botkit.model.money import format_units
from botkit.model.orders import OrderState
from botkit.model.requests import Outcome

if TYPE_CHECKING:
    from botkit.live.bot import Bot
    from botkit.model.orders import Order

_UNIT = 10**8


def order_text(order: Order) -> str:
    """An order in a line for people."""
    rules = order.pair.rules
    spends = f"{format_units(order.spend_units)} {order.pair.quote} of"
    what = spends if order.spend_units else rules.amount_text(order.amount_lots)
    at = f" at {rules.price_text(order.price_ticks)}" if order.price_ticks else ""
    executed = rules.amount_text(order.executed_lots)
    return f"{order.side.value} {what} {order.pair}{at}, {order.state.value}, executed {executed}"


def summary_of(bot: Bot, why: str = "") -> dict[str, Any]:
    """One JSON object: orders, fills, money, what is open, and why strategies did not trade."""
    engine, parts = bot.engine, bot.parts
    portfolio = engine.portfolio
    equity = portfolio.equity_units(None, portfolio.currency)
    opening = bot.opening_equity
    use = engine.router.statistics()
    open_orders = bot.remaining()
    return {
        "name": parts.name,
        "mode": parts.mode,
        "currency": portfolio.currency,
        "ended": why,
        "uptime_s": round(bot.uptime_s, 3),
        "halted": engine.halted,
        "orders": sum(context.orders_count for context in engine.contexts.values()),
        "fills": sum(context.fills_count for context in engine.contexts.values()),
        "refused": sum(sum(context.refusals.values()) for context in engine.contexts.values()),
        "equity": None if equity is None else equity / _UNIT,
        "pnl": None if equity is None or opening is None else (equity - opening) / _UNIT,
        "open_orders": len(open_orders),
        "unknown_orders": sum(order.state is OrderState.UNKNOWN for order in open_orders),
        "open": [order_text(order) for order in open_orders[:50]],
        "foreign_orders": len(engine.foreign_orders),
        "positions": {
            f"{name} {position.pair}": position.amount
            for name in engine.contexts
            for position in portfolio.positions(name)
        },
        "strategies": {
            name: {
                "active": context.active,
                "stopped": context.stopped_because,
                "orders": context.orders_count,
                "fills": context.fills_count,
                "skips": dict(context.skips),
                "refusals": dict(context.refusals),
            }
            for name, context in engine.contexts.items()
        },
        "bars": bot.bar_check.figures,
        "events": engine.events,
        "turns": bot.driver.turns,
        "orders_delayed": use.orders_delayed,
        "max_queue_ms": use.max_queue_ms,
        "refused_by_exchange": bot.outcomes.get(Outcome.RATE_LIMITED, 0),
        "journal_sha256": bot.decisions.sha256(),
    }


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """The summary for people. Of a bot that never started there is only the reason."""
    if "strategies" not in summary:
        return [f"{summary['name']}: {summary['ended']}: {summary.get('error', '')}"]
    money = summary["currency"]
    pnl = summary["pnl"]
    lines = [
        f"{summary['name']}: {summary['orders']} orders, {summary['fills']} fills, {summary['refused']} refused"
        + ("" if pnl is None else f", profit {pnl:+,.2f} {money}")
    ]
    for name, row in summary["strategies"].items():
        reasons = sorted({**row["skips"], **row["refusals"]}.items(), key=lambda item: -item[1])[:3]
        told = "; ".join(f"{count} {reason}" for reason, count in reasons)
        lines.append(f"  {name}: {row['orders']} orders, {row['fills']} fills" + (f" ({told})" if told else ""))
    for name, bars in summary.get("bars", {}).items():
        if bars["different"]:
            lines.append(
                f"  bars of {name}: {bars['different']} of {bars['checked']} differ from the exchange's candles"
            )
    held = {name: amount for name, amount in summary["positions"].items() if amount}
    lines += [f"  holds {amount:,.8g} ({name})" for name, amount in held.items()]
    lines += [f"  still open: {text}" for text in summary["open"]]
    if "error" in summary:
        lines.append(f"  failed: {summary['error']}")
    if summary["halted"]:
        lines.append(f"  halted: {summary['halted']}")
    return lines
