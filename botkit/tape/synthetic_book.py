"""One pair of the synthetic market. Makers maintain a book around the fair price, and takers arrive in bursts."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos
from botkit.model.pairs import Pair
from botkit.tape.synthetic_prices import NORMAL_SD, Dice

#: (received, time, ticks, lots, side)
TradeRow: TypeAlias = tuple[int, int, int, int, int]
#: (received, time, bid ticks, bid lots, ask ticks, ask lots); the last four have one number per level
BookRow: TypeAlias = tuple[int, int, list[int], list[int], list[int], list[int]]


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """The characteristics of a pair's market. Distances are in hundredths of a basis point of the price."""

    half_spread: int  # the smallest distance from the fair price at which makers quote
    spread_wander: int  # variation of `half_spread`
    gap: int  # mean distance between levels
    depth: int  # levels shown per side
    #: mean amount at a level and mean taker amount, in the pair's display step (10^-amountPrecision)
    level_steps: int
    taker_steps: int
    #: takers per minute at an activity of 100 %; book changes per second, in thousandths
    takers_per_minute: int
    changes_milli: int


STYLES: dict[str, Style] = {
    "btc_usdt": Style(
        half_spread=60, spread_wander=60, gap=90, depth=20, level_steps=2_600, taker_steps=140,
        takers_per_minute=60, changes_milli=2_400,
    ),
    "btc_twd": Style(
        half_spread=250, spread_wander=250, gap=260, depth=15, level_steps=900, taker_steps=70,
        takers_per_minute=24, changes_milli=800,
    ),
    "usdt_twd": Style(
        half_spread=120, spread_wander=100, gap=120, depth=15, level_steps=90_000_000, taker_steps=6_000_000,
        takers_per_minute=18, changes_milli=700,
    ),
    "eth_twd": Style(
        half_spread=900, spread_wander=1_100, gap=700, depth=10, level_steps=14_000, taker_steps=1_900,
        takers_per_minute=9, changes_milli=400,
    ),
}  # fmt: skip

_SPARE_LEVELS = 10  # levels kept behind the shown levels, to be revealed when the shown levels are taken


class _Side:
    """One side of the book, best level first. ``sign`` is -1 for bids and +1 for asks: the direction in which prices
    become worse.
    """

    __slots__ = ("lots", "sign", "ticks")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.ticks: list[int] = []
        self.lots: list[int] = []


class SyntheticPair:
    """A pair's book and trades, generated one second at a time."""

    def __init__(self, pair: Pair, seed: int) -> None:
        self.pair = pair
        self.style = STYLES[str(pair)]
        self._dice = Dice(seed, f"book {pair}")
        self._wire = Dice(seed, f"lag {pair}")
        rules = pair.rules
        self._tick_units = 10 ** (8 - rules.price_decimals)
        self._lot_step = 10 ** (rules.amount_decimals - rules.display_decimals)
        self._bids, self._asks = _Side(-1), _Side(1)
        self._wander = self.style.spread_wander // 2
        self._excitement = 0  # in thousandths; each trade makes further trades more likely
        self._mood = 1
        self._last_received = 0
        self._shown: tuple[list[int], list[int], list[int], list[int]] | None = None

    # -- one second ---------------------------------------------------------------------------------------------------

    def second(self, time: Nanos, fair_units: int, activity_percent: int) -> tuple[list[TradeRow], BookRow | None]:
        """Return the trades in the second starting at ``time``, and the book at the end of that second if the shown
        levels changed.
        """
        fair = fair_units // self._tick_units
        self._requote(fair, activity_percent)
        trades = self._trade(time, fair, activity_percent)
        depth = self.style.depth
        bids, asks = self._bids, self._asks
        shown = (bids.ticks[:depth], bids.lots[:depth], asks.ticks[:depth], asks.lots[:depth])
        if shown == self._shown:
            return trades, None
        self._shown = shown
        stamp = time + NS_PER_S - (1 + self._wire.below(8)) * NS_PER_MS
        return trades, (self._receive(stamp), stamp, *shown)

    def _receive(self, time: Nanos) -> Nanos:
        """Return the time at which a recorder in Taipei receives an event: about 30 ms later, sometimes much later,
        never out of order.
        """
        lag_ms = 18 + self._wire.below(16) + (self._wire.below(12) << self._wire.halvings(5))
        self._last_received = max(self._last_received, time + lag_ms * NS_PER_MS)
        return self._last_received

    # -- makers -------------------------------------------------------------------------------------------------------

    def _requote(self, fair: int, activity_percent: int) -> None:
        dice, style = self._dice, self.style
        self._wander += (style.spread_wander - self._wander) // 60 + dice.normal() * style.spread_wander // (
            NORMAL_SD * 12
        )
        self._wander = max(0, min(4 * style.spread_wander, self._wander))
        half = max(1, fair * (style.half_spread + self._wander) // 1_000_000)
        gap = max(1, fair * style.gap // 1_000_000)
        for side in (self._bids, self._asks):
            self._pull(side, fair + side.sign * half)
            self._join(side, fair + side.sign * half, gap)
            changes = style.changes_milli * activity_percent // 100
            for _ in range(changes // 1000 + (dice.below(1000) < changes % 1000)):
                self._change(side, gap)
            self._refill(side, gap)

    def _pull(self, side: _Side, limit: int) -> None:
        """Remove makers' quotes that are too close to the fair price."""
        ticks, sign = side.ticks, side.sign
        gone = 0
        while gone < len(ticks) and sign * ticks[gone] < sign * limit:
            gone += 1
        if gone:
            del ticks[:gone], side.lots[:gone]

    def _join(self, side: _Side, limit: int, gap: int) -> None:
        """Add a better quote if the best price is far from the limit."""
        ticks, sign, dice = side.ticks, side.sign, self._dice
        for _ in range(4):
            away = sign * (ticks[0] - limit) if ticks else 0
            # the further the best price has fallen behind, the more likely a better quote is
            if away <= gap or dice.below(1000) >= 250 * away // gap:
                return
            ticks.insert(0, ticks[0] - sign * (1 + dice.below(away)))
            side.lots.insert(0, self._level_lots(0))

    def _change(self, side: _Side, gap: int) -> None:
        """Change one level's amount, remove a level, or insert a level between two others."""
        dice, ticks, lots = self._dice, side.ticks, side.lots
        if len(ticks) < 4:
            return
        # levels near the best price change more often
        at = min(dice.below(len(ticks)), dice.below(len(ticks)))
        what = dice.below(10)
        if what < 5:
            lots[at] = self._level_lots(at)
        elif what < 7:
            del ticks[at], lots[at]
        elif at and abs(ticks[at] - ticks[at - 1]) > 1:
            ticks.insert(at, ticks[at - 1] + side.sign * (1 + dice.below(abs(ticks[at] - ticks[at - 1]) - 1)))
            lots.insert(at, self._level_lots(at))

    def _refill(self, side: _Side, gap: int) -> None:
        dice, ticks, lots = self._dice, side.ticks, side.lots
        wanted = self.style.depth + _SPARE_LEVELS
        if not ticks:
            ticks.append(self._first)
            lots.append(self._level_lots(0))
        while len(ticks) < wanted:
            ticks.append(max(1, ticks[-1] + side.sign * (1 + dice.below(gap) + dice.below(gap))))
            lots.append(self._level_lots(len(ticks)))
        del ticks[wanted + 4 :], lots[wanted + 4 :]

    def _level_lots(self, place: int) -> int:
        """Return a random amount for a level. Amounts are heavy-tailed, larger away from the best price, and often
        round numbers.
        """
        dice, mean = self._dice, self.style.level_steps
        steps = (1 + dice.below(mean)) * (8 + min(place, 16)) // 12 >> 1
        steps <<= dice.halvings(3)
        if dice.below(3):
            digit = int(10 ** max(0, len(str(mean)) - 2))
            steps = max(1, steps // digit) * digit
        lots: int = max(1, steps) * self._lot_step
        return lots

    # -- takers -------------------------------------------------------------------------------------------------------

    def _trade(self, time: Nanos, fair: int, activity_percent: int) -> list[TradeRow]:
        dice = self._dice
        # the base rate times (1 + excitement), in millionths per second
        rate = self.style.takers_per_minute * 1_000_000 // 60 * activity_percent // 100
        rate = min(6_000_000, rate * (1000 + self._excitement) // 2000)
        self._excitement = self._excitement * 90 // 100
        count = sum(dice.chance(rate // 8) for _ in range(8))
        if not count:
            return []
        rows: list[TradeRow] = []
        offsets = sorted(dice.below(985) for _ in range(count))
        for offset_ms in offsets:
            self._excitement = min(6_000, self._excitement + 170)
            rows += self._take(time + offset_ms * NS_PER_MS, fair)
        return rows

    def _take(self, time: Nanos, fair: int) -> list[TradeRow]:
        dice, bids, asks = self._dice, self._bids, self._asks
        if dice.below(10) < 4:
            # takers trade toward the fair price if the mid lags behind it, otherwise in the direction of the current
            # mood
            lean = 2 * fair - bids.ticks[0] - asks.ticks[0]
            spread = asks.ticks[0] - bids.ticks[0]
            self._mood = 1 if dice.below(4 * spread + 4) < 2 * spread + 2 + lean else -1
        side = self._mood
        book = asks if side > 0 else bids
        left = max(1, (1 + dice.below(2 * self.style.taker_steps)) >> 1 << dice.halvings(6)) * self._lot_step
        reach = fair + side * (fair * self.style.gap * 6 // 1_000_000 + abs(book.ticks[0] - fair))
        received = self._receive(time)
        rows: list[TradeRow] = []
        while left and len(book.ticks) > 3 and side * book.ticks[0] <= side * reach:
            lots = min(left, book.lots[0])
            rows.append((received, time, book.ticks[0], lots, side))
            left -= lots
            if lots == book.lots[0]:
                del book.ticks[0], book.lots[0]
            else:
                book.lots[0] -= lots
        return rows

    _first: int = 0

    def open_at(self, fair_units: int) -> None:
        """Place an initial book around the fair price."""
        fair = fair_units // self._tick_units
        half = max(1, fair * (self.style.half_spread + self._wander) // 1_000_000)
        gap = max(1, fair * self.style.gap // 1_000_000)
        for side in (self._bids, self._asks):
            self._first = fair + side.sign * half
            self._refill(side, gap)
