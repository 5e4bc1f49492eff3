"""Everything that can enter the bot, each a small type: what happens outside, the stages of a run, and commands.

The engine has one way in, `botkit.engine.engine.Engine.turn`, which takes one of these. A recording of a run is the
list of them with their times, so anything that can affect a decision must be one of these types.
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

# -- what the world says ----------------------------------------------------------------------------------------------


class AccountEvents(msgspec.Struct, frozen=True):
    """What the account's streams delivered at one moment: executions, order states and balances, in order of arrival.

    All parts of one match belong in one of these. Money counts at once; strategies are notified when the states of
    their orders agree with the executions.
    """

    events: tuple[OrderReport | TradeReport | BalanceReport, ...]


# -- the stages of a run ----------------------------------------------------------------------------------------------


class RestoredOrder(msgspec.Struct, frozen=True):
    """An order of an earlier run, with the (price ticks, lots) of its booked executions."""

    order: Order
    executions: tuple[tuple[int, int], ...] = ()


class SentBefore(msgspec.Struct, frozen=True, kw_only=True):
    """A request of an earlier run, from its journal. ``answered`` is None if no answer was journaled."""

    endpoint: str
    sent: Nanos
    answered: Nanos | None = None
    client_ids: tuple[int, ...] = ()


class Restore(msgspec.Struct, frozen=True, kw_only=True):
    """What the bot owns and remembers. The first input of every run; ConfigError if it does not fit the settings.

    ``balances`` (units by currency) opens the books of a first start, ``books`` restores those of an earlier run. With
    neither, the first `Compare` opens them with the account's balances.
    """

    balances: Mapping[str, int] | None = None
    books: Mapping[str, Any] | None = None
    orders: tuple[RestoredOrder, ...] = ()
    #: what each strategy kept: its ``state``, the rings of its timers, the best prices of protected positions
    kept: Mapping[str, Mapping[str, Any]] = {}
    #: (strategy, parameter, value) set during an earlier run
    parameters: tuple[tuple[str, str, Any], ...] = ()
    sends: tuple[SentBefore, ...] = ()
    #: strategies that are halted, and why
    halts: Mapping[str, str] = {}
    #: why the whole bot is halted, if it is
    halted: str | None = None
    #: that halt leaves open orders as they are
    keeps_orders: bool = False


class Unwritten(msgspec.Struct, frozen=True):
    """Which orders of the bot its journal cannot know: created after ``since``, with a client id from ``first_id`` up
    to, and not including, ``end_id``. At the exchange there is none of them, unless the journal lost what was written
    last."""

    since: Nanos
    first_id: int
    end_id: int


class Compare(msgspec.Struct, frozen=True):
    """Compare the books with the exchange. The outcome of a later turn reports what was found.

    ``hold``, if set, is why no new order may leave until that is done. ``unwritten``: look for these orders too.
    """

    hold: str | None = None
    unwritten: Unwritten | None = None


class Begin(msgspec.Struct, frozen=True):
    """Run every strategy's ``on_start``. The outcome names the streams and the history that they need.

    ``reads_history``: the bot reads the history from the exchange itself and trades once it has it; otherwise a
    `History` follows.
    """

    reads_history: bool = False


class PastBars(msgspec.Struct, frozen=True):
    """Finished bars of one pair and resolution from before the start, oldest first, and the ``running`` one so far."""

    pair: Pair
    resolution: str
    bars: tuple[Bar, ...]
    running: Bar | None = None


class History(msgspec.Struct, frozen=True):
    """Bars from before the start. Every strategy's ``on_ready`` runs, timers are armed, trading opens.

    ``candle_pairs`` get their bars from candles without gaps, so no timer has to close them. ``kinds``, if set, are the
    only (pair, kind) that the run reads: subscribing to another later is an error.
    """

    bars: tuple[PastBars, ...] = ()
    candle_pairs: frozenset[str] = frozenset()
    kinds: frozenset[tuple[str, str]] | None = None


class Stop(msgspec.Struct, frozen=True):
    """The run ends: run every ``on_stop``, then cancel all orders except those of the strategies in ``keep``.

    Without ``withdraws``, orders stay as they are, as at the end of a backtest.
    """

    withdraws: bool = False
    keep: frozenset[str] = frozenset()


# -- what the user or a guard says ------------------------------------------------------------------------------------


class Halt(msgspec.Struct, frozen=True):
    """Take no new orders and cancel the open ones; only orders that reduce a position still leave. ``level``: a
    strategy, or None for the bot.

    ``keeps_orders``: of the bot, leave the open ones as they are.
    """

    reason: str
    level: str | None = None
    keeps_orders: bool = False


class Pause(msgspec.Struct, frozen=True):
    """Halt one strategy by hand."""

    strategy: str


class Resume(msgspec.Struct, frozen=True):
    """Lift the halt of the bot (None) or of one strategy. The day's loss counts from here."""

    level: str | None = None


class SetParameter(msgspec.Struct, frozen=True):
    """Set a parameter that is declared ``live``. The reply is the checked value."""

    strategy: str
    name: str
    value: Any


class MoveCapital(msgspec.Struct, frozen=True):
    """Give a strategy or the pool unassigned units of currencies; negative amounts take them back.

    ``cost_e8`` is what one of the coins given cost, in units of quote; None: the price at hand.
    """

    target: str
    units: Mapping[str, int]
    cost_e8: int | None = None


class CancelOrphans(msgspec.Struct, frozen=True):
    """Cancel whichever of these orders are still open; their strategies no longer exist. The outcome says when."""

    orders: tuple[Order, ...]


class Flatten(msgspec.Struct, frozen=True):
    """Sell what a strategy holds, as far as the visible book can absorb it. The reply lists why parts were refused."""

    strategy: str


class Forget(msgspec.Struct, frozen=True):
    """Drop orders that were final before ``before``, so that a bot can run for months."""

    before: Nanos


class JournalFailed(msgspec.Struct, frozen=True):
    """The journal cannot be written (``why``), so no new order leaves; None means that it works again."""

    why: str | None


#: what an `AccountEvents` may hold
ACCOUNT_EVENTS = (OrderReport, TradeReport, BalanceReport)

#: what the world says
WorldInput: TypeAlias = (
    MarketEvent | AccountEvents | OrderReport | TradeReport | BalanceReport | Answer | Connection | SlotsChanged
)
#: the stages of a run
StageInput: TypeAlias = Restore | Compare | Begin | History | Stop
#: what the user or a guard says
CommandInput: TypeAlias = (
    Halt | Pause | Resume | SetParameter | MoveCapital | CancelOrphans | Flatten | Forget | JournalFailed
)
#: everything that `botkit.engine.engine.Engine.turn` takes
Input: TypeAlias = WorldInput | StageInput | CommandInput

#: every type of `Input`, in the order above
INPUT_TYPES: tuple[type[Any], ...] = (
    *(Trade, OrderBook, Ticker, Candle, AccountEvents, OrderReport, TradeReport, BalanceReport, Answer, Connection),
    *(SlotsChanged, Restore, Compare, Begin, History, Stop),
    *(Halt, Pause, Resume, SetParameter, MoveCapital, CancelOrphans, Flatten, Forget, JournalFailed),
)


__all__ = [
    "ACCOUNT_EVENTS",
    "INPUT_TYPES",
    "AccountEvents",
    "Begin",
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
