"""In a backtest, a strategy's own orders never cross the books that are delivered to the strategy, and never cause a
book to be withheld.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botkit.model.clock import format_time
from botkit.model.columns import BookColumns, TradeColumns
from botkit.tape.writer import TapeWriter
from tests.backtest_world import run, write_config, write_strategy
from tests.sim.venue import BTC, LOT, T0, S

MS = 10**6

BUYER = """
pair: Pair

def on_start(self):
    self.subscribe_book(self.pair)
    self._books = 0

def on_book(self, book):
    self._books += 1
    if self._books == 1:
        self.buy(self.pair, amount=0.01, price=100.0, post_only=True)

def on_stop(self):
    self.skip(f"saw {self._books} books")
"""


def write_falling_tape(folder: Path, seconds: int) -> None:
    """Write a market that falls by half a dollar per second and gaps down through 100, with a single trade at 100."""
    best = [100_00 - 50 * i for i in range(seconds)]
    received = np.array([T0 + i * S for i in range(seconds)], dtype=np.int64)
    column = lambda values: np.array(values, dtype=np.int64).reshape(-1, 1)  # noqa: E731
    lots = column([LOT] * seconds)
    with TapeWriter(folder, source="a test", recorded="made up", synthetic=True) as writer:
        writer.write(BookColumns(BTC, received, received, column(best), lots, column([b + 100 for b in best]), lots))
        one = np.array([100_00], dtype=np.int64)
        when = received[:1]
        writer.write(TradeColumns(BTC, when, when, one, one, np.array([1], dtype=np.int8)))


@pytest.mark.parametrize("reading", ["queue", "pessimistic"])
def test_no_book_is_withheld_when_the_market_trades_through_a_quote(tmp_path: Path, reading: str) -> None:
    write_falling_tape(tmp_path / "tape", 20)
    config = write_config(
        tmp_path,
        str(tmp_path / "tape"),
        plugins=write_strategy(tmp_path, BUYER),
        backtest=f'  fees: {{maker: "0", taker: "0"}}\n  fills: {{model: {reading}}}\n'
        f'  from: "{format_time(T0)}"\n  to: "{format_time(T0 + 20 * S)}"\n',
    )
    result: Any = run(config)
    (skip,) = result.strategies[0].skips
    seen = int(skip.split()[1])
    assert seen == 20
    assert not [caution.text for caution in result.warnings if "withheld" in caution.text]


TIMES = """
pair: Pair

def on_start(self):
    self.subscribe_book(self.pair)

def on_book(self, book):
    self.skip(str(self.now))
"""


@pytest.mark.parametrize("synthetic", [False, True])
def test_books_recorded_from_the_wire_are_published_at_their_receive_times(tmp_path: Path, synthetic: bool) -> None:
    """Use frames that arrive from the exchange about once a second, with a jitter of 0.1 s."""
    received = np.array([T0 + i * S + (i * 37 % 11 - 5) * 20 * MS for i in range(1, 60)], dtype=np.int64)
    column = lambda values: np.array(values, dtype=np.int64).reshape(-1, 1)  # noqa: E731
    lots, prices = column([LOT] * len(received)), range(100_00, 100_00 + len(received))
    with TapeWriter(tmp_path / "tape", source="a test", recorded="made up", synthetic=synthetic) as writer:
        sides = (column(prices), lots, column([p + 100 for p in prices]), lots)
        writer.write(BookColumns(BTC, received, received - 5 * MS, *sides))
        one = np.array([100_00], dtype=np.int64)
        writer.write(TradeColumns(BTC, received[:1], received[:1] - 5 * MS, one, one, np.array([1], dtype=np.int8)))
    span = f'  from: "{format_time(T0)}"\n  to: "{format_time(T0 + 60 * S)}"\n'
    config = write_config(
        tmp_path,
        str(tmp_path / "tape"),
        plugins=write_strategy(tmp_path, TIMES),
        backtest='  fees: {maker: "0", taker: "0"}\n' + span,
    )
    seen = [int(skip) for skip in run(config).strategies[0].skips]
    assert (seen == received.tolist()) is not synthetic
    if synthetic:
        assert min(b - a for a, b in pairwise(seen)) == S


QUOTES_ONCE = """
pair: Pair

def on_start(self):
    self.subscribe_book(self.pair)
    self.subscribe_trades(self.pair)
    self._done = False

def on_book(self, book):
    if not self._done:
        self._done = True
        self.buy(self.pair, amount=0.01, price=100.0)
        self.buy(self.pair, amount=0.01, price=99.0)

def on_fill(self, fill):
    self.skip(f"filled at {self.now}")
"""


def test_without_latency_an_order_sent_in_response_to_a_book_is_affected_by_simultaneous_trades(tmp_path: Path) -> None:
    """Place an order at 100 with an amount of 0.01 ahead of the order. One trade of 0.01 arrives together with the
    book, and another trade arrives every second after that.
    """
    at = np.array([T0 + i * S for i in range(5)], dtype=np.int64)
    column = lambda value: np.array([[value]], dtype=np.int64)  # noqa: E731
    with TapeWriter(tmp_path / "tape", source="a test", recorded="made up", synthetic=True) as writer:
        writer.write(BookColumns(BTC, at[:1], at[:1], column(100_00), column(LOT), column(101_00), column(LOT)))
        side = np.full(5, -1, dtype=np.int8)
        writer.write(TradeColumns(BTC, at, at, np.full(5, 100_00), np.full(5, LOT), side))
    config = write_config(
        tmp_path,
        str(tmp_path / "tape"),
        plugins=write_strategy(tmp_path, QUOTES_ONCE),
        backtest='  fees: {maker: "0", taker: "0"}\n  latency: {order_ms: 0, answer_ms: 0}\n',
    )
    result = run(config)
    # the trade that arrives with the book consumes the amount ahead, and the next trade fills the order
    assert list(result.strategies[0].skips) == [f"filled at {T0 + S}"]
