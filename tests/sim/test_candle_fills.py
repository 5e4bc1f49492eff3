"""Every fill assumption on bars, and on tapes with only trades."""

from __future__ import annotations

import pytest

from botkit.model.events import OrderBook, Trade
from botkit.model.orders import OrderState
from botkit.sim.fills import Optimistic
from tests.sim.venue import LOT, MINUTE, T0, S, Venue, books, candles, trades

L = LOT
#                 minute open    high    low    close   lots
BARS = candles(
    [
        (0, 100_00, 101_00, 99_00, 100_50, 50 * L),
        (1, 100_60, 102_00, 98_00, 101_00, 50 * L),
        (2, 101_20, 101_20, 101_20, 101_20, 0),
        (3, 101_50, 104_00, 97_00, 103_00, 4 * L),
        (4, 103_50, 105_00, 96_00, 104_00, 50 * L),
    ]
)


def test_a_market_order_sent_at_the_end_of_a_bar_fills_at_the_next_open() -> None:
    venue = Venue(BARS)
    venue.to(60)
    cid = venue.order("buy", spend_units=50 * 10**8)
    venue.to(60)
    assert [(price, maker) for price, _, maker in venue.fills(cid)] == [(100_60, False)]


def test_a_market_order_sent_no_later_than_the_open_fills_at_the_open_if_it_arrives_within_the_bar() -> None:
    venue = Venue(BARS, latency={"order_ms": 100, "answer_ms": 50})
    venue.to(60)
    cid = venue.order("sell", 2 * L)
    seen = venue.to(61)
    assert venue.fills(cid) == [(100_60, 2 * L, False)]
    assert {p.at for p in seen} == {T0 + MINUTE + 150_000_000}


def test_a_market_order_sent_after_the_open_waits_for_the_next_bar_with_trades() -> None:
    venue = Venue(BARS)
    venue.to(70)
    cid = venue.order("sell", 2 * L)
    venue.to(179)
    assert venue.report(cid).state is OrderState.OPEN
    venue.to(180)  # the bar for minute 2 is empty
    assert venue.fills(cid) == [(101_50, 2 * L, False)]


def test_slippage_is_applied_and_rounded_against_the_taker() -> None:
    venue = Venue(BARS, slippage_e8=20_050)  # 0.02005 %
    venue.to(60)
    buy, sell = venue.order("buy", spend_units=50 * 10**8), venue.order("sell", 2 * L)
    venue.to(61)
    assert venue.fills(buy)[0][0] == 100_63  # 100.6202
    assert venue.fills(sell)[0][0] == 100_57  # 100.5798


def test_a_limit_order_that_fills_at_the_open_never_fills_beyond_its_limit() -> None:
    venue = Venue(BARS, slippage_e8=100_000)  # 0.1 %: 100.60 -> 100.7006
    venue.to(60)
    loose, tight = venue.order("buy", 2 * L, 101_00), venue.order("buy", 2 * L, 100_65)
    post_only = venue.order("buy", 2 * L, 101_00, post_only=True)
    venue.to(61)
    assert venue.fills(loose) == [(100_71, 2 * L, False)]
    assert venue.fills(tight) == [(100_65, 2 * L, False)]
    assert venue.report(post_only).state is OrderState.POST_ONLY_CANCELLED


def test_a_resting_order_fills_only_if_a_later_bar_trades_beyond_its_price() -> None:
    venue = Venue(BARS)
    venue.to(10)  # arrives in minute 0, whose low of 99 is ignored
    touched, through, later = [venue.order("buy", 2 * L, price) for price in (98_00, 98_01, 97_00)]
    venue.to(119)
    assert venue.filled(through) == 0  # the fill is known only at the bar's end
    venue.to(120)
    assert (venue.filled(touched), venue.fills(through)) == (0, [(98_01, 2 * L, True)])
    venue.to(240)
    assert venue.filled(touched) == 2 * L
    assert venue.filled(later) == 0


def test_a_resting_order_is_not_filled_by_the_bar_in_which_it_arrives() -> None:
    venue = Venue(BARS, latency={"order_ms": 100})
    venue.to(60)
    buy, sell = venue.order("buy", 2 * L, 99_00), venue.order("sell", 2 * L, 101_50)
    venue.to(239)
    assert [venue.filled(buy), venue.filled(sell)] == [0, 0]  # no fill, even though minute 1 ranged from 98 to 102
    venue.to(240)
    assert [venue.filled(buy), venue.filled(sell)] == [2 * L, 2 * L]


def test_orders_fill_in_chronological_order_up_to_the_bars_total_volume() -> None:
    venue = Venue(BARS)
    venue.to(130)
    first, second = venue.order("buy", 3 * L, 97_50), venue.order("sell", 3 * L, 103_50)
    venue.to(241)
    assert [venue.filled(first), venue.filled(second)] == [3 * L, 1 * L]
    venue.to(301)
    assert venue.filled(second) == 3 * L


def test_within_a_bar_orders_are_filled_chronologically_rather_than_by_side() -> None:
    venue = Venue(BARS)
    venue.to(130)
    first, second = venue.order("sell", 3 * L, 103_50), venue.order("buy", 3 * L, 97_50)
    venue.to(241)
    assert [venue.filled(first), venue.filled(second)] == [3 * L, 1 * L]


def test_no_order_fills_in_an_empty_bar() -> None:
    empty = candles([(0, 100_00, 100_00, 100_00, 100_00, 5 * L), (1, 100_00, 120_00, 80_00, 100_00, 0)])
    venue = Venue(empty)
    venue.to(60)
    resting, market = venue.order("buy", 2 * L, 90_00), venue.order("sell", 2 * L)
    venue.to(1000)
    assert (venue.filled(resting), venue.report(market).state) == (0, OrderState.OPEN)


def test_a_stop_is_triggered_by_the_extreme_of_a_bar_and_executed_after_the_bar() -> None:
    venue = Venue(BARS)
    venue.to(60)
    cid = venue.stop("sell", 2 * L, 90_00, 98_00, "<=")
    venue.to(119)
    assert venue.report(cid).state is OrderState.UNTRIGGERED
    venue.to(120)
    assert venue.report(cid).state is OrderState.OPEN
    venue.to(180)
    assert venue.fills(cid) == [(101_50, 2 * L, False)]


def test_a_stop_is_not_triggered_by_the_bar_in_which_it_arrives() -> None:
    venue = Venue(BARS)
    venue.to(70)
    cid = venue.stop("sell", 2 * L, 90_00, 98_50, "<=")
    venue.to(239)
    assert venue.report(cid).state is OrderState.UNTRIGGERED
    venue.to(240)
    assert venue.fills(cid) == [(103_50, 2 * L, False)]


def test_fills_that_are_large_relative_to_a_bars_volume_are_counted() -> None:
    venue = Venue(BARS)
    venue.to(60)
    venue.order("sell", 5 * L)
    venue.to(61)
    assert venue.kernel.matcher.large_fills == 0
    venue.order("sell", 1 * L)  # fills in minute 3's bar, which has a volume of four
    venue.to(400)
    assert venue.kernel.matcher.large_fills == 1


def test_a_waiting_order_can_be_cancelled() -> None:
    venue = Venue(BARS)
    venue.to(70)
    cid = venue.order("sell", 2 * L)
    venue.to(71)
    venue.cancel(cid)
    venue.to(400)
    assert venue.report(cid).state is OrderState.CANCELLED


def test_our_executions_on_candles_are_not_public_trades() -> None:
    venue = Venue(BARS)
    venue.to(60)
    venue.order("sell", 2 * L)
    venue.to(400)
    assert venue.of(Trade) == []
    assert venue.of(OrderBook) == []


def test_a_mix_of_candles_and_books_is_refused() -> None:
    venue = Venue(BARS)
    with pytest.raises(ValueError, match="already has candles"):
        venue.kernel.load(books([(0, [(1, 1)], [(2, 1)])]))


def test_out_of_order_rows_are_refused() -> None:
    venue = Venue(trades([(5, 100_00, L, 1)]))
    with pytest.raises(ValueError, match="in order of receive time"):
        venue.kernel.load(trades([(4, 100_00, L, 1)]))


# -- trades only ------------------------------------------------------------------------------------------------------

ONLY = [(0, 100_00, 9 * L, 1), (5, 101_00, 2 * L, -1), (6, 100_00, 3 * L, -1), (7, 99_00, 2 * L, -1)]


def test_with_only_trades_a_market_order_fills_completely_at_the_next_trade_plus_slippage() -> None:
    venue = Venue(trades(ONLY), slippage_e8=1_000_000)
    venue.to(1)
    buy, sell = venue.order("buy", spend_units=50 * 10**8), venue.order("sell", 9 * L)
    venue.to(4)
    assert venue.report(buy).state is OrderState.OPEN
    venue.to(5)
    assert venue.fills(buy)[0][0] == 102_01
    assert venue.fills(sell) == [(99_99, 9 * L, False)]


def test_with_only_trades_a_limit_order_better_than_the_last_price_fills_within_its_limit() -> None:
    venue = Venue(trades(ONLY))
    venue.to(1)
    equal, better = venue.order("buy", 4 * L, 100_00), venue.order("buy", 4 * L, 100_50)
    refused = venue.order("buy", 4 * L, 100_50, post_only=True)
    venue.to(20)
    assert venue.fills(better) == [(100_00, 3 * L, False), (99_00, 1 * L, False)]
    assert venue.fills(equal) == [(100_00, 1 * L, True)]
    assert venue.report(refused).state is OrderState.POST_ONLY_CANCELLED


def test_with_only_trades_an_order_fills_at_its_price_only_under_the_optimistic_assumption() -> None:
    for options, expected in (({}, 0), ({"queue": Optimistic()}, 9 * L)):
        venue = Venue(trades(ONLY), **options)
        venue.to(1)
        cid = venue.order("buy", 9 * L, 99_00)
        venue.to(20)
        assert venue.filled(cid) == expected


def test_the_kernel_skips_a_million_irrelevant_rows() -> None:
    rows = trades([(i, 100_00, L, 1) for i in range(3)])
    venue = Venue(rows)
    assert venue.kernel.next_at() is None
    assert venue.kernel.advance(T0 + 10 * S) == []
