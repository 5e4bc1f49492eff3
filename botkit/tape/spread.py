"""The cost of trading, measured on recorded books: spread, depth, and the cost of market orders of several sizes.

Use these statistics to choose ``slippage`` for tapes without books: at least half the spread, and more for larger
orders.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from botkit.errors import DataError
from botkit.model.columns import BookColumns
from botkit.tape.feed import FeedSource

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
#: order sizes in quote currency
SIZES: dict[str, tuple[int, ...]] = {"twd": (3_000, 30_000, 300_000, 3_000_000), "usdt": (100, 1_000, 10_000, 100_000)}


class OrderCost(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of a market order of ``value`` in quote currency: basis points paid beyond the mid, averaged over both
    sides.

    ``fits`` is the fraction of books deep enough to fill the order on both sides. Costs are measured only on these
    books.
    """

    value: float
    fits: float
    median_bps: float | None
    p95_bps: float | None


class SpreadReport(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of one pair's books. Quantiles are at 5, 25, 50, 75 and 95 %; depths are in quote currency, for the
    thinner side.
    """

    pair: str
    books: int
    spread_bps: tuple[float, ...]
    best_value: tuple[float, ...]
    depth_value: tuple[float, ...]
    costs: tuple[OrderCost, ...]

    @property
    def slippage(self) -> str:
        """A value for ``slippage:``, as a fraction: the median cost of a small order beyond the mid, rounded up."""
        first = next((cost.median_bps for cost in self.costs if cost.median_bps is not None), self.spread_bps[2] / 2)
        # rounded up to a tenth of a basis point, because a backtest must not be more favorable than the book
        return f"{np.ceil(first * 10) / 100_000:.5f}"


def measure_spread(source: FeedSource, pair: str, sizes: Sequence[float] | None = None) -> SpreadReport:
    """Measure one pair's books. Raises DataError if no book in the source has both sides."""
    info = next((s for s in source.streams if s.pair == pair and s.kind == "books"), None)
    if info is None:
        have = ", ".join(s.pair for s in source.streams if s.kind == "books")
        raise DataError(f"{source.path} has no books for {pair}" + (f"; it has books for {have}" if have else ""))
    wanted = tuple(sizes or SIZES.get(pair.partition("_")[2], (100, 1_000, 10_000, 100_000)))
    spreads, bests, depths = [], [], []
    costs: list[list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]] = [[] for _ in wanted]
    for columns in source.read(info.key, None, None, 16_384):
        assert isinstance(columns, BookColumns)
        good = (columns.bid_lots[:, 0] > 0) & (columns.ask_lots[:, 0] > 0)
        good &= columns.bid_ticks[:, 0] < columns.ask_ticks[:, 0]
        rules = columns.pair.rules
        sides = []
        for ticks, lots in ((columns.bid_ticks, columns.bid_lots), (columns.ask_ticks, columns.ask_lots)):
            sides.append((ticks[good] / 10**rules.price_decimals, lots[good] / 10**rules.amount_decimals))
        (bid, bid_amount), (ask, ask_amount) = sides
        if not len(bid):
            continue
        mid = (bid[:, 0] + ask[:, 0]) / 2
        spreads.append((ask[:, 0] - bid[:, 0]) / mid * 10_000)
        bests.append(np.minimum(bid[:, 0] * bid_amount[:, 0], ask[:, 0] * ask_amount[:, 0]))
        depths.append(np.minimum((bid * bid_amount).sum(axis=1), (ask * ask_amount).sum(axis=1)))
        for place, value in enumerate(wanted):
            buy = _cost_bps(ask, ask_amount, mid, value)
            sell = _cost_bps(bid, bid_amount, mid, value)
            costs[place].append((buy + sell) / 2)
    if not spreads:
        raise DataError(f"{source.path}: every book of {pair} is crossed or has an empty side")
    return SpreadReport(
        pair=pair,
        books=sum(len(part) for part in spreads),
        spread_bps=_quantiles(spreads),
        best_value=_quantiles(bests),
        depth_value=_quantiles(depths),
        costs=tuple(_order_cost(value, np.concatenate(part)) for value, part in zip(wanted, costs, strict=True)),
    )


def _cost_bps(
    price: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    amount: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    mid: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    value: float,
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the cost of an order with the given quote value on each book, or NaN where the book is too thin."""
    worth = price * amount
    before = np.cumsum(worth, axis=1) - worth
    taken = np.clip(value - before, 0, worth)
    filled = taken.sum(axis=1)
    coins = np.divide(taken, price, out=np.zeros_like(taken), where=price > 0).sum(axis=1)
    average = np.divide(filled, coins, out=np.full_like(filled, np.nan), where=coins > 0)
    cost: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = np.abs(average - mid) / mid * 10_000
    cost[filled < value * (1 - 1e-12)] = np.nan
    return cost


def _order_cost(value: float, cost: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> OrderCost:
    there = cost[~np.isnan(cost)]
    return OrderCost(
        value=float(value),
        fits=len(there) / len(cost),
        median_bps=float(np.quantile(there, 0.5)) if len(there) else None,
        p95_bps=float(np.quantile(there, 0.95)) if len(there) else None,
    )


def _quantiles(parts: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]) -> tuple[float, ...]:
    return tuple(float(v) for v in np.quantile(np.concatenate(parts), QUANTILES))
