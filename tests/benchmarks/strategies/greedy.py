"""Places far more orders than the exchange's limits allow: bids on many pairs that can never fill."""

from __future__ import annotations

from botkit import Pair, Strategy, Timer, hookimpl, param


class Greedy(Strategy):
    """Places minimum-size orders at the lowest price on every timer event, cycling through its pairs.

    Each pair accepts 200 open orders, so the number of pairs limits the total number of orders that the strategy can
    place.
    """

    pairs: list[Pair]
    a_second: int = param(100, ge=1, doc="orders to place each second")
    most: int = param(3_000, ge=1, doc="orders to place in all")

    def on_start(self) -> None:
        self._asked = 0
        for pair in self.pairs:
            self.subscribe_trades(pair)
        self.set_timer(every_s=1)

    def on_timer(self, timer: Timer) -> None:
        for _ in range(min(self.a_second, self.most - self._asked)):
            pair = self.pairs[self._asked % len(self.pairs)]
            rules = self.rules(pair)
            # the order's notional is a millionth of one unit of quote currency, but the exchange treats the order like
            # any other
            self.buy(pair, amount=rules.least_amount, price=rules.tick_size)
            self._asked += 1


@hookimpl
def botkit_register_strategies(register):  # type: ignore[no-untyped-def]
    register("greedy", Greedy)
