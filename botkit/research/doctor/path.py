"""Computes a run's positions over time, and the price moves after its fills."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from botkit.model.clock import NS_PER_DAY, NS_PER_S, Nanos
from botkit.model.columns import BookColumns, CandleColumns, MarketColumns, TradeColumns
from botkit.model.results import Curve, FillRow
from botkit.research.luck.bootstrap import Floats
from botkit.tape.feed import Feed
from botkit.tape.held import HeldSource

__all__ = ["LastPrices", "daily_markouts", "last_middles", "last_prices", "position_path"]

_GRID_MOST = 50_000


class LastPrices:
    """A pair's last price over time. Times are in ascending order; prices are in ticks."""

    def __init__(self, times: npt.NDArray[np.int64], ticks: npt.NDArray[np.int64]) -> None:
        self.times, self.ticks = times, ticks

    def at(self, moments: npt.NDArray[np.int64]) -> Floats:
        """Return the last price at or before each time. Times before the start of the data use the first price."""
        places = np.searchsorted(self.times, moments, side="right") - 1
        return np.asarray(self.ticks[np.maximum(places, 0)], dtype=np.float64)


def last_prices(feed: Feed, pair: str) -> LastPrices | None:
    """Return a pair's prices from trades, or otherwise from the finest candles, or None if the feed has neither."""
    found = [
        (source, info.key)
        for source in feed.sources
        if isinstance(source, HeldSource)
        for info in source.streams
        if info.pair == pair and info.kind in ("trades", "candles")
    ]
    for source, key in sorted(found, key=lambda item: (item[1][1] != "trades", str(item[1][2]))):
        columns = source.stream(key)
        if columns is not None and len(columns):
            return LastPrices(columns.received, _ticks(columns))
    return None


def last_middles(feed: Feed, pair: str) -> LastPrices | None:
    """Return the mid prices of a pair's recorded books, or None if the feed has no books."""
    for source in feed.sources:
        columns = source.stream((pair, "books", None)) if isinstance(source, HeldSource) else None
        if isinstance(columns, BookColumns) and len(columns):
            return LastPrices(columns.received, (columns.bid_ticks[:, 0] + columns.ask_ticks[:, 0]) // 2)
    return None


def _ticks(columns: MarketColumns) -> npt.NDArray[np.int64]:
    if isinstance(columns, CandleColumns):
        return columns.close
    assert isinstance(columns, TradeColumns), type(columns)
    return columns.ticks


def position_path(
    fills: Sequence[FillRow], prices: dict[str, LastPrices], equity: Curve, start: Nanos, end: Nanos
) -> tuple[Floats, Floats] | None:
    """Return (positions, changes) on a regular time grid, with one column per pair.

    Positions are values as fractions of the equity at the time, so that early and late trades of a growing account have
    equal weight. Changes are the relative price changes over the following step. Returns None without fills.
    """
    pairs = sorted({str(fill.pair) for fill in fills} & set(prices))
    if not pairs or end <= start or not equity.times:
        return None
    rows = min(_GRID_MOST, max(len(prices[pair].times) for pair in pairs))
    grid = np.linspace(start, end, rows + 1).astype(np.int64)
    worth = np.interp(grid[:-1], equity.times, equity.values)
    positions, changes = np.zeros((rows, len(pairs))), np.zeros((rows, len(pairs)))
    for column, pair in enumerate(pairs):
        own = [fill for fill in fills if str(fill.pair) == pair]
        times = np.array([fill.time for fill in own], dtype=np.int64)
        held = np.cumsum([fill.lots if fill.side == "buy" else -fill.lots for fill in own])
        at = prices[pair].at(grid)
        last = own[-1]
        # the value in the valuation currency of one lot at a price of one tick
        rate = last.value / (last.lots * last.price_ticks)
        places = np.searchsorted(times, grid[:-1], side="right") - 1
        value = np.where(places >= 0, held[np.maximum(places, 0)], 0) * at[:-1] * rate
        positions[:, column] = value / np.where(worth > 0, worth, np.inf)
        changes[:, column] = np.diff(at) / np.maximum(at[:-1], 1.0)
    return positions, changes


def daily_markouts(fills: Sequence[FillRow], prices: dict[str, LastPrices], after_s: float) -> Floats:
    """Return the mean markout after ``after_s`` seconds for each day with fills.

    A markout is the price move in the fill's favor, as a fraction of the fill price, minus the fee.
    """
    by_day: dict[int, list[float]] = {}
    for fill in fills:
        market = prices.get(str(fill.pair))
        if market is None or not fill.price_ticks or not fill.value:
            continue
        later = float(market.at(np.array([fill.time + int(after_s * NS_PER_S)], dtype=np.int64))[0])
        moved = later / fill.price_ticks - 1
        earned = (moved if fill.side == "buy" else -moved) - fill.fee_value / fill.value
        by_day.setdefault(fill.time // NS_PER_DAY, []).append(earned)
    return np.array([float(np.mean(values)) for _, values in sorted(by_day.items())])
