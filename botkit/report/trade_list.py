"""A run's closed trades in columns, for the page's list and for the lines that join entries to exits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from botkit.model.results import BacktestResult, ClosedTrade
from botkit.report.packing import deltas
from botkit.report.wording import decimals_of

KINDS = ("long", "short", "loop")
#: the kind of a trade in coins that were handed over
GIVEN = "handed over"


class _Names:
    """Numbers texts in the order in which they first appear."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))

    def listed(self) -> list[str]:
        return list(self.numbers)


def trade_columns(result: BacktestResult, local_ms: Callable[[int], int]) -> dict[str, Any]:
    """Return the trades in order of their exits, one list for each column.

    ``entry`` and ``exit`` are average prices in the pair's ticks; for a loop, money spent and got in units of 1e-8.
    ``return``, ``worst`` and ``best`` are in millionths of the entry value. ``pnl`` has as many decimals as its largest
    value needs (``places``), so that the page does not round it twice. Times are local milliseconds as
    differences: ``closed`` from the trade before, ``held`` from the entry.
    """
    trades = result.trades
    strategies, markets, reasons, tags = _Names(), _Names(), _Names(), _Names()
    about: list[dict[str, Any]] = []
    columns: dict[str, list[Any]] = {
        name: [] for name in ("strategy", "market", "kind", "amount", "entry", "exit", "fee", "reason", "tag", "out")
    }
    for trade in trades:
        number = markets(trade.pair_text)
        if number == len(about):
            about.append(_market(trade))
        entry, left = _prices(trade)
        row = (
            strategies(trade.strategy),
            number,
            3 if trade.is_given else KINDS.index(trade.kind),
            trade.units,
            entry,
            left - entry,
            trade.fee_units,
            reasons(trade.exit_reason),
            tags(trade.entry_tag),
            tags(trade.exit_tag),
        )
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
    columns["entry"] = deltas(columns["entry"])
    opened, closed = [local_ms(t.opened) for t in trades], [local_ms(t.closed) for t in trades]
    places = decimals_of(max((abs(t.pnl) for t in trades), default=0.0))
    return {
        "count": len(trades),
        "markets": about,
        "kinds": [*KINDS, GIVEN],
        "strategies": strategies.listed(),
        "reasons": reasons.listed(),
        "tags": tags.listed(),
        **columns,
        "closed": deltas(closed),
        "held": [end - start for start, end in zip(opened, closed, strict=True)],
        "places": places,
        "pnl": [round(t.pnl * 10**places) for t in trades],
        "won": [int(t.pnl_units > 0) for t in trades],
        "return": _millionths([t.return_ for t in trades]),
        "worst": _millionths([t.mae for t in trades]),
        "best": _millionths([t.mfe for t in trades]),
    }


def _market(trade: ClosedTrade) -> dict[str, Any]:
    first = trade.pairs[0]
    is_loop = trade.kind == "loop"
    return {
        "name": trade.pair_text,
        "pairs": [str(pair) for pair in trade.pairs],
        "coin": trade.currency.upper() if is_loop else first.base.upper(),
        "money": trade.currency.upper(),
        "decimals": first.rules.price_decimals,
        "places": first.rules.amount_decimals,
        "loop": is_loop,
    }


def _prices(trade: ClosedTrade) -> tuple[int, int]:
    if trade.kind == "loop":
        return trade.entry_units, trade.exit_units
    scale = 10 ** trade.pairs[0].rules.price_decimals
    entry, left = (
        round(value * scale / trade.units) if trade.units else 0 for value in (trade.entry_units, trade.exit_units)
    )
    return entry, left


def _millionths(values: Sequence[float | None]) -> list[int | None]:
    return [None if value is None else round(value * 1_000_000) for value in values]
