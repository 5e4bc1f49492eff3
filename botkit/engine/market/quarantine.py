"""Withholds implausible prices until further market data confirms them.

One wrong row must not trip a loss limit or trigger a purchase. The bot ignores, and reports once, a trade at twice (or
half) the last price, a book equally far from known prices, a crossed book, or an invalid price. The price is confirmed
by prices at two later times that agree with it, or by a book read over REST. A price near the previously known prices
ends the doubt.

A candle may span a day, in which prices can double. A candle is therefore withheld only if one of its prices, wicks
included, is off by more than a factor of ten.

Withheld events are dropped and counted, not delivered later. Fills are always booked as the exchange reports them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Literal, TypeAlias

from botkit.engine.market.doubt import Doubt
from botkit.engine.market.pair_market import PairMarket
from botkit.engine.market.plausible import CANDLE_MOST, LEAST, MOST
from botkit.engine.outcome_parts import Withheld
from botkit.model.clock import NS_PER_HOUR, Nanos
from botkit.model.events import Bar, Candle, OrderBook
from botkit.model.pairs import Pair

Source: TypeAlias = Literal["trade", "candle", "book"]

#: number of later timestamps whose prices must agree with a doubted price before it is accepted
CONFIRMATIONS = 2
#: minimum interval between reports on the same pair and source
_QUIET: Nanos = NS_PER_HOUR


def is_near(market: PairMarket, price: float) -> bool:
    """Return True if a price that is only displayed, such as a ticker price, is close to the known prices."""
    known = _known(market)
    return known is None or known[0] * LEAST < price < known[1] * MOST


class Quarantine:
    """Checks prices that are far from the known ones.

    ``tell(level, text)`` is called once per episode. ``on_withheld`` is called with each withheld trade or candle
    price.
    """

    def __init__(
        self, tell: Callable[[Literal["info", "warning"], str], None], on_withheld: Callable[[Withheld], None]
    ) -> None:
        self._tell = tell
        self._on_withheld = on_withheld
        self._told_at: dict[tuple[Pair, Source], Nanos] = {}
        #: number of events withheld, by pair
        self.counts: dict[Pair, int] = {}

    # -- events --------------------------------------------------------------------------------------------------

    def admits_trade(self, market: PairMarket, price: float, now: Nanos) -> bool:
        """Return True if a trade's price may be used."""
        # for a pair that has not traded for a long time, an accepted book can confirm the price
        if self._fits(market, "trade", price, price, _known(market), MOST, now):
            return True
        self._on_withheld(Withheld(market.pair, now, price))
        return False

    def admits_candle(self, market: PairMarket, candle: Candle | Bar, now: Nanos) -> bool:
        """Return True if a candle may be used."""
        last = market.last.price
        known = None if last is None else (last, last)
        if self._fits(market, "candle", candle.low, candle.high, known, CANDLE_MOST, now):
            return True
        self._on_withheld(Withheld(market.pair, now, candle.close))
        return False

    def admits_book(self, market: PairMarket, book: OrderBook, now: Nanos, *, is_read: bool = False) -> bool:
        """Return True if a book may be used. A book read over REST serves as a second source, but it must not be
        crossed either. An empty book passes, because it has no price to check.
        """
        bids, asks = book.bid_levels, book.ask_levels
        if not bids and not asks:
            return True
        bid, ask = book.best_bid, book.best_ask
        low, high = (ask if bid is None else bid), (bid if ask is None else ask)
        assert low is not None
        assert high is not None
        if (bids and asks and low >= high) or min(side[-1][0] for side in (bids, asks) if side) <= 0:
            self._withhold(
                market, "book", nan, nan, f"the order book is crossed or shows no prices ({_sides(book)})", now
            )
            return False
        if is_read and "book" in market.doubts:
            self._end(market, "book", "a book fetched over REST confirms prices around", (low + high) / 2)
        known = None if is_read else _known(market)
        # a wide spread is normal; only a bid above all known prices, or an ask below all of them, is suspicious
        return self._fits(market, "book", high, low, known, MOST, now, shown=_sides(book))

    def _fits(
        self,
        market: PairMarket,
        source: Source,
        bottom: float,
        top: float,
        known: tuple[float, float] | None,
        most: float,
        now: Nanos,
        shown: str = "",
    ) -> bool:
        """Return True if ``bottom`` to ``top`` is within a factor of ``most`` of the known prices, or has been
        confirmed.
        """
        doubt = market.doubts.get(source)
        is_price = 0 < bottom < inf and 0 < top < inf
        if is_price and (known is None or (known[0] / most < bottom and top < known[1] * most)):
            if doubt is not None:
                self._end(market, source, "later prices agree with the earlier ones, around", (bottom + top) / 2)
            return True
        agrees = doubt is not None and doubt.low / most < bottom and top < doubt.high * most
        if agrees and is_price:
            assert doubt is not None
            if now > doubt.at:  # events with the same timestamp count as a single confirmation
                doubt.at = now
                doubt.agreed += 1
            if doubt.agreed >= CONFIRMATIONS:
                self._end(market, source, f"{CONFIRMATIONS} later {source}s confirm prices around", (bottom + top) / 2)
                return True
            self._count(market, doubt)
            return False
        shown = shown or (_figure(top) if bottom == top else f"{_figure(bottom)} to {_figure(top)}")
        last = market.last.price
        beside = "the known prices" if last is None else f"the last price {_figure(last)}"
        low, high = (min(bottom, top), max(bottom, top)) if is_price else (nan, nan)
        self._withhold(market, source, low, high, f"a {source} ({shown}) is far from {beside}", now)
        return False

    # -- doubts ---------------------------------------------------------------------------------------------------

    def _withhold(self, market: PairMarket, source: Source, low: float, high: float, what: str, now: Nanos) -> None:
        before = market.doubts.get(source)
        doubt = market.doubts[source] = Doubt(low, high, now)
        if before is not None:
            doubt.withheld, doubt.is_told = before.withheld, before.is_told
        self._count(market, doubt)
        pair = market.pair
        told_at = self._told_at.get((pair, source))
        if doubt.is_told or (told_at is not None and now - told_at < _QUIET):
            return
        doubt.is_told = True
        self._told_at[pair, source] = now
        self._tell(
            "warning",
            f"{pair}: {what}; it is withheld from strategies, valuations and loss limits until {CONFIRMATIONS} later "
            "ones agree with it. If this persists, check the market yourself",
        )

    def _count(self, market: PairMarket, doubt: Doubt) -> None:
        doubt.withheld += 1
        self.counts[market.pair] = self.counts.get(market.pair, 0) + 1

    def _end(self, market: PairMarket, source: Source, why: str, price: float) -> None:
        doubt = market.doubts.pop(source)
        if doubt.is_told:
            self._tell("info", f"{market.pair}: {why} {_figure(price)}; {doubt.withheld} withheld before that")


def _known(market: PairMarket) -> tuple[float, float] | None:
    """Return the lowest and highest known prices, considering the last price and both sides of the last accepted
    book.
    """
    book = market.book
    prices = [price for price in (market.last.price, book.best_bid, book.best_ask) if price is not None]
    return (min(prices), max(prices)) if prices else None


def _sides(book: OrderBook) -> str:
    bid, ask = (("none" if price is None else _figure(price)) for price in (book.best_bid, book.best_ask))
    return f"bid {bid}, ask {ask}"


def _figure(price: float) -> str:
    return f"{price:,.8f}".rstrip("0").rstrip(".") if abs(price) < inf else str(price)
