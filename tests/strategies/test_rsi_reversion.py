"""rsi_reversion buys when the price starts to recover after a decline, sells when the recovery is complete, and limits
losses.
"""

from __future__ import annotations

import pytest

from botkit import RSI, ConfigError
from tests.strategy_world import World

PARAMS = {"pair": "btc_usdt", "resolution": "1m", "length": 5, "spend": 1_000}


def zigzag(count: int) -> list[float]:
    """Build a sideways market with an RSI near 50."""
    return [50_000.0 + (50 if i % 2 else 0) for i in range(count)]


def fall_and_recover() -> list[float]:
    fall = [50_000.0 - 100 * i for i in range(1, 15)]
    return zigzag(20) + fall + [fall[-1] + 120 * i for i in range(1, 20)]


def test_buys_when_the_rsi_leaves_the_oversold_zone_and_sells_when_it_reaches_the_sell_level(world: World) -> None:
    closes = fall_and_recover()
    world.candles("btc_usdt", closes)
    out = world.run("rsi_reversion", {**PARAMS, "buy_above": 30, "sell_above": 70}, balances={"usdt": 10_000})
    line = RSI(5).over(closes)
    buy = next(i for i in range(6, len(closes)) if line[i - 1] < 30 <= line[i])
    sell = next(i for i in range(buy + 1, len(closes)) if line[i] >= 70)
    assert [(deal.at, deal.side) for deal in out.fills] == [(buy + 1, "buy"), (sell + 1, "sell")]
    assert "stopped out" not in out.skips


def test_does_not_buy_while_the_market_falls(world: World) -> None:
    world.candles("btc_usdt", zigzag(20) + [50_000.0 - 100 * i for i in range(1, 60)])
    out = world.run("rsi_reversion", PARAMS, balances={"usdt": 10_000})
    assert not out.orders


def test_does_not_buy_after_a_stop_loss_until_the_next_recovery(world: World) -> None:
    closes = [*fall_and_recover()[:36], *(48_000.0 - 200 * i for i in range(30))]
    world.candles("btc_usdt", closes)
    out = world.run("rsi_reversion", {**PARAMS, "sell_above": 99, "stop_loss_pct": 2}, balances={"usdt": 10_000})
    assert [deal.side for deal in out.fills] == ["buy", "sell"]
    bought, sold = out.fills
    assert bought.price * 0.96 < sold.price <= bought.price * 0.98
    assert out.skips["stopped out"] == 1


def test_spends_the_remaining_cash_and_reports_if_it_is_insufficient(world: World) -> None:
    world.candles("btc_usdt", fall_and_recover())
    out = world.run("rsi_reversion", PARAMS, balances={"usdt": 400})
    assert out.orders[0].spec.spend_units == 400 * 10**8
    poor = World(world.folder)
    poor.candles("btc_usdt", fall_and_recover())
    assert "too little money left to buy" in poor.run("rsi_reversion", PARAMS, balances={"usdt": 5}).skips


def test_a_sell_threshold_below_the_buy_threshold_is_refused(world: World) -> None:
    world.candles("btc_usdt", zigzag(5))
    with pytest.raises(ConfigError, match="sell_above must be higher"):
        world.run("rsi_reversion", {**PARAMS, "buy_above": 60, "sell_above": 40}, balances={"usdt": 400})
