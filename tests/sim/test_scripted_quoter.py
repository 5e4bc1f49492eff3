"""Every fill of a scripted quoter on recorded frames, derived independently using only the frames and `json`.

The independent derivation below shares no code with botkit: it uses Decimals, plain lists, and one pass over the file.
"""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from botkit.exchange.bitopro.capture import BitoProFrames
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import OrderState, OrderType, Side
from botkit.model.requests import CancelOrder, CreateOrder
from botkit.sim.account_setup import AccountSetup
from botkit.sim.fees import FixedFees
from botkit.sim.fills import Optimistic, Pessimistic, Queue
from botkit.sim.kernel import Kernel
from botkit.sim.latency import Constant

FRAMES = Path(__file__).parents[2].parent / "shared" / "data" / "btc_usdt-2024-08-08.frames.jsonl.gz"
EVERY_MS = 7_000
AMOUNT = Decimal("0.05")

pytestmark = pytest.mark.skipif(not FRAMES.exists(), reason=f"{FRAMES} is not on this machine")

Side_ = list[tuple[Decimal, Decimal]]
Fill = tuple[int, str, Decimal, Decimal]  # (ms, side, price, amount)


def frames() -> list[tuple[int, str, Any]]:
    """Return (received ms, kind, frame) in matching order: by time, and books before trades."""
    rows = []
    with gzip.open(FRAMES, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            rows.append((row["received"], row["frame"]["event"], row["frame"]))
    return sorted(rows, key=lambda row: (row[0], row[1]))  # ORDER_BOOK sorts before TRADE


def quote(number: int, bids: Side_, asks: Side_) -> tuple[Decimal, Decimal]:
    """Return the scripted quote: at the best prices, inside the spread or at the second level, at the third level, or
    beyond the depth.
    """
    tick = Decimal("0.01")
    match number % 4:
        case 0:
            return bids[0][0], asks[0][0]
        case 1:
            wide = asks[0][0] - bids[0][0] > 2 * tick
            return (bids[0][0] + tick, asks[0][0] - tick) if wide else (bids[1][0], asks[1][0])
        case 2:
            return bids[2][0], asks[2][0]
        case _:
            return bids[-1][0] - 1, asks[-1][0] + 1


class Standing:
    def __init__(self, side: str, price: Decimal, shown: Side_, reading: str) -> None:
        self.side, self.price, self.left = side, price, AMOUNT
        self.sign = 1 if side == "buy" else -1
        self.ahead: Decimal | None = None  # None means that this price has not been seen yet
        self.taken: dict[Decimal, tuple[Decimal, Decimal]] = {}  # price -> (recorded amount, amount taken from it)
        self.reading = reading
        self.look(shown)

    def look(self, shown: Side_) -> None:
        """Process a snapshot of the order's own side of the book."""
        if self.sign * (self.price - shown[-1][0]) < 0:
            return
        amount = dict(shown).get(self.price, Decimal(0))
        self.ahead = amount if self.ahead is None else min(self.ahead, amount)

    def fill(self, amount: Decimal) -> Decimal:
        part = self.left if self.reading == "optimistic" and amount > 0 else min(self.left, amount)
        self.left -= part
        return part

    def crossed(self, other: Side_) -> Decimal:
        """Process a snapshot of the opposite side, and return the amount that it fills."""
        amounts = dict(other)
        self.taken = {p: t for p, t in self.taken.items() if amounts.get(p) == t[0]}
        reached = [(p, a) for p, a in other if self.sign * (p - self.price) <= 0]
        net = [(p, a, a - self.taken.get(p, (a, Decimal(0)))[1]) for p, a in reached]
        if self.reading == "pessimistic":
            return Decimal(0)
        part = self.fill(sum((n for _, _, n in net), Decimal(0)))
        rest = part
        for price, amount, free in net:
            used = min(free, rest)
            rest -= used
            self.taken[price] = (amount, self.taken.get(price, (amount, Decimal(0)))[1] + used)
        return part

    def traded(self, price: Decimal, amount: Decimal, taker_buys: bool) -> Decimal:
        """Process a public trade, and return the amount that it fills."""
        beyond = self.sign * (self.price - price)
        if beyond > 0:
            self.ahead = Decimal(0)
            return self.fill(amount)
        if beyond < 0 or taker_buys == (self.side == "buy") or self.reading == "pessimistic":
            return Decimal(0)
        if self.reading == "optimistic":
            return self.fill(amount)
        if self.ahead is None:
            return Decimal(0)
        worked = min(self.ahead, amount)
        self.ahead -= worked
        return self.fill(amount - worked)


def derived(reading: str) -> list[Fill]:
    fills: list[Fill] = []
    standing: list[Standing] = []
    bids: Side_ = []
    asks: Side_ = []
    rows = frames()
    due = next(at for at, kind, _ in rows if kind == "ORDER_BOOK")
    number = 0
    for at, kind, frame in rows:
        while due < at:
            buy, sell = quote(number, bids, asks)
            standing = [Standing("buy", buy, bids, reading), Standing("sell", sell, asks, reading)]
            due, number = due + EVERY_MS, number + 1
        if kind == "ORDER_BOOK":
            bids, asks = ([(Decimal(x["price"]), Decimal(x["amount"])) for x in frame[s]] for s in ("bids", "asks"))
            for order in standing:
                if part := order.crossed(asks if order.side == "buy" else bids):
                    fills.append((at, order.side, order.price, part))
                order.look(bids if order.side == "buy" else asks)
        else:
            for trade in reversed(frame["data"]):
                price, amount = Decimal(trade["price"]), Decimal(trade["amount"])
                for order in standing:
                    if order.left and (part := order.traded(price, amount, trade["isBuyer"])):
                        fills.append((at, order.side, order.price, part))
        standing = [order for order in standing if order.left]
    return fills


def simulated(reading: str) -> list[Fill]:
    pairs = packaged_pairs()
    pair = pairs["btc_usdt"]
    readings = {"queue": Queue, "optimistic": Optimistic, "pessimistic": Pessimistic}
    setup = AccountSetup({"usdt": 10**16, "btc": 10**12}, FixedFees({"maker": "0.001", "taker": "0.002"}))
    kernel = Kernel(pairs=pairs, accounts={"a": setup}, queue=readings[reading](), latency=Constant({}), limits=None)
    for chunk in BitoProFrames().read(FRAMES, pairs, {"trades": "single", "pair": "btc_usdt"}):
        kernel.load(chunk)
    rows = frames()
    start, end = next(at for at, kind, _ in rows if kind == "ORDER_BOOK"), rows[-1][0]
    client_id = 0
    for number, ms in enumerate(range(start, end, EVERY_MS)):
        now = ms * 10**6
        kernel.advance(now)
        book = kernel.book(pair, 100, own=False)
        rules = pair.rules
        bids = [(rules.exact_price(t), rules.exact_amount(a)) for t, a in book.bid_levels]
        asks = [(rules.exact_price(t), rules.exact_amount(a)) for t, a in book.ask_levels]
        for row in kernel.orders("a"):
            if row.state in (OrderState.OPEN, OrderState.PARTLY_FILLED):
                client_id += 1
                kernel.submit("a", CancelOrder(id=client_id, pair=pair, order_id=row.order_id), now)
        for side, price in zip((Side.BUY, Side.SELL), quote(number, bids, asks), strict=True):
            client_id += 1
            new = OrderSpec(
                client_id=client_id,
                pair=pair,
                side=side,
                type=OrderType.LIMIT,
                price_ticks=int(price * 100),
                amount_lots=int(AMOUNT * 10**8),
                post_only=True,
            )
            kernel.submit("a", CreateOrder(id=client_id, order=new, timestamp=now), now)
    kernel.advance(end * 10**6 + 1)
    kernel.check()
    assert all(trade.is_maker for trade in kernel.trades("a"))
    return [
        (t.time // 10**6, t.side.value, pair.rules.exact_price(t.price_ticks), pair.rules.exact_amount(t.lots))
        for t in kernel.trades("a")
    ]


@pytest.mark.parametrize("reading", ["queue", "optimistic", "pessimistic"])
def test_an_independent_derivation_from_the_frames_yields_identical_fills(reading: str) -> None:
    mine, theirs = derived(reading), simulated(reading)
    assert len(mine) > 20
    assert theirs == mine
