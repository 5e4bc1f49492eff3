"""Units: a setting in percent or basis points refuses a value that is clearly a fraction."""

from __future__ import annotations

from typing import Any

import pytest

from botkit.engine.risk.rules import MaxDrawdown, PriceCollar
from tests.engine_world import BTC, Bot, Listener


def bot() -> Bot:
    b = Bot(Listener(BTC, start=lambda s: s.subscribe_trades(BTC)))
    b.trade(1_000)
    return b


@pytest.mark.parametrize("name", ["stop_loss_pct", "take_profit_pct", "trail_pct"])
@pytest.mark.parametrize(("value", "meant"), [(0.02, "2"), (0.015, "1.5"), (0.05, "5")])
def test_a_fraction_given_as_a_percentage_is_refused_and_the_probable_percentage_is_suggested(
    name: str, value: float, meant: str
) -> None:
    sentence = f"{name} is {value}, which means {value} %; write {meant} for {meant} %"
    with pytest.raises(ValueError, match=sentence):
        bot().s.protect(BTC, **{name: value})


@pytest.mark.parametrize("value", [0, -1, float("nan"), "x", True])
def test_invalid_percentages_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="stop_loss_pct"):
        bot().s.protect(BTC, stop_loss_pct=value)


@pytest.mark.parametrize("name", ["stop_loss_pct", "trail_pct"])
def test_a_stop_loss_of_100_percent_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be below 100 %"):
        bot().s.protect(BTC, **{name: 100})


def test_a_percentage_that_looks_like_a_fraction_triggers_one_warning() -> None:
    b = bot()
    for _ in range(3):
        b.s.protect(BTC, stop_loss_pct=0.2, take_profit_pct=150)
    b.end_turn()
    said = [text for level, text in b.messages if level == "warning"]
    assert said == ["s0: stop_loss_pct is 0.2 %; if 20 % was meant, write 20"]


@pytest.mark.parametrize("value", [0.5, 2, "3.5", 30])
def test_plausible_percentages_are_accepted(value: Any) -> None:
    bot().s.protect(BTC, stop_loss_pct=value)


def test_values_in_basis_points_are_also_checked() -> None:
    with pytest.raises(ValueError, match=r"is 0.0005; this setting is in basis points: write 5 for 0.05 %"):
        bot().s.quote(BTC, bids=[(900, 1)], tolerance_bps=0.0005)
    bot().s.quote(BTC, bids=[(900, 1)], tolerance_bps=0)


def test_risk_rules_check_the_units_of_their_values() -> None:
    with pytest.raises(ValueError, match=r"price_collar_pct is 0.05, which means 0.05 %; write 5 for 5 %"):
        PriceCollar("0.05")
    with pytest.raises(ValueError, match=r"max_drawdown is 20, which would be 2000 %; it is a fraction: 0.2 is 20 %"):
        MaxDrawdown(20)


def test_a_refusal_explains_that_the_slippage_looks_like_a_fraction() -> None:
    b = bot()
    b.book([(999, 10)], [(1_001, 10), (1_010, 10_000)])
    order = b.s.market_buy(BTC, spend=5_000, max_slippage_pct=0.01)
    assert order.reason.endswith("within 0.01 % of the best price (max_slippage_pct is in percent: 1 is 1 %)")
