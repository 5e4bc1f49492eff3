"""A strategy with randomized behavior: it exercises every feature available to strategies, and makes some invalid
calls.

The strategy uses only botkit's public names. ``on_start`` only subscribes and sets timers. All other actions happen in
later callbacks, so that a frozen run does not depend on how a bot is started.
"""

from __future__ import annotations

from random import Random
from typing import Any, ClassVar

from botkit import (
    Balance,
    Bar,
    Connection,
    Fill,
    Order,
    OrderBook,
    OrderState,
    Pair,
    Strategy,
    Ticker,
    Timer,
    Trade,
    hookimpl,
    param,
)


class Anything(Strategy):
    """A strategy with random actions. ``shape`` determines its subscriptions, how often it acts, and its preferences;
    ``self.random`` draws the actions.
    """

    pairs: list[Pair]
    shape: int = param(0, ge=0, doc="draws the character")
    reads_market: bool = param(True, doc="False: bars and timers alone, as on a tape of candles")
    hears_trades: bool = param(True, doc="whether it may subscribe to trades")
    greed: int = param(1, ge=1, doc="orders at one go, at most")
    rate: float = param(0.2, ge=0, le=1, doc="share of what it hears at which it acts")
    most: int = param(150, ge=0, doc="acts at most so often, which keeps a run short")
    fails_after: int = param(0, ge=0, doc="raises when it has heard so much; 0: never")
    runs_away: bool = param(False, doc="asks for orders without end instead of raising")

    _ACTIONS: ClassVar[tuple[str, ...]] = (
        "bid", "ask", "stop_buy", "stop_sell", "spend", "buy_amount", "sell_amount", "close_position", "cancel_one",
        "cancel_everything", "replace_price", "replace_amount", "ladder", "no_ladder", "guard_position", "unguard",
        "take", "nonsense", "pass_by", "other_timer",
    )  # fmt: skip

    def on_start(self) -> None:
        dice = Random(self.shape)
        self._heard = self._acted = 0
        self._series: list[Any] = []
        self._last: Order | None = None
        self._weights = [dice.choice([0, 1, 1, 2, 5]) for _ in self._ACTIONS]
        self._weights[0] += 2
        self._weights[1] += 1
        for pair in self.pairs:
            resolutions = ["1m", "5m"] if self.reads_market else ["1m", "5m", "15m", "1h"]
            for resolution in dice.sample(resolutions, dice.randint(0 if self.reads_market else 1, 2)):
                routed = dice.random() < 0.3
                self._series.append(self.subscribe_bars(pair, resolution, on="take_bar" if routed else None))
            if self.reads_market:
                if dice.random() < 0.8:
                    self.subscribe_book(pair, depth=dice.choice([1, 5, 5, 10, 20]))
                if self.hears_trades and dice.random() < 0.6:
                    self.subscribe_trades(pair)
                if dice.random() < 0.3:
                    self.subscribe_ticker(pair)
        if dice.random() < 0.7:
            self.set_timer(every_s=dice.choice([7, 20] if self.reads_market else [600, 1800]))
        if dice.random() < 0.3:
            self.set_timer(
                "clock", cron=dice.choice(["* * * * *", "*/2 * * * *"]), missed=dice.choice(["skip", "once"])
            )

    # -- callbacks ---------------------------------------------------------------------------------------------------

    def on_bar(self, bar: Bar) -> None:
        series = self._series[0]
        if len(series) > 3 and series.close[-1] > series.close[-3] and self.random.random() < self.rate:
            self._act(bar.pair)
        self._hear(bar.pair, 3)

    def take_bar(self, bar: Bar) -> None:
        self._hear(bar.pair, 3)

    def on_book(self, book: OrderBook) -> None:
        self._hear(book.pair, 1)

    def on_trade(self, trade: Trade) -> None:
        self._hear(trade.pair, 0.5)

    def on_ticker(self, ticker: Ticker) -> None:
        self._hear(ticker.pair, 1)

    def on_timer(self, timer: Timer) -> None:
        self.state["rings"] = self.state.get("rings", 0) + 1
        self._hear(self.random.choice(self.pairs), 4)

    def on_fill(self, fill: Fill) -> None:
        self.state.setdefault("filled", {}).setdefault(str(fill.pair), []).append(str(fill.lots))
        self._hear(fill.pair, 1)

    def on_order(self, order: Order) -> None:
        dice = self.random
        if order.state is OrderState.PARTLY_FILLED and dice.random() < 0.3:
            self.cancel(order)
        elif order.is_final and order.executed and dice.random() < 0.1:
            self.cancel_all(order.pair)
        elif order.is_final and dice.random() < 0.1:
            self._hear(order.pair, 1)

    def on_balance(self, balance: Balance) -> None:
        self.state["balance"] = [balance.currency, f"{balance.available:.6g}"]

    def on_connection(self, connection: Connection) -> None:
        self.state["connections"] = self.state.get("connections", 0) + 1

    def _hear(self, pair: Pair, weight: float) -> None:
        self._heard += 1
        if self.fails_after and self._heard >= self.fails_after:
            if self.runs_away:
                while True:
                    self.buy(pair, amount=1, price=1)
            held = [self.balance(currency).total for currency in (pair.base, pair.quote)]
            raise RuntimeError(f"on purpose, at {self.now}, with {held} and {len(self.open_orders())} open orders")
        if self.random.random() < self.rate * weight:
            for _ in range(self.random.randint(1, self.greed)):
                self._act(pair)

    # -- actions -----------------------------------------------------------------------------------------------------

    def _act(self, pair: Pair) -> None:
        if self._acted >= self.most:
            return
        self._acted += 1
        dice = self.random
        last, view = self.last_price(pair), self.book(pair, own=dice.random() < 0.5)
        price = last if view.mid is None or dice.random() < 0.3 else view.mid
        if price is None:
            self.skip("no price", pair=str(pair))
            return
        action = dice.choices(self._ACTIONS, self._weights)[0]
        bid, ask = view.best_bid or price, view.best_ask or price
        position, funds = self.position(pair), self.balance(pair.quote)
        scale = dice.choice([1, 1, 3, 10, 60])
        amount = min(float(self.rules(pair).least_amount) * scale, max(funds.available / price / 4, 1e-9))
        if self.reads_market and dice.random() < 0.05:
            amount *= 30  # beyond the first levels
        getattr(self, f"_{action}")(pair, price, bid, ask, amount, position)

    def _expiry(self) -> float | None:
        return self.random.choice([None, None, 3 if self.reads_market else 300, 20 if self.reads_market else 3600])

    def _step(self, pair: Pair) -> float:
        coarse = self.random.choice([1, 1, 5]) * (1 if self.reads_market else 300)
        return float(self.rules(pair).tick_size) * coarse

    def _bid(self, pair: Pair, price: float, bid: float, ask: float, amount: float, position: Any) -> None:
        dice, step = self.random, self._step(pair)
        self._last = self.buy(
            pair,
            amount=amount,
            price=bid + dice.randint(-4, 2) * step,
            post_only=dice.random() < 0.3,
            expire_s=self._expiry(),
            tag=dice.choice(["", "b", f"bid {self.now % 7}"]),
        )

    def _ask(self, pair: Pair, price: float, bid: float, ask: float, amount: float, position: Any) -> None:
        dice, step = self.random, self._step(pair)
        self._last = self.sell(
            pair,
            amount=min(amount, max(position.sellable, 1e-9)) if dice.random() < 0.8 else amount,
            price=ask + dice.randint(-2, 4) * step,
            post_only=dice.random() < 0.3,
            expire_s=self._expiry(),
            tag=dice.choice(["", "s"]),
        )

    def _stop_buy(self, pair: Pair, price: float, bid: float, ask: float, amount: float, position: Any) -> None:
        dice, step = self.random, self._step(pair)
        stop = price + dice.randint(-1, 6) * step
        self.buy(
            pair,
            amount=amount,
            price=stop * 1.001,
            stop_price=stop,
            on_met=dice.choice(["refuse", "market"]),
            expire_s=self._expiry(),
            tag="stop",
        )

    def _stop_sell(self, pair: Pair, price: float, bid: float, ask: float, amount: float, position: Any) -> None:
        dice, step = self.random, self._step(pair)
        up = dice.random() < 0.3
        stop = price + (1 if up else -1) * dice.randint(-1, 6) * step
        self.sell(
            pair,
            amount=amount,
            price=stop * 0.999,
            stop_price=stop,
            condition=">=" if up else None,
            on_met=dice.choice(["refuse", "market"]),
        )

    def _spend(self, pair: Pair, price: float, bid: float, ask: float, amount: float, position: Any) -> None:
        spend = round(amount * price * 1.01, 4) if self.random.random() < 0.9 else 10**9
        self.market_buy(pair, spend=spend, max_slippage_pct=self.random.choice([1, 0.001, 50]))

    def _buy_amount(self, pair: Pair, price: float, bid: float, ask: float, amount: float, position: Any) -> None:
        self.market_buy(pair, amount=amount, tag="m")

    def _sell_amount(self, pair: Pair, price: float, bid: float, ask: float, amount: float, position: Any) -> None:
        self.market_sell(pair, amount=amount, max_slippage_pct=self.random.choice([1, 0.001, 50]))

    def _close_position(self, pair: Pair, price: float, bid: float, ask: float, amount: float, position: Any) -> None:
        if self.random.random() < 0.5:
            self.cancel_all(pair)
        self.close(pair)

    def _cancel_one(self, pair: Pair, price: float, bid: float, ask: float, amount: float, position: Any) -> None:
        orders = self.open_orders()
        if orders:
            self.cancel(self.random.choice(orders))
        elif self._last is not None:
            self.cancel(self._last)  # an order that became final long ago

    def _cancel_everything(self, pair: Pair, *_: Any) -> None:
        self.cancel_all(self.random.choice([None, pair]))

    def _replace_price(self, pair: Pair, price: float, bid: float, ask: float, amount: float, position: Any) -> None:
        orders = self.open_orders(pair)
        if orders:
            order = self.random.choice(orders)
            near = bid if order.side.value == "buy" else ask
            price = near + self.random.randint(-3, 3) * self._step(pair)
            if self.shape >= 1_800:  # all other prices are aligned to the tick size
                price *= 1 + self.random.randint(1, 99) * 1e-7
            self._last = self.replace(order, price=price)

    def _replace_amount(self, pair: Pair, price: float, bid: float, ask: float, amount: float, position: Any) -> None:
        orders = self.open_orders(pair)
        if orders:
            both = self.random.random() < 0.4
            self.replace(self.random.choice(orders), amount=amount * 2, price=bid if both else None)

    def _ladder(self, pair: Pair, price: float, bid: float, ask: float, amount: float, position: Any) -> None:
        dice, step = self.random, self._step(pair)
        levels, sells = dice.randint(1, 4), dice.randint(0, 3)
        self.quote(
            pair,
            bids=[(bid - place * step, amount) for place in range(levels)],
            asks=[(ask + place * step, amount) for place in range(sells)],
            post_only=dice.random() < 0.7,
            tolerance_bps=dice.choice([0, 0.5, 5]),
            tag=dice.choice(["q", "q", "r"]),
        )

    def _no_ladder(self, pair: Pair, *_: Any) -> None:
        self.quote(pair, tag=self.random.choice(["q", "r"]))

    def _guard_position(self, pair: Pair, price: float, bid: float, ask: float, amount: float, position: Any) -> None:
        dice, size = self.random, 0.1 if self.reads_market else 0.3
        self.protect(
            pair,
            stop_loss_pct=dice.choice([None, size, 3 * size]),
            take_profit_pct=dice.choice([None, size, 3 * size]),
            trail_pct=dice.choice([None, size, 2 * size]),
        )

    def _unguard(self, pair: Pair, *_: Any) -> None:
        if self.random.random() < 0.3:
            self.protect(pair)

    def _take(self, pair: Pair, price: float, bid: float, ask: float, amount: float, position: Any) -> None:
        self._last = self.buy(pair, amount=amount, price=ask * 1.0005, expire_s=self._expiry(), tag="take")

    def _nonsense(self, pair: Pair, price: float, bid: float, ask: float, amount: float, position: Any) -> None:
        choice = self.random.randrange(6)
        if choice == 0:
            self.sell(pair, amount=amount / 1e6, price=ask)
        elif choice == 1:
            self.buy(pair, amount=10**7, price=bid)
        elif choice == 2:
            self.buy(pair, amount=amount, price=-1)
        elif choice == 3:
            self.market_buy(pair)
        elif choice == 4:
            self.sell(pair, amount=amount, price=ask, stop_price=ask * 50, tag="far")
        else:
            self.buy(pair, amount=amount, price=bid * 3, expire_s=-1)

    def _pass_by(self, pair: Pair, price: float, bid: float, ask: float, amount: float, position: Any) -> None:
        rates = self.fees(pair)
        if position.unrealised < 0 and rates.taker > 0:
            self.skip("under water", unrealised=position.unrealised)
        else:
            self.skip("waiting", entry=position.average_entry)

    def _other_timer(self, pair: Pair, *_: Any) -> None:
        if self.random.random() < 0.5:
            self.set_timer("other", every_s=self.random.choice([5, 11]) * (1 if self.reads_market else 60))
        else:
            self.cancel_timer("other")


@hookimpl
def botkit_register_strategies(register):  # type: ignore[no-untyped-def]
    register("anything", Anything)
