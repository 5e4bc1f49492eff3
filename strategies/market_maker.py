"""Quotes both sides of a market to earn the spread, adjusting its prices to its inventory."""

from __future__ import annotations

from botkit import Fill, OrderBook, Pair, Register, Strategy, Timer, hookimpl, param


class MarketMaker(Strategy):
    """Keeps a bid below and an ask above the book's mid price.

    When the bid is filled, the strategy holds more coins than it wants and moves both quotes down: the ask becomes more
    attractive, and the coins sell. When the strategy holds too few coins, it moves both quotes up. Quotes are
    post-only: they never take, so every fill pays only the maker fee.

    When both a bid and an ask are filled, the strategy earns `spread_bps` and pays two maker fees. It loses when the
    market moves in one direction: then only one side is filled, and `inventory` limits the loss.
    """

    pair: Pair
    amount: float = param(0.01, gt=0, doc="size of each quote, in base currency")
    spread_bps: float = param(
        20.0, ge=0.01, lt=10_000, live=True, doc="distance between bid and ask, in basis points of the mid price"
    )
    skew_bps: float = param(10.0, ge=0, lt=10_000, live=True, doc="shift of both quotes when the inventory is full")
    inventory: float = param(0.05, gt=0, doc="maximum distance from the target holding, in base currency")
    target: float | None = param(
        None, ge=0, doc="holding at which quotes are centred, in base currency; default: the coins it was given"
    )
    tolerance_bps: float = param(2.0, ge=0, doc="leave a quote in place if it is this close to the target price")
    max_age_s: float = param(60.0, gt=0, doc="pull the quotes when the book is older than this")

    def on_start(self) -> None:
        self.subscribe_book(self.pair, depth=5)
        self.set_timer("age", every_s=5)
        self._stopping = False
        fees_bps = self.fees(self.pair).maker * 20_000
        if self.spread_bps <= fees_bps:
            self.log.warning("a spread of %g bp does not cover the two maker fees of %g bp", self.spread_bps, fees_bps)

    def on_book(self, book: OrderBook) -> None:
        self._requote()

    def on_fill(self, fill: Fill) -> None:
        # requote immediately, because otherwise the engine would keep placing the old quote until the next book,
        # regardless of the fill
        if not self._stopping:
            self._requote()

    def _requote(self) -> None:
        # The book contains our own quotes. If they were not removed, the mid price would follow them.
        market = self.book(self.pair, own=False)
        if market.mid is None:
            self.quote(self.pair)
            self.skip("one side of the book is empty")
            return
        position = self.position(self.pair)
        held = position.amount - (position.given if self.target is None else self.target)
        self.plot("inventory", held)
        lean = max(-1.0, min(1.0, held / self.inventory))
        middle = market.mid * (1 - lean * self.skew_bps / 10_000)
        half = middle * self.spread_bps / 20_000
        self.quote(
            self.pair,
            bids=self._bids(middle - half, held),
            asks=self._asks(middle + half, held),
            tolerance_bps=self.tolerance_bps,
        )

    def _bids(self, price: float, held: float) -> list[tuple[float, float]]:
        # funds locked by the current bid pay for the bid that replaces it
        affordable = self.balance(self.pair.quote).total / price
        return self._level(price, "inventory is at its upper limit", self.inventory - held, "bid with", affordable)

    def _asks(self, price: float, held: float) -> list[tuple[float, float]]:
        owned = self.balance(self.pair.base).total
        return self._level(price, "inventory is at its lower limit", self.inventory + held, "offer", owned)

    def _level(self, price: float, full: str, room: float, use: str, owned: float) -> list[tuple[float, float]]:
        least = float(self.pair.rules.least_amount)
        if room < least:
            self.skip(full)
        elif owned < least:
            self.skip(f"too little to {use}")
        else:
            return [(price, min(self.amount, room, owned))]
        return []

    def on_timer(self, timer: Timer) -> None:
        if self.open_orders(self.pair) and self.book(self.pair).age_s > self.max_age_s:
            self.skip("the book is too old to quote on")
            self.quote(self.pair)

    def on_stop(self) -> None:
        self._stopping = True
        self.quote(self.pair)  # without new quotes, the engine cancels the resting quotes


@hookimpl
def botkit_register_strategies(register: Register) -> None:
    register("market_maker", MarketMaker)
