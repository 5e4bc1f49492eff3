"""Keeps several coins at fixed weights in the portfolio, selling those that have risen and buying those that have
fallen.
"""

from __future__ import annotations

from botkit import ConfigError, Order, Pair, Register, Strategy, Timer, hookimpl, param


class Rebalance(Strategy):
    """Trades coins back to their weights if one of them has drifted when the schedule fires.

    With `pairs: [btc_twd, eth_twd]` and `weights: [0.4, 0.4]`, the strategy keeps 40 % of the value in bitcoin, 40 % in
    ether and the remaining 20 % in Taiwan dollars. When the weight of one coin is off by more than `threshold` (0.05
    means five percentage points), all weights are restored: first the sales and then, once their proceeds have arrived,
    the purchases.

    A small threshold trades often and pays many fees; a large one lets the portfolio drift.
    """

    pairs: list[Pair]
    weights: list[float] = param(gt=0, le=1, doc="portfolio share of each pair's coin; the rest stays in cash")
    threshold: float = param(
        0.05, ge=0, lt=1, doc="trade when a share is further than this from its weight; a fraction: 0.05 is 5 %"
    )
    cron: str = param("0 9 * * *", doc="when to check: minute, hour, day, month, weekday")
    resolution: str = param("1h", doc="bars to take prices from")
    max_slippage_pct: float = param(1.0, gt=0, le=50, doc="refuse to trade further than this from the best price")

    def on_start(self) -> None:
        self._check_parameters()
        self._quote = self.pairs[0].quote
        self._selling = False
        for pair in self.pairs:
            self.subscribe_bars(pair, self.resolution)
        try:
            self.set_timer("look", cron=self.cron)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def _check_parameters(self) -> None:
        if len(self.weights) != len(self.pairs):
            raise ConfigError(
                f"there are {len(self.pairs)} pairs and {len(self.weights)} weights; give each pair one weight"
            )
        if sum(self.weights) > 1 + 1e-9:
            raise ConfigError(
                f"the weights add up to {sum(self.weights):g}; shares of the portfolio cannot exceed 1 in total"
            )
        if len(set(self.pairs)) < len(self.pairs):
            raise ConfigError("a pair is listed twice")
        quotes = sorted({pair.quote for pair in self.pairs})
        if len(quotes) > 1:
            raise ConfigError(f"the pairs are quoted in {' and '.join(quotes)}; they must share one currency")

    def _values(self) -> dict[Pair, float] | None:
        """Return the value of each coin, or None if a price is missing."""
        values = {}
        for pair in self.pairs:
            price = self.last_price(pair)
            if price is None:
                self.skip(f"no price for {pair} yet")
                return None
            values[pair] = self.balance(pair.base).total * price
        return values

    def on_timer(self, timer: Timer) -> None:
        if self._selling or self.open_orders():
            self.skip("the last rebalance is still running")
            return
        values = self._values()
        if values is None:
            return
        whole = sum(values.values()) + self.balance(self._quote).total
        if whole <= 0:
            self.skip("the portfolio is empty")
            return
        drift = max(abs(values[pair] / whole - weight) for pair, weight in zip(self.pairs, self.weights, strict=True))
        if drift <= self.threshold:
            self.skip("every share is near its weight", drift=drift)
            return
        self._selling = True
        for pair, weight in zip(self.pairs, self.weights, strict=True):
            excess = values[pair] - weight * whole
            price = self.last_price(pair)
            assert price is not None
            amount = min(excess / price, self.balance(pair.base).available)
            if amount >= float(pair.rules.least_amount):
                self.market_sell(pair, amount=amount, max_slippage_pct=self.max_slippage_pct, tag="rebalance")
        self._buy_when_sold()

    def on_order(self, order: Order) -> None:
        if order.is_final and not order.executed:
            self.skip(f"an order was not filled: {order.state.value}", pair=str(order.pair), reason=order.reason)
            self.log.warning("%s %s: %s %s", order.side.value, order.pair, order.state.value, order.reason)
        self._buy_when_sold()

    def _buy_when_sold(self) -> None:
        """Buy every coin that is below its weight, once all sales are complete."""
        if not self._selling or self.open_orders():
            return
        self._selling = False
        values = self._values()
        if values is None:
            return
        free = self.balance(self._quote).available
        whole = sum(values.values()) + free
        for pair, weight in zip(self.pairs, self.weights, strict=True):
            spend = min(weight * whole - values[pair], free)
            if spend >= float(pair.rules.least_spend):
                order = self.market_buy(pair, spend=spend, max_slippage_pct=self.max_slippage_pct, tag="rebalance")
                if order.is_open:
                    free -= order.spend


@hookimpl
def botkit_register_strategies(register: Register) -> None:
    register("rebalance", Rebalance)
