"""triangular trades profitable loops in both directions, and reports any coins left over from a leg."""

from __future__ import annotations

import pytest

from botkit import ConfigError
from tests.strategy_world import Levels, Outcome, World

PARAMS = {"pairs": ["btc_twd", "btc_usdt", "usdt_twd"], "spend": 100_000, "least_profit_bps": 10}
MONEY = {"twd": 1_000_000}
# at 80,000 USDT and 31.25 TWD, bitcoin is worth 2,500,000 TWD
FAIR = {"btc_twd": 2_500_000.0, "btc_usdt": 80_000.0, "usdt_twd": 31.25}
SIZE = {"btc_twd": 1.0, "btc_usdt": 1.0, "usdt_twd": 50_000.0}
Books = dict[str, list[tuple[float, Levels, Levels]]]


def books(seconds: int = 60) -> Books:
    """Return consistent books with a spread of 2 bp, one per second."""
    return {
        pair: [
            (float(t), [(price * 0.9999, SIZE[pair])], [(price * 1.0001, SIZE[pair])]) for t in range(seconds)
        ]
        for pair, price in FAIR.items()
    }  # fmt: skip


def move(market: Books, pair: str, since: int, until: int, factor: float, size: float | None = None) -> Books:
    """Return the books with one pair's prices shifted for some seconds."""
    price, amount = FAIR[pair] * factor, SIZE[pair] if size is None else size
    market[pair][since:until] = [
        (float(t), [(price * 0.9999, amount)], [(price * 1.0001, amount)]) for t in range(since, until)
    ]
    return market


def run(world: World, market: Books, balances: dict[str, float] | None = None, **params: object) -> Outcome:
    end = max(rows[-1][0] for rows in market.values()) + 1
    prices = {**FAIR, **{pair: rows[0][2][0][0] for pair, rows in market.items() if pair not in FAIR}}
    edges = {pair: [(0.0, price, 0.0001, 1), (end, price, 0.0001, 1)] for pair, price in prices.items()}
    world.tape(market, edges)
    return world.run("triangular", {**PARAMS, **params}, balances=balances or MONEY)


def legs(out: Outcome) -> list[tuple[str, str, str]]:
    return [(str(o.spec.pair), o.spec.side.value, o.spec.tag) for o in out.orders]


def test_consistent_books_cause_no_orders(world: World) -> None:
    out = run(world, books())
    assert not out.orders
    assert out.skips["no loop is profitable"] > 0


def test_a_price_gap_smaller_than_three_fees_causes_no_orders(world: World) -> None:
    out = run(world, move(books(), "btc_twd", 10, 20, 1.005))
    assert not out.orders


def test_bitcoin_that_is_cheap_in_twd_is_bought_and_sold_through_usdt(world: World) -> None:
    out = run(world, move(books(), "btc_twd", 10, 12, 0.98))
    assert legs(out) == [
        ("btc_twd", "buy", "leg 1"),
        ("btc_usdt", "sell", "leg 2"),
        ("usdt_twd", "sell", "leg 3"),
    ]
    assert all(order.state == "filled" for order in out.orders)
    got = 100_000 / (2_500_000 * 0.98) * 80_000 * 31.25 * 0.998**3
    assert out.result.summary["pnl"] == pytest.approx(got - 100_000, rel=0.05)
    assert out.result.summary["pnl"] > 0


def test_bitcoin_that_is_expensive_in_twd_is_sold_after_being_bought_through_usdt(world: World) -> None:
    out = run(world, move(books(), "btc_twd", 10, 12, 1.02))
    assert legs(out) == [
        ("usdt_twd", "buy", "leg 1"),
        ("btc_usdt", "buy", "leg 2"),
        ("btc_twd", "sell", "leg 3"),
    ]
    assert out.result.summary["pnl"] > 0


def test_loops_can_start_in_another_currency(world: World) -> None:
    out = run(world, move(books(), "btc_twd", 10, 12, 0.98), {"usdt": 10_000}, home="usdt", spend=3_000)
    assert legs(out) == [
        ("usdt_twd", "sell", "leg 1"),
        ("btc_twd", "buy", "leg 2"),
        ("btc_usdt", "sell", "leg 3"),
    ]
    assert out.result.summary["pnl"] > 0


def test_a_thin_book_leads_to_a_smaller_loop(world: World) -> None:
    out = run(world, move(books(), "btc_twd", 10, 12, 0.98, size=0.015))  # worth about 37,000 TWD
    first = out.orders[0]
    assert first.spec.amount_lots * first.spec.price_ticks / 10**8 == pytest.approx(25_000, rel=0.001)
    assert out.result.summary["pnl"] > 0


def test_a_first_leg_without_a_fill_costs_nothing(world: World) -> None:
    market = move(books(), "btc_twd", 10, 11, 0.98)
    # the opportunity is gone 50 ms later, while the order is in flight
    market["btc_twd"].insert(11, (10.05, [(2_499_750.0, 1.0)], [(2_500_250.0, 1.0)]))
    out = run(world, market)
    assert [order.state for order in out.orders] == ["cancelled"]
    assert out.result.summary["pnl"] == 0
    assert out.skips["the first leg was not filled: cancelled"] == 1


def test_a_loop_continues_with_the_proceeds_of_a_partially_filled_first_leg(world: World) -> None:
    market = move(books(), "btc_twd", 10, 11, 0.98)
    market["btc_twd"].insert(11, (10.05, [(2_449_000.0, 1.0)], [(2_450_245.0, 0.01)]))
    market["btc_twd"][12:] = [(t, b, a) for t, b, a in books()["btc_twd"] if t > 10]
    out = run(world, market)
    first, second, third = out.orders
    assert (first.state, first.executed_lots) == ("cancelled", 1_000_000)
    assert second.executed_lots == 998_000  # 0.01 BTC minus the fee
    assert third.state == "filled"
    assert out.position("btc_twd") + out.position("btc_usdt") == pytest.approx(0, abs=1e-8)


def test_after_an_unfilled_second_leg_the_first_leg_is_reversed_and_reported(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    # While the first leg is in flight, almost all btc_usdt bids vanish for ten seconds.
    market = move(books(), "btc_twd", 10, 12, 0.98)
    market["btc_usdt"][11:21] = [(t - 0.9, [(79_992.0, 0.0001)], [(80_008.0, 1.0)]) for t in range(11, 21)]
    out = run(world, market)
    assert [tag for _, _, tag in legs(out)][:2] == ["leg 1", "leg 2"]
    assert out.orders[1].state == "refused"
    assert out.orders[2].spec.tag == "recover"
    assert (out.orders[2].spec.pair, out.orders[2].spec.side.value, out.orders[2].state) == (
        "btc_twd",
        "sell",
        "filled",
    )
    assert out.skips["a loop broke at leg 2"] == 1
    assert out.skips["recovering: selling left-over btc"] == 1
    assert "leg 2 (sell btc_usdt) left 0.04" in caplog.text
    assert out.position("btc_twd") == pytest.approx(0, abs=1e-8)


def test_recovery_is_retried_until_it_succeeds_and_no_new_loop_starts_before_then(world: World) -> None:
    market = move(books(), "btc_twd", 10, 40, 0.98)
    market["btc_usdt"][11:30] = [(t - 0.9, [(79_992.0, 0.0001)], [(80_008.0, 1.0)]) for t in range(11, 30)]
    # nor can the coins be sold directly for TWD before second 30
    thin: list[tuple[float, Levels, Levels]] = [
        (t - 0.8, [(2_449_755.0, 0.0001)], [(2_450_245.0, 1.0)]) for t in range(11, 30)
    ]
    market["btc_twd"][11:30] = thin
    out = run(world, market)
    tags = [tag for _, _, tag in legs(out)]
    assert tags[:2] == ["leg 1", "leg 2"]
    recovering = [order for order in out.orders if order.spec.tag == "recover"]
    assert len(recovering) > 2
    assert not any(order.state == "filled" for order in recovering[:-1])
    assert recovering[-1].state == "filled"
    between = out.orders[2 : out.orders.index(recovering[-1])]
    assert {order.spec.tag for order in between} == {"recover"}
    assert out.skips["still selling coins that a broken loop left over"] > 0


def test_coins_left_over_at_the_end_are_reported(world: World, caplog: pytest.LogCaptureFixture) -> None:
    market = move(books(20), "btc_twd", 10, 20, 0.98)
    for pair, price in (("btc_usdt", 80_000.0), ("btc_twd", 2_450_000.0)):
        market[pair][11:] = [(t - 0.9, [(price * 0.9999, 0.0001)], [(price * 1.0001, 1.0)]) for t in range(11, 20)]
    out = run(world, market)
    assert out.skips["stopped while holding left-over btc"] == 1
    assert "left over from a loop" in caplog.text


def test_coins_outside_the_loops_are_left_unchanged(world: World) -> None:
    market = move(books(), "btc_twd", 10, 12, 0.98)
    out = run(world, market, {"twd": 1_000_000, "btc": 0.5, "usdt": 5_000})
    assert out.orders[1].spec.amount_lots == pytest.approx(out.orders[0].executed_lots * 0.998, abs=1)
    assert "recovering: selling left-over btc" not in out.skips


def test_an_outdated_book_starts_no_loop(world: World) -> None:
    market = move(books(), "btc_twd", 30, 60, 0.98)
    market["usdt_twd"] = market["usdt_twd"][:5]
    out = run(world, market, max_age_s=20)
    assert not out.orders
    assert out.skips["a book is missing or too old"] > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pairs": ["btc_twd", "btc_usdt"]}, "a triangle needs three different pairs"),
        ({"pairs": ["btc_twd", "btc_usdt", "btc_usdt"]}, "a triangle needs three different pairs"),
        ({"pairs": ["btc_twd", "eth_twd", "usdt_twd"]}, "do not form a loop from twd"),
        ({"home": "eth"}, "do not form a loop from eth"),
    ],
)
def test_pairs_that_do_not_form_a_triangle_are_refused(world: World, change: dict[str, object], words: str) -> None:
    market = books(5)
    market["eth_twd"] = [(0.0, [(100_000.0, 1.0)], [(100_100.0, 1.0)])]
    with pytest.raises(ConfigError, match=words):
        run(world, market, **change)
