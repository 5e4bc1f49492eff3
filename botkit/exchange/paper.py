"""Paper trading. Market data comes from a real exchange, and orders go to a simulated one in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from botkit.model.adapter import Adapter, AdapterEvent, Capabilities, Lifetime, Sink, StreamKind
from botkit.model.clock import NS_PER_S, Clock, Nanos
from botkit.model.columns import BookColumns, MarketColumns, TradeColumns
from botkit.model.events import OrderBook, Trade
from botkit.model.limits import LimitTable
from botkit.model.orders import Side
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, Ending, GetBook, GetCandles, GetPairs, ListedRules, Request
from botkit.model.venue import Venue

#: request kinds that a paper bot sends to the real exchange
MARKET_READS = (GetBook.endpoint, GetCandles.endpoint, GetPairs.endpoint)
#: number of book levels that the simulated exchange keeps
_DEPTH = 50


class PaperAdapter(Lifetime):
    """Takes market data from ``market`` and sends orders to ``venue``, so that the bot deals with a single exchange
    (`botkit.model.adapter`).

    Market data reaches the bot exactly as the exchange sends it. The bot's orders are matched against that data and do
    not affect the market. The account's streams cannot be disconnected, because account events never leave the process.
    """

    account_streams = ()

    def __init__(self, market: Adapter, venue: Venue, clock: Clock, *, account: str, speed: float = 1.0) -> None:
        """``account`` is the bot's account name at the venue. ``clock`` runs ``speed`` times as fast as the machine's
        clock.
        """
        self._market = market
        self._venue = venue
        self._clock = clock
        self._account = account
        self._speed = speed
        self._sink: Sink | None = None
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_open = False
        venue.advance(clock.now())

    async def open(self) -> None:
        """Open the connection to the exchange that provides the market data."""
        await self._market.open()
        self._is_open = True

    async def close(self) -> None:
        """Close the connection to the exchange that provides the market data."""
        self._is_open = False
        if self._timer is not None:
            self._timer.cancel()
        for future in self._answers.values():
            future.cancel()
        await self._market.close()

    @property
    def limits(self) -> LimitTable:
        """The rate limits of the real exchange."""
        return self._market.limits

    @property
    def capabilities(self) -> Capabilities:
        """The exchange's capabilities. The simulated exchange supports all of them."""
        return self._market.capabilities

    @property
    def clock_skew_ms(self) -> int | None:
        """The offset of this machine's clock from the clock of the exchange that provides the market data."""
        return self._market.clock_skew_ms

    async def pairs(self) -> Mapping[str, Pair]:
        """Fetch the pairs and their current rules from the exchange and return them. Raises RequestError."""
        return await self._market.pairs()

    # -- events in ------------------------------------------------------------------------------------------------

    def watch(
        self,
        sink: Sink,
        *,
        books: Mapping[Pair, int] | None = None,
        trades: Iterable[Pair] = (),
        tickers: Iterable[Pair] = (),
        account: bool = True,
    ) -> None:
        """Subscribe to these feeds. Account events come from the simulated exchange. All other events come from the
        real exchange.
        """
        if account:
            self._sink = sink

        def on_market(event: AdapterEvent) -> None:
            if type(event) is OrderBook:
                self._take(book_row(event, self._clock.now()))
            elif type(event) is Trade:
                self._take(trade_row(event, self._clock.now()))
            sink(event)

        trades, tickers = list(trades), list(tickers)
        if books or trades or tickers:
            self._market.watch(on_market, books=dict(books or {}), trades=trades, tickers=tickers, account=False)

    def reconnect(self, kind: StreamKind | None = None) -> None:
        """Reconnect the market-data streams."""
        if kind != "account":
            self._market.reconnect(kind)

    def _take(self, row: MarketColumns) -> None:
        self._venue.load(row)
        self._advance()

    # -- requests out ---------------------------------------------------------------------------------------------

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        """Send market-data reads to the real exchange and all other requests to the simulated one. The only exception
        raised is CancelledError.
        """
        if not self._is_open:
            return Answer(request_id=request.id, outcome=Ending.NOT_SENT, text="the adapter is not open")
        if request.endpoint in MARKET_READS:
            answer = await self._market.send(request, urgent=urgent)
            if type(request) is GetPairs and answer.outcome is Ending.OK and isinstance(answer.body, tuple):
                for row in answer.body:
                    if isinstance(row, ListedRules):
                        self._venue.change_rules(row.pair, row.rules)
            return answer
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[request.id] = future
        self._venue.submit(self._account, request, self._clock.now())
        self._advance()
        return await future

    def _advance(self) -> None:
        now = self._clock.now()
        for published in self._venue.advance(now):
            for event in published.events:
                if isinstance(event, Answer):
                    future = self._answers.pop(event.request_id, None)
                    if future is not None and not future.done():
                        future.set_result(_without_full_stop(event))
                elif published.account == self._account and self._sink is not None:
                    self._sink(event)
        due = self._venue.next_at()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None and self._is_open:
            wait_s = max(0, due - now) / NS_PER_S / (self._speed or 1.0)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._advance)


def _without_full_stop(answer: Answer) -> Answer:
    """Return an answer whose text can become part of a sentence, as an answer of the real exchange's adapter."""
    return msgspec.structs.replace(answer, text=answer.text[:-1]) if answer.text.endswith(".") else answer


def _column(*values: int) -> Any:
    return np.array(values, dtype=np.int64)


def trade_row(trade: Trade, now: Nanos) -> TradeColumns:
    """Return a trade received at ``now`` as a row of recorded data."""
    rules = trade.pair.rules
    side = 0 if trade.side is None else trade.side.sign
    return TradeColumns(
        trade.pair,
        _column(now),
        _column(trade.time),
        _column(rules.ticks(trade.price, up=trade.side is Side.BUY)),
        _column(max(1, rules.lots(trade.amount))),
        np.array([side], dtype=np.int8),
    )


def book_row(book: OrderBook, now: Nanos) -> BookColumns:
    """Return a book received at ``now`` as a row of recorded data."""

    def side(levels: tuple[tuple[int, int], ...], part: int) -> Any:
        cells = [level[part] for level in levels[:_DEPTH]]
        return np.array([cells + [0] * (_DEPTH - len(cells))], dtype=np.int64)

    bids, asks = book.bid_levels, book.ask_levels
    return BookColumns(
        book.pair, _column(now), _column(book.time), side(bids, 0), side(bids, 1), side(asks, 0), side(asks, 1)
    )


__all__ = ["MARKET_READS", "PaperAdapter", "book_row", "trade_row"]
