"""Places a ladder of resting orders that buys at each step down and sells each purchase one step higher."""

from __future__ import annotations

from bisect import bisect_left
from decimal import Decimal
from math import ceil
from typing import Literal

from botkit import Bar, ConfigError, Fill, Pair, Register, Side, Strategy, hookimpl, param

_BUYS, _SELLS = "grid buy", "grid sell"
#: number of bars until a missing order is placed again. It doubles each time, up to the second value
_PATIENCE, _PATIENCE_MOST = 1, 64


class Grid(Strategy):
    """Divides the price range from `low` to `high` into `cells` and trades each cell separately.

    A cell buys `amount` at its lower line, sells the coins at its upper line, and starts over. It earns the distance
    between the two lines, minus two fees, each time the price falls through the cell and rises again. At the start, the
    strategy buys the coins for the cells above the price (`buy_first`), because a grid must own the coins that it
    sells.

    The grid earns while the price swings inside the range. Below the range it holds coins that lose value: `stop_below`
    sells them and stops the grid. Above the range all coins have been sold, and the grid waits for the price to return.

    The distance between two lines must exceed two maker fees. A narrower grid is refused, and the message states the
    break-even. Bids are post-only. Asks are not: if the price has jumped past a line, its coins sell for more.

    The exchange limits a pair's open orders (200 on BitoPro): a finer grid keeps only the nearest orders resting.
    """

    pair: Pair
    low: float = param(gt=0, doc="the lowest line")
    high: float = param(gt=0, doc="the highest line")
    cells: int = param(20, ge=1, le=5_000, doc="number of steps between low and high")
    amount: float = param(gt=0, doc="base currency that each cell trades")
    spacing: Literal["geometric", "arithmetic"] = param("geometric", doc="equal steps in percent, or in price")
    buy_first: bool = param(True, doc="buy the coins for the cells above the price at the start")
    stop_below: float | None = param(None, gt=0, doc="stop and sell when the price falls to this; null: never")
    max_orders: int | None = param(None, ge=2, doc="maximum number of resting orders; null: the exchange's limit")
    resolution: str = param("1m", doc="how often to check for missing orders")

    def on_start(self) -> None:
        self._tick = self.pair.rules.tick_size
        self._lines = self._make_lines()
        self._check_parameters()
        #: for each line price, the cell that buys there and the cell that sells there
        self._buys_at = {line: cell for cell, line in enumerate(self._lines[:-1])}
        self._sells_at = {line: cell for cell, line in enumerate(self._lines[1:])}
        self._wanted = -1  # how many orders should be resting; -1 means that none have been placed yet
        self._placed_at = -1  # the cell that contained the price when the orders were placed
        self._patience = self._wait = _PATIENCE
        self._stopping = False
        self._stays_out = False
        if self.state.get("lines") != self._lines or self.state.get("amount") != self.amount:
            # on a first start, or if the grid has changed, the first price determines which cells hold coins
            self.state.clear()
            self.state.update(lines=self._lines, amount=self.amount, phase="new")
        self.subscribe_bars(self.pair, self.resolution)

    # -- lines ----------------------------------------------------------------------------------------------------

    def _make_lines(self) -> list[float]:
        if self.low >= self.high:
            raise ConfigError(f"low is {self.low:g} and high is {self.high:g}; low must be smaller than high")
        low, high = Decimal(str(self.low)), Decimal(str(self.high))
        lines = []
        for i in range(self.cells + 1):
            # Decimal powers are rounded correctly everywhere; a float power may differ between machines.
            part = Decimal(i) / self.cells
            exact = low * (high / low) ** part if self.spacing == "geometric" else low + (high - low) * part
            lines.append(float((exact / self._tick).to_integral_value() * self._tick))
        return lines

    def _check_parameters(self) -> None:
        rules = self.pair.rules
        if self.amount < float(rules.least_amount):
            raise ConfigError(
                f"amount is {self.amount:g}, but the smallest order for {self.pair} is {rules.least_amount}"
            )
        if self.stop_below is not None and self.stop_below >= self.low:
            raise ConfigError(f"stop_below is {self.stop_below:g}; it must be below the lowest line {self.low:g}")
        # Buying at 1 and selling at r, with a fee deducted each time, is profitable if r (1 - fee)^2 is greater than 1.
        maker = self.fees(self.pair).maker
        break_even = 1 / (1 - maker) ** 2
        narrowest = min(range(self.cells), key=lambda cell: self._lines[cell + 1] / self._lines[cell])
        lower, upper = self._lines[narrowest], self._lines[narrowest + 1]
        if upper <= lower * break_even:
            raise ConfigError(
                f"the step from {lower:.10g} to {upper:.10g} is {(upper / lower - 1) * 100:.4g} %, but two fees of "
                f"{maker * 100:g} % cost {(break_even - 1) * 100:.4g} %, the break-even; {self._remedy(break_even)}"
            )

    def _remedy(self, break_even: float) -> str:
        if self.spacing == "arithmetic":  # in percent, the top step is the smallest
            limit = (self.high - self.low) / (self.high * (1 - 1 / break_even))
        else:
            limit = float((Decimal(self.high) / Decimal(self.low)).ln() / Decimal(break_even).ln())
        most = ceil(limit) - 1
        if most < 1:
            return "no grid between these prices can be profitable; widen the range"
        return f"use at most {most} cells, or a wider range"

    # Each cell has coins to sell at its upper line (`held`) and an amount to buy at its lower line (`to_buy`), in base
    # currency. A cell above the price without coins starts to buy once the price rises above its lower line.

    @property
    def _held(self) -> list[float]:
        held: list[float] = self.state["held"]
        return held

    @property
    def _to_buy(self) -> list[float]:
        to_buy: list[float] = self.state["to_buy"]
        return to_buy

    def on_bar(self, bar: Bar) -> None:
        phase = self.state["phase"]
        if phase == "new" and self.open_orders(self.pair):
            # a grid with other lines ran before: its orders lock coins that this one counts
            self.cancel_all(self.pair)
        elif phase == "new" and self.stop_below is not None and bar.close <= self.stop_below:
            self._stay_out(bar.close)
        elif phase == "new":
            self._open(bar.close)
        elif phase == "opening":
            self._finish_opening()
        elif phase == "stopped" or (self.stop_below is not None and bar.close <= self.stop_below):
            self._give_up(bar.close)
        else:
            if bar.close < self.low:
                self.skip("the price is below the grid")
            elif bar.close > self.high:
                self.skip("the price is above the grid")
            if bisect_left(self._lines, bar.close) != self._placed_at or self._is_order_missing():
                self._place_orders(bar.close)

    def _is_order_missing(self) -> bool:
        """Return True if an order was refused, or cancelled by post-only, and it is time to retry."""
        if len(self.open_orders(self.pair)) == self._wanted:
            self._patience = self._wait = _PATIENCE
            return False
        self._wait -= 1
        if self._wait > 0:
            return False
        self._patience = self._wait = min(2 * self._patience, _PATIENCE_MOST)
        return True

    def _open(self, price: float) -> None:
        """Calculate how many coins the cells above the price need, and buy the missing coins."""
        self.state.update(held=[0.0] * self.cells, to_buy=[self.amount] * self.cells, phase="opening")
        above = sum(1 for line in self._lines[:-1] if line >= price)
        missing = above * self.amount - self.position(self.pair).sellable
        if self.buy_first and missing >= float(self.pair.rules.least_amount):
            # the taker fee is deducted from the coins, so buy slightly more
            amount = missing / (1 - self.fees(self.pair).taker)
            if amount * price > self.balance(self.pair.quote).available:
                self.skip(f"too little {self.pair.quote} for the first purchase", needed=amount * price)
            else:
                self.market_buy(self.pair, amount=amount, tag="first")
        self._finish_opening()

    def _stay_out(self, price: float) -> None:
        """Buy nothing, because the price is where the grid would sell its coins again. It opens above `stop_below`."""
        if not self._stays_out:
            self._stays_out = True
            self.log.warning(
                "%s is at %g: the grid opens only when the price is above stop_below, %g",
                *(self.pair, price, self.stop_below),
            )
        self.skip("the price is below stop_below: the grid does not open")

    def _finish_opening(self) -> None:
        """Distribute the coins from the initial purchase to the cells above the price, nearest first."""
        if self.open_orders(self.pair):
            return
        price = self.last_price(self.pair)
        assert price is not None
        coins = self.position(self.pair).sellable
        for cell in range(self.cells):
            if self._lines[cell] >= price and coins >= float(self.pair.rules.least_amount):
                share = min(self.amount, coins)
                self._held[cell], self._to_buy[cell] = share, 0.0
                coins -= share
        self.state["phase"] = "running"
        self._place_orders(price)

    def on_fill(self, fill: Fill) -> None:
        if self.state["phase"] == "new":
            return  # an order of a grid with other lines: what it traded is counted when this one opens
        if fill.order.tag == _BUYS:
            cell = self._buys_at[fill.order.price]
            fee = fill.fee if fill.fee_currency == self.pair.base else 0.0
            self._to_buy[cell] = max(0.0, self._to_buy[cell] - fill.amount)
            self._held[cell] += fill.amount - fee
        elif fill.order.tag == _SELLS:
            cell = self._sells_at[fill.order.price]
            self._held[cell] = max(0.0, self._held[cell] - fill.amount)
            if self._held[cell] < float(self.pair.rules.least_amount):
                self._to_buy[cell] = self.amount
        if self.state["phase"] == "running" and not self._stopping:
            self._place_orders(fill.price)

    # -- orders ---------------------------------------------------------------------------------------------------

    @property
    def _cap(self) -> int:
        allowed = self.pair.rules.open_orders_max
        return allowed if self.max_orders is None else min(allowed, self.max_orders)

    def _place_orders(self, price: float) -> None:
        """Quote the orders nearest to the price, as many as the cap and the available funds allow."""
        least = float(self.pair.rules.least_amount)
        asks = [(Side.SELL, self._lines[c + 1], held) for c, held in enumerate(self._held) if held >= least]
        # A new bid above the price would take liquidity, and a new bid at the price of one of our own asks would match
        # that ask. A bid already resting above the price is about to be filled.
        resting = {order.price for order in self.open_orders(self.pair) if order.side is Side.BUY}
        lowest_ask = min((line for _, line, _ in asks), default=float("inf"))
        bids = [
            (Side.BUY, self._lines[c], to_buy)
            for c, to_buy in enumerate(self._to_buy)
            if to_buy >= least and self._lines[c] < lowest_ask and (self._lines[c] < price or self._lines[c] in resting)
        ]
        nearest = sorted(asks + bids, key=lambda row: (abs(row[1] - price), row[1]))
        if len(nearest) > self._cap:
            self.skip("more lines than orders allowed: only the nearest are placed")
        chosen = self._affordable(nearest[: self._cap])
        self._wanted = len(chosen[Side.BUY]) + len(chosen[Side.SELL])
        self._placed_at = bisect_left(self._lines, price)
        self.quote(self.pair, bids=chosen[Side.BUY], tag=_BUYS)
        self.quote(self.pair, asks=chosen[Side.SELL], tag=_SELLS, post_only=False)

    def _affordable(self, rows: list[tuple[Side, float, float]]) -> dict[Side, list[tuple[float, float]]]:
        """Return, for each side, the (price, amount) rows that the available funds cover, in the given order."""
        # use totals, because funds locked by our own orders pay for the orders that stay or replace them
        left = {Side.BUY: self.balance(self.pair.quote).total, Side.SELL: self.balance(self.pair.base).total}
        chosen: dict[Side, list[tuple[float, float]]] = {Side.BUY: [], Side.SELL: []}
        for side, line, amount in rows:
            needed = line * amount if side is Side.BUY else amount
            if needed > left[side] * (1 + 1e-12):
                self.skip(f"not enough {self.pair.quote if side is Side.BUY else self.pair.base} for every line")
            else:
                left[side] -= needed
                chosen[side].append((line, amount))
        return chosen

    def _give_up(self, price: float) -> None:
        """Cancel all orders and then sell all coins, because the price has fallen to `stop_below`."""
        if self.state["phase"] != "stopped":
            self.log.warning("%s has fallen to %g: the grid stops and sells its coins", self.pair, price)
            self.state["phase"] = "stopped"
            self._withdraw()
        if self.open_orders(self.pair):
            return  # the coins stay locked until the last cancel is final
        if self.position(self.pair).sellable:
            self.close(self.pair, tag="stop")
        else:
            self.skip("stopped: the price fell below stop_below")

    def _withdraw(self) -> None:
        self.quote(self.pair, tag=_BUYS)
        self.quote(self.pair, tag=_SELLS)

    def on_stop(self) -> None:
        self._stopping = True  # fills that arrive before the cancels are final are booked, but trigger no new orders
        self._withdraw()


@hookimpl
def botkit_register_strategies(register: Register) -> None:
    register("grid", Grid)
