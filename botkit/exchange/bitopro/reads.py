"""The requests that only read: orders, executions, balances, books, candles and the pairs' rules."""

from __future__ import annotations

from collections.abc import Iterable

from botkit.errors import TryAgain
from botkit.exchange.bitopro import translate
from botkit.exchange.bitopro.answers import IncompleteError
from botkit.exchange.bitopro.history import stitch_candles
from botkit.exchange.bitopro.incoming import Incoming, described
from botkit.exchange.bitopro.rest import BitoProClient
from botkit.exchange.bitopro.wire.account import OwnOrderRow
from botkit.exchange.bitopro.wire.codec import WireError
from botkit.exchange.bitopro.wire.endpoints import BOOK_LIMITS
from botkit.model.events import OrderReport
from botkit.model.requests import (
    AnswerBody,
    GetBalances,
    GetBook,
    GetCandles,
    GetOrder,
    GetPairs,
    ListOpenOrders,
    ListOrders,
    ListTrades,
    Request,
)


async def read(client: BitoProClient, request: Request, incoming: Incoming) -> AnswerBody:
    """Send a request that only reads, and return its answer. Rows of orders are converted by ``incoming``."""
    match request:
        case GetOrder():
            row = await client.order(request.pair, request.order_id)
            return (translate.order_report(row, request.pair),)
        case ListOrders():
            rows = await client.orders(
                request.pair,
                start=request.start,
                end=request.end,
                client_id=request.client_id,
                limit=request.limit,
                order_ids=request.order_ids,
            )
            return _listed(rows, incoming)
        case ListOpenOrders():
            return _listed(await client.open_orders(request.pair), incoming)
        case ListTrades():
            trades = await client.own_trades(
                request.pair,
                start=request.start,
                end=request.end,
                order_id=request.order_id,
                limit=request.limit,
            )
            return tuple(translate.own_trade_report(row, request.pair) for row in trades)
        case GetBalances():
            held = await client.balances()
            if not held:  # zero balances are also listed, so an empty list is an error
                raise TryAgain("balance: the answer lists no currency", status=200)
            return translate.balance_report(held, snapshot=True)
        case GetBook():
            book = await client.order_book(request.pair, served_depth(request.depth))
            # the response has no timestamp, so its arrival time is used
            now = client.clock.now()
            return translate.order_book(book.bids, book.asks, request.pair, now, request.depth)
        case GetCandles():
            found = await client.candles_once(request.pair, request.resolution, request.start, request.end)
            sorted_rows = stitch_candles(
                found,
                request.resolution,
                request.start,
                request.end,
                now=client.clock.now(),
                fill_gaps=False,
                running=request.running,
            )
            return tuple(translate.candle(row, request.pair, request.resolution) for row in sorted_rows)
        case GetPairs():
            return await client.listed_rules()
    raise AssertionError(f"no API call for {request!r}")


def _listed(rows: Iterable[OwnOrderRow], incoming: Incoming) -> tuple[OrderReport, ...]:
    """Convert a listing. Raises `IncompleteError` if one of its rows cannot be read."""
    unreadable: list[WireError] = []
    reports = tuple(incoming.order_reports(rows, unreadable))
    if unreadable:
        raise IncompleteError(described(unreadable), reports)
    return reports


def served_depth(depth: int) -> int:
    """Return the smallest book depth served by the exchange that has at least ``depth`` levels. The exchange sends five
    levels for any depth it does not serve.
    """
    return next((limit for limit in BOOK_LIMITS if limit >= depth), BOOK_LIMITS[-1])
