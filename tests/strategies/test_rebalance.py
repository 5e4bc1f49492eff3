"""rebalance restores the weights of assets that have drifted, and sells before buying."""

from __future__ import annotations

import pytest

from botkit import ConfigError
from tests.strategy_world import Outcome, World

PARAMS = {"pairs": ["btc_twd", "eth_twd"], "weights": [0.4, 0.4], "threshold": 0.05, "cron": "0 9 * * *"}
HOURS = 24 * 4


def market(world: World, btc: list[float], eth: list[float]) -> World:
    world.candles("btc_twd", btc, step_s=3600)
    world.candles("eth_twd", eth, step_s=3600)
    return world


def step(before: float, after: float, at_hour: int) -> list[float]:
    return [before] * at_hour + [after] * (HOURS - at_hour)


def shares(out: Outcome, btc: float, eth: float, whole: float) -> tuple[float, float]:
    return out.position("btc_twd") * btc / whole, out.position("eth_twd") * eth / whole


def test_buys_to_the_target_weights_at_the_first_timer(world: World) -> None:
    market(world, [2_000_000.0] * HOURS, [100_000.0] * HOURS)
    out = world.run("rebalance", PARAMS, balances={"twd": 1_000_000})
    assert [(order.spec.pair, order.spec.side.value, order.spec.spend_units // 10**8) for order in out.orders] == [
        ("btc_twd", "buy", 400_000),
        ("eth_twd", "buy", 400_000),
    ]
    assert shares(out, 2_000_000, 100_000, 1_000_000) == pytest.approx((0.4, 0.4), abs=0.001)
    assert out.skips == {"every share is near its weight": 3}


def test_sells_coins_that_rose_and_then_buys_coins_that_fell(world: World) -> None:
    market(world, step(2_000_000, 3_000_000, 30), [100_000.0] * HOURS)
    out = world.run("rebalance", PARAMS, balances={"twd": 1_000_000})
    sale, purchase = out.orders[2:]
    assert (sale.spec.pair, sale.spec.side.value, purchase.spec.pair, purchase.spec.side.value) == (
        "btc_twd",
        "sell",
        "eth_twd",
        "buy",
    )
    assert purchase.spec.created >= sale.updated  # the proceeds were received before they were spent
    whole = 1_000_000 + 200_000
    assert shares(out, 3_000_000, 100_000, whole) == pytest.approx((0.4, 0.4), abs=0.005)


def test_a_small_drift_is_ignored(world: World) -> None:
    market(world, step(2_000_000, 2_200_000, 30), [100_000.0] * HOURS)
    out = world.run("rebalance", PARAMS, balances={"twd": 1_000_000})
    assert len(out.orders) == 2


def test_includes_its_allocated_coins_in_the_weights_and_sells_them(world: World) -> None:
    market(world, [2_000_000.0] * HOURS, [100_000.0] * HOURS)
    out = world.run("rebalance", PARAMS, balances={"twd": 100_000, "btc": 0.45})
    assert [(order.spec.pair, order.spec.side.value) for order in out.orders] == [
        ("btc_twd", "sell"),
        ("eth_twd", "buy"),
    ]
    assert out.fills[0].amount == pytest.approx(0.25)


def test_continues_buying_if_a_sell_order_is_not_filled(world: World) -> None:
    market(world, [2_000_000.0] * HOURS, [100_000.0] * HOURS)
    out = world.run(
        "rebalance", PARAMS, balances={"twd": 100_000, "btc": 0.45}, risk={"max_order_value": {"twd": 400_000}}
    )
    assert out.orders[0].state == "refused"
    assert out.fills
    assert {deal.side for deal in out.fills} == {"buy"}
    assert "an order was not filled: refused" in out.skips


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": [0.5]}, "2 pairs and 1 weights"),
        ({"weights": [0.7, 0.7]}, "add up to 1.4"),
        ({"pairs": ["btc_twd", "btc_twd"]}, "listed twice"),
        ({"pairs": ["btc_twd", "btc_usdt"]}, "quoted in twd and usdt"),
        ({"cron": "daily"}, "cron="),
    ],
)
def test_parameters_that_do_not_form_a_portfolio_are_refused(
    world: World, change: dict[str, object], words: str
) -> None:
    market(world, [2_000_000.0] * 3, [100_000.0] * 3)
    world.candles("btc_usdt", [50_000.0] * 3, step_s=3600)
    with pytest.raises(ConfigError, match=words):
        world.run("rebalance", {**PARAMS, **change}, balances={"twd": 1_000_000}, currency="twd")
