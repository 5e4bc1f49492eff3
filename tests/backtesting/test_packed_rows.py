"""Rows in a temporary file: they must read like the list that they replace, and a longer run must not keep more of
them.
"""

from __future__ import annotations

import gc
import math
import pickle
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from botkit.assembly.backtest import backtest_parts
from botkit.backtesting import packed_rows, session
from botkit.backtesting.exact_sum import ExactSum
from botkit.backtesting.metrics import grouped_trades, trade_figures
from botkit.backtesting.outputs import fills_csv, orders_csv, trades_csv, zone_of
from botkit.backtesting.packed_rows import FILLS, MARKS, ORDERS, TRADES, PackedRows, Packing
from botkit.backtesting.session import run_backtest
from botkit.model import row_columns
from botkit.model.events import Fill
from botkit.model.orders import Condition, Order, OrderSpec, OrderType, Side
from botkit.model.results import BacktestResult, ClosedTrade, FillMark, FillRow, OrderRow
from botkit.model.row_columns import ChosenRows, column_blocks, row_blocks, row_values
from botkit.project.project import Project
from botkit.report.html import render
from tests.backtest_world import run, write_candles, write_config, write_strategy
from tests.report.sample_result import pair, sample_result

PAIRS = [pair("btc_usdt", 2), pair("eth_twd", 1)]
#: integers up to more than 64 bits, and floats with both zeros
whole = st.integers(-(2**70), 2**70) | st.integers(0, 5)
real = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0])
text = st.sampled_from(["", "a", "b,\n"]) | st.text(max_size=4)
pairs = st.sampled_from(PAIRS)
specs = st.builds(
    OrderSpec,
    client_id=whole,
    pair=pairs,
    side=st.sampled_from(Side),
    type=st.sampled_from(OrderType),
    price_ticks=whole,
    condition=st.none() | st.sampled_from(Condition),
    post_only=st.booleans(),
    strategy=text,
    created=whole,
    expires=st.none() | whole,
    max_slippage_pct=st.none() | real,
    tag=text,
)
rows_of: dict[str, tuple[Packing[Any], st.SearchStrategy[Any]]] = {
    "orders": (ORDERS, st.builds(OrderRow, specs, whole, whole, text, text, text, whole, whole)),
    "fills": (
        FILLS,
        st.builds(
            FillRow, whole, text, whole, text, pairs, text, st.booleans(), whole, whole, whole, whole, text, real, real,
            text,
        ),
    ),
    "trades": (
        TRADES,
        st.builds(
            ClosedTrade,
            strategy=text,
            pairs=st.lists(pairs, min_size=1, max_size=3).map(tuple),
            kind=st.sampled_from(["long", "short", "loop"]),
            currency=text,
            opened=whole,
            closed=whole,
            units=whole,
            entry_units=whole,
            exit_units=whole,
            fee_units=whole,
            pnl_units=whole,
            pnl=real,
            is_given=st.booleans(),
            entry_tag=text,
            client_id=whole,
            steps=st.lists(st.tuples(whole, whole, whole), max_size=4).map(tuple),
            mae=st.none() | real,
            mfe=st.none() | real,
        ),
    ),
    "marks": (MARKS, st.builds(FillMark, st.none() | real, st.tuples(real, st.none() | real, st.none()))),
}  # fmt: skip


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_rows, "BLOCK_ROWS", 4)
    monkeypatch.setattr(row_columns, "BLOCK_ROWS", 3)


@pytest.fixture(params=["file", "full disk", "disk that fills up"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write to the temporary file, or find the disk full, at first or at the third block."""
    make: Callable[..., Any] = tempfile.TemporaryFile

    class Filling:
        def __init__(self) -> None:
            self._file, self._writes = make(buffering=0), 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def write(self, data: bytes) -> int:
            self._writes += 1
            return int(self._file.write(data if self._writes < 3 else data[:5]))

    def refuse() -> Any:
        raise OSError("no space left on device")

    if request.param != "file":
        broken: Callable[[], Any] = refuse if request.param == "full disk" else Filling
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: broken())


@pytest.mark.usefixtures("small_blocks", "disk")
@pytest.mark.parametrize("kind", list(rows_of))
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_packed_rows_read_like_a_list(kind: str, data: st.DataObject) -> None:
    packing, row = rows_of[kind]
    kept = data.draw(st.lists(row, max_size=30))
    packed: PackedRows[Any] = PackedRows(packing)
    for begin in range(0, len(kept), 7):
        packed.extend(kept[begin : begin + 7])
    assert packed.is_in_memory is (len(kept) <= 4)
    _assert_equal(packed, kept)
    assert [row for block in row_blocks(packed) for row in block] == kept
    for cut in (slice(3, 9), slice(None, None, 5), slice(20, 90), slice(9, 3), slice(None, None, -1), slice(-6, None)):
        _assert_equal(packed[cut], kept[cut])
    for place in range(-len(kept), len(kept)):
        _assert_equal([packed[place]], [kept[place]])
    with pytest.raises(IndexError):
        packed[len(kept)]
    again = pickle.loads(pickle.dumps(packed))
    assert type(again) is list
    _assert_equal(again, kept)
    for name in packing.names:
        assert repr(list(row_values(packed, name))) == repr(list(row_values(kept, name))), name
    name, other = packing.names[0], packing.names[-1]
    both = list(column_blocks(packed, name, other, backwards=True))
    assert [row for block in reversed(both) for row in zip(*block, strict=True)] == list(row_values(kept, name, other))
    order = data.draw(st.permutations(range(len(kept))))
    chosen = ChosenRows(packed, np.array(order, np.int64))
    _assert_equal(list(chosen), [kept[place] for place in order])
    packed.reorder(np.array(order, np.int64))
    _assert_equal(packed, [kept[place] for place in order])


def _assert_equal(found: Sequence[Any], kept: Sequence[Any]) -> None:
    """Compare with the text, too, because 0.0 equals -0.0 and True equals 1."""
    assert found == kept
    assert kept == found
    assert len(found) == len(kept)
    assert list(map(repr, found)) == list(map(repr, kept))


def _with_trades(result: BacktestResult) -> BacktestResult:
    """Return the run with thirty trades of several kinds."""
    trade, replace = result.trades[0], msgspec.structs.replace
    trades = [
        replace(
            trade,
            client_id=number,
            closed=trade.closed + number * 10**12,
            pnl_units=trade.pnl_units * (7 - number),
            pnl=trade.pnl * (7 - number),
            exit_tag=f"{number % 3}",
            kind=("long", "short", "loop")[number % 3],
            is_given=number % 5 == 0,
            mae=None if number % 4 else -0.1 / (1 + number),
        )
        for number in range(30)
    ]
    return replace(result, trades=trades)


@pytest.mark.usefixtures("small_blocks", "disk")
def test_replaced_columns_are_read_back() -> None:
    kept = list(_with_trades(sample_result(days=3, orders=40)).trades)
    packed = PackedRows(TRADES, kept)
    for block in range(row_columns.block_count(packed)):
        (before,) = row_columns.columns_of(packed, block, "client_id")
        packed.set_columns(block, {"mae": [-float(c) for c in before], "mfe": [float(c) for c in before]})
    changed = [msgspec.structs.replace(t, mae=-float(t.client_id), mfe=float(t.client_id)) for t in kept]
    _assert_equal(packed, changed)


@pytest.mark.usefixtures("small_blocks")
def test_report_and_tables_are_the_same_from_packed_rows() -> None:
    plain = _with_trades(sample_result(days=3, orders=120))
    packed = msgspec.structs.replace(
        plain,
        orders=PackedRows(ORDERS, plain.orders),
        fills=PackedRows(FILLS, plain.fills),
        trades=PackedRows(TRADES, plain.trades),
    )
    zone = zone_of(plain)

    def tables(result: BacktestResult) -> list[Any]:
        return [
            orders_csv(result.orders, zone),
            fills_csv(result.fills, "twd", zone),
            trades_csv(result.trades, "twd", zone),
            trade_figures(result.trades),
            grouped_trades(result.trades, zone),
            render(result),
        ]

    assert tables(packed) == tables(plain)


def test_the_sum_of_blocks_is_that_of_all_values_together() -> None:
    chance = random.Random(5)
    for _ in range(50):
        numbers = [chance.uniform(-1, 1) * 10.0 ** chance.randint(-20, 20) for _ in range(chance.randrange(60))]
        found = ExactSum()
        for begin in range(0, len(numbers), 7):
            found.add(numbers[begin : begin + 7])
        assert found.value == math.fsum(numbers)


ORDERS_UP_TO = """
pair: Pair
most: int = 0

def on_start(self):
    self.subscribe_bars(self.pair, "1m")
    self.placed = 0

def on_bar(self, bar):
    if self.placed < self.most:
        self.placed += 1
        if self.placed % 2:
            self.market_buy(self.pair, amount=1, tag=f"{self.placed}")
        else:
            self.close(self.pair)
"""


def _walk(count: int) -> list[float]:
    chance, price, closes = random.Random(3), 100.0, []
    for _ in range(count):
        price = max(50.0, price + chance.uniform(-1, 1))
        closes.append(price)
    return closes


def _config(folder: Path, orders: int) -> Path:
    folder.mkdir()
    candles = write_candles(folder / "candles.csv", _walk(orders + 30))
    return write_config(
        folder,
        f"{{path: {candles}, pair: btc_usdt, resolution: 1m}}",
        plugins=write_strategy(folder, ORDERS_UP_TO),
        params=f"{{pair: btc_usdt, most: {orders}}}",
        balances='{usdt: "1000000"}',
    )


def _alive(config: Path) -> tuple[int, int]:
    """Return the highest number of orders and fills that were alive after a slice of the run, and how many memory
    blocks the result's orders, fills and trades take.
    """
    alive: list[int] = []

    def count(reading: str, share: float) -> None:
        gc.collect()
        alive.append(sum(type(kept) in (Order, Fill) for kept in gc.get_objects()))

    result = run_backtest(backtest_parts(Project.load(config)), readings=False, progress=count)
    gc.collect()
    before = sys.getallocatedblocks()
    result.orders = result.fills = result.trades = ()
    gc.collect()
    return max(alive), before - sys.getallocatedblocks()


def test_a_run_with_more_orders_keeps_no_more_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_rows, "BLOCK_ROWS", 256)
    monkeypatch.setattr(session, "SLICE_ROWS", 400)
    few, many = 2 * 1_024 + 100, 5 * 1_024 + 100  # the same number of rows is left over after the last block
    _alive(_config(tmp_path / "first", 300))  # fills caches
    alive, blocks = _alive(_config(tmp_path / "few", few))
    alive_more, blocks_more = _alive(_config(tmp_path / "many", many))
    assert alive_more <= alive * 1.1
    # an order, its fill and its share of a trade were more than ten memory blocks
    assert blocks_more - blocks < many - few


def test_a_run_written_in_small_blocks_has_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = _config(tmp_path / "run", 120)
    kept = run(config)
    monkeypatch.setattr(packed_rows, "BLOCK_ROWS", 5)
    packed = run(config)
    for name in ("orders", "fills", "trades"):
        assert len(getattr(kept, name)) >= 60
        _assert_equal(getattr(packed, name), list(getattr(kept, name)))
    assert packed.groups == kept.groups
