"""Order books that a simulated exchange is about to publish, in the form that a bot's engine processes."""

from __future__ import annotations

from botkit.model.clock import Nanos
from botkit.model.order_book import OrderBook
from botkit.model.pairs import Pair

__all__ = ["PublishedBooks"]


class PublishedBooks:
    """The next books of some pairs, in publication order. An entry is None if the pair's book is unchanged at that
    time. ``done`` is the number of books that the bot has processed.

    The books are published unchanged unless another event at the exchange comes first: a request arrives, or the
    recorded market touches an order. Such an event cannot happen before ``until`` (None: it cannot happen at all).
    """

    __slots__ = ("best_asks", "best_bids", "books", "depth", "done", "is_latest", "pairs", "times", "until")

    def __init__(
        self,
        times: list[Nanos],
        books: list[OrderBook | None],
        pairs: list[Pair],
        best_bids: list[int],
        best_asks: list[int],
        depth: int,
        until: Nanos | None,
    ) -> None:
        self.times = times
        self.books = books
        #: the pair of each book, and the book's best prices in ticks; 0 for an empty side
        self.pairs = pairs
        self.best_bids = best_bids
        self.best_asks = best_asks
        #: the maximum number of levels per side in these books
        self.depth = depth
        self.until = until
        self.done = 0
        #: True if the bot has received no other event since the last book it processed
        self.is_latest = False
