"""Order books that a simulated exchange is going to publish, as a bot's engine takes them in."""

from __future__ import annotations

from botkit.model.clock import Nanos
from botkit.model.order_book import OrderBook
from botkit.model.pairs import Pair

__all__ = ["PublishedBooks"]


class PublishedBooks:
    """The next books of some pairs, in order of publication; None for a moment at which a pair's book is unchanged.
    ``done`` is how many of them the bot has taken.

    They are published as they are here unless something else happens at the exchange first: a request arrives, or the
    recorded market touches an order. That is no earlier than at ``until`` (None: it never is).
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
        #: the pair of each, and its best prices in ticks, 0 for an empty side
        self.pairs = pairs
        self.best_bids = best_bids
        self.best_asks = best_asks
        #: no book has more levels a side than this
        self.depth = depth
        self.until = until
        self.done = 0
        #: True if the bot has seen nothing else since the last of them that it took
        self.is_latest = False
