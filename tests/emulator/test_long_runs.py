"""In a long run, orders use bounded memory, and listings still include orders that have been evicted from memory."""

from __future__ import annotations

import asyncio
import gc
import random
import sqlite3
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from botkit.assembly.emulator import emulator_options, make_emulator
from botkit.emulator import past
from botkit.emulator.faults import Faults
from botkit.emulator.server import Emulator
from botkit.emulator.sockets import QUEUE_BYTES_MAX, Socket
from botkit.model.clock import NS_PER_S
from tests.emulator.raw import EMAIL, Raw

pytestmark = pytest.mark.virtual_time

START = 1_750_000_000 * NS_PER_S
PAIRS = ("btc_twd", "eth_twd")
STOP = {"stopPrice": "9000000", "condition": ">="}


class FixedRaw(Raw):
    """A client that takes its nonces from the emulator's clock, so that two runs sign identical nonces."""

    emulator: Emulator

    def now_ms(self) -> int:  # type: ignore[override]
        return self.emulator.clock.now() // 1_000_000


async def history(orders: int, seed: int) -> list[Any]:
    """Place random orders on one emulator, and return all of its responses about these orders, during and after the
    run.
    """
    options = emulator_options(
        lockstep=True,
        start=START,
        seed=3,
        history_days=0.02,
        balance="twd=1000000000,btc=1000,eth=1000,bito=100",
        switches=["rate_limits=off"],
    )
    dice, said, made = random.Random(seed), [], []
    async with make_emulator(options) as emulator, aiohttp.ClientSession() as session:
        raw = FixedRaw(emulator.rest, session)
        raw.emulator = emulator

        async def asked(request: Any) -> Any:
            running = asyncio.ensure_future(request)
            await emulator.step(emulator.clock.now() + NS_PER_S, requests=emulator.received + 1, whole=True)
            return await running

        async def all_of(pair: str) -> None:
            for query in (
                {},
                {"limit": 1000},
                {"limit": 7, "statusKind": "DONE"},
                {"clientId": dice.choice(made)[2]},
                {"orderId": dice.choice(made)[1], "limit": 5},
                {"startTimestamp": START // 10**6, "endTimestamp": START // 10**6 + dice.randrange(400_000)},
            ):
                said.append(await asked(raw.get(f"/orders/all/{pair}", private=True, **query)))
            for query in ({"limit": 1000}, {"limit": 3}, {"orderId": dice.choice(made)[1]}):
                said.append(await asked(raw.get(f"/orders/trades/{pair}", private=True, **query)))

        for number in range(1, orders + 1):
            pair, action = dice.choice(PAIRS), dice.choice(("BUY", "SELL"))
            low, high = ("1000000", "9000000") if pair == "btc_twd" else ("40000", "400000")
            shape = dice.choice(
                (
                    {"type": "LIMIT", "price": low if action == "BUY" else high, "amount": "0.001"},
                    {"type": "LIMIT", "price": high if action == "BUY" else low, "amount": "0.01"},
                    {"type": "MARKET", "amount": "2000" if action == "BUY" else "0.002"},
                    {"type": "STOP_LIMIT", "price": high, "amount": "0.002", **STOP},
                )
            )
            status, found = await asked(raw.create(pair, action=action, clientId=number // 2 + 1, **shape))
            assert status == 200, found
            made.append((pair, str(found["orderId"]), number // 2 + 1))
            if dice.random() < 0.5:
                where, order_id, _ = made[dice.randrange(len(made))]
                said.append(await asked(raw.delete(f"/orders/{where}/{order_id}")))
            if number % 50 == 0:
                await all_of(dice.choice(PAIRS))
        for where, order_id, _ in made:
            said.append(await asked(raw.get(f"/orders/{where}/{order_id}", private=True)))
        for pair in PAIRS:
            await all_of(pair)
        account = emulator.venue.kernel.account(EMAIL)
        said.append(emulator.venue.kernel.orders(EMAIL))
        said.append([order.report() for order in account.orders.closed_since(START, 40)])
        said.append(
            (len(account.orders), account.trades.total, [order_id in account.orders for _, order_id, _ in made])
        )
        emulator.venue.kernel.check()
        said.append(account.orders.in_memory)  # type: ignore[attr-defined]
    return said


class Slow:
    """A connection whose client never reads."""

    aborted = 0

    def abort(self) -> None:
        self.aborted += 1


def test_a_client_that_never_reads_is_disconnected_before_its_queued_frames_exhaust_memory() -> None:
    connection = Slow()
    asked = SimpleNamespace(transport=connection)
    socket = Socket(None, asked, "order_book", Faults(1), lambda: 0, "documented")  # type: ignore[arg-type]
    frame = b"x" * 10_000
    pushed = 0
    while pushed < 5_000:
        pushed += 1
        socket.push(frame)
        if connection.aborted:
            break
    assert pushed * len(frame) <= QUEUE_BYTES_MAX + len(frame)
    assert len(socket._queue) == 0
    alone = Socket(None, asked, "order_book", Faults(1), lambda: 0, "documented")  # type: ignore[arg-type]
    alone.push(b"x" * (QUEUE_BYTES_MAX + 1))
    assert connection.aborted == 1, "one frame, however large, is sent"


async def test_orders_evicted_from_memory_can_still_be_found_like_any_other_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = await history(260, 1)
    monkeypatch.setattr(past, "SPILL_AT", 40)
    monkeypatch.setattr(past, "SPILL_TO", 20)
    monkeypatch.setattr(past, "_RESTS", 5 * NS_PER_S)
    spilt = await history(260, 1)
    assert whole[-1] == 260
    assert spilt[-1] < 150, "most are open, so they stay"
    for one, other in zip(whole[:-1], spilt[:-1], strict=True):
        assert one == other


def test_the_file_of_evicted_orders_is_created_when_needed_and_closed_with_its_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[sqlite3.Connection] = []

    def connect(*given: Any, **options: Any) -> sqlite3.Connection:
        opened.append(sqlite3.connect(*given, **options))
        return opened[-1]

    monkeypatch.setattr(past, "sqlite3", SimpleNamespace(connect=connect, Connection=sqlite3.Connection))
    account = make_emulator(emulator_options()).venue.kernel.account(EMAIL)
    assert account.orders.get("1") is None
    assert opened == [], "nothing has left memory"
    rows = past.AccountPast(account)
    assert rows.order("1") is None
    del account, rows
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")
