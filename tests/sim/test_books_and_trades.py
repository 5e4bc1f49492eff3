"""Every fill assumption on tapes with books and trades."""

from __future__ import annotations

import msgspec
import pytest

from botkit.model.events import OrderBook, OrderReport, Trade, TradeReport
from botkit.model.orders import OrderState, Side
from botkit.sim.fills import Optimistic, Pessimistic
from tests.sim.venue import BTC, LOT, PAIRS, RULES, Venue, books, trades

L = LOT
BIDS = [(100_00, 10 * L), (99_00, 10 * L), (97_00, 10 * L)]
ASKS = [(101_00, 10 * L), (102_00, 10 * L), (104_00, 10 * L)]
QUIET = books([(0, BIDS, ASKS)])


def resting(price: int, lots: int, rows: list[tuple[int, int, int, int]], side: str = "buy", **options: object) -> int:
    """Return how many lots of an order are filled if the order is sent at second 1, before these trades."""
    venue = Venue(QUIET, trades(rows), **options)
    venue.to(1)
    cid = venue.order(side, lots, price)
    venue.to(100)
    return venue.filled(cid)


def test_a_trade_at_the_order_price_first_consumes_the_amount_ahead() -> None:
    assert resting(100_00, 5 * L, [(2, 100_00, 10 * L, -1)]) == 0
    assert resting(100_00, 5 * L, [(2, 100_00, 12 * L, -1)]) == 2 * L
    assert resting(100_00, 5 * L, [(2, 100_00, 9 * L, -1), (3, 100_00, 3 * L, 0)]) == 2 * L


def test_a_trade_by_a_taker_on_the_orders_own_side_does_not_consume_the_queue() -> None:
    assert resting(100_00, 5 * L, [(2, 100_00, 50 * L, 1)]) == 0
    assert resting(101_00, 5 * L, [(2, 101_00, 50 * L, -1)], side="sell") == 0
    assert resting(101_00, 5 * L, [(2, 101_00, 50 * L, 1)], side="sell") == 5 * L


@pytest.mark.parametrize(("side", "better", "at", "taker"), [("buy", 100_60, 100_50, 1), ("sell", 100_40, 100_50, -1)])
def test_a_trade_beyond_one_order_fills_another_at_its_price_only_if_the_taker_side_matches(
    side: str, better: int, at: int, taker: int
) -> None:
    venue = Venue(QUIET, trades([(2, at, 9 * L, taker), (3, at, 1 * L, -taker)]))
    venue.to(1)
    first, second = venue.order(side, 2 * L, better), venue.order(side, 2 * L, at)
    venue.to(2.5)
    assert [venue.filled(first), venue.filled(second)] == [2 * L, 0]
    venue.to(4)
    assert venue.filled(second) == 1 * L


def test_a_trade_beyond_the_price_clears_the_queue_and_fills_its_amount_at_the_order_price() -> None:
    venue = Venue(QUIET, trades([(2, 99_00, 2 * L, -1), (3, 100_00, 1 * L, -1)]))
    venue.to(1)
    cid = venue.order("buy", 5 * L, 100_00)
    venue.to(10)
    assert venue.fills(cid) == [(100_00, 2 * L, True), (100_00, 1 * L, True)]
    assert venue.report(cid).state is OrderState.PARTLY_FILLED


def test_an_order_at_a_better_price_or_between_levels_has_nothing_ahead() -> None:
    assert resting(100_50, 5 * L, [(2, 100_50, 3 * L, -1)]) == 3 * L
    assert resting(98_00, 5 * L, [(2, 98_00, 3 * L, -1)]) == 3 * L


def test_beyond_the_recorded_depth_an_order_queues_behind_the_level_as_first_seen() -> None:
    deeper = [(99_00, 10 * L), (97_00, 10 * L), (96_00, 4 * L)]
    book = books([(0, BIDS, ASKS), (5, deeper, ASKS)])
    for sold, expected in ((4, 0), (6, 2)):
        venue = Venue(book, trades([(2, 96_00, 3 * L, -1), (9, 96_00, sold * L, -1)]))
        venue.to(1)
        cid = venue.order("buy", 5 * L, 96_00)
        venue.to(20)
        assert venue.filled(cid) == expected * L


def test_a_smaller_snapshot_reduces_the_amount_ahead_but_a_larger_one_changes_nothing() -> None:
    less = [(100_00, 1 * L), *BIDS[1:]]
    more = [(100_00, 30 * L), *BIDS[1:]]
    for between, expected in ((less, 4), (more, 0)):
        venue = Venue(books([(0, BIDS, ASKS), (2, between, ASKS), (3, more, ASKS)]), trades([(4, 100_00, 5 * L, -1)]))
        venue.to(1)
        cid = venue.order("buy", 5 * L, 100_00)
        venue.to(20)
        assert venue.filled(cid) == expected * L


def test_an_opposite_best_price_that_reaches_an_order_fills_the_shown_amount_only_once() -> None:
    crossed = [(99_50, 1 * L), (100_00, 2 * L), (101_00, 9 * L)]
    low = [(99_00, 10 * L), (97_00, 10 * L)]
    venue = Venue(books([(0, BIDS, ASKS), (2, low, crossed), (3, low, crossed)]))
    venue.to(1)
    cid = venue.order("buy", 5 * L, 100_00)
    venue.to(20)
    assert venue.fills(cid) == [(100_00, 3 * L, True)]


def test_lots_taken_from_a_level_remain_unavailable_until_the_level_changes() -> None:
    changed = [(101_00, 4 * L), *ASKS[1:]]
    venue = Venue(books([(0, BIDS, ASKS), (2, BIDS, ASKS), (6, BIDS, changed)]))
    venue.to(1)
    first = venue.order("buy", 8 * L, 101_00)
    venue.to(3)
    second = venue.order("buy", 8 * L, 101_00)
    venue.to(5)
    assert venue.fills(first) == [(101_00, 8 * L, False)]
    assert venue.fills(second) == [(101_00, 2 * L, False)]
    venue.to(7)
    # the level has changed, and the remainder of the second order now rests at its price
    assert venue.fills(second)[1:] == [(101_00, 4 * L, True)]


def test_a_level_that_changes_and_then_reverts_is_full_again() -> None:
    venue = Venue(books([(0, BIDS, ASKS), (2, BIDS, [(101_00, 3 * L), *ASKS[1:]]), (3, BIDS, ASKS)]))
    venue.to(1)
    venue.order("buy", 10 * L, 101_00)
    venue.to(4)
    second = venue.order("buy", 10 * L, 101_00)
    venue.to(5)
    assert venue.filled(second) == 10 * L


def test_one_trade_is_allocated_across_accounts_by_price_then_time() -> None:
    venue = Venue(
        QUIET,
        trades([(5, 98_00, 7 * L, -1)]),
        accounts={"ann": {"usdt": 10**14}, "bob": {"usdt": 10**14}},
    )
    venue.to(1)
    late_but_lower = venue.order("buy", 3 * L, 99_00)
    first = venue.order("buy", 3 * L, 99_50, account="bob")
    second = venue.order("buy", 3 * L, 99_50)
    venue.to(10)
    assert [venue.filled(first, "bob"), venue.filled(second), venue.filled(late_but_lower)] == [3 * L, 3 * L, 1 * L]


def test_sells_are_also_prioritized_by_price_then_time() -> None:
    venue = Venue(QUIET, trades([(5, 104_00, 3 * L, 1)]))
    venue.to(1)
    orders = [venue.order("sell", 2 * L, price) for price in (101_00, 100_50, 100_50)]
    venue.to(9)
    assert [venue.filled(cid) for cid in orders] == [0, 2 * L, 1 * L]


def test_under_the_optimistic_assumption_nothing_is_ahead_and_orders_fill_completely() -> None:
    assert resting(100_00, 5 * L, [(2, 100_00, 1, -1)], queue=Optimistic()) == 5 * L
    assert resting(96_00, 5 * L, [(2, 96_00, 1, -1)], queue=Optimistic()) == 5 * L
    assert resting(100_00, 5 * L, [(2, 99_00, 1, -1)], queue=Optimistic()) == 5 * L


def test_under_the_pessimistic_assumption_only_trades_beyond_the_price_fill_an_order() -> None:
    assert resting(100_00, 5 * L, [(2, 100_00, 100 * L, -1)], queue=Pessimistic()) == 0
    assert resting(100_00, 5 * L, [(2, 99_99, 2 * L, -1)], queue=Pessimistic()) == 2 * L
    venue = Venue(books([(0, BIDS, ASKS), (2, BIDS[1:], [(100_00, 9 * L)])]), queue=Pessimistic())
    venue.to(1)
    cid = venue.order("buy", 5 * L, 100_00)
    venue.to(9)
    assert venue.filled(cid) == 0


def test_a_market_order_sweeps_level_after_level_and_its_remainder_is_cancelled() -> None:
    venue = Venue(QUIET)
    venue.to(1)
    cid = venue.order("sell", 35 * L)
    venue.to(2)
    assert venue.fills(cid) == [(100_00, 10 * L, False), (99_00, 10 * L, False), (97_00, 10 * L, False)]
    assert venue.report(cid).state is OrderState.CANCELLED
    empty = venue.order("sell", 35 * L)
    venue.to(3)
    assert venue.report(empty).state is OrderState.CANCELLED


def test_a_market_buy_spends_its_funds_level_by_level_and_returns_the_remainder() -> None:
    venue = Venue(QUIET)
    venue.to(1)
    before = venue.total("usdt")
    cid = venue.order("buy", spend_units=15 * 10**8)
    venue.to(2)
    # 0.1 btc at 101 costs 10.10; the remaining 4.90 buys 0.04803921 at 102 for 4.89999942
    assert venue.fills(cid) == [(101_00, 10_000_000, False), (102_00, 4_803_921, False)]
    assert before - venue.total("usdt") == 1_010_000_000 + 489_999_942
    assert venue.available("usdt") == venue.total("usdt")
    report = venue.report(cid)
    assert (report.state, report.original_lots) == (OrderState.FILLED, 14_803_921)
    # the fee is deducted from the received base coins
    assert venue.total("btc") == 100 * 10**8 + 14_803_921 - 20_000 - 9_608


def test_a_limit_order_sweeps_levels_up_to_its_price_and_its_remainder_rests() -> None:
    venue = Venue(QUIET)
    venue.to(1)
    cid = venue.order("buy", 25 * L, 102_00)
    venue.to(2)
    assert venue.fills(cid) == [(101_00, 10 * L, False), (102_00, 10 * L, False)]
    assert venue.report(cid).state is OrderState.PARTLY_FILLED
    book = venue.kernel.book(BTC, 3)
    assert book.bid_levels[0] == (102_00, 5 * L)
    assert book.ask_levels == ((104_00, 10 * L),)
    assert venue.kernel.book(BTC, 3, own=False).bid_levels[0] == (100_00, 10 * L)


def test_a_post_only_order_that_would_cross_gets_status_six() -> None:
    venue = Venue(QUIET)
    venue.to(1)
    crossing = venue.order("buy", 5 * L, 101_00, post_only=True)
    fine = venue.order("buy", 5 * L, 100_99, post_only=True)
    crossed_by_own = venue.order("sell", 5 * L, 100_99, post_only=True)
    venue.to(2)
    states = [venue.report(c).state for c in (crossing, fine, crossed_by_own)]
    assert states == [OrderState.POST_ONLY_CANCELLED, OrderState.OPEN, OrderState.POST_ONLY_CANCELLED]
    assert venue.available("btc") == venue.total("btc")


def test_accounts_match_each_others_orders_at_or_better_than_the_recorded_price() -> None:
    venue = Venue(QUIET, accounts={"ann": {"btc": 10**12}, "bob": {"usdt": 10**14}})
    venue.to(1)
    better = venue.order("sell", 2 * L, 100_50)
    level = venue.order("sell", 4 * L, 101_00)
    venue.to(2)
    taker = venue.order("buy", 30 * L, 101_00, account="bob")
    venue.to(3)
    assert venue.fills(better) == [(100_50, 2 * L, True)]
    assert venue.fills(level) == [(101_00, 4 * L, True)]
    # the ten recorded lots were in the book before the second order
    assert venue.fills(taker, "bob") == [(100_50, 2 * L, False), (101_00, 10 * L, False), (101_00, 4 * L, False)]
    ids = [t.trade_id for t in venue.kernel.trades("ann")]
    assert ids == [t.trade_id for t in venue.kernel.trades("bob") if t.lots != 10 * L]


def test_an_amount_added_to_a_level_after_an_order_arrives_queues_behind_the_order() -> None:
    grown = [(101_00, 20 * L), *ASKS[1:]]
    venue = Venue(
        books([(0, BIDS, ASKS), (3, BIDS, grown)]), accounts={"ann": {"btc": 10**12}, "bob": {"usdt": 10**14}}
    )
    venue.to(1)
    cid = venue.order("sell", 4 * L, 101_00)
    venue.to(4)
    taker = venue.order("buy", 15 * L, 101_00, account="bob")
    venue.to(5)
    assert venue.fills(cid) == [(101_00, 4 * L, True)]
    assert [lots for _, lots, _ in venue.fills(taker, "bob")] == [10 * L, 4 * L, 1 * L]


def test_an_order_does_not_queue_behind_lots_that_we_have_already_taken() -> None:
    venue = Venue(QUIET, trades([(5, 100_00, 9 * L, -1)]))
    venue.to(1)
    venue.order("sell", 7 * L)
    cid = venue.order("buy", 8 * L, 100_00)
    venue.to(9)
    assert venue.filled(cid) == 6 * L


def test_our_taker_orders_reduce_the_queue_ahead_of_a_resting_order() -> None:
    venue = Venue(QUIET, trades([(5, 101_00, 5 * L, 1)]), accounts={"ann": {"btc": 10**12}, "bob": {"usdt": 10**14}})
    venue.to(1)
    cid = venue.order("sell", 4 * L, 101_00)
    venue.order("buy", 8 * L, 101_00, account="bob")
    venue.to(9)
    assert venue.filled(cid) == 3 * L


def test_our_taker_executions_are_public_trades_and_set_the_last_price() -> None:
    venue = Venue(QUIET, trades([(0, 100_50, L, 1), (8, 100_20, L, 1)]))
    venue.to(1)
    assert venue.kernel.last_price(BTC) == 100_50
    venue.order("buy", 12 * L, 102_00)
    venue.to(2)
    prints = venue.of(Trade)
    assert [(t.price, t.amount, t.side) for t in prints] == [(101.0, 0.1, Side.BUY), (102.0, 0.02, Side.BUY)]
    assert venue.kernel.last_price(BTC) == 102_00
    venue.to(9)
    assert venue.kernel.last_price(BTC) == 100_20


def test_an_order_matches_only_rows_that_follow_the_row_to_which_it_reacts() -> None:
    venue = Venue(QUIET, trades([(2, 99_00, 5 * L, -1), (2, 99_00, 5 * L, -1), (3, 99_00, 1 * L, -1)]))
    venue.to(2)
    cid = venue.order("buy", 8 * L, 100_00)
    venue.to(10)
    assert venue.filled(cid) == 1 * L


def test_a_stop_is_triggered_by_the_last_trade_and_becomes_a_limit_order() -> None:
    venue = Venue(QUIET, trades([(0, 100_50, L, 1), (5, 102_00, L, 1), (6, 103_00, L, 1)]))
    venue.to(1)
    locked = venue.available("usdt")
    cid = venue.stop("buy", 9 * L, 104_00, 103_00, ">=")
    venue.to(5.5)
    report = venue.report(cid)
    assert (report.state, report.order_id[:3]) == (OrderState.UNTRIGGERED, "SL-")
    assert locked - venue.available("usdt") == 9_36000000  # funds for untriggered stops are locked
    venue.to(7)
    # the trade at 103 triggers the stop, and proves that the asks at 101 and 102 are gone
    assert venue.fills(cid) == [(104_00, 9 * L, False)]
    assert venue.report(cid).state is OrderState.FILLED


def test_a_stop_whose_condition_is_met_on_arrival_triggers_immediately() -> None:
    venue = Venue(QUIET, trades([(0, 100_50, L, 1)]))
    venue.to(1)
    cid = venue.stop("sell", 2 * L, 100_00, 101_00, "<=")
    venue.to(1)
    assert venue.fills(cid) == [(100_00, 2 * L, False)]


def test_our_own_executions_also_trigger_stops() -> None:
    venue = Venue(QUIET, trades([(0, 100_50, L, 1)]))
    venue.to(1)
    stop = venue.stop("sell", 2 * L, 90_00, 100_00, "<=")
    venue.order("sell", 1 * L)
    venue.to(2)
    assert venue.fills(stop) == [(100_00, 2 * L, False)]


def test_cancelling_after_a_partial_fill_releases_the_remaining_funds() -> None:
    venue = Venue(QUIET, trades([(2, 99_00, 2 * L, -1), (5, 99_00, 9 * L, -1)]))
    venue.to(1)
    cid = venue.order("buy", 5 * L, 100_00)
    venue.to(3)
    venue.cancel(cid)
    venue.to(9)
    report = venue.report(cid)
    assert (report.state, report.executed_lots) == (OrderState.CANCELLED, 2 * L)
    assert venue.available("usdt") == venue.total("usdt")


def test_one_event_publishes_one_answer_one_balance_report_all_trades_and_one_report_per_order() -> None:
    venue = Venue(QUIET)
    venue.to(1)
    venue.order("buy", 25 * L, 102_00)
    kinds = [type(p.event).__name__ for p in venue.to(1)]
    assert kinds == ["Answer", "TradeReport", "TradeReport", "OrderReport", "BalanceReport", "Trade", "Trade"]


@pytest.mark.parametrize("chunk", [1, 2, 7])
def test_fills_do_not_depend_on_chunk_size_or_time_steps(chunk: int) -> None:
    rows = [(i, 99_00 + (i * 37) % 200, (1 + i % 5) * L, (-1, 1, 0)[i % 3]) for i in range(60)]
    snaps = [
        (i, [(99_50 - i % 3 * 10, (1 + i % 4) * L), (98_00, 9 * L)], [(101_00 - i % 5 * 40, 3 * L), (103_00, 4 * L)])
        for i in range(60)
    ]

    def run(size: int) -> tuple[list[OrderReport], list[TradeReport]]:
        venue = Venue(pairs=PAIRS | {"btc_usdt": BTC.with_rules(msgspec.structs.replace(RULES, open_orders_max=200))})
        loaded = 0
        for second in range(60):
            while loaded < min(second + size + 1, 60):
                venue.kernel.load(trades(rows[loaded : loaded + size]))
                venue.kernel.load(books(snaps[loaded : loaded + size]))
                loaded += size
            venue.to(second)
            if second % 7 == 3:
                venue.order("buy", 6 * L, 99_00 + second)
                venue.order("sell", 6 * L, 100_60 - second)
            if second % 11 == 10:
                cid = venue.order("sell", 3 * L, 102_00)
                venue.to(second)
                venue.cancel(cid)
            if len(venue.kernel.orders("ann")) % 9 == 8:
                venue.order("buy", spend_units=8 * 10**8)
        venue.to(70)
        return venue.kernel.orders("ann"), venue.kernel.trades("ann")

    assert run(chunk) == run(60)


def test_an_order_placed_before_the_first_known_trade_is_filled_by_that_trade() -> None:
    venue = Venue(QUIET)
    venue.to(1)
    cid = venue.order("buy", 2 * L, 100_50)
    venue.to(2)
    venue.kernel.load(trades([(3, 100_50, 2 * L, -1)]))
    venue.to(4)
    assert venue.report(cid).state is OrderState.FILLED


# -- trades since the snapshot ---------------------------------------------------------------------------------------


def taker(side: str, lots: int, price: int, rows: list[tuple[int, int, int, int]]) -> list[tuple[int, int, bool]]:
    """Return the fills of an order sent at second 5, after these trades on a book from second 0."""
    venue = Venue(QUIET, trades(rows))
    venue.to(5)
    cid = venue.order(side, lots, price)
    venue.to(6)
    return venue.fills(cid)


def test_a_level_is_no_longer_available_to_takers_after_a_trade_beyond_it() -> None:
    bought = [(2, 102_00, 1 * L, 1)]
    assert taker("buy", 12 * L, 104_00, bought) == [(102_00, 9 * L, False), (104_00, 3 * L, False)]
    assert taker("buy", 12 * L, 101_00, bought) == []
    assert taker("sell", 12 * L, 97_00, [(2, 99_00, 1 * L, -1)]) == [(99_00, 9 * L, False), (97_00, 3 * L, False)]


def test_trades_at_a_level_reduce_its_remaining_amount() -> None:
    rows = [(1, 101_00, 4 * L, 1), (2, 101_00, 3 * L, 1)]
    assert taker("buy", 5 * L, 102_00, rows) == [(101_00, 3 * L, False), (102_00, 2 * L, False)]
    assert taker("buy", 5 * L, 102_00, [*rows, (3, 101_00, 9 * L, 1)]) == [(102_00, 5 * L, False)]


def test_a_trade_reduces_only_the_side_that_its_taker_hit_or_both_sides_if_the_taker_side_is_unknown() -> None:
    assert taker("buy", 5 * L, 102_00, [(1, 101_00, 8 * L, -1)]) == [(101_00, 5 * L, False)]
    assert taker("buy", 5 * L, 102_00, [(1, 101_00, 8 * L, 0)]) == [(101_00, 2 * L, False), (102_00, 3 * L, False)]
    assert taker("sell", 5 * L, 99_00, [(1, 100_00, 8 * L, 0)]) == [(100_00, 2 * L, False), (99_00, 3 * L, False)]


def test_a_later_snapshot_restores_the_amounts_that_it_shows() -> None:
    venue = Venue(books([(0, BIDS, ASKS), (3, BIDS, ASKS)]), trades([(2, 102_00, 1 * L, 1), (3, 101_00, 1 * L, 1)]))
    venue.to(5)
    cid = venue.order("buy", 12 * L, 102_00)
    venue.to(6)
    # the book is processed before trades with an equal timestamp, so the simultaneous trade counts and the earlier
    # trade does not
    assert venue.fills(cid) == [(101_00, 9 * L, False), (102_00, 3 * L, False)]


def test_trades_and_our_taker_fills_both_reduce_a_level_and_our_fills_persist_across_snapshots() -> None:
    venue = Venue(books([(0, BIDS, ASKS), (5, BIDS, ASKS)]), trades([(1, 101_00, 2 * L, 1), (3, 101_00, 4 * L, 1)]))
    venue.to(2)
    first = venue.order("buy", 3 * L, 101_00)
    venue.to(4)
    second = venue.order("buy", 8 * L, 101_00)
    venue.to(4.5)
    assert venue.fills(first) == [(101_00, 3 * L, False)]
    assert venue.fills(second) == [(101_00, 1 * L, False)]
    venue.to(6)
    # the snapshot shows 10 again, of which our orders have already taken four
    assert venue.filled(second) == 1 * L + 6 * L


def test_a_triggered_stop_matches_against_the_levels_that_remain_after_the_triggering_trade() -> None:
    rows = [(2, 97_00, 4 * L, -1), (2, 96_00, 1 * L, -1)]
    venue = Venue(QUIET, trades(rows))
    venue.to(1)
    stop = venue.stop("sell", 3 * L, 90_00, 99_00, "<=")
    venue.to(1.5)
    venue.to(3)
    # the first trade triggers the stop: 100 and 99 are gone, and 6 are left at 97; the second trade is processed later
    assert venue.fills(stop) == [(97_00, 3 * L, False)]


def test_a_post_only_order_is_cancelled_only_if_it_would_match_a_remaining_level() -> None:
    venue = Venue(QUIET, trades([(2, 102_00, 1 * L, 1)]))
    venue.to(5)
    passed, met = (venue.order("buy", 1 * L, price, post_only=True) for price in (101_00, 102_00))
    venue.to(6)
    assert [venue.report(passed).state, venue.report(met).state] == [OrderState.OPEN, OrderState.POST_ONLY_CANCELLED]


def test_trades_still_reduce_levels_after_the_next_chunk_has_replaced_their_rows() -> None:
    venue = Venue(QUIET, trades([(1, 102_00, 4 * L, 1), (2, 102_00, 2 * L, 1)]))
    venue.to(3)
    venue.kernel.load(trades([(4, 100_00, 1 * L, -1), (5, 100_00, 1 * L, -1)]))
    venue.to(6)
    venue.kernel.load(trades([(8, 100_00, 1 * L, -1)]))
    venue.to(7)
    cid = venue.order("buy", 5 * L, 102_00)
    venue.to(7.5)
    assert venue.fills(cid) == [(102_00, 4 * L, False)]


# -- our orders in the published book --------------------------------------------------------------------------------


def shown(venue: Venue) -> list[tuple[list[int], list[int]]]:
    return [
        ([ticks for ticks, _ in book.bid_levels], [ticks for ticks, _ in book.ask_levels])
        for book in venue.of(OrderBook)
    ]


@pytest.mark.parametrize(("side", "price"), [("buy", 100_00), ("sell", 101_00)])
def test_an_order_reached_by_the_opposite_side_is_omitted_from_the_published_book(side: str, price: int) -> None:
    down = ([(98_00, L), (97_00, L)], [(99_00, L), (100_00, L)])
    up = ([(103_00, L), (102_00, L)], [(104_00, L), (105_00, L)])
    bids, asks = down if side == "buy" else up
    # under the pessimistic assumption, the order is not filled until a trade occurs beyond its price
    venue = Venue(books([(0, BIDS, ASKS), (3, bids, asks), (6, BIDS, ASKS)]), queue=Pessimistic())
    venue.kernel.publish_books(BTC, 2)
    venue.to(1)
    cid = venue.order(side, 5 * L, price)
    venue.to(4)
    assert venue.filled(cid) == 0
    prices = ([ticks for ticks, _ in bids], [ticks for ticks, _ in asks])
    assert shown(venue)[-1] == prices
    assert venue.kernel.book(BTC, 2).best_bid < venue.kernel.book(BTC, 2).best_ask
    venue.to(9)
    own = venue.of(OrderBook)[-1].bid_levels if side == "buy" else venue.of(OrderBook)[-1].ask_levels
    assert own[0] == (price, 15 * L)  # the order is in the book again


def test_an_order_does_not_take_from_a_stale_book() -> None:
    venue = Venue(books([(0, BIDS, ASKS), (900, BIDS, ASKS)]), max_book_age_s=300)
    venue.to(300)
    fresh = venue.order("sell", L)
    venue.to(301)
    old, resting = venue.order("sell", L), venue.order("sell", L, 99_00)
    venue.to(400)
    assert [venue.filled(cid) for cid in (fresh, old, resting)] == [L, 0, 0]
    assert [venue.report(cid).state for cid in (old, resting)] == [OrderState.CANCELLED, OrderState.OPEN]
    assert "more than 300 s ago" in " ".join(venue.kernel.assumptions())
    venue.to(901)
    # the next book shows a bid above the order's price
    assert venue.fills(resting) == [(99_00, L, True)]
