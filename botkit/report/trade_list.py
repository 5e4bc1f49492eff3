"""A run's closed trades in columns, for the page's trade list and for the lines that connect entries to exits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from botkit.model.results import BacktestResult, ClosedTrade
from botkit.report.packing import deltas
from botkit.report.wording import decimals_of

KINDS = ("long", "short", "loop")
#: the kind of trade for coins that were handed over to the strategy
GIVEN = "handed over"


def _numbered(texts: Iterable[str]) -> tuple[list[str], list[int]]:
    """Return the distinct texts in order of first appearance, and each text's index among the distinct texts."""
    numbers: dict[str, int] = {}
    column = [numbers.setdefault(text, len(numbers)) for text in texts]
    return list(numbers), column


def trade_columns(result: BacktestResult, local_ms: Callable[[int], int]) -> dict[str, Any]:
    """Return the trades ordered by exit time, with one list per column.

    ``entry`` and ``exit`` are average prices in the pair's ticks; for a loop, the money spent and received in units of
    1e-8. ``return``, ``worst`` and ``best`` are in basis points of the entry value, as the page shows them. ``pnl`` has
    as many decimals as its largest value needs (``places``), so that the page does not round it twice. Times are local
    milliseconds as differences: ``closed`` from the previous trade's exit, ``held`` from the entry.
    """
    trades = result.trades
    strategies, strategy = _numbered(t.strategy for t in trades)
    reasons, reason = _numbered(t.exit_reason for t in trades)
    tags, tag = _numbered(chain((t.entry_tag for t in trades), (t.exit_tag for t in trades)))
    names, market = _numbered(t.pair_text for t in trades)
    first = dict(zip(reversed(market), reversed(trades), strict=True))
    prices = [_prices(t) for t in trades]
    opened, closed = [local_ms(t.opened) for t in trades], [local_ms(t.closed) for t in trades]
    places = decimals_of(max((abs(t.pnl) for t in trades), default=0.0))
    return {
        "count": len(trades),
        "markets": [_market(first[number]) for number in range(len(names))],
        "kinds": [*KINDS, GIVEN],
        "strategies": strategies,
        "reasons": reasons,
        "tags": tags,
        "strategy": strategy,
        "market": market,
        "kind": [len(KINDS) if t.is_given else KINDS.index(t.kind) for t in trades],
        "amount": [t.units for t in trades],
        "entry": deltas([entry for entry, _ in prices]),
        "exit": [left - entry for entry, left in prices],
        "reason": reason,
        "tag": tag[: len(trades)],
        "out": tag[len(trades) :],
        "closed": deltas(closed),
        "held": [end - start for start, end in zip(opened, closed, strict=True)],
        "places": places,
        # exact, because the sum of rounded profits would be off by a cent
        "total": float(f"{math.fsum(t.pnl for t in trades if not t.is_given):.13g}"),
        "pnl": [round(t.pnl * 10**places) for t in trades],
        "won": [int(t.pnl_units > 0) for t in trades],
        "return": _basis_points([t.return_ for t in trades]),
        "worst": _basis_points([t.mae for t in trades]),
        "best": _basis_points([t.mfe for t in trades]),
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


def _basis_points(values: Sequence[float | None]) -> list[int | None]:
    return [None if value is None else round(value * 10_000) for value in values]
