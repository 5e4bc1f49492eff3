"""All that can enter the bot, each a small type: what the world says, the stages of a run, and what the user says.

The engine has one way in, `botkit.engine.engine.Engine.turn`, and takes one of these. A recording of a run is the list
of them with their times, so that whatever decides something in the bot must stand here.
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
    """What the account's streams said at one moment: executions, order states, balances, in the order they came.

    The parts of one match belong into one of these. Money counts at once; strategies hear of it when the states of
    their orders agree with the executions.
    """

    events: tuple[OrderReport | TradeReport | BalanceReport, ...]


# -- the stages of a run ----------------------------------------------------------------------------------------------


class RestoredOrder(msgspec.Struct, frozen=True):
    """An order of an earlier run, with the (price ticks, lots) of its booked executions."""

    order: Order
    executions: tuple[tuple[int, int], ...] = ()


class SentBefore(msgspec.Struct, frozen=True, kw_only=True):
    """A request of an earlier run, from its journal. ``answered`` is None where no answer was journaled."""

    endpoint: str
    sent: Nanos
    answered: Nanos | None = None
    client_ids: tuple[int, ...] = ()


class Restore(msgspec.Struct, frozen=True, kw_only=True):
    """What the bot owns and remembers. The first input of every run; ConfigError where it does not fit the settings.

    ``balances`` (units by currency) opens the books of a first start, ``books`` restores those of an earlier run. With
    neither the first `Compare` opens them with what the account has.
    """

    balances: Mapping[str, int] | None = None
    books: Mapping[str, Any] | None = None
    orders: tuple[RestoredOrder, ...] = ()
    #: what each strategy kept: its ``state``, the rings of its timers, the best prices of protected positions
    kept: Mapping[str, Mapping[str, Any]] = {}
    #: (strategy, parameter, value) set while an earlier run was going
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
    """Compare the books with the exchange's. The outcome of a later turn says what was found.

    ``hold`` is why no new order may leave until that is done, if so. ``unwritten``: look for these orders too.
    """

    hold: str | None = None
    unwritten: Unwritten | None = None


class Begin(msgspec.Struct, frozen=True):
    """Run every strategy's ``on_start``. The outcome names the streams and the history that they want.

    ``reads_history``: the bot reads it from the exchange by itself, and trades when it is there; else a `History`
    follows.
    """

    reads_history: bool = False


class PastBars(msgspec.Struct, frozen=True):
    """Finished bars of one pair and resolution from before the start, oldest first, and what the ``running`` one held
    by then."""

    pair: Pair
    resolution: str
    bars: tuple[Bar, ...]
    running: Bar | None = None


class History(msgspec.Struct, frozen=True):
    """Bars from before the start. Strategies get their ``on_ready``, timers are armed, trading opens.

    ``candle_pairs`` are those whose bars come from candles without gaps, which no timer has to end. ``kinds`` are the
    (pair, kind) that the run reads, where it reads no others: subscribing later to another is an error.
    """

    bars: tuple[PastBars, ...] = ()
    candle_pairs: frozenset[str] = frozenset()
    kinds: frozenset[tuple[str, str]] | None = None


class Stop(msgspec.Struct, frozen=True):
    """The run ends: run every ``on_stop``, then cancel all orders but those of the strategies in ``keep``.

    Without ``withdraws`` orders stay as they are, as at the end of a backtest.
    """

    withdraws: bool = False
    keep: frozenset[str] = frozenset()


# -- what the user or a guard says ------------------------------------------------------------------------------------


class Halt(msgspec.Struct, frozen=True):
    """Take no new orders and cancel the open ones; only ways out leave. ``level``: a strategy, or None for the bot.

    ``keeps_orders``: of the bot, leave the open ones as they are."""

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
    """Give a strategy or the pool units of currencies that belong to nobody, or below zero take them back."""

    target: str
    units: Mapping[str, int]


class CancelOrphans(msgspec.Struct, frozen=True):
    """Cancel what still stands of these orders, whose strategies are gone. The outcome says when it is done."""

    orders: tuple[Order, ...]


class Flatten(msgspec.Struct, frozen=True):
    """Sell what a strategy holds, as much as the visible book takes. The reply lists why parts were refused."""

    strategy: str


class Forget(msgspec.Struct, frozen=True):
    """Drop orders that were final before ``before``, so that a bot may run for months."""

    before: Nanos


class JournalFailed(msgspec.Struct, frozen=True):
    """The journal cannot be written (``why``), so no new order leaves; None: it can again."""

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
#: all that `botkit.engine.engine.Engine.turn` takes
Input: TypeAlias = WorldInput | StageInput | CommandInput

#: what an `Input` may be, in the order of the text above
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
