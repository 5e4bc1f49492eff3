"""Values one currency in another, using the last prices of the bot's pairs.

A valuation always takes the path with the fewest steps: from ``btc`` to ``twd`` through ``btc_twd`` if the bot has that
pair, otherwise through ``btc_usdt`` and ``usdt_twd``. Among equally short paths, it takes the one through the pairs
listed first, so a value never depends on hash order. Every step rounds down to a multiple of 1e-8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from botkit.model.pairs import Pair


class LastPrice:
    """A pair's last price. ``price`` is a plain attribute, because the engine sets it at every trade.

    ``price`` is None before the first trade.
    """

    __slots__ = ("pair", "price", "scale")

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.price: float | None = None
        self.scale = int(10**pair.rules.price_decimals)

    @property
    def ticks(self) -> int | None:
        """The price in ticks; None before the first trade and for a price below one tick."""
        if self.price is None:
            return None
        return round(self.price * self.scale) or None


class ValuationPath:
    """The path from one currency to another. ``steps`` are (price, True if the step converts base into quote)."""

    __slots__ = ("currency", "into", "steps")

    def __init__(self, currency: str, into: str, steps: tuple[tuple[LastPrice, bool], ...]) -> None:
        self.currency = currency
        self.into = into
        self.steps = steps

    def convert(self, units: int) -> int | None:
        """Convert ``units`` of the first currency into the second.

        Returns None while a price on the path is missing. Zero units convert to zero even without prices.
        """
        if not units:
            return 0
        for cell, forward in self.steps:
            price = cell.price
            if price is None:
                return None
            scale = cell.scale
            ticks = round(price * scale)
            if ticks <= 0:
                return None
            units = units * ticks // scale if forward else units * scale // ticks
        return units

    def rate(self, without: Pair | None = None) -> float | None:
        """Return the product of the prices on the path as a float, omitting the step through the pair ``without``.
        Returns None while a price is missing.
        """
        rate = 1.0
        for cell, forward in self.steps:
            if without is not None and cell.pair == without:
                continue
            ticks = cell.ticks
            if ticks is None:
                return None
            rate = rate * ticks / cell.scale if forward else rate * cell.scale / ticks
        return rate

    def direction(self, pair: Pair) -> int:
        """Return +1 if a higher price of ``pair`` raises the value, -1 if it lowers the value, and 0 if the pair is not
        on the path.
        """
        for cell, forward in self.steps:
            if cell.pair == pair:
                return 1 if forward else -1
        return 0

    def __repr__(self) -> str:
        way = " ".join(str(cell.pair) for cell, _ in self.steps)
        return f"<ValuationPath {self.currency} into {self.into}{' through ' + way if way else ''}>"


class Valuation:
    """Converts between the currencies of some pairs.

    Pass only pairs that will have prices: a shorter path through a pair that never trades would never yield a value.
    """

    def __init__(self, pairs: Mapping[str, Pair]) -> None:
        self.prices: dict[str, LastPrice] = {pair: LastPrice(pair) for pair in pairs.values()}
        self._paths: dict[tuple[str, str], ValuationPath | None] = {}
        #: a coin that is left out of a value until it has had its first price, or None
        self.late_coin: str | None = None

    def add(self, pair: Pair) -> LastPrice:
        """Return the price cell of ``pair``, adding it if it is new."""
        cell = self.prices.get(pair)
        if cell is None:
            cell = self.prices[pair] = LastPrice(pair)
            self._paths.clear()
        return cell

    @property
    def currencies(self) -> list[str]:
        """All currencies of the pairs, in the order of the pairs."""
        return list(dict.fromkeys(c for cell in self.prices.values() for c in (cell.pair.base, cell.pair.quote)))

    def find_path(self, currency: str, into: str) -> ValuationPath | None:
        """Return the shortest path, or None if no pairs connect the two currencies."""
        key = (currency, into)
        if key in self._paths:
            return self._paths[key]
        path = self._paths[key] = self._search(currency, into)
        return path

    def check_path(self, currency: str, into: str) -> ValuationPath:
        """Return the shortest path. Raises ValueError naming the missing link if there is none."""
        path = self.find_path(currency, into)
        if path is None:
            at_hand = ", ".join(self.prices) or "none"
            raise ValueError(
                f"{currency} cannot be valued in {into}: no chain of pairs connects them "
                f"(pairs of this bot: {at_hand}). Add a pair that connects them, or choose another currency."
            )
        return path

    def convert(self, units: int, currency: str, into: str) -> int | None:
        """Convert ``units`` of ``currency`` into ``into``. Returns None while a price or a path is missing."""
        if currency == into or not units:
            return units
        path = self.find_path(currency, into)
        return None if path is None else path.convert(units)

    def worth(self, units_by_currency: Mapping[str, int], into: str) -> int | None:
        """Return the value of an amount in several currencies, without coins that no pair can value and without the
        late coin. Returns None while any other price is missing.
        """
        total = 0
        for currency, units in units_by_currency.items():
            if not units:
                continue
            if currency == into:
                total += units
                continue
            path = self.find_path(currency, into)
            if path is None:
                continue
            worth = path.convert(units)
            if worth is None:
                if currency == self.late_coin:
                    continue
                return None
            total += worth
        return total

    def leaves_out(self, currency: str, into: str) -> bool:
        """Return True if `worth` leaves a currency out at the moment."""
        if currency == into:
            return False
        path = self.find_path(currency, into)
        return path is None or (currency == self.late_coin and path.rate() is None)

    def _search(self, currency: str, into: str) -> ValuationPath | None:
        ways: dict[str, tuple[tuple[LastPrice, bool], ...]] = {currency: ()}
        edge = [currency]
        while edge and into not in ways:
            reached: list[str] = []
            for here in edge:
                for cell in self.prices.values():
                    base, quote = cell.pair.base, cell.pair.quote
                    there = quote if base == here else base if quote == here else here
                    if there not in ways:
                        ways[there] = (*ways[here], (cell, base == here))
                        reached.append(there)
            edge = reached
        return ValuationPath(currency, into, ways[into]) if into in ways else None


def pairs_on_the_way(known: Mapping[str, Pair], named: Sequence[Pair], into: str) -> tuple[Pair, ...]:
    """Return the ``known`` pairs that are needed, in addition to the ``named`` ones, to value the currencies of the
    ``named`` pairs in ``into``.
    """
    at_hand = Valuation({str(pair): pair for pair in named})
    everything = Valuation(known)
    found: dict[str, Pair] = {}
    for currency in [c for pair in named for c in (pair.base, pair.quote)]:
        if currency == into or at_hand.find_path(currency, into) is not None:
            continue
        path = everything.find_path(currency, into)
        for cell, _ in path.steps if path is not None else ():
            found.setdefault(cell.pair, cell.pair)
    return tuple(pair for pair in found.values() if pair not in named)
