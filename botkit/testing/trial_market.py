"""A small synthetic market of books and trades that follows the prices given by a test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import numpy as np

from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_S, Nanos, parse_time
from botkit.model.columns import BookColumns, TradeColumns
from botkit.model.pairs import Pair
from botkit.tape.writer import TapeWriter

__all__ = ["lively_prices", "write_market"]

START: Nanos = parse_time("2025-01-01T00:00")
#: the number of trades between two consecutive prices; each trade is preceded by a book
TRADES_A_PRICE = 6
LEVELS = 5
_HALF_SPREAD = 0.0002
#: approximate values of currencies in USDT, so that synthetic prices are realistic; any other currency is valued at 1
_VALUES = {"btc": 60_000.0, "eth": 3_000.0, "sol": 150.0, "bnb": 600.0, "twd": 1 / 32}
#: the value of a trade, in USDT
_TRADED = 20_000.0


def lively_prices(pair: Pair, count: int = 240, seed: int = 7) -> list[float]:
    """Return prices that swing, trend and jump more within an hour than a real market does in a day, so that most
    strategies trade.
    """
    dice = Random(f"{seed} {pair}")
    middle, drift, found = _value(pair.base) / _value(pair.quote), 0.0, []
    for number in range(count):
        drift += dice.gauss(0.0, 0.0025) + (0.02 * dice.choice([-1, 1]) if dice.random() < 0.02 else 0.0)
        drift *= 0.98  # mean-reverting, so that limit prices near the first price are reached from both sides
        swing = 0.012 * math.sin(number * 2 * math.pi / 23) + 0.02 * math.sin(number * 2 * math.pi / 71)
        found.append(middle * math.exp(drift + swing))
    return found


def write_market(folder: Path, prices: Mapping[Pair, Sequence[float]], every_s: int) -> None:
    """Write a tape of books and trades in which each pair reaches its next price every ``every_s`` seconds.

    Raises ConfigError for prices that are not above 0.
    """
    if every_s < 2 * TRADES_A_PRICE:
        raise ConfigError(f"every: {every_s} s is too short; the minimum is {2 * TRADES_A_PRICE} s")
    with TapeWriter(folder, source="invented for a test", recorded="made up", synthetic=True) as writer:
        for pair, own in prices.items():
            if len(own) < 2 or not all(math.isfinite(price) and price > 0 for price in own):
                raise ConfigError(f"prices: give at least two for {pair}, all of them above 0")
            books, trades = _rows(pair, own, every_s)
            writer.write(books)
            writer.write(trades)


def _rows(pair: Pair, prices: Sequence[float], every_s: int) -> tuple[BookColumns, TradeColumns]:
    dice, rules = Random(str(pair)), pair.rules
    # the path from each price to the next, in equal steps
    way = np.interp(np.arange(len(prices) * TRADES_A_PRICE) / TRADES_A_PRICE, np.arange(1, len(prices) + 1), prices)
    middle = np.maximum(np.rint(way * 10**rules.price_decimals), LEVELS * 3).astype(np.int64)
    half = np.maximum(np.rint(middle * _HALF_SPREAD), 1).astype(np.int64)
    step = every_s * NS_PER_S // TRADES_A_PRICE
    times = START + step * np.arange(1, len(way) + 1, dtype=np.int64)
    # use only amounts that the exchange's streams can show
    unit = 10 ** max(0, rules.amount_decimals - rules.display_decimals)
    least = max(rules.least_lots, unit)
    whole = _TRADED / _value(pair.quote) * 10**rules.amount_decimals / float(np.median(way))
    lots = np.array([max(least, int(whole * (0.5 + dice.random())) // unit * unit) for _ in way], dtype=np.int64)
    levels = half[:, None] * (1 + np.arange(LEVELS, dtype=np.int64))
    bids, asks = np.maximum(middle[:, None] - levels, 1), middle[:, None] + levels
    amounts = np.repeat(lots[:, None], LEVELS, axis=1) * 3
    side = np.array([dice.choice([-1, 1]) for _ in way], dtype=np.int8)
    ticks = np.where(side > 0, asks[:, 0], bids[:, 0])
    shown = times - step // 2
    return (
        BookColumns(pair, shown, shown, bids, amounts, asks, amounts),
        TradeColumns(pair, times, times // NS_PER_S * NS_PER_S, ticks, lots, side),
    )


def _value(currency: str) -> float:
    return _VALUES.get(currency, 1.0)
