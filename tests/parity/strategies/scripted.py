"""Strategies for the parity tests: some act at random, and one always keeps the only bid at the best price."""

from __future__ import annotations

from botkit import Fill, Order, OrderBook, Pair, Strategy, Timer, Trade, hookimpl, param


class RandomTrader(Strategy):
    """Acts at random in some of its callbacks, and makes some invalid calls. The run's seed determines the strategy's
    actions.
    """

    pairs: list[Pair]
    acts: float = param(0.25, ge=0, le=1, doc="share of books, timers and fills at which it acts")

    def on_start(self) -> None:
        for pair in self.pairs:
            self.subscribe_book(pair, depth=5)
            self.subscribe_trades(pair)
        self.set_timer(every_s=1)

    def on_book(self, book: OrderBook) -> None:
        self._maybe()

    def on_timer(self, timer: Timer) -> None:
        self._maybe()

    def on_fill(self, fill: Fill) -> None:
        self._maybe()

    def on_order(self, order: Order) -> None:
        if order.is_final and order.executed and self.random.random() < 0.1:
            self.cancel_all()

    def _maybe(self) -> None:
        if self.random.random() < self.acts:
            self._act(self.random.choice(self.pairs))

    def _act(self, pair: Pair) -> None:
        dice, book = self.random, self.book(pair)
        if book.best_bid is None or book.best_ask is None:
            self.cancel_all()
            return
        tick = float(self.rules(pair).tick_size)
        amount = float(self.rules(pair).least_amount) * dice.choice([1, 7, 60, 400])
        bid, ask = book.best_bid + dice.randint(-4, 2) * tick, book.best_ask + dice.randint(-2, 4) * tick
        orders = self.open_orders()
        choice = dice.randrange(15)
        if choice <= 2:
            self.buy(pair, amount=amount, price=bid, post_only=dice.random() < 0.3)
        elif choice <= 5:
            self.sell(pair, amount=amount, price=ask, post_only=dice.random() < 0.3)
        elif choice == 6:  # crosses the book beyond its first level
            self.buy(pair, amount=50 * amount, price=ask + 30 * tick, expire_s=dice.choice([None, 2]))
        elif choice == 7:
            # the last order exceeds the strategy's balance
            self.market_buy(pair, spend=dice.choice([300, 5_000, 10**9]))
        elif choice == 8:
            self.market_sell(pair, amount=amount, max_slippage_pct=dice.choice([50, 0.001, 1]))
        elif choice == 9:
            self.sell(pair, amount=amount / 1_000, price=ask)  # below the minimum order size
        elif choice == 10:
            self.sell(pair, amount=amount, price=bid * 0.999, stop_price=bid * 0.9999)
        elif choice == 11 and orders:
            self.replace(dice.choice(orders), price=bid)
        elif choice == 12:
            self.quote(pair, bids=[(bid, amount)], asks=[(ask, amount)])
        elif choice == 13:
            self.protect(pair, stop_loss_pct=dice.choice([None, 0.1]), trail_pct=dice.choice([None, 0.1]))
        elif orders:
            self.cancel(dice.choice(orders))


class Chaos(RandomTrader):
    """Acts at random, including on trades, so that missing a single trade would change all later actions."""

    at_trades: float = param(0.05, ge=0, le=1, doc="share of trades at which it acts")

    def on_trade(self, trade: Trade) -> None:
        if self.random.random() < self.at_trades:
            self._act(trade.pair)


class LoneBid(Strategy):
    """Keeps a bid one tick above all others, and records in the tag of the next bid how the current bid appears in the
    book.

    The strategy's decisions depend on books that include its own order. A different best bid, or a different amount at
    that price, would change the time at which the strategy cancels.
    """

    pair: Pair
    amount: float = param(0.0123, gt=0, doc="in base currency; an amount that no recorded level has")

    def on_start(self) -> None:
        self.subscribe_book(self.pair, depth=5)
        self._seen = ""

    def on_book(self, book: OrderBook) -> None:
        mine = [order for order in self.open_orders(self.pair) if order.order_id]
        if not mine:
            self._bid(book)
            return
        order, seen = mine[0], self.book(self.pair)
        level = seen.bids[0] if seen.bids else None
        others = self.book(self.pair, own=False).bids
        if level is not None and level.price == order.price and level.amount == order.remaining:
            self._seen = "alone on its side" if not others else "alone at the best bid"
            if others and others[0].price >= order.price:
                self._seen = "wrong: the others are as good"
            if self.random.random() < 0.3:
                self.cancel(order)
        elif level is not None and level.price > order.price:
            self._seen = "beaten"
            self.cancel(order)
        else:
            self._seen = "filled, to be reported soon"

    def _bid(self, book: OrderBook) -> None:
        if self.open_orders(self.pair):
            return  # the bid is in flight
        tick = float(self.rules(self.pair).tick_size)
        others = self.book(self.pair, own=False)
        if others.best_ask is None:
            return
        price = others.best_ask - 5 * tick if others.best_bid is None else others.best_bid + tick
        if price < others.best_ask:
            self.buy(self.pair, amount=self.amount, price=price, post_only=True, tag=self._seen)


@hookimpl
def botkit_register_strategies(register):  # type: ignore[no-untyped-def]
    register("random_trader", RandomTrader)
    register("chaos", Chaos)
    register("lone_bid", LoneBid)
