"""Translates wire rows into model events, and model orders into request bodies. Does no I/O.

Numbers become integers in the pair's ticks, lots and units. A number that does not fit raises `WireError`.
"""

from __future__ import annotations

from collections.abc import Iterable

from botkit.exchange.bitopro.wire.account import BalanceRow, OwnOrderRow, OwnTradeRow
from botkit.exchange.bitopro.wire.bodies import CreateBody
from botkit.exchange.bitopro.wire.codec import WireError, scaled, to_ns
from botkit.exchange.bitopro.wire.frames import TickerFrame, UserTradeRow
from botkit.exchange.bitopro.wire.market import CandleRow, LevelRow, TradeRow
from botkit.exchange.bitopro.wire.statuses import STATUS_STATES
from botkit.model.clock import NS_PER_MS, Nanos
from botkit.model.events import BalanceReport, Candle, OrderBook, OrderReport, Ticker, Trade, TradeReport
from botkit.model.money import UNIT_DECIMALS, format_scaled, format_units, parse_scaled
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import BUY, MARKET, RESTING_STATES, STOP_LIMIT, Condition, OrderType, Side
from botkit.model.pairs import Pair

_TYPES = {
    "LIMIT": OrderType.LIMIT,
    "MARKET": OrderType.MARKET,
    "STOP_LIMIT": OrderType.STOP_LIMIT,
    # types of the two legs of an OCO order, which can be created only on the website
    "SP_OCO_STOPLIMIT": OrderType.STOP_LIMIT,
    "SL_OCO_STOPLIMIT": OrderType.STOP_LIMIT,
}
_CONDITIONS = {condition.value: condition for condition in Condition}

#: more than twice the highest fee rate, in ten-thousandths; a USER_TRADE fee more than a thousand times above this rate
#: must have been scaled by 10^8 (Q10)
_FEE_RATE_MAX_E4 = 45
_FEE_SCALE = 10**8


#: cache size, in wire numbers, for each number of decimals
_NUMBERS_MAX = 20_000


class _Numbers(dict[str, int]):
    """A cache of wire numbers, keyed by their text and stored as integer multiples of 10^-decimals. Nearly every book
    level and every listed trade was already in the previous frame, and a look-up takes about an eighth as long as
    parsing.
    """

    __slots__ = ("_decimals",)

    def __init__(self, decimals: int) -> None:
        super().__init__()
        self._decimals = decimals

    def __missing__(self, text: str) -> int:
        number = parse_scaled(text, self._decimals)
        if len(self) >= _NUMBERS_MAX:
            self.clear()
        self[text] = number
        return number


_numbers: dict[int, _Numbers] = {}


def _numbers_of(decimals: int) -> _Numbers:
    found = _numbers.get(decimals)
    if found is None:
        found = _numbers[decimals] = _Numbers(decimals)
    return found


def trade(row: TradeRow, pair: Pair) -> Trade:
    """Convert a public trade."""
    rules = pair.rules
    ticks, lots = scaled(row.price, rules.price_decimals, "price"), scaled(row.amount, rules.amount_decimals, "amount")
    if ticks <= 0 or lots <= 0:
        raise WireError(f"a trade of {row.amount} at {row.price}")
    side = Side.BUY if row.is_buyer else Side.SELL
    return Trade(pair, to_ns(row.timestamp), rules.price(ticks), rules.amount(lots), side)


def rounded_trade_key(row: TradeRow, pair: Pair) -> tuple[int, int, int, bool]:
    """Return a trade key that does not depend on whether the amount was rounded to amountPrecision."""
    rules = pair.rules
    coarse = 10 ** max(0, rules.amount_decimals - rules.display_decimals)
    try:
        lots = _numbers_of(rules.amount_decimals)[row.amount]
        ticks = _numbers_of(rules.price_decimals)[row.price]
    except ValueError as error:
        raise WireError(f"a trade: {error}") from None
    return row.timestamp, ticks, (lots + coarse // 2) // coarse, row.is_buyer


def order_book(
    bids: Iterable[LevelRow] | None, asks: Iterable[LevelRow] | None, pair: Pair, time: Nanos, depth: int = 50
) -> OrderBook:
    """Convert a complete book, with at most ``depth`` levels per side. Empty levels are left out."""
    rules = pair.rules
    all_ticks, all_lots = _numbers_of(rules.price_decimals), _numbers_of(rules.amount_decimals)
    return OrderBook(
        pair, time, _levels(bids, all_ticks, all_lots, depth, -1), _levels(asks, all_ticks, all_lots, depth, 1)
    )


def _levels(
    rows: Iterable[LevelRow] | None, all_ticks: _Numbers, all_lots: _Numbers, depth: int, sign: int
) -> tuple[tuple[int, int], ...]:
    levels, before = [], 0
    try:
        for row in rows or ():
            ticks, lots = all_ticks[row.price], all_lots[row.amount]
            if ticks <= 0 or lots < 0:
                raise WireError(f"a level of {row.amount} at {row.price}")
            if before and (ticks - before) * sign <= 0:
                raise WireError(f"levels out of order at {row.price}")
            before = ticks
            if lots:
                levels.append((ticks, lots))
    except ValueError as error:
        raise WireError(f"a book level: {error}") from None
    return tuple(levels[:depth])


def ticker(frame: TickerFrame, pair: Pair) -> Ticker:
    """Convert 24-hour statistics from the stream. Their high and low only repeat the last price, because of a bug at
    the exchange.
    """
    return Ticker(
        pair,
        to_ns(frame.timestamp),
        _float(frame.last_price, "lastPrice"),
        _float(frame.high_24hr or frame.last_price, "high24hr"),
        _float(frame.low_24hr or frame.last_price, "low24hr"),
        _float(frame.volume_24hr or "0", "volume24hr"),
        _float(frame.price_change_24hr or "0", "priceChange24hr"),
        bool(frame.is_buyer),
    )


def _float(text: str, what: str) -> float:
    scaled(text, 18, what, floor=True)  # Python's float would also accept "nan", "1_0" and "inf"
    return float(text)


def candle(row: CandleRow, pair: Pair, resolution: str) -> Candle:
    """Convert a candle. Raises WireError unless the prices are on the pair's grid and lie between the low and the
    high.
    """
    rules = pair.rules
    names = ("open", "high", "low", "close")
    open_, high, low, close = (scaled(getattr(row, name), rules.price_decimals, name) for name in names)
    lots = scaled(row.volume, rules.amount_decimals, "volume", floor=True)
    if not 0 < low <= min(open_, close) <= max(open_, close) <= high or lots < 0:
        raise WireError(f"a candle of {row.open} {row.high} {row.low} {row.close}, volume {row.volume}")
    return Candle(
        pair,
        resolution,
        to_ns(row.timestamp),
        open=rules.price(open_),
        high=rules.price(high),
        low=rules.price(low),
        close=rules.price(close),
        volume=rules.amount(lots),
    )


def side_of(action: str) -> Side:
    """Return the order side for BUY, SELL, bid or ask, in upper or lower case."""
    upper = action.upper()
    if upper in ("BUY", "BID"):
        return Side.BUY
    if upper in ("SELL", "ASK"):
        return Side.SELL
    raise WireError(f"{action[:40]!r} is not an order side")


def order_report(row: OwnOrderRow, pair: Pair, pushed: Nanos = 0) -> OrderReport:
    """Convert an order row from the exchange. ``pushed`` is the timestamp of its frame, if it was pushed. Raises
    WireError for an undocumented status or type.
    """
    rules = pair.rules
    kind = _TYPES.get(row.type.upper())
    state = STATUS_STATES.get(row.status)
    if kind is None or state is None:
        raise WireError(f"order {row.order_id} has the unknown type {row.type!r} or status {row.status}")
    if not row.order_id:
        raise WireError("an order without an id")
    is_market = kind is OrderType.MARKET
    original = 0
    if not (is_market and side_of(row.action) is Side.BUY and state in RESTING_STATES):
        # for a market buy that is not final yet, the field may be a quote amount of any precision; the documentation
        # does not specify this (Q12)
        original = scaled(row.original_amount, rules.amount_decimals, "originalAmount", floor=is_market)
    return OrderReport(
        pair=pair,
        order_id=row.order_id,
        client_id=row.client,
        side=side_of(row.action),
        type=kind,
        state=state,
        price_ticks=0 if is_market else scaled(row.price, rules.price_decimals, "price"),
        original_lots=original,
        executed_lots=scaled(row.executed_amount, rules.amount_decimals, "executedAmount"),
        executed_units=scaled(row.total, UNIT_DECIMALS, "total", floor=True),
        stop_ticks=scaled(row.stop_price, rules.price_decimals, "stopPrice") if row.stop_price else 0,
        condition=_CONDITIONS.get(row.condition or ""),
        post_only=row.time_in_force.upper() == "POST_ONLY",
        created=to_ns(row.created_timestamp, "createdTimestamp"),
        updated=to_ns(row.updated_timestamp, "updatedTimestamp"),
        pushed=pushed,
    )


def own_trade_report(row: OwnTradeRow, pair: Pair) -> TradeReport:
    """Convert an execution from the REST listing."""
    rules, side = pair.rules, side_of(row.action)
    stamp = row.created_timestamp if row.created_timestamp is not None else row.timestamp
    if stamp is None:
        raise WireError(f"trade {row.trade_id} has no time")
    return TradeReport(
        pair=pair,
        order_id=str(row.order_id),
        trade_id=str(row.trade_id),
        side=side,
        price_ticks=scaled(row.price, rules.price_decimals, "price"),
        lots=scaled(row.base_amount, rules.amount_decimals, "baseAmount"),
        fee_units=scaled(row.fee, UNIT_DECIMALS, "fee", floor=True),
        fee_currency=_fee_currency(row.fee_symbol, side, pair),
        is_maker=not row.is_taker,
        time=to_ns(stamp),
    )


def user_trade_report(row: UserTradeRow, pair: Pair) -> TradeReport:
    """Convert an execution from the stream. A fee scaled by 10^8 is recognised by its magnitude."""
    rules, side = pair.rules, side_of(row.side)
    ticks = scaled(row.price, rules.price_decimals, "price")
    lots = scaled(row.volume, rules.amount_decimals, "volume")
    fee_units = scaled(row.fee, UNIT_DECIMALS, "fee", floor=True)
    currency = _fee_currency(row.fee_currency, side, pair)
    paid_from = rules.base_units(lots) if side is Side.BUY else rules.value_units(ticks, lots)
    # a fee in a third coin cannot be checked, so it is accepted as is
    if currency in (pair.base, pair.quote) and fee_units * 10**4 > paid_from * _FEE_RATE_MAX_E4 * 1000 > 0:
        fee_units //= _FEE_SCALE
    return TradeReport(
        pair=pair,
        order_id=str(row.order_id),
        trade_id=row.match_id,
        side=side,
        price_ticks=ticks,
        lots=lots,
        fee_units=fee_units,
        fee_currency=currency,
        is_maker=row.is_maker is True or str(row.is_maker).lower() == "true",
        time=to_ns(row.transaction_timestamp),
    )


def _fee_currency(symbol: str, side: Side, pair: Pair) -> str:
    """Return the fee's currency. The fee is in base currency for buys and in quote currency for sells, regardless of
    what the row says, unless it is in a third coin (BITO).
    """
    named = symbol.lower()
    if named == "bito" and named not in (pair.base, pair.quote):
        return named
    return pair.base if side is Side.BUY else pair.quote


def balance_report(rows: Iterable[BalanceRow], *, snapshot: bool) -> BalanceReport:
    """Convert balances to (total, available) in units, keyed by lowercase currency. ``stake`` is ignored (Q20)."""
    return BalanceReport(
        {
            row.currency.lower(): (
                scaled(row.amount, UNIT_DECIMALS, "amount", floor=True),
                scaled(row.available, UNIT_DECIMALS, "available", floor=True),
            )
            for row in rows
        },
        snapshot=snapshot,
    )


def create_body(order: OrderSpec, timestamp: Nanos, *, in_batch: bool) -> CreateBody:
    """Return the request body for an order. ``timestamp`` is t0, the time at which the router granted the slot."""
    rules = order.pair.rules
    kind, side = order.type, order.side
    is_market = kind is MARKET
    spends = is_market and side is BUY
    assert (order.spend_units > 0) == spends, order
    assert (order.amount_lots > 0) != spends, order
    assert (order.price_ticks > 0) != is_market, order
    is_stop = kind is STOP_LIMIT
    assert is_stop == (order.stop_ticks > 0 and order.condition is not None), order
    return CreateBody(
        pair=order.pair.upper() if in_batch else None,
        action=side._name_,  # `name` is a property written in Python
        type=kind._name_,
        price=None if is_market else format_scaled(order.price_ticks, rules.price_decimals),
        amount=(format_units(order.spend_units) if spends else format_scaled(order.amount_lots, rules.amount_decimals)),
        timestamp=timestamp // NS_PER_MS,
        stop_price=format_scaled(order.stop_ticks, rules.price_decimals) if is_stop else None,
        condition=order.condition.value if order.condition is not None and is_stop else None,
        time_in_force="POST_ONLY" if order.post_only else None,
        client_id=order.client_id or None,
    )
