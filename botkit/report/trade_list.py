"""A run's closed trades in columns, for the page's trade list and for the lines that connect entries to exits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from botkit.model.figures import money_decimals
from botkit.model.pairs import Pair
from botkit.model.results import BacktestResult
from botkit.model.row_columns import column_blocks, row_values
from botkit.report.blocks import LongList, deltas_in_blocks
from botkit.report.holdings import IntArray
from botkit.report.packing import Column

KINDS = ("long", "short", "loop")
#: the kind of trade for coins that were handed over to the strategy
GIVEN = "handed over"
#: the columns that are read together
_COLUMNS = (
    *("pairs", "currency", "kind", "is_given", "opened", "closed", "units", "entry_units", "exit_units"),
    *("pnl_units", "pnl", "mae", "mfe"),
)


class _Numbered:
    """A column of texts: the distinct texts in order of first appearance, and each text's index among them."""

    def __init__(self, blocks: Iterable[list[str]]) -> None:
        self._numbers: dict[str, int] = {}
        self.column = self.more(blocks)

    def more(self, blocks: Iterable[list[str]]) -> Column:
        """Return a column of texts that may be the same ones."""
        found, numbers = LongList(), self._numbers
        for texts in blocks:
            found.extend([numbers.setdefault(text, len(numbers)) for text in texts])
        return found.column()

    @property
    def texts(self) -> list[str]:
        """The distinct texts so far."""
        return list(self._numbers)


def trade_columns(result: BacktestResult, local_ms: Callable[[Sequence[int]], IntArray]) -> dict[str, Any]:
    """Return the trades ordered by exit time, one column for each property.

    ``entry`` and ``exit`` are average prices in the pair's ticks; for a loop, the money spent and received in units of
    1e-8. ``return``, ``worst`` and ``best`` are in basis points of the entry value, as the page shows them. ``pnl`` has
    as many decimals as its largest value needs (``places``), so that the page does not round it twice. Times are local
    milliseconds as differences: ``closed`` from the previous trade's exit, ``held`` from the entry.
    """
    trades = result.trades

    def read(name: str) -> Iterator[list[Any]]:
        return (column for (column,) in column_blocks(trades, name))

    strategies, reasons, tags = (
        _Numbered(read("strategy")),
        _Numbered(read("exit_reason")),
        _Numbered(read("entry_tag")),
    )
    out = tags.more(read("exit_tag"))
    markets: dict[str, dict[str, Any]] = {}
    names = _Numbered([" > ".join(pairs) for pairs in block] for block in read("pairs"))
    places = money_decimals(max((abs(pnl) for pnl in row_values(trades, "pnl")), default=0.0))
    kinds, amounts, held, exits = LongList(), LongList(), LongList(), LongList()
    profits, won, returns, worst, best = LongList(), LongList(), LongList(), LongList(), LongList()
    closed: list[IntArray] = []
    entry_prices: list[IntArray] = []
    for block in column_blocks(trades, *_COLUMNS):
        pairs, currencies, kind, is_given, opened, left, units, spent, got, pnl_units, pnl, mae, mfe = block
        for several, currency, name in zip(pairs, currencies, kind, strict=True):
            text = " > ".join(several)
            if text not in markets:
                markets[text] = _market(several, currency, name)
        kinds.extend([len(KINDS) if gift else KINDS.index(name) for gift, name in zip(is_given, kind, strict=True)])
        amounts.extend(units)
        prices = list(map(_prices, pairs, kind, units, spent, got))
        entry_prices.append(np.array([entry for entry, _ in prices], np.int64))
        exits.extend([exit_ - entry for entry, exit_ in prices])
        ended = local_ms(left)
        closed.append(ended)
        held.extend((ended - local_ms(opened)).tolist())
        profits.extend([round(value * 10**places) for value in pnl])
        won.extend([int(value > 0) for value in pnl_units])
        returns.extend(
            _basis_points([value / money if money else None for value, money in zip(pnl_units, spent, strict=True)])
        )
        worst.extend(_basis_points(mae))
        best.extend(_basis_points(mfe))
    return {
        "count": len(trades),
        "markets": list(markets.values()),
        "kinds": [*KINDS, GIVEN],
        "strategies": strategies.texts,
        "reasons": reasons.texts,
        "tags": tags.texts,
        "strategy": strategies.column,
        "market": names.column,
        "kind": kinds.column(),
        "amount": amounts.column(),
        "entry": deltas_in_blocks(entry_prices),
        "exit": exits.column(),
        "reason": reasons.column,
        "tag": tags.column,
        "out": out,
        "closed": deltas_in_blocks(closed),
        "held": held.column(),
        "places": places,
        # exact, because the sum of rounded profits would be off by a cent
        "total": float(f"{math.fsum(pnl for pnl, gift in row_values(trades, 'pnl', 'is_given') if not gift):.13g}"),
        "pnl": profits.column(),
        "won": won.column(),
        "return": returns.column(),
        "worst": worst.column(),
        "best": best.column(),
    }


def _market(pairs: Sequence[Pair], currency: str, kind: str) -> dict[str, Any]:
    first = pairs[0]
    is_loop = kind == "loop"
    return {
        "name": " > ".join(pairs),
        "pairs": [str(pair) for pair in pairs],
        "coin": currency.upper() if is_loop else first.base.upper(),
        "money": currency.upper(),
        "decimals": first.rules.price_decimals,
        "places": first.rules.amount_decimals,
        "loop": is_loop,
    }


def _prices(pairs: Sequence[Pair], kind: str, units: int, spent: int, got: int) -> tuple[int, int]:
    if kind == "loop":
        return spent, got
    scale = 10 ** pairs[0].rules.price_decimals
    return (round(spent * scale / units), round(got * scale / units)) if units else (0, 0)


def _basis_points(values: Sequence[float | None]) -> list[int | None]:
    return [None if value is None else round(value * 10_000) for value in values]
