"""A complete bot with shared windows: its orders use leased slots, and it leaves no lease behind."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from botkit.assembly.live_parts import LiveParts, make_parts
from botkit.config.simulated import FeesConfig
from botkit.emulator.options import DEFAULT_ACCOUNT
from botkit.errors import ConfigError
from botkit.exchange.bitopro import sign
from botkit.live.clock import SteadyClock
from botkit.live.limits.broker_client import BrokerLink
from botkit.live.limits.leases import SharedLimits
from botkit.live.limits.protocol import AskUsage, LedgerReply, LedgerUnreachable, Link, Message
from botkit.live.limits.sharing import ledger_link, shared_limits
from botkit.live.notices import Notices
from botkit.live.start_refused import StartRefused
from botkit.live.starting import start
from botkit.live.state_folder import StateFolder
from botkit.project.connect import connect
from botkit.project.project import Project
from tests.live.world import CONFIG, World, far_buy, make_world, puppet, settled, until

pytestmark = pytest.mark.virtual_time


def sharing_parts(world: World, link: Link) -> LiveParts:
    project = Project.load(world.config)
    clock = world.emulator.clock
    return make_parts(
        project,
        "emulator",
        adapter=connect(project, DEFAULT_ACCOUNT, world.emulator.rest, world.emulator.ws, clock, random=Random(0)),
        clock=clock,
        folder=StateFolder(world.folder / "state"),
        fees=FeesConfig(),
        latest_accept_s=2,
        ledger=link,
    )


async def creates_held(link: Link) -> int:
    rows: Any = (await link.call(AskUsage())).usage
    # an order is sent individually, or in a batch if the process has no slot for a single order at that moment
    ways = ("bitopro|ip=shared|create_order|1200/60s", "bitopro|ip=shared|create_batch|90/60s")
    return sum(row.held for row in rows if row.key in ways)


@pytest.mark.real_time  # real time, because the broker is a process behind a socket
async def test_a_bots_orders_use_slots_of_the_shared_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign, "_nonces", sign._LastNonces())
    folder = tmp_path / "b"
    async with make_world(tmp_path, speed=1.0) as world:
        bot = await start(sharing_parts(world, BrokerLink(folder)), Notices())
        watcher = BrokerLink(folder)
        try:
            await until(lambda: puppet(bot).last_price("btc_usdt") is not None)
            for _ in range(5):
                await settled(far_buy(bot))
            arrived = len(world.exchange_orders())  # on a slow machine, an order may expire before it is sent
            assert arrived
            assert await creates_held(watcher) >= arrived
        finally:
            await bot.close()
        held = await creates_held(watcher)
        await watcher.close()
        assert held == arrived  # the slots are cooling down, and none is still leased


class DeadLink:
    """A link to a nonexistent ledger."""

    name = "the ledger at redis://nowhere"

    async def call(self, message: Message) -> LedgerReply:
        raise LedgerUnreachable("connection refused")

    async def close(self) -> None:
        pass


async def test_a_bot_that_cannot_reach_its_ledger_does_not_start_and_the_error_suggests_a_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign, "_nonces", sign._LastNonces())
    patient = SharedLimits.start
    monkeypatch.setattr(SharedLimits, "start", lambda self: patient(self, patience_s=0.05))
    async with make_world(tmp_path, speed=1.0) as world:
        with pytest.raises(StartRefused, match=r"redis://nowhere cannot be reached .*ledger: none"):
            await start(sharing_parts(world, DeadLink()), Notices())


def test_an_unknown_ledger_raises_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="redis://HOST:PORT/0"):
        ledger_link("memcached://here")


def test_ledger_none_disables_shared_limits(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "puppet.py").write_text(_PUPPET)
    path = tmp_path / "alone.yaml"
    path.write_text(CONFIG + "limits: {ledger: none}\n")
    project = Project.load(path)
    options: dict[str, Any] = {"venue": "v", "account": "a", "clock": SteadyClock(), "latest_accept_ns": 1}
    assert shared_limits(project.facts.limits, project.config.limits.ledger, **options) is None


_PUPPET = """
from botkit import Pair, Strategy, hookimpl


class Puppet(Strategy):
    pair: Pair


@hookimpl
def botkit_register_strategies(register):
    register("puppet", Puppet)
"""
