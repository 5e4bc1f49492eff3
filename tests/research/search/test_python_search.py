"""The function ``botkit.optimize``: a search from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import botkit
from botkit import SMA, Bar, BotkitError, Pair, Strategy


class Cross(Strategy):
    pair: Pair
    fast: int = 5
    slow: int = 20

    def on_start(self) -> None:
        bars = self.subscribe_bars(self.pair, "1m")
        self.quick, self.steady = bars.attach(SMA(self.fast)), bars.attach(SMA(self.slow))

    def on_bar(self, bar: Bar) -> None:
        if self.quick.crossed_above(self.steady):
            self.market_buy(self.pair, spend=1000)
        elif self.quick.crossed_below(self.steady) and self.position(self.pair).sellable:
            self.close(self.pair)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))


def test_a_search_accepts_a_configuration(crossing: Path) -> None:
    found = botkit.optimize(
        crossing, {"fast": "3:9:2", "slow": [10, 40]}, where="fast < slow", objective="return", min_trades=1
    )
    assert found.best is not None
    assert len(found.trials) == 8
    frame = found.frame()
    assert list(frame["value"]) == sorted(frame["value"], reverse=True)
    again = botkit.backtest(crossing, params=found.best.params, readings=False)
    assert again.figures["journal_sha256"] == found.best.journal_sha256


def test_a_search_accepts_a_class_and_an_objective_function_of_the_summary(crossing: Path) -> None:
    def calm(summary: dict[str, Any]) -> float:
        return -float(summary["max_drawdown"])

    found = botkit.optimize(
        Cross,
        {"fast": range(3, 6), "slow": "20,30"},
        data=botkit.load(crossing.parent / "candles.csv", pair="btc_usdt"),
        params={"pair": "btc_usdt"},
        balances={"usdt": 10_000},
        slippage=0.0002,
        objective=calm,
        min_trades=1,
    )
    assert found.best is not None
    drawdowns = [trial.summary["max_drawdown"] for trial in found.trials]
    assert found.best.summary["max_drawdown"] == min(drawdowns)
    assert found.objective == "calm"


@pytest.mark.parametrize(
    ("ranges", "says"),
    [
        ({"fats": [1]}, "no parameter 'fats'"),
        ({"fast": 5}, "pass a list of values"),
        ({}, "there is nothing to search"),
        ({"fast": "9:3:1"}, "the range is empty"),
    ],
)
def test_a_mistake_is_reported_in_one_sentence(crossing: Path, ranges: dict[str, Any], says: str) -> None:
    with pytest.raises(BotkitError) as raised:
        botkit.optimize(crossing, ranges)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
