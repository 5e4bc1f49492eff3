"""Time at the simulated exchange: latency, the order in which events become known, books, and rate limits."""

from __future__ import annotations

import numpy as np
import pytest

from botkit.errors import ConfigError
from botkit.model.columns import TradeColumns
from botkit.model.events import BalanceReport, OrderBook, OrderReport, Trade
from botkit.model.limits import EndpointLimit, LimitTable, Scope, WindowLimit
from botkit.model.requests import Answer, Ending, GetBalances
from botkit.sim.latency import Constant, Lognormal
from tests.sim.venue import BTC, BTC_TWD, LOT, RICH, T0, S, Venue, books, singly, trades

L = LOT
BIDS, ASKS = [(100_00, 10 * L)], [(101_00, 10 * L)]
QUIET = books([(0, BIDS, ASKS)])


def test_an_order_arrives_after_order_and_feed_latency_and_its_answer_after_answer_latency() -> None:
    venue = Venue(QUIET, latency={"order_ms": 100, "answer_ms": 70, "feed_ms": 30})
    venue.to(1)
    venue.order("sell", L)
    assert venue.kernel.next_at() == T0 + S + 130_000_000
    seen = venue.to(2)
    assert {p.at - T0 - S for p in seen if p.account} == {200_000_000}
    # the public trade is visible to all accounts immediately
    assert {p.at - T0 - S for p in seen if not p.account} == {130_000_000}


def test_a_cancel_that_arrives_after_the_fill_is_refused() -> None:
    venue = Venue(QUIET, trades([(5, 99_00, 99 * L, -1)]), latency={"order_ms": 900})
    venue.to(1)
    cid = venue.order("buy", L, 100_00)
    venue.to(4.5)
    venue.cancel(cid)
    venue.to(9)
    assert venue.answers()[-1].outcome is Ending.REFUSED
    assert venue.filled(cid) == L


def test_events_for_an_account_never_overtake_earlier_events() -> None:
    venue = Venue(QUIET, seed=3, latency=Lognormal({"order_ms": 1, "answer_ms": 200, "sigma": 1.5}, 5))
    venue.to(1)
    for _ in range(30):
        venue.order("sell", L)
        venue.to((venue.now - T0) / S + 0.01)
    venue.to(60)
    ids = [a.request_id for a in venue.answers()]
    arrived = [row.client_id for row in venue.kernel.orders("ann")]
    assert ids == [1000 + cid for cid in arrived if cid]
    assert [p.at for p in venue.seen] == sorted(p.at for p in venue.seen)


def test_latency_draws_depend_only_on_the_key() -> None:
    one, other = Lognormal({"order_ms": 100}, 7), Lognormal({"order_ms": 100}, 7)
    forwards = [one.order_ns(key) for key in range(200)]
    assert forwards == [other.order_ns(key) for key in reversed(range(200))][::-1]
    assert forwards != [Lognormal({"order_ms": 100}, 8).order_ns(key) for key in range(200)]
    assert 80e6 < np.median(forwards) < 125e6
    assert 0.35 < np.std(np.log(forwards)) < 0.65


@pytest.mark.parametrize("options", [{"order_ms": -1}, {"order_ms": "soon"}, {"ordr_ms": 1}])
def test_invalid_latency_options_raise_configuration_errors(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="latency"):
        Constant(options)


# -- books ------------------------------------------------------------------------------------------------------------


def test_book_amounts_are_exact_in_the_first_published_frame_and_rounded_afterward() -> None:
    odd = [(100_00, 123_456_789)]
    half = [(100_00, 97_067)]
    venue = Venue(books([(0, odd, ASKS), (2, half, ASKS), (3, half, ASKS)]))
    venue.kernel.publish_books(BTC, 5)
    venue.to(10)
    frames = [(p.at - T0, p.event.bid_levels) for p in venue.seen]
    assert frames == [(0, ((100_00, 123_456_789),)), (2 * S, ((100_00, 100_000),))]


def test_books_are_throttled_and_show_the_newest_state() -> None:
    rows = [(i, [(100_00 - i, 10 * L)], ASKS) for i in range(4)]
    venue = Venue(books(rows), book_cadence_ms=2500)
    venue.kernel.publish_books(BTC, 5)
    venue.to(10)
    assert [(p.at - T0, p.event.best_bid) for p in venue.seen] == [(0, 100.0), (2_500_000_000, 99.98), (5 * S, 99.97)]


def test_books_recorded_from_the_wire_keep_their_receive_times() -> None:
    rows = [(i, [(100_00 - i, 10 * L)], ASKS) for i in range(4)]
    venue = Venue(books(rows), book_cadence_ms=2500)
    venue.kernel.publish_books(BTC, 5, is_wire=True)
    venue.to(3.2)
    assert [(p.at - T0, p.event.best_bid) for p in venue.seen] == [(i * S, 100.0 - i / 100) for i in range(4)]
    # an intermediate change caused by our own order is published at the next regular time, as on the stream
    venue.order("buy", 2 * L, 100_50)
    venue.to(9)
    book = venue.of(OrderBook)[-1]
    assert book.best_bid == 100.5
    assert venue.seen[-1].at == T0 + 3 * S + 2_500_000_000


def test_a_book_that_differs_only_by_rounding_is_not_published_again() -> None:
    odd = [(100_00, 10 * L + 3)]  # exact in the first frame; later frames round this amount to four decimals
    venue = Venue(books([(0, odd, ASKS), (3, odd, ASKS), (6, [(99_00, 10 * L + 3)], ASKS)]))
    venue.kernel.publish_books(BTC, 5)
    venue.to(9)
    assert [(p.at - T0, p.event.bid_levels) for p in venue.seen] == [(0, tuple(odd)), (6 * S, ((99_00, 10 * L),))]


def test_the_published_book_reflects_our_resting_orders_and_taker_fills() -> None:
    venue = Venue(QUIET, latency={"order_ms": 10})
    venue.kernel.publish_books(BTC, 5)
    venue.to(3)
    venue.order("buy", 2 * L, 100_50)
    venue.order("sell", 3 * L)
    venue.to(5)
    first, second = venue.of(OrderBook)
    assert first.bid_levels == ((100_00, 10 * L),)
    # the market sell matched our own bid first, then the recorded bid
    assert second.bid_levels == ((100_00, 9 * L),)
    assert second.time == T0 + 3 * S + 10_000_000


def matches(venue: Venue, seconds: float) -> list[list[str]]:
    """Return the publications to the account up to this second, each as a list of event names."""
    told = venue.kernel.advance(T0 + round(seconds * S))
    return [[type(event).__name__ for event in p.events] for p in told if p.account is not None]


def test_all_parts_of_a_match_and_their_effects_form_one_publication() -> None:
    deep = [(100_00 - i * 100, L) for i in range(3)]
    burst = [(5, 100_00, L, -1), (5, 100_00, 2 * L, -1), (5, 99_00, 4 * L, -1), (6, 99_00, L, -1)]
    venue = Venue(books([(0, deep, ASKS)]), trades(burst), latency={"answer_ms": 10})
    venue.to(1)
    venue.order("sell", 3 * L)
    # a taker order fills at three levels
    assert matches(venue, 2) == [["Answer"], ["TradeReport"] * 3 + ["OrderReport", "BalanceReport"]]
    venue.now = T0 + 2 * S
    first, second = venue.order("buy", 3 * L, 100_50), venue.order("buy", 3 * L, 100_50)
    venue.to(4)
    venue.seen.clear()
    # an order that takes from the recorded market partially fills both resting orders, and completes the first
    (parts,) = [p for p in venue.kernel.advance(T0 + 5 * S + S // 2) if p.account is not None]
    names = [type(event).__name__ for event in parts.events]
    assert names == ["TradeReport"] * 3 + ["OrderReport"] * 2 + ["BalanceReport"]
    states = {event.client_id: event.executed_lots for event in parts.events if isinstance(event, OrderReport)}
    assert states == {first: 3 * L, second: 3 * L}
    balances = parts.events[-1]
    assert isinstance(balances, BalanceReport)
    assert balances.balances == {
        name: venue.kernel.account("ann").balances().balances[name] for name in ("btc", "usdt")
    }


def test_published_depth_is_limited_and_can_be_increased() -> None:
    deep = [(100_00 - i, 10 * L) for i in range(3)]
    venue = Venue(books([(0, deep, ASKS)]))
    venue.kernel.publish_books(BTC, 1)
    venue.to(1)
    venue.kernel.publish_books(BTC, 2)
    venue.to(3)
    assert [len(book.bid_levels) for book in venue.of(OrderBook)] == [1, 2]


def test_simultaneous_events_are_ordered_by_kind_then_pair() -> None:
    both = [books([(0, BIDS, ASKS), (3, BIDS, [(101_00, 9 * L)])], pair) for pair in (BTC, BTC_TWD)]
    venue = Venue(*both, accounts={"ann": RICH})
    for pair in (BTC, BTC_TWD):
        venue.kernel.publish_books(pair, 5)
    venue.to(3)
    venue.seen.clear()
    venue.order("sell", L, pair=BTC)
    venue.order("sell", L, pair=BTC_TWD)
    venue.to(4)
    now = [p.event for p in venue.seen if p.at == T0 + 3 * S]
    assert [type(e).__name__ for e in now] == (["Answer", "TradeReport", "OrderReport", "BalanceReport"] * 2) + [
        "Trade"
    ] * 2
    assert [e.pair for e in now if isinstance(e, Trade)] == [BTC_TWD, BTC]
    later = [p.event for p in venue.seen if p.at > T0 + 3 * S]
    assert [type(e).__name__ for e in later] == ["OrderBook", "OrderBook"]


# -- rate limits ------------------------------------------------------------------------------------------------------


def table(requests: int, *scopes: Scope) -> LimitTable:
    windows = tuple(WindowLimit(requests, 1, scope) for scope in scopes)
    entry = EndpointLimit(endpoint="balance", method="GET", path="/", private=True, pool="private", windows=windows)
    return LimitTable({"balance": entry})


def test_a_request_over_the_limit_receives_a_429_answer_and_refused_requests_are_counted() -> None:
    venue = Venue(limits=table(2, Scope.ACCOUNT))
    for tenths in range(0, 15, 3):  # 0, 0.3, 0.6 (full), 0.9 (full), 1.2 (0.3 and 0.6 still count)
        venue.to(tenths / 10)
        venue.send(GetBalances(id=tenths))
    venue.to(1.85)  # 0.9 and 1.2 still count
    venue.send(GetBalances(id=98))
    venue.to(3)
    venue.send(GetBalances(id=99))
    venue.to(4)
    outcomes = [a.outcome is Ending.OK for a in venue.answers()]
    assert outcomes == [True, True, False, False, False, False, True]
    assert [(a.status, a.text) for a in venue.answers()][2] == (429, "Too Many Requests")
    assert venue.kernel.limits.refused == 4
    count = venue.kernel.limits.counts["balance"]
    assert (count.arrivals, count.refusals, count.busiest) == (7, 4, 4)


def test_accounts_share_ip_address_windows_but_not_account_windows() -> None:
    for scope, refused in ((Scope.IP, 1), (Scope.ACCOUNT, 0)):
        venue = Venue(limits=table(1, scope), accounts={"ann": RICH, "bob": RICH})
        venue.send(GetBalances(id=1), "ann")
        venue.send(GetBalances(id=2), "bob")
        venue.to(1)
        assert venue.kernel.limits.refused == refused


# -- speed ------------------------------------------------------------------------------------------------------------


def test_the_search_finds_an_order_many_windows_and_checkpoints_away() -> None:
    rows = 300_000
    received = T0 + np.arange(rows, dtype=np.int64) * 1_000_000
    ticks = np.full(rows, 100_00)
    ticks[-3] = 50_00
    venue = Venue(TradeColumns(BTC, received, received, ticks, np.full(rows, L), np.ones(rows, dtype=np.int8)))
    venue.to(0.5)
    cid = venue.order("buy", L, 60_00)
    asked = 0
    while (at := venue.kernel.next_at()) is not None:
        venue.kernel.advance(at)
        asked += 1
    assert venue.filled(cid) == L
    assert venue.kernel.trades("ann")[0].time == int(received[-3])
    assert asked < 20


def test_assumptions_are_complete_sentences() -> None:
    venue = Venue(QUIET)
    sentences = venue.kernel.assumptions()
    assert len(sentences) == len(set(sentences)) > 5
    assert all(text.endswith(".") for text in sentences)


def test_answers_contain_the_id_of_their_request() -> None:
    venue = Venue(QUIET)
    venue.send(GetBalances(id=77))
    venue.to(1)
    assert [(p.account, p.event.request_id) for p in venue.seen if isinstance(p.event, Answer)] == [("ann", 77)]


def test_advancing_to_news_stops_at_each_time_when_an_event_becomes_known() -> None:
    def venue() -> Venue:
        rows = [(second, 1_000_00, LOT, 1) for second in range(1, 40)]
        v = Venue(trades(rows), latency={"order_ms": 700, "answer_ms": 1_300})
        v.order("buy", LOT, 990_00)
        v.now += 3 * S
        v.order("buy", LOT, 980_00)
        return v

    stepped, jumped = venue(), venue()
    known = stepped.to(30)
    found = []
    while news := jumped.kernel.advance(T0 + 30 * S, to_news=True):
        assert len({publication.at for publication in news}) == 1
        assert jumped.kernel.now == news[0].at, "the rest is still to come"
        found += singly(news)
    assert [(p.at, type(p.event)) for p in found] == [(p.at, type(p.event)) for p in known]
    assert known
