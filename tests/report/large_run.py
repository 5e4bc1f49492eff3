"""A made-up run with any number of candles and fills, as noisy as minute candles of a real market."""

from __future__ import annotations

import msgspec
import numpy as np

from botkit.model.results import BacktestResult, ClosedTrade, FillRow, PriceCandles
from tests.report.sample_result import pair, sample_result

MINUTE = 60 * 10**9


def large_run(candles: int, fills: int) -> BacktestResult:
    """Return a run on one-minute candles with alternating buys and sells."""
    base, chance = sample_result(days=2, orders=50), np.random.default_rng(3)
    own = pair("btc_usdt", 2)
    times = base.start + MINUTE * np.arange(candles)
    close = np.round(60_000 * np.exp(np.cumsum(chance.normal(0, 0.0005, candles))), 2)
    opened = np.concatenate(([close[0]], close[:-1]))
    high = np.round(np.maximum(opened, close) + chance.exponential(8, candles), 2)
    low = np.round(np.minimum(opened, close) - chance.exponential(8, candles), 2)
    volume = chance.exponential(0.4, candles)
    prices = PriceCandles(
        own, MINUTE, times.tolist(), opened.tolist(), high.tolist(), low.tolist(), close.tolist(), volume.tolist()
    )
    rows = _fills(base.fills[0], prices, fills, chance)
    return msgspec.structs.replace(
        base,
        prices=[prices],
        fills=rows,
        trades=[_trade(base.trades[0], rows[i], rows[i + 1]) for i in range(0, fills - 1, 2)],
        orders=[],
        indicators=[],
        currency="usdt",
        end=int(times[-1]) + MINUTE,
        data=msgspec.structs.replace(base.data, kinds={"btc_usdt": "candles 1m"}),
    )


def _fills(like: FillRow, prices: PriceCandles, count: int, chance: np.random.Generator) -> list[FillRow]:
    rows = np.linspace(0, len(prices.times) - 1, count).astype(int).tolist()
    seconds = np.sort(chance.integers(0, 60, count)).tolist()
    lots = chance.integers(10**5, 10**7, count).tolist()
    found = []
    for number, (row, second, amount) in enumerate(zip(rows, seconds, lots, strict=True)):
        ticks = round(prices.close[row] * 100)
        found.append(
            msgspec.structs.replace(
                like,
                time=prices.times[row] + second * 10**9,
                pair=prices.pair,
                side="sell" if number % 2 else "buy",
                price_ticks=ticks,
                lots=amount,
                value_units=ticks * amount // 100,
                value=ticks * amount / 1e10,
                client_id=number + 1,
                tag="",
            )
        )
    return sorted(found, key=lambda fill: fill.time)


def _trade(like: ClosedTrade, bought: FillRow, sold: FillRow) -> ClosedTrade:
    got = bought.value_units * sold.price_ticks // bought.price_ticks
    return msgspec.structs.replace(
        like,
        pairs=(bought.pair,),
        currency="usdt",
        opened=bought.time,
        closed=sold.time,
        units=bought.lots,
        entry_units=bought.value_units,
        exit_units=got,
        pnl_units=got - bought.value_units,
        pnl=(got - bought.value_units) / 1e8,
        steps=(),
    )
