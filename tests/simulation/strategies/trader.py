"""A strategy that performs a list of actions and counts the fills it receives.

    acts: path of a JSON list of {at_ms, kind, pair, x, y}, ordered by time

``self.state`` contains the position in the list, the lots of each order that were reported as filled, and what each
replacement may add to the order that it replaces. All survive a restart. The simulation uses the lots to check that
every fill is reported exactly once, and that no replacement orders again what has filled already.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from botkit import Fill, Order, Pair, Strategy, Timer, hookimpl, param

_LEAST = {"btc": 0.0005, "eth": 0.01}
#: maximum number of actions per callback: one may place eleven orders, and the engine stops a strategy with more than
#: 100 refused orders in a turn
_ACTS_A_TURN = 8


class Trader(Strategy):
    """Performs a list of actions."""

    acts: str
    pairs: list[Pair]
    #: the runner sets this once the faults have ended; the strategy then places an order in each pair to show that no
    #: pair is blocked
    probe: int = param(0, ge=0, live=True)

    def on_start(self) -> None:
        self._list: list[dict[str, Any]] = json.loads(Path(self.acts).read_text())
        #: the orders at the exchange that are being replaced, by the client id of the replacement, and the lots that
        #: the two may have together
        self._replaced: dict[int, tuple[Order, int]] = {}
        self._probes: list[Order] = []
        for pair in self.pairs:
            self.subscribe_book(pair, depth=5)
        self.bars = self.subscribe_bars(self.pairs[0], "1m", warm_up=3)
        self.set_timer("acts", every_s=0.25)

    def on_ready(self) -> None:
        self.state.setdefault("began", self.now)
        self.state.setdefault("next", 0)

    def on_fill(self, fill: Fill) -> None:
        told = self.state.setdefault("fills", {})
        key = str(fill.order.client_id)
        told[key] = told.get(key, 0) + fill.lots

    def on_params(self, changed: dict[str, Any]) -> None:
        for order in self._probes:
            if not order.is_final:
                self.cancel(order)
        self._probes = []
        for pair in self.pairs:
            mid = self.book(pair).mid
            if mid is not None:
                self._probes.append(self.buy(pair, amount=2 * _LEAST[pair.base], price=mid * 0.7, tag="probe"))

    def on_timer(self, timer: Timer) -> None:
        if "began" not in self.state or self.probe:
            return
        since_ms = (self.now - self.state["began"]) // 1_000_000
        at, done = self.state["next"], 0
        while at < len(self._list) and self._list[at]["at_ms"] <= since_ms and done < _ACTS_A_TURN:
            self._act(**self._list[at])
            at, done = at + 1, done + 1
        self.state["next"] = at

    # -- actions ----------------------------------------------------------------------------------------------------

    def _act(self, *, at_ms: int, kind: str, pair: str, x: float, y: float) -> None:
        found = next(p for p in self.pairs if p == pair)
        book = self.book(found)
        if book.best_bid is None or book.best_ask is None:
            self.skip("no book")
            return
        size = _LEAST[found.base] * (1 + 4 * y)
        getattr(self, f"_{kind}")(found, x, size, book.best_bid, book.best_ask)

    def _one(self, pair: Pair, x: float) -> Order | None:
        orders = self.open_orders(pair)
        return orders[int(x * len(orders)) % len(orders)] if orders else None

    def _buy_far(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        self.buy(pair, amount=size, price=bid * (0.8 + 0.19 * x))

    def _sell_far(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        self.sell(pair, amount=size, price=ask * (1.01 + 0.2 * x))

    def _buy_touch(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        self.buy(pair, amount=size, price=ask if x < 0.5 else bid)

    def _sell_touch(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        self.sell(pair, amount=size, price=bid if x < 0.5 else ask)

    def _post_only(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        self.buy(pair, amount=size, price=(bid, ask, bid * 0.999)[int(3 * x)], post_only=True)

    def _stop(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        near = 0.0001 if x < 0.7 else 0.05
        if x * 10 % 1 < 0.5:
            self.sell(pair, amount=size, price=bid * (1 - 2 * near), stop_price=bid * (1 - near))
        else:
            self.buy(pair, amount=size, price=ask * (1 + 2 * near), stop_price=ask * (1 + near))

    def _market_buy(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        if x < 0.5:
            self.market_buy(pair, spend=round(size * ask, 2))
        else:
            self.market_buy(pair, amount=size)

    def _market_sell(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        self.market_sell(pair, amount=size)

    def _expiring(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        self.buy(pair, amount=size, price=bid * 0.98, expire_s=0.05 + 5 * x)

    def _many(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        for i in range(4 + int(8 * x)):
            self.buy(pair, amount=size, price=bid * (0.97 - 0.005 * i), tag="many")

    def _cancel(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        order = self._one(pair, x)
        if order is not None:
            self.cancel(order)

    def _cancel_all(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        self.cancel_all(pair if x < 0.5 else None)

    def _replace(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        order = self._one(pair, x)
        if order is None or not order.price or order.tag == "quote":
            return
        if x < 0.4:
            self._note_replaced(order, self.replace(order, price=order.price * (0.99 + 0.02 * x)), False)
        elif x < 0.7:  # this order crosses the spread
            price = ask if order.side.value == "buy" else bid
            self._note_replaced(order, self.replace(order, price=price), False)
        else:
            self._note_replaced(order, self.replace(order, amount=size), True)

    def _buy_inside(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        self.buy(pair, amount=size, price=(bid + ask) / 2, tag="inside")

    def _replace_inside(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        for order in self.open_orders(pair):
            if order.tag == "inside" and order.price:
                self._note_replaced(order, self.replace(order, price=order.price * (0.98 + 0.01 * x)), False)

    def _note_replaced(self, old: Order, new: Order, has_amount: bool) -> None:
        """Remember what an order and its replacement may be together: what was asked for, however much fills before the
        replacement leaves.
        """
        there, most = self._replaced.get(old.client_id, (old, old.amount_lots))
        if there.state.value == "queued":
            return  # the exchange never gets the old order
        if has_amount:
            most = there.executed_lots + new.amount_lots
        self._replaced[new.client_id] = there, most
        self.state.setdefault("replaced", {})[str(new.client_id)] = [there.client_id, most]

    def _quote(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        away = 0.0002 + 0.01 * x
        levels = 1 + int(3 * x)
        self.quote(
            pair,
            bids=[(bid * (1 - away * (i + 1)), size) for i in range(levels)],
            asks=[(ask * (1 + away * (i + 1)), size) for i in range(levels)],
            tag="quote",
        )

    def _unquote(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        self.quote(pair, tag="quote")

    def _protect(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        if x < 0.5:
            self.protect(pair, stop_loss_pct=0.1 + x, take_profit_pct=0.1 + x)
        else:
            self.protect(pair, trail_pct=0.1 + x)

    def _unprotect(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        self.protect(pair)

    def _close(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        self.close(pair)

    def _target(self, pair: Pair, x: float, size: float, bid: float, ask: float) -> None:
        self.order_target(pair, max(0.0, self.position(pair).amount + size * (2 * x - 1)))


@hookimpl
def botkit_register_strategies(register: Any) -> None:
    register("trader", Trader)
