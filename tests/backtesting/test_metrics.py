"""A run's metrics, checked against exact expected values, and the cases in which a metric is unavailable."""

from __future__ import annotations

import json
import math
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from botkit.backtesting.equity import EquityCurve
from botkit.backtesting.metrics import complete_strategy, fill_rows, summarise, trade_figures
from botkit.backtesting.statistics import missing_ratios, sharpe, sortino
from botkit.backtesting.trades import match_trades
from botkit.model.events import Fill
from botkit.model.orders import Order, OrderSpec, OrderType, Side
from botkit.model.results import SUMMARY_KEYS, FillRow, RouterUse, StrategyRow
from tests.report.sample_result import pair

BTC = pair("btc_usdt", 2)
COIN = 10**8
START = 1_740_758_400 * 10**9


def row(
    order: int,
    side: str,
    amount: float,
    price: float,
    *,
    fee: float = 0.0,
    fee_currency: str = "usdt",
    fee_value: float | None = None,
    strategy: str = "s",
) -> FillRow:
    lots, ticks = round(amount * COIN), round(price * 100)
    return FillRow(
        START,
        strategy,
        order,
        "",
        BTC,
        side,
        False,
        ticks,
        lots,
        BTC.rules.value_units(ticks, lots),
        round(fee * COIN),
        fee_currency,
        amount * price,
        fee if fee_value is None else fee_value,
        "",
    )


def test_sharpe_and_sortino_ratios_match_precomputed_values() -> None:
    returns = [0.01, -0.02, 0.03] * 10
    mean = 0.02 / 3
    deviation = math.sqrt(sum((r - mean) ** 2 for r in returns) / 29)
    assert sharpe(returns) == pytest.approx(mean / deviation * math.sqrt(365))
    assert sortino(returns) == pytest.approx(mean / math.sqrt(0.0004 / 3) * math.sqrt(365))


def test_with_fewer_than_thirty_daily_returns_a_reason_is_reported_instead_of_the_ratios() -> None:
    returns = [0.01, -0.02, 0.03] * 10
    assert (sharpe(returns[1:]), sortino(returns[1:])) == (None, None)
    assert missing_ratios(returns) is None
    assert missing_ratios(returns[1:]) == "29 daily returns; a ratio needs at least 30"
    assert missing_ratios([0.1]) == "1 daily return; a ratio needs at least 30"


@pytest.mark.parametrize("returns", [[], [0.01], [0.0] * 30, [0.01] * 30])
def test_ratios_with_a_zero_denominator_are_none(returns: list[float]) -> None:
    assert sharpe(returns) is None
    assert sortino(returns) is None


def test_the_sortino_ratio_is_none_without_a_losing_day() -> None:
    assert sortino([0.01, 0.02] * 15) is None
    assert sharpe([0.01, 0.02] * 15) is not None


def a_fill(time: int, side: Side, price: float, amount: float, fee: float, fee_currency: str) -> Fill:
    order = Order(
        OrderSpec(client_id=time, strategy="s", pair=BTC, side=side, type=OrderType.MARKET, created=time, tag="t")
    )
    ticks, lots = BTC.rules.ticks(price, up=False), BTC.rules.lots(amount)
    return Fill(
        order=order,
        pair=BTC,
        side=side,
        time=time,
        price_ticks=ticks,
        lots=lots,
        value_units=BTC.rules.value_units(ticks, lots),
        fee_units=round(fee * COIN),
        fee_currency=fee_currency,
        is_maker=False,
        executed_lots=lots,
    )


def figures(curve: EquityCurve, fills: list[FillRow], **more: object) -> dict[str, object]:
    given = {"events": 0, "wall_s": 0.0, "orders": 0, "refused": 0} | more
    return summarise(
        strategies=["s"],
        currency="twd",
        curve=curve,
        fills=fills,
        trades=match_trades(fills).trades,
        router=RouterUse(orders_delayed=3, max_queue_ms=250.0),
        journal_sha256="ab",
        **given,  # type: ignore[arg-type]
    )


def test_the_summary_of_a_small_run_has_the_expected_values() -> None:
    usdt = pair("usdt_twd", 2)
    curve = EquityCurve(
        pairs=(BTC, usdt),
        currency="twd",
        zone=ZoneInfo("Asia/Taipei"),
        opening={"usdt": 1_000 * COIN},
        traded=["btc_usdt"],
    )
    fills = [
        a_fill(START + 10, Side.BUY, 100, 2, 0.004, "btc"),
        a_fill(START + 30, Side.SELL, 110, 1.996, 0.43912, "usdt"),
    ]
    changes = [
        (START + 10, "btc", 2 * COIN), (START + 10, "usdt", -200 * COIN), (START + 10, "btc", -400_000),
        (START + 30, "btc", -199_600_000), (START + 30, "usdt", 21_956_000_000), (START + 30, "usdt", -43_912_000),
    ]  # fmt: skip
    curve.add_slice(
        {
            "btc_usdt": (np.array([START, START + 20, START + 40]), np.array([100.0, 110.0, 120.0])),
            "usdt_twd": (np.array([START]), np.array([30.0])),
        },
        changes,
    )
    rows = fill_rows(fills, curve)
    assert [(r.value, r.tag) for r in rows] == [(6_000.0, "t"), (pytest.approx(219.56 * 30), "t")]
    assert rows[0].fee_value == pytest.approx(0.004 * 100 * 30)
    summary = figures(curve, rows, events=7, wall_s=0.5, orders=4, refused=2)
    assert tuple(summary)[: len(SUMMARY_KEYS)] == SUMMARY_KEYS
    assert summary["opening_equity"] == 30_000.0
    assert summary["final_equity"] == pytest.approx((800 + 219.56 - 0.43912) * 30)
    assert summary["pnl"] == pytest.approx(573.6264)
    assert summary["return"] == pytest.approx(573.6264 / 30_000)
    assert summary["fees"] == pytest.approx((0.4 + 0.43912) * 30)
    assert summary["turnover"] == pytest.approx((200 + 219.56) * 30)
    assert summary["exposure"] == 0.5
    assert (summary["win_rate"], summary["profit_factor"]) == (1.0, None)
    assert summary["buy_and_hold_return"] == pytest.approx(0.2)
    assert (summary["sharpe"], summary["sortino"]) == (None, None)  # because the run lasts only one day
    assert (summary["events_per_second"], summary["orders_delayed"], summary["max_queue_ms"]) == (14, 3, 250.0)
    assert (summary["orders"], summary["fills"], summary["refused"]) == (4, 2, 2)
    json.dumps(summary, allow_nan=False)


def test_a_run_without_prices_or_trades_reports_none_instead_of_nan() -> None:
    curve = EquityCurve(pairs=(BTC,), currency="usdt", zone=ZoneInfo("UTC"), opening={})
    summary = figures(curve, [])
    assert summary["return"] is None
    assert summary["win_rate"] is None
    assert summary["events_per_second"] is None
    assert (summary["fees"], summary["turnover"]) == (0.0, 0.0)
    json.dumps(summary, allow_nan=False)


def test_a_strategys_profit_is_split_into_realised_and_unrealised() -> None:
    curve = EquityCurve(pairs=(BTC,), currency="usdt", zone=ZoneInfo("UTC"), opening={"usdt": 1_000 * COIN})
    changes = [
        (START, "btc", 2 * COIN),
        (START, "usdt", -200 * COIN),
        (START + 5, "btc", -COIN),
        (START + 5, "usdt", 110 * COIN),
    ]
    curve.add_slice({"btc_usdt": (np.array([START, START + 5, START + 9]), np.array([100.0, 110.0, 130.0]))}, changes)
    fills = [row(1, "buy", 2, 100), row(2, "sell", 1, 110)]
    strategy = StrategyRow(name="s")
    complete_strategy(strategy, curve, fills, match_trades(fills).trades)
    assert strategy.pnl == pytest.approx(40.0)
    assert strategy.realised == pytest.approx(10.0)
    assert strategy.unrealised == pytest.approx(30.0)
    assert strategy.return_ == pytest.approx(0.04)
    assert (strategy.fills, strategy.round_trips, strategy.turnover) == (2, 1, 310.0)


def test_a_strategy_with_pooled_capital_has_absolute_amounts_but_no_percentages() -> None:
    curve = EquityCurve(pairs=(BTC,), currency="usdt", zone=ZoneInfo("UTC"), opening={}, begin=START)
    changes = [(START, "btc", 2 * COIN), (START, "usdt", -200 * COIN)]
    curve.add_slice({"btc_usdt": (np.array([START, START + 9]), np.array([100.0, 90.0]))}, changes)
    strategy = StrategyRow(name="s")
    complete_strategy(strategy, curve, [row(1, "buy", 2, 100)], [])
    assert (strategy.return_, strategy.max_drawdown) == (None, None)
    assert (strategy.pnl, strategy.realised, strategy.unrealised) == (-20.0, 0.0, -20.0)


def test_without_round_trips_there_is_no_win_rate() -> None:
    assert trade_figures([]).win_rate is None
    assert trade_figures([]).profit_factor is None
