"""dca spends a fixed amount at a fixed time, until the budget is used up."""

from __future__ import annotations

import pytest

from botkit import ConfigError
from botkit.errors import BotkitError
from tests.strategy_world import World

DAY_MINUTES = 24 * 60
PARAMS = {"pair": "btc_twd", "spend": 1_000}


@pytest.fixture
def days(world: World) -> World:
    """Return five days of hourly candles that rise by a thousand per hour, starting at 8:00 on a Monday in Taipei."""
    world.candles("btc_twd", [2_500_000.0 + 1_000 * i for i in range(5 * 24)], step_s=3600)
    return world


def test_spends_the_fixed_amount_every_morning_at_nine(days: World) -> None:
    out = days.run("dca", {**PARAMS, "cron": "0 9 * * *"}, balances={"twd": 100_000})
    assert [order.spec.spend_units for order in out.orders] == [1_000 * 10**8] * 5
    assert [deal.at for deal in out.fills] == [60 + day * DAY_MINUTES for day in range(5)]
    assert [deal.price for deal in out.fills] == [2_500_000 + 24_000 * day for day in range(5)]
    assert out.position("btc_twd") == pytest.approx(sum(deal.amount for deal in out.fills) * 0.998, abs=1e-7)


def test_the_schedule_uses_the_configurations_time_zone(days: World) -> None:
    out = days.run("dca", {**PARAMS, "cron": "0 9 * * *"}, balances={"twd": 100_000}, timezone="UTC")
    assert all(deal.at % DAY_MINUTES == 540 for deal in out.fills)
    weekly = days.run("dca", {**PARAMS, "cron": "0 9 * * 3"}, balances={"twd": 100_000})
    assert [deal.at // DAY_MINUTES for deal in weekly.fills] == [2]


def test_stops_at_the_budget_after_spending_the_remainder(days: World) -> None:
    out = days.run("dca", {**PARAMS, "budget": 2_500}, balances={"twd": 100_000})
    assert [order.spec.spend_units // 10**8 for order in out.orders] == [1_000, 1_000, 500]
    assert out.skips == {"the budget is spent": 2}


def test_reports_that_the_funds_are_used_up(days: World) -> None:
    out = days.run("dca", PARAMS, balances={"twd": 2_100})
    assert len(out.orders) == 2
    assert out.skips == {"not enough twd": 3}


def test_reports_a_refused_buy_order_and_retries_at_the_next_timer(days: World) -> None:
    out = days.run("dca", PARAMS, balances={"twd": 100_000}, risk={"max_order_value": {"twd": 500}})
    assert [order.state for order in out.orders] == ["refused"] * 5
    assert out.skips == {"a purchase failed: refused": 5}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spend": 10}, "the smallest purchase of btc_twd is 190"),
        ({"cron": "9 o'clock"}, "cron="),
        ({"missed": "maybe"}, "missed: must be one of skip, once"),
    ],
)
def test_invalid_parameters_are_refused_with_one_message(days: World, change: dict[str, object], words: str) -> None:
    with pytest.raises(BotkitError, match=words) as caught:
        days.run("dca", {**PARAMS, **change}, balances={"twd": 100_000})
    assert isinstance(caught.value, ConfigError)
    assert "Traceback" not in str(caught.value)
