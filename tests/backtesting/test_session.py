"""Running a single backtest: history before the start, queue assumptions, and garbage collection."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from botkit.assembly.backtest import backtest_parts
from botkit.backtesting import session
from botkit.backtesting.history import bars_before
from botkit.backtesting.parts import BacktestParts
from botkit.backtesting.session import READING_FIGURES, run_backtest
from botkit.engine.decisions import DecisionLog
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_MINUTE, NS_PER_S
from botkit.model.columns import BookColumns, TradeColumns
from botkit.project.project import Project
from botkit.tape.feed import Feed, TapeSource
from botkit.tape.writer import TapeWriter
from tests.backtest_world import run, write_candles, write_config, write_strategy
from tests.benchmarks import market_data

PAIRS = packaged_pairs()
PAIR = PAIRS["btc_usdt"]
START = market_data.START

QUOTER = """
pair: Pair

def on_start(self):
    self.subscribe_book(self.pair)

def on_book(self, book):
    self.quote(self.pair, bids=[(book.best_bid, 0.5)], asks=[(book.best_ask, 0.5)])
"""


def small_market(root: Path, rows: int = 400, hole_s: int = 0) -> Path:
    """Write one book per second, each accompanied by a trade of 0.3 at its best bid or ask, and leave a gap partway
    through.
    """
    seconds = np.arange(rows, dtype=np.int64)
    received = START + (seconds + np.where(seconds >= rows // 2, hole_s, 0)) * NS_PER_S
    best = 8_600_000 + (np.arange(rows) // 50 % 2) * 10
    bids, asks = np.stack([best, best - 1], axis=1), np.stack([best + 5, best + 6], axis=1)
    lots = np.full((rows, 2), 100_000_000, dtype=np.int64)
    books = BookColumns(PAIR, received, received, bids, lots, asks, lots)
    side = np.where(np.arange(rows) % 2 == 1, 1, -1).astype(np.int8)
    price = np.where(side > 0, asks[:, 0], bids[:, 0])
    late = received + NS_PER_S // 2
    trades = TradeColumns(PAIR, late, late, price, np.full(rows, 30_000_000, dtype=np.int64), side)
    with TapeWriter(root, source="test", recorded="test", synthetic=True, amount_decimals={"btc_usdt": 8}) as writer:
        writer.write(books)
        writer.write(trades)
    return root


@pytest.fixture
def parts(tmp_path: Path) -> BacktestParts:
    tape = small_market(tmp_path / "tape")
    config = write_config(
        tmp_path, f"{{path: {tape}, pair: btc_usdt}}", plugins=write_strategy(tmp_path, QUOTER),
        backtest='  fees: {maker: "0", taker: "0.002"}\n  latency: {order_ms: 100, answer_ms: 100}\n',
    )  # fmt: skip
    return backtest_parts(Project.load(config))


def test_resting_orders_are_reported_under_every_queue_assumption(parts: BacktestParts) -> None:
    seen: list[tuple[str, float]] = []
    result = run_backtest(parts, progress=lambda reading, share: seen.append((reading, share)))
    readings = {reading.name: reading for reading in result.queue_readings}
    assert list(readings) == ["queue", "optimistic", "pessimistic"]
    assert [reading.chosen for reading in result.queue_readings] == [True, False, False]
    assert all(tuple(reading.figures) == READING_FIGURES for reading in result.queue_readings)
    assert readings["queue"].figures["fills"] == result.summary["fills"]
    fills = {name: reading.figures["fills"] for name, reading in readings.items()}
    assert fills["pessimistic"] <= fills["queue"] < fills["optimistic"], fills
    assert {reading for reading, _ in seen} == set(readings)
    assert all(0 < share <= 1 for _, share in seen)


def test_the_other_queue_assumptions_can_be_skipped(parts: BacktestParts) -> None:
    assert run_backtest(parts, readings=False).queue_readings == []


def test_garbage_collection_settings_are_restored(parts: BacktestParts) -> None:
    before = gc.get_threshold()
    run_backtest(parts, readings=False)
    assert gc.get_threshold() == before


def test_decisions_are_written_to_disk_during_the_run(parts: BacktestParts, tmp_path: Path) -> None:
    import hashlib

    file = tmp_path / "decisions.jsonl"
    result = run_backtest(parts, decisions_to=file, readings=False)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == result.summary["journal_sha256"]


def test_querying_bars_before_a_given_time_returns_the_most_recent_finished_bars(tmp_path: Path) -> None:
    columns = market_data.candles(200)
    feed = Feed([TapeSource(market_data.write_tape(tmp_path / "tape", columns), PAIRS)])
    moment = START + 100 * NS_PER_MINUTE
    # row 99 is received at exactly this time
    for before, rows in ((moment, (96, 97, 98)), (moment + 1, (97, 98, 99))):
        minutes = bars_before(feed, PAIR, "1m", 3, before)
        assert [bar.time for bar in minutes] == [START + i * NS_PER_MINUTE for i in rows]
        assert [bar.close for bar in minutes] == [PAIR.rules.price(int(columns.close[i])) for i in rows]
    fives = bars_before(feed, PAIR, "5m", 2, moment + 2 * NS_PER_MINUTE)
    assert [bar.time for bar in fives] == [START + i * NS_PER_MINUTE for i in (90, 95)]
    assert fives[-1].close == PAIR.rules.price(int(columns.close[99]))
    assert bars_before(feed, PAIR, "1m", 3, START) == []


def test_bars_built_from_trades_are_warmed_up_with_the_trades_before_the_start(tmp_path: Path) -> None:
    columns = market_data.trades(20_000)
    feed = Feed([TapeSource(market_data.write_tape(tmp_path / "tape", columns), PAIRS)])
    info = feed.stream(PAIR, "trades", None)
    assert info is not None
    middle = (info.start + info.end) // 2 // NS_PER_MINUTE * NS_PER_MINUTE
    bars = bars_before(feed, PAIR, "1m", 5, middle + 1)
    assert [bar.time for bar in bars] == [middle - i * NS_PER_MINUTE for i in (5, 4, 3, 2, 1)]
    known = (columns.time >= bars[-1].time) & (columns.received <= middle)
    prices = [PAIR.rules.price(int(ticks)) for ticks in columns.ticks[known]]
    assert (bars[-1].open, bars[-1].close) == (prices[0], prices[-1])
    assert (bars[-1].high, bars[-1].low) == (max(prices), min(prices))
    assert bars_before(feed, PAIR, "1m", 5, info.start) == []
    # the tape starts partway through the first bucket, so its bar is incomplete
    assert bars_before(feed, PAIR, "1m", 10**4, middle)[0].time > info.start


BARS = """
pair: Pair

def on_start(self):
    self.series = self.subscribe_bars(self.pair, "1m", warm_up=3)

def on_ready(self):
    self.skip("history " + " ".join(f"{price:.2f}" for price in self.series.close))

def on_bar(self, bar):
    if len(self.series) <= 5:
        self.skip(f"bar {bar.close:.2f}, of {len(self.series)}")
"""


def test_a_bar_that_ends_at_the_start_time_is_delivered_exactly_once(tmp_path: Path) -> None:
    columns = market_data.candles(200)
    tape = market_data.write_tape(tmp_path / "tape", columns)
    config = write_config(tmp_path, f"{{path: {tape}, pair: btc_usdt}}", plugins=write_strategy(tmp_path, BARS))
    close = [f"{PAIR.rules.price(int(ticks)):.2f}" for ticks in columns.close]
    # in Taipei time; row 99 ends at 09:40
    for start, first in (("2024-01-01T09:40", 99), ("2024-01-01T09:40:30", 100)):
        result = run_backtest(backtest_parts(Project.load(config), start=start), readings=False)
        assert list(result.strategies[0].skips) == [
            "history " + " ".join(close[first - 3 : first]),
            f"bar {close[first]}, of 4",
            f"bar {close[first + 1]}, of 5",
        ]


BUYS = """
pair: Pair

def on_start(self):
    self.subscribe_book(self.pair)
    self.set_timer(every_s=300)

def on_timer(self, timer):
    if self.local_time.minute > 5:
        self.market_buy(self.pair, spend=10_000)
"""


@pytest.mark.parametrize("slice_rows", [1_000_000, 50])
def test_a_gap_in_the_books_is_reported_and_blocks_market_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slice_rows: int
) -> None:
    monkeypatch.setattr(session, "SLICE_ROWS", slice_rows)
    tape = small_market(tmp_path / "tape", hole_s=1_800)
    config = write_config(
        tmp_path, f"{{path: {tape}, pair: btc_usdt}}", plugins=write_strategy(tmp_path, BUYS),
        backtest='  fees: {maker: "0", taker: "0.002"}\n  latency: {order_ms: 100, answer_ms: 100}\n',
    )  # fmt: skip
    result = run_backtest(backtest_parts(Project.load(config)), readings=False)
    (hole,) = [caution.text for caution in result.warnings if "hole" in caution.text]
    assert hole.startswith(
        "btc_usdt books: 1 hole of 300 s or more, the longest lasting 1,801 s, from 2024-01-01T00:03:19"
    )
    refused = [order for order in result.orders if order.state == "refused"]
    assert [order.reason.partition("; ")[0] for order in refused] == [
        f"the book of btc_usdt is {age} s old" for age in ("450", "750", "1,050", "1,350", "1,650")
    ]
    assert len(result.fills) == len(result.orders) - len(refused) > 0


TWO_SERIES = """
pair: Pair

def on_start(self):
    self.subscribe_bars(self.pair, "1m")
    self.subscribe_bars(self.pair, "5m")
    self.subscribe_trades(self.pair)
"""


def test_trades_that_arrive_too_late_for_their_bar_are_counted_and_reported(tmp_path: Path) -> None:
    stamps = START + np.array([1, 50, 70, 58, 59, 130, 200], dtype=np.int64) * NS_PER_S
    received = START + np.array([1, 50, 70, 71, 72, 130, 200], dtype=np.int64) * NS_PER_S
    some = np.full(len(stamps), 1_000, dtype=np.int64)
    with TapeWriter(tmp_path / "tape", source="test", recorded="test", synthetic=True) as writer:
        writer.write(TradeColumns(PAIR, received, stamps, some, some, np.ones(len(stamps), dtype=np.int8)))
    config = write_config(
        tmp_path, str(tmp_path / "tape"), plugins=write_strategy(tmp_path, TWO_SERIES),
        backtest='  fees: {maker: "0", taker: "0.002"}\n  slippage: 0\n',
    )  # fmt: skip
    result = run_backtest(backtest_parts(Project.load(config)), readings=False)
    (late,) = [caution.text for caution in result.warnings if "arrived after" in caution.text]
    assert late.startswith("btc_usdt: 2 trades arrived after their bar had closed")


ORDERS_EACH_BAR = """
pair: Pair

def on_start(self):
    self.subscribe_bars(self.pair, "1m")

def on_bar(self, bar):
    self.market_buy(self.pair, spend=100)
"""


def test_bot_and_exchange_discard_old_final_orders_but_the_result_lists_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = market_data.write_tape(tmp_path / "tape", market_data.candles(1_000))
    config = write_config(
        tmp_path, f"{{path: {tape}, pair: btc_usdt}}", plugins=write_strategy(tmp_path, ORDERS_EACH_BAR),
        balances='{usdt: "1000000"}',
    )  # fmt: skip
    parts = backtest_parts(Project.load(config))
    whole = run_backtest(parts, readings=False)
    monkeypatch.setattr(session, "SLICE_ROWS", 100)
    run = session._one(parts, parts.reading, DecisionLog(), None, lambda level, text, now: None)
    assert run.recorder.orders == whole.orders
    assert len(whole.orders) > 900
    account = run.kernel.account(parts.account)
    kept = len(run.engine.view.orders()), len(account.orders), len(account.trades)
    assert max(kept) < 300, kept


def test_a_halt_is_reported_with_its_time(tmp_path: Path) -> None:
    write_candles(tmp_path / "candles.csv", [60_000.0] * 30 + [50_000.0] * 30)
    buyer = (
        'pair: Pair\n\ndef on_start(self):\n    self.subscribe_bars(self.pair, "1m")\n\n'
        "def on_bar(self, bar):\n    if not self.open_orders() and self.position(self.pair).is_flat:\n"
        "        self.market_buy(self.pair, spend=1000)\n"
    )
    config = write_config(
        tmp_path,
        "{path: candles.csv, pair: btc_usdt, resolution: 1m}",
        plugins=write_strategy(tmp_path, buyer),
        balances='{usdt: "1000"}',
        more="timezone: UTC\nrisk: {max_daily_loss: {usdt: 100}}\n",
    )
    (halt,) = [caution.text for caution in run(config).warnings if "halted" in caution.text]
    # the candle of 00:30 is known once it has ended
    assert halt.startswith("the bot was halted at 2024-01-01T00:31:00")
    assert "and did not trade on: the day's loss" in halt
