"""A made-up run with every component that a report can show: two strategies, two pairs, waits, refusals, queue
assumptions.
"""

from __future__ import annotations

import math
import random

import numpy as np

from botkit.backtesting.downsample import CandleSampler, CurveSampler
from botkit.engine.indicators.moving_averages import SMA
from botkit.engine.indicators.oscillators import MACD, RSI
from botkit.engine.indicators.volatility import Bollinger
from botkit.engine.strategy.bar_series import BarSeries
from botkit.engine.strategy.plots import PlotStore
from botkit.model.clock import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, NS_PER_S, parse_time
from botkit.model.order_spec import OrderSpec, OrderType, Side
from botkit.model.pairs import Pair, PairRules
from botkit.model.results import (
    SUMMARY_KEYS,
    BacktestResult,
    Caution,
    ClosedTrade,
    Curve,
    DataDescription,
    Drawdown,
    EndpointUse,
    Figure,
    FillRow,
    IndicatorLine,
    MakerRow,
    OrderRow,
    PositionRow,
    QueueReading,
    RouterUse,
    StrategyRow,
    TradeFigures,
)


def pair(name: str = "btc_twd", price_decimals: int = 0, least_lots: int = 10_000) -> Pair:
    rules = PairRules(
        price_decimals=price_decimals,
        amount_decimals=8,
        display_decimals=8,
        least_lots=least_lots,
        most_lots=10**16,
        least_spend_units=10**8,
        open_orders_max=200,
    )
    return Pair(name, rules)


def sample_result(*, days: int = 31, orders: int = 400, name: str = "majors", synthetic: bool = True) -> BacktestResult:
    """Return a run of ``days`` days whose values are consistent wherever a reader might check them against each
    other.
    """
    chance = random.Random(7)
    noise = np.random.default_rng(7)
    start = parse_time("2025-03-01T00:00+08:00")
    minutes = days * 24 * 60
    end = start + minutes * NS_PER_MINUTE
    times = start + NS_PER_MINUTE * np.arange(minutes, dtype=np.int64)
    pairs = [pair("btc_twd", 0), pair("eth_twd", 1)]
    prices = []
    closes = {}
    for p, first, step in ((pairs[0], 2_750_000.0, 0.0007), (pairs[1], 72_500.0, 0.0009)):
        close = first * np.exp(np.cumsum(noise.normal(0.000002, step, minutes)))
        sampler = CandleSampler(p)
        sampler.add(times, close, volume=np.random.default_rng(8).exponential(0.4, minutes))
        prices.append(sampler.candles())
        closes[str(p)] = close
    names = ["sma_btc", "maker_eth"]
    strategy_equity = {}
    total = np.zeros(minutes)
    for i, strategy in enumerate(names):
        walk = 500_000 + 22_000 * np.cumsum(noise.normal(0.00002 * (1 - 0.4 * i), 0.005, minutes))
        sampler = CurveSampler(500)
        sampler.add(times, walk)
        strategy_equity[strategy] = sampler.curve()
        total += walk
    whole = CurveSampler()
    whole.add(times, total)
    peaks = np.maximum.accumulate(total)
    trough = int((total / peaks).argmin())
    rows, fills = _orders_and_fills(chance, orders, pairs, names, times, closes)
    summary: dict[str, Figure] = {
        "strategy": ", ".join(names),
        "currency": "twd",
        "orders": len(rows),
        "fills": len(fills),
        "refused": sum(r.state == "refused" for r in rows),
        "opening_equity": 1_000_000.0,
        "final_equity": float(total[-1]),
        "pnl": float(total[-1] - 1e6),
        "return": float(total[-1] / 1e6 - 1),
        "max_drawdown": float(1 - total[trough] / peaks[trough]),
        "sharpe": 1.84,
        "sortino": 2.61,
        "fees": math.fsum(f.fee_value for f in fills),
        "turnover": math.fsum(f.value for f in fills),
        "exposure": 0.4312,
        "win_rate": 0.5423,
        "profit_factor": 1.31,
        "buy_and_hold_return": 0.0412,
        "events": 1_204_311,
        "events_per_second": 2_204_000,
        "wall_s": 0.546,
        "orders_delayed": 12,
        "max_queue_ms": 1_840.0,
        "journal_sha256": "9f2c" * 16,
        "turnover_ratio": 3.1,
        "round_trips": 120,
        "expectancy": 102.5,
        "average_trade": 0.0021,
        "best_trade": 0.034,
        "worst_trade": -0.019,
        "average_holding_s": 8_100.0,
        "longest_holding_s": 200_000.0,
        "cagr": 0.31,
        "volatility": 0.22,
        "calmar": 4.2,
        "var_95": -0.011,
        "cvar_95": -0.016,
        "longest_drawdown_s": 700_000.0,
        "days": days,
        "ratios_missing": None,
    }
    figures = TradeFigures(
        count=60, wins=33, gross_profit=9_000.0, gross_loss=7_000.0, average_return=0.002, best_return=0.034,
        worst_return=-0.019, average_holding_s=8_100.0, longest_holding_s=200_000.0,
    )  # fmt: skip

    def reading(name: str, chosen: bool, better: float) -> QueueReading:
        figures = dict(summary)
        figures |= {"return": summary["return"] + better, "final_equity": summary["final_equity"] + better * 1e6}  # type: ignore[operator]
        figures["fills"] = int(len(fills) * (1 + 8 * better))
        return QueueReading(name=name, chosen=chosen, figures=figures)

    return BacktestResult(
        name=name,
        currency="twd",
        timezone="Asia/Taipei",
        start=start,
        end=end,
        seed=42,
        summary=summary,
        equity=whole.curve(),
        drawdown=Drawdown(
            float(1 - total[trough] / peaks[trough]), int(times[int(total[: trough + 1].argmax())]), int(times[trough])
        ),
        data=DataDescription(
            path="backtest_data",
            start=start,
            end=end,
            rows=1_204_311,
            synthetic=synthetic,
            kinds={"btc_twd": "candles 1m", "eth_twd": "books and trades"},
            source="synthetic market, seed 1",
            gaps=2,
        ),
        config_text="name: majors\nexchange: bitopro\nstrategies:\n  - name: sma_btc\n    use: sma_cross\n"
        "    params: {pair: btc_twd, fast: 10, slow: 30}\n  - name: maker_eth\n    use: market_maker\n",
        strategies=[
            StrategyRow(
                name=strategy,
                use=use,
                orders=sum(r.spec.strategy == strategy for r in rows),
                fills=sum(f.strategy == strategy for f in fills),
                refused=sum(r.spec.strategy == strategy and r.state == "refused" for r in rows),
                pnl=curve.values[-1] - 500_000,
                return_=curve.values[-1] / 500_000 - 1,
                max_drawdown=0.021,
                fees=math.fsum(f.fee_value for f in fills if f.strategy == strategy),
                turnover=math.fsum(f.value for f in fills if f.strategy == strategy),
                realised=(curve.values[-1] - 500_000) * 0.8,
                unrealised=(curve.values[-1] - 500_000) * 0.2,
                win_rate=0.54,
                round_trips=60,
                positions=[PositionRow(pair=p, lots=4_210_000, average_entry=closes[str(p)][-1] * 0.99)]
                if strategy == "sma_btc"
                else [],
                skips={"spread of 2.1 bps is below the break-even of 40 bps": 312, "no trend": 77},
                refusals={"needs 50,000 TWD, 12,000 available (38,000 locked in 2 orders)": 9},
            )
            for strategy, use, p, curve in zip(
                names, ["sma_cross", "market_maker"], pairs, strategy_equity.values(), strict=True
            )
        ],
        strategy_equity=strategy_equity,
        orders=rows,
        fills=fills,
        trades=[
            ClosedTrade(
                strategy=names[0],
                pairs=(pairs[0],),
                kind="long",
                currency="twd",
                opened=start,
                closed=end - 1,
                units=10_000_000,
                entry_units=200_000_00000000,
                exit_units=210_000_00000000,
                fee_units=820_00000000,
                pnl_units=9_180_00000000,
                pnl=9_180.0,
                entry_tag="breakout, up",
                exit_reason="take_profit",
                client_id=7,
                mae=-0.012,
                mfe=0.061,
            )
        ],
        groups={
            "pair": {str(p): figures for p in pairs},
            "exit_reason": {"signal": figures, "take_profit": figures},
            "entry_tag": {"": figures, "breakout, up": figures},
            "month": {"2025-03": figures},
        },
        makers=[
            MakerRow(
                strategy=names[1],
                pair=pairs[1],
                fills=40,
                value=400_000.0,
                share=0.9,
                spread_bps=4.1,
                markouts_bps=(2.0, -1.5, None),
                fee_bps=10.0,
                inventory_least=-1.25,
                inventory_most=2.0,
                inventory_average=0.3,
            )
        ],
        drawdowns=[Drawdown(0.04, start, start + NS_PER_HOUR), Drawdown(0.01, start, start + 1, start + NS_PER_HOUR)],
        prices=prices,
        indicators=_lines(pairs[0], times, closes["btc_twd"], names),
        router=RouterUse(
            endpoints=[
                EndpointUse(
                    endpoint="create_order",
                    limit="1,200 in 60 s per account and IP",
                    requests=388,
                    peak_use=0.42,
                    delayed=8,
                    wait_p50_ms=120.0,
                    wait_p99_ms=1_730.0,
                    wait_max_ms=1_840.0,
                ),
                EndpointUse(
                    endpoint="cancel_order",
                    limit="900 in 60 s per account and IP",
                    requests=120,
                    peak_use=0.91,
                    delayed=4,
                    wait_p50_ms=40.0,
                    wait_p99_ms=310.0,
                    wait_max_ms=312.0,
                ),
                EndpointUse(
                    endpoint="create_batch",
                    limit="90 in 60 s per account and IP",
                    requests=6,
                    peak_use=0.03,
                    batched=48,
                ),
            ],
            orders_delayed=12,
            max_queue_ms=1_840.0,
            batched=48,
            dropped=1,
        ),
        assumptions=[
            "Market orders on candles fill at the next open plus a slippage of 0.02 %.",
            "A resting order joins behind the amount recorded at its price; trades at the price use it up.",
            "Our orders do not move the market.",
            "An order arrives 100 ms after it was sent, its answer comes 100 ms later.",
            "Fees: maker 0.1 %, taker 0.2 %, from the configuration; halves round up at 1e-8.",
        ],
        warnings=[
            Caution("slippage is 0: market orders fill at the open itself, which no exchange grants."),
            Caution("3 market fills took more than 10 % of their bar's volume.", grave=False),
        ],
        queue_readings=[
            reading("pessimistic", False, -0.012),
            reading("queue", True, 0.0),
            reading("optimistic", False, 0.019),
        ],
        dust=["0.00000431 BTC of sma_btc"],
        versions={"botkit": "0.1.0", "python": "3.11.9", "numpy": "2.1.0"},
    )


def _lines(pair: Pair, times: np.ndarray, close: np.ndarray, names: list[str]) -> list[IndicatorLine]:
    """Return indicators on hourly bars for every kind of pane, and one plot."""
    store = PlotStore(names[0], takes_indicators=True, whole_run=True)
    bars = BarSeries(pair, "1h", plots=store)
    for indicator in (SMA(10), SMA(30), Bollinger(20), RSI(14), MACD()):
        bars.attach(indicator)
    bars.attach(SMA(24), of="volume")
    hours = times[::60]
    closes = close[59::60]
    bars.extend(hours, closes, closes, closes, closes, np.random.default_rng(8).exponential(24.0, len(hours)))
    other = PlotStore(names[1])
    for i in range(0, len(times), 240):
        other.plot(int(times[i]), "spread_bps", 4 + 3 * math.sin(i / 900), pair="btc_twd")
    return store.lines() + other.lines()


def _orders_and_fills(
    chance: random.Random,
    number: int,
    pairs: list[Pair],
    names: list[str],
    times: np.ndarray,
    closes: dict[str, np.ndarray],
) -> tuple[list[OrderRow], list[FillRow]]:
    rows: list[OrderRow] = []
    fills: list[FillRow] = []
    at = sorted(chance.randrange(len(times)) for _ in range(number))
    for i, minute in enumerate(at):
        which = chance.random() < 0.5
        p, strategy = pairs[which], names[which]
        created = int(times[minute]) + chance.randrange(NS_PER_MINUTE)
        side = "buy" if i % 4 < 2 else "sell"
        ticks = round(float(closes[str(p)][minute]) * 10**p.rules.price_decimals)
        lots = p.rules.lots(8_000 / p.rules.price(ticks))
        state = chance.choices(["filled", "cancelled", "refused", "post_only_cancelled"], [80, 14, 3, 3])[0]
        done = lots if state == "filled" else 0
        waited = chance.choice([0, 0, 0, 120, 1_840]) * NS_PER_MS
        rows.append(
            OrderRow(
                OrderSpec(
                    client_id=1_000 + i,
                    pair=p,
                    side=Side(side),
                    type=OrderType.LIMIT if which else OrderType.MARKET,
                    price_ticks=ticks,
                    amount_lots=lots,
                    post_only=bool(which),
                    strategy=strategy,
                    created=created,
                    tag="entry",
                ),
                0 if state == "refused" else created + waited,
                created + NS_PER_S,
                str(80_000_000 + i),
                state,
                "needs 50,000 TWD, 12,000 available" if state == "refused" else "",
                done,
                p.rules.value_units(ticks, done),
            )
        )
        if not done:
            continue
        value = p.rules.value_units(ticks, lots)
        fee = value // (1000 if which else 500)
        base_fee = p.rules.base_units(lots) // (1000 if which else 500)
        fills.append(
            FillRow(
                created + NS_PER_S,
                strategy,
                1_000 + i,
                str(80_000_000 + i),
                p,
                side,
                bool(which),
                ticks,
                lots,
                value,
                base_fee if side == "buy" else fee,
                p.base if side == "buy" else p.quote,
                value / 1e8,
                fee / 1e8,
                "entry",
            )
        )
    return rows, fills


def bare_result() -> BacktestResult:
    """Return a one-hour run without prices or orders."""
    summary: dict[str, Figure] = dict.fromkeys(SUMMARY_KEYS)
    summary |= {
        "strategy": "idle",
        "orders": 0,
        "fills": 0,
        "refused": 0,
        "fees": 0.0,
        "turnover": 0.0,
        "events": 0,
        "wall_s": 0.1,
        "orders_delayed": 0,
        "max_queue_ms": 0.0,
        "journal_sha256": "00" * 32,
        "ratios_missing": "0 daily returns; a ratio needs 30",
    }
    start = parse_time("2025-03-01T00:00+08:00")
    return BacktestResult(
        name="idle",
        currency="twd",
        timezone="Asia/Taipei",
        start=start,
        end=start + NS_PER_HOUR,
        seed=0,
        summary=summary,
        equity=Curve([], []),
        drawdown=Drawdown(),
        data=DataDescription(path="x", start=start, end=start + NS_PER_HOUR, rows=0, synthetic=False),
    )
