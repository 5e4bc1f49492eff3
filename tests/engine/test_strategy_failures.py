"""A failing strategy is stopped, and the others continue."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from botkit.assembly.backtest import backtest_into
from botkit.backtesting.driver import StrategyRaised
from botkit.engine.orders.entry import ORDERS_A_MOMENT_MAX
from botkit.engine.strategy.record import REASONS_MAX
from botkit.model.events import BalanceReport, Connection, ConnectionState, Ticker
from botkit.model.inputs import Restore, Stop
from botkit.model.orders import Order
from tests.engine_world import BTC, MINUTE, RICH, T0, UNIT, Bot, Listener, cancelled_ids


def boom(*_: Any) -> None:
    raise ZeroDivisionError("boom")


def start(s: Any) -> None:
    s.subscribe_trades(BTC)
    s.subscribe_book(BTC)
    s.subscribe_ticker(BTC)
    s.subscribe_bars(BTC, "1m")
    s.set_timer(every_s=30)


def rested(b: Bot, s: Any) -> Order:
    order: Order = s.buy(BTC, amount=1, price=900)
    b.end_turn()
    b.rest(order)
    return order


def provoke(b: Bot, name: str, order: Order) -> None:
    """Trigger the event that calls the given callback."""
    if name == "trade":
        b.trade(1_000)
    elif name == "book":
        b.book([(990, 10)], [(1_010, 10)])
    elif name == "ticker":
        b.tell(Ticker(BTC, T0, 1_000.0, 1.0, 1.0, 1.0, 0.0, True))
    elif name in ("bar", "timer"):
        b.to(60)
    elif name == "fill":
        b.push(order, 1, executed=100)
        b.execute(order, 100)
    elif name == "balance":
        b.tell(BalanceReport({"twd": (RICH["twd"], RICH["twd"] - 900 * UNIT)}))
    elif name == "connection":
        b.tell(Connection(ConnectionState.LOST, "trades"))
    elif name == "order":
        b.s.buy(BTC, amount=0, price=1)
        b.end_turn()


CALLBACKS = ["trade", "book", "ticker", "bar", "timer", "order", "fill", "balance", "connection"]


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_strategy_that_raises_is_stopped_its_orders_are_cancelled_and_the_others_continue(name: str) -> None:
    b = Bot(Listener(start=start), Listener(start=start), capital=[50, 50])
    b.trade(1_000)
    bad, good = b.strategies
    order, other = rested(b, bad), rested(b, good)
    bad.deeds[name] = boom
    before = len(good.heard)
    provoke(b, name, order)
    (failure,) = b.failures
    assert failure.strategy == "s0"
    assert failure.callback == f"on_{name}"
    assert failure.where.startswith(__file__)
    assert failure.error == "ZeroDivisionError: boom"
    assert "ZeroDivisionError: boom" in failure.text
    assert cancelled_ids(b.requests) == [order.client_id]
    assert not other.cancel_requested
    if name not in ("order", "fill"):
        assert [heard for heard, _ in good.heard[before:] if heard == name]
    heard = len(bad.heard)
    for again in CALLBACKS[:4]:
        provoke(b, again, order)
    b.to(300)
    b.push(order, 4)
    assert len(bad.heard) == heard
    assert len(good.of("bar")) == 5
    assert bad.buy(BTC, amount=1, price=900).reason == "the strategy is stopped"


def test_a_strategy_that_raises_in_on_start_receives_no_events() -> None:
    b = Bot(Listener(start=lambda s: (start(s), boom())), Listener(start=start))
    b.trade(1_000)
    assert b.failures[0].callback == "on_start"
    assert not b.s.heard
    assert b.strategies[1].heard


def test_an_exception_in_on_stop_does_not_prevent_other_strategies_from_stopping_properly() -> None:
    b = Bot(Listener(stop=boom), Listener())
    b.tell(Stop())
    assert b.failures[0].callback == "on_stop"
    assert b.strategies[1].of("stop") == [None]


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), BaseException("base"), MemoryError()])
def test_base_exceptions_stop_only_the_strategy_that_raises_them(error: BaseException) -> None:
    def raises(*_: Any) -> None:
        raise error

    b = Bot(Listener(start=start, trade=raises), Listener(start=start))
    b.trade(1_000)
    assert not b.seen().active
    assert b.strategies[1].of("trade")


def test_sys_exit_stops_only_the_strategy_that_calls_it() -> None:
    b = Bot(Listener(start=start, trade=lambda *_: sys.exit(1)))
    b.trade(1_000)
    assert b.failures[0].error == "SystemExit: 1"


def test_a_keyboard_interrupt_is_not_caught() -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    b = Bot(Listener(start=start, trade=interrupt))
    with pytest.raises(KeyboardInterrupt):
        b.trade(1_000)
    assert not b.failures


def test_an_error_raised_in_botkit_code_is_reported_with_the_line_in_the_strategy() -> None:
    b = Bot(Listener(start=start, trade=lambda s, _: s.position("nothing")))
    b.trade(1_000)
    assert b.failures[0].where.startswith(__file__)
    assert "is not traded on this exchange" in b.failures[0].error


def test_orders_placed_in_a_callback_before_it_raised_are_withdrawn() -> None:
    def trade(s: Any, _: Any) -> None:
        s.buy(BTC, amount=1, price=900)
        s.quote(BTC, bids=[(800, 1)])
        s.protect(BTC, stop_loss_pct=1)
        boom()

    # no coins, so the protective exits have nothing to sell
    b = Bot(Listener(start=start, trade=trade), balances={"twd": RICH["twd"]})
    assert not b.trade(1_000)
    assert not b.engine.view.open_orders()
    assert not b.trade(500)
    assert b.s.balance("twd").locked == 0


def test_a_stopped_strategy_receives_no_more_bars_from_its_series() -> None:
    calls: list[int] = []

    def bar(s: Any, _: Any) -> None:
        calls.append(1)
        boom()

    b = Bot(Listener(start=lambda s: (s.subscribe_bars(BTC, "1m"), s.subscribe_bars(BTC, "1m")), bar=bar))
    b.trade(1_000)
    b.to(60)
    assert calls == [1]


def endless_orders(s: Any, _: Any) -> None:
    while True:
        try:
            s.buy(BTC, amount=1, price=900)
        except Exception:  # some strategies swallow exceptions like this
            continue


def endless_withdrawals(s: Any, _: Any) -> None:
    while True:
        s.cancel(s.buy(BTC, amount=1, price=900))


@pytest.mark.parametrize("deed", [endless_orders, endless_withdrawals])
def test_a_callback_that_places_orders_in_an_endless_loop_is_aborted_and_its_strategy_stopped(deed: Any) -> None:
    b = Bot(Listener(start=start, trade=deed), Listener(start=start))
    b.trade(1_000)
    (failure,) = b.failures
    assert re.fullmatch(r"Runaway: it placed \d,\d{3} orders at the same timestamp.*", failure.error)
    assert failure.where.startswith(__file__)
    assert not b.seen().active
    assert not b.s.open_orders()
    assert len(b.engine.view.orders()) <= ORDERS_A_MOMENT_MAX
    assert len(b.requests) <= 1  # at most the first order, in flight before the loop started
    assert b.strategies[1].of("trade")


def test_timers_that_trigger_each_other_endlessly_stop_only_their_strategy() -> None:
    numbers = itertools.count(1)

    def again(s: Any, timer: Any) -> None:
        # a timer with missed firings fires immediately; its callback then sets another timer of this kind, and so on
        s.set_timer(f"timer {next(numbers)}", every_s=60, missed="once")

    missed = {f"timer {i}": T0 - MINUTE for i in range(30_000)}
    b = Bot(Listener(start=start, timer=again), Listener(start=start), start=False)
    b.begin(Restore(balances=RICH, kept={"s0": {"state": {}, "timers": missed}}))
    b.to(60)
    why = b.seen().stopped_because
    assert why == "its callbacks, including on_timer, trigger each other endlessly"
    assert b.strategies[1].of("timer")
    assert b.seen(1).active
    assert ("error", f"strategy 's0' was stopped: {why}") in b.messages


def test_orders_that_trigger_each_other_endlessly_stop_only_their_strategy() -> None:
    def again(s: Any, _: Any) -> None:
        s.cancel(s.buy(BTC, amount=1, price=900))

    b = Bot(Listener(start=start, order=again, trade=again), Listener(start=start))
    b.trade(1_000)
    assert not b.seen().active
    assert not b.engine.view.open_orders()
    assert b.strategies[1].of("trade")
    assert b.seen(1).active


def test_skip_reasons_that_contain_figures_use_bounded_memory() -> None:
    b = Bot(Listener(start=start))
    for i in range(3_000):
        b.s.skip(f"spread {i} bps", spread=i)
    seen = b.seen()
    assert len(seen.skips) == len(seen.last_skip) == REASONS_MAX + 1
    assert sum(seen.skips.values()) == 3_000


# -- in a backtest ----------------------------------------------------------------------------------------------------

CANDLES = "timestamp,open,high,low,close,volume\n" + "".join(
    f"{(1_640_995_200 + 60 * i) * 1000},50000,50010,49990,50000,1\n" for i in range(20)
)
CONFIG = """
name: failing
exchange: bitopro
plugins: [./strategies]
strategies:
  - {name: bad, use: bad}
backtest:
  data: [{path: candles.csv, pair: btc_usdt, kind: candles, resolution: 1m}]
  balances: {usdt: "1000"}
  fees: {maker: "0.001", taker: "0.002"}
  slippage: "0"
"""
STRATEGY = """
from botkit import Pair, Strategy, hookimpl

class Bad(Strategy):
    pair: Pair = "btc_usdt"

    def on_start(self):
        self.subscribe_bars(self.pair, "1m")

    def on_bar(self, bar):
        if bar.time >= 1640995500 * 10**9:
            raise KeyError("what")  # line 12

@hookimpl
def botkit_register_strategies(register):
    register("bad", Bad)
"""


def test_a_backtest_with_a_failing_strategy_exits_with_the_error_and_leaves_no_folder_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "bad_one.py").write_text(STRATEGY)
    (tmp_path / "candles.csv").write_text(CANDLES)
    (tmp_path / "failing.yaml").write_text(CONFIG)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StrategyRaised, match=r"'bad' raised in on_bar at .*bad_one\.py:12: KeyError: 'what'"):
        backtest_into(tmp_path / "failing.yaml", out=tmp_path / "out" / "failing")
    left = [path for path in sorted(tmp_path.rglob("*")) if path.is_file() and "out" in path.parts]
    assert not left
    assert not (tmp_path / "out" / "failing").exists()
    assert set(before) <= set(tmp_path.iterdir())
