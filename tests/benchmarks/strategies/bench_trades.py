"""Strategies for the trade benchmark. On every trade, they update two averages in plain Python."""

from __future__ import annotations

from botkit import Fill, Order, Pair, Register, Side, Strategy, Trade, hookimpl, param


class TwoEmas(Strategy):
    """Buys when the fast average exceeds the slow one by more than a band. Sells the position when the fast average is
    below the slow one by more than the band.
    """

    pair: Pair
    fast: int = param(100, ge=1)
    slow: int = param(400, ge=2)
    band: float = param(0.00015, ge=0)
    spend: float = param(1_000, gt=0)

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
                self.market_buy(self.pair, spend=self.spend)
        elif slow - fast > self.band * slow and self._side != -1:
            self._side = -1
            if self.position(self.pair).sellable:
                self.close(self.pair)


class RestingEmas(TwoEmas):
    """Updates the same averages as `TwoEmas`, and keeps a limit order resting near the market half of the time.

    An order that does not fill soon is cancelled. The strategy then pauses for as long as the order rested.
    """

    away: float = param(0.00008, gt=0)
    patience: int = param(400, ge=1, doc="trades after which an order is cancelled")
    amount: float = param(0.01, gt=0)

    def on_start(self) -> None:
        super().on_start()
        self._order: Order | None = None
        self._buys = True
        self._seen = 0  # trades processed so far
        self._rested = 0  # trades processed while an order rested
        self._placed = 0
        self._pause = 100

    def on_trade(self, trade: Trade) -> None:
        price = trade.price
        self._seen += 1
        self._fast = self._fast + self._fast_weight * (price - self._fast)
        self._slow = self._slow + self._slow_weight * (price - self._slow)
        if self._pause:
            self._pause -= 1
            if not self._pause:
                self._placed = self._seen
                if self._buys:
                    self._order = self.buy(self.pair, amount=self.amount, price=price * (1 - self.away))
                else:
                    self._order = self.sell(self.pair, amount=self.amount, price=price * (1 + self.away))
        elif self._seen - self._placed == self.patience and self._order is not None:
            self.cancel(self._order)

    def on_order(self, order: Order) -> None:
        if order.is_final:
            if order.executed:
                self._buys = order.side is Side.SELL
            self._pause = max(1, self._seen - self._placed)
            self._rested += self._seen - self._placed

    def on_fill(self, fill: Fill) -> None:
        """Do nothing with the fill. Most strategies define this callback."""

    def on_stop(self) -> None:
        self.skip(f"an order rested for {100 * self._rested / self._seen:.0f} % of the trades")


@hookimpl
def botkit_register_strategies(register: Register) -> None:
    register("two_emas", TwoEmas)
    register("resting_emas", RestingEmas)
