"""The value types that a view returns (`botkit.engine.view`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from botkit.engine.strategy.parameter import Parameter
from botkit.model.clock import Nanos
from botkit.model.events import OrderBook
from botkit.model.pairs import Pair


class StrategyView(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy: whether it is running, and its counts. ``halted`` is the reason why it may place no new orders.
    ``sent`` is the number of orders that were sent or are queued. ``orders`` also counts those that were withheld or
    refused at once, apart from refused quotes and protective exits.
    """

    name: str
    active: bool
    stopped_because: str
    halted: str | None
    orders: int
    sent: int
    fills: int
    skips: Mapping[str, int]
    refusals: Mapping[str, int]
    last_skip: Mapping[str, Mapping[str, Any]]
    #: the current parameter values, including live changes
    parameters: Mapping[str, Any] = {}
    #: the parameters as declared in the strategy's class
    declared: Mapping[str, Parameter] = {}


class PositionView(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy's position in a pair, with money in the pair's quote currency."""

    pair: Pair
    amount_units: int
    given_units: int
    amount: float
    average_entry: float
    realised: float
    unrealised: float
    is_flat: bool

    @property
    def lots(self) -> int:
        """The amount in full lots."""
        return self.pair.rules.lots_of_units(self.amount_units)


class MarketView(msgspec.Struct, frozen=True, kw_only=True):
    """One pair: its last price, its book, the book's arrival time (0: never), and the pair's subscriptions."""

    pair: Pair
    last: float | None
    book: OrderBook
    book_seen: Nanos
    book_depth: int
    resolutions: tuple[str, ...]
    #: True if trades, books or tickers are subscribed to (bars do not count)
    is_listened_to: bool
    #: number of trades that arrived after their bar had closed, for the resolution with the most late trades
    late_trades: int
