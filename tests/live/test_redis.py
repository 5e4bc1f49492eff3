"""Tests the ledger on a Redis server: several processes share one value, and the server may fail in various ways."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest

from botkit.errors import ConfigError
from botkit.live.clock import SteadyClock
from botkit.live.limits.protocol import AskUsage, Join, LedgerUnreachable, Report, Sync
from botkit.model.clock import NS_PER_HOUR, NS_PER_S
from tests.benchmarks.limits_judge import limits_for, redis_server, trial
from tests.live.test_ledger import pools

pytest.importorskip("redis", reason="the extra botkit[redis] is not installed")
import redis

from botkit.live.limits.redis import KeptValue, RedisLink

needs_server = pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server here")
POOLS = pools("one", late=NS_PER_S // 10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis"), free_port()) as url:
        yield url


def link_to(url: str, key: str = "test") -> RedisLink:
    return RedisLink(url, SteadyClock(), Random(1), key=key)


def as_open(url: str, key: str) -> None:
    """Mark the stored ledger as open and free of earlier requests with unknown outcomes, so that tests need not wait
    for a window.
    """
    change(url, key, lambda kept: [setattr(window, "lost_at", None) for window in kept.ledger.windows.values()])


def kept_value(url: str, key: str) -> KeptValue:
    with redis.Redis.from_url(url) as client:
        return msgspec.msgpack.decode(client.get(key), type=KeptValue)


def change(url: str, key: str, how: Callable[[KeptValue], object]) -> None:
    kept = kept_value(url, key)
    how(kept)
    with redis.Redis.from_url(url) as client:
        client.set(key, msgspec.msgpack.encode(kept))


@needs_server
async def test_simultaneous_requests_never_receive_more_slots_than_exist(url: str) -> None:
    links = [link_to(url, "at once") for _ in range(8)]
    for n, link in enumerate(links):
        await link.call(Join(f"p{n}", "", POOLS))
    as_open(url, "at once")
    granted = 0
    for number in range(1, 6):
        wants = (Report(pool=0, wanted_urgently=1),)
        replies = await asyncio.gather(*(link.call(Sync(f"p{n}", number, wants)) for n, link in enumerate(links)))
        granted += sum(count for reply in replies for _, count in reply.granted)
    assert granted == 20  # all slots of the window
    usage = {row.key: row for row in (await links[0].call(AskUsage())).usage}
    assert usage["ip|create|20/2"].leased == 20
    for link in links:
        await link.close()


@needs_server
async def test_a_message_sent_twice_is_applied_once(url: str) -> None:
    link = link_to(url, "twice")
    await link.call(Join("a", "", POOLS))
    as_open(url, "twice")
    message = Sync("a", 1, (Report(pool=0, wanted=3),))
    once = await link.call(message)
    assert once.granted == ((0, 3),)
    assert await link.call(message) == once
    await link.close()


@needs_server
async def test_no_slot_is_freed_early_when_the_servers_clock_is_set_back(url: str) -> None:
    link = link_to(url, "back")
    await link.call(Join("a", "", POOLS))
    as_open(url, "back")
    await link.call(Sync("a", 1, (Report(pool=1, wanted_urgently=4),)))
    await link.call(Sync("a", 2, (Report(pool=1, returned=4, arrivals=((0, 0),) * 4),)))

    def an_hour_ahead(kept: KeptValue) -> None:
        # 1.1 s have passed since then: the window length plus the late-arrival allowance
        ahead = NS_PER_HOUR - 11 * NS_PER_S // 10
        kept.ledger.now += ahead
        for window in kept.ledger.windows.values():
            window.held = [until + ahead for until in window.held]
        kept.ledger.holders["a"].heard += ahead

    # the window elapses, but not by the server's clock, which has been set back an hour
    change(url, "back", an_hour_ahead)
    assert (await link.call(Sync("a", 3, (Report(pool=1, wanted_urgently=1),)))).granted == ()
    await link.close()


@needs_server
async def test_all_windows_close_when_the_servers_clock_is_set_forward(url: str) -> None:
    clock = SteadyClock()
    link = RedisLink(url, clock, Random(1), key="forward")
    await link.call(Join("a", "", POOLS))
    as_open(url, "forward")
    assert (await link.call(Sync("a", 1, (Report(pool=0, wanted=1),)))).granted == ((0, 1),)
    clock._offset -= 2 * NS_PER_S  # the server's clock is now ahead of ours
    reply = await link.call(Sync("a", 2, (Report(pool=0, wanted=1),)))
    assert reply.granted == ()
    assert {place for place, _ in reply.closed} == {0, 1, 2}
    await link.close()


@needs_server
async def test_after_a_server_restart_every_window_stays_closed_for_its_full_length(tmp_path: Path) -> None:
    port = free_port()
    spec = POOLS
    with redis_server(tmp_path, port) as url:
        link = link_to(url)
        await link.call(Join("a", "", spec))
        as_open(url, "test")
        first = await link.call(Sync("a", 1, (Report(pool=0, wanted=1),)))
        assert first.granted == ((0, 1),)
        subprocess.run(["redis-cli", "-p", str(port), "save"], check=True, capture_output=True)
    with redis_server(tmp_path, port):
        with pytest.raises(LedgerUnreachable):
            await link.call(AskUsage())
        # the loaded snapshot may be old, so holders must join again, and every window must elapse once
        assert (await link.call(Sync("a", 2, (Report(pool=0, wanted=1),)))).status == "unknown holder"
        await link.call(Join("a2", first.ledger, spec))
        reply = await link.call(Sync("a2", 1, (Report(pool=0, wanted=1),)))
        assert reply.granted == ()
        # from the time of the loss: each pool's longest window plus the time during which requests may still arrive
        kept = kept_value(url, "test").ledger
        [lost_at] = {window.lost_at for window in kept.windows.values()}
        assert lost_at is not None
        assert [round((kept.now + wait - lost_at) / NS_PER_S, 1) for _, wait in reply.closed] == [2.1, 1.1, 3.1]
    await link.close()


@needs_server
def test_three_processes_share_their_limits_through_redis(tmp_path: Path) -> None:
    with trial(limits_for(4)) as judged, redis_server(tmp_path, free_port()) as url:
        for _ in range(3):
            judged.send("--ledger", url, "--seconds", "600", "--creates", "800", "--refill")
        judged.until_sending()
        judged.until_busy("create_order", 85)
        judged.stop()
        verdict, told = judged.verdict()
    assert len(told) == 3
    assert verdict["violations"] == 0, verdict


async def test_the_displayed_name_of_an_unreachable_server_omits_its_password() -> None:
    link = link_to("redis://user:secret@127.0.0.1:1/0")
    with pytest.raises(LedgerUnreachable):
        await link.call(AskUsage())
    assert link.name == "the ledger at redis://127.0.0.1:1/0"
    await link.close()


def test_an_address_with_an_unsupported_scheme_is_refused() -> None:
    with pytest.raises(ConfigError, match="redis://HOST:PORT/0"):
        link_to("memcached://x")
