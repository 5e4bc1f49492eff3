"""Spends a fixed sum on a schedule, regardless of the price: dollar-cost averaging."""

from __future__ import annotations

from typing import Literal

from botkit import ConfigError, Fill, Order, Pair, Register, Strategy, Timer, hookimpl, param

_MORNING = "0 9 * * *"


class Dca(Strategy):
    """Buys coins worth `spend` each time the schedule fires, and holds them.

    A fixed sum buys more coins when they are cheap and fewer when they are expensive, so the average price paid is
    below the market's average price. By design, the strategy makes no timing decisions.

    `cron` is minute, hour, day of month, month and day of week, in the configuration's time zone: `0 9 * * *` is every
    day at 9:00, `30 8 * * 1` is Mondays at 8:30. With `missed: once`, a bot that was down when the schedule fired buys
    once after it restarts; with `missed: skip` it waits for the next scheduled time.
    """

    pair: Pair
    spend: float = param(1_000.0, gt=0, doc="quote currency to spend on each purchase")
    cron: str = param(_MORNING, doc="when to buy: minute, hour, day, month, weekday")
    missed: Literal["skip", "once"] = param("once", doc="once: make one purchase for all missed ones; skip: make none")
    budget: float | None = param(None, gt=0, doc="stop after spending this much quote currency; null: never")
    max_slippage_pct: float = param(1.0, gt=0, le=50, doc="refuse to pay more than this above the best ask")

    def on_start(self) -> None:
        least = float(self.pair.rules.least_spend)
        if self.spend < least:
            raise ConfigError(f"spend is {self.spend:g}, but the smallest purchase of {self.pair} is {least:g}")
        # The bars are not used, but the subscription determines which prices a backtest replays.
        self.subscribe_bars(self.pair, "1d")
        self.state.setdefault("spent", 0.0)
        try:
            self.set_timer("buy", cron=self.cron, missed=self.missed)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def on_timer(self, timer: Timer) -> None:
        spend = self.spend
        if self.budget is not None:
            spend = min(spend, self.budget - float(self.state["spent"]))
            if spend < float(self.pair.rules.least_spend):
                self.skip("the budget is spent")
                return
        if self.open_orders(self.pair):
            self.skip("the last purchase is still open")
        elif self.balance(self.pair.quote).available < spend:
            self.skip(f"not enough {self.pair.quote}", needed=spend)
        else:
            self.market_buy(self.pair, spend=spend, max_slippage_pct=self.max_slippage_pct)

    def on_fill(self, fill: Fill) -> None:
        self.state["spent"] = float(self.state["spent"]) + fill.value

    def on_order(self, order: Order) -> None:
        if order.is_final and not order.executed:
            # The next timer tries again. An immediate retry would use the same book and be refused again.
            self.skip(f"a purchase failed: {order.state.value}", reason=order.reason)
            self.log.warning("the purchase did not fill: %s %s", order.state.value, order.reason)


@hookimpl
def botkit_register_strategies(register: Register) -> None:
    register("dca", Dca)
