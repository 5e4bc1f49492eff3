"""A seeded market with a trade every 40 ms on average, for `wall_clock`. Many fills within a few minutes reduce
statistical noise.

Books are written once a second. One taker order in seven sweeps up to a dozen orders at once; on the tape, these trades
have equal timestamps, as parts of one match. A maker's fills depend on when its quotes arrive, but no single fill
determines all later fills.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np

from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from botkit.model.columns import BookColumns, TradeColumns
from botkit.tape.writer import TapeWriter

PAIR = "btc_usdt"
START = 1_740_000_000 * NS_PER_S // NS_PER_MINUTE * NS_PER_MINUTE
_LEVELS = 10
_HALF_SPREAD, _STEP = 300, 150  # in ticks: half a basis point, and the spacing of the levels
_TAKERS_A_SECOND = 12
_MIDDLE = 60_000_00


def write_busy_market(folder: Path, seconds: int, seed: int = 4) -> None:
    """Write a tape that is ``seconds`` seconds long, starting at START, into an empty folder."""
    pair, dice = packaged_pairs()[PAIR], Random(seed)
    unit = 10 ** max(pair.rules.amount_decimals - pair.rules.display_decimals, 0)
    middle = _MIDDLE
    times, prices, amounts = [], [], []
    trades: list[tuple[int, int, int, int]] = []
    for second in range(seconds):
        at = START + second * NS_PER_S
        middle += int(dice.gauss(0, 250)) + (_MIDDLE - middle) // 50
        times.append(at + dice.randint(0, 90) * NS_PER_MS)
        away = [_HALF_SPREAD + _STEP * level for level in range(_LEVELS)]
        prices.append(([middle - ticks for ticks in away], [middle + ticks for ticks in away]))
        amounts.append([[dice.randint(500, 6_000) * unit for _ in away] for _ in range(2)])
        when = at + _pause(dice)
        while when < at + NS_PER_S:
            trades += _taker_order(dice, when // NS_PER_MS * NS_PER_MS, middle, unit)
            when += _pause(dice)
    # Not marked as synthetic: the emulator would thin out the books of a synthetic market to one per second, counted
    # from the time at which a bot connects. A run and its backtest would then see books at different times.
    with TapeWriter(folder, source="made up for a benchmark", recorded="as if by botkit record") as writer:
        received = np.array(times, dtype=np.int64)
        ticks, lots = np.array(prices, dtype=np.int64), np.array(amounts, dtype=np.int64)
        writer.write(BookColumns(pair, received, received, ticks[:, 0], lots[:, 0], ticks[:, 1], lots[:, 1]))
        received, paid, traded, sides = (np.array(column, dtype=np.int64) for column in zip(*trades, strict=True))
        stamps = received // NS_PER_S * NS_PER_S
        writer.write(TradeColumns(pair, received, stamps, paid, traded, sides.astype(np.int8)))


def _pause(dice: Random) -> int:
    return int(dice.expovariate(_TAKERS_A_SECOND) * NS_PER_S)


def _taker_order(dice: Random, at: int, middle: int, unit: int) -> list[tuple[int, int, int, int]]:
    side = dice.choice([1, -1])
    parts, depth = dice.randint(2, 12) if dice.random() < 0.15 else 1, 0
    found = []
    for _ in range(parts):
        size = max(1, int(dice.expovariate(1 / 40))) * unit
        found.append((at, middle + side * (_HALF_SPREAD + depth), size, side))
        depth += dice.choice([0, 0, 0, 20, 60])
    return found


__all__ = ["PAIR", "START", "write_busy_market"]
