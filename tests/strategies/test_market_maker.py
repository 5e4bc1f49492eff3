"""market_maker keeps two post-only quotes around the mid price, skewed by the inventory."""

from __future__ import annotations

import pytest

from tests.strategy_world import Levels, Outcome, World

PARAMS = {
    "pair": "btc_usdt", "amount": 0.01, "spread_bps": 20, "skew_bps": 10, "inventory": 0.02, "tolerance_bps": 0.1,
}  # fmt: skip
MONEY = {"usdt": 10_000, "btc": 0.1}
Book = tuple[float, Levels, Levels]


def book(second: float, mid: float, half: float = 100.0) -> Book:
    """Build a wide market that leaves room for the maker's quotes between the best prices."""
    return (second, [(mid - half, 1.0)], [(mid + half, 1.0)])


def run(world: World, books: list[Book], trades: list[tuple[float, float, float, int]], **params: object) -> Outcome:
    last = max(books[-1][0], trades[-1][0] if trades else 0)
    # one distant trade at the start and one at the end, because a tape with only books has no last price
    edges = [(0.0, 50_000.0, 0.001, 1), *trades, (last + 1, 50_000.0, 0.001, 1)]
    world.tape({"btc_usdt": books}, {"btc_usdt": edges})
    return world.run("market_maker", {**PARAMS, **params}, balances=MONEY)


def quotes(out: Outcome) -> list[tuple[str, float, float]]:
    return [(o.spec.side.value, o.spec.price_ticks / 100, o.spec.amount_lots / 10**8) for o in out.orders]


def test_quotes_both_sides_around_the_mid_price_post_only(world: World) -> None:
    out = run(world, [book(t, 50_000.0) for t in range(10)], [])
    # the quotes are placed once and then left unchanged
    assert quotes(out) == [("buy", 49_950.0, 0.01), ("sell", 50_050.0, 0.01)]
    assert all(order.spec.post_only for order in out.orders)


def test_does_not_follow_its_own_quotes(world: World) -> None:
    # If the strategy treated its own quotes as part of the market, the asymmetric book would pull the mid price toward
    # them.
    lopsided = [(float(t), [(49_800.0, 1.0)], [(50_400.0, 1.0)]) for t in range(10)]
    out = run(world, lopsided, [])
    assert quotes(out) == [("buy", 50_049.9, 0.01), ("sell", 50_150.1, 0.01)]


def test_quotes_follow_the_market_and_stay_within_the_tolerance(world: World) -> None:
    books = [book(0, 50_000.0), book(1, 50_000.0), book(5, 50_004.0), book(10, 50_100.0), book(15, 50_100.0)]
    out = run(world, books, [], tolerance_bps=2)
    assert [price for _, price, _ in quotes(out)] == [49_950.0, 50_050.0, 50_049.9, 50_150.1]
    assert [order.state for order in out.orders][:2] == ["cancelled", "cancelled"]


def test_quotes_move_down_after_a_buy_fill_and_both_fills_earn_the_spread_as_maker(world: World) -> None:
    books = [book(t, 50_000.0) for t in range(20)]
    out = run(world, books, [(5.5, 49_950.0, 0.01, -1), (10.5, 50_030.0, 0.01, 1)])
    assert [(deal.side, deal.price) for deal in out.fills] == [
        ("buy", 49_950.0),
        ("sell", pytest.approx(50_025, abs=1)),
    ]
    assert all(row.is_maker for row in out.result.fills)
    # the new quotes are sent as soon as the strategy receives the fill
    assert out.orders[2].spec.created == out.result.fills[0].time + 100 * 10**6
    assert out.orders[2].spec.price_ticks < out.orders[0].spec.price_ticks
    # after buying 0.01, half of the maximum inventory is used: both quotes move down by half of the skew, 5 bp
    moved = quotes(out)[2:4]
    assert moved[0] == ("buy", pytest.approx(49_975 * 0.999, abs=0.05), 0.01)
    assert moved[1] == ("sell", pytest.approx(49_975 * 1.001, abs=0.05), 0.01)


def test_inventory_has_an_upper_and_a_lower_limit(world: World) -> None:
    books = [book(t, 50_000.0) for t in range(60)]
    falling = run(world, books, [(t + 0.5, 49_800.0, 1.0, -1) for t in range(3, 50, 3)])
    assert falling.position("btc_usdt") == pytest.approx(0.12, abs=2e-4)
    assert "inventory is at its upper limit" in falling.skips
    other = World(world.folder / "other")
    other.folder.mkdir()
    rising = run(other, books, [(t + 0.5, 50_200.0, 1.0, 1) for t in range(3, 50, 3)])
    assert rising.position("btc_usdt") == pytest.approx(0.08, abs=2e-4)
    assert "inventory is at its lower limit" in rising.skips


def test_cancels_its_quotes_when_a_side_of_the_book_is_empty(world: World) -> None:
    books: list[Book] = [book(0, 50_000.0), book(1, 50_000.0), (5.0, [(49_900.0, 1.0)], []), book(20, 50_000.0)]
    out = run(world, books, [])
    assert "one side of the book is empty" in out.skips
    assert [order.state for order in out.orders[:2]] == ["cancelled", "cancelled"]
    assert len(out.orders) == 4  # the strategy quotes again when the book returns


def test_cancels_its_quotes_when_the_book_is_too_old(world: World) -> None:
    out = run(world, [book(0, 50_000.0), book(1, 50_000.0), book(90, 50_000.0)], [], max_age_s=30)
    assert "the book is too old to quote on" in out.skips
    cancelled = [order for order in out.orders if order.state == "cancelled"][:2]
    assert all(30 <= (order.updated - out.result.start) / 1e9 <= 40 for order in cancelled)


def test_quotes_no_more_than_its_cash_and_coins_allow(world: World) -> None:
    world.tape(
        {"btc_usdt": [book(t, 50_000.0) for t in range(5)]},
        {"btc_usdt": [(0.0, 50_000.0, 0.001, 1), (6.0, 50_000.0, 0.001, 1)]},
    )
    out = world.run("market_maker", PARAMS, balances={"usdt": 250})
    assert quotes(out) == [("buy", 49_950.0, pytest.approx(0.005005, abs=1e-5))]
    assert "too little to offer" in out.skips
    assert not out.refusals
