"""A small exchange for tests: pairs with round steps, columns built from rows, and a kernel that the test advances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from botkit.model.columns import BookColumns, CandleColumns, TradeColumns
from botkit.model.events import OrderReport
from botkit.model.extension import LatencyModel
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import Condition, OrderType, Side
from botkit.model.pairs import Pair, PairRules
from botkit.model.requests import Answer, CancelOrder, CreateBatch, CreateOrder, Request
from botkit.sim.account_setup import AccountSetup
from botkit.sim.fees import FixedFees
from botkit.sim.fills import Queue
from botkit.sim.kernel import Kernel, Publication
from botkit.sim.latency import Constant

UNIT = 10**8
S = 10**9
MINUTE = 60 * S
T0 = 1_700_000_000 * S - 1_700_000_000 * S % MINUTE

RULES = PairRules(
    price_decimals=2,
    amount_decimals=8,
    display_decimals=4,
    least_lots=1_000,
    most_lots=10**16,
    least_spend_units=7 * UNIT,
    open_orders_max=5,
)
BTC = Pair("btc_usdt", RULES)
BTC_TWD = Pair("btc_twd", RULES)
BITO = Pair("bito_twd", RULES)
USDT = Pair("usdt_twd", RULES)
PAIRS = {str(p): p for p in (BTC, BTC_TWD, BITO, USDT)}
# 0.01 btc; amounts in tests are multiples of this value, so that fees and rounding show up in the lower-order digits
LOT = 10**6
RICH = {"usdt": 10**6 * UNIT, "btc": 100 * UNIT, "twd": 10**8 * UNIT}

Level = tuple[int, int]


def trades(rows: Iterable[tuple[int, int, int, int]], pair: Pair = BTC) -> TradeColumns:
    """Build trades from (seconds after T0, ticks, lots, side)."""
    table = list(rows)
    column = lambda i: np.array([row[i] for row in table], dtype=np.int64)  # noqa: E731
    received = T0 + column(0) * S
    return TradeColumns(pair, received, received, column(1), column(2), column(3).astype(np.int8))


def books(
    rows: Iterable[tuple[int, Sequence[Level], Sequence[Level]]], pair: Pair = BTC, depth: int = 3
) -> BookColumns:
    """Build books from (seconds after T0, bids, asks), each side as (ticks, lots), best first."""
    table = list(rows)

    def column(side: int, part: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        cells = [[level[part] for level in row[side]] + [0] * (depth - len(row[side])) for row in table]
        return np.array(cells, dtype=np.int64).reshape(len(table), depth)

    received = np.array([T0 + row[0] * S for row in table], dtype=np.int64)
    return BookColumns(pair, received, received, column(1, 0), column(1, 1), column(2, 0), column(2, 1))


def candles(rows: Iterable[tuple[int, int, int, int, int, int]], pair: Pair = BTC) -> CandleColumns:
    """Build candles from (minutes after T0, open, high, low, close, lots)."""
    table = list(rows)
    column = lambda i: np.array([row[i] for row in table], dtype=np.int64)  # noqa: E731
    time = T0 + column(0) * MINUTE
    return CandleColumns(pair, "1m", time + MINUTE, time, column(1), column(2), column(3), column(4), column(5))


def singly(publications: Iterable[Publication]) -> list[Publication]:
    """Split publications into individual events."""
    return [Publication(p.at, p.account, event) for p in publications for event in p.events]


class Venue:
    """A kernel, ID counters, and all events published so far."""

    def __init__(self, *columns: Any, accounts: dict[str, dict[str, int]] | None = None, **options: Any) -> None:
        fees = options.pop("fees", {"maker": "0.001", "taker": "0.002"})
        latency = options.pop("latency", {})
        model: LatencyModel = Constant(latency) if isinstance(latency, dict) else latency
        setups = {name: AccountSetup(dict(b), FixedFees(fees)) for name, b in (accounts or {"ann": RICH}).items()}
        options.setdefault("queue", Queue())
        options.setdefault("limits", None)
        options.setdefault("volume_currency", "twd")
        options.setdefault("discount_currency", "bito")
        self.kernel = Kernel(pairs=options.pop("pairs", PAIRS), accounts=setups, latency=model, **options)
        for chunk in columns:
            self.kernel.load(chunk)
        self.seen: list[Publication] = []
        self.ids = 0
        self.now = T0

    def to(self, seconds: float) -> list[Publication]:
        """Advance to this many seconds after T0, stopping at every time at which the kernel has an event to process."""
        target = T0 + round(seconds * S)
        fresh: list[Publication] = []
        while (at := self.kernel.next_at()) is not None and at <= target:
            fresh += singly(self.kernel.advance(at))
        fresh += singly(self.kernel.advance(target))
        self.now = target
        self.seen += fresh
        self.kernel.check()
        return fresh

    def send(self, request: Request, account: str = "ann") -> None:
        self.kernel.submit(account, request, self.now)

    def order(self, side: str, lots: int = 0, price: int = 0, *, account: str = "ann", **more: Any) -> int:
        """Send a create and return its client ID. Without a price, the order is a market order."""
        self.ids += 1
        kind = more.pop("type", OrderType.LIMIT if price else OrderType.MARKET)
        pair = more.pop("pair", BTC)
        new = OrderSpec(
            client_id=self.ids, pair=pair, side=Side(side), type=kind, amount_lots=lots, price_ticks=price, **more
        )
        self.send(CreateOrder(id=1000 + self.ids, order=new, timestamp=self.now), account)
        return self.ids

    def stop(self, side: str, lots: int, price: int, stop: int, condition: str, **more: Any) -> int:
        return self.order(
            side, lots, price, type=OrderType.STOP_LIMIT, stop_ticks=stop, condition=Condition(condition), **more
        )

    def batch(self, *orders: OrderSpec, account: str = "ann") -> None:
        self.ids += 1
        self.send(CreateBatch(id=1000 + self.ids, orders=orders, timestamp=self.now), account)

    def cancel(self, client_id: int, account: str = "ann") -> None:
        self.ids += 1
        report = self.report(client_id, account)
        self.send(CancelOrder(id=1000 + self.ids, pair=report.pair, order_id=report.order_id), account)

    def report(self, client_id: int, account: str = "ann") -> OrderReport:
        return next(row for row in self.kernel.orders(account) if row.client_id == client_id)

    def fills(self, client_id: int, account: str = "ann") -> list[tuple[int, int, bool]]:
        """Return an order's executions as (ticks, lots, is_maker)."""
        order_id = self.report(client_id, account).order_id
        return [(t.price_ticks, t.lots, t.is_maker) for t in self.kernel.trades(account) if t.order_id == order_id]

    def filled(self, client_id: int, account: str = "ann") -> int:
        return sum(lots for _, lots, _ in self.fills(client_id, account))

    def available(self, currency: str, account: str = "ann") -> int:
        return self.kernel.account(account).balances().balances[currency][1]

    def total(self, currency: str, account: str = "ann") -> int:
        return self.kernel.account(account).balances().balances[currency][0]

    def answers(self) -> list[Answer]:
        return [p.event for p in self.seen if isinstance(p.event, Answer)]

    def of(self, kind: type[Any]) -> list[Any]:
        return [p.event for p in self.seen if isinstance(p.event, kind)]
