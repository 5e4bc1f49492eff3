"""Runs W1 with basana: `python run_basana.py W1 ARRAYS`. The last line of output contains the results as JSON."""

import asyncio
import datetime
import json
import sys
import time
from collections import deque
from decimal import Decimal
from importlib.metadata import version

import basana as bs
import numpy as np
from basana.backtesting import exchange as backtesting_exchange
from basana.backtesting import fees, liquidity
from basana.core.event import FifoQueueEventSource

PAIR = bs.Pair("BTC", "USDT")


class Cross:
    """Holds one coin while a fast moving average is above a slow one."""

    def __init__(self, exchange):
        self.exchange = exchange
        self.closes = deque(maxlen=30)
        self.before = None
        self.holds = False
        self.fills = 0
        self.last = 0.0

    async def on_bar(self, event):
        """Trade when the averages cross."""
        self.last = float(event.bar.close)
        self.closes.append(self.last)
        if len(self.closes) < 30:
            return
        closes = list(self.closes)
        now = sum(closes[-10:]) / 10 - sum(closes) / 30
        before, self.before = self.before, now
        if before is None:
            return
        if before <= 0 < now and not self.holds:
            await self.exchange.create_market_order(bs.OrderOperation.BUY, PAIR, Decimal(1))
            self.holds, self.fills = True, self.fills + 1
        elif before >= 0 > now and self.holds:
            held = (await self.exchange.get_balance("BTC")).available
            await self.exchange.create_market_order(bs.OrderOperation.SELL, PAIR, held)
            self.holds, self.fills = False, self.fills + 1


def bars(data):
    """Yield the candles as events."""
    minute = datetime.timedelta(minutes=1)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    columns = [[Decimal(repr(v)) for v in data[n].tolist()] for n in ("open", "high", "low", "close", "volume")]
    for at, *figures in zip((data["time"] // 1_000_000_000).tolist(), *columns, strict=True):
        begin = epoch + datetime.timedelta(seconds=at)
        bar = bs.Bar(begin, PAIR, *figures, minute)
        yield bs.BarEvent(begin + minute, bar)


async def run(events):
    """Run the backtest on ``events`` and return (fills, final equity)."""
    dispatcher = bs.backtesting_dispatcher()
    exchange = backtesting_exchange.Exchange(
        dispatcher,
        initial_balances={"USDT": Decimal(10_000_000)},
        liquidity_strategy_factory=liquidity.InfiniteLiquidity,
        fee_strategy=fees.Percentage(percentage=Decimal("0.005")),
    )
    exchange.set_pair_info(PAIR, bs.PairInfo(8, 2))
    exchange.set_symbol_precision("USDT", 8)
    exchange.set_symbol_precision("BTC", 8)
    exchange.add_bar_source(FifoQueueEventSource(events=events))
    strategy = Cross(exchange)
    exchange.subscribe_to_bar_events(PAIR, strategy.on_bar)
    await dispatcher.run()
    coins = (await exchange.get_balance("BTC")).total
    money = (await exchange.get_balance("USDT")).total
    return strategy.fills, float(money) + float(coins) * strategy.last


def main(arrays):
    """Run the workload."""
    with np.load(arrays) as data:
        events = list(bars(data))
    wall, cpu = time.perf_counter(), time.process_time()
    fills, equity = asyncio.run(run(events))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        json.dumps(
            {"version": version("basana"), "run_s": wall, "run_cpu_s": cpu, "fills": fills, "final_equity": equity}
        )
    )


main(sys.argv[2])
