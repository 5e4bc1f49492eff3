"""Follows a trend: in the market while the fast moving average is above the slow one."""

from botkit import SMA, Bar, Pair, Strategy, hookimpl, param


class SmaCross(Strategy):
    """Buys when the fast average crosses above the slow one, sells when it crosses below.

    A moving average is the mean of the last closes. While prices rise, the mean of the last few lies above the mean of
    the last many. The strategy waits for the moment at which the two change places, so it never trades on the first
    bar for which both averages exist.
    """

    pair: Pair
    resolution: str = param("1m", doc="length of a bar")
    fast: int = param(10, ge=1, doc="bars in the fast average")
    slow: int = param(30, ge=2, doc="bars in the slow average")
    share: float = param(1.0, gt=0, le=1, doc="share of the free quote balance a purchase spends")

    def on_start(self) -> None:
        if self.fast >= self.slow:
            raise ValueError(f"fast ({self.fast}) must be smaller than slow ({self.slow})")
        self._fast = SMA(self.fast)
        self._slow = SMA(self.slow)
        self._above: bool | None = None  # was the fast average above the slow one at the bar before?
        bars = self.subscribe_bars(self.pair, self.resolution, warm_up=self.slow)
        for bar in bars:
            self._cross(bar.close)

    def _cross(self, close: float) -> int:
        """+1 when the averages have just crossed upwards, -1 downwards, 0 otherwise."""
        fast, slow = self._fast.update(close), self._slow.update(close)
        if fast is None or slow is None:
            return 0
        before, self._above = self._above, fast > slow
        if before is None or before == self._above:
            return 0
        return 1 if self._above else -1

    def on_bar(self, bar: Bar) -> None:
        cross = self._cross(bar.close)
        if cross > 0:
            free = self.balance(self.pair.quote).available
            self.market_buy(self.pair, spend=free * self.share)
        elif cross < 0:
            if self.position(self.pair).sellable:
                self.close(self.pair)
            else:
                self.skip("crossed down without a position")


@hookimpl
def botkit_register_strategies(register):  # type: ignore[no-untyped-def]
    register("sma_cross", SmaCross)
