"""grid buys at each step down, sells one step higher, and refuses grids that cannot be profitable."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from botkit import ConfigError
from tests.strategy_world import World

# the grid lines are 49000, 49500, 50000, 50500 and 51000
PARAMS = {"pair": "btc_usdt", "low": 49_000, "high": 51_000, "cells": 4, "amount": 0.1, "spacing": "arithmetic"}
MONEY = {"usdt": 100_000}


def path(*points: float, step: float = 60.0) -> list[float]:
    """Return closes that move from point to point in small steps and stay at each point for three minutes."""
    closes = [points[0]] * 3
    for goal in points[1:]:
        while abs(goal - closes[-1]) > step:
            closes.append(closes[-1] + (step if goal > closes[-1] else -step))
        closes += [goal] * 3
    return closes


def resting_prices(fills: Sequence[tuple[int, str, float, float]]) -> list[tuple[str, float]]:
    return [(side, price) for _, side, price, _ in fills]


def test_a_cell_buys_at_its_lower_line_sells_at_its_upper_line_and_repeats(world: World) -> None:
    world.candles("btc_usdt", path(49_900, 49_420, 50_080, 49_420, 50_080))
    out = world.run("grid", {**PARAMS, "buy_first": False}, balances=MONEY)
    assert resting_prices(out.fills) == [
        ("buy", 49_500),
        ("sell", 50_000),
        ("buy", 50_000),  # above 50,000 the next cell starts to bid at its lower line
        ("buy", 49_500),
        ("sell", 50_000),
    ]
    assert all(row.is_maker for row in out.result.fills)
    # the fee reduced the purchased coins by 0.1 %, and exactly the remaining coins are sold
    assert out.fills[0].amount == 0.1
    assert out.fills[1].amount == pytest.approx(0.0999)


def test_a_round_trip_earns_its_step_minus_the_fees(world: World) -> None:
    world.candles("btc_usdt", path(49_900, 49_420, 50_080))
    out = world.run("grid", {**PARAMS, "buy_first": False}, balances=MONEY)
    assert out.result.summary["pnl"] == pytest.approx(0.0999 * 50_000 * 0.999 - 0.1 * 49_500, abs=1e-6)


def test_starts_by_buying_the_coins_for_the_cells_above_the_price(world: World) -> None:
    world.candles("btc_usdt", path(49_900, 51_080))
    out = world.run("grid", PARAMS, balances=MONEY)
    first, *others = out.fills
    assert first.side == "buy"
    # two cells are above the price; the taker fee is deducted
    assert first.amount == pytest.approx(0.2 / 0.998, rel=1e-4)
    assert resting_prices(others) == [("sell", 50_500), ("sell", 51_000)]
    assert "the price is above the grid" in out.skips


def test_sells_its_allocated_coins_before_buying_more(world: World) -> None:
    world.candles("btc_usdt", path(49_900, 51_080))
    out = world.run("grid", PARAMS, balances={"usdt": 100_000, "btc": 0.2})
    assert resting_prices(out.fills) == [("sell", 50_500), ("sell", 51_000)]


def test_without_coins_the_cells_above_the_price_wait_until_the_price_is_above_them(world: World) -> None:
    world.candles("btc_usdt", path(49_900, 50_900, 50_400, 51_050))
    out = world.run("grid", {**PARAMS, "buy_first": False}, balances=MONEY)
    assert resting_prices(out.fills) == [("buy", 50_500), ("sell", 51_000)]


def test_trades_every_step_of_a_long_move_down_and_up(world: World) -> None:
    world.candles("btc_usdt", path(51_100, 48_900, 51_100))
    out = world.run("grid", PARAMS, balances=MONEY)
    lines = [50_500, 50_000, 49_500, 49_000]
    assert resting_prices(out.fills) == [("buy", line) for line in lines] + [
        ("sell", line + 500) for line in reversed(lines)
    ]
    assert out.skips["the price is below the grid"] > 0


def test_coins_from_a_partially_filled_bid_are_sold_while_the_bid_continues_to_buy(world: World) -> None:
    # 0.04 BTC are traded per minute, so filling a bid for 0.1 takes three bars
    world.candles("btc_usdt", path(49_900, 49_450, 50_080), volume=0.04)
    out = world.run("grid", {**PARAMS, "buy_first": False}, balances=MONEY)
    buys = [deal for deal in out.fills if deal.side == "buy"]
    sells = [deal for deal in out.fills if deal.side == "sell"]
    assert len(buys) > 1
    assert {deal.price for deal in buys} == {49_500}
    assert {deal.price for deal in sells} == {50_000}
    assert sum(deal.amount for deal in sells) <= sum(deal.amount for deal in buys) * 0.999 + 1e-9


@pytest.mark.parametrize(("spacing", "most"), [("arithmetic", 19), ("geometric", 19)])
def test_a_step_smaller_than_the_fees_is_refused_with_the_break_even_step(
    world: World, spacing: str, most: int
) -> None:
    world.candles("btc_usdt", path(49_900, 49_420))
    with pytest.raises(ConfigError) as caught:
        world.run("grid", {**PARAMS, "cells": 40, "spacing": spacing}, balances=MONEY)
    text = str(caught.value)
    assert "two fees of 0.1 % cost 0.2003 %, the break-even" in text
    assert f"use at most {most} cells" in text
    world.run("grid", {**PARAMS, "cells": most, "spacing": spacing}, balances=MONEY)
    with pytest.raises(ConfigError, match="break-even"):
        world.run("grid", {**PARAMS, "cells": most + 1, "spacing": spacing}, balances=MONEY)


def test_a_range_too_narrow_for_any_step_is_refused(world: World) -> None:
    world.candles("btc_usdt", path(49_900, 49_420))
    with pytest.raises(ConfigError, match="no grid between these prices can be profitable"):
        world.run("grid", {**PARAMS, "low": 50_000, "high": 50_050, "cells": 1}, balances=MONEY)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"low": 52_000}, "low must be smaller than high"),
        ({"amount": "0.00001"}, "smallest order for btc_usdt is 0.0001"),
        ({"stop_below": 49_500}, "must be below the lowest line"),
    ],
)
def test_parameters_that_do_not_form_a_grid_are_refused(
    world: World, change: dict[str, float | str], words: str
) -> None:
    world.candles("btc_usdt", path(49_900, 49_420))
    with pytest.raises(ConfigError, match=words):
        world.run("grid", {**PARAMS, **change}, balances=MONEY)


def test_with_too_many_lines_only_the_nearest_orders_rest_and_follow_the_price(world: World) -> None:
    # 16 cells of 250 between 48,000 and 52,000
    params = {**PARAMS, "low": 48_000, "high": 52_000, "cells": 16, "max_orders": 4}
    world.candles("btc_usdt", path(50_100, 48_900, 50_100))
    out = world.run("grid", params, balances=MONEY)
    placed = [order for order in out.orders if order.spec.type.value == "limit"]
    first = sorted(order.spec.price_ticks // 100 for order in placed if order.spec.created == placed[0].spec.created)
    assert first == [49_500, 49_750, 50_000, 50_500]  # the cell around the price buys, so there is no ask at 50,250
    # nevertheless, a trade occurred at every line that the price crossed
    assert [p for s, p in resting_prices(out.fills[1:]) if s == "buy"] == [50_000, 49_750, 49_500, 49_250, 49_000]
    assert out.skips["more lines than orders allowed: only the nearest are placed"] > 0
    assert not out.refusals


def test_stays_below_the_exchanges_limit_on_open_orders(world: World) -> None:
    params = {**PARAMS, "low": 25_000, "high": 75_000, "cells": 240, "spacing": "geometric", "amount": 0.001}
    world.candles("btc_usdt", path(49_900, 48_000, 49_900))
    out = world.run("grid", params, balances=MONEY)
    assert not out.refusals
    assert len([order for order in out.orders if order.state != "refused"]) > 200
    assert out.skips["more lines than orders allowed: only the nearest are placed"] > 0


def test_with_limited_funds_only_the_nearest_bids_are_placed_and_none_is_refused(world: World) -> None:
    world.candles("btc_usdt", path(51_100, 50_900, 50_700))
    out = world.run("grid", {**PARAMS, "buy_first": False}, balances={"usdt": 11_000})
    assert sorted(order.spec.price_ticks // 100 for order in out.orders) == [50_000, 50_500]
    assert out.skips["not enough usdt for every line"] > 0
    assert not out.refusals


def test_below_the_stop_price_all_orders_are_cancelled_and_the_coins_sold(world: World) -> None:
    world.candles("btc_usdt", path(50_100, 48_800, 48_300, 50_600))
    out = world.run("grid", {**PARAMS, "stop_below": 48_500}, balances=MONEY)
    assert out.position("btc_usdt") == 0
    last = out.fills[-1]
    assert last.side == "sell"
    assert last.price <= 48_500
    # the strategy stays out of the market when the price recovers
    assert [order for order in out.orders if order.spec.created > out.result.fills[-1].time] == []
    assert "stopped: the price fell below stop_below" in out.skips


def test_a_grid_started_at_or_below_its_stop_price_buys_nothing_until_the_price_is_above_it_and_says_so_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.candles("btc_usdt", path(48_500, 48_300, 48_500))
    out = world.run("grid", {**PARAMS, "stop_below": 48_500}, balances=MONEY)
    assert not out.fills
    assert "the price is below stop_below: the grid does not open" in out.skips
    assert caplog.text.count("the grid opens only when the price is above stop_below") == 1


def test_a_grid_started_below_its_stop_price_opens_once_the_price_is_above_it(world: World) -> None:
    world.candles("btc_usdt", path(48_300, 48_800))
    first, *_ = world.run("grid", {**PARAMS, "stop_below": 48_500}, balances=MONEY).fills
    assert first.price > 48_500
