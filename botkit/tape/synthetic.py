"""The synthetic market: four correlated pairs with books, order flow and candles, identical on any machine for a given
seed.

One process has two outputs: coarse one-minute candles (months of history in seconds), and endless fine-grained books
and trades, second by second. Both follow the same prices, so the candles continue into hours of trades without a jump:

    market = SyntheticMarket(pairs, seed=7, start=start)
    for candles in market.history(92 * 1440): ...        # list[CandleColumns], one day each
    while True:
        rows = market.advance(now)                         # list[BookColumns | TradeColumns], times before ``now``
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from botkit.errors import DataError
from botkit.model.clock import NS_PER_MINUTE, NS_PER_S, Nanos
from botkit.model.columns import BookColumns, CandleColumns, MarketColumns, TradeColumns
from botkit.model.pairs import Pair
from botkit.tape.synthetic_book import STYLES, BookRow, SyntheticPair, TradeRow
from botkit.tape.synthetic_prices import KNOT_NS, NORMAL_SD, Dice, Fundamentals

#: the pairs of the synthetic market
PAIRS = tuple(STYLES)
_KNOT_S = KNOT_NS // NS_PER_S
_MINUTES_A_CHUNK = 1440


class SyntheticMarket:
    """A seeded market. ``start`` must be a full minute; the market has been generated up to ``time``."""

    def __init__(self, pairs: Mapping[str, Pair], *, seed: int, start: Nanos) -> None:
        missing = [name for name in PAIRS if name not in pairs]
        if missing:
            raise DataError(f"the synthetic market needs the pairs {', '.join(PAIRS)}; {missing[0]} is not listed")
        assert start % NS_PER_MINUTE == 0, start
        self.seed, self.time = seed, start
        self._fundamentals = Fundamentals(seed, start)
        self._pairs = [pairs[name] for name in PAIRS]
        self._candle_dice = {pair: Dice(seed, f"candles {pair}") for pair in self._pairs}
        self._closes: dict[Pair, int] = {}
        self._markets = [SyntheticPair(pair, seed) for pair in self._pairs]
        self._noise = {pair: Dice(seed, f"noise {pair}") for pair in self._pairs}
        self._before: dict[str, int] | None = None

    # -- coarse: candles ----------------------------------------------------------------------------------------------

    def history(self, minutes: int) -> Iterator[list[CandleColumns]]:
        """Yield one-minute candles for all pairs for the next ``minutes``, at most a day at a time."""
        assert self._before is None, "candles come before books and trades"
        while minutes > 0:
            chunk = min(minutes, _MINUTES_A_CHUNK)
            rows: dict[Pair, list[tuple[int, ...]]] = {pair: [] for pair in self._pairs}
            for _ in range(chunk):
                points: list[dict[str, int]] = []
                for _ in range(NS_PER_MINUTE // KNOT_NS):
                    self._fundamentals.step()
                    points.append(self._fundamentals.prices)
                for pair in self._pairs:
                    rows[pair].append(self._candle(pair, points))
                self.time += NS_PER_MINUTE
            minutes -= chunk
            yield [_candle_columns(pair, rows[pair]) for pair in self._pairs]

    def _candle(self, pair: Pair, points: list[dict[str, int]]) -> tuple[int, ...]:
        """Build a candle from a minute of trades at the book's best prices, around price points spaced ten seconds
        apart.
        """
        dice, style = self._candle_dice[pair], STYLES[pair]
        unit = 10 ** (8 - pair.rules.price_decimals)
        activity = self._fundamentals.activity_percent
        # the probability of a trade within ten seconds, in thousandths; it saturates at high activity
        rate = style.takers_per_minute * activity // 6
        busy = 1000 * rate // (rate + 60)
        prices: list[int] = []
        for point in points:
            if dice.below(1000) >= busy:
                continue
            fair = point[pair] // unit
            half = max(1, fair * (style.half_spread + dice.below(2 * style.spread_wander)) // 1_000_000)
            prices.append(fair + half if dice.below(2) else fair - half)
        if not prices:
            close = self._closes.get(pair)
            if close is None:
                close = points[0][pair] // unit
            return (self.time, close, close, close, close, 0)
        self._closes[pair] = prices[-1]
        takers = max(1, style.takers_per_minute * activity * (60 + dice.below(80)) // 10_000)
        steps = sum((1 + dice.below(2 * style.taker_steps)) >> 1 << dice.halvings(6) for _ in range(min(takers, 12)))
        lots = max(1, steps * takers // min(takers, 12)) * 10 ** (
            pair.rules.amount_decimals - pair.rules.display_decimals
        )
        return (self.time, prices[0], max(prices), min(prices), prices[-1], lots)

    # -- fine: books and trades ---------------------------------------------------------------------------------------

    def advance(self, until: Nanos) -> list[MarketColumns]:
        """Generate books and trades for all pairs with exchange times in [``time``, ``until``), in whole seconds.

        Some rows may be received slightly after ``until``. Empty streams are omitted.
        """
        trades: list[list[TradeRow]] = [[] for _ in self._pairs]
        books: list[list[BookRow]] = [[] for _ in self._pairs]
        while self.time + NS_PER_S <= until:
            if self._before is None or self.time >= self._fundamentals.time:
                self._next_knot()
            assert self._before is not None
            into = _KNOT_S - (self._fundamentals.time - self.time) // NS_PER_S
            activity = self._fundamentals.activity_percent
            for place, (pair, market) in enumerate(zip(self._pairs, self._markets, strict=True)):
                a, b = self._before[pair], self._fundamentals.prices[pair]
                fair = a + (b - a) * into // _KNOT_S
                # a tenth of a basis point of noise, so that the seconds between two points do not form a straight line
                fair += fair * self._noise[pair].normal() // (NORMAL_SD * 60_000)
                rows, book = market.second(self.time, fair, activity)
                trades[place] += rows
                if book is not None:
                    books[place].append(book)
            self.time += NS_PER_S
        found: list[MarketColumns] = []
        for pair, rows_, books_ in zip(self._pairs, trades, books, strict=True):
            if books_:
                found.append(_book_columns(pair, books_, STYLES[pair].depth))
            if rows_:
                found.append(_trade_columns(pair, rows_))
        return found

    def _next_knot(self) -> None:
        first = self._before is None
        self._before = self._fundamentals.prices
        self._fundamentals.step()
        if first:
            for pair, market in zip(self._pairs, self._markets, strict=True):
                market.open_at(self._before[pair])


# -- rows to columns --------------------------------------------------------------------------------------------------


def _candle_columns(pair: Pair, rows: list[tuple[int, ...]]) -> CandleColumns:
    table = np.array(rows, dtype=np.int64).T.copy()
    return CandleColumns(pair, "1m", table[0] + NS_PER_MINUTE, *table)


def _trade_columns(pair: Pair, rows: list[TradeRow]) -> TradeColumns:
    table = np.array(rows, dtype=np.int64).T.copy()
    return TradeColumns(pair, table[0], table[1], table[2], table[3], table[4].astype(np.int8))


def _book_columns(pair: Pair, rows: list[BookRow], depth: int) -> BookColumns:
    times = np.array([row[:2] for row in rows], dtype=np.int64).T.copy()
    sides = []
    for place in range(2, 6):
        side = np.zeros((len(rows), depth), dtype=np.int64)
        for row, book in enumerate(rows):
            levels: list[int] = book[place]  # type: ignore[assignment]  # the last four are lists
            side[row, : len(levels)] = levels
        sides.append(side)
    return BookColumns(pair, times[0], times[1], *sides)


def candles_of(trades: TradeColumns, start: Nanos, end: Nanos, close: int) -> CandleColumns:
    """Build one-minute candles from trades between ``start`` and ``end`` by exchange time. ``close`` is the previous
    close in ticks.

    A minute without trades is flat with zero volume.
    """
    starts = np.arange(start, end, NS_PER_MINUTE, dtype=np.int64)
    cuts = np.searchsorted(trades.time, np.append(starts, end))
    rows: list[tuple[int, ...]] = []
    for at, lo, hi in zip(starts.tolist(), cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        if lo == hi:
            rows.append((at, close, close, close, close, 0))
            continue
        ticks = trades.ticks[lo:hi]
        close = int(ticks[-1])
        rows.append((at, int(ticks[0]), int(ticks.max()), int(ticks.min()), close, int(trades.lots[lo:hi].sum())))
    return _candle_columns(trades.pair, rows)
