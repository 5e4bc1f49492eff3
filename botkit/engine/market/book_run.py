"""Books that an exchange publishes between the rows of a tape, prepared for a quiet span."""

from __future__ import annotations

from botkit.engine.market.markets import Markets
from botkit.engine.market.pair_market import PairMarket
from botkit.engine.market.plausible import are_ordinary
from botkit.model.merged_rows import MergedRows
from botkit.model.published_books import PublishedBooks


class BookRun:
    """The data that a span needs for each book."""

    __slots__ = ("books", "is_ordinary", "markets", "places", "rows")

    def __init__(self, rows: MergedRows, books: PublishedBooks, markets: Markets) -> None:
        self.rows = rows
        self.books = books
        #: for each book, the index of the first row after it
        self.places: list[int] = rows.received.searchsorted(books.times, side="left").tolist()
        self.markets: list[PairMarket] = [markets.of(books.pairs[0])] * len(books.times)
        #: True if a book is plausible relative to the previous one, assuming that the previous one was accepted as the
        #: pair's book. If the previous book was withheld instead, the pair has an unresolved `Doubt`
        self.is_ordinary: list[bool]
        if books.pairs.count(books.pairs[0]) == len(books.pairs):
            self.is_ordinary = are_ordinary(books.best_bids, books.best_asks)
        else:
            self.markets = [markets.of(pair) for pair in books.pairs]
            self.is_ordinary = [False] * len(books.times)
            for pair in dict.fromkeys(books.pairs):
                places = [place for place, other in enumerate(books.pairs) if other == pair]
                bids, asks = ([column[place] for place in places] for column in (books.best_bids, books.best_asks))
                for place, is_ordinary in zip(places, are_ordinary(bids, asks), strict=True):
                    self.is_ordinary[place] = is_ordinary
