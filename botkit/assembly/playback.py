"""Builds the playback of a backtest or of a recorded run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from botkit.assembly.kernel import ACCOUNT
from botkit.backtesting.driver import Watcher
from botkit.backtesting.outputs import DECISIONS
from botkit.backtesting.plan import Plan
from botkit.config.backtest import moment
from botkit.engine.decisions import DecisionLog
from botkit.engine.view import EngineView
from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import Trade
from botkit.model.inputs import Input
from botkit.model.pairs import Pair
from botkit.model.playback import BookSides, Playback, QueuePlace
from botkit.playback.frames import MOMENTS_MAX, PAIRS_MAX, FrameTaker
from botkit.playback.steps import Steps
from botkit.project.project import Project
from botkit.report.wording import count, span
from botkit.sim.fills import WHOLE
from botkit.sim.kernel import Kernel

#: the name of the playback file in a backtest's folder
PLAYBACK = "playback.html"


class PlayedPart(msgspec.Struct, frozen=True):
    """The start and end of the part of a run to play back, as text in the configuration's time zone. None means the
    run's own start or end.
    """

    start: str | None = None
    end: str | None = None


class _Simulated:
    """A backtest's simulated exchange, from which playback frames are taken."""

    def __init__(self, kernel: Kernel, account: str, pairs: Sequence[Pair]) -> None:
        self._kernel = kernel
        self._account = account
        self._markets = [kernel.markets.of(pair) for pair in pairs]

    def to(self, before: Nanos) -> None:
        """Advance the simulation to just before a given time. No event may reach the bot before that time, because such
        an event would be lost.
        """
        known = self._kernel.advance(before - 1)
        assert not known, known

    def book(self, pair: Pair, depth: int) -> BookSides:
        """Return the market's book, without the bot's own orders."""
        book = self._kernel.book(pair, depth, own=False)
        return book.bid_levels, book.ask_levels

    def standing(self) -> list[QueuePlace]:
        """Return the bot's own orders in the books, with their queue positions."""
        kernel, found = self._kernel, []
        for market in self._markets:
            row = market.book_row(kernel.now)
            for order in (*market.buys, *market.sells):
                if order.account.name == self._account:
                    kernel.matcher.settle(order, market, row)  # updates the amount ahead of the order
                    ahead = order.ahead if order.ahead < WHOLE else None
                    found.append(QueuePlace(order.new.client_id, ahead, order.remaining_lots))
        return found


class BacktestWatch:
    """Watches one backtest for its playback."""

    def __init__(self, project: Project, asked: PlayedPart) -> None:
        self._project = project
        self._asked = asked
        self._taker: FrameTaker | None = None

    def watching(self, view: EngineView, kernel: Kernel, decisions: DecisionLog, plan: Plan) -> Watcher:
        """Return the watcher for the run. Raises ConfigError if there is nothing to play back."""
        pairs = [market.pair for market in view.markets() if plan.sources.get(market.pair) == "market"]
        if not pairs:
            raise ConfigError(
                "--playback needs order books or trades, but this run uses candles; its report already shows every "
                "candle, with the orders and fills"
            )
        zone, asked = self._project.config.zone, self._asked
        start = max(plan.start, _moment_of("--playback-from", asked.start, zone, end=False) or plan.start)
        stop = min(plan.end, _moment_of("--playback-to", asked.end, zone, end=True) or plan.end)
        if start >= stop:
            raise ConfigError("--playback-from and --playback-to exclude the entire run")
        self._taker = FrameTaker(view, decisions, pairs, start, stop, _Simulated(kernel, ACCOUNT, pairs))
        return self._taker

    def playback(self, folder: Path, *, synthetic: bool) -> Playback:
        """Return the playback of the finished run, whose decisions are read from ``folder``."""
        taker, config = self._taker, self._project.config
        assert taker is not None, "the run has not started"
        lines = decisions_of(folder)
        return playback_of(taker, lines, name=config.name, mode="backtest", project=self._project, synthetic=synthetic)


class ReplayWatch:
    """Watches a recorded run during its replay, starting once its strategies have subscribed to data."""

    def __init__(self, view: EngineView, decisions: DecisionLog, end: Nanos) -> None:
        self._view = view
        self._decisions = decisions
        self._end = end
        self._taker: FrameTaker | None = None

    def before(self, moment: Nanos) -> None:
        """Capture the frames that are due."""
        if self._taker is None:
            pairs = [market.pair for market in self._view.markets()]
            if not pairs or not self._view.is_trading:
                return
            self._taker = FrameTaker(self._view, self._decisions, pairs, moment, self._end)
        self._taker.before(moment)

    def heard(self, now: Nanos, given: Input | None) -> None:
        """Store a public trade."""
        if self._taker is not None and isinstance(given, Trade):
            self._taker.heard(now, given)

    def turned(self, now: Nanos) -> None:
        """Record the decisions of a turn."""
        if self._taker is not None:
            self._taker.turned(now)

    def taker(self) -> FrameTaker:
        """Return the frame taker. Raises ConfigError if the run never traded."""
        if self._taker is None:
            raise ConfigError("the run ended before its strategies started, so there is nothing to play back")
        return self._taker


def _moment_of(option: str, text: str | None, zone: ZoneInfo, *, end: bool) -> Nanos | None:
    try:
        return None if text is None else moment(text, zone, end=end)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def playback_of(
    taker: FrameTaker,
    lines: Iterable[str | bytes],
    *,
    name: str,
    mode: str,
    project: Project,
    synthetic: bool,
) -> Playback:
    """Return a playback built from a frame taker and the run's decisions."""
    steps = Steps(taker.start, taker.end)
    steps.read(lines)
    return Playback(
        name=name,
        mode=mode,
        currency=project.currency,
        timezone=str(project.config.zone),
        synthetic=synthetic,
        start=taker.start,
        step=taker.step,
        frames=taker.frames,
        pairs=taker.taken(),
        equity=taker.equity,
        holdings=taker.holdings,
        gauges=taker.gauges,
        waiting=taker.waiting,
        standing=taker.standing,
        skips=taker.skips,
        orders=steps.orders(),
        steps=steps.steps,
        moments=taker.moments,
        lines=taker.lines(),
        notes=_notes(taker, mode),
    )


def _notes(taker: FrameTaker, mode: str) -> list[str]:
    notes = []
    if taker.step > NS_PER_S:
        notes.append(
            f"One frame per {span(taker.step)}; select a shorter part of the run for finer frames (--playback-from "
            f"and --playback-to)."
        )
    if taker.stride > 1:
        notes.append(
            f"The strategy's view is stored for one in {taker.stride} decisions ({count(MOMENTS_MAX)} at most); "
            "orders and fills are complete."
        )
    if taker.left_out:
        notes.append(f"Only {PAIRS_MAX} pairs are shown; left out: {', '.join(taker.left_out)}.")
    if mode != "backtest":
        notes.append("The exchange does not report queue positions, and its books include the bot's own orders.")
    return notes


def decisions_of(folder: Path) -> Iterable[bytes]:
    """Yield the lines of a run's decisions."""
    with (folder / DECISIONS).open("rb") as file:
        yield from file
