"""The expected results of W1 and W2, computed from the arrays with numpy and without botkit."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CASH, FEE = 10_000_000.0, 0.00005
LATENCY_NS = 100_000_000
_MINUTE, _DAY = 60_000_000_000, 86_400_000_000_000


class Reference(NamedTuple):
    """The expected fills and equity of a workload. ``rows`` and ``prices`` describe the fills, alternating between buys
    and sells. Also contains the final equity, and the equity at each midnight (UTC) by timestamp.
    """

    rows: np.ndarray
    prices: np.ndarray
    final_equity: float
    midnights: dict[int, float]


def candles(path: Path, fast: int = 10, slow: int = 30) -> Reference:
    """Return W1's reference: exact averages in hundredths, and market orders that fill at the next candle's open."""
    with np.load(path) as data:
        opens, closes, time = data["open"], data["close"], data["time"]
    cents = np.rint(closes * 100).astype(np.int64)
    sums = np.concatenate(([0], np.cumsum(cents)))
    last = np.arange(slow, len(cents) + 1)
    # the sign of the fast average minus the slow average, computed with integers
    apart = (sums[last] - sums[last - fast]) * slow - (sums[last] - sums[last - slow]) * fast
    bars = last - 1
    up = bars[1:][(apart[:-1] <= 0) & (apart[1:] > 0)]
    down = bars[1:][(apart[:-1] >= 0) & (apart[1:] < 0)]
    rows = _in_turn(up, down) + 1
    rows = rows[rows < len(opens)]
    # a candle's close is known when the candle ends; a fill at the next open is known when the response has arrived
    return _valued(rows, opens[rows], 1.0, time[rows] + 2 * LATENCY_NS, time + _MINUTE, closes)


def trades(path: Path, fast: int = 100, slow: int = 400, band: float = 0.00015) -> Reference:
    """Return W2's reference: averages in plain floats, and market orders that fill at the first trade after they
    arrive.
    """
    with np.load(path) as data:
        prices, received = data["trade_price"], data["trade_received"]
    signals = _signals(prices.tolist(), 2 / (fast + 1), 2 / (slow + 1), band)
    up = np.array([row for row, side in signals if side > 0], np.int64)
    down = np.array([row for row, side in signals if side < 0], np.int64)
    asked = _in_turn(up, down)
    rows = np.searchsorted(received, received[asked] + LATENCY_NS, side="right")
    rows = rows[rows < len(prices)]
    return _valued(rows, prices[rows], 0.01, received[rows] + LATENCY_NS, received, prices)


def _signals(prices: list[float], fast_weight: float, slow_weight: float, band: float) -> list[tuple[int, int]]:
    found, side, fast = [], 0, prices[0]
    slow = fast
    for row, price in enumerate(prices[1:], 1):
        fast += fast_weight * (price - fast)
        slow += slow_weight * (price - slow)
        now = 1 if fast - slow > band * slow else -1 if slow - fast > band * slow else 0
        if now and now != side:
            side = now
            found.append((row, side))
    return found


def _in_turn(up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return the rows of alternating buys and sells, starting with a buy."""
    rows = np.concatenate((up, down))
    sides = np.concatenate((np.ones(len(up), np.int8), -np.ones(len(down), np.int8)))
    order = np.argsort(rows, kind="stable")
    rows, sides = rows[order], sides[order]
    kept = np.diff(sides, prepend=np.int8(-1)) != 0  # drop signals that repeat the previous side
    found: np.ndarray = rows[kept]
    return found


def _valued(
    rows: np.ndarray, prices: np.ndarray, amount: float, at: np.ndarray, times: np.ndarray, values: np.ndarray
) -> Reference:
    """Value alternating buys of ``amount`` and sells of the coins that remain after the fee. Each fee is deducted from
    the currency that is received in the fill.
    """
    buys = np.arange(len(rows)) % 2 == 0
    left = amount * (1 - FEE)
    cash = np.concatenate(([CASH], CASH + np.cumsum(np.where(buys, -amount, left * (1 - FEE)) * prices)))
    coins = np.concatenate(([0.0], np.where(buys, left, 0.0)))

    def equity(time: Any, side: Any = "right") -> Any:
        done, row = np.searchsorted(at, time, side=side), np.searchsorted(times, time, side=side) - 1
        return cash[done] + coins[done] * values[row]

    # a row received at midnight is part of the new day
    midnights = np.arange(times[0] // _DAY + 1, times[-1] // _DAY + 1, dtype=np.int64) * _DAY
    by_midnight = dict(zip(midnights.tolist(), equity(midnights, "left").tolist(), strict=True))
    return Reference(rows, prices, float(equity(times[-1])), by_midnight)
