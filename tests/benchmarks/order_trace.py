"""Traces the life cycle of an order through the code: ``python tests/benchmarks/order_trace.py [TOP] [--opcodes]``.

Counts the calls of Python functions under ``botkit/`` (`sys.setprofile`, "call" events; generators count each time they
resume) in one backtest with orders and in the same backtest without orders, and divides the difference by the number of
orders. Calls made for every row of data cancel out. The costs of splitting quiet spans, of the simulated exchange, and
of recording the results are attributed to the orders. The number of calls does not depend on the machine, so a test can
enforce a maximum (tests/engine/test_order_life_calls.py). With ``TOP``, the script also prints the ``TOP`` functions
with the most calls per order, and the calls by folder. ``--opcodes`` counts executed bytecode instructions instead.
This count tracks CPU time more closely and does not depend on the machine either, but takes minutes.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import botkit
from botkit.assembly.backtest import backtest_parts
from botkit.backtesting import session
from botkit.backtesting.driver import Driver
from botkit.model.columns import MarketColumns
from botkit.project.project import Project
from botkit.tape.feed import Slice
from tests.backtest_world import write_config, write_strategy
from tests.benchmarks import market_data

PACKAGE = str(Path(botkit.__file__).parent) + "/"
ROWS = {"candles": 2_000, "trades": 8_000, "books": 2_000}
#: number of rows between two orders, large enough for each order to become final before the next one is placed
EVERY = {"candles": 20, "trades": 80, "books": 20}
#: trades between two books
TRADES_A_BOOK = 4
STRATEGY = """
pair: Pair
does: str = "nothing"
on: str = "candles"
every: int = 20

def on_start(self):
    self._rows = self._asked = 0
    if self.on == "trades":
        self.subscribe_trades(self.pair)
    elif self.on == "books":
        self.subscribe_book(self.pair)
    else:
        self.subscribe_bars(self.pair, "1m")

def on_bar(self, bar):
    self._look(bar.close)

def on_trade(self, trade):
    self._look(trade.price)

def on_book(self, book):
    self._best = book.best_bid, book.best_ask

def _look(self, price):
    self._rows += 1
    if self._rows % self.every == 0:
        self._act(price)

def _act(self, price):
    if self.does == "limit":
        self.buy(self.pair, amount=0.01, price=price * 1.001)
    elif self.does == "resting":
        self.buy(self.pair, amount=0.01, price=price * 0.9999, post_only=True)
    elif self.does == "market":
        self.market_buy(self.pair, spend=500)
    elif self.does == "cancelled":
        self.cancel_all(self.pair)
        self.buy(self.pair, amount=0.01, price=price * 0.5)
    elif self.does == "quote":
        self.quote(self.pair, bids=[(price * 0.5, 0.01)])

def on_order(self, order):
    pass

def on_fill(self, fill):
    pass
"""
#: the orders to trace: (name, the strategy's action, its subscription)
LIVES = (
    ("limit order that takes, on bars", "limit", "candles"),
    ("limit order that takes, on trades", "limit", "trades"),
    ("limit order that rests, on trades", "resting", "trades"),
    ("market order, on bars", "market", "candles"),
    ("market order, on trades", "market", "trades"),
    ("order cancelled, another placed, on bars", "cancelled", "candles"),
    ("quote replaced, on bars", "quote", "candles"),
    ("quote replaced, on trades", "quote", "trades"),
)


class Run(NamedTuple):
    """The calls (or opcodes) in one backtest, by function, and the backtest's order and fill counts."""

    calls: Counter[CodeType]
    orders: int
    fills: int


class Life(NamedTuple):
    """The average cost of one order, for one kind of order life cycle."""

    name: str
    orders: int
    fills: int
    calls: float
    files: int
    #: (file, function, calls per order), largest first
    functions: tuple[tuple[str, str, float], ...]


def traced(folder: Path, does: str, on: str, *, opcodes: bool = False) -> Run:
    """Trace the driver's loop during one backtest."""
    calls: Counter[CodeType] = Counter()

    def count(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            calls[frame.f_code] += 1

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return step

    def step(frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            calls[frame.f_code] += 1
        return step

    class Traced(Driver):
        def run(self, slices: Iterable[Slice], on_slice: Callable[[Slice, list[MarketColumns]], None]) -> None:
            if opcodes:
                sys.settrace(enter)
            else:
                sys.setprofile(count)
            try:
                super().run(slices, on_slice)
            finally:
                sys.settrace(None)
                sys.setprofile(None)

    tape = folder / on
    if not tape.exists():
        if on == "books":
            market_data.write_tape(tape, *market_data.books_and_trades(ROWS[on], TRADES_A_BOOK))
        else:
            market_data.write_tape(
                tape, market_data.candles(ROWS[on]) if on == "candles" else market_data.trades(ROWS[on])
            )
    config = write_config(
        folder,
        f"{{path: {tape}, pair: btc_usdt}}",
        plugins=write_strategy(folder, STRATEGY),
        params=f"{{pair: btc_usdt, does: {does}, on: {on}, every: {EVERY[on]}}}",
    )
    with patch.object(session, "Driver", Traced):
        result = session.run_backtest(backtest_parts(Project.load(config)), readings=False)
    assert all(order.sent for order in result.orders), "a refused order has no life to trace"
    return Run(calls, len(result.orders), len(result.fills))


def life(name: str, without: Run, run: Run) -> Life:
    """Return the calls in one order's life cycle, computed from a run without orders and a run with orders."""
    orders = run.orders
    assert orders, name
    more: list[tuple[str, str, float]] = []
    for code in {*run.calls, *without.calls}:
        count = run.calls[code] - without.calls[code]
        if count:
            more.append((code.co_filename.removeprefix(PACKAGE), code.co_qualname, count / orders))
    more.sort(key=lambda row: (-row[2], row))
    return Life(
        name=name,
        orders=orders,
        fills=run.fills,
        calls=(run.calls.total() - without.calls.total()) / orders,
        files=len({file for file, _, each in more if each >= 0.5}),
        functions=tuple(more),
    )


def lives(folder: Path, *, opcodes: bool = False) -> list[Life]:
    """Trace every kind of order life cycle."""
    without = {on: traced(folder, "nothing", on, opcodes=opcodes) for on in {on for _, _, on in LIVES}}
    return [life(name, without[on], traced(folder, does, on, opcodes=opcodes)) for name, does, on in LIVES]


def book_calls(folder: Path, *, opcodes: bool = False) -> float:
    """Return the calls for one book whose best prices a strategy reads, and for the trades until the next book."""
    return traced(folder, "nothing", "books", opcodes=opcodes).calls.total() / ROWS["books"]


def main() -> None:
    """Print a table."""
    opcodes = "--opcodes" in sys.argv
    what = "opcodes" if opcodes else "calls"
    top = next((int(argument) for argument in sys.argv[1:] if argument.isdecimal()), 0)
    with tempfile.TemporaryDirectory() as folder:
        found = lives(Path(folder), opcodes=opcodes)
        a_book = book_calls(Path(folder), opcodes=opcodes)
    print(f"{'':<44}{'orders':>8}{'fills':>8}{what:>8}{'files':>8}")
    for one in found:
        print(f"{one.name:<44}{one.orders:>8}{one.fills:>8}{one.calls:>8.0f}{one.files:>8}")
    print(f"a book and {TRADES_A_BOOK} trades, the best prices read: {a_book:.1f} {what}")
    for one in found if top else ():
        print(f"\n{one.name}: {one.calls:.0f} {what}")
        for file, function, each in one.functions[:top]:
            print(f"{each:>8.1f}  {function:<48} {file}")
        folders: Counter[str] = Counter()
        for file, _, each in one.functions:
            folders[str(Path(file).parent)] += each  # type: ignore[assignment]
        print("  " + ", ".join(f"{name} {each:.0f}" for name, each in folders.most_common()))


if __name__ == "__main__":
    main()
