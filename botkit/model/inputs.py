"""The bot's inputs, each a small type: external events, the stages of a run, and commands.

The engine has one entry point, `botkit.engine.engine.Engine.turn`, which takes one of these inputs. A recording of a
run is a list of inputs with their times. Therefore all data that can affect a decision must be one of these types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

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
    """The events that the account's streams delivered at the same time, in order of arrival: executions, order states
    and balances.

    All parts of one match must be in a single `AccountEvents`. Money is booked immediately. Strategies are notified
    only after the states of their orders agree with the executions.
    """

    events: tuple[OrderReport | TradeReport | BalanceReport, ...]


# -- the stages of a run ----------------------------------------------------------------------------------------------


class BookedExecution(NamedTuple):
    """An execution that an earlier run booked. The fee is missing from recordings of older versions."""

    price_ticks: int
    lots: int
    fee_units: int | None = None


class RestoredOrder(msgspec.Struct, frozen=True):
    """An order from an earlier run, with its booked executions."""

    order: Order
    executions: tuple[BookedExecution, ...] = ()


class SentBefore(msgspec.Struct, frozen=True, kw_only=True):
    """A request from an earlier run, read from that run's journal. ``answered`` is None if the journal contains no
    answer.
    """

    endpoint: str
    sent: Nanos
    answered: Nanos | None = None
    client_ids: tuple[int, ...] = ()


class Restore(msgspec.Struct, frozen=True, kw_only=True):
    """Restores the bot's books and other state. This is the first input of every run. It raises ConfigError if the
    state does not match the settings.

    On the first start, ``balances`` (units by currency) opens the books. On later starts, ``books`` restores them. If
    neither is given, the first `Compare` opens the books with the account's balances.
    """

    balances: Mapping[str, int] | None = None
    books: Mapping[str, Any] | None = None
    orders: tuple[RestoredOrder, ...] = ()
    #: each strategy's saved data: its ``state``, its timers' due times, and the best prices of its protected positions
    kept: Mapping[str, Mapping[str, Any]] = {}
    #: (strategy, parameter, value) for each parameter set during an earlier run
    parameters: tuple[tuple[str, str, Any], ...] = ()
    sends: tuple[SentBefore, ...] = ()
    #: halted strategy -> reason
    halts: Mapping[str, str] = {}
    #: why the entire bot is halted, or None if it is not halted
    halted: str | None = None
    #: True if a halt of the entire bot leaves open orders in place
    keeps_orders: bool = False
    #: client ids of open orders that a halt leaves in place anyway: a `LeaveOrphans` input follows for them
    leaves: tuple[int, ...] = ()


class Unwritten(msgspec.Struct, frozen=True):
    """The bot's orders that may be missing from its journal. They were created after ``since``, and their client ids
    are at least ``first_id``, less than ``end_id`` and not in ``known``. Such orders exist at the exchange only if the
    end of the journal was lost.
    """

    since: Nanos
    first_id: int
    end_id: int
    known: tuple[int, ...] = ()


class Compare(msgspec.Struct, frozen=True):
    """Reconciles the bot with the exchange. The result is part of a later turn's outcome.

    ``unwritten`` describes orders that may be missing from the journal and must also be searched for.
    """

    unwritten: Unwritten | None = None


class Begin(msgspec.Struct, frozen=True):
    """Runs every strategy's ``on_start``. The outcome lists the streams and the history that the strategies need.

    With ``reads_history``, the bot itself reads the history from the exchange and then starts to trade. Otherwise a
    `History` input follows. ``first_client_id`` is that of the first order, if it differs from the settings' because
    the exchange has orders with the ids that follow those.
    """

    reads_history: bool = False
    first_client_id: int = 0


class PastBars(msgspec.Struct, frozen=True):
    """One pair's completed bars from before the start, in one resolution, oldest first. ``running`` is the bar still in
    progress.
    """

    pair: Pair
    resolution: str
    bars: tuple[Bar, ...]
    running: Bar | None = None


class History(msgspec.Struct, frozen=True):
    """Provides the bars from before the start. Every strategy's ``on_ready`` runs, timers are armed, and trading
    starts.

    The bars of ``candle_pairs`` come from candles without gaps, so no timer is needed to close them. ``kinds``, if set,
    contains every (pair, kind) that the run reads. A later subscription to any other stream is an error.
    """

    bars: tuple[PastBars, ...] = ()
    candle_pairs: frozenset[str] = frozenset()
    kinds: frozenset[tuple[str, str]] | None = None


class Stop(msgspec.Struct, frozen=True):
    """Ends the run: calls every ``on_stop``, then cancels all orders except those of the strategies in ``keep``.

    If ``withdraws`` is False, orders are left as they are, as at the end of a backtest.
    """

    withdraws: bool = False
    keep: frozenset[str] = frozenset()


# -- commands from the user or a guard --------------------------------------------------------------------------------


class Halt(msgspec.Struct, frozen=True):
    """Stops new orders and cancels open orders. Only exits may still be sent (`OrderSpec.reduces`).

    ``level`` is a strategy, or None for the entire bot. ``keeps_orders``, which applies only to a halt of the entire
    bot, leaves open orders in place.
    """

    reason: str
    level: str | None = None
    keeps_orders: bool = False


class Pause(msgspec.Struct, frozen=True):
    """Halts one strategy at the user's command."""

    strategy: str


class Resume(msgspec.Struct, frozen=True):
    """Lifts the halt on one strategy, or on the bot if ``level`` is None. The daily loss is measured from this time
    onward.
    """

    level: str | None = None


class SetParameter(msgspec.Struct, frozen=True):
    """Sets a parameter declared ``live``. The reply is the validated value."""

    strategy: str
    name: str
    value: Any


class MoveCapital(msgspec.Struct, frozen=True):
    """Moves unassigned funds, in units by currency, to a strategy or to the pool. Negative amounts move units back.

    ``cost_e8`` is the cost of each coin, in quote units; None means the current price.
    """

    target: str
    units: Mapping[str, int]
    cost_e8: int | None = None


class CancelOrphans(msgspec.Struct, frozen=True):
    """Cancels orders whose strategies are no longer configured. An order whose outcome is unknown is cancelled when it
    turns up.
    """

    client_ids: tuple[int, ...]


class LeaveOrphans(msgspec.Struct, frozen=True):
    """Stops following orders whose strategies are no longer configured. They stay open, as foreign orders, and
    ``reason`` is noted in their rows.
    """

    client_ids: tuple[int, ...]
    reason: str


class CancelByHand(msgspec.Struct, frozen=True):
    """Cancels one open order at the user's command. If that is not possible, the reply states the reason."""

    client_id: int


class Flatten(msgspec.Struct, frozen=True):
    """Sells a strategy's holdings, to the extent that the visible book can absorb them. The reply lists any refusals
    with their reasons.
    """

    strategy: str


class Forget(msgspec.Struct, frozen=True):
    """Drops orders that reached a final state before ``before``, so that memory use stays bounded in a bot that runs
    for months.
    """

    before: Nanos


class JournalFailed(msgspec.Struct, frozen=True):
    """Reports that the journal cannot be written, so no new orders may be sent. ``why`` is the reason, or None if the
    journal is writable again.
    """

    why: str | None


#: the event types in an `AccountEvents`
ACCOUNT_EVENTS = (OrderReport, TradeReport, BalanceReport)

#: outside events
WorldInput: TypeAlias = (
    MarketEvent | AccountEvents | OrderReport | TradeReport | BalanceReport | Answer | Connection | SlotsChanged
)
#: the stages of a run
StageInput: TypeAlias = Restore | Compare | Begin | History | Stop
#: commands from the user or a guard
CommandInput: TypeAlias = (
    Halt
    | Pause
    | Resume
    | SetParameter
    | MoveCapital
    | CancelOrphans
    | LeaveOrphans
    | CancelByHand
    | Flatten
    | Forget
    | JournalFailed
)
#: every input that `botkit.engine.engine.Engine.turn` accepts
Input: TypeAlias = WorldInput | StageInput | CommandInput

#: every type of `Input`, in the order of the aliases above
INPUT_TYPES: tuple[type[Any], ...] = (
    *(Trade, OrderBook, Ticker, Candle, AccountEvents, OrderReport, TradeReport, BalanceReport, Answer, Connection),
    *(SlotsChanged, Restore, Compare, Begin, History, Stop),
    *(Halt, Pause, Resume, SetParameter, MoveCapital, CancelOrphans, LeaveOrphans, CancelByHand, Flatten, Forget),
    JournalFailed,
)


__all__ = [
    "ACCOUNT_EVENTS",
    "INPUT_TYPES",
    "AccountEvents",
    "Begin",
    "BookedExecution",
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
    "LeaveOrphans",
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
