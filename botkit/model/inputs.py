"""The bot's inputs, each a small type: outside events, the stages of a run, and commands.

The engine has one entry point, `botkit.engine.engine.Engine.turn`, which takes one of these. A recording of a run is a
list of inputs with their times, so anything that can affect a decision must be one of these types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from botkit.model.clock import Nanos
from botkit.model.events import (
    BalanceReport,
    Bar,
    Candle,
    Connection,
    MarketEvent,
    OrderBook,
    OrderReport,
    Ticker,
    Trade,
    TradeReport,
)
from botkit.model.limits import SlotsChanged
from botkit.model.orders import Order
from botkit.model.pairs import Pair
from botkit.model.requests import Answer

# -- outside events ---------------------------------------------------------------------------------------------------


class AccountEvents(msgspec.Struct, frozen=True):
    """The events that the account's streams delivered at one moment: executions, order states and balances, in order of
    arrival.

    All parts of one match belong in a single `AccountEvents`. Money is booked at once; strategies are notified when the
    states of their orders agree with the executions.
    """

    events: tuple[OrderReport | TradeReport | BalanceReport, ...]


# -- the stages of a run ----------------------------------------------------------------------------------------------


class RestoredOrder(msgspec.Struct, frozen=True):
    """An order from an earlier run, with the (price ticks, lots) of its booked executions."""

    order: Order
    executions: tuple[tuple[int, int], ...] = ()


class SentBefore(msgspec.Struct, frozen=True, kw_only=True):
    """A request from an earlier run, read from its journal. ``answered`` is None if no answer was journaled."""

    endpoint: str
    sent: Nanos
    answered: Nanos | None = None
    client_ids: tuple[int, ...] = ()


class Restore(msgspec.Struct, frozen=True, kw_only=True):
    """Restore the bot's books and other state. This is the first input of every run. It raises ConfigError if the state
    does not fit the settings.

    On a first start, ``balances`` (units by currency) opens the books; later, ``books`` restores them. With neither,
    the first `Compare` opens the books with the account's balances.
    """

    balances: Mapping[str, int] | None = None
    books: Mapping[str, Any] | None = None
    orders: tuple[RestoredOrder, ...] = ()
    #: each strategy's saved data: its ``state``, its timers' due times, the best prices of its protected positions
    kept: Mapping[str, Mapping[str, Any]] = {}
    #: (strategy, parameter, value) for each parameter set during an earlier run
    parameters: tuple[tuple[str, str, Any], ...] = ()
    sends: tuple[SentBefore, ...] = ()
    #: halted strategies, each with the reason
    halts: Mapping[str, str] = {}
    #: the reason why the whole bot is halted; None if it is not
    halted: str | None = None
    #: True if that halt leaves open orders in place
    keeps_orders: bool = False


class Unwritten(msgspec.Struct, frozen=True):
    """The bot's orders that its journal may be missing: created after ``since``, with a client id of at least
    ``first_id`` and below ``end_id`` that is not ``known``. The exchange has such orders only if the end of the journal
    was lost.
    """

    since: Nanos
    first_id: int
    end_id: int
    known: tuple[int, ...] = ()


class Compare(msgspec.Struct, frozen=True):
    """Reconcile with the exchange. The outcome of a later turn reports the result.

    ``unwritten`` describes missing orders to look for as well.
    """

    unwritten: Unwritten | None = None


class Begin(msgspec.Struct, frozen=True):
    """Run every strategy's ``on_start``. The outcome names the streams and the history that the strategies need.

    With ``reads_history``, the bot itself reads the history from the exchange and then starts to trade; otherwise a
    `History` follows.
    """

    reads_history: bool = False


class PastBars(msgspec.Struct, frozen=True):
    """One pair's finished bars from before the start, in one resolution, oldest first; ``running`` is the unfinished
    bar.
    """

    pair: Pair
    resolution: str
    bars: tuple[Bar, ...]
    running: Bar | None = None


class History(msgspec.Struct, frozen=True):
    """Bars from before the start. Every strategy's ``on_ready`` runs, timers are armed, and trading opens.

    ``candle_pairs`` get their bars from candles without gaps, so no timer has to close them. ``kinds``, if set, lists
    every (pair, kind) that the run reads; subscribing to any other later is an error.
    """

    bars: tuple[PastBars, ...] = ()
    candle_pairs: frozenset[str] = frozenset()
    kinds: frozenset[tuple[str, str]] | None = None


class Stop(msgspec.Struct, frozen=True):
    """End the run: call every ``on_stop``, then cancel all orders except those of the strategies in ``keep``.

    If ``withdraws`` is False, orders stay as they are, as at the end of a backtest.
    """

    withdraws: bool = False
    keep: frozenset[str] = frozenset()


# -- commands from the user or a guard --------------------------------------------------------------------------------


class Halt(msgspec.Struct, frozen=True):
    """Take no new orders and cancel the open ones; only orders that reduce a position may still leave.

    ``level`` is a strategy, or None for the whole bot. ``keeps_orders``, for the whole bot only, leaves open orders in
    place.
    """

    reason: str
    level: str | None = None
    keeps_orders: bool = False


class Pause(msgspec.Struct, frozen=True):
    """Halt one strategy on the user's command."""

    strategy: str


class Resume(msgspec.Struct, frozen=True):
    """Lift the halt on the bot (None) or on one strategy. The daily loss is counted from here."""

    level: str | None = None


class SetParameter(msgspec.Struct, frozen=True):
    """Set a parameter declared ``live``. The reply is the validated value."""

    strategy: str
    name: str
    value: Any


class MoveCapital(msgspec.Struct, frozen=True):
    """Give unassigned units of currencies to a strategy or the pool; negative amounts take them back.

    ``cost_e8`` is the cost of each coin, in units of quote; None means the current price.
    """

    target: str
    units: Mapping[str, int]
    cost_e8: int | None = None


class CancelOrphans(msgspec.Struct, frozen=True):
    """Cancel any of these orders that are still open; their strategies no longer exist. The outcome of a later turn
    reports when this is done.
    """

    orders: tuple[Order, ...]


class CancelByHand(msgspec.Struct, frozen=True):
    """Cancel one open order on the user's command. The reply says why if that is not possible."""

    client_id: int


class Flatten(msgspec.Struct, frozen=True):
    """Sell a strategy's holdings, as far as the visible book can absorb them. The reply lists refusals and reasons."""

    strategy: str


class Forget(msgspec.Struct, frozen=True):
    """Drop orders that became final before ``before``, so that a bot can run for months."""

    before: Nanos


class JournalFailed(msgspec.Struct, frozen=True):
    """The journal cannot be written, for the reason ``why``, so no new order may leave. None means that it
    works again.
    """

    why: str | None


#: the types that an `AccountEvents` may hold
ACCOUNT_EVENTS = (OrderReport, TradeReport, BalanceReport)

#: outside events
WorldInput: TypeAlias = (
    MarketEvent | AccountEvents | OrderReport | TradeReport | BalanceReport | Answer | Connection | SlotsChanged
)
#: the stages of a run
StageInput: TypeAlias = Restore | Compare | Begin | History | Stop
#: commands from the user or a guard
CommandInput: TypeAlias = (
    Halt | Pause | Resume | SetParameter | MoveCapital | CancelOrphans | CancelByHand | Flatten | Forget | JournalFailed
)
#: everything that `botkit.engine.engine.Engine.turn` accepts
Input: TypeAlias = WorldInput | StageInput | CommandInput

#: every type of `Input`, in the order above
INPUT_TYPES: tuple[type[Any], ...] = (
    *(Trade, OrderBook, Ticker, Candle, AccountEvents, OrderReport, TradeReport, BalanceReport, Answer, Connection),
    *(SlotsChanged, Restore, Compare, Begin, History, Stop),
    *(Halt, Pause, Resume, SetParameter, MoveCapital, CancelOrphans, CancelByHand, Flatten, Forget, JournalFailed),
)


__all__ = [
    "ACCOUNT_EVENTS",
    "INPUT_TYPES",
    "AccountEvents",
    "Begin",
    "CancelByHand",
    "CancelOrphans",
    "CommandInput",
    "Compare",
    "Flatten",
    "Forget",
    "Halt",
    "History",
    "Input",
    "JournalFailed",
    "MoveCapital",
    "PastBars",
    "Pause",
    "Restore",
    "RestoredOrder",
    "Resume",
    "SentBefore",
    "SetParameter",
    "StageInput",
    "Stop",
    "Unwritten",
    "WorldInput",
]
