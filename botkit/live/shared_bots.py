"""Keeps the resources that the bots of one process share: connections, clocks and ledgers of request slots."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from botkit.live.clock import DriverClock, SteadyClock
from botkit.live.fan_out import FanOut
from botkit.live.limits.in_process import InProcessLedger
from botkit.live.limits.sharing import ALONE
from botkit.live.machine import this_machine
from botkit.live.ports import Machine
from botkit.model.adapter import Adapter


class SharedBots:
    """Resources that the bots of one process share. A single bot does not use them."""

    def __init__(self, size: int, machine: Machine | None = None) -> None:
        self.is_alone = size == 1
        self.machine = machine or this_machine()
        #: one clock per exchange, so that the windows of all bots use the same clock
        self.clocks: dict[str, DriverClock] = {}
        self._ledgers: dict[str, InProcessLedger] = {}
        self._accounts: dict[object, FanOut] = {}
        self._markets: dict[object, FanOut] = {}

    def clock(self, venue: str) -> DriverClock:
        """Return the clock used by all bots that trade on an exchange."""
        return self.clocks.setdefault(venue, SteadyClock.of(self.machine.clock))

    def adapter(self, make: Callable[[], Adapter], market: Hashable, account: str) -> Adapter:
        """Return an adapter created by ``make``, or a seat on an adapter that another bot already uses for this market
        and account.
        """
        if self.is_alone:
            return make()
        way = self._accounts.get((market, account))
        if way is None:
            way = self._accounts[market, account] = FanOut(make())
        return way.seat(self._markets.setdefault(market, way))

    def ledger(self, venue: str, clock: DriverClock) -> str | InProcessLedger:
        """Return the ledger for this process's bots on an exchange. No other process uses that ledger."""
        if self.is_alone:
            return ALONE
        return self._ledgers.setdefault(venue, InProcessLedger(clock, self.machine.random))
