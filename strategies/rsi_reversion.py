"""Buys coins that have fallen too fast, and sells them after they have recovered."""

from __future__ import annotations

from botkit import RSI, Bar, ConfigError, Fill, Pair, Register, Side, Strategy, hookimpl, param


class RsiReversion(Strategy):
    """Buys when the RSI rises back through `buy_above`, and sells when it reaches `sell_above`.

    The relative strength index ranges from 0 (every close is below the previous one) to 100 (every close is above).
    Below 30, a market is regarded as oversold. To avoid buying during a fall, the strategy waits until the RSI has been
    below the line and has risen back above it. It holds at most one purchase at a time.

    It earns in markets that swing. In a market that keeps falling, every recovery is small and the next low is lower,
    so each purchase has a stop-loss. The engine checks the stop-loss at every price change, not only at the end of a
    bar.
    """

    pair: Pair
    resolution: str = param("5m", doc="length of a bar")
    length: int = param(14, ge=2, le=1_000, doc="number of bars in the RSI")
    buy_above: float = param(30.0, gt=0, lt=100, doc="buy when the RSI rises through this from below")
    sell_above: float = param(60.0, gt=0, lt=100, doc="sell when the RSI is at least this")
    spend: float = param(20_000.0, gt=0, doc="quote currency to spend on a purchase, or the rest if less is left")
    stop_loss_pct: float | None = param(3.0, ge=0.1, lt=100, doc="sell at this loss, in percent; null: never")

    def on_start(self) -> None:
        if self.sell_above <= self.buy_above:
            raise ConfigError(
                f"sell_above is {self.sell_above:g} and buy_above is {self.buy_above:g}; it would sell coins that it "
                "has just bought, so sell_above must be higher"
            )
        self._rsi = self.subscribe_bars(self.pair, self.resolution).attach(RSI(self.length))
        if self.stop_loss_pct is not None:
            self.protect(self.pair, stop_loss_pct=self.stop_loss_pct)

    def on_bar(self, bar: Bar) -> None:
        rsi = self._rsi.value
        if rsi is None or self._rsi.previous is None:
            self.skip("not enough bars for the RSI yet")
        elif self.open_orders(self.pair):
            self.skip("an order is pending")
        elif self.position(self.pair).sellable:
            if rsi >= self.sell_above:
                self.close(self.pair, tag="recovered")
        elif self._rsi.previous < self.buy_above <= rsi:
            self._buy()

    def _buy(self) -> None:
        spend = min(self.spend, self.balance(self.pair.quote).available)
        if spend < float(self.pair.rules.least_spend):
            self.skip("too little money left to buy", available=spend)
        else:
            self.market_buy(self.pair, spend=spend)

    def on_fill(self, fill: Fill) -> None:
        if fill.side is Side.SELL and fill.order.tag != "recovered":
            self.skip("stopped out")  # counts stop-outs, so that the report shows how often they happen


@hookimpl
def botkit_register_strategies(register: Register) -> None:
    register("rsi_reversion", RsiReversion)
