"""A backtest's summary in the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from botkit.model.results import BacktestResult
from botkit.report import tables, wording
from botkit.report.language import say, told

_STYLES = {"gain": "green", "loss": "red", "": ""}


def print_summary(console: Console, result: BacktestResult) -> None:
    """Print the run: cautions, metrics, strategies if there are several, and why they did not trade."""
    summary, zone, currency = result.summary, wording.zone_of(result.timezone), result.currency.upper()
    console.print()
    title = Text.assemble((result.name, "bold"), (say("  backtest"), "dim"))
    if result.data.synthetic:
        title.append("  ")
        title.append(say(" SYNTHETIC DATA "), "bold black on yellow")
    console.print(title)
    span = wording.span(result.end - result.start)
    until = f"{wording.minute(result.end, zone)} {wording.offset(result.end, zone)}"
    console.print(Text(say("{} to {}, {}", wording.minute(result.start, zone), until, span), "dim"))
    for warning in result.warnings:
        console.print(Text(f"! {told(warning.text)}", "bold red" if warning.grave else "yellow"))
    for row in result.strategies:
        if row.stopped:
            console.print(Text("! " + say("{} was stopped: {}", row.name, told(row.stopped)), "bold red"))
    console.print()
    console.print(_figures(result, currency))
    if len(result.strategies) > 1:
        console.print(_strategies(result, currency))
    reasons = tables.reasons(result.strategies, result.orders, most=5)
    if reasons and not summary.get("fills"):
        console.print(Text(say("Why it did not trade"), "bold"))
        for reason in reasons:
            console.print(
                Text(f"  {wording.count(reason.times):>8}  {reason.strategy} {say(reason.kind)}: {told(reason.text)}")
            )
        console.print()


def _figures(result: BacktestResult, currency: str) -> Table:
    s, delayed = result.summary, result.router.orders_delayed
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    for style, justify in (("dim", "left"), ("bold", "right"), ("", "left"), ("dim", "left"), ("bold", "right")):
        table.add_column(style=style, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    rows: list[tuple[str, str | Text, str, str | Text]] = [
        (
            "Return",
            _signed(s["return"], wording.percent),
            "Final equity",
            f"{wording.money(s['final_equity'])} {currency}",
        ),
        (
            "Buy and hold",
            _signed(s["buy_and_hold_return"], wording.percent),
            "Profit and loss",
            _signed(s["pnl"], wording.money),
        ),
        ("Max drawdown", wording.percent(s["max_drawdown"]), "Fees", wording.money(s["fees"])),
        ("Sharpe", wording.ratio(s["sharpe"]), "Turnover", wording.money(s["turnover"])),
        (
            "Sortino",
            wording.ratio(s["sortino"]),
            "Orders",
            say("{} ({} refused)", wording.count(s["orders"]), wording.count(s["refused"])),
        ),
        ("Round trips won", wording.percent(s["win_rate"], decimals=1), "Fills", wording.count(s["fills"])),
        (
            "Profit factor",
            wording.ratio(s["profit_factor"]),
            "Waited for limits",
            _orders(delayed) if delayed else say("none"),
        ),
        (
            "In the market",
            wording.percent(s["exposure"], decimals=1),
            "Longest wait",
            wording.milliseconds(s["max_queue_ms"]) if delayed else wording.NOTHING,
        ),
    ]
    for left, left_value, right, right_value in rows:
        table.add_row(say(left), left_value, "   ", say(right), right_value)
    if result.unassigned:
        table.add_row(say("Not counted"), "", "   ", say("Unassigned"), wording.amounts(result.unassigned))
    return table


def _orders(count: int) -> str:
    return say("1 order") if count == 1 else say("{} orders", wording.count(count))


def _signed(value: object, say: Callable[[Any, bool], str]) -> Text:
    return Text(say(value, True), _STYLES[wording.tone(value)])


def _strategies(result: BacktestResult, currency: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(say("Strategy"))
    table.add_column(say("P&L {}", currency), justify="right")
    for title in ("Return", "Drawdown", "Fees", "Orders", "Fills", "Won"):
        table.add_column(say(title), justify="right")
    for row in result.strategies:
        table.add_row(
            escape(row.name),
            _signed(row.pnl, wording.money),
            _signed(row.return_, wording.percent),
            wording.percent(row.max_drawdown),
            wording.money(row.fees),
            wording.count(row.orders),
            wording.count(row.fills),
            wording.percent(row.win_rate, decimals=1),
        )
    return table
