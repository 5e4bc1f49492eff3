"""The strategy test cases pass for a sound strategy, and each case fails for a strategy with the fault that the case is
meant to detect.
"""

from __future__ import annotations

import asyncio
import gc
import math
from pathlib import Path
from typing import Any

import pytest

from botkit import Bar, Order, Pair, Strategy, Trade
from botkit.errors import ConfigError
from botkit.model.columns import TradeColumns
from botkit.testing.strategy_cases import StrategyCases, StrategyTrial, strategy_cases
from botkit.testing.trial_market import lively_prices

#: an hour and a half of price swings, in which all strategies in this file trade often
PRICES = [60_000 + 900 * math.sin(minute / 4) + 7 * minute for minute in range(90)]


class Sound(Strategy):
    """Buys after a falling bar and sells after three rising bars."""

    pair: Pair

    def on_start(self) -> None:
        self.bars = self.subscribe_bars(self.pair, "1m")
        self.state.setdefault("rising", 0)

    def on_bar(self, bar: Bar) -> None:
        self.state["rising"] = self.state["rising"] + 1 if bar.close > bar.open else 0
        if self.position(self.pair).is_flat:
            if not self.state["rising"]:
                self.buy_now(bar)
        elif self.state["rising"] >= 3:
            self.close(self.pair)

    def buy_now(self, bar: Bar) -> None:
        self.market_buy(self.pair, spend=1_000)


class KeepsItInTheClass(Sound):
    bought = []  # noqa: RUF012 - the fault

    def buy_now(self, bar: Bar) -> None:
        self.bought.append(bar.close)
        self.market_buy(self.pair, spend=1_000 + len(self.bought))


class GoesThroughASet(Sound):
    def buy_now(self, bar: Bar) -> None:
        for name in {"alpha", "beta", "gamma", "delta", "epsilon", "zeta"}:
            self.market_buy(self.pair, spend=100 + len(name), tag=name)


class SeesTheTape(Sound):
    def buy_now(self, bar: Bar) -> None:
        """Buy unless a tape found in memory shows that the price falls in the following minutes."""
        alive = [thing for thing in gc.get_objects() if isinstance(thing, TradeColumns)]
        row = int(alive[0].received.searchsorted(bar.time)) + 12
        falls = [rows.ticks[row] < bar.close * 100 for rows in alive if row < len(rows)]
        if not any(falls):
            self.market_buy(self.pair, spend=1_000)


class SeesTheTapeToCancel(Sound):
    def buy_now(self, bar: Bar) -> None:
        """Bid, and cancel the bid if a tape found in memory shows that the price rises in the following minutes."""
        for order in self.open_orders(self.pair):
            self.cancel(order)
        bid = self.buy(self.pair, price=bar.close * 0.98, amount=0.001)
        alive = [thing for thing in gc.get_objects() if isinstance(thing, TradeColumns)]
        row = int(alive[0].received.searchsorted(bar.time)) + 12
        if any(rows.ticks[row] > bar.close * 100 for rows in alive if row < len(rows)):
            self.cancel(bid)


class ForgetsToCancelAtARestart(Sound):
    """Leaves every seventh bid in the market, and counts them in memory alone."""

    def on_start(self) -> None:
        super().on_start()
        self.bids = 0

    def buy_now(self, bar: Bar) -> None:
        self.bids += 1
        bid = self.buy(self.pair, price=bar.close * 0.5, amount=0.001)
        if self.bids % 7:
            self.cancel(bid)


class ForgetsAtARestart(Sound):
    def on_start(self) -> None:
        super().on_start()
        self.purchases = 0

    def buy_now(self, bar: Bar) -> None:
        self.purchases += 1
        self.market_buy(self.pair, spend=1_000 + self.purchases)


class OverwritesItsState(Sound):
    def on_start(self) -> None:
        super().on_start()
        self.state["purchases"] = 0

    def buy_now(self, bar: Bar) -> None:
        self.state["purchases"] += 1
        self.market_buy(self.pair, spend=1_000)


class KeepsASet(Sound):
    def buy_now(self, bar: Bar) -> None:
        self.state["seen"] = {bar.close}
        self.market_buy(self.pair, spend=1_000)


class FailsAtARestart(Sound):
    def on_start(self) -> None:
        super().on_start()
        if self.state["rising"] or not self.position(self.pair).is_flat:
            raise RuntimeError("I did not expect to hold anything")


class TakesOrdersForGranted(Sound):
    def on_order(self, order: Order) -> None:
        assert order.order_id, "every order has an id"


class AsksAgainAtOnce(Sound):
    def on_order(self, order: Order) -> None:
        if order.state.value == "refused":
            self.market_buy(self.pair, spend=1_000)


class AsksAgainSoon(Sound):
    def on_start(self) -> None:
        super().on_start()
        self.set_timer("again", every_s=1)
        self.wants = False

    def buy_now(self, bar: Bar) -> None:
        self.wants = True

    def on_timer(self, timer: Any) -> None:
        if self.wants:
            self.wants = self.market_buy(self.pair, spend=1_000).state.value == "refused"


class SendsAStorm(Sound):
    def on_start(self) -> None:
        super().on_start()
        self.subscribe_trades(self.pair)

    def on_trade(self, trade: Trade) -> None:
        for order in self.open_orders(self.pair):
            self.cancel(order)
        for _ in range(110):
            self.buy(self.pair, price=trade.price * 0.97, amount=0.0001)


class NeverCancels(Sound):
    def on_bar(self, bar: Bar) -> None:
        for step in range(20):
            self.buy(self.pair, price=bar.close * (0.9 - step / 1_000), amount=0.0001)


class LogsWrongly(Sound):
    def buy_now(self, bar: Bar) -> None:
        self.log.debug("bought at %d", "the market")
        self.market_buy(self.pair, spend=1_000)


class KnowsWhereItRuns(Sound):
    def buy_now(self, bar: Bar) -> None:
        try:
            tasks = len(asyncio.all_tasks())
        except RuntimeError:
            tasks = 0
        # streams run concurrently with the bot only when the bot runs over the wire
        self.market_buy(self.pair, spend=1_000 if tasks < 2 else 2_000)


class DoesNothing(Strategy):
    pair: Pair

    def on_start(self) -> None:
        self.subscribe_bars(self.pair, "1m")


TestSound = strategy_cases(Sound, {"pair": "btc_usdt"}, prices=PRICES)


def failed(strategy: type, case: str, folder: Path, **arguments: Any) -> str:
    """Run one case that is expected to fail, and return its message."""
    cases = strategy_cases(strategy, {"pair": "btc_usdt"}, prices=PRICES, **arguments)()
    name, _, every = case.partition(" ")
    with pytest.raises(pytest.fail.Exception) as caught:
        getattr(cases, name)(StrategyTrial(cases.asked, folder), *([int(every)] if every else []))
    return str(caught.value)


@pytest.mark.parametrize(
    ("strategy", "case", "says"),
    [
        (KeepsItInTheClass, "test_equal_inputs_give_equal_decisions", "two runs with the same inputs"),
        (GoesThroughASet, "test_another_process_gives_equal_decisions", "the strategy may iterate over a set"),
        (SeesTheTape, "test_the_future_changes_no_decision", "the strategy reads rows from the future"),
        (SeesTheTapeToCancel, "test_the_future_changes_no_decision", "the strategy reads rows from the future"),
        (ForgetsToCancelAtARestart, "test_a_restart_changes_no_decision", "it cancels order"),
        (ForgetsAtARestart, "test_a_restart_changes_no_decision", "must remember in self.state"),
        (OverwritesItsState, "test_a_restart_changes_no_decision", "on_start resets self.state['purchases'] from"),
        (KeepsASet, "test_a_restart_changes_no_decision", "self.state would not survive a restart: 'seen'"),
        (FailsAtARestart, "test_a_restart_changes_no_decision", "I did not expect to hold anything"),
        (TakesOrdersForGranted, "test_refused_orders_do_no_harm 1", "every order has an id"),
        (AsksAgainAtOnce, "test_refused_orders_do_no_harm 1", "it is stopped when its orders are refused"),
        (AsksAgainSoon, "test_refused_orders_do_no_harm 1", "it retries immediately"),
        (SendsAStorm, "test_orders_stay_within_the_exchanges_limits", "of the exchange's limit"),
        (NeverCancels, "test_orders_stay_within_the_exchanges_limits", "cancel old orders before placing new ones"),
        (LogsWrongly, "test_log_calls_work_live", "loses its message: TypeError: %d format"),
        (KnowsWhereItRuns, "test_the_wire_gives_equal_decisions", "over the wire its decisions differ"),
    ],
)  # fmt: skip
def test_each_fault_fails_the_case_designed_to_detect_it(strategy: type, case: str, says: str, tmp_path: Path) -> None:
    assert says in failed(strategy, case, tmp_path)


@pytest.mark.parametrize("case", sorted(name for name in vars(StrategyCases) if name.startswith("test_")))
def test_a_case_without_orders_fails_because_it_proves_nothing(case: str, tmp_path: Path) -> None:
    said = failed(DoesNothing, f"{case} 1" if "refused" in case else case, tmp_path)
    assert said.startswith("proved nothing: the strategy placed no order")


def test_a_strategy_may_intentionally_decide_differently_after_a_restart(tmp_path: Path) -> None:
    cases = strategy_cases(ForgetsAtARestart, {"pair": "btc_usdt"}, prices=PRICES, same_after_restart=False)()
    cases.test_a_restart_changes_no_decision(StrategyTrial(cases.asked, tmp_path))


def test_an_invalid_log_call_does_not_fail_the_case_that_compares_decisions(tmp_path: Path) -> None:
    # the strategy passes every other case, so only the log call makes it fail
    cases = strategy_cases(LogsWrongly, {"pair": "btc_usdt"}, prices=PRICES)()
    cases.test_equal_inputs_give_equal_decisions(StrategyTrial(cases.asked, tmp_path))


def test_the_default_market_moves_enough_to_cause_trades(tmp_path: Path) -> None:
    cases = strategy_cases(Sound, {"pair": "btc_twd"})()
    trial = StrategyTrial(cases.asked, tmp_path)
    assert len(trial.decided().fills) >= 20
    prices = lively_prices(trial.project().bot_pairs()[0])
    assert max(prices) / min(prices) > 1.05


def test_missing_prices_are_reported_in_one_sentence(tmp_path: Path) -> None:
    cases = strategy_cases(Sound, {"pair": "btc_usdt"}, prices={"eth_usdt": PRICES})()
    with pytest.raises(ConfigError, match="prices: none given for btc_usdt"):
        StrategyTrial(cases.asked, tmp_path)
