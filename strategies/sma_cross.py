"""Follows a trend: holds the coin while the fast moving average is above the slow moving average."""

from __future__ import annotations

from botkit import SMA, Bar, ConfigError, Pair, Register, Strategy, hookimpl, param


class SmaCross(Strategy):
    """Buys when the fast average crosses above the slow average, and sells when it crosses back below.

    A moving average is the mean of the most recent closes. While prices rise, the mean of a few recent closes is above
    the mean of many. The strategy waits until the two averages cross, so it never trades on the first bar for which
    both averages exist.

    It earns in long trends. In a sideways market the averages cross repeatedly, and every crossing costs two fees.
    """

    pair: Pair
    resolution: str = param("1m", doc="length of a bar, such as 1m, 1h or 1d")
    fast: int = param(10, ge=1, le=5_000, doc="number of bars in the fast average")
    slow: int = param(30, ge=2, le=5_000, doc="number of bars in the slow average")
    share: float = param(1.0, gt=0, le=1, doc="fraction of the available quote balance to spend on a purchase")

    def on_start(self) -> None:
        if self.fast >= self.slow:
            raise ConfigError(f"fast is {self.fast} and slow is {self.slow}; the fast average needs fewer bars")
        bars = self.subscribe_bars(self.pair, self.resolution)
        self._fast = bars.attach(SMA(self.fast))
        self._slow = bars.attach(SMA(self.slow))

    def on_bar(self, bar: Bar) -> None:
        up = self._fast.crossed_above(self._slow)
        if not up and not self._fast.crossed_below(self._slow):
            return
        if self.open_orders(self.pair):
            self.skip("crossed while an order was pending")
        elif up:
            # If the averages touch without crossing, an upward cross may be reported twice, but only one purchase is
            # wanted.
            if self.position(self.pair).is_flat:
                self._buy()
            else:
                self.skip("crossed up while holding")
        elif self.position(self.pair).sellable:
            self.close(self.pair)
        else:
            self.skip("crossed down with nothing to sell")

    def _buy(self) -> None:
        spend = self.balance(self.pair.quote).available * self.share
        if spend < float(self.pair.rules.least_spend):
            self.skip("too little money left to buy", available=spend)
        else:
            self.market_buy(self.pair, spend=spend)


@hookimpl
def botkit_register_strategies(register: Register) -> None:
    register("sma_cross", SmaCross)
