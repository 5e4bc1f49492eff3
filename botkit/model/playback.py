"""Describes a run as a sequence of frames, for the playback page (`botkit.report.playback`).

Frames are evenly spaced in time. Frame ``i`` shows the state of the run just before ``start + i * step``. Prices are in
ticks, amounts in lots, money in units of 1e-8.
"""

from __future__ import annotations

import msgspec

from botkit.model.clock import Nanos
from botkit.model.columns import TradeColumns
from botkit.model.pairs import Pair
from botkit.model.results import IndicatorLine

__all__ = [
    "BookSides",
    "Gauge",
    "Moment",
    "PairFrames",
    "PlacedOrder",
    "PlayStep",
    "Playback",
    "QueuePlace",
    "SkipCount",
]

#: (ticks, lots) of the bids and of the asks, best first
BookSides = tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]


class QueuePlace(msgspec.Struct, frozen=True, gc=False):
    """An order in the book. ``ahead_lots`` is the amount ahead of the order in the queue, or None if unknown."""

    client_id: int
    ahead_lots: int | None
    remaining_lots: int


class Gauge(msgspec.Struct):
    """One window of the exchange's rate limits, with the number of slots in use in each frame."""

    pool: str
    scope: str
    limit: int
    per_s: int
    held: list[int] = []


class PairFrames(msgspec.Struct):
    """One pair, with its public trades, and its book and last price in each frame."""

    pair: Pair
    books: list[BookSides] = []
    last_ticks: list[int | None] = []
    trades: list[TradeColumns] = []


class SkipCount(msgspec.Struct, frozen=True, gc=False):
    """The number of times since the previous frame that a strategy reported a given reason not to trade."""

    frame: int
    strategy: str
    reason: str
    times: int


class Moment(msgspec.Struct, frozen=True):
    """The data available to strategies when one of them made a decision. For each pair: its book, the book's arrival
    time (0 if none has arrived) and the last price. For each strategy: its holdings.
    """

    time: Nanos
    books: dict[str, tuple[Nanos, BookSides]]
    last_ticks: dict[str, int | None]
    holdings: dict[str, dict[str, int]]


class PlacedOrder(msgspec.Struct):
    """The lifecycle of one order. The times are those at which the bot requested the order, sent it, was notified that
    it was open, and was notified that it had reached a final state. A time is None if the event did not occur.
    """

    client_id: int
    strategy: str
    pair: str
    side: str
    type: str
    price_ticks: int
    lots: int
    spend_units: int
    stop_ticks: int
    post_only: bool
    tag: str
    asked: Nanos
    sent: Nanos | None = None
    opened: Nanos | None = None
    ended: Nanos | None = None
    state: str = "queued"
    why: str = ""


class PlayStep(msgspec.Struct, frozen=True, gc=False):
    """One line of the run's decisions. ``kind`` is place, cancel, fill, a final state, or the kind of a note.

    For a fill, the step contains the price, the lots, the fee, and whether it was a maker fill. For a note, it contains
    the text.
    """

    time: Nanos
    kind: str
    client_id: int = 0
    price_ticks: int = 0
    lots: int = 0
    fee_units: int = 0
    fee_currency: str = ""
    is_maker: bool = False
    text: str = ""


class Playback(msgspec.Struct, kw_only=True):
    """A run, or part of a run, as a sequence of frames."""

    name: str
    #: the mode: backtest, emulator, paper or live
    mode: str
    currency: str
    timezone: str
    synthetic: bool
    start: Nanos
    step: Nanos
    frames: int
    pairs: list[PairFrames]
    #: equity in each frame; None until the first prices arrive
    equity: list[int | None]
    #: by strategy, the holdings in each frame by currency
    holdings: dict[str, dict[str, list[int]]]
    gauges: list[Gauge]
    #: the number of requests waiting for a slot, in each frame
    waiting: list[int]
    #: the bot's own orders in the book, in each frame
    standing: list[list[QueuePlace]]
    skips: list[SkipCount]
    orders: list[PlacedOrder]
    steps: list[PlayStep]
    moments: list[Moment]
    lines: list[IndicatorLine]
    #: notes that must be shown with this playback, such as a note about omitted data
    notes: list[str]
