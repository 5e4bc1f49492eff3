"""Real and simulated fills of the same orders are matched up, and every filled amount appears on exactly one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botkit.backtesting.audit import Execution, FillPair, Tolerance, figures_of, pair_fills, shortfall
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.order_spec import OrderSpec, OrderType, Side

PAIR = packaged_pairs()["btc_usdt"]
S = 10**9
BTC = 10**8


def order(client_id: int, side: Side = Side.BUY) -> OrderSpec:
    return OrderSpec(client_id=client_id, pair=PAIR, side=side, type=OrderType.LIMIT, amount_lots=BTC, strategy="s")


def done(client_id: int, lots: int, price: int, at: int = 0, *, fee: int = 0, maker: bool = True) -> Execution:
    return Execution(
        client_id=client_id, time=at * S, price_ticks=price * 100, lots=lots, fee_units=fee, fee_currency="usdt",
        is_maker=maker,
    )  # fmt: skip


def paired(real: list[Execution], simulated: list[Execution], *, last: float = 100.0, **sides: Side) -> list[FillPair]:
    ids = {one.client_id for one in (*real, *simulated)}
    orders = {one: order(one, sides.get(f"o{one}", Side.BUY)) for one in ids}
    return pair_fills(orders, real, simulated, {"btc_usdt": last})


def test_each_real_fill_is_compared_with_the_matching_part_of_the_simulated_order() -> None:
    [first, second] = paired(
        [done(1, 4 * BTC, 100, at=10), done(1, 6 * BTC, 101, at=20)],
        [done(1, 2 * BTC, 98, at=9), done(1, 8 * BTC, 100, at=14)],
    )
    assert (first.kind, first.amount, first.worse_bps) == ("matched", 4.0, pytest.approx((100 / 99 - 1) * 10_000))
    assert first.real is not None
    assert first.simulated is not None
    assert (first.simulated.price, first.simulated.time, first.real.time) == (99.0, 14 * S, 10 * S)
    assert (second.amount, second.money) == (6.0, pytest.approx(-6.0))  # a buyer who paid 1 more per coin for 6 coins


def test_a_fill_that_exists_only_live_or_only_in_simulation_is_reported_as_missed_or_extra() -> None:
    found = paired(
        [done(1, 5 * BTC, 100), done(2, BTC, 90)],
        [done(1, 3 * BTC, 100), done(3, 2 * BTC, 95)],
        last=101.0,
    )
    rows = {(pair.client_id, pair.kind, pair.amount, pair.money) for pair in found}
    assert rows == {
        (1, "matched", 3.0, 0.0),
        (1, "missed", 2.0, 2.0),  # bought at 100, now worth 101
        (2, "missed", 1.0, 11.0),
        (3, "extra", 2.0, -12.0),
    }


def test_the_cash_difference_includes_fees_even_if_paid_in_the_base_currency() -> None:
    [one] = paired([done(1, BTC, 100, fee=2 * BTC // 10)], [done(1, BTC, 100, fee=BTC // 10)])
    assert one.money == pytest.approx(-0.1)
    base = Execution(
        client_id=1, time=0, price_ticks=10_000, lots=BTC, fee_units=BTC // 1000, fee_currency="btc", is_maker=True
    )
    [two] = paired([base], [done(1, BTC, 100)])
    assert two.real is not None
    assert two.real.fee == pytest.approx(0.1)


def test_a_seller_is_worse_off_at_a_lower_price() -> None:
    [one] = paired([done(1, BTC, 99)], [done(1, BTC, 100)], o1=Side.SELL)
    assert one.worse_bps == pytest.approx(100.0)
    assert one.money == pytest.approx(-1.0)


amounts = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 50), st.integers(90, 110)), max_size=12)


@given(amounts, amounts)
def test_every_amount_and_every_cash_flow_appears_on_exactly_one_line(
    real: list[tuple[int, int, int]], simulated: list[tuple[int, int, int]]
) -> None:
    ours = [done(i, lots * BTC, price, at) for at, (i, lots, price) in enumerate(real)]
    theirs = [done(i, lots * BTC, price, at) for at, (i, lots, price) in enumerate(simulated)]
    found = paired(ours, theirs, last=100.0, o2=Side.SELL)
    for client_id in (1, 2, 3):
        mine = [pair for pair in found if pair.client_id == client_id]
        assert sum(p.amount for p in mine if p.real) == pytest.approx(sum(n for i, n, _ in real if i == client_id))
        assert sum(p.amount for p in mine if p.simulated) == pytest.approx(
            sum(n for i, n, _ in simulated if i == client_id)
        )

    def worth(rows: list[tuple[int, int, int]]) -> float:
        return sum((-1 if i == 2 else 1) * (100 - price) * lots for i, lots, price in rows)

    assert sum(pair.money for pair in found) == pytest.approx(worth(real) - worth(simulated))
    figures = figures_of(found, len(ours), len(theirs))
    if real:
        assert figures.matched + figures.missed == pytest.approx(1.0)


def test_every_value_outside_its_tolerance_is_reported_in_a_sentence() -> None:
    found = figures_of(
        paired([done(1, BTC, 101), done(2, BTC, 100)], [done(1, BTC, 100), done(3, BTC, 100)], last=100.0), 2, 2
    )
    assert [text.split(" ")[0] for text in Tolerance().drifts(found)] == ["49.8", "49.8", "100.0", "49.8"]
    assert Tolerance(missed_pct=50, extra_pct=50, price_bps=101, money_bps=50).drifts(found) == []


def test_taker_slippage_is_measured_from_the_mid_price() -> None:
    orders = {1: order(1), 2: order(2, Side.SELL), 3: order(3)}
    real = [done(1, BTC, 101, maker=False), done(2, BTC, 98, maker=False), done(3, BTC, 50)]
    share, count = shortfall(orders, real, {1: 100.0, 2: 100.0, 3: 100.0}) or (0.0, 0)
    assert (share, count) == (pytest.approx(0.015), 2)
    assert shortfall(orders, real, {}) is None
