"""Computes the result of a live session, finished or still running, from the files in the run's folder.

Orders and fills come from decisions.jsonl, and prices from the recording. The recording is replayed to find the
strategies' holdings when trading started. If the replay makes the same decisions, it also provides data that only the
bot had: indicators and plots, reasons for not trading, and rate-limit usage. All metrics are computed as for a
backtest.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from botkit.assembly.audit import decisions_of, order_spec_of, session_project
from botkit.assembly.live_parts import engine_maker
from botkit.assembly.session_market import one_trade, session_source
from botkit.backtesting.cautions import cautions_of_bot, cautions_of_coins
from botkit.backtesting.making import maker_rows
from botkit.backtesting.metrics import complete_strategy, grouped_trades, summarise
from botkit.backtesting.outputs import REPORT, RunFolder, write_outputs
from botkit.backtesting.plan import Plan
from botkit.backtesting.recorder import ResultRecorder
from botkit.backtesting.second_look import look_again
from botkit.backtesting.session import SLICE_ROWS
from botkit.backtesting.trades import Matched, match_trades
from botkit.config.show import resolved_yaml
from botkit.engine.decisions import DecisionLog
from botkit.engine.engine import Engine
from botkit.engine.money.ownership_report import Ownership
from botkit.engine.outcome import Outcome
from botkit.errors import DataError
from botkit.live.limits.recorded_slots import replayed_pools
from botkit.live.notifications.lines import LINES, lines_in
from botkit.live.notifications.unvalued_fees import unvalued_fees_caution
from botkit.live.replay import RecordedInputs, Replay, ReplayError, RunHeader, Verdict, read_header, verdict_on
from botkit.live.run_files import DECISIONS
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.columns import MarketColumns
from botkit.model.events import Fill
from botkit.model.inputs import Input, Restore, Stop
from botkit.model.latency import STEPS, MeasuredLatencies, Quantiles
from botkit.model.money import format_units
from botkit.model.orders import Order, OrderState
from botkit.model.pairs import Pair
from botkit.model.results import (
    BacktestResult,
    Caution,
    ClosedTrade,
    DataDescription,
    EndpointUse,
    IndicatorLine,
    LatencyRow,
    PositionRow,
    RouterUse,
    StrategyRow,
)
from botkit.project.fee_coin import fee_coin_of
from botkit.project.project import Project
from botkit.project.recipe import recorded_fees
from botkit.project.strategies import plain_parameters
from botkit.report.html import render_parts
from botkit.tape.feed import Feed
from botkit.version import versions

#: maximum number of candles per pair on a session's page
SESSION_CANDLES_MAX = 50_000


def session_result(run: Path, config: Path | None = None) -> BacktestResult:
    """Return the result of a run, up to now if the run is still in progress. ``config`` replaces the run's own
    configuration.

    Raises ReplayError if the recording cannot be read or trading never started, and ConfigError if the configuration
    can no longer be used.
    """
    header, notes = read_header(run), list[str]()
    project = session_project(header, config, notes)
    pairs = project.pairs
    source = None
    try:
        source = session_source(run, pairs)
    except DataError:
        notes.append("the session recorded neither trades nor books, so there is no price chart")
    replayed = _Replayed(project, header, run, set() if source is None else {info.pair for info in source.streams})
    recorder = replayed.recorder
    if recorder is None:
        if replayed.error is not None:
            raise ReplayError(f"the start of {run} cannot be replayed: {replayed.error}")
        raise ReplayError(f"trading never started in {run}, so there is nothing to show")
    orders = SessionOrders(decisions_of(run), pairs, _restored(run, pairs))
    feed = Feed([] if source is None else [source])
    end = max(orders.end, replayed.start, *(info.end for info in feed.streams)) + 1
    keys = tuple(info.key for info in feed.streams)
    plan = Plan({pair: "market" for pair, _, _ in keys}, keys, replayed.start, end)
    if replayed.fee_coin:
        recorder.leave_out_unpriced(replayed.fee_coin, replayed.priced)
    recorder.slice_done(replayed.known())
    _record(recorder, feed, plan, orders)
    return _result(project, header, run, replayed, recorder, feed, plan, orders, notes)


def write_session(run: Path, out: Path, config: Path | None = None) -> Path:
    """Write a run's page to ``out/NAME/MODE-RUN``, together with the files that a backtest writes, and return the
    page's path.

    Raises ReplayError and ConfigError.
    """
    result = session_result(run, config)
    decisions = (run / DECISIONS).read_bytes()
    with RunFolder(out / result.name / f"{result.mode}-{run.resolve().name}") as folder:
        write_outputs(
            folder.path, result, report_html=render_parts(result), config_yaml=result.config_text, decisions=decisions
        )
    return folder.out / REPORT


class SessionOrders:
    """The orders and fills listed in decisions.jsonl, together with the orders that earlier runs left open."""

    def __init__(self, rows: Iterable[dict[str, Any]], pairs: Mapping[str, Pair], restored: Sequence[Order]) -> None:
        #: keyed by client id, in the order requested
        self.orders: dict[int, Order] = {}
        #: each fill with the time at which the bot received it
        self.fills: list[tuple[Nanos, Fill]] = []
        self.end: Nanos = 0
        #: number of requests by endpoint, and number of requests refused for exceeding a rate limit
        self.requests: dict[str, int] = {}
        self.rate_limited = 0
        #: strategy -> the reason why it was stopped
        self.stopped: dict[str, str] = {}
        #: capital that was moved during the session, in units by strategy and currency
        self.moved: dict[tuple[str, str], int] = {}
        self._known = {order.client_id: order for order in restored}
        for row in rows:
            self.end = row["t"]
            self._take(row, pairs)

    def _take(self, row: dict[str, Any], pairs: Mapping[str, Pair]) -> None:
        kind = row["k"]
        if kind == "intent" and row["pair"] in pairs:
            order = Order(order_spec_of(row, pairs[row["pair"]]))
            self.orders[order.client_id] = self._known[order.client_id] = order
        elif kind == "request":
            self.requests[row["endpoint"]] = self.requests.get(row["endpoint"], 0) + 1
            if not row["endpoint"].startswith("cancel_"):
                for client_id in row["c"]:
                    if client_id in self._known:
                        self._known[client_id].sent = row["t"]
        elif kind == "answer":
            self.rate_limited += row["outcome"] == "rate_limited"
        elif kind == "state" and row["c"] in self._known:
            order = self._known[row["c"]]
            order.state, order.updated = OrderState(row["state"]), row["t"]
            order.reason = row.get("why", "") or order.reason
        elif kind == "fill" and row["c"] in self._known:
            self._fill(row, self._known[row["c"]])
        elif kind == "stopped":
            name, _, why = row["text"].partition(": ")
            self.stopped[name] = why
        elif kind == "capital":
            self._moved(row["text"])

    def _moved(self, text: str) -> None:
        target, figures = text.partition(" ")[::2]
        for figure in figures.partition(" at ")[0].split():
            currency, _, units = figure.partition("=")
            self.moved[target, currency] = self.moved.get((target, currency), 0) + int(units)

    def _fill(self, row: dict[str, Any], order: Order) -> None:
        value = order.pair.rules.value_units(row["price"], row["lots"])
        order.executed_lots = row["executed"]
        order.executed_units += value
        fill = Fill(
            order=order,
            pair=order.pair,
            side=order.side,
            time=row["t"],
            price_ticks=row["price"],
            lots=row["lots"],
            value_units=value,
            fee_units=row["fee"],
            fee_currency=row["fee_in"],
            is_maker=bool(row["maker"]),
            executed_lots=row["executed"],
        )
        self.fills.append((row["t"], fill))


class _Replayed:
    """A replay of a run, used to find the strategies' holdings when trading started."""

    def __init__(self, project: Project, header: RunHeader, run: Path, recorded: set[str]) -> None:
        self._project = project
        coin = fee_coin_of(project)
        self.fee_coin = "" if coin is None else coin.currency
        traded = project.priced_pairs()
        #: the pairs that value fees, as long as the bot has no price of theirs
        self._for_fees = [] if coin is None else list(coin.pairs)
        #: the pairs that have a price
        self._priced = recorded | set(traded) | set(map(str, self._for_fees))
        self._traded = recorded - set(map(str, self._for_fees)) | set(traded)
        #: the pairs of which a price is recorded, or was known to the bot
        self.priced = set(recorded)
        self.recorder: ResultRecorder | None = None
        self.ownership: Ownership | None = None
        self.unassigned: dict[str, int] = {}
        self._known: list[MarketColumns] = []
        self._first_prices: dict[Pair, float] = {}
        self.start: Nanos = 0
        self.inputs = 0
        #: the time at which the bot was asked to stop
        self.stopped_at: Nanos | None = None
        #: client id of an order -> client id of the order that it closes, as specified by the strategy
        self.closes: dict[int, int] = {}
        self.verdict: Verdict | None = None
        self.error: Exception | None = None
        lines: list[str] = []
        decisions = DecisionLog(lambda block: lines.extend(block.decode().splitlines()))
        self.engine = self._engine(header, decisions)
        replay = Replay(self.engine, run, project.pairs, self, self._observe)
        try:
            self.verdict = verdict_on(replay, run, decisions, lines)
        except ReplayError:
            raise
        except Exception as error:  # a strategy that has changed since the run may raise any exception
            self.error = error
        self.error = self.error or replay.error
        #: how the recording ends; None if the replay failed
        self.recording_end = replay.end if self.error is None else None

    def known(self) -> list[MarketColumns]:
        """Return the prices known to the bot when trading started, from earlier candles or trades, and the first prices
        that valued fees, even those fees that were paid a moment before.
        """
        known = {columns.pair for columns in self._known}
        first = self._first_prices.items()
        return self._known + [one_trade(pair, self.start, price) for pair, price in first if pair not in known]

    @property
    def is_equal(self) -> bool:
        """True if the replay made the same decisions as the session."""
        return self.verdict is not None and self.verdict.difference is None and self.error is None

    def _engine(self, header: RunHeader, decisions: DecisionLog) -> Engine:
        project = self._project
        recipe = msgspec.to_builtins(header)
        section = "live.fees" if header.mode == "live" else project.config.simulated_fees[1]
        make = engine_maker(
            project,
            project.fee_model(recorded_fees(recipe), section),
            speed=header.speed,
            latest_accept_ns=header.latest_accept_ns,
            draws_indicators=True,
            recorded=header.pairs,
        )
        leased = None if header.shared is None else replayed_pools(project.facts.limits, header.shared)
        return make(decisions, header.first_client_id, leased)

    def before(self, moment: Nanos) -> None:
        """Do nothing, because nothing is observed before a turn."""

    def heard(self, now: Nanos, given: Input | None) -> None:
        """Record when the bot was asked to stop."""
        self.inputs += 1
        if type(given) is Stop:
            self.stopped_at = now
            self.engine.view.lines(latest=1)  # the engine adds the indicators' last bars only when their lines are read

    def turned(self, now: Nanos) -> None:
        """Start recording once trading is open. Note the first prices that value fees: no trade need follow them."""
        view = self.engine.view
        for pair in list(self._for_fees):
            price = view.money.fees.price(pair)
            if price is not None:
                self._for_fees.remove(pair)
                self._first_prices[pair] = price
                self.priced.add(str(pair))
        if self.recorder is None and view.is_trading:
            self.start = now
            self.ownership = view.money.ownership()
            self.unassigned = {currency: units for currency, units in view.money.unassigned.items() if units}
            self._known = [one_trade(market.pair, now, market.last) for market in view.markets() if market.last]
            self.recorder = ResultRecorder(
                view,
                [pair for name, pair in self._project.pairs.items() if name in self._priced],
                [market.pair for market in view.markets() if market.pair in self._traded],
                self._project.config.zone,
                now,
                candles_max=SESSION_CANDLES_MAX,
            )

    def _observe(self, out: Outcome, now: Nanos) -> None:
        for order, _ in out.states:
            if order.closes:
                self.closes[order.client_id] = order.closes
        if self.recorder is not None and out.withheld:
            out.fills.clear()  # fills are taken from decisions.jsonl instead
            self.recorder.observe(out, now)


def _restored(run: Path, pairs: Mapping[str, Pair]) -> list[Order]:
    """Return the orders from earlier runs that this run restored when it started."""
    inputs = iter(RecordedInputs(run, pairs))
    try:
        for _, given in inputs:
            if isinstance(given, Restore):
                return [restored.order for restored in given.orders]
    finally:
        inputs.close()
    return []


def _record(recorder: ResultRecorder, feed: Feed, plan: Plan, orders: SessionOrders) -> None:
    """Record the fills that occurred after the start, valued at the recorded prices."""
    out = Outcome()
    fills = [found for found in orders.fills if found[0] > plan.start]
    done = 0
    trades = [key for key in plan.keys if key[1] == "trades"]
    for piece in feed.slices(trades, plan.start, plan.end, rows_max=SLICE_ROWS) if trades else ():
        done = _observe_fills(recorder, out, fills, done, piece.end)
        recorder.slice_done(piece.columns)
    _observe_fills(recorder, out, fills, done, plan.end)
    recorder.slice_done([])
    recorder.finish(plan.end, orders.orders.values())


def _observe_fills(
    recorder: ResultRecorder, out: Outcome, fills: Sequence[tuple[Nanos, Fill]], done: int, end: Nanos
) -> int:
    while done < len(fills) and fills[done][0] < end:
        now, fill = fills[done]
        out.fills.append(fill)
        recorder.observe(out, now)
        out.clear()
        done += 1
    return done


def _result(
    project: Project,
    header: RunHeader,
    run: Path,
    replayed: _Replayed,
    recorder: ResultRecorder,
    feed: Feed,
    plan: Plan,
    orders: SessionOrders,
    notes: list[str],
) -> BacktestResult:
    config, curve = project.config, recorder.curve
    matched = _matched(replayed, recorder, plan, orders)
    again = look_again(
        feed,
        plan,
        matched.trades,
        recorder.fills,
        withheld=recorder.withheld,
        max_book_age_s=config.max_book_age_s,
        rows_max=SLICE_ROWS,
    )
    router = _router_use(replayed, orders)
    return BacktestResult(
        name=config.name,
        mode=header.mode,
        is_replayed=replayed.is_equal,
        latencies=_latencies(run),
        currency=project.currency,
        timezone=str(config.zone),
        start=plan.start,
        end=plan.end,
        seed=config.seed,
        summary=_summary(project, header, run, replayed, recorder, plan, matched, router),
        equity=curve.curve(),
        drawdown=curve.drawdown,
        data=_data(run, feed, plan),
        config_text=resolved_yaml(project.loaded),
        days=curve.days(),
        strategies=_strategy_rows(project, replayed, recorder, orders, matched),
        strategy_days={name: own.days() for name, own in recorder.strategy_curves.items()},
        strategy_equity={name: own.curve() for name, own in recorder.strategy_curves.items()},
        orders=recorder.orders,
        fills=recorder.fills,
        trades=again.trades,
        opening={currency: units for currency, units in recorder.opening.items() if units},
        groups=grouped_trades(again.trades, config.zone),
        marks=again.marks,
        makers=maker_rows(recorder.fills, again.marks, plan.start, plan.end),
        open_lots=matched.open,
        drawdowns=curve.falls,
        prices=[sampler.candles() for sampler in recorder.samplers.values()],
        indicators=replayed.engine.view.lines() if replayed.is_equal else _written_lines(run),
        router=router,
        assumptions=_facts(header, replayed),
        warnings=_cautions(header, replayed, recorder, orders, notes),
        unassigned=replayed.unassigned,
        versions={"botkit": versions()["botkit"]},
    )


def _matched(replayed: _Replayed, recorder: ResultRecorder, plan: Plan, orders: SessionOrders) -> Matched:
    """Match the fills to trades. Orders created after the bot was asked to stop count as placed while stopping."""
    stopped = replayed.stopped_at
    return match_trades(
        recorder.fills,
        recorder.opening_positions(),
        start=plan.start,
        at_stop=set() if stopped is None else {c for c, order in orders.orders.items() if order.created >= stopped},
        links=replayed.closes,
    )


def _summary(
    project: Project,
    header: RunHeader,
    run: Path,
    replayed: _Replayed,
    recorder: ResultRecorder,
    plan: Plan,
    matched: Matched,
    router: RouterUse,
) -> dict[str, Any]:
    """Return the session's key figures, as a backtest has them, and its mode."""
    figures = summarise(
        strategies=[strategy.use for strategy in project.config.strategies],
        currency=project.currency,
        curve=recorder.curve,
        orders=len(recorder.orders),
        refused=sum(order.state == OrderState.REFUSED.value for order in recorder.orders),
        fills=recorder.fills,
        trades=matched.trades,
        router=router,
        events=replayed.inputs,
        wall_s=(plan.end - plan.start) / NS_PER_S / header.speed,
        journal_sha256=_sha256(run / DECISIONS),
    )
    return {"mode": header.mode, **figures}


def _data(run: Path, feed: Feed, plan: Plan) -> DataDescription:
    """Describe the recording that the session is valued with."""
    return DataDescription(
        path=str(run),
        start=plan.start,
        end=plan.end,
        rows=sum(info.rows for info in feed.streams),
        synthetic=False,
        kinds=plan.described(),
    )


def _strategy_rows(
    project: Project, replayed: _Replayed, recorder: ResultRecorder, orders: SessionOrders, matched: Matched
) -> list[StrategyRow]:
    views = {view.name: view for view in replayed.engine.view.strategies()} if replayed.is_equal else {}
    uses = {strategy.label: strategy.use for strategy in project.config.strategies}
    params = {spec.name: plain_parameters(spec) for spec in project.specs()}
    rows = []
    for name in dict.fromkeys([*uses, *(order.strategy for order in orders.orders.values())]):
        own = [order for order in recorder.orders if order.spec.strategy == name]
        view = views.get(name)
        row = StrategyRow(
            name=name,
            use=uses.get(name, ""),
            params=params.get(name, {}),
            orders=len(own),
            refused=sum(order.state == OrderState.REFUSED.value for order in own),
            skips={} if view is None else dict(view.skips),
            refusals={} if view is None else dict(view.refusals),
            stopped=orders.stopped.get(name, ""),
            positions=_positions(name, matched),
        )
        trades: list[ClosedTrade] = [trade for trade in matched.trades if trade.strategy == name]
        complete_strategy(row, recorder.curve_of(name), [f for f in recorder.fills if f.strategy == name], trades)
        rows.append(row)
    return rows


def _positions(strategy: str, matched: Matched) -> list[PositionRow]:
    """Return a strategy's open positions, including coins that were handed over to the strategy."""
    found: dict[Pair, tuple[int, int]] = {}
    for lot in matched.open:
        if lot.strategy == strategy:
            units, cost = found.get(lot.pair, (0, 0))
            found[lot.pair] = (units + lot.units, cost + lot.cost_units)
    return [
        PositionRow(pair=pair, lots=pair.rules.lots_of_units(units), average_entry=cost / units)
        for pair, (units, cost) in found.items()
        if pair.rules.lots_of_units(units)
    ]


def _written_lines(run: Path) -> list[IndicatorLine]:
    """Return the indicators and plots as the session wrote them, if it wrote any."""
    with contextlib.suppress(OSError):
        return lines_in((run / LINES).read_bytes())
    return []


def _router_use(replayed: _Replayed, orders: SessionOrders) -> RouterUse:
    if replayed.is_equal:
        use = replayed.engine.view.router.statistics()
    else:
        use = RouterUse(endpoints=[EndpointUse(endpoint=name, requests=n) for name, n in orders.requests.items()])
    use.refused_by_exchange = orders.rate_limited
    return use


def _latencies(run: Path) -> list[LatencyRow]:
    try:
        found = MeasuredLatencies.read(run)
    except ValueError:  # the run contains no measurements
        return []
    tables: tuple[tuple[str, dict[str, Quantiles]], ...] = (
        ("order", found.order_us),
        ("answer", found.answer_us),
        ("round trip", found.round_trip_us),
        ("market data", {"book": found.feed_us}),
    )
    return [
        LatencyRow(
            what=what,
            kind=kind,
            count=found.counts.get(_COUNTED[what], {}).get(kind, 0),
            p50_ms=us[STEPS // 2] / 1000,
            p99_ms=us[STEPS * 99 // 100] / 1000,
            max_ms=us[-1] / 1000,
        )
        for what, table in tables
        for kind, us in table.items()
        if us
    ]


#: the key of each latency in `MeasuredLatencies.counts`
_COUNTED = {"order": "order", "answer": "answer", "round trip": "round_trip", "market data": "feed"}


def _facts(header: RunHeader, replayed: _Replayed) -> list[str]:
    found = [
        "Orders and fills come from decisions.jsonl, at the times when the bot received them.",
        "Prices come from the trades that the session recorded; equity, trades and ratios are computed as in a "
        "backtest.",
        "The exchange does not report queue positions, and its books include the bot's own orders.",
    ]
    if header.speed != 1:
        found.append(f"Durations are in the bot's time, which ran at {header.speed:g} times real time.")
    if replayed.recording_end == "full":
        found.append("The recording reached its size limit before the session ended; the report ends there.")
    return found


def _signed(units: int) -> str:
    return f"{'+' if units >= 0 else ''}{format_units(units)}"


def _cautions(
    header: RunHeader, replayed: _Replayed, recorder: ResultRecorder, orders: SessionOrders, notes: Sequence[str]
) -> list[Caution]:
    found = []
    if header.mode == "emulator":
        speed = f" at {header.speed:g}x speed" if header.speed != 1 else ""
        found.append(Caution(f"the exchange was botkit's emulator{speed}: orders and fills are simulated", False))
    elif header.mode == "paper":
        found.append(Caution("paper trading: the market is real, orders and fills are simulated", False))
    if replayed.recording_end == "cut":
        found.append(Caution("the session is still running or was killed: the report ends at its last input", False))
    found += [Caution(note, False) for note in notes]
    if not replayed.is_equal:
        difference = None if replayed.verdict is None else replayed.verdict.difference
        where = "" if difference is None else f" from decision {difference.line:,} on"
        found.append(
            Caution(
                f"the session cannot be replayed{where}, because its strategies, its configuration or botkit have "
                "changed: skips and waits are omitted, and indicators and plots have one value a minute",
                False,
            )
        )
    if recorder.unvalued_fees:
        unvalued = {currency: format_units(units) for currency, units in recorder.unvalued_fees.items()}
        found.append(Caution(unvalued_fees_caution(unvalued)))
    if orders.moved:
        moved = ", ".join(f"{name} {_signed(units)} {currency}" for (name, currency), units in orders.moved.items())
        text = f"capital was moved during the session ({moved}), which is neither profit nor loss: equity excludes it"
        found.append(Caution(text, False))
    if replayed.ownership is not None:
        found += cautions_of_coins(replayed.ownership)
    if replayed.is_equal:
        found += cautions_of_bot(replayed.engine.view, recorder.curve.daily_returns())
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
