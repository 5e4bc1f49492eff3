"""A request's latency depends neither on its ID, which is not sent over the wire, nor on other requests."""

from __future__ import annotations

from collections.abc import Iterator

from botkit.model.events import OrderReport
from botkit.model.requests import (
    Answer,
    CancelBatch,
    CancelOrder,
    CreateBatch,
    GetBalances,
    GetOrder,
    ListOrders,
    Request,
)
from botkit.sim.latency import Lognormal
from tests.sim.venue import BTC, LOT, T0, S, Venue, books


def answered_at(ids: Iterator[int], more_reads: int) -> dict[str, int]:
    """Return the times at which the answers to a fixed script of requests arrive, with these request ``ids`` and with
    ``more_reads`` in between.
    """
    latency = Lognormal({"order_ms": 100, "answer_ms": 100, "sigma": 1.0}, 5)
    venue = Venue(books([(0, [(1000, 50 * LOT)], [(1100, 50 * LOT)])]), latency=latency)
    venue.to(1)
    for price in (900, 901, 902, 903):
        venue.order("buy", LOT, price)
    venue.to(60)
    reports: list[OrderReport] = [venue.report(client_id) for client_id in (1, 2, 3, 4)]
    cells = [(BTC, report.order_id) for report in reports]
    found: dict[str, int] = {}

    def ask(name: str, request: Request) -> None:
        began = venue.now
        venue.send(request)
        fresh = venue.to((began - T0) / S + 100)
        found[name] = next(p.at for p in fresh if isinstance(p.event, Answer)) - began

    for _ in range(more_reads):
        venue.send(GetOrder(id=next(ids), pair=BTC, order_id=reports[3].order_id))
    venue.to(100)
    ask("cancel", CancelOrder(id=next(ids), pair=BTC, order_id=cells[0][1]))
    ask("cancel batch", CancelBatch(id=next(ids), orders=tuple(cells[1:3])))
    ask("get order", GetOrder(id=next(ids), pair=BTC, order_id=cells[1][1]))
    ask("list", ListOrders(id=next(ids), pair=BTC, client_id=2))
    ask("balances", GetBalances(id=next(ids)))
    ask("balances again", GetBalances(id=next(ids)))
    ask("empty batch", CreateBatch(id=next(ids), orders=(), timestamp=venue.now))
    return found


def test_latency_does_not_depend_on_ids_or_other_requests() -> None:
    plain = answered_at(iter(range(100, 200)), 0)
    assert answered_at(iter(range(5_000, 9_000, 7)), 3) == plain
    # requests for the same order or for the same account have different latencies
    assert len(set(plain.values())) == len(plain)
