"""A strategy receives its own executions as public trades, ordered like all other trades."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_MINUTE, NS_PER_MS, NS_PER_S, format_time
from botkit.model.columns import BookColumns, TradeColumns
from botkit.tape.writer import TapeWriter
from tests.backtest_world import run, write_config, write_strategy
from tests.benchmarks import market_data

PAIRS = ("btc_usdt", "eth_usdt")
START = market_data.START

TAKER = """
pair: Pair
other: Pair

def on_start(self):
    for pair in (self.pair, self.other):
        self.subscribe_trades(pair)
        self.subscribe_book(pair)
    self.set_timer(every_s=60)

def on_timer(self, timer):
    self.market_buy(self.pair, spend=50)

def on_trade(self, trade):
    if trade.side is Side.BUY:
        self.skip(f"{self.now} {trade.pair}")
"""


@pytest.mark.parametrize("taken", PAIRS)
def test_own_executions_and_recorded_trades_with_equal_timestamps_are_ordered_by_pair(
    tmp_path: Path, taken: str
) -> None:
    pairs = packaged_pairs()
    other = next(name for name in PAIRS if name != taken)
    minute, met = START + NS_PER_MINUTE, START + NS_PER_MINUTE + 100 * NS_PER_MS
    lots, price = np.array([[10**10]] * 2, dtype=np.int64), np.array([[10_000]] * 2, dtype=np.int64)
    with TapeWriter(tmp_path / "tape", source="test", recorded="test", synthetic=True) as writer:
        for name in PAIRS:
            at = np.array([START, minute + NS_PER_S], dtype=np.int64)
            writer.write(BookColumns(pairs[name], at, at, price, lots, price + 10, lots))
            # Both pairs trade once at the start. The pair that we do not buy also trades when our order arrives and one
            # second after that; the pair that we buy also trades two seconds after our order arrives.
            moments = [START, met, met + NS_PER_S] if name == other else [START, met + 2 * NS_PER_S]
            when = np.array(moments, dtype=np.int64)
            side = np.array([-1] + [1] * (len(when) - 1), dtype=np.int8)
            some = np.full(len(when), 10_000, dtype=np.int64)
            writer.write(TradeColumns(pairs[name], when, when, some, some, side))
    config = write_config(
        tmp_path,
        str(tmp_path / "tape"),
        plugins=write_strategy(tmp_path, TAKER),
        params=f"{{pair: {taken}, other: {other}}}",
        balances='{usdt: "100000"}',
        backtest='  fees: {maker: "0", taker: "0"}\n  latency: {order_ms: 100}\n'
        f'  from: "{format_time(START)}"\n  to: "{format_time(minute + 5 * NS_PER_S)}"\n',
    )
    heard = [skip.split() for skip in run(config).strategies[0].skips]
    assert [(int(at), pair) for at, pair in heard][:2] == [(met, name) for name in PAIRS]
    assert len(heard) == 4
