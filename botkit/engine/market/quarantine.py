"""Prices that cannot be believed yet: withheld until more of the market says the same.

One wrong row must neither trip a loss limit nor send a strategy buying. A trade at twice the last price (or
half of it), a book that stands as far from what was known, a book that is crossed, a
price that is no price: the bot does as if it had not come, and says so once. Two later moments that agree, or a
book read over REST, make it the price; a price that fits what was known before ends the doubt.

A candle may span a day, in which prices do double: it is withheld beyond ten times, wicks included.

Nothing is held back for later: what was withheld is dropped, and counted. Fills are the exchange's word and are booked.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Literal, TypeAlias

from botkit.engine.market.pair_market import Doubt, PairMarket
from botkit.engine.market.plausible import CANDLE_MOST, LEAST, MOST
from botkit.engine.outcome import Withheld
from botkit.model.clock import NS_PER_HOUR, Nanos
from botkit.model.events import Bar, Candle, OrderBook
from botkit.model.pairs import Pair

Source: TypeAlias = Literal["trade", "candle", "book"]

#: later moments that must agree with a doubted price before it is believed
CONFIRMATIONS = 2
#: the same pair and source is not told of again within this time
_QUIET: Nanos = NS_PER_HOUR


def is_near(market: PairMarket, price: float) -> bool:
    """True when a price that is only shown, as in a ticker, fits what is known."""
    known = _known(market)
    return known is None or known[0] * LEAST < price < known[1] * MOST


class Quarantine:
    """Looks at what does not follow from what is known.

    ``tell(level, text)`` is called once an episode, ``on_withheld`` with each price of a trade or candle that is kept
    back.
    """

    def __init__(
        self, tell: Callable[[Literal["info", "warning"], str], None], on_withheld: Callable[[Withheld], None]
    ) -> None:
        self._tell = tell
        self._on_withheld = on_withheld
        self._told_at: dict[tuple[Pair, Source], Nanos] = {}
        #: events withheld, by pair
        self.counts: dict[Pair, int] = {}

    # -- what came ------------------------------------------------------------------------------------------------

    def admits_trade(self, market: PairMarket, price: float, now: Nanos) -> bool:
        """True when a trade's price may be taken in."""
        # a book that is believed speaks for a pair that has not traded for long
        if self._fits(market, "trade", price, price, _known(market), MOST, now):
            return True
        self._on_withheld(Withheld(market.pair, now, price))
        return False

    def admits_candle(self, market: PairMarket, candle: Candle | Bar, now: Nanos) -> bool:
        """True when a candle may be taken in."""
        last = market.last.price
        known = None if last is None else (last, last)
        if self._fits(market, "candle", candle.low, candle.high, known, CANDLE_MOST, now):
            return True
        self._on_withheld(Withheld(market.pair, now, candle.close))
        return False

    def admits_book(self, market: PairMarket, book: OrderBook, now: Nanos, *, is_read: bool = False) -> bool:
        """True when a book may be taken in. One that was read over REST is a second source's word; it may not be
        crossed either. An empty book shows no price to doubt."""
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
            self._end(market, "book", "a reading confirms prices around", (low + high) / 2)
        known = None if is_read else _known(market)
        # a wide book is no news: only a bid above all that is known, or an ask below it
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
        """True when ``bottom`` to ``top`` lies within ``most`` times of what is known, or has been confirmed."""
        doubt = market.doubts.get(source)
        is_price = 0 < bottom < inf and 0 < top < inf
        if is_price and (known is None or (known[0] / most < bottom and top < known[1] * most)):
            if doubt is not None:
                self._end(market, source, "what came since fits the prices known before, around", (bottom + top) / 2)
            return True
        agrees = doubt is not None and doubt.low / most < bottom and top < doubt.high * most
        if agrees and is_price:
            assert doubt is not None
            if now > doubt.at:  # what comes at one moment is one witness
                doubt.at = now
                doubt.agreed += 1
            if doubt.agreed >= CONFIRMATIONS:
                self._end(market, source, f"{CONFIRMATIONS} later {source}s confirm prices around", (bottom + top) / 2)
                return True
            self._count(market, doubt)
            return False
        shown = shown or (_figure(top) if bottom == top else f"{_figure(bottom)} to {_figure(top)}")
        last = market.last.price
        beside = "what was known" if last is None else f"the last price {_figure(last)}"
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
            f"{pair}: {what}; it is kept from strategies, valuations and loss limits until {CONFIRMATIONS} later ones "
            "agree with it. If that goes on, look at the market yourself",
        )

    def _count(self, market: PairMarket, doubt: Doubt) -> None:
        doubt.withheld += 1
        self.counts[market.pair] = self.counts.get(market.pair, 0) + 1

    def _end(self, market: PairMarket, source: Source, why: str, price: float) -> None:
        doubt = market.doubts.pop(source)
        if doubt.is_told:
            self._tell("info", f"{market.pair}: {why} {_figure(price)}; {doubt.withheld} withheld before that")


def _known(market: PairMarket) -> tuple[float, float] | None:
    """The lowest and the highest price known: the last one, and both sides of the last book that was believed."""
    book = market.book
    prices = [price for price in (market.last.price, book.best_bid, book.best_ask) if price is not None]
    return (min(prices), max(prices)) if prices else None


def _sides(book: OrderBook) -> str:
    bid, ask = (("none" if price is None else _figure(price)) for price in (book.best_bid, book.best_ask))
    return f"bid {bid}, ask {ask}"


def _figure(price: float) -> str:
    return f"{price:,.8f}".rstrip("0").rstrip(".") if abs(price) < inf else str(price)
