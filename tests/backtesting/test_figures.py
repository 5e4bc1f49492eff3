"""Every metric in a summary, compared with a calculation that uses only the candles and the fills."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from botkit.backtesting import session, statistics
from botkit.model.results import FillRow
from tests.backtest_world import run, write_candles, write_config, write_strategy

MINUTE = 60 * 10**9
START_MS = 1_704_067_200_000
OPENING = {"usdt": 10_000.0, "btc": 0.5}
BACKTEST = '  fees: {maker: "0.001", taker: "0.002"}\n  slippage: "0.0005"\n  latency: {order_ms: 0, answer_ms: 0}\n'
SELLS_AND_BUYS = """
pair: Pair

def on_start(self):
    self._count = 0
    self.subscribe_bars(self.pair, "1m")

def on_bar(self, bar):
    self._count += 1
    step = self._count % 400
    if step == 20:
        self.market_sell(self.pair, amount=0.4)
    elif step == 90:
        self.close(self.pair)
    elif step == 200:
        self.market_buy(self.pair, spend=6_000)
    elif step == 210:
        self.buy(self.pair, amount=0.05, price=bar.close * 0.998, expire_s=1800)
    elif step == 260:
        self.market_sell(self.pair, amount=0.05)
"""


def walk(rows: int) -> list[float]:
    draw, price, closes = random.Random(5), 20_000.0, []
    for _ in range(rows):
        price = round(price * math.exp(draw.gauss(0, 0.0008)), 2)
        closes.append(price)
    return closes


def equities(closes: list[float], fills: list[FillRow]) -> list[tuple[int, float]]:
    """Compute (time, total value) at every close, and immediately after each batch of fills."""
    held, at, points = dict(OPENING), 0, []
    for i, close in enumerate(closes):
        time = START_MS * 10**6 + (i + 1) * MINUTE
        points.append((time, held["usdt"] + held["btc"] * close))
        before = at
        while at < len(fills) and fills[at].time < time + MINUTE:
            fill, sign = fills[at], 1 if fills[at].side == "buy" else -1
            held["btc"] += sign * fill.lots / 1e8
            held["usdt"] -= sign * fill.value_units / 1e8
            held[fill.fee_currency] -= fill.fee_units / 1e8
            at += 1
        if at > before:
            points.append((fills[at - 1].time, held["usdt"] + held["btc"] * close))
    assert at == len(fills)
    return points


def gains(first: float, fills: list[FillRow]) -> tuple[list[float], float]:
    """Compute the profit of each sell order on coins that the strategy bought (first in, first out), and the total
    profit. Coins that were allocated to the strategy are valued at the first price and are sold last.
    """
    given, bought = OPENING["btc"], []
    earned: dict[int, float] = defaultdict(float)
    total = 0.0
    for fill in fills:
        if fill.side == "buy":
            bought.append([(fill.lots - fill.fee_units) / 1e8, fill.value_units / 1e8])
            continue
        left, price = fill.lots / 1e8, (fill.value_units - fill.fee_units) / fill.lots
        while left > 1e-9:
            lot = bought[0] if bought else [given, given * first]
            amount = min(left, lot[0])
            cost = lot[1] * amount / lot[0]
            left, lot[0], lot[1] = left - amount, lot[0] - amount, lot[1] - cost
            total += amount * price - cost
            if not bought:
                given -= amount
                continue
            earned[fill.client_id] += amount * price - cost
            if lot[0] < 1e-9:
                bought.pop(0)
    return list(earned.values()), total


def test_every_metric_of_a_run_matches_its_definition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "RETURNS_LEAST", 2)  # a thirty-day run would take too long
    closes = walk(4_000)
    data = write_candles(tmp_path / "candles.csv", closes, start_ms=START_MS)
    plugins = write_strategy(tmp_path, SELLS_AND_BUYS)
    result = run(
        write_config(
            tmp_path,
            f"[{{path: {data}, kind: candles, resolution: 1m, pair: btc_usdt}}]",
            plugins=plugins,
            balances='{usdt: "10000", btc: "0.5"}',
            backtest=BACKTEST,
            more="timezone: UTC\n",
        )
    )
    figures, fills = result.summary, sorted(result.fills, key=lambda fill: fill.time)
    assert len(fills) > 30
    assert {fill.is_maker for fill in fills} == {True, False}
    points = equities(closes, fills)
    values = [value for _, value in points]
    opening = OPENING["usdt"] + OPENING["btc"] * closes[0]

    def close_to(value: float) -> object:
        return pytest.approx(value, rel=1e-9, abs=1e-9)

    assert figures["opening_equity"] == close_to(opening)
    assert figures["final_equity"] == close_to(values[-1])
    assert figures["pnl"] == close_to(values[-1] - opening)
    assert figures["return"] == close_to(values[-1] / opening - 1)
    peak, fall = opening, 0.0
    for value in values:
        peak = max(peak, value)
        fall = max(fall, 1 - value / peak)
    assert figures["max_drawdown"] == close_to(fall)

    days: dict[object, float] = {}  # a row at midnight is part of the new day
    for time, value in points:
        days[datetime.fromtimestamp(time // 10**9, UTC).date()] = value
    ends = [opening, *days.values()][:-1]  # exclude the last day, which is incomplete
    returns = [b / a - 1 for a, b in pairwise(ends)]
    assert [(row.equity, row.return_) for row in result.days[:-1]] == [
        (close_to(value), close_to(change)) for value, change in zip(ends[1:], returns, strict=True)
    ]
    assert result.days[-1].return_ is None
    mean = sum(returns) / len(returns)
    deviation = math.sqrt(sum((r - mean) ** 2 for r in returns) / (len(returns) - 1))
    downside = math.sqrt(sum(min(r, 0) ** 2 for r in returns) / len(returns))
    assert figures["days"] == len(returns) == 2
    assert figures["sharpe"] == close_to(mean / deviation * math.sqrt(365))
    assert figures["sortino"] == close_to(mean / downside * math.sqrt(365))

    quote_fees = [f.fee_units / 1e8 * (1 if f.side == "sell" else closes_at(closes, f)) for f in fills]
    assert figures["fees"] == close_to(sum(quote_fees))
    assert figures["turnover"] == close_to(sum(fill.value_units / 1e8 for fill in fills))
    assert figures["buy_and_hold_return"] == close_to(closes[-1] / closes[0] - 1)

    earned, total = gains(closes[0], fills)
    assert figures["round_trips"] == len(earned)
    assert figures["win_rate"] == close_to(sum(g > 0 for g in earned) / len(earned))
    assert figures["profit_factor"] == close_to(sum(g for g in earned if g > 0) / -sum(g for g in earned if g < 0))
    (row,) = result.strategies
    assert row.realised == close_to(total)
    assert figures["expectancy"] == close_to(sum(earned) / len(earned))
    # positions use average cost, which shifts profit between realised and unrealised but does not change the total
    (position,) = row.positions
    assert position.realised + position.unrealised == pytest.approx(row.realised + row.unrealised, abs=1e-5)

    # the run begins with its first candle, whose close comes a minute later
    exposed, since, coins = 0, START_MS * 10**6, OPENING["btc"]
    begin, end = since, START_MS * 10**6 + len(closes) * MINUTE
    for fill in fills:
        least = coins >= 0.0001
        if least:
            exposed += fill.time - since
        since = fill.time
        coins += (fill.lots if fill.side == "buy" else -fill.lots) / 1e8
        coins -= fill.fee_units / 1e8 if fill.fee_currency == "btc" else 0
    exposed += end - since if coins >= 0.0001 else 0
    assert figures["exposure"] == pytest.approx(exposed / (end - begin), rel=1e-6)


@pytest.mark.parametrize("slice_rows", [60, 997])
def test_metrics_do_not_depend_on_chunk_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slice_rows: int) -> None:
    """Check that a five-day run with trades only on the second day yields identical metrics for every chunk size."""
    monkeypatch.setattr(statistics, "RETURNS_LEAST", 2)
    closes = walk(5 * 1440)
    data = write_candles(tmp_path / "candles.csv", closes, start_ms=START_MS)
    config = write_config(
        tmp_path,
        f"[{{path: {data}, kind: candles, resolution: 1m, pair: btc_usdt}}]",
        plugins=write_strategy(tmp_path, ONE_DAY),
        balances='{usdt: "10000"}',
        backtest=BACKTEST,
        more="timezone: UTC\n",
    )
    whole = run(config)
    monkeypatch.setattr(session, "SLICE_ROWS", slice_rows)
    cut = run(config)
    assert whole.summary["days"] == 5
    keys = [key for key in whole.summary if key not in ("wall_s", "events_per_second")]
    assert {key: cut.summary[key] for key in keys} == {key: whole.summary[key] for key in keys}
    assert cut.days == whole.days
    assert isinstance(whole.summary["sharpe"], float)


ONE_DAY = """
pair: Pair

def on_start(self):
    self.subscribe_bars(self.pair, "1h")
    self._bars = 0

def on_bar(self, bar):
    self._bars += 1
    if self._bars == 30:
        self.market_buy(self.pair, spend=5_000)
    if self._bars == 40:
        self.close(self.pair)
"""


def closes_at(closes: list[float], fill: FillRow) -> float:
    """Return the last close at or before a fill. Fees in coins are valued at this price."""
    return closes[max(0, (fill.time - START_MS * 10**6) // MINUTE - 1)]


TRADES_MUCH = """
pair: Pair

def on_start(self):
    self.subscribe_bars(self.pair, "1m")

def on_bar(self, bar):
    if self.position(self.pair).is_flat:
        self.market_buy(self.pair, spend=100_000)
    else:
        self.close(self.pair)
"""


@pytest.mark.parametrize("with_twd", [True, False])
def test_the_fee_rank_depends_on_volume_in_twd_even_if_the_bot_trades_only_usdt(tmp_path: Path, with_twd: bool) -> None:
    four_ms = 1_704_052_800_000  # 2024-01-01 04:00 in Taipei
    start_ms = four_ms - 5 * 3_600_000
    prices = [20_000.0] * 600
    btc = write_candles(tmp_path / "btc.csv", prices, start_ms=start_ms)
    data = [f"{{path: {btc}, kind: candles, resolution: 1m, pair: btc_usdt}}"]
    if with_twd:
        twd = write_candles(tmp_path / "twd.csv", [32.0] * 600, start_ms=start_ms)
        data.append(f"{{path: {twd}, kind: candles, resolution: 1m, pair: usdt_twd}}")
    config = write_config(
        tmp_path,
        f"[{', '.join(data)}]",
        plugins=write_strategy(tmp_path, TRADES_MUCH),
        balances='{usdt: "1000000"}',
        backtest="  fees: {rank: auto}\n  slippage: 0\n",
    )
    result = run(config)
    four = four_ms * 10**6
    rates = {(fill.time >= four, round(fill.fee_value / fill.value, 5)) for fill in result.fills}
    warned = any("no prices for usdt_twd" in caution.text for caution in result.warnings)
    if with_twd:
        assert rates == {(False, 0.002), (True, 0.001)}  # over 300 million TWD in five hours: rank 4
        assert not warned
    else:
        assert rates == {(False, 0.002), (True, 0.002)}
        assert warned
