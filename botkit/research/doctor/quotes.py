"""The null model for a market maker: quotes around the mid price without a signal, with the same width and size as the
maker's quotes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import msgspec
import numpy as np

from botkit.config.strategy import StrategyConfig
from botkit.engine.strategy.base import Strategy
from botkit.model.events import OrderBook
from botkit.model.extension import hookimpl
from botkit.model.orders import OrderType
from botkit.model.pairs import Pair
from botkit.model.results import BacktestResult, OrderRow
from botkit.project.project import Project
from botkit.research.doctor.path import LastPrices

__all__ = ["symmetric_quotes"]

_USE = "doctor_symmetric_quotes"


class SymmetricQuotes(Strategy):
    """Quotes a bid and an ask at a fixed distance from each pair's mid price."""

    pairs: list[Pair]
    #: by pair: half the quote's spread as a fraction of the mid price, and the size in base currency
    widths: list[float]
    amounts: list[float]

    def on_start(self) -> None:
        self._quotes = dict(zip(self.pairs, zip(self.widths, self.amounts, strict=True), strict=True))
        for pair in self.pairs:
            self.subscribe_book(pair, depth=5)

    def on_book(self, book: OrderBook) -> None:
        middle = self.book(book.pair, own=False).mid
        if middle is None:
            return
        width, amount = self._quotes[book.pair]
        money, coins = self.balance(book.pair.quote).total, self.balance(book.pair.base).total
        bid, ask = middle * (1 - width), middle * (1 + width)
        self.quote(
            book.pair,
            bids=[(bid, amount)] if money >= bid * amount else [],
            asks=[(ask, amount)] if coins >= amount else [],
            tolerance_bps=width * 1_000,  # a tenth of the width, to avoid requoting on every book
        )


class _Offer:
    @staticmethod
    @hookimpl
    def botkit_register_strategies(register: Any) -> None:
        register(_USE, SymmetricQuotes)


def symmetric_quotes(project: Project, result: BacktestResult, middles: Mapping[str, LastPrices]) -> Project | None:
    """Return a project that quotes with the same width, size and capital as a maker. Returns None if the maker has
    several strategies or its quotes cannot be measured. ``middles`` maps pairs to the mid prices of their recorded
    books.
    """
    if len(project.config.strategies) != 1:
        return None
    maker = project.config.strategies[0]
    measured = {pair: found for pair in middles if (found := _measured(result.orders, pair, middles[pair])) is not None}
    if not measured:
        return None
    quoter = StrategyConfig(
        name=maker.label,
        use=_USE,
        params={
            "pairs": list(measured),
            "widths": [width for width, _ in measured.values()],
            "amounts": [amount for _, amount in measured.values()],
        },
        capital=maker.capital,
        risk=maker.risk,
    )
    config = msgspec.structs.replace(project.config, strategies=(quoter,))
    null = Project.of(msgspec.structs.replace(project.loaded, config=config), also=[("doctor", _Offer)])
    null.pairs = project.pairs
    return null


def _measured(rows: Sequence[OrderRow], pair: str, middles: LastPrices) -> tuple[float, float] | None:
    """Return the median distance of a pair's limit orders from the mid price, as a fraction, and their median size."""
    own = [row.spec for row in rows if row.sent and row.spec.pair == pair and row.spec.type is OrderType.LIMIT]
    if not own:
        return None
    middle = middles.at(np.array([spec.created for spec in own], dtype=np.int64))
    asked = np.array([spec.price_ticks for spec in own], dtype=np.float64)
    rules = own[0].pair.rules
    width = float(np.median(np.abs(asked / middle - 1)))
    return max(width, 1e-6), median(spec.amount_lots for spec in own) / 10**rules.amount_decimals
