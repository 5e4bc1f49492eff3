"""The strategies for the comparison with other libraries, as simple as the versions written for those libraries."""

from __future__ import annotations

from botkit import SMA, Bar, Pair, Register, Strategy, Trade, hookimpl, param


class Cross(Strategy):
    """Holds one coin while a fast moving average is above a slow one."""

    pair: Pair
    fast: int = param(10, ge=1)
    slow: int = param(30, ge=2)
    amount: float = param(1.0, gt=0)

    def on_start(self) -> None:
        bars = self.subscribe_bars(self.pair, "1m")
        self._fast = bars.attach(SMA(self.fast))
        self._slow = bars.attach(SMA(self.slow))

    def on_bar(self, bar: Bar) -> None:
        if self._fast.crossed_above(self._slow):
            if self.position(self.pair).is_flat:
                self.market_buy(self.pair, amount=self.amount)
        elif self._fast.crossed_below(self._slow) and self.position(self.pair).sellable:
            self.close(self.pair)


class Averages(Strategy):
    """Buys when a fast average of trade prices exceeds a slow one by more than a band, and sells when the fast average
    is below the slow one by more than the band.
    """

    pair: Pair
    fast: int = param(100, ge=1)
    slow: int = param(400, ge=2)
    band: float = param(0.00015, ge=0)
    amount: float = param(0.01, gt=0)

    def on_start(self) -> None:
        self._fast_weight = 2 / (self.fast + 1)
        self._slow_weight = 2 / (self.slow + 1)
        self._fast = self._slow = 0.0
        self._side = 0
        self.subscribe_trades(self.pair)

    def on_trade(self, trade: Trade) -> None:
        price = trade.price
        slow = self._slow
        if not slow:
            self._fast = self._slow = price
            return
        fast = self._fast = self._fast + self._fast_weight * (price - self._fast)
        slow = self._slow = slow + self._slow_weight * (price - slow)
        if fast - slow > self.band * slow:
            if self._side != 1:
                self._side = 1
                self.market_buy(self.pair, amount=self.amount)
        elif slow - fast > self.band * slow and self._side != -1:
            self._side = -1
            if self.position(self.pair).sellable:
                self.close(self.pair)


@hookimpl
def botkit_register_strategies(register: Register) -> None:
    register("cross", Cross)
    register("averages", Averages)
