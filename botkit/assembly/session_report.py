"""Describes a session of a running or finished bot as text, based on the files in the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from botkit.assembly.audit import RecordedOrders, decisions_of
from botkit.backtesting.session_figures import TradedPair, traded
from botkit.config.essentials import load_essentials
from botkit.live.replay import read_header
from botkit.model.clock import Nanos
from botkit.model.figures import amount_figure, price_figure
from botkit.model.latency import STEPS, MeasuredLatencies
from botkit.model.orders import UNSENT_STATES
from botkit.model.pairs import Pair

#: number of most recent fills to show
_LATEST = 10


class LatestFill(msgspec.Struct, frozen=True, kw_only=True):
    """One fill as text."""

    time: Nanos
    text: str


class SessionReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a bot. ``orders`` counts those that were sent or queued, as `botkit status` does. ``states`` counts
    orders by their last state, also those refused at once, and ``reasons`` counts refused orders by reason.
    ``latencies_ms`` are medians.
    """

    run: str
    config: str
    mode: str
    speed: float
    timezone: str
    start: Nanos
    end: Nanos
    orders: int
    fills: int
    states: dict[str, int]
    reasons: dict[str, int]
    traded: list[TradedPair]
    latest: list[LatestFill]
    latencies_ms: dict[str, float]


def session_report(run: Path) -> SessionReport:
    """Return the report on a run. Neither the run's strategies nor their configuration is needed. Raises
    ReplayError.
    """
    header = read_header(run)
    rows = list(decisions_of(run))
    recorded = RecordedOrders(rows, {name: Pair(name, rules) for name, rules in header.pairs.items()})
    states: dict[int, tuple[str, str]] = {
        row["c"]: (row["state"], row.get("why", "")) for row in rows if row["k"] == "state"
    }
    counts: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for client_id in recorded.orders:
        state, why = states.get(client_id, ("sent", ""))
        counts[state] = counts.get(state, 0) + 1
        if state in ("refused", "rejected") and why:
            reasons[why] = reasons.get(why, 0) + 1
    return SessionReport(
        run=str(run),
        config=header.config,
        mode=header.mode,
        speed=header.speed,
        timezone=_zone(Path(header.config)),
        start=rows[0]["t"] if rows else 0,
        end=recorded.end,
        orders=len(recorded.orders) - sum(counts.get(state.value, 0) for state in UNSENT_STATES),
        fills=len(recorded.executions),
        states=counts,
        reasons=dict(sorted(reasons.items(), key=lambda item: -item[1])),
        traded=traded(recorded.orders, recorded.executions),
        latest=[_latest(recorded, one) for one in recorded.executions[-_LATEST:]],
        latencies_ms=_latencies(run),
    )


def _zone(config: Path) -> str:
    try:
        return str(load_essentials(config).loaded.config.zone)
    except Exception:  # the configuration may be missing or broken; only its time zone is needed
        return "Asia/Taipei"


def _latest(recorded: RecordedOrders, one: Any) -> LatestFill:
    order = recorded.orders[one.client_id]
    rules = order.pair.rules
    return LatestFill(
        time=one.time,
        text=f"{order.strategy}: {'bought' if order.side.sign > 0 else 'sold'} {amount_figure(rules, one.lots)} "
        f"{order.pair.base} at {price_figure(rules, one.price_ticks)} {order.pair.quote}, "
        f"{'maker' if one.is_maker else 'taker'}",
    )


def _latencies(run: Path) -> dict[str, float]:
    try:
        found = MeasuredLatencies.read(run)
    except ValueError:
        return {}
    tables = {"order": found.order_us, "answer": found.answer_us, "round trip": found.round_trip_us}
    middles = {name: next((us for us in table.values() if us), ()) for name, table in tables.items()}
    return {name: us[STEPS // 2] / 1000 for name, us in middles.items() if us}
