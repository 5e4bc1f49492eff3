"""Audits recorded sessions: re-simulates their orders on the recorded market, and compares the fills."""

from __future__ import annotations

import bisect
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from botkit.assembly.fee_worth import RecordedFeeWorth
from botkit.assembly.kernel import ACCOUNT
from botkit.backtesting.audit import (
    Execution,
    Tolerance,
    figures_of,
    pair_fills,
    shortfall,
)
from botkit.backtesting.resimulation import Moment, Resimulation, Resting, SentRequest, merged
from botkit.config.simulated import LatencyConfig
from botkit.errors import ConfigError
from botkit.exchange.paper import book_row, trade_row
from botkit.live.recording import HEADER, INPUTS
from botkit.live.replay import RecordedInputs, ReplayError, RunHeader, read_header
from botkit.live.run_files import DECISIONS
from botkit.model.clock import NS_PER_MINUTE, Nanos
from botkit.model.compared_fills import AuditFigures, FillPair
from botkit.model.events import OrderBook, OrderReport, Trade
from botkit.model.inputs import AccountEvents, Input
from botkit.model.latency import STEPS, MeasuredLatencies
from botkit.model.money import format_units
from botkit.model.order_spec import Condition, OrderSpec, OrderType, Side
from botkit.model.orders import FINAL_STATES, RESTING_STATES, UNSENT_STATES, OrderState
from botkit.model.pairs import Pair
from botkit.project.fee_coin import fee_pairs
from botkit.project.project import Project
from botkit.project.recipe import recorded_project
from botkit.sim.account_setup import AccountSetup
from botkit.sim.kernel import Kernel

__all__ = ["AuditReport", "Audited", "Tolerance", "audit", "combined", "decisions_of", "runs_of", "session_project"]

#: how far before the first audited order to start reading the market
_LEAD_NS: Nanos = 5 * NS_PER_MINUTE
#: the simulated account's balance in every coin, in units: large enough never to run out
_PLENTY = 10**8 * 10**9
#: orders whose last state is listed here never existed at the real exchange, and requests whose outcome is listed here
#: had no effect there; the simulation omits these orders and requests
_NEVER_THERE = ("absent", "not_sent", "refused", "rejected")
_WITHOUT_EFFECT = ("not_sent", "refused", "rate_limited")


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """The audit of one run. The same orders are simulated with different latencies. ``configured`` uses the
    configuration's latencies. ``measured`` draws from the latencies measured in the run, and is None if there were no
    measurements. ``exact`` places every order at the time it actually reached the exchange, so only the fill model can
    cause a difference. ``orders`` counts the orders that were sent or queued. ``proposals`` are lines of YAML for
    ``backtest:``.
    """

    run: str
    bot: str
    mode: str
    speed: float
    timezone: str
    start: Nanos
    end: Nanos
    orders: int
    configured: AuditFigures
    measured: AuditFigures | None
    exact: AuditFigures
    pairs: list[FillPair]
    proposals: list[str]
    notes: list[str]


class Audited(msgspec.Struct, frozen=True, kw_only=True):
    """An audit's report, with the orders and executions shown on its page."""

    report: AuditReport
    pairs: Mapping[str, Pair]
    orders: dict[int, OrderSpec]
    real: list[Execution]
    simulated: list[Execution]


class RecordedOrders:
    """A run's orders in the given pairs, as recorded in decisions.jsonl."""

    def __init__(self, rows: Iterable[dict[str, Any]], pairs: Mapping[str, Pair]) -> None:
        rows = list(rows)
        self.orders: dict[int, OrderSpec] = {}
        self.executions: list[Execution] = []
        self._requests: list[dict[str, Any]] = []
        self._resting: list[Resting] = []
        self._executed: dict[int, int] = {}
        #: fills of orders placed in an earlier run
        self.earlier = 0
        self.end: Nanos = rows[-1]["t"] if rows else 0
        outcomes = {row["id"]: row["outcome"] for row in rows if row["k"] == "answer"}
        ends = {row["c"]: row["state"] for row in rows if row["k"] == "state"}
        #: orders that never existed at the exchange
        self._never = {client_id for client_id, state in ends.items() if state in _NEVER_THERE}
        #: orders that never left this machine, which the bot does not count either
        unsent = {state.value for state in UNSENT_STATES}
        self.unsent = {client_id for client_id, state in ends.items() if state in unsent}
        for row in rows:
            kind = row["k"]
            if kind == "intent" and row["pair"] in pairs:
                self.orders[row["c"]] = order_spec_of(row, pairs[row["pair"]])
            elif kind == "request" and outcomes.get(row["id"]) not in _WITHOUT_EFFECT:
                self._requests.append(row)
            elif kind == "fill":
                self._filled(row)
            elif kind == "state" and row["c"] in self.orders:
                self._changed(row)

    def _filled(self, row: dict[str, Any]) -> None:
        client_id = row["c"]
        if client_id not in self.orders:
            self.earlier += 1
            return
        self.executions.append(
            Execution(
                client_id=client_id,
                time=row["t"],
                price_ticks=row["price"],
                lots=row["lots"],
                fee_units=row["fee"],
                fee_currency=row["fee_in"],
                is_maker=bool(row["maker"]),
            )
        )
        self._executed[client_id] = row["executed"]
        if any(one.client_id == client_id and one.remaining_lots for one in self._resting[-50:]):
            self._stands(row["t"], client_id)

    def _changed(self, row: dict[str, Any]) -> None:
        state = OrderState(row["state"])
        if state in FINAL_STATES:
            self._resting.append(Resting(time=row["t"], client_id=row["c"], remaining_lots=0))
        elif state in RESTING_STATES:
            self._stands(row["t"], row["c"])

    def _stands(self, time: Nanos, client_id: int) -> None:
        left = self.orders[client_id].amount_lots - self._executed.get(client_id, 0)
        self._resting.append(Resting(time=time, client_id=client_id, remaining_lots=max(0, left)))

    def _counts(self, client_id: int, start: Nanos) -> bool:
        order = self.orders.get(client_id)
        return order is not None and order.created >= start and client_id not in self._never

    def moments(self, start: Nanos, arrivals: Mapping[tuple[bool, int], Nanos] | None = None) -> list[Moment]:
        """Return the requests sent and the amounts resting in the book, for orders placed at or after ``start``. With
        ``arrivals``, keyed by (is a cancel, client id), requests carry their arrival times.
        """
        sent = []
        for row in self._requests:
            is_cancel, ids = row["endpoint"].startswith("cancel_"), row["c"]
            if not ids or not all(self._counts(c, start) for c in ids):
                continue
            arrived = [arrivals[is_cancel, c] for c in ids if (is_cancel, c) in arrivals] if arrivals else []
            creates = () if is_cancel else tuple(self.orders[c] for c in ids)
            sent.append(
                SentRequest(
                    time=max(row["t"], min(arrived, default=row["t"])),
                    creates=creates,
                    cancels=tuple(ids) if is_cancel else (),
                )
            )
        return merged(self._resting, sorted(sent, key=lambda one: one.time))


def order_spec_of(row: dict[str, Any], pair: Pair) -> OrderSpec:
    """Reconstruct an order, as originally requested, from its line in decisions.jsonl."""
    return OrderSpec(
        client_id=row["c"],
        pair=pair,
        side=Side(row["side"]),
        type=OrderType(row["type"]),
        price_ticks=row["price"],
        amount_lots=row["lots"],
        spend_units=row["spend"],
        stop_ticks=row.get("stop", 0),
        condition=Condition(row["condition"]) if "condition" in row else None,
        post_only=bool(row.get("post_only")),
        strategy=row["s"],
        created=row["t"],
        expires=row.get("expires"),
        tag=row.get("tag", ""),
    )


def runs_of(place: Path, since_ns: Nanos | None) -> list[Path]:
    """Return the runs that a path refers to, oldest first. A run folder refers to that run. A bot's state folder refers
    to its newest run or, with ``since_ns``, to every run whose last decision is at most ``since_ns`` older than the
    last decision of the newest run. Old runs whose recordings the bot has removed are left out.

    Raises ReplayError.
    """
    if (place / HEADER).exists():
        return [place]
    folder = place / "runs"
    runs = sorted(
        (run for run in folder.glob("*") if run.name.isdigit() and (run / HEADER).exists()), key=lambda r: int(r.name)
    )
    if not runs:
        raise ReplayError(f"{place} contains no recorded run; give a run's folder, a bot's state folder or its CONFIG")
    if since_ns is None:
        return runs[-1:]
    runs = [run for run in runs if run == runs[-1] or (run / INPUTS).exists()]
    ends = {run: _end_of(run) for run in runs}
    newest = max(ends.values())
    return [run for run in runs if ends[run] and ends[run] >= newest - since_ns]


def _end_of(run: Path) -> Nanos:
    last: Nanos = 0
    for row in decisions_of(run):
        last = row["t"]
    return last


def decisions_of(run: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a run's decisions.jsonl, excluding an incomplete last line. Raises ReplayError."""
    try:
        with (run / DECISIONS).open(encoding="ascii", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError):
                    if line.endswith("\n"):
                        raise ReplayError(f"{run / DECISIONS}:{number} is damaged; restore the file") from None
                    return  # the run was killed while writing this line, or is still writing it
    except OSError as error:
        raise ReplayError(f"{run / DECISIONS} cannot be read ({error.strerror or error})") from None


def audit(run: Path, *, config: Path | None = None, since_ns: Nanos | None = None) -> Audited:
    """Re-simulate a run's orders and compare the fills. ``since_ns`` limits the audit to orders placed no more than
    ``since_ns`` before the run's last decision.

    Raises ReplayError if the folder contains no readable run, and ConfigError.
    """
    header, notes = read_header(run), list[str]()
    project = session_project(header, config, notes)
    session = RecordedOrders(decisions_of(run), project.pairs)
    start = 0 if since_ns is None else session.end - since_ns
    orders = {c: order for c, order in session.orders.items() if order.created >= start}
    real = [one for one in session.executions if one.client_id in orders]
    older = session.earlier + len(session.executions) - len(real)
    if older:
        notes.append(f"{older:,} fills belong to orders placed before this period and are not compared")
    measured = _measured(run, notes)

    def simulation(latency: LatencyConfig, moments: list[Moment]) -> Resimulation:
        return _simulation(project, moments, session, latency)

    is_discounted = project.fee_model(project.config.backtest.fees, "backtest.fees").uses_discount
    # an exchange that converts fees needs the prices for that; otherwise they are not even read
    valuing = {str(pair): pair for pair in project.valuation_pairs()} | fee_pairs(project)
    for_fees = valuing if is_discounted else {}
    pays_in_coin = is_discounted or any(one.fee_currency == project.facts.discount_currency for one in real)
    fee_worth = RecordedFeeWorth(project.priced_pairs() | valuing if pays_in_coin else {})
    configured = simulation(project.config.backtest.latency, session.moments(start))
    again = None if measured is None else simulation(LatencyConfig(from_=run), session.moments(start))
    arrivals = _Arrivals()
    simulations = [configured] if again is None else [configured, again]
    # a recording is decoded once for all that can be done side by side, and the arrivals are needed for the rest
    _simulate(project, header, run, session, start, simulations, for_fees.values(), (arrivals.take, fee_worth.take))
    pairs = pair_fills(orders, real, configured.executions, configured.last, fee_worth.worth)
    notes += _unvalued(orders, real, fee_worth)
    if real and not any(pair in configured.last for pair in _traded(session)):
        raise ReplayError(
            f"{run} recorded neither books nor trades for the pairs it traded, so there is nothing to compare"
        )
    second = None
    if again is not None:
        compared = pair_fills(orders, real, again.executions, again.last, fee_worth.worth)
        second = figures_of(compared, len(real), len(again.executions))
    at_once = LatencyConfig(order_ms=Decimal(0), answer_ms=Decimal(0), feed_ms=Decimal(0))
    third = simulation(at_once, session.moments(start, arrivals.found()))
    _simulate(project, header, run, session, start, [third], for_fees.values())
    at_real_times = pair_fills(orders, real, third.executions, third.last, fee_worth.worth)
    report = AuditReport(
        run=str(run),
        bot=project.config.name,
        mode=header.mode,
        speed=header.speed,
        timezone=str(project.config.zone),
        start=min((order.created for order in orders.values()), default=session.end),
        end=session.end,
        orders=len(orders.keys() - session.unsent),
        configured=figures_of(pairs, len(real), len(configured.executions)),
        measured=second,
        exact=figures_of(at_real_times, len(real), len(third.executions)),
        pairs=pairs,
        proposals=_proposals(run, measured, shortfall(orders, real, configured.mids)),
        notes=notes,
    )
    return Audited(report=report, pairs=project.pairs, orders=orders, real=real, simulated=configured.executions)


def session_project(header: RunHeader, config: Path | None, notes: list[str]) -> Project:
    """Return a recorded run's configuration. If the file has changed since the run, a sentence about the change is
    added to ``notes``. Raises ConfigError.
    """
    recipe = msgspec.to_builtins(header)
    path = config or Path(header.config)
    try:
        is_changed = hashlib.sha256(path.read_bytes()).hexdigest() != header.config_sha256
    except OSError as error:
        raise ConfigError(f"{path}: the run's configuration cannot be read ({error.strerror}); use --config") from None
    if is_changed and config is None:
        notes.append(f"{path} has changed since the run; the current version is used")
    return recorded_project(recipe, path)


def _measured(run: Path, notes: list[str]) -> MeasuredLatencies | None:
    try:
        return MeasuredLatencies.read(run)
    except ValueError as error:
        notes.append(f"no latencies to compare with: {error}")
        return None


class _Arrivals:
    """Finds the times at which creates and cancels reached the exchange in a recording's inputs.

    The times are on the recorded market's clock: the receipt time of the last book that the exchange stamped before the
    arrival, plus the difference between the exchange's two timestamps.
    """

    def __init__(self) -> None:
        #: (is a cancel, client id) -> pair and exchange's timestamp
        self._stamps: dict[tuple[bool, int], tuple[str, Nanos]] = {}
        #: exchange's timestamps and receipt times of a pair's books
        self._books: dict[str, tuple[list[Nanos], list[Nanos]]] = {}

    def take(self, now: Nanos, given: Input | None) -> None:
        """Take the next input of the recording."""
        if isinstance(given, OrderBook):
            stamped, received = self._books.setdefault(given.pair, ([], []))
            if not stamped or given.time > stamped[-1]:
                stamped.append(given.time)
                received.append(now)
        elif isinstance(given, AccountEvents):
            for event in given.events:
                if isinstance(event, OrderReport) and event.client_id is not None and event.pushed:
                    self._stamps.setdefault((False, event.client_id), (event.pair, event.pushed))
                    if event.state is OrderState.CANCELLED:
                        self._stamps.setdefault((True, event.client_id), (event.pair, event.pushed))

    def found(self) -> dict[tuple[bool, int], Nanos]:
        """Return the times, keyed by (is a cancel, client id)."""
        found = {}
        for key, (pair, stamp) in self._stamps.items():
            stamped, received = self._books.get(pair, ([], []))
            place = bisect.bisect_right(stamped, stamp)
            if place:
                at = received[place - 1] + stamp - stamped[place - 1]
                found[key] = at if place == len(received) else min(at, received[place] - 1)
        return found


def _traded(session: RecordedOrders) -> set[Pair]:
    return {order.pair for order in session.orders.values()}


def _unvalued(orders: Mapping[int, OrderSpec], real: Sequence[Execution], fee_worth: RecordedFeeWorth) -> list[str]:
    """Return a sentence about real fees that cannot be compared, if there are any."""
    units: dict[str, int] = {}
    for one in real:
        pair, currency = orders[one.client_id].pair, one.fee_currency
        is_known = currency in (pair.base, pair.quote) or not one.fee_units
        if not is_known and fee_worth.worth(one.fee_units, currency, pair.quote, one.time) is None:
            units[currency] = units.get(currency, 0) + one.fee_units
    return [
        f"fees of {format_units(amount)} {currency.upper()} are in no figure, as the session recorded no price of "
        f"{currency.upper()}: those fills are compared before fees, on both sides"
        for currency, amount in units.items()
    ]


def _simulation(
    project: Project, moments: Sequence[Moment], session: RecordedOrders, latency: LatencyConfig
) -> Resimulation:
    config, section = project.config, project.config.backtest
    coins = {coin for pair in _traded(session) for coin in (pair.base, pair.quote)} | {project.facts.discount_currency}
    kernel = Kernel(
        pairs=project.pairs,
        accounts={
            ACCOUNT: AccountSetup(
                balances={coin: _PLENTY for coin in coins if coin},
                fees=project.fee_model(section.fees, "backtest.fees"),
            )
        },
        queue=project.queue_model(section.fills, "backtest.fills"),
        latency=project.latency_model(latency, "backtest.latency", config.seed),
        limits=None,  # every request that had an effect was within the real limits
        max_book_age_s=config.max_book_age_s,
        seed=config.seed,
        volume_currency=project.facts.volume_currency,
        discount_currency=project.facts.discount_currency,
    )
    return Resimulation(kernel, ACCOUNT, session.orders, moments)


def _simulate(
    project: Project,
    header: RunHeader,
    run: Path,
    session: RecordedOrders,
    start: Nanos,
    simulations: Sequence[Resimulation],
    for_fees: Iterable[Pair],
    takers: Sequence[Callable[[Nanos, Input | None], None]] = (),
) -> None:
    """Let simulations run over the recorded market, side by side, and ``takers`` take every input. ``for_fees`` are the
    pairs by which the exchange converts fees.
    """
    traded = _traded(session) | set(for_fees)
    # on paper, the bot's own orders do not appear in the market data
    shows_own = header.mode != "paper"
    for now, given in RecordedInputs(run, project.pairs):
        for take in takers:
            take(now, given)
        if now < start - _LEAD_NS or not isinstance(given, (OrderBook, Trade)) or given.pair not in traded:
            continue
        for found in simulations:
            found.pass_time(now)
            if isinstance(given, Trade):
                found.load(given.pair, trade_row(given, now), price=given.price)
            else:
                book = found.book_without_own(given) if shows_own else given
                found.load(given.pair, book_row(book, now), mid=book.mid)
    for found in simulations:
        found.pass_time(session.end + NS_PER_MINUTE)


def _proposals(run: Path, measured: MeasuredLatencies | None, lost: tuple[float, int] | None) -> list[str]:
    lines = []
    if measured is not None:
        order, answer = (
            next(us[STEPS // 2] / 1000 for us in table.values() if us)
            for table in (measured.order_us, measured.answer_us)
        )
        # a request takes the machine's time, which such an emulator multiplies
        fast = f"; true of this run alone, whose emulator ran at {measured.speed:g}x" if measured.speed != 1 else ""
        lines.append(
            f"latency: {{from: {run}}}   # medians: order_ms: {max(0.0, order):.0f}, "
            f"answer_ms: {max(0.0, answer):.0f}{fast}"
        )
    if lost is not None:
        share, count = lost
        fills = f"{count} taker fill{'s'[: count != 1]}"
        lines.append(
            f'slippage: "{max(0.0, share):.6f}"   # {fills} relative to the mid price, including half the spread'
        )
    return lines


def combined(reports: Sequence[AuditReport]) -> AuditFigures:
    """Return the combined statistics of several runs."""
    if len(reports) == 1:
        return reports[0].configured
    pairs = [pair for report in reports for pair in report.pairs]
    return figures_of(
        pairs,
        sum(report.configured.real_fills for report in reports),
        sum(report.configured.simulated_fills for report in reports),
    )
