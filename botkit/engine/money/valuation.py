"""What one currency is worth in another, at the last prices of the pairs at hand.

``btc`` into ``twd`` goes through ``btc_twd`` where the bot has that pair, else through ``btc_usdt`` and ``usdt_twd``:
always the fewest steps, and among equally short ways the one over the pairs that were listed first, so that a value
never depends on the order of a hash. Every step rounds down at 1e-8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from botkit.model.pairs import Pair


class LastPrice:
    """Where a pair's last price stands. The engine writes it at every trade, so it is one attribute and no method.

    ``price`` is None before the first trade.
    """

    __slots__ = ("pair", "price", "scale")

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.price: float | None = None
        self.scale = int(10**pair.rules.price_decimals)

    @property
    def ticks(self) -> int | None:
        """The price in ticks, or None before the first trade and for a price below one tick."""
        if self.price is None:
            return None
        return round(self.price * self.scale) or None


class ValuationPath:
    """The way from one currency into another. ``steps`` are (price, True for base into quote)."""

    __slots__ = ("currency", "into", "steps")

    def __init__(self, currency: str, into: str, steps: tuple[tuple[LastPrice, bool], ...]) -> None:
        self.currency = currency
        self.into = into
        self.steps = steps

    def convert(self, units: int) -> int | None:
        """``units`` of the currency in units of the other, or None while a price on the way is missing.

        Nothing is worth nothing, whatever the prices.
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
        """The product of the prices on the way as a float, ``without`` the step over one pair; None as above."""
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
        """+1 when the value rises with the price of ``pair``, -1 when it falls, 0 when the pair is not on the way."""
        for cell, forward in self.steps:
            if cell.pair == pair:
                return 1 if forward else -1
        return 0

    def __repr__(self) -> str:
        way = " ".join(str(cell.pair) for cell, _ in self.steps)
        return f"<ValuationPath {self.currency} into {self.into}{' through ' + way if way else ''}>"


class Valuation:
    """Converts between the currencies of some pairs.

    Hand in only pairs that get prices: a shorter way over a pair that never trades here would never give a value.
    """

    def __init__(self, pairs: Mapping[str, Pair]) -> None:
        self.prices: dict[str, LastPrice] = {pair: LastPrice(pair) for pair in pairs.values()}
        self._paths: dict[tuple[str, str], ValuationPath | None] = {}

    def add(self, pair: Pair) -> LastPrice:
        """The price of ``pair``, which becomes one of the pairs at hand if it was not."""
        cell = self.prices.get(pair)
        if cell is None:
            cell = self.prices[pair] = LastPrice(pair)
            self._paths.clear()
        return cell

    @property
    def currencies(self) -> list[str]:
        """Every currency of the pairs at hand, in the order of the pairs."""
        return list(dict.fromkeys(c for cell in self.prices.values() for c in (cell.pair.base, cell.pair.quote)))

    def find_path(self, currency: str, into: str) -> ValuationPath | None:
        """The shortest way, or None where the pairs at hand do not connect the two."""
        key = (currency, into)
        if key in self._paths:
            return self._paths[key]
        path = self._paths[key] = self._search(currency, into)
        return path

    def check_path(self, currency: str, into: str) -> ValuationPath:
        """The shortest way. Raises ValueError saying what is missing where there is none."""
        path = self.find_path(currency, into)
        if path is None:
            at_hand = ", ".join(self.prices) or "none"
            raise ValueError(
                f"{currency} cannot be valued in {into}: no chain of pairs leads from one to the other "
                f"(pairs at hand: {at_hand}). Add a pair such as {currency}_{into}, or choose another currency."
            )
        return path

    def convert(self, units: int, currency: str, into: str) -> int | None:
        """``units`` of ``currency`` in units of ``into``; None while no price, or no way, is known."""
        if currency == into or not units:
            return units
        path = self.find_path(currency, into)
        return None if path is None else path.convert(units)

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
    """The ``known`` pairs, beside those ``named``, that lead from the currencies of these to ``into``."""
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
