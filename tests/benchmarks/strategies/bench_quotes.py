"""Strategies for the book benchmark: one replaces a bid and an ask on every book, and the other two place no orders."""

from __future__ import annotations

from botkit import Fill, Order, OrderBook, Pair, Register, Strategy, hookimpl, param


class Quotes(Strategy):
    """Quotes a bid and an ask around every book's mid price."""

    pair: Pair
    away: float = param(0.0002, gt=0, doc="distance of each price from the middle, as a fraction")
    amount: float = param(0.01, gt=0)

    def on_start(self) -> None:
        self.subscribe_book(self.pair)

    def on_book(self, book: OrderBook) -> None:
        middle = book.mid
        assert middle is not None
        bid, ask = middle * (1 - self.away), middle * (1 + self.away)
        self.quote(self.pair, bids=[(bid, self.amount)], asks=[(ask, self.amount)])

    def on_order(self, order: Order) -> None:
        """Do nothing with the order update. Most strategies define this callback."""

    def on_fill(self, fill: Fill) -> None:
        """Do nothing with the fill. Most strategies define this callback."""


class BestPrices(Strategy):
    """Reads only the best prices of every book."""

    pair: Pair

    def on_start(self) -> None:
        self.subscribe_book(self.pair)

    def on_book(self, book: OrderBook) -> None:
        self._best = book.best_bid, book.best_ask


class Nothing(Strategy):
    """Receives every book and does nothing."""

    pair: Pair

    def on_start(self) -> None:
        self.subscribe_book(self.pair)

    def on_book(self, book: OrderBook) -> None:
        pass


@hookimpl
def botkit_register_strategies(register: Register) -> None:
    register("quotes", Quotes)
    register("best_prices", BestPrices)
    register("nothing", Nothing)
