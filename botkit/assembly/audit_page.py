"""Writes an audit's page: its figures, and the real and simulated fills drawn over the prices recorded in the
session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from botkit.assembly.audit import Audited
from botkit.assembly.session_market import session_source
from botkit.backtesting.audit import Execution
from botkit.backtesting.downsample import CandleSampler
from botkit.errors import DataError
from botkit.model.columns import TradeColumns
from botkit.model.order_spec import OrderSpec
from botkit.model.results import FillRow, PriceCandles
from botkit.report.audit import AuditPage, render_audit

#: maximum number of candles per pair on the page
_CANDLES_MAX = 50_000


def write_audit(audited: Audited, out: Path, drifts: Sequence[str]) -> Path:
    """Write the page of an audited run to ``out/NAME/audit-MODE-RUN.html`` and return its path."""
    report = audited.report
    run = Path(report.run)
    page = AuditPage(
        name=report.bot,
        run=report.run,
        mode=report.mode,
        speed=report.speed,
        timezone=report.timezone,
        start=report.start,
        end=report.end,
        orders=report.orders,
        configured=report.configured,
        measured=report.measured,
        exact=report.exact,
        pairs=report.pairs,
        proposals=report.proposals,
        notes=report.notes,
        drifts=list(drifts),
        prices=_prices(audited, run),
        real=_rows(audited.orders, audited.real),
        simulated=_rows(audited.orders, audited.simulated),
    )
    place = out / report.bot / f"audit-{report.mode}-{run.resolve().name}.html"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(render_audit(page), encoding="utf-8")
    return place


def _prices(audited: Audited, run: Path) -> list[PriceCandles]:
    """Return candles for the traded pairs, built from the trades recorded in the run."""
    start, end = audited.report.start, audited.report.end
    samplers = {pair: CandleSampler(pair, _CANDLES_MAX) for pair in {o.pair: None for o in audited.orders.values()}}
    try:
        source = session_source(run, audited.pairs)
    except DataError:  # the run recorded no market data
        return []
    for info in source.streams:
        if info.kind != "trades" or info.pair not in samplers:
            continue
        for columns in source.read(info.key, start, end + 1, 1_000_000):
            assert isinstance(columns, TradeColumns)
            rules = columns.pair.rules
            samplers[columns.pair].add(
                columns.received,
                columns.ticks / 10**rules.price_decimals,
                volume=columns.lots / 10**rules.amount_decimals,
            )
    return [found for sampler in samplers.values() if (found := sampler.candles()).times]


def _rows(orders: Mapping[int, OrderSpec], executions: Sequence[Execution]) -> list[FillRow]:
    rows = []
    for one in executions:
        order = orders[one.client_id]
        rows.append(
            FillRow(
                time=one.time,
                strategy=order.strategy,
                client_id=one.client_id,
                order_id="",
                pair=order.pair,
                side=order.side.value,
                is_maker=one.is_maker,
                price_ticks=one.price_ticks,
                lots=one.lots,
                value_units=order.pair.rules.value_units(one.price_ticks, one.lots),
                fee_units=one.fee_units,
                fee_currency=one.fee_currency,
                value=0.0,
                fee_value=0.0,
                tag=order.tag,
            )
        )
    return rows
