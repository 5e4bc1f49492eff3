"""sma_cross trades only when two moving averages cross."""

from __future__ import annotations

import pandas as pd
import pytest

from botkit import ConfigError
from tests.strategy_world import World

PARAMS = {"pair": "btc_usdt", "fast": 2, "slow": 4}


def wave(*legs: tuple[int, float]) -> list[float]:
    """Return closes starting at 50000, in straight segments of (bars, change per bar)."""
    closes = [50_000.0]
    for bars, change in legs:
        for _ in range(bars):
            closes.append(closes[-1] + change)
    return closes


def test_buys_on_an_upward_crossing_and_sells_on_a_downward_crossing_at_the_next_open(world: World) -> None:
    closes = wave((10, -100), (10, 100), (10, -100))
    world.candles("btc_usdt", closes)
    out = world.run("sma_cross", PARAMS, balances={"usdt": 10_000})
    fast, slow = pd.Series(closes).rolling(2).mean(), pd.Series(closes).rolling(4).mean()
    up = [i for i in range(4, 31) if fast[i] > slow[i] and fast[i - 1] <= slow[i - 1]]
    down = [i for i in range(4, 31) if fast[i] < slow[i] and fast[i - 1] >= slow[i - 1]]
    assert [(deal.at, deal.side, deal.price) for deal in out.fills] == [
        (up[0] + 1, "buy", closes[up[0]]),
        (down[0] + 1, "sell", closes[down[0]]),
    ]
    assert out.position("btc_usdt") == 0


def test_does_not_trade_on_the_first_bar_with_both_averages(world: World) -> None:
    # the fast average is above the slow one from the first valid bar onward, so there is no crossing
    world.candles("btc_usdt", wave((30, 100)))
    out = world.run("sma_cross", PARAMS, balances={"usdt": 10_000})
    assert not out.orders


def test_a_flat_period_does_not_cause_a_crossing(world: World) -> None:
    # up, flat (both averages equal), up again: only one buy
    world.candles("btc_usdt", wave((10, -100), (8, 100), (8, 0), (8, 100)))
    out = world.run("sma_cross", PARAMS, balances={"usdt": 10_000})
    assert [deal.side for deal in out.fills] == ["buy"]
    assert out.skips == {"crossed up while holding": 1}


def test_spends_the_configured_share_of_its_cash(world: World) -> None:
    world.candles("btc_usdt", wave((10, -100), (10, 100)))
    out = world.run("sma_cross", {**PARAMS, "share": 0.25}, balances={"usdt": 10_000})
    assert [order.spec.spend_units for order in out.orders] == [2_500 * 10**8]


def test_reports_when_it_has_no_cash_or_nothing_to_sell(world: World) -> None:
    world.candles("btc_usdt", wave((10, 100), (10, -100), (10, 100)))
    out = world.run("sma_cross", PARAMS, balances={"usdt": 5})
    assert out.skips == {"crossed down with nothing to sell": 1, "too little money left to buy": 1}
    assert not out.orders


def test_a_fast_average_longer_than_the_slow_average_is_refused(world: World) -> None:
    world.candles("btc_usdt", wave((5, 1)))
    with pytest.raises(
        ConfigError, match=r"^strategy 's': fast is 9 and slow is 4; the fast average needs fewer bars$"
    ):
        world.run("sma_cross", {**PARAMS, "fast": 9}, balances={"usdt": 10_000})


def test_a_run_without_trades_ends_with_its_opening_balance(world: World) -> None:
    world.candles("btc_usdt", wave((30, 100)))
    out = world.run("sma_cross", PARAMS, balances={"usdt": 10_000})
    assert out.result.summary["final_equity"] == 10_000
    assert out.result.summary["pnl"] == 0


def test_bars_before_the_start_warm_up_the_averages(world: World) -> None:
    world.candles("btc_usdt", wave((20, -100), (20, 100)))
    cold = world.run("sma_cross", {**PARAMS, "slow": 8}, balances={"usdt": 10_000})
    warm = world.run("sma_cross", {**PARAMS, "slow": 8}, balances={"usdt": 10_000}, start="2025-03-03T08:21")
    assert [deal.at for deal in cold.fills] == [deal.at for deal in warm.fills] == [24]


def test_the_report_shows_the_moving_averages(world: World) -> None:
    closes = wave((10, -100), (10, 100))
    world.candles("btc_usdt", closes)
    out = world.run("sma_cross", PARAMS, balances={"usdt": 10_000})
    fast, slow = out.result.indicators
    assert [(line.pair, line.strategy, line.name, line.pane) for line in (fast, slow)] == [
        ("btc_usdt", "s", "SMA(2)", "price"),
        ("btc_usdt", "s", "SMA(4)", "price"),
    ]
    assert slow.values == pytest.approx(pd.Series(closes).rolling(4).mean().dropna().tolist())
