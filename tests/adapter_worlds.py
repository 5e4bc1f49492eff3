"""The exchanges that the adapter test cases run against: BitoPro's emulator over real sockets, paper trading on the
emulator's market, and a toy exchange.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import numpy as np

from botkit.emulator import Emulator, EmulatorAccount, EmulatorOptions
from botkit.exchange.bitopro import BitoProClient
from botkit.exchange.bitopro.adapter import BitoProAdapter
from botkit.exchange.bitopro.facts import BitoPro, packaged_pairs
from botkit.exchange.bitopro.stream import StreamTimes
from botkit.exchange.paper import PaperAdapter
from botkit.live.clock import SteadyClock
from botkit.model.adapter import Adapter
from botkit.model.clock import NS_PER_MS, NS_PER_S, Clock, Nanos
from botkit.model.columns import BookColumns, TradeColumns
from botkit.model.money import UNIT
from botkit.model.pairs import Pair
from botkit.sim.account_setup import AccountSetup
from botkit.sim.fees import FixedFees
from botkit.sim.fills import Queue
from botkit.sim.kernel import Kernel
from botkit.sim.latency import Constant
from botkit.tape.writer import TapeWriter
from tests.toy_exchange import PAIR as GOLD
from tests.toy_exchange import ToyAdapter, ToyVenue

PAIR = packaged_pairs()["btc_usdt"]
START: Nanos = 1_790_000_000 * NS_PER_S
RICH = {"usdt": 10**6 * UNIT, "btc": 100 * UNIT}
BOT, BUYER, SELLER = (
    EmulatorAccount(email=f"{name}@botkit.local", key=f"{name}-key", secret=f"{name}-secret", balances=RICH)
    for name in ("bot", "buyer", "seller")
)
QUICK = StreamTimes(backoff_first_s=0.02, backoff_max_s=0.05)


class Ahead:
    """A misconfigured clock that runs ahead of another clock by a fixed offset."""

    def __init__(self, clock: Clock, ahead_ms: int) -> None:
        self._clock = clock
        self._ahead: Nanos = ahead_ms * NS_PER_MS

    def now(self) -> Nanos:
        return self._clock.now() + self._ahead


def standing_market(folder: Path) -> Path:
    """Return a tape with one book and one trade, after which the market does not change. The spread leaves room for
    orders between the best bid and the best ask.
    """

    def column(value: int) -> np.ndarray:
        return np.array([value], dtype=np.int64)

    def levels(ticks: int) -> tuple[np.ndarray, np.ndarray]:
        return np.array([[ticks]], dtype=np.int64), np.array([[UNIT]], dtype=np.int64)

    with TapeWriter(folder, source="test", recorded="by hand", synthetic=True) as writer:
        writer.write(BookColumns(PAIR, column(START), column(START), *levels(90_000_00), *levels(110_000_00)))
        writer.write(
            TradeColumns(
                PAIR, column(START), column(START), column(100_000_00), column(UNIT), np.array([1], dtype=np.int8)
            )
        )
    return folder


class EmulatorWorld:
    """The emulator account under test, plus two other accounts that trade with it or with each other."""

    pair: Pair = PAIR
    price_ticks = 100_000_00
    lots = 4_000_000

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self._others = {account.email: self._client(account) for account in (BUYER, SELLER)}
        self._counted = 0

    def _client(self, account: EmulatorAccount, ahead_ms: int = 0) -> BitoProClient:
        return BitoProClient(
            account.email,
            account.key,
            account.secret,
            rest_url=self.emulator.rest,
            ws_url=self.emulator.ws,
            clock=Ahead(self.emulator.clock, ahead_ms),
            stream_times=QUICK,
        )

    def now(self) -> Nanos:
        return self.emulator.clock.now()

    def adapter(self, *, clock_ahead_ms: int = 0) -> Adapter:
        return BitoProAdapter(self._client(BOT, clock_ahead_ms), {str(PAIR): PAIR})

    async def trade(self, lots: int) -> None:
        await self.order(SELLER, "SELL", lots)

    async def order(self, account: EmulatorAccount, action: Literal["BUY", "SELL"], lots: int) -> None:
        self._counted += 1
        client, rules = self._others[account.email], PAIR.rules
        price, amount = rules.price_text(self.price_ticks), rules.amount_text(lots)
        async with client:
            await client.create_order(PAIR, action, "LIMIT", price=price, amount=amount, client_id=self._counted)

    async def lose_next_answer(self) -> bool:
        self.emulator.add_fault({"kind": "reset_after", "where": "create_order", "count": 1})
        return True

    async def cut(self) -> None:
        self.emulator.cut_sockets()


class PaperWorld(EmulatorWorld):
    """The emulator's market, with the account's orders placed on a separate simulated exchange."""

    def adapter(self, *, clock_ahead_ms: int = 0) -> Adapter:
        clock = Ahead(self.emulator.clock, clock_ahead_ms)
        client = BitoProClient(rest_url=self.emulator.rest, ws_url=self.emulator.ws, clock=clock, stream_times=QUICK)
        kernel = Kernel(
            pairs={str(PAIR): PAIR},
            accounts={"bot": AccountSetup(dict(RICH), FixedFees({"maker": "0.001", "taker": "0.002"}))},
            queue=Queue(),
            latency=Constant({}),
            limits=None,
        )
        return PaperAdapter(BitoProAdapter(client, {str(PAIR): PAIR}), kernel, clock, account="bot")

    async def trade(self, lots: int) -> None:
        await self.order(BUYER, "BUY", lots)
        await self.order(SELLER, "SELL", lots)

    async def lose_next_answer(self) -> bool:
        return False


class ToyWorld:
    """The toy exchange, with every component that an adapter author has to write."""

    pair: Pair = GOLD
    price_ticks = 100_00
    lots = 4_000_000

    def __init__(self, make: Callable[[ToyVenue, Clock], Adapter] = ToyAdapter) -> None:
        self.clock = SteadyClock()
        self.venue = ToyVenue(self.clock.now)
        self._make = make

    def now(self) -> Nanos:
        return self.clock.now()

    def adapter(self, *, clock_ahead_ms: int = 0) -> Adapter:
        return self._make(self.venue, Ahead(self.clock, clock_ahead_ms))

    async def trade(self, lots: int) -> None:
        self.venue.sell(self.price_ticks, lots)

    async def lose_next_answer(self) -> bool:
        self.venue.loses_next_create = True
        return True

    async def cut(self) -> None:
        for connection in self.venue.connections:
            connection.reconnect()


@asynccontextmanager
async def toy_world(make: Callable[[ToyVenue, Clock], Adapter] = ToyAdapter) -> AsyncIterator[ToyWorld]:
    yield ToyWorld(make)


@asynccontextmanager
async def emulator_world(make: Callable[[Emulator], EmulatorWorld] = EmulatorWorld) -> AsyncIterator[EmulatorWorld]:
    with tempfile.TemporaryDirectory() as folder:
        options = EmulatorOptions(accounts=(BOT, BUYER, SELLER), market=standing_market(Path(folder) / "tape"))
        async with Emulator(BitoPro().facts({}), options) as emulator:
            yield make(emulator)
