"""Places far more orders than the exchange's limits allow: bids that can never fill, over many pairs."""

from __future__ import annotations

from botkit import Pair, Strategy, Timer, hookimpl, param


class Greedy(Strategy):
    """Places the smallest order at the lowest price, cycling through its pairs, at every wake-up.

    Each pair takes 200 open orders, so the number of pairs limits how many orders it can place in all.
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
            # worth a millionth of a quote coin, yet to the exchange an order like any other
            self.buy(pair, amount=rules.least_amount, price=rules.tick_size)
            self._asked += 1


@hookimpl
def botkit_register_strategies(register):  # type: ignore[no-untyped-def]
    register("greedy", Greedy)
