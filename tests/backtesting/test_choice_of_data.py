"""The data that a run requires depends on the strategy's subscriptions, not on its callbacks."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from botkit import ConfigError
from tests.strategy_world import Outcome, World, run_config

PLUGIN = """
    from botkit import Pair, Strategy, hookimpl

    class Chooser(Strategy):
        pair: Pair
        on_trades: bool

        def on_start(self):
            if self.on_trades:
                self.subscribe_trades(self.pair)
            else:
                self.subscribe_bars(self.pair, "1m")

        def on_trade(self, trade):
            self.skip("trade")

        def on_bar(self, bar):
            self.skip("bar")

    class Reader(Strategy):
        pair: Pair

        def on_start(self):
            self.subscribe_bars(self.pair, "1m")
            self.subscribe_book(self.pair)

        def on_bar(self, bar):
            self.skip("bar")

    @hookimpl
    def botkit_register_strategies(register):
        register("chooser", Chooser)
        register("reader", Reader)
"""


def run(world: World, use: str, params: dict[str, Any], *, slippage: str | None = "0") -> Outcome:
    plugin = world.folder / "plugins" / "chooser.py"
    plugin.parent.mkdir()
    plugin.write_text(dedent(PLUGIN))
    config = world.config(use, {"pair": "btc_usdt", **params}, balances={"usdt": 1_000})
    config["plugins"] = [str(plugin.parent)]
    if slippage is None:
        del config["backtest"]["slippage"]
    path = world.folder / "bot.yaml"
    path.write_text(json.dumps(config))
    return run_config(path, world.folder)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def books_and_trades(world: World) -> None:
    world.tape(
        {"btc_usdt": [(t, [(49_999.0, 1.0)], [(50_001.0, 1.0)]) for t in range(0, 300, 10)]},
        {"btc_usdt": [(t, 50_000.0, 0.01, 1) for t in range(0, 300, 10)]},
    )


def test_a_strategy_with_a_trade_callback_but_only_bar_subscriptions_runs_on_candles(world: World) -> None:
    world.candles("btc_usdt", [50_000.0] * 5)
    assert run(world, "chooser", {"on_trades": False}).skips == {"bar": 5}


def test_subscribing_to_trades_with_only_candles_is_an_error(world: World) -> None:
    world.candles("btc_usdt", [50_000.0] * 5)
    with pytest.raises(Exception, match="subscribed to trades or books of btc_usdt, but the data contains only"):
        run(world, "chooser", {"on_trades": True})


def test_slippage_is_optional_when_a_strategy_reads_books_without_a_callback(world: World) -> None:
    world.candles("btc_usdt", [50_000.0] * 5)  # the data that would be chosen for a strategy without this callback
    books_and_trades(world)
    assert run(world, "reader", {}, slippage=None).skips["bar"] >= 4


def test_slippage_is_required_when_running_on_candles(world: World) -> None:
    world.candles("btc_usdt", [50_000.0] * 5)
    with pytest.raises(ConfigError, match="`slippage` is required"):
        run(world, "chooser", {"on_trades": False}, slippage=None)
