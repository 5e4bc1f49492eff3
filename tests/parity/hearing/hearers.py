"""Variants of the random strategies that receive every trade and count trades in `tests.parity.heard`."""

from __future__ import annotations

from botkit import Trade, hookimpl
from tests.frozen.strategies.anything import Anything
from tests.parity import heard
from tests.parity.strategies.scripted import Chaos


class HearingAnything(Anything):
    """A variant of `Anything` that is always subscribed to the trades of all its pairs."""

    def on_start(self) -> None:
        super().on_start()
        for pair in self.pairs:
            self.subscribe_trades(pair)

    def on_trade(self, trade: Trade) -> None:
        heard.count += 1
        super().on_trade(trade)


class HearingChaos(Chaos):
    """A variant of `Chaos` that counts its trades."""

    def on_trade(self, trade: Trade) -> None:
        heard.count += 1
        super().on_trade(trade)


@hookimpl
def botkit_register_strategies(register):  # type: ignore[no-untyped-def]
    register("hearing_anything", HearingAnything)
    register("hearing_chaos", HearingChaos)
