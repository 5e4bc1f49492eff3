"""Invalid data causes a typed error. Decoding and translating arbitrary bytes raises only WireError."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.errors import DataError
from botkit.exchange.bitopro import translate
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.exchange.bitopro.sign import decode_payload
from botkit.exchange.bitopro.wire import account, bodies, codec, frames, market, wallet
from botkit.exchange.bitopro.wire.errors import error_text
from tests.exchange.recorded import EXAMPLES

PAIR = packaged_pairs()["btc_twd"]
SHAPES: list[Any] = [
    account.BalancesReply,
    account.CancelManyReply,
    account.CreateBatchReply,
    account.CreateReply,
    account.OwnOrderRow,
    account.OrdersReply,
    account.OwnTradesReply,
    bodies.CreateBody,
    market.CandlesReply,
    market.LimitationsReply,
    market.OrderBookReply,
    market.PairsReply,
    market.TickersReply,
    market.TradesReply,
    wallet.TransfersReply,
    wallet.WithdrawalReply,
]

ORDER = {
    "id": "1",
    "pair": "btc_twd",
    "price": "2752000",
    "avgExecutionPrice": "0",
    "action": "BUY",
    "type": "LIMIT",
    "status": 0,
    "originalAmount": "0.1",
    "remainingAmount": "0.1",
    "executedAmount": "0",
    "total": "0",
    "createdTimestamp": 1790299940000,
    "updatedTimestamp": 1790299940000,
}
USER_TRADE = {
    "base": "btc",
    "quote": "twd",
    "side": "bid",
    "price": "1",
    "volume": "1",
    "fee": "0",
    "feeCurrency": "btc",
    "transactionTimestamp": 1790300002,
    "orderID": 1,
    "matchID": "m",
}
LEVEL = {"price": "1", "amount": "1", "count": 1, "total": "1"}
TRADE = {"timestamp": 1790299996, "price": "1", "amount": "1", "isBuyer": False}
CANDLE = {"timestamp": 1790290800000, "open": "1", "high": "1", "low": "1", "close": "1", "volume": "1"}
OWN_TRADE = {
    "tradeId": "1",
    "orderId": "1",
    "price": "1",
    "action": "SELL",
    "baseAmount": "1",
    "quoteAmount": "1",
    "fee": "1",
    "feeSymbol": "BTC",
    "isTaker": True,
    "createdTimestamp": 1790299101000,
}

junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        [
            "NaN",
            "1e999999999",
            "1_000",
            "٣",
            "²",
            "-1",
            "",
            "Infinity",
            "9" * 5000,
            "0." + "1" * 30,
            [],
            {},
            [[]],
            "SL-1",
        ]
    ),
)


def mutated(row: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return the row with one or two fields dropped or replaced by invalid values."""

    @st.composite
    def draw(draw: st.DrawFn) -> dict[str, Any]:
        out = dict(row)
        for name in draw(st.lists(st.sampled_from(sorted(row)), max_size=2)):
            if draw(st.integers(0, 9)) == 0:
                out.pop(name, None)
            else:
                out[name] = draw(junk)
        return out

    return draw()


@settings(deadline=None, max_examples=150)
@given(body=st.binary(max_size=200) | st.text(max_size=80).map(str.encode))
def test_arbitrary_bytes_raise_a_wire_error(body: bytes) -> None:
    for shape in SHAPES:
        with contextlib.suppress(codec.WireError):
            codec.decode(body, shape, "fuzz")
    with contextlib.suppress(codec.WireError):
        frames.decode_frame(body)
    with contextlib.suppress(codec.WireError):
        bodies.decode_cancel_batch(body)
    with contextlib.suppress(codec.WireError):
        bodies.decode_create_batch(body)
    with contextlib.suppress(codec.WireError):
        decode_payload(body.decode("latin-1"))
    assert isinstance(error_text(body), str)


@settings(deadline=None, max_examples=150)
@given(row=mutated(ORDER))
def test_a_mutated_order_yields_a_report_or_a_wire_error(row: dict[str, Any]) -> None:
    with contextlib.suppress(codec.WireError):
        translate.order_report(codec.decode(json.dumps(row), account.OwnOrderRow, "order"), PAIR)


@settings(deadline=None, max_examples=150)
@given(user=mutated(USER_TRADE), own=mutated(OWN_TRADE))
def test_a_mutated_execution_yields_a_report_or_a_wire_error(user: dict[str, Any], own: dict[str, Any]) -> None:
    with contextlib.suppress(codec.WireError):
        translate.user_trade_report(codec.decode(json.dumps(user), frames.UserTradeRow, "trade"), PAIR)
    with contextlib.suppress(codec.WireError):
        translate.own_trade_report(codec.decode(json.dumps(own), account.OwnTradeRow, "trade"), PAIR)


@settings(deadline=None, max_examples=150)
@given(level=mutated(LEVEL), trade=mutated(TRADE), candle=mutated(CANDLE))
def test_mutated_market_data_yields_an_event_or_a_wire_error(
    level: dict[str, Any], trade: dict[str, Any], candle: dict[str, Any]
) -> None:
    with contextlib.suppress(codec.WireError):
        row = codec.decode(json.dumps(level), market.LevelRow, "level")
        translate.order_book([row], [row], PAIR, 1)
    with contextlib.suppress(codec.WireError):
        found = codec.decode(json.dumps(trade), market.TradeRow, "trade")
        translate.rounded_trade_key(found, PAIR)
        assert translate.trade(found, PAIR).amount > 0
    with contextlib.suppress(codec.WireError):
        translate.candle(codec.decode(json.dumps(candle), market.CandleRow, "candle"), PAIR, "1h")


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_mutated_frame_yields_a_frame_or_a_wire_error(data: st.DataObject) -> None:
    event = data.draw(st.sampled_from([*sorted(frames.EVENTS), "SOMETHING_NEW", "", None, 7]))
    inner = data.draw(st.sampled_from([[TRADE], {"btc_twd": [ORDER]}, USER_TRADE, None, [], {}, {"TWD": None}]))
    frame = {"event": event, "timestamp": 1790300000000, "pair": "BTC_TWD", "bids": [LEVEL], "asks": [], "data": inner}
    frame |= {"lastPrice": "1"}
    text = json.dumps(data.draw(mutated(frame)))
    with contextlib.suppress(codec.WireError):
        frames.decode_frame(text)
        frames.decode_frame(text.encode())


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"data":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"orderId": ' + b"9" * 10_000 + b"}",
        b"\xff\xfe",
        b'{"data": NaN}',
        b"<html>502 Bad Gateway</html>",
        b'{"data": [{"currency": "twd"',
        b"",
    ],
)
def test_hostile_bodies_raise_wire_errors(body: bytes) -> None:
    for shape in SHAPES:
        if shape in (account.OrdersReply, account.CreateReply, market.PairsReply):
            with pytest.raises(codec.WireError):
                codec.decode(body, shape, "hostile")
    with pytest.raises(codec.WireError):
        frames.decode_frame(body)


def test_a_wire_error_is_a_data_error_and_quotes_only_a_short_excerpt() -> None:
    assert issubclass(codec.WireError, DataError)
    with pytest.raises(codec.WireError) as caught:
        codec.decode(b"x" * 10_000, market.PairsReply, "trading_pairs")
    assert "trading_pairs" in str(caught.value)
    assert len(str(caught.value)) < 400


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_recorded_frames_with_changed_bytes_yield_frames_or_wire_errors(data: st.DataObject) -> None:
    paths = sorted(EXAMPLES.glob("ws_*.json"))
    raw = bytearray(data.draw(st.sampled_from(paths)).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for body in (bytes(raw), bytes(raw[:cut])):
        with contextlib.suppress(codec.WireError):
            msgspec.json.encode(frames.decode_frame(body))
