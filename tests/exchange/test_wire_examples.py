"""Every recorded wire example can be decoded, and encoding the result reproduces the original JSON."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.exchange.bitopro.wire import account, bodies, codec, frames, market, wallet
from botkit.exchange.bitopro.wire.errors import encode_error, error_text
from tests.exchange.recorded import EXAMPLES, TRADING_PAIRS

SHAPES: dict[str, Any] = {
    "rest_balance": account.BalancesReply,
    "rest_batch_create_request": tuple[bodies.CreateBody, ...],
    "rest_batch_create_response": account.CreateBatchReply,
    "rest_cancel_all_response": account.CancelManyReply,
    "rest_cancel_batch_request": dict[str, tuple[str | int, ...]],
    "rest_cancel_batch_response": account.CancelManyReply,
    "rest_cancel_order_response": account.CancelReply,
    "rest_create_limit_request": bodies.CreateBody,
    "rest_create_limit_response": account.CreateReply,
    "rest_create_market_buy_request": bodies.CreateBody,
    "rest_create_market_buy_response": account.CreateReply,
    "rest_create_percentage_request": bodies.CreateBody,
    "rest_create_post_only_request": bodies.CreateBody,
    "rest_create_stop_limit_request": bodies.CreateBody,
    "rest_currencies": market.CurrenciesReply,
    "rest_deposit_history": wallet.TransfersReply,
    "rest_limitations_and_fees": market.LimitationsReply,
    "rest_my_trades": account.OwnTradesReply,
    "rest_order_book": market.OrderBookReply,
    "rest_order_book_scale3": market.OrderBookReply,
    "rest_order_get_filled": account.OwnOrderRow,
    "rest_order_get_open": account.OwnOrderRow,
    "rest_order_get_stop_untriggered": account.OwnOrderRow,
    "rest_orders_all": account.OrdersReply,
    "rest_orders_all_empty_null": account.OrdersReply,
    "rest_orders_open": account.OrdersReply,
    "rest_orders_open_seconds_variant": account.OrdersReply,
    "rest_otc_price": market.OtcPriceReply,
    "rest_ticker_one": market.TickersReply,
    "rest_tickers_all": market.TickersReply,
    "rest_trades": market.TradesReply,
    "rest_trading_history_1h": market.CandlesReply,
    "rest_trading_pairs": market.PairsReply,
    "rest_withdraw_create_request": bodies.WithdrawBody,
    "rest_withdraw_create_response": wallet.WithdrawalReply,
    "rest_withdraw_create_twd_request": bodies.WithdrawBody,
    "rest_withdraw_get": wallet.TransferReply,
    "rest_withdraw_history": wallet.TransfersReply,
}
#: tested elsewhere: signatures in test_sign, refusals below
OTHERS = {"auth_vectors", "errors"}


def names(prefix: str) -> list[str]:
    return sorted(path.stem for path in EXAMPLES.glob(f"{prefix}*.json"))


def test_every_recorded_example_is_covered_by_a_test() -> None:
    assert set(names("")) == set(SHAPES) | set(names("ws_")) | OTHERS


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_each_body_is_unchanged_after_a_decode_and_encode_round_trip(name: str) -> None:
    raw = (EXAMPLES / f"{name}.json").read_bytes()
    decoded = codec.decode(raw, SHAPES[name], name)
    assert json.loads(codec.encode(decoded)) == json.loads(raw)


@pytest.mark.parametrize("name", names("ws_"))
def test_each_frame_is_unchanged_after_a_decode_and_encode_round_trip(name: str) -> None:
    raw = (EXAMPLES / f"{name}.json").read_bytes()
    frame = frames.decode_frame(raw)
    assert not isinstance(frame, frames.UnknownFrame)
    assert json.loads(codec.encode(frame)) == json.loads(raw)
    assert frames.taiwan_datetime(frame.timestamp) == frame.datetime


def test_requests_are_decoded_into_their_fields() -> None:
    create = bodies.decode_create((EXAMPLES / "rest_create_stop_limit_request.json").read_bytes())
    assert (create.stop_price, create.condition, create.client_id) == ("2800000", ">=", 777)
    batch = bodies.decode_create_batch((EXAMPLES / "rest_batch_create_request.json").read_bytes())
    assert [item.pair for item in batch] == ["BTC_TWD", "BTC_TWD"]
    raw = (EXAMPLES / "rest_cancel_batch_request.json").read_bytes()
    cancels = bodies.decode_cancel_batch(raw)
    assert cancels == (("btc_twd", "4391867898"), ("btc_twd", "1234500981"), ("eth_usdt", "4456671200"))
    assert json.loads(bodies.encode_cancel_batch(list(cancels))) == json.loads(raw)
    assert bodies.decode_withdraw((EXAMPLES / "rest_withdraw_create_request.json").read_bytes()).protocol == "TRX"


def test_refusals_are_decoded_and_encoded_exactly() -> None:
    for row in json.loads((EXAMPLES / "errors.json").read_text(encoding="utf-8")):
        text = next(iter(row["body"].values()))
        assert error_text(json.dumps(row["body"]).encode()) == text.removesuffix(".")
        assert json.loads(encode_error(row["status"], text)) == row["body"]
    assert encode_error(404, "404 NOT FOUND").endswith(b"\n")


def test_bundled_pairs_match_the_recorded_pairs() -> None:
    recorded = json.loads(TRADING_PAIRS.read_text(encoding="utf-8"))["data"]
    pairs = packaged_pairs()
    assert set(pairs) == {row["pair"] for row in recorded}
    for row in recorded:
        rules = pairs[row["pair"]].rules
        assert rules.price_decimals == int(row["quotePrecision"])
        assert rules.least_amount == Decimal(row["minLimitBaseAmount"])
