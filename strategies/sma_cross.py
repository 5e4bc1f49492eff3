"""Follows a trend: in the market while the fast moving average is above the slow one."""

from __future__ import annotations

from botkit import SMA, Bar, ConfigError, Pair, Register, Strategy, hookimpl, param


class SmaCross(Strategy):
    """Buys when the fast average crosses above the slow one, sells when it crosses below.

    A moving average is the mean of the last closes. While prices rise, the mean of the last few lies above the mean of
    the last many. The strategy waits for the moment at which the two change places, so it never trades on the first
    bar for which both averages exist.

    It earns in long trends. In a market that goes sideways the averages cross again and again, and every crossing
    costs two fees.
    """

    pair: Pair
    resolution: str = param("1m", doc="length of a bar, such as 1m, 1h or 1d")
    fast: int = param(10, ge=1, le=5_000, doc="bars in the fast average")
    slow: int = param(30, ge=2, le=5_000, doc="bars in the slow average")
    share: float = param(1.0, gt=0, le=1, doc="share of the free quote balance that a purchase spends")

    def on_start(self) -> None:
        if self.fast >= self.slow:
            raise ConfigError(f"fast is {self.fast} and slow is {self.slow}; the fast average needs fewer bars")
        self._fast = SMA(self.fast)
        self._slow = SMA(self.slow)
        self._side: int | None = None  # of the fast average at the bar before: +1 above the slow one, -1 below, 0 on it
        for bar in self.subscribe_bars(self.pair, self.resolution, warm_up=self.slow):
            self._cross(bar.close)

    def _cross(self, close: float) -> int:
        """+1 when the averages have just crossed upwards, -1 downwards, 0 otherwise."""
        fast, slow = self._fast.update(close), self._slow.update(close)
        if fast is None or slow is None:
            return 0
        before, self._side = self._side, (fast > slow) - (fast < slow)
        if before is None or self._side == 0 or before == self._side:
            return 0
        return self._side

    def on_bar(self, bar: Bar) -> None:
        cross = self._cross(bar.close)
        if cross == 0:
            return
        if self.open_orders(self.pair):
            self.skip("crossed while an order was on its way")
        elif cross > 0:
            # After a touch without a crossing the fast average may leave upwards twice: one purchase is enough.
            if self.position(self.pair).is_flat:
                self._buy()
            else:
                self.skip("crossed up while holding")
        elif self.position(self.pair).sellable:
            self.close(self.pair)
        else:
            self.skip("crossed down without anything to sell")

    def _buy(self) -> None:
        spend = self.balance(self.pair.quote).available * self.share
        if spend < float(self.pair.rules.least_spend):
            self.skip("too little money left to buy", available=spend)
        else:
            self.market_buy(self.pair, spend=spend)


@hookimpl
def botkit_register_strategies(register: Register) -> None:
    register("sma_cross", SmaCross)
