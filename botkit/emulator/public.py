"""The public endpoints, which turn a query into a reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from botkit.emulator.orders import find_pair
from botkit.emulator.replies import HttpReply, RefusedError, ok
from botkit.emulator.rows import fixed, level_rows, merged
from botkit.emulator.tables import currency_rows, deposit_limits, fee_rows, transfer_limits, withdrawal_limits
from botkit.emulator.venue import EmulatedVenue
from botkit.exchange.bitopro.wire.endpoints import BOOK_LIMITS
from botkit.exchange.bitopro.wire.market import (
    CandleRow,
    CandlesReply,
    CurrenciesReply,
    LimitationsReply,
    OrderBookReply,
    OtcPriceReply,
    OtcRate,
    PairRow,
    PairsReply,
    TickersReply,
    TradeRow,
    TradesReply,
)
from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.money import format_units
from botkit.model.resolutions import RESOLUTIONS

Query: TypeAlias = Mapping[str, str]
Names: TypeAlias = Mapping[str, str]
PublicHandler: TypeAlias = Callable[[EmulatedVenue, Names, Query], HttpReply]

#: number of levels used for merging if a scale is requested
_DEEP = 200
_OTC_SPREAD = 0.008  # the margin in each direction; the two prices were observed to differ by 0.8 to 2.3 %
_LATEST_S = 10**10


def whole_number(query: Query, name: str, default: int | None, least: int, most: int) -> int:
    """Return an integer from the query. Raises RefusedError if the value is not an integer or is out of range, or if
    the value is missing and there is no default.
    """
    text = query.get(name, "")
    if not text:
        if default is None:
            raise RefusedError(f"Wrong parameter: {name}")
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and least <= int(text) <= most):
        raise RefusedError(f"Wrong parameter: {name}")
    return int(text)


def trading_pairs(venue: EmulatedVenue, names: Names, query: Query) -> HttpReply:
    """Answer GET /provisioning/trading-pairs."""
    rows = []
    for pair in venue.pairs.values():
        rules = pair.rules
        rows.append(
            PairRow(
                pair=str(pair),
                base=pair.base,
                quote=pair.quote,
                base_precision=str(rules.amount_decimals),
                quote_precision=str(rules.price_decimals),
                min_limit_base_amount=rules.amount_text(rules.least_lots),
                max_limit_base_amount=rules.amount_text(rules.most_lots),
                min_market_buy_quote_amount=format_units(rules.least_spend_units),
                order_open_limit=str(rules.open_orders_max),
                maintain=rules.maintenance,
                order_book_quote_precision=str(rules.price_decimals),
                order_book_quote_scale_level=str(rules.book_scale_max),
                amount_precision=str(rules.display_decimals),
            )
        )
    return ok(PairsReply(data=tuple(rows)))


def currencies(venue: EmulatedVenue, names: Names, query: Query) -> HttpReply:
    """Answer GET /provisioning/currencies."""
    return ok(CurrenciesReply(data=currency_rows(venue.currencies)))


def limitations_and_fees(venue: EmulatedVenue, names: Names, query: Query) -> HttpReply:
    """Answer GET /provisioning/limitations-and-fees."""
    return ok(
        LimitationsReply(
            trading_fee_rate=fee_rows(venue.facts.fee_ranks),
            restrictions_of_withdrawal_fees=withdrawal_limits(venue.currencies),
            cryptocurrency_deposit_fee_and_confirmation=deposit_limits(venue.currencies),
            tt_check_fees_and_limitations_level1=transfer_limits(1),
            tt_check_fees_and_limitations_level2=transfer_limits(2),
        )
    )


def tickers(venue: EmulatedVenue, names: Names, query: Query) -> HttpReply:
    """Answer GET /tickers with a list."""
    return ok(TickersReply(data=tuple(venue.ticker(pair) for pair in venue.pairs.values())))


def ticker(venue: EmulatedVenue, names: Names, query: Query) -> HttpReply:
    """Answer GET /tickers/{pair} with a single object."""
    return ok(TickersReply(data=venue.ticker(find_pair(names["pair"], venue.pairs))))


def order_book(venue: EmulatedVenue, names: Names, query: Query) -> HttpReply:
    """Answer GET /order-book/{pair} with exact amounts and levels merged by ``scale``."""
    pair = find_pair(names["pair"], venue.pairs)
    limit = _listed(query, "limit", (0, *BOOK_LIMITS)) or 5
    scale = _listed(query, "scale", range(pair.rules.book_scale_max + 1))
    decimals = pair.rules.price_decimals
    if not scale:
        book = venue.book(pair, limit)
        return ok(OrderBookReply(bids=level_rows(book.bid_levels, pair), asks=level_rows(book.ask_levels, pair)))
    book = venue.book(pair, _DEEP)
    by = int(10**scale)
    sides = []
    for levels, up in ((book.bid_levels, False), (book.ask_levels, True)):
        coarse = merged(levels, by, up=up)[:limit]
        if scale > decimals:
            # levels are merged in units larger than 1, so their prices have no decimals: for example, 26 in units of 10
            # is 260
            coarse = tuple((ticks * int(10 ** (scale - decimals)), lots) for ticks, lots in coarse)
        sides.append(level_rows(coarse, pair, price_decimals=max(decimals - scale, 0)))
    return ok(OrderBookReply(bids=sides[0], asks=sides[1]))


def _listed(query: Query, name: str, allowed: range | tuple[int, ...]) -> int:
    text = query.get(name) or "0"
    if text.isascii() and text.isdigit() and len(text) < 9 and int(text) in allowed:
        return int(text)
    raise RefusedError(f"Invalid {name}: {''.join(c for c in text[:40] if c.isprintable())}")


def trades(venue: EmulatedVenue, names: Names, query: Query) -> HttpReply:
    """Answer GET /trades/{pair}, newest first and with eight fixed decimals."""
    rows = venue.recent_trades(find_pair(names["pair"], venue.pairs))
    padded = tuple(
        TradeRow(timestamp=r.timestamp, price=_eight(r.price), amount=_eight(r.amount), is_buyer=r.is_buyer)
        for r in rows
    )
    return ok(TradesReply(data=padded or (None if venue.switches.on("null_lists") else ())))


def _eight(text: str) -> str:
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction:0<8}"


def trading_history(venue: EmulatedVenue, names: Names, query: Query) -> HttpReply:
    """Answer GET /trading-history/{pair} in ascending order. The unfinished candle is included; buckets without trades
    are omitted (Q22).
    """
    pair = find_pair(names["pair"], venue.pairs)
    resolution = query.get("resolution", "")
    if resolution not in RESOLUTIONS:
        raise RefusedError("Wrong parameter: resolution")
    start = whole_number(query, "from", None, 0, _LATEST_S)
    end = whole_number(query, "to", None, 0, _LATEST_S)
    if end < start:
        raise RefusedError("Wrong parameter: to")
    price, amount = pair.rules.price_text, pair.rules.amount_text
    rows = venue.candles(pair, resolution, start * NS_PER_S, end * NS_PER_S + 1)
    return ok(
        CandlesReply(
            data=tuple(
                CandleRow(
                    timestamp=bucket // NS_PER_MS,
                    open=price(row[0]),
                    high=price(row[1]),
                    low=price(row[2]),
                    close=price(row[3]),
                    volume=amount(row[4]),
                )
                for bucket, row in rows
            )
        )
    )


def otc_price(venue: EmulatedVenue, names: Names, query: Query) -> HttpReply:
    """Answer GET /price/otc/{currency}. The exchange's OTC desk sells above the last TWD price and buys below it."""
    currency = names["currency"].lower()
    last = venue.last_price(f"{currency}_twd")
    if last is None:
        raise RefusedError("Cannot list price, please try again later")

    def rate(factor: float) -> dict[str, OtcRate]:
        return {"twd": OtcRate(pricing_currency="TWD", exchange_rate=fixed(round(last * factor * 100), 2))}

    return ok(
        OtcPriceReply(
            currency=currency, buy_swap_quotation=rate(1 + _OTC_SPREAD), sell_swap_quotation=rate(1 - _OTC_SPREAD)
        )
    )


PUBLIC: Final[dict[str, PublicHandler]] = {
    "trading_pairs": trading_pairs,
    "currencies": currencies,
    "limitations_and_fees": limitations_and_fees,
    "tickers": tickers,
    "ticker": ticker,
    "order_book": order_book,
    "trades": trades,
    "trading_history": trading_history,
    "otc_price": otc_price,
}
