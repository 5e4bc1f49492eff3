"""Runs one backtest, from its inputs to its result."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botkit.backtesting.at_best import watched
from botkit.backtesting.benchmark import BuyAndHold
from botkit.backtesting.cautions import (
    cautions,
    cautions_of_bot,
    cautions_of_coins,
    cautions_of_exchange,
    check_slippage,
)
from botkit.backtesting.driver import Driver, Watcher, raise_failure
from botkit.backtesting.history import history_before
from botkit.backtesting.holes import Holes
from botkit.backtesting.making import maker_rows
from botkit.backtesting.metrics import complete_strategy, grouped_trades, summarise
from botkit.backtesting.parts import BacktestParts, first_client_id
from botkit.backtesting.plan import Plan, first_moment, make_plan, partial_streams, wanted_sources
from botkit.backtesting.recorder import ResultRecorder
from botkit.backtesting.second_look import look_again
from botkit.backtesting.trades import Matched, match_trades
from botkit.engine.decisions import DecisionLog
from botkit.engine.market.watch import BOOK_DEPTH
from botkit.engine.outcome import Outcome
from botkit.engine.outcome_parts import HistoryWanted
from botkit.engine.strategy.record import unkept
from botkit.engine.view import EngineView
from botkit.model.clock import NS_PER_HOUR, Nanos, format_time
from botkit.model.columns import MarketColumns
from botkit.model.inputs import Begin, History, Restore
from botkit.model.money import from_units
from botkit.model.orders import OrderState, OrderType
from botkit.model.results import (
    BacktestResult,
    Caution,
    ClosedTrade,
    DataDescription,
    DayRow,
    Figure,
    PositionRow,
    QueueReading,
    RouterUse,
    StrategyRow,
)
from botkit.model.row_columns import column_blocks, row_values
from botkit.sim.kernel import Kernel
from botkit.tape.feed import Feed, Slice, StreamKey

#: the metrics that are compared between queue assumptions
READING_FIGURES = (
    *("orders", "fills", "final_equity", "pnl", "return"),
    *("max_drawdown", "sharpe", "fees", "turnover", "win_rate"),
)
READINGS = ("queue", "optimistic", "pessimistic")
#: the summary's metrics that depend on the machine
MACHINE_FIGURES = ("events_per_second", "wall_s")
#: The approximate number of rows in a slice. Two slices are in memory at once. Smaller slices would only make the run
#: slower.
SLICE_ROWS = 65_536
#: how long the bot and the exchange remember an order after it reaches a final state; this exceeds the longest delay of
#: any report about the order
REMEMBERED: Nanos = NS_PER_HOUR
_REFUSED = OrderState.REFUSED.value

#: receives a message for the user: (level, text, simulated time)
Tell = Callable[[str, str, Nanos], None]
#: creates a run's watcher, once the run's data is known
Watching = Callable[[EngineView, Kernel, DecisionLog, Plan], Watcher]


class Run:
    """One run under one queue assumption."""

    def __init__(
        self, parts: BacktestParts, reading: str, decisions: DecisionLog, tell: Tell, watching: Watching | None = None
    ) -> None:
        self.parts = parts
        self._tell = tell
        self._unkept: dict[str, str] = {}
        self.decisions = decisions
        fees = parts.fees()
        self.kernel = kernel = parts.kernel(reading, fees)
        self.engine = engine = parts.engine(decisions, fees, first_client_id(parts.seed))
        view, out = engine.view, Outcome()
        at = begin_of(parts)
        engine.turn(Restore(balances=parts.balances), at, out)
        engine.turn(Begin(), at, out)
        if out.failures:
            raise_failure(out.failures[0])
        # the strategies' subscriptions determine which data the run reads
        markets = view.markets()
        resolutions = {str(market.pair): market.resolutions for market in markets}
        self.plan = plan = self._plan(wanted_sources(markets), resolutions)
        check_slippage(plan, parts)
        for market in markets:
            if plan.sources.get(market.pair) == "market" and (market.pair, "books", None) in plan.keys:
                depth = market.book_depth or BOOK_DEPTH
                kernel.publish_books(market.pair, depth, is_wire=parts.feed.is_wire(market.pair))
        traded = [parts.pairs[name] for name in plan.sources]
        priced = [parts.pairs[name] for name in dict.fromkeys(key[0] for key in plan.keys)]
        self.ownership = view.money.ownership()
        benchmark = None
        if parts.benchmark is not None:
            benchmark = BuyAndHold(priced, traded, view.money.currency, parts.zone)
        self.recorder = ResultRecorder(
            view, priced, traded, parts.zone, plan.start, benchmark=benchmark, candles_max=parts.candles_max
        )
        self.watch = None if watching is None else watching(view, kernel, decisions, plan)
        self.driver = Driver(
            engine,
            kernel,
            parts.account,
            observe=self.recorder.observe,
            history=self._history,
            tell=self._tell_notes,
            watch=self.watch,
        )
        self._opening = self._history(out.history, plan.start)
        self.recorder.observe(out, at)
        self._tell_notes(out, at)
        self.holes = Holes(parts.max_book_age_s)
        self.wall_s = 0.0

    def _tell_notes(self, out: Outcome, now: Nanos) -> None:
        for note in out.notes:
            if note.is_logged or note.level == "message":
                self._tell(note.level, note.text, now)

    def _look_at_states(self) -> None:
        """Check that each strategy's `self.state` can be saved for a restart, as live trading requires."""
        for name, kept in self.engine.view.all_kept().items():
            why = unkept(kept["state"])
            if why is not None and name not in self._unkept:
                self._unkept[name] = why
                self._tell(
                    "warning", f"self.state of {name!r} would not survive a restart: {why}", self.engine.view.now
                )

    def _plan(self, sources: Mapping[str, Any], resolutions: Mapping[str, Sequence[str]]) -> Plan:
        parts = self.parts
        return make_plan(
            parts.feed,
            sources,
            resolutions,
            currency=parts.currency,
            held=[c for c, units in self.engine.view.money.holdings(None).items() if units],
            pairs=parts.pairs,
            start=parts.start,
            end=parts.end,
            fees=parts.fee_currencies,
            zone=parts.zone,
        )

    def _history(self, wanted: Sequence[HistoryWanted], now: Nanos) -> History:
        return history_before(self.parts.feed, wanted, now, self.plan)

    def run(self, progress: Callable[[float], None] | None) -> None:
        plan = self.plan
        span = plan.end - plan.start

        def done(piece: Slice, delivered: Sequence[MarketColumns]) -> None:
            self.recorder.slice_done(delivered)
            if self.watch is not None:
                self.watch.see(delivered)
            self.recorder.keep_orders(self.driver.forget_before(self.engine.view.now - REMEMBERED))
            self._look_at_states()
            if progress is not None:
                progress((piece.end - plan.start) / span)

        began = time.perf_counter()
        slices = self.holes.watch(self.parts.feed.slices(plan.keys, plan.start, plan.end, rows_max=SLICE_ROWS))
        with _collecting_seldom():
            self.driver.turn(self._opening, plan.start)
            self.driver.run(slices, done)
        self.recorder.finish(plan.end, self.engine.view.orders())
        self.wall_s = time.perf_counter() - began
        self.kernel.check()
        self.engine.view.money.check()


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Run garbage collection less often. A run keeps most of its objects and creates few cycles. With Python's default
    thresholds, a tenth of the run would be spent searching for nonexistent garbage.
    """
    before = gc.get_threshold()
    gc.set_threshold(100_000, 500, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def begin_of(parts: BacktestParts) -> Nanos:
    """Return the time of ``on_start``: ``from`` if given, otherwise the start of the earliest stream of the strategies'
    pairs.
    """
    if parts.start is not None:
        return parts.start
    return first_moment(parts.feed, [pair for pairs in parts.strategy_pairs.values() for pair in pairs])


def run_backtest(
    parts: BacktestParts,
    *,
    decisions_to: Path | None = None,
    progress: Callable[[str, float], None] | None = None,
    readings: bool = True,
    tell: Tell = lambda level, text, now: None,
    watching: Watching | None = None,
) -> BacktestResult:
    """Run a backtest. With ``readings``, repeat the run under the other queue assumptions if any orders rested in a
    book.

    ``decisions_to`` is the file for decisions.jsonl, which is written during the run. ``progress`` is called with the
    queue assumption and the completed fraction, 0 to 1. ``tell`` receives the strategies' messages to the user, and
    ``watching`` creates a watcher. ``tell`` and ``watching`` are used only in the run under the chosen assumption.
    """
    if decisions_to is None:
        main = _one(parts, parts.reading, DecisionLog(), progress, tell, watching)
    else:
        with decisions_to.open("wb") as file:
            main = _one(parts, parts.reading, DecisionLog(file.write), progress, tell, watching)
            main.decisions.flush()
    result = _result(main)
    if readings and main.plan.is_market and parts.reading in READINGS and _has_rested(result):
        result.queue_readings = [_reading(parts.reading, result.summary, chosen=True)]
        for name in READINGS:
            if name != parts.reading:
                with _without_logs():
                    other = _one(parts, name, DecisionLog(), progress, lambda level, text, now: None)
                summary = _summary(other, _matched(other).trades)
                result.queue_readings.append(_reading(name, summary, chosen=False))
    return result


def _has_rested(result: BacktestResult) -> bool:
    """Return True if any order may have rested in a book."""
    return any(row_values(result.fills, "is_maker")) or any(
        kind is OrderType.LIMIT and sent for kind, sent in row_values(result.orders, "spec.type", "sent")
    )


def run_figures(parts: BacktestParts) -> tuple[dict[str, Figure], list[DayRow]]:
    """Run a backtest and return only its metrics, as (summary, days). Strategies' logs are silenced, and no files are
    written.

    The summary is the one from `run_backtest`, without ``events_per_second`` and ``wall_s``, which differ from run to
    run.
    """
    with _without_logs():
        run = _one(parts, parts.reading, DecisionLog(), None, lambda level, text, now: None)
    summary = _summary(run, _matched(run).trades)
    return {key: value for key, value in summary.items() if key not in MACHINE_FIGURES}, run.recorder.curve.days()


def run_decisions(parts: BacktestParts, sink: Callable[[bytes], object]) -> tuple[StreamKey, ...]:
    """Run a backtest and pass the lines of its decision log to ``sink``, in blocks. Returns the streams that it read.

    Strategies' logs are silenced.
    """
    with _without_logs():
        run = _one(parts, parts.reading, DecisionLog(sink), None, lambda level, text, now: None)
    run.decisions.flush()
    return run.plan.keys


@contextmanager
def _without_logs() -> Iterator[None]:
    """Silence the strategies' logs, which would duplicate those of the main run."""
    logger, nothing = logging.getLogger("botkit.strategy"), logging.NullHandler()
    before, logger.propagate = logger.propagate, False
    logger.addHandler(nothing)
    try:
        yield
    finally:
        logger.propagate = before
        logger.removeHandler(nothing)


def _one(
    parts: BacktestParts,
    reading: str,
    decisions: DecisionLog,
    progress: Callable[[str, float], None] | None,
    tell: Tell,
    watching: Watching | None = None,
) -> Run:
    run = Run(parts, reading, decisions, tell, watching)
    run.run(None if progress is None else lambda share: progress(reading, share))
    return run


def _reading(name: str, summary: Mapping[str, Any], *, chosen: bool) -> QueueReading:
    return QueueReading(name=name, chosen=chosen, figures={key: summary[key] for key in READING_FIGURES})


def _result(run: Run) -> BacktestResult:
    """Collect the results of a finished run."""
    parts, view, recorder, plan = run.parts, run.engine.view, run.recorder, run.plan
    curve = recorder.curve
    matched = _matched(run)
    again = look_again(
        parts.feed,
        plan,
        matched.trades,
        recorder.fills,
        withheld=recorder.withheld,
        max_book_age_s=parts.max_book_age_s,
        rows_max=SLICE_ROWS,
        rests=watched(run.kernel.account(parts.account).orders.values(), plan.start, plan.end),
    )
    rows = _strategy_rows(run, again.trades)
    summary = _summary(run, again.trades)
    return BacktestResult(
        name=parts.name,
        currency=parts.currency,
        timezone=str(parts.zone),
        start=plan.start,
        end=plan.end,
        seed=parts.seed,
        summary=summary,
        equity=curve.curve(),
        drawdown=curve.drawdown,
        data=_data(parts.feed, plan, recorder.rows),
        config_text=parts.config_text,
        days=curve.days(),
        benchmark=recorder.benchmark.result() if recorder.benchmark is not None else None,
        strategies=rows,
        strategy_days={name: own.days() for name, own in recorder.strategy_curves.items()},
        strategy_equity={name: own.curve() for name, own in recorder.strategy_curves.items()},
        orders=recorder.orders,
        fills=recorder.fills,
        trades=again.trades,
        opening={currency: units for currency, units in recorder.opening.items() if units},
        groups=grouped_trades(again.trades, parts.zone),
        marks=again.marks,
        makers=maker_rows(recorder.fills, again.marks, plan.start, plan.end),
        rests=[row for row in again.rests if row.orders],
        open_lots=matched.open,
        drawdowns=curve.falls,
        prices=[sampler.candles() for sampler in recorder.samplers.values()],
        indicators=view.lines(),
        router=_router_use(run),
        assumptions=run.kernel.assumptions(),
        warnings=_cautions(run),
        dust=_dust(view),
        unassigned={currency: units for currency, units in view.money.unassigned.items() if units},
        versions=dict(parts.versions),
    )


def _matched(run: Run) -> Matched:
    end, orders = run.plan.end, run.recorder.orders
    return match_trades(
        run.recorder.fills,
        run.recorder.opening_positions(),
        start=run.plan.start,
        # the bot stops when the data ends, so any later order was placed in on_stop
        at_stop={
            client_id for client_id, created in row_values(orders, "spec.client_id", "spec.created") if created >= end
        },
        links=run.recorder.closes,
    )


def _router_use(run: Run) -> RouterUse:
    use = run.engine.view.router.statistics()
    use.refused_by_exchange = run.kernel.limits.refused
    return use


def _summary(run: Run, trades: Sequence[ClosedTrade]) -> dict[str, Figure]:
    parts, view, recorder = run.parts, run.engine.view, run.recorder
    orders = recorder.orders
    return summarise(
        strategies=[parts.strategy_uses[name] for name in view.names()],
        currency=parts.currency,
        curve=recorder.curve,
        orders=len(orders),
        refused=sum(states.count(_REFUSED) for (states,) in column_blocks(orders, "state")),
        fills=recorder.fills,
        trades=trades,
        router=_router_use(run),
        events=view.events,
        wall_s=run.wall_s,
        journal_sha256=run.decisions.sha256(),
    )


def _strategy_rows(run: Run, trades: Sequence[ClosedTrade]) -> list[StrategyRow]:
    view, recorder = run.engine.view, run.recorder
    strategies = view.strategies()
    rows = []
    for strategy in strategies:
        name = strategy.name
        row = StrategyRow(
            name=name,
            use=run.parts.strategy_uses[name],
            params=dict(run.parts.strategy_params[name]),
            orders=strategy.orders,
            refused=sum(strategy.refusals.values()),
            skips=dict(strategy.skips),
            refusals=dict(strategy.refusals),
            stopped="" if strategy.active else strategy.stopped_because,
            positions=[
                PositionRow(
                    pair=position.pair,
                    lots=position.lots,
                    average_entry=position.average_entry or None,
                    realised=position.realised,
                    unrealised=position.unrealised,
                )
                for position in view.money.positions(name)
            ],
        )
        complete_strategy(row, recorder.curve_of(name), recorder.fills, trades)
        rows.append(row)
    return rows


def _data(feed: Feed, plan: Plan, rows: int) -> DataDescription:
    used = [entry for entry in feed.describe() if (entry["pair"], entry["kind"], entry["resolution"]) in plan.keys]
    return DataDescription(
        path=", ".join(dict.fromkeys(str(entry["path"]) for entry in used)),
        start=plan.start,
        end=plan.end,
        rows=rows,
        synthetic=any(entry["synthetic"] for entry in used),
        kinds=plan.described(),
        source=", ".join(dict.fromkeys(str(entry["name"]) for entry in used)),
        gaps=sum(int(entry["gaps"]) for entry in used),
    )


def _cautions(run: Run) -> list[Caution]:
    parts, plan, view = run.parts, run.plan, run.engine.view
    halted_at = None if run.driver.halted_at is None else format_time(run.driver.halted_at, parts.zone)
    return [
        *cautions(plan, parts),
        *cautions_of_coins(run.ownership),
        *(Caution(sentence, False) for sentence in partial_streams(parts.feed, plan)),
        *(Caution(sentence) for sentence in run.holes.sentences()),
        *cautions_of_exchange(run.kernel, sum(filler.filled for filler in run.driver.gap_fillers.values())),
        *cautions_of_bot(view, run.recorder.curve.daily_returns(), halted_at),
    ]


def _dust(view: EngineView) -> list[str]:
    """Describe leftover positions that are too small to sell."""
    lines = []
    for name in view.names():
        for position in view.money.positions(name):
            if position.is_flat and position.amount_units > 0:
                pair = position.pair
                least = pair.rules.amount_text(pair.rules.least_lots)
                amount = from_units(position.amount_units).normalize()
                lines.append(
                    f"{name}: {amount:f} {pair.base} of {pair} is below the minimum order ({least}) and cannot be sold"
                )
    return lines
