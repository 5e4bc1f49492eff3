"""Trades around a triangle of pairs if the loop would end with more money than it started with."""

from __future__ import annotations

from typing import NamedTuple

from botkit import (
    BookView,
    ConfigError,
    Fill,
    Level,
    Order,
    OrderBook,
    Pair,
    Register,
    Side,
    Strategy,
    Timer,
    hookimpl,
    param,
)


class Leg(NamedTuple):
    """One trade in a loop, on ``pair``, from one currency into another."""

    pair: Pair
    side: Side

    @property
    def source(self) -> str:
        """The currency that the leg spends."""
        return self.pair.quote if self.side is Side.BUY else self.pair.base

    @property
    def target(self) -> str:
        """The currency that the leg receives."""
        return self.pair.base if self.side is Side.BUY else self.pair.quote


class Triangular(Strategy):
    """Watches three pairs that form a triangle, such as btc_twd, btc_usdt and usdt_twd, in both directions.

    In one direction, Taiwan dollars buy bitcoin, bitcoin buys tether, and tether buys Taiwan dollars. The other
    direction is the reverse. The three prices should be consistent. When one of them deviates by more than three taker
    fees, one direction is profitable.

    The first leg is a limit order at the worst price that is still profitable. The part that is not filled immediately
    is cancelled, so a missed opportunity costs nothing. The second and third legs are market orders for exactly the
    proceeds of the previous leg, because by then the strategy holds coins that it does not want. If either of those
    legs does not fill, the strategy *recovers*: it sells the coins directly for the home currency and retries every few
    seconds. The log and the report show this until the coins are sold. Until then, the strategy starts no new loop.

    Prices move while orders are in flight, so a loop may earn less than computed; `least_profit_bps` is the margin for
    such moves.
    """

    pairs: list[Pair]
    home: str = param("twd", doc="currency in which every loop starts and ends")
    spend: float = param(
        gt=0, doc="home currency to spend on the largest loop; smaller ones are tried if the books are thin"
    )
    least_profit_bps: float = param(
        10.0, doc="minimum profit of a loop after all fees, in basis points of the amount spent"
    )
    depth: int = param(5, ge=1, doc="order book depth to use, in levels: 1, 5, 10, 20, 30 or 50")
    max_age_s: float = param(60.0, gt=0, doc="do not trade if a book is older than this")
    first_leg_s: float = param(3.0, gt=0, doc="cancel the rest of the first leg after this time")
    max_slippage_pct: float = param(1.0, gt=0, le=50, doc="maximum distance of market orders from the best price")
    pause_s: float = param(5.0, ge=0, doc="pause after a loop, until the books show its effect")
    retry_s: int = param(5, ge=1, doc="interval between attempts to sell coins that a broken loop left over")

    def on_start(self) -> None:
        self._loops = self._find_loops()
        self._way_home = {leg.source: leg for loop in self._loops for leg in loop if leg.target == self.home}
        self._loop: list[Leg] | None = None  # the loop in progress
        self._step = 0
        self._order: Order | None = None
        self._quiet_until = 0
        #: currency -> the amount that loops have bought but not yet traded onward; after a crash, it must be sold
        self.state.setdefault("held", {})
        for pair in self.pairs:
            self.subscribe_book(pair, depth=self.depth)
        self.set_timer("retry", every_s=self.retry_s)

    def _find_loops(self) -> list[list[Leg]]:
        """Return the two loops that start from the home currency. Raises ConfigError with the reason if there are
        none.
        """
        if len(self.pairs) != 3 or len(set(self.pairs)) != 3:
            raise ConfigError(f"a triangle needs three different pairs, not {', '.join(self.pairs) or 'none'}")
        found = []
        for first in self.pairs:
            loop: list[Leg] = []
            currency, pair, left = self.home, first, [p for p in self.pairs if p != first]
            while True:
                if currency not in (pair.base, pair.quote):
                    break
                loop.append(Leg(pair, Side.BUY if currency == pair.quote else Side.SELL))
                currency = loop[-1].target
                if not left:
                    break
                pair = next((p for p in left if currency in (p.base, p.quote)), left[0])
                left.remove(pair)
            if len(loop) == 3 and currency == self.home:
                found.append(loop)
        if len(found) != 2:
            raise ConfigError(
                f"{', '.join(self.pairs)} do not form a loop from {self.home}; a triangle is, for example, btc_twd, "
                "btc_usdt and usdt_twd, where `home` is one of its currencies"
            )
        return found

    # -- finding loops --------------------------------------------------------------------------------------------

    def on_book(self, book: OrderBook) -> None:
        if self._order is not None or self.now < self._quiet_until:
            return
        if self._stranded():
            self.skip("still selling coins that a broken loop left over")
            return
        books = {pair: self.book(pair) for pair in self.pairs}
        if any(view.age_s > self.max_age_s or view.mid is None for view in books.values()):
            self.skip("a book is missing or too old")
            return
        best: tuple[float, float, list[Leg]] | None = None
        for loop in self._loops:
            if self._best_rate(loop, books) < 1 + self.least_profit_bps / 10_000:
                continue
            spend = min(self.spend, self.balance(self.home).available)
            for _ in range(5):  # in a thin book, a small loop may be profitable even if a large one is not
                profit = self._profit(loop, books, spend)
                if profit is not None and (best is None or profit > best[0]):
                    best = (profit, spend, loop)
                spend /= 2
        if best is None:
            self.skip("no loop is profitable")
            return
        self._begin(best[2], best[1], books)

    def _best_rate(self, loop: list[Leg], books: dict[Pair, BookView]) -> float:
        """Return the proceeds of a very small loop per unit spent, after fees. This rate alone rules out most books."""
        rate = 1.0
        for leg in loop:
            view = books[leg.pair]
            price = view.best_ask if leg.side is Side.BUY else view.best_bid
            assert price is not None
            rate *= (1 / price if leg.side is Side.BUY else price) * (1 - self.fees(leg.pair).taker)
        return rate

    def _profit(self, loop: list[Leg], books: dict[Pair, BookView], spend: float) -> float | None:
        """Return the profit of a loop in home currency after fees, or None if it is too small or the loop cannot be
        filled.
        """
        amount = spend
        for leg in loop:
            given = amount
            found = _convert(leg, _levels(leg, books), given)
            if found is None or not self._is_allowed(leg, given, found[0]):
                return None
            amount = found[0] * (1 - self.fees(leg.pair).taker)
        profit = amount - spend
        return profit if profit > 0 and profit >= spend * self.least_profit_bps / 10_000 else None

    def _is_allowed(self, leg: Leg, given: float, got: float) -> bool:
        """Return True if the pair's rules allow an order of this size."""
        rules = leg.pair.rules
        if leg.side is Side.BUY:
            return given >= float(rules.least_spend) and got >= float(rules.least_amount)
        return given >= float(rules.least_amount)

    # -- the loop -------------------------------------------------------------------------------------------------

    def _begin(self, loop: list[Leg], spend: float, books: dict[Pair, BookView]) -> None:
        leg = loop[0]
        found = _convert(leg, _levels(leg, books), spend)
        assert found is not None
        got, worst = found
        self._loop, self._step = loop, 0
        if leg.side is Side.BUY:
            self._order = self.buy(leg.pair, amount=got, price=worst, expire_s=self.first_leg_s, tag="leg 1")
        else:
            self._order = self.sell(leg.pair, amount=spend, price=worst, expire_s=self.first_leg_s, tag="leg 1")

    @property
    def _held(self) -> dict[str, float]:
        held: dict[str, float] = self.state["held"]
        return held

    def on_fill(self, fill: Fill) -> None:
        leg = Leg(fill.pair, fill.side)
        gave, got = (fill.value, fill.amount) if fill.side is Side.BUY else (fill.amount, fill.value)
        if fill.fee_currency == leg.target:
            got -= fill.fee
        for currency, change in ((leg.source, -gave), (leg.target, got)):
            if currency != self.home:
                self._held[currency] = max(0.0, self._held.get(currency, 0.0) + change)

    def on_order(self, order: Order) -> None:
        if self._order is None or order.client_id != self._order.client_id or not order.is_final:
            return
        self._order = None
        if self._loop is None:  # a recovery attempt is complete; the timer retries
            self._pause()
            return
        if self._step == 0 and not order.executed:
            self._end_loop(f"the first leg was not filled: {order.state.value}")
            return
        leg = self._loop[self._step]
        if self._step > 0 and self._worth_selling(leg.source):
            self.log.warning(
                "leg %d (%s %s) left %.8g %s: %s %s; selling it for %s",
                self._step + 1, leg.side.value, leg.pair, self._held[leg.source], leg.source, order.state.value,
                order.reason, self.home,
            )  # fmt: skip
            self._end_loop(f"a loop broke at leg {self._step + 1}")
            self._recover()
        elif self._step == 2:
            self._end_loop("")
        elif not self._is_enough(self._loop[self._step + 1]):
            self._end_loop(f"the proceeds of leg {self._step + 1} were too small to continue")
        else:
            self._step += 1
            self._order = self._trade(self._loop[self._step], f"leg {self._step + 1}")

    def _is_enough(self, leg: Leg) -> bool:
        """Return True if the balance of the leg's source currency is enough for an order."""
        rules = leg.pair.rules
        return self._held.get(leg.source, 0.0) >= float(
            rules.least_spend if leg.side is Side.BUY else rules.least_amount
        )

    def _trade(self, leg: Leg, tag: str) -> Order:
        """Place a market order that spends all of the leg's source currency, including dust from earlier loops."""
        amount = min(self._held.get(leg.source, 0.0), self.balance(leg.source).available)
        if leg.side is Side.BUY:
            return self.market_buy(leg.pair, spend=amount, max_slippage_pct=self.max_slippage_pct, tag=tag)
        return self.market_sell(leg.pair, amount=amount, max_slippage_pct=self.max_slippage_pct, tag=tag)

    def _end_loop(self, reason: str) -> None:
        self._loop = None
        self._pause()
        if reason:
            self.skip(reason)

    def _pause(self) -> None:
        self._quiet_until = self.now + int(self.pause_s * 1_000_000_000)

    # -- recovery -------------------------------------------------------------------------------------------------

    def _worth_selling(self, currency: str) -> bool:
        """Return True if the amount is more than dust: large enough for an order that converts it directly to the home
        currency.
        """
        leg = self._way_home.get(currency)
        return leg is not None and self._is_enough(leg)

    def _stranded(self) -> list[str]:
        return [currency for currency in self._held if self._worth_selling(currency)]

    def on_timer(self, timer: Timer) -> None:
        if self._order is None and self._loop is None:
            self._recover()
        elif self._order is not None and self.now - self._order.created > 60_000_000_000:
            self.skip(f"an order has been {self._order.state.value} for over a minute")

    def _recover(self) -> None:
        """Sell the coins left over from a loop directly for the home currency, and log every attempt until they are
        sold.
        """
        for currency in self._stranded():
            if self._order is not None:
                return
            leg = self._way_home[currency]
            self.log.warning("holding %.8g %s left over from a loop: %s %s", self._held[currency], currency,
                             leg.side.value, leg.pair)  # fmt: skip
            self.skip(f"recovering: selling left-over {currency}")
            order = self._trade(leg, "recover")
            if order.is_open:
                self._order = order

    def on_stop(self) -> None:
        for currency in self._stranded():
            self.log.error("stopped while holding %.8g %s left over from a loop", self._held[currency], currency)
            self.skip(f"stopped while holding left-over {currency}")


def _levels(leg: Leg, books: dict[Pair, BookView]) -> tuple[Level, ...]:
    """Return the side of the book from which the leg takes, best level first."""
    return books[leg.pair].asks if leg.side is Side.BUY else books[leg.pair].bids


def _convert(leg: Leg, levels: tuple[Level, ...], given: float) -> tuple[float, float] | None:
    """Return (the proceeds of ``given`` in the target currency before fees, the worst price reached), or None if the
    book is too thin.
    """
    got, worst = 0.0, 0.0
    for level in levels:
        worst = level.price
        if leg.side is Side.BUY:
            if given <= level.price * level.amount:
                return got + given / level.price, worst
            got += level.amount
            given -= level.price * level.amount
        else:
            if given <= level.amount:
                return got + given * level.price, worst
            got += level.amount * level.price
            given -= level.amount
    return None


@hookimpl
def botkit_register_strategies(register: Register) -> None:
    register("triangular", Triangular)
