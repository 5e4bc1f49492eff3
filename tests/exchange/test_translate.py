"""The inconsistencies in the exchange's data, tested one by one, and the conversion of orders to request bodies."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from botkit.exchange.bitopro import translate
from botkit.exchange.bitopro.facts import FEE_RANKS, BitoPro, packaged_pairs
from botkit.exchange.bitopro.wire import account, codec, frames, market
from botkit.exchange.bitopro.wire.statuses import STATUS_STATES, status_of
from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.events import Trade
from botkit.model.money import parse_scaled
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import Condition, OrderState, OrderType, Side

PAIRS = packaged_pairs()
BTC = PAIRS["btc_twd"]
USDT = PAIRS["usdt_twd"]

ORDER: dict[str, Any] = {
    "id": "6135165736",
    "pair": "btc_twd",
    "price": "2752000",
    "avgExecutionPrice": "2752144.60868632",
    "action": "BUY",
    "type": "LIMIT",
    "status": 0,
    "originalAmount": "0.1",
    "remainingAmount": "0.1",
    "executedAmount": "0",
    "fee": "0",
    "feeSymbol": "btc",
    "bitoFee": "0",
    "total": "0",
    "seq": "BTCTWD7797876599",
    "timeInForce": "GTC",
    "createdTimestamp": 1790299940000,
    "updatedTimestamp": 1790299941000,
}
USER_TRADE: dict[str, Any] = {
    "base": "usdt",
    "quote": "twd",
    "side": "ask",
    "price": "31.741",
    "volume": "100",
    "fee": "6.3482",
    "feeCurrency": "twd",
    "transactionTimestamp": 1790300002,
    "orderID": 390733918,
    "matchID": "m",
    "isMaker": False,
}


def order(**changes: Any) -> account.OwnOrderRow:
    row = {k: v for k, v in (ORDER | changes).items() if v is not ...}
    return codec.decode(msgspec.json.encode(row), account.OwnOrderRow, "order")


def user_trade(**changes: Any) -> frames.UserTradeRow:
    return codec.decode(msgspec.json.encode(USER_TRADE | changes), frames.UserTradeRow, "trade")


# -- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stamp", [1790299940, 1790299940000, "1790299940", "1790299940000"])
def test_seconds_and_milliseconds_as_numbers_or_text_yield_the_same_timestamp(stamp: int | str) -> None:
    assert codec.to_ns(stamp) == 1790299940 * NS_PER_S
    report = translate.order_report(order(createdTimestamp=stamp, updatedTimestamp=stamp), BTC)
    assert report.created == report.updated == 1790299940 * NS_PER_S


@pytest.mark.parametrize("stamp", [-1, 10**16, "", "x", "-1", "1.5", "٣"])
def test_an_invalid_timestamp_is_refused(stamp: int | str) -> None:
    with pytest.raises(codec.WireError):
        codec.to_ns(stamp)


def test_trade_times_are_in_seconds_and_candle_times_in_milliseconds() -> None:
    row = market.TradeRow(timestamp=1790299996, price="2751841.00000000", amount="0.00660000", is_buyer=False)
    assert translate.trade(row, BTC) == Trade(BTC, 1790299996 * NS_PER_S, 2751841.0, 0.0066, Side.SELL)
    candle = market.CandleRow(timestamp=1790290800000, open="3", high="5", low="2", close="4", volume="0.41562928")
    made = translate.candle(candle, BTC, "1h")
    assert (made.time, made.open, made.high, made.low, made.close) == (1790290800 * NS_PER_S, 3, 5, 2, 4)
    assert made.volume == 0.41562928


def test_the_datetime_in_frames_is_eight_hours_ahead_and_never_used() -> None:
    assert frames.taiwan_datetime(1790300000014) == "2026-09-25T09:33:20.014Z"
    text = '{"event":"TICKER","timestamp":1790300000900,"datetime":"nonsense","pair":"BTC_TWD","lastPrice":"1"}'
    frame = frames.decode_frame(text)
    assert isinstance(frame, frames.TickerFrame)
    assert translate.ticker(frame, BTC).time == 1790300000900 * NS_PER_MS


# -- orders -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"clientId": 12345}, 12345),
        ({"clientID": 12345}, 12345),
        ({"clientId": "12345"}, 12345),
        ({"clientId": 0}, None),
        ({"clientID": ""}, None),
        ({}, None),
        ({"clientId": None, "clientID": 7}, 7),
    ],
)
def test_a_client_id_is_read_with_either_spelling_of_its_field(changes: dict[str, Any], expected: int | None) -> None:
    assert translate.order_report(order(**changes), BTC).client_id == expected


@pytest.mark.parametrize(("id", "expected"), [(6135165736, "6135165736"), ("SL-6256946008", "SL-6256946008")])
def test_order_ids_can_be_numbers_or_text(id: int | str, expected: str) -> None:
    assert translate.order_report(order(id=id), BTC).order_id == expected
    reply = codec.decode(
        msgspec.json.encode({"orderId": id, "timestamp": 1, "action": "BUY", "amount": "1"}), account.CreateReply, "c"
    )
    assert str(reply.order_id) == expected


def test_an_orders_amounts_and_prices_become_exact_integers() -> None:
    report = translate.order_report(
        order(status=1, executedAmount="0.04", total="110064.123456789", timeInForce="POST_ONLY"), BTC
    )
    assert (report.price_ticks, report.original_lots, report.executed_lots) == (2752000, 10_000_000, 4_000_000)
    assert report.executed_units == 11006412345678  # digits from the exchange beyond 1e-8 are dropped
    assert report.post_only
    assert (report.side, report.type, report.state) == (Side.BUY, OrderType.LIMIT, OrderState.PARTLY_FILLED)
    assert (report.created, report.updated) == (1790299940 * NS_PER_S, 1790299941 * NS_PER_S)


def test_a_stop_order_keeps_its_trigger_price() -> None:
    report = translate.order_report(
        order(id="SL-1", type="STOP_LIMIT", status=-1, stopPrice="2800000", condition=">="), BTC
    )
    assert (report.stop_ticks, report.condition) == (2800000, Condition.AT_LEAST)


def test_the_original_amount_of_a_market_buy_is_ignored_until_the_order_is_final() -> None:
    live = translate.order_report(order(type="Market", price="0", originalAmount="10000.123456789"), BTC)
    assert (live.original_lots, live.price_ticks) == (0, 0)
    done = translate.order_report(
        order(type="MARKET", status=2, price="0", originalAmount="0.00363353", executedAmount="0.00363353"), BTC
    )
    assert done.original_lots == done.executed_lots == 363353


@pytest.mark.parametrize(
    "changes", [{"status": 5}, {"status": 99}, {"type": "ICEBERG"}, {"action": "HOLD"}, {"id": ""}]
)
def test_undocumented_values_are_refused_rather_than_interpreted_by_guessing(changes: dict[str, Any]) -> None:
    with pytest.raises(codec.WireError):
        translate.order_report(order(**changes), BTC)


@pytest.mark.parametrize("kind", ["SP_OCO_STOPLIMIT", "SL_OCO_STOPLIMIT", "stop_limit"])
def test_the_legs_of_orders_placed_on_the_website_are_stop_orders(kind: str) -> None:
    assert translate.order_report(order(type=kind, status=-1), BTC).type is OrderType.STOP_LIMIT


# -- executions and fees ----------------------------------------------------------------------------------------------


def test_a_sells_fee_is_in_the_quote_currency_regardless_of_the_fee_symbol() -> None:
    row = account.OwnTradeRow(
        trade_id="1",
        order_id="2",
        price="2751500",
        action="SELL",
        base_amount="0.02",
        quote_amount="55030",
        fee="110.06",
        fee_symbol="BTC",
        is_taker=True,
        created_timestamp=1790299101000,
    )
    report = translate.own_trade_report(row, BTC)
    assert (report.fee_currency, report.fee_units, report.is_maker) == ("twd", 110_06000000, False)
    bought = translate.own_trade_report(msgspec.structs.replace(row, action="BUY"), BTC)
    assert bought.fee_currency == "btc"
    paid_in_bito = translate.own_trade_report(msgspec.structs.replace(row, fee_symbol="BITO"), BTC)
    assert paid_in_bito.fee_currency == "bito"


@pytest.mark.parametrize(
    ("changes", "units", "currency"),
    [
        ({"fee": "6.3482"}, 634_820_000, "twd"),
        ({"fee": "634820000"}, 634_820_000, "twd"),  # scaled by 10^8, as in the documentation's example
        ({"side": "bid", "fee": "0.2", "feeCurrency": "usdt"}, 20_000_000, "usdt"),
        ({"side": "bid", "fee": "20000000", "feeCurrency": "usdt"}, 20_000_000, "usdt"),
        ({"fee": "0"}, 0, "twd"),
        ({"fee": "3.5", "feeCurrency": "bito"}, 350_000_000, "bito"),
    ],
)
def test_a_scaled_fee_in_a_user_trade_is_recognized(changes: dict[str, Any], units: int, currency: str) -> None:
    report = translate.user_trade_report(user_trade(**changes), USDT)
    assert (report.fee_units, report.fee_currency) == (units, currency)


@pytest.mark.parametrize(
    ("said", "meant"), [(True, True), ("true", True), (False, False), ("false", False), (None, False)]
)
def test_is_maker_can_be_a_bool_or_text(said: Any, meant: bool) -> None:
    assert translate.user_trade_report(user_trade(isMaker=said), USDT).is_maker is meant


def test_the_side_and_the_numeric_order_id_of_a_user_trade_are_decoded() -> None:
    report = translate.user_trade_report(user_trade(), USDT)
    assert (report.side, report.order_id, report.price_ticks) == (Side.SELL, "390733918", 31741)
    assert report.time == 1790300002 * NS_PER_S


# -- books, balances, tickers -----------------------------------------------------------------------------------------


def level(price: str, amount: str) -> market.LevelRow:
    return market.LevelRow(price=price, amount=amount)


def test_a_book_is_converted_to_ticks_and_lots_without_empty_levels() -> None:
    book = translate.order_book([level("31.741", "1"), level("31.740", "0.0000")], [level("31.75", "2")], USDT, 5)
    assert book.bid_levels == ((31741, 10**8),)
    assert book.ask_levels == ((31750, 2 * 10**8),)
    assert translate.order_book(None, None, USDT, 5).bid_levels == ()


def test_a_book_is_truncated_to_its_depth() -> None:
    asks = [level(str(price), "1") for price in range(1, 9)]
    assert len(translate.order_book([], asks, USDT, 5, depth=3).ask_levels) == 3


def test_a_book_with_unsorted_levels_is_refused() -> None:
    with pytest.raises(codec.WireError):
        translate.order_book([level("1", "1"), level("2", "1")], [], USDT, 5)
    with pytest.raises(codec.WireError):
        translate.order_book([], [level("2", "1"), level("2", "1")], USDT, 5)


def test_a_trade_with_a_rounded_amount_is_recognized_as_a_duplicate() -> None:
    exact = market.TradeRow(timestamp=1, price="5.00000000", amount="0.00097067", is_buyer=True)
    rounded = market.TradeRow(timestamp=1, price="5", amount="0.0010", is_buyer=True)
    assert translate.rounded_trade_key(exact, BTC) == translate.rounded_trade_key(rounded, BTC)


def test_balances_are_keyed_by_lowercase_currency() -> None:
    rows = [account.BalanceRow(currency="TWD", amount="1000000", available="279204.123456789")]
    report = translate.balance_report(rows, snapshot=True)
    assert report.balances == {"twd": (1_000_000 * 10**8, 27920412345678)}
    assert report.snapshot


def test_a_ticker_without_a_pair_can_be_decoded() -> None:
    frame = frames.decode_frame('{"event":"TICKER","timestamp":1,"lastPrice":"1"}')
    assert isinstance(frame, frames.TickerFrame)
    assert frame.pair == ""


# -- orders going out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (
            OrderSpec(
                client_id=5, pair=BTC, side=Side.BUY, type=OrderType.LIMIT, price_ticks=2752000, amount_lots=10**7
            ),
            {"action": "BUY", "type": "LIMIT", "price": "2752000", "amount": "0.1", "clientId": 5},
        ),
        (
            OrderSpec(client_id=6, pair=USDT, side=Side.BUY, type=OrderType.MARKET, spend_units=10_000 * 10**8),
            {"action": "BUY", "type": "MARKET", "amount": "10000", "clientId": 6},
        ),
        (
            OrderSpec(client_id=7, pair=USDT, side=Side.SELL, type=OrderType.MARKET, amount_lots=1),
            {"action": "SELL", "type": "MARKET", "amount": "0.00000001", "clientId": 7},
        ),
        (
            OrderSpec(
                client_id=8,
                pair=USDT,
                side=Side.SELL,
                type=OrderType.LIMIT,
                price_ticks=31741,
                amount_lots=10**8,
                post_only=True,
            ),
            {
                "action": "SELL",
                "type": "LIMIT",
                "price": "31.741",
                "amount": "1",
                "timeInForce": "POST_ONLY",
                "clientId": 8,
            },
        ),
        (
            OrderSpec(
                client_id=9,
                pair=BTC,
                side=Side.SELL,
                type=OrderType.STOP_LIMIT,
                price_ticks=2,
                amount_lots=10**8,
                stop_ticks=3,
                condition=Condition.AT_MOST,
            ),
            {
                "action": "SELL",
                "type": "STOP_LIMIT",
                "price": "2",
                "amount": "1",
                "stopPrice": "3",
                "condition": "<=",
                "clientId": 9,
            },
        ),
    ],
)
def test_an_order_is_encoded_as_documented_by_the_exchange(asked: OrderSpec, expected: dict[str, Any]) -> None:
    alone = msgspec.to_builtins(translate.create_body(asked, 1790299940123 * NS_PER_MS, in_batch=False))
    assert alone == expected | {"timestamp": 1790299940123}
    batched = translate.create_body(asked, 1790299940123 * NS_PER_MS, in_batch=True)
    assert batched.pair == asked.pair.upper()


# -- facts ------------------------------------------------------------------------------------------------------------


def test_fee_ranks_match_the_published_table() -> None:
    assert [rank.rank for rank in FEE_RANKS] == list(range(7))
    text = ["0.001", "0.0009", "0.0007", "0.0006", "0.000125", "0.000125", "0.000125"]
    assert [rank.maker_e8 for rank in FEE_RANKS] == [parse_scaled(rate, 8) for rate in text]
    assert [rank.discounted_taker_e8 for rank in FEE_RANKS][-1] == 36_000
    for rank in FEE_RANKS:
        # fees paid in BITO are a fifth lower
        assert rank.discounted_maker_e8 * 5 == rank.maker_e8 * 4
        assert rank.discounted_taker_e8 * 5 == rank.taker_e8 * 4
    assert [rank.needs_both for rank in FEE_RANKS] == [False] * 5 + [True] * 2


def test_the_exchange_facts_use_the_configured_precision() -> None:
    assert BitoPro().facts({}).pairs["btc_twd"].rules.amount_step == 1
    assert BitoPro().facts({"amount_step": "amount"}).pairs["btc_twd"].rules.amount_step == 10_000
    from botkit.errors import ConfigError

    with pytest.raises(ConfigError, match="amount_step is 'coarse'; use base"):
        BitoPro().facts({"amount_step": "coarse"})
    with pytest.raises(ConfigError, match="limits is 3"):
        BitoPro().facts({"limits": 3})


def test_the_exchange_facts_include_limits_for_every_endpoint() -> None:
    from botkit.exchange.bitopro.wire.endpoints import ENDPOINTS

    limits = BitoPro().facts({}).limits
    for endpoint in ENDPOINTS.values():
        assert (limits[endpoint.id].method, limits[endpoint.id].path) == (endpoint.method, endpoint.path)
        assert limits[endpoint.id].private == endpoint.private


@pytest.mark.parametrize(
    ("status", "executed", "state"),
    [
        (-1, 0, OrderState.UNTRIGGERED),
        (0, 0, OrderState.OPEN),
        (1, 5, OrderState.PARTLY_FILLED),
        (2, 5, OrderState.FILLED),
        (3, 5, OrderState.CANCELLED),
        (4, 0, OrderState.CANCELLED),
        (6, 0, OrderState.POST_ONLY_CANCELLED),
    ],
)
def test_every_exchange_status_is_converted_to_a_state_and_back(status: int, executed: int, state: OrderState) -> None:
    assert STATUS_STATES[status] is state
    assert status_of(state, executed) == status
