"""One pair's recorded market, and our accounts' orders in it."""

from __future__ import annotations

from bisect import insort
from operator import attrgetter

from botkit.model.clock import Nanos
from botkit.model.columns import BookColumns, CandleColumns, MarketColumns, TradeColumns
from botkit.model.orders import Condition, OrderType, Side
from botkit.model.pairs import Pair
from botkit.sim.bounds import NEVER_DOWN, NEVER_UP, NO_BOUNDS, Bounds
from botkit.sim.order import VenueOrder
from botkit.sim.streams import BookStream, CandleStream, TradeStream
from botkit.sim.traces import Print, Swept, Taken

_priority = attrgetter("priority")


class VenueMarket:
    """The streams, resting orders in price-time order, stops, and orders waiting for the next market event.

    ``waiting`` contains orders that cannot be processed yet: on candle tapes they wait for an open, and on trade-only
    tapes for a trade.
    """

    def __init__(self, pair: Pair, max_book_age_ns: Nanos | None = None) -> None:
        self._max_book_age = max_book_age_ns
        self.pair = pair
        self.trades: TradeStream | None = None
        self.books: BookStream | None = None
        self.candles: CandleStream | None = None
        self.buys: list[VenueOrder] = []
        self.sells: list[VenueOrder] = []
        self.stops: list[VenueOrder] = []
        self.waiting: list[VenueOrder] = []
        self.taken: dict[tuple[bool, int], Taken] = {}
        self.swept = Swept(-1, 0)
        self.prints: list[Print] = []
        #: True between the publication of books and the simultaneous trades; orders sent now may match these trades
        self.before_trades = False
        rules = pair.rules
        #: the amounts of recorded books are multiples of ``display_unit`` lots, as on the wire
        self.is_in_units = True
        self.display_unit = 10 ** max(rules.amount_decimals - rules.display_decimals, 0)
        #: True if every level of the recorded books has a price, and empty levels come last
        self.is_regular = True
        self.changed = False  # True if our part of the book has changed since the last check
        #: the prices for which the recorded rows are being searched
        self.searched: Bounds | None = NO_BOUNDS
        self._print_ticks: int | None = None
        self._print_row = -1

    def load(self, columns: MarketColumns) -> None:
        """Append a chunk. Raises ValueError for candles mixed with books or trades, because a pair can have only one
        kind of source.
        """
        if isinstance(columns, CandleColumns):
            if self.trades is not None or self.books is not None:
                raise ValueError(f"{self.pair} already has books or trades; candles cannot be used with them")
            if self.candles is None:
                self.candles = CandleStream()
            self.candles.load(columns)
            return
        if self.candles is not None:
            raise ValueError(f"{self.pair} already has candles; {columns.kind} cannot be used with them")
        if isinstance(columns, TradeColumns):
            if self.trades is None:
                self.trades = TradeStream()
            self.trades.load(columns)
        else:
            assert isinstance(columns, BookColumns), columns
            if self.books is None:
                self.books = BookStream()
            self.books.load(columns)
            unit = self.display_unit
            if unit > 1 and ((columns.bid_lots % unit).any() or (columns.ask_lots % unit).any()):
                self.is_in_units = False
            for prices, lots in ((columns.bid_ticks, columns.bid_lots), (columns.ask_ticks, columns.ask_lots)):
                shown = lots > 0
                if (shown & (prices <= 0)).any() or (shown[:, 1:] & ~shown[:, :-1]).any():
                    self.is_regular = False

    # -- prices ---------------------------------------------------------------------------------------------------

    def trade_position(self, now: Nanos) -> int:
        """Find the row number of the first recorded trade after ``now``. Requires recorded trades."""
        assert self.trades is not None
        return self.trades.first_from(now) if self.before_trades else self.trades.position(now)

    def last_ticks(self, now: Nanos) -> int | None:
        """Return the last traded price: the price of the last recorded row up to ``now``, or of our own execution if
        that is later.
        """
        if self.trades is not None:
            trades = self.trades
            row = (trades.first_from(now) if self.before_trades else trades.position(now)) - 1
            if self._print_ticks is not None and self._print_row == row:
                return self._print_ticks
            return int(trades.ticks[row - trades.first]) if row >= trades.first else None
        if self.candles is not None:
            candles = self.candles
            row = candles.position(now) - 1
            if self._print_ticks is not None and self._print_row == row:
                return self._print_ticks
            return int(candles.close[row - candles.first]) if row >= candles.first else None
        return self._print_ticks

    def print(self, side: Side, ticks: int, lots: int, now: Nanos) -> None:
        """Record a public print of our execution. The print's price is the last price until the next recorded row."""
        if self.trades is not None:
            self._print_row = self.trade_position(now) - 1
        else:
            self._print_row = self.candles.position(now) - 1 if self.candles is not None else -1
        self._print_ticks = ticks
        self.prints.append(Print(side, ticks, lots))

    # -- the recorded book, less our takes ---------------------------------------------------------------------

    def book_row(self, now: Nanos) -> int:
        """Find the row number of the current snapshot, or -1."""
        books = self.books
        if books is None:
            return -1
        row = books.position(now) - 1
        return row if row >= books.first else -1

    def net_lots(self, row: int, ticks: int, lots: int, *, bids: bool) -> int:
        """Return the lots at a recorded level that our orders have not taken."""
        taken = self.taken.get((bids, ticks))
        if taken is None:
            return lots
        if taken.row != row:
            assert self.books is not None
            # a row that does not reach the price (-1) also counts as a change, because the amount there was temporarily
            # unknown
            if not self.books.stands(taken.row, row, (ticks, taken.recorded), bids=bids):
                del self.taken[bids, ticks]
                return lots
            taken.row = row
        return max(lots - taken.lots, 0)

    def net_levels(self, row: int, *, bids: bool, depth: int | None = None) -> list[tuple[int, int]]:
        """Return one side of the current snapshot, best first. The amounts taken by our orders are subtracted, and
        empty levels are omitted.

        With a ``depth``, return at least that many levels if available.
        """
        if row < 0:
            return []
        assert self.books is not None
        if not self.taken:
            return self.books.levels(row, bids=bids, depth=depth)
        levels = self.books.levels(row, bids=bids, depth=None if depth is None else depth + len(self.taken))
        net: list[tuple[int, int]] = []
        for level in levels:
            if (bids, level[0]) in self.taken:
                left = self.net_lots(row, level[0], level[1], bids=bids)
                if left:
                    net.append((level[0], left))
            else:
                net.append(level)
        return net

    def levels_left(self, row: int, now: Nanos, trade_row: int | None, *, bids: bool) -> list[tuple[int, int]]:
        """Return the levels available to a taker on one side: `net_levels` minus the amounts taken by trades since the
        snapshot.

        Trades are included up to and including ``trade_row``, or by default up to the last trade received by ``now``. A
        book older than the maximum age has no levels left.
        """
        if self.is_stale(row, now):
            return []
        levels = self.net_levels(row, bids=bids)
        swept = self._swept_since(row, now, trade_row)
        if swept is None or not levels:
            return levels
        if bids:
            edge, took = swept.sell_ticks, swept.sell_lots
            stand = [level for level in levels if level[0] <= edge] if levels[0][0] >= edge else levels
        else:
            edge, took = swept.buy_ticks, swept.buy_lots
            stand = [level for level in levels if level[0] >= edge] if levels[0][0] <= edge else levels
        if stand and stand[0][0] == edge:
            left = stand[0][1] - took
            stand = [(edge, left), *stand[1:]] if left > 0 else stand[1:]
        return stand

    def is_older_than(self, age: Nanos) -> bool:
        """Return True if a snapshot of this age is too old to trade on."""
        return self._max_book_age is not None and age > self._max_book_age

    def is_stale(self, row: int, now: Nanos) -> bool:
        """Return True if a snapshot is too old to trade on."""
        if row < 0 or self._max_book_age is None:
            return False
        assert self.books is not None
        at = self.books.time_of(row)
        return at is not None and now - at > self._max_book_age

    def _swept_since(self, row: int, now: Nanos, trade_row: int | None) -> Swept | None:
        trades, books = self.trades, self.books
        if trades is None or books is None or row < 0:
            return None
        upto = self.trade_position(now) if trade_row is None else trade_row + 1
        swept = self.swept
        if swept.row != row:
            at = books.time_of(row)
            assert at is not None, row
            swept = self.swept = Swept(row, trades.first_from(at))
        if upto > swept.upto:
            swept.buy_ticks, swept.buy_lots, swept.sell_ticks, swept.sell_lots = trades.sweep(
                swept.upto, upto, (swept.buy_ticks, swept.buy_lots, swept.sell_ticks, swept.sell_lots)
            )
            swept.upto = upto
        return swept

    def take(self, row: int, ticks: int, lots: int, *, bids: bool) -> None:
        """Record that one of our orders took ``lots`` from a level of snapshot ``row``."""
        taken = self.taken.get((bids, ticks))
        if taken is None:
            assert self.books is not None
            recorded = next(shown for level, shown in self.books.levels(row, bids=bids) if level == ticks)
            self.taken[bids, ticks] = Taken(lots, recorded, row)
        else:
            taken.lots += lots

    def settle(self, now: Nanos) -> None:
        """Update the recorded effects of our orders to ``now``, before older rows are dropped."""
        self._swept_since(self.book_row(now), now, None)
        books = self.books
        if books is None or not self.taken:
            return
        row = books.current
        for bids, ticks in list(self.taken):
            self.net_lots(row, ticks, 0, bids=bids)

    # -- our orders -----------------------------------------------------------------------------------------------

    def rest(self, order: VenueOrder) -> None:
        """Insert an order at its position by price and time."""
        insort(self.buys if order.is_buy else self.sells, order, key=_priority)
        self.changed = True

    def remove(self, order: VenueOrder) -> None:
        """Remove an order from the list that contains it, if any."""
        for place in (self.buys if order.is_buy else self.sells, self.stops, self.waiting):
            if order in place:
                place.remove(order)
                self.changed = True
                return

    def drop_finished(self) -> None:
        """Remove filled orders."""
        for side in (self.buys, self.sells):
            for place in range(len(side) - 1, -1, -1):
                if not side[place].remaining_lots:
                    del side[place]

    def bounds(self, buy: int, sell: int) -> Bounds:
        """Return the prices at which the recorded market can touch our orders, the best of which rest at ``buy`` and
        ``sell``.
        """
        up, down, take_buy, take_sell = NEVER_UP, NEVER_DOWN, NEVER_DOWN, NEVER_UP
        for order in self.stops:
            if order.new.condition is Condition.AT_LEAST:
                up = min(up, order.new.stop_ticks)
            else:
                down = max(down, order.new.stop_ticks)
        if self.candles is None:
            for order in self.waiting:
                if order.type is OrderType.MARKET:
                    take_buy = NEVER_UP
                elif order.is_buy:
                    take_buy = max(take_buy, order.price_ticks)
                else:
                    take_sell = min(take_sell, order.price_ticks)
        return Bounds(
            buy=buy,
            sell=sell,
            stop_up=up,
            stop_down=down,
            take_buy=take_buy,
            take_sell=take_sell,
        )
