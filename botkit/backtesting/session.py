"""One backtest from its parts to its result."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import tzinfo
from pathlib import Path
from typing import Any, Protocol

from botkit.backtesting.driver import Driver
from botkit.backtesting.holes import Holes
from botkit.backtesting.metrics import RoundTrips, complete_strategy, missing_ratios, round_trips, summarise
from botkit.backtesting.plan import FeeCurrencies, Plan, guessed_sources, make_plan, partial_streams, wanted_sources
from botkit.backtesting.recorder import Recorder
from botkit.backtesting.running_bar import complete_running_bars
from botkit.engine.decisions import DecisionLog
from botkit.engine.market.bars import BarBuilder
from botkit.engine.turn import Engine
from botkit.errors import DataError
from botkit.model.clock import NS_PER_DAY, NS_PER_S, Nanos
from botkit.model.columns import CandleColumns, MarketColumns, TradeColumns
from botkit.model.events import Bar
from botkit.model.orders import OrderState
from botkit.model.pairs import Pair
from botkit.model.requests import Request
from botkit.model.resolutions import RESOLUTIONS, fixed_length
from botkit.model.results import (
    BacktestResult,
    Caution,
    DataDescription,
    OrderRow,
    PositionRow,
    QueueReading,
    RouterUse,
    StrategyRow,
)
from botkit.sim.kernel import Kernel
from botkit.tape.feed import Feed, Slice

#: figures of a run that are worth holding beside those of another reading of the queue
READING_FIGURES = (
    *("orders", "fills", "final_equity", "pnl", "return"),
    *("max_drawdown", "sharpe", "fees", "turnover", "win_rate"),
)
READINGS = ("queue", "optimistic", "pessimistic")
#: rows that stand in memory at once, with one slice ahead; a smaller number only costs time
SLICE_ROWS = 1_000_000
_BOOK_DEPTH = 5


class Parts(Protocol):
    """Who makes the bot and the exchange of a run: `botkit.assembly` does."""

    account: str
    name: str
    seed: int
    zone: tzinfo
    currency: str
    pairs: Mapping[str, Pair]
    feed: Feed
    balances: Mapping[str, int]
    start: Nanos | None
    end: Nanos | None
    reading: str
    config_text: str
    strategy_uses: Mapping[str, str]
    fee_currencies: FeeCurrencies | None
    versions: Mapping[str, str]

    def strategy_pairs(self) -> Mapping[str, Sequence[Pair]]:
        """The pairs among each strategy's parameters."""
        ...

    def check(self, plan: Plan) -> None:
        """Refuse what the configuration lacks for this plan, such as slippage for candles."""
        ...

    def engine(
        self, decisions: DecisionLog, history: Callable[[Pair, str, int], Sequence[Bar]], kernel: Kernel
    ) -> Engine:
        """A new bot."""
        ...

    def kernel(self, reading: str) -> Kernel:
        """A new exchange, under a reading of the queue."""
        ...

    def cautions(self, plan: Plan) -> list[Caution]:
        """What the configuration makes doubtful."""
        ...

    def assumptions(self, kernel: Kernel) -> list[str]:
        """The sentences of the models."""
        ...


class _Run:
    """One run under one reading of the queue."""

    def __init__(self, parts: Parts, reading: str, decisions: DecisionLog) -> None:
        self.parts = parts
        self.decisions = decisions
        self.kernel = parts.kernel(reading)
        self._plan_at_hand: Plan | None = None
        self.engine, self.opening, self.plan = self._started(reading)
        traded = [parts.pairs[name] for name in self.plan.sources]
        priced = [parts.pairs[name] for name in dict.fromkeys(key[0] for key in self.plan.keys)]
        self.recorder = Recorder(self.engine, priced, traded, parts.zone, parts.balances, self.plan.start)
        self.driver = Driver(self.engine, self.kernel, parts.account)
        self.holes = Holes(self.engine.max_book_age_ns / NS_PER_S)
        self.wall_s = 0.0

    def _started(self, reading: str) -> tuple[Engine, list[Request], Plan]:
        """Start the bot. What it subscribes to decides on what it runs and when it starts, and it is asked at its
        start: so that is guessed first, and the bot made anew where the guess was wrong."""
        parts = self.parts
        engine = parts.engine(self.decisions, self._history, self.kernel)
        sources = guessed_sources(engine, parts.strategy_pairs())
        resolutions: Mapping[str, Sequence[str]] = {}
        try:
            self._plan(sources, resolutions)
        except DataError:
            # a callback for trades need not mean that it will ask for them: see what it does on candles
            sources = dict.fromkeys(sources, "candles")
        for _ in range(4):
            plan = self._plan(sources, resolutions)
            engine.candle_pairs = plan.candle_pairs
            self._plan_at_hand = plan
            engine.portfolio.open(parts.balances)
            opening = engine.start(plan.start)
            if engine.failures:
                Driver(engine, self.kernel, parts.account).raise_failure()
            wanted = wanted_sources(engine)
            resolutions = {market.pair: tuple(market.bar_feeds) for market in engine.markets()}
            actual = self._plan(wanted, resolutions)
            if actual == plan:
                break
            sources = dict(actual.sources)
            self.decisions.reset()
            self.kernel = parts.kernel(reading)
            engine = parts.engine(self.decisions, self._history, self.kernel)
        parts.check(plan)
        complete_running_bars(engine.markets(), parts.feed, plan.start, plan.candle_pairs)
        for market in engine.markets():
            if plan.sources.get(market.pair) == "market" and (market.pair, "books", None) in plan.keys:
                depth = market.book_depth or _BOOK_DEPTH
                self.kernel.publish_books(market.pair, depth, is_wire=parts.feed.is_wire(market.pair))
        return engine, opening, plan

    def _plan(self, sources: Mapping[str, Any], resolutions: Mapping[str, Sequence[str]]) -> Plan:
        parts = self.parts
        return make_plan(
            parts.feed,
            sources,
            resolutions,
            currency=parts.currency,
            held=[currency for currency, units in parts.balances.items() if units],
            pairs=parts.pairs,
            start=parts.start,
            end=parts.end,
            fees=parts.fee_currencies,
        )

    def _history(self, pair: Pair, resolution: str, count: int) -> Sequence[Bar]:
        """The last ``count`` finished bars before the run's start, from whatever candles the data has."""
        plan = self._plan_at_hand
        assert plan is not None
        # A candle that ends with the start is a row of a run on candles, and will be shown as such. On trades nobody
        # shows it: it is history.
        end = plan.start if pair in plan.candle_pairs else plan.start + 1
        return bars_before(self.parts.feed, pair, resolution, count, end)

    def run(self, progress: Callable[[float], None] | None) -> None:
        plan = self.plan
        span = plan.end - plan.start

        def done(piece: Slice, delivered: Sequence[MarketColumns]) -> None:
            self.recorder.slice_done(delivered)
            if progress is not None:
                progress((piece.end - plan.start) / span)

        began = time.perf_counter()
        slices = self.holes.watch(self.parts.feed.slices(plan.keys, plan.start, plan.end, rows_max=SLICE_ROWS))
        with _collecting_seldom():
            self.driver.run(slices, self.opening, plan.start, done)
        self.recorder.finish(plan.end)
        self.wall_s = time.perf_counter() - began
        self.kernel.check()
        self.engine.portfolio.check()


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """A run keeps most of the objects that it makes and drops hardly a cycle: at Python's usual thresholds a tenth of
    its time goes into looking for garbage that is not there, and what survived one look survives the next ones."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 500, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def bars_before(feed: Feed, pair: Pair, resolution: str, count: int, before: Nanos) -> list[Bar]:
    """The last ``count`` bars that had ended before a moment, built from the finest candles that reach back so far, or
    from trades where there are no such candles."""
    target = fixed_length(resolution) or 31 * NS_PER_DAY
    for finer in RESOLUTIONS:
        info = feed.stream(pair, "candles", finer)
        if info is None or info.start >= before:
            continue
        if RESOLUTIONS.index(finer) > RESOLUTIONS.index(resolution):
            break
        start = max(info.start, before - (count + 2) * target)
        builder = BarBuilder(pair, resolution, grace_ns=0)
        bars: list[Bar] = []
        rules = pair.rules
        for piece in feed.slices([(pair, "candles", finer)], start, before):
            for columns in piece.columns:
                assert isinstance(columns, CandleColumns)
                for i in range(len(columns)):
                    bars += builder.on_candle(
                        int(columns.time[i]),
                        rules.price(int(columns.open[i])),
                        rules.price(int(columns.high[i])),
                        rules.price(int(columns.low[i])),
                        rules.price(int(columns.close[i])),
                        rules.amount(int(columns.lots[i])),
                        finer,
                    )
        bars += builder.close_due(before - 1)  # one that ends just then has its row just then, which is not read here
        return bars[-count:]
    return _bars_of_trades(feed, pair, resolution, count, before)


def _bars_of_trades(feed: Feed, pair: Pair, resolution: str, count: int, before: Nanos) -> list[Bar]:
    info = feed.stream(pair, "trades", None)
    if info is None or info.start >= before:
        return []
    target = fixed_length(resolution) or 31 * NS_PER_DAY
    start = max(info.start, before - (count + 2) * target)
    builder = BarBuilder(pair, resolution, grace_ns=0)
    bars: list[Bar] = []
    rules = pair.rules
    for piece in feed.slices([(pair, "trades", None)], start, before):
        for columns in piece.columns:
            assert isinstance(columns, TradeColumns)
            rows = zip(columns.time.tolist(), columns.ticks.tolist(), columns.lots.tolist(), strict=True)
            for time_ns, ticks, lots in rows:
                bars += builder.on_trade(time_ns, rules.price(ticks), rules.amount(lots))
    bars += builder.close_due(before)
    # the tape, or what was read of it, began somewhere within the first of them
    return bars[1:][-count:]


def run_backtest(
    parts: Parts,
    *,
    decisions_to: Path | None = None,
    progress: Callable[[str, float], None] | None = None,
    readings: bool = True,
) -> BacktestResult:
    """Run it, and with ``readings`` the other readings of the queue too where resting orders met a book.

    ``decisions_to`` is the file that decisions.jsonl is written to while the run goes on. ``progress`` is told which
    reading runs and how far it is, 0 to 1.
    """
    if decisions_to is None:
        main = _one(parts, parts.reading, DecisionLog(), progress)
    else:
        with decisions_to.open("wb") as file:
            main = _one(parts, parts.reading, DecisionLog(file.write), progress)
            main.decisions.flush()
    result = _result(main)
    rested = any(fill.is_maker for fill in result.fills) or any(
        order.type == "limit" and order.sent for order in result.orders
    )
    if readings and main.plan.is_market and rested and parts.reading in READINGS:
        result.queue_readings = [_reading(parts.reading, result.summary, chosen=True)]
        for name in READINGS:
            if name != parts.reading:
                other = _one(parts, name, DecisionLog(), progress)
                result.queue_readings.append(_reading(name, _result(other).summary, chosen=False))
    return result


def _one(parts: Parts, reading: str, decisions: DecisionLog, progress: Callable[[str, float], None] | None) -> _Run:
    run = _Run(parts, reading, decisions)
    run.run(None if progress is None else lambda share: progress(reading, share))
    return run


def _reading(name: str, summary: Mapping[str, Any], *, chosen: bool) -> QueueReading:
    return QueueReading(name=name, chosen=chosen, figures={key: summary[key] for key in READING_FIGURES})


def _result(run: _Run) -> BacktestResult:
    """Gather the figures of a finished run."""
    parts, engine, recorder, plan = run.parts, run.engine, run.recorder, run.plan
    curve = recorder.curve
    orders = list(engine.desk.orders.values())
    use = engine.router.statistics()
    use.refused_by_exchange = run.kernel.refused_429
    refused = sum(order.state is OrderState.REFUSED for order in orders)
    trips = round_trips(recorder.fills, recorder.opening_positions())
    rows = _strategy_rows(run, trips)
    summary = summarise(
        strategies=[parts.strategy_uses[name] for name in engine.contexts],
        currency=parts.currency,
        curve=curve,
        orders=len(orders),
        refused=refused,
        fills=recorder.fills,
        trips=trips,
        router=use,
        events=engine.events,
        wall_s=run.wall_s,
        journal_sha256=run.decisions.sha256(),
    )
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
        strategies=rows,
        strategy_days={name: own.days() for name, own in recorder.strategy_curves.items()},
        strategy_equity={name: own.curve() for name, own in recorder.strategy_curves.items()},
        orders=[OrderRow.of(order) for order in orders],
        fills=recorder.fills,
        prices=[sampler.candles() for sampler in recorder.samplers.values()],
        router=use,
        assumptions=parts.assumptions(run.kernel),
        warnings=_cautions(run, use),
        dust=_dust(engine),
        versions=dict(parts.versions),
    )


def _strategy_rows(run: _Run, trips: RoundTrips) -> list[StrategyRow]:
    engine, recorder = run.engine, run.recorder
    failures = {failure.strategy: failure.error for failure in engine.failures}
    rows = []
    for name, context in engine.contexts.items():
        fills = [fill for fill in recorder.fills if fill.strategy == name]
        row = StrategyRow(
            name=name,
            use=run.parts.strategy_uses[name],
            orders=context.orders_count,
            refused=sum(context.refusals.values()),
            skips=dict(context.skips),
            refusals=dict(context.refusals),
            stopped=failures.get(name, "" if context.active else context.stopped_because),
            positions=[
                PositionRow(
                    pair=position.pair,
                    lots=position.pair.rules.lots_of_units(position.amount_units),
                    average_entry=position.average_entry or None,
                    realised=position.realised,
                    unrealised=position.unrealised,
                )
                for position in engine.portfolio.positions(name)
            ],
        )
        own = trips if len(engine.contexts) == 1 else round_trips(fills, recorder.opening_positions())
        complete_strategy(row, recorder.curve_of(name), fills, own)
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


def _cautions(run: _Run, use: RouterUse) -> list[Caution]:
    cautions = run.parts.cautions(run.plan)
    cautions += [Caution(sentence, False) for sentence in partial_streams(run.parts.feed, run.plan)]
    cautions += [Caution(sentence) for sentence in run.holes.sentences()]
    if use.refused_by_exchange:
        cautions.append(
            Caution(f"the simulated exchange refused {use.refused_by_exchange} requests over its rate limits")
        )
    large = run.kernel.large_fills
    if large:
        cautions.append(
            Caution(
                f"{large} market {'fill' if large == 1 else 'fills'} took more than 10 % of the bar's volume; "
                "in reality that would cost more"
            )
        )
    filled = sum(filler.filled for filler in run.driver.gap_fillers.values())
    if filled:
        cautions.append(Caution(f"{filled} intervals without a candle were taken as intervals without trades", False))
    for pair, count in run.engine.quarantine.counts.items():
        cautions.append(
            Caution(
                f"{pair}: {count} market events were withheld from the bot, since their prices fitted nothing before "
                "them; decisions.jsonl says which (quarantine), and `botkit data check` looks the data over"
            )
        )
    for market in run.engine.markets():
        late = max((feed.builder.late for feed in market.bar_feeds.values()), default=0)
        if late:
            many = "1 trade" if late == 1 else f"{late} trades"
            why = "came after their bar had closed and are in no bar; a longer `bar_grace_ms` waits for them"
            cautions.append(Caution(f"{market.pair}: {many} {why}", False))
    missing = missing_ratios(run.recorder.curve.daily_returns())
    if missing is not None:
        cautions.append(Caution(f"Sharpe and Sortino are left out: {missing}", False))
    if run.engine.halted is not None:
        cautions.append(Caution(f"the bot was halted: {run.engine.halted}"))
    return cautions


def _dust(engine: Engine) -> list[str]:
    """What is left of a position but too little to be sold."""
    lines = []
    for name in engine.contexts:
        for position in engine.portfolio.positions(name):
            if position.is_flat and position.amount_units > 0:
                pair = position.pair
                least = pair.rules.amount_text(pair.rules.least_lots)
                lines.append(
                    f"{name}: {position.exact.amount.normalize():f} {pair.base} of {pair} is below the least order "
                    f"of {least} and stays"
                )
    return lines
