"""Implausible prices are withheld from the bot until confirmed, and each incident is reported to the user once."""

from __future__ import annotations

from math import nan
from typing import Any

import pytest

from botkit.engine.market.quiet_books import QUIET_S
from botkit.model.clock import NS_PER_HOUR
from botkit.model.events import Candle, OrderBook, Ticker, Trade
from botkit.model.requests import GetBook
from tests.engine_world import BTC, MINUTE, T0, UNIT, Bot, Listener, S

Levels = tuple[tuple[int, int], ...]


class Follower(Listener):
    def on_start(self) -> None:
        self.subscribe_trades(BTC)
        self.subscribe_book(BTC)
        self.subscribe_ticker(BTC)
        self.series.append(self.subscribe_bars(BTC, "1m"))


def world(**options: Any) -> Bot:
    return Bot(Follower(), **options)


def show(b: Bot, bids: Levels, asks: Levels, *, after_s: float = 1) -> None:
    b.now += int(after_s * S)
    b.tell(OrderBook(BTC, b.now, bids, asks))


def read(b: Bot, bids: Levels, asks: Levels) -> None:
    """Deliver no stream frames until the bot reads the book over REST, and respond to that read."""
    b.to((b.now - T0) / S + QUIET_S + 2)
    (request,) = [request for request in b.all(GetBook) if request.pair == BTC]
    b.answer(request, body=OrderBook(BTC, b.now, bids, asks))


def trade(b: Bot, price: float, *, after_s: float = 1) -> None:
    b.now += int(after_s * S)
    b.tell(Trade(BTC, b.now, price, 1.0))


def heard(b: Bot, name: str) -> list[Any]:
    return [event for kind, event in b.strategies[0].heard if kind == name]


def messages(b: Bot) -> list[str]:
    return [f"{level}: {text}" for level, text in b.messages]


def test_a_single_trade_at_an_absurd_price_of_a_trillion_does_not_affect_loss_limits_prices_or_bars() -> None:
    b = world(balances={"twd": 10**6 * UNIT, "btc": 5 * UNIT}, risk={"max_daily_loss": {"twd": 100}})
    trade(b, 1_000)
    trade(b, 1_001)
    equity = b.portfolio.equity_units(None, "twd")
    for price in (10**12, 1):  # an upward spike would look like a daily profit, and a downward spike like a daily loss
        trade(b, price)
        assert b.portfolio.equity_units(None, "twd") == equity
        assert b.engine.view.halted is None
    trade(b, 1_002)
    trade(b, 1_003, after_s=60)
    assert [event.price for event in heard(b, "trade")] == [1_000, 1_001, 1_002, 1_003]
    assert b.strategies[0].series[0][-1].high == 1_002
    assert b.engine.view.checks.withheld() == {BTC: 2}
    warning, over = messages(b)
    assert warning.startswith(
        "warning: btc_twd: a trade (1,000,000,000,000) is far from the last price 1,001; it is withheld from "
        "strategies, valuations and loss limits until 2 later ones agree with it"
    )
    assert over == ("info: btc_twd: later prices agree with the earlier ones, around 1,002; 2 withheld before that")


def test_a_price_confirmed_at_two_later_times_is_accepted() -> None:
    b = world(risk={"max_daily_loss": {"twd": 10**9}})
    trade(b, 1_000)
    trade(b, 3_000)
    for _ in range(3):
        trade(b, 3_010, after_s=0)  # a trade with the same timestamp is not a second confirmation
    trade(b, 3_020)
    assert b.portfolio.last_price(BTC) == 1_000
    trade(b, 3_030)
    assert b.portfolio.last_price(BTC) == 3_030
    assert [event.price for event in heard(b, "trade")] == [1_000, 3_030]
    assert messages(b)[1] == ("info: btc_twd: 2 later trades confirm prices around 3,030; 5 withheld before that")


def test_an_accepted_book_confirms_a_trade_after_a_long_silence() -> None:
    b = world()
    show(b, ((2_490, 5),), ((2_510, 5),))
    b.portfolio.mark(BTC, 1_000)  # a price from last week's candles
    trade(b, 2_500)
    assert b.portfolio.last_price(BTC) == 2_500
    assert messages(b) == []


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        (((1_010, 5),), ((1_005, 5),)),
        (((1_005, 5),), ((1_005, 5),)),
        (((999, 5), (-1, 5)), ((1_001, 5),)),
        (((-5, 5),), ((1_001, 5),)),
        (((0, 5),), ()),
    ],
    ids=["crossed", "locked", "a negative level", "a negative bid", "nothing but a zero"],
)
def test_an_impossible_book_is_never_accepted_no_matter_how_often_it_arrives(bids: Levels, asks: Levels) -> None:
    b = world()
    trade(b, 1_000)
    show(b, ((999, 5),), ((1_001, 5),))
    for _ in range(10):
        show(b, bids, asks)
    book = b.strategies[0].book(BTC)
    assert (book.best_bid, book.best_ask) == (999, 1_001)
    assert book.age_s == 10
    assert len(heard(b, "book")) == 1
    assert len(messages(b)) == 1
    assert "the order book is crossed or shows no prices (bid" in messages(b)[0]
    show(b, ((998, 5),), ((1_000, 5),))
    assert len(heard(b, "book")) == 2
    assert "later prices agree" in messages(b)[1]


def test_a_crossed_book_read_over_rest_is_also_rejected() -> None:
    b = world(watch_speed=1)
    show(b, ((999, 5),), ((1_001, 5),))
    read(b, ((1_002, 5),), ((1_001, 5),))
    assert b.strategies[0].book(BTC).best_bid == 999


def test_a_book_far_from_known_prices_requires_two_confirming_frames_or_a_single_rest_read() -> None:
    for is_read in (False, True):
        b = world(watch_speed=1)
        trade(b, 1_000)
        show(b, ((999, 5),), ((1_001, 5),))
        show(b, ((2_999, 5),), ((3_001, 5),))
        assert b.strategies[0].book(BTC).best_bid == 999
        if is_read:
            read(b, ((2_998, 5),), ((3_001, 5),))
        else:
            show(b, ((2_998, 5),), ((3_001, 5),))
            assert b.strategies[0].book(BTC).best_bid == 999
            show(b, ((2_998, 5),), ((3_001, 5),))
        assert b.strategies[0].book(BTC).best_bid == 2_998
        warning, over = messages(b)
        assert "the order book" not in warning
        assert "a book (bid 2,999, ask 3,001) is far from the last price 1,000" in warning
        assert "confirm" in over


def test_wide_one_sided_and_empty_books_are_accepted() -> None:
    b = world()
    trade(b, 1_000)
    for bids, asks in [
        (((999, 5),), ((1_001, 5),)),
        (((10, 5),), ((50_000, 5),)),
        ((), ((1_001, 5),)),
        (((999, 5),), ()),
        ((), ()),
        (((999, 5),), ((1_001, 5),)),
    ]:
        show(b, bids, asks)
    assert len(heard(b, "book")) == 6
    assert messages(b) == []


def test_a_market_order_on_an_empty_book_is_refused_with_a_reason() -> None:
    b = world()
    trade(b, 1_000)
    show(b, ((999, 50_000),), ((1_001, 50_000),))
    show(b, (), ())
    order = b.strategies[0].market_buy(BTC, spend=1_000)
    assert order.is_refused
    assert order.reason == "the book of btc_twd shows no asks to trade against"


def test_a_ticker_far_from_the_last_price_is_not_delivered() -> None:
    b = world()
    trade(b, 1_000)
    for price in (10**12, 1_001, nan):
        b.tell(Ticker(BTC, b.now, float(price), 1.0, 1.0, 1.0, 0.0, True))
    assert [event.last_price for event in heard(b, "ticker")] == [1_001]


def test_candle_prices_and_wicks_may_double_but_not_increase_tenfold() -> None:
    b = Bot(Follower(), candle_pairs=["btc_twd"])
    rows = [
        (1_000, 1_000, 1_000, 1_000),
        (1_000, 4_000, 900, 3_900),
        (3_900, 10**12, 3_900, 3_900),
        (3_900, 4_000, 1, 3_900),
        (3_900, 4_000, 3_800, 3_950),
    ]
    for i, (opened, high, low, close) in enumerate(rows):
        b.now = T0 + (i + 1) * MINUTE
        b.tell(Candle(BTC, "1m", T0 + i * MINUTE, float(opened), float(high), float(low), float(close), 1.0))
    closes = [(bar.close, bar.high, bar.empty) for bar in b.strategies[0].series[0]]
    assert closes == [(1_000, 1_000, False), (3_900, 4_000, False), (3_900, 3_900, True), (3_900, 3_900, True),
                      (3_950, 4_000, False)]  # fmt: skip
    assert "a candle (3,900 to 1,000,000,000,000) is far from the last price 3,900" in messages(b)[0]


@pytest.mark.parametrize("price", [nan, 0.0, -5.0, float("inf")])
def test_an_invalid_price_is_never_accepted(price: float) -> None:
    b = world()
    for _ in range(5):
        trade(b, price)
    trade(b, 1_000)
    for _ in range(5):
        trade(b, price)
    assert [event.price for event in heard(b, "trade")] == [1_000]
    assert b.portfolio.last_price(BTC) == 1_000


def test_a_flapping_feed_is_reported_at_most_once_an_hour() -> None:
    b = world()
    trade(b, 1_000)
    for i in range(60):
        trade(b, 1_000 if i % 2 else 50_000)
    assert len(messages(b)) == 2
    trade(b, 50_000, after_s=NS_PER_HOUR / S)
    assert len(messages(b)) == 3
    assert b.engine.view.checks.withheld() == {BTC: 31}


def test_our_own_orders_are_excluded_when_a_book_is_checked() -> None:
    b = world()
    trade(b, 1_000)
    trade(b, 1_001)
    order = b.strategies[0].sell(BTC, amount=1, price=400)
    b.end_turn()
    b.rest(order)
    # the book has no other orders: the order shown at 400 is ours, so there is no price to check
    show(b, (), ((400, 10_000),))
    assert len(heard(b, "book")) == 1
    assert b.engine.view.checks.withheld() == {}
