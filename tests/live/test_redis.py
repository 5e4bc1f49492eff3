"""The ledger inside Redis: it decides as the one in Python does, and survives what a server may go through."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest

from botkit.errors import ConfigError
from botkit.live.shared_limits.ledger import (
    AskUsage,
    Join,
    Leave,
    Ledger,
    Message,
    Reply,
    Report,
    SharedPool,
    SharedWindow,
    Sync,
)
from botkit.live.shared_limits.slots import LedgerUnreachable
from botkit.model.clock import NS_PER_US
from tests.benchmarks.limits_judge import limits_for, redis_server, trial, used

pytest.importorskip("redis", reason="the extra botkit[redis] is not installed")
from botkit.live.shared_limits.ledger_redis import RedisLink

needs_server = pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server here")
START_US = 1_700_000_000_000_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis"), free_port()) as url:
        yield url


def pools(random: Random) -> tuple[SharedPool, ...]:
    """Pools of windows that fill quickly; the second has two windows of different sizes."""
    account = random.choice(["one", "two"])
    return (
        SharedPool(
            "create",
            2_000_000,
            2,
            (
                SharedWindow("ip|create|20/2", 20, 2, 2_002_000),
                SharedWindow(f"{account}|create|20/2", 20, 2, 2_002_000),
            ),
        ),
        SharedPool("read", 1_000_000, 1, (SharedWindow("ip|read|4/1", 4, 1, 1_002_000),)),
        SharedPool(
            "both",
            3_000_000,
            0,
            (SharedWindow("ip|both|5/1", 5, 1, 1_002_000), SharedWindow("ip|both|30/3", 30, 3, 3_002_000)),
        ),
    )


class Model:
    """A process that keeps count of its leases, so that its messages make sense."""

    def __init__(self, name: str, random: Random) -> None:
        self.name, self._random = name, random
        self.pools = pools(random)
        self.leased = [0] * len(self.pools)
        self.number = self._next_key = 0
        self.keys: list[tuple[int, int]] = []

    def message(self) -> Sync:
        random = self._random
        reports = []
        for pool, leased in enumerate(self.leased):
            if random.random() < 0.4:
                continue
            ends = [random.choice(["give", "cool", "cool", "late"]) for _ in range(random.randint(0, leased))]
            late = [(self._key(pool), random.randint(0, 3_000_000)) for end in ends if end == "late"]
            occupied = [(self._key(pool), random.randint(0, 500_000))] if random.random() < 0.03 else []
            known = [key for place, key in self.keys if place == pool]
            shortened = [(random.choice(known), random.randint(-500_000, 100_000))] if known else []
            self.leased[pool] -= len(ends)
            reports.append(
                Report(
                    pool=pool,
                    given_back=ends.count("give"),
                    cooled=(0,) * ends.count("cool"),
                    late=tuple(late),
                    occupied=tuple(occupied),
                    shortened=tuple(shortened) if random.random() < 0.3 else (),
                    lower=random.random() < 0.03,
                    wanted=random.choice([0, 1, 1, 3]),
                    wanted_urgently=random.choice([0, 0, 0, 2]),
                )
            )
        self.number += 1
        return Sync(self.name, self.number, tuple(reports), jumped=random.random() < 0.01)

    def _key(self, pool: int) -> int:
        self._next_key += 1
        self.keys.append((pool, self._next_key))
        return self._next_key

    def heard(self, reply: Reply) -> None:
        for pool, count in reply.granted:
            self.leased[pool] += count


def comparable(reply: Reply) -> Reply:
    """Without the name, the order of windows, and the times of paces, counted in microseconds there and in ns here."""
    usage = tuple(sorted(reply.usage, key=lambda window: window.key))
    retry = tuple((pool, 0) for pool, _ in reply.retry)
    return msgspec.structs.replace(reply, ledger="", usage=usage, retry=retry)


@needs_server
@pytest.mark.parametrize("seed", range(8))
async def test_it_answers_as_the_ledger_in_python_does(url: str, seed: int) -> None:
    random = Random(seed)
    link = RedisLink(url, prefix=f"{{test{seed}}}")
    ledger = Ledger("any")
    now = START_US
    ledger.block(now * NS_PER_US)  # a new ledger in Redis opens after one window

    async def both(message: Message) -> Reply:
        theirs = await link.call(message, now_us=now)
        ours = ledger.apply(message, now * NS_PER_US)
        near = [abs(a - b) <= 100 for (_, a), (_, b) in zip(theirs.retry, ours.retry, strict=True)]
        assert all(near), (theirs, ours)
        assert comparable(theirs) == comparable(ours), (now, message)
        return ours

    processes = [Model(f"p{n}", random) for n in range(3)]
    for process in processes:
        await both(Join(process.name, "", process.pools))
    granted = 0
    for _ in range(250):
        now += random.choice([1, 1000, 20_000, 20_000, 100_000, 700_000])
        process = random.choice(processes)
        deed = random.random()
        if deed < 0.03:
            known = {pool.name: tuple(random.randint(-700_000, 900_000) for _ in range(3)) for pool in process.pools}
            await both(Leave(process.name, random.choice([None, known])))
            processes[processes.index(process)] = fresh = Model(f"{process.name}x", random)
            await both(Join(fresh.name, random.choice(["", "another"]) if deed < 0.003 else "", fresh.pools))
        elif deed < 0.1:
            await both(AskUsage())
        else:
            reply = await both(process.message())
            process.heard(reply)
            granted += sum(count for _, count in reply.granted)
    assert granted > 100
    await link.close()


@needs_server
async def test_a_message_that_is_sent_twice_is_applied_once(url: str) -> None:
    link = RedisLink(url, prefix="{twice}")
    spec = pools(Random(1))
    await link.call(Join("a", "", spec), now_us=START_US)
    message = Sync("a", 1, (Report(pool=0, wanted=3),))
    once = await link.call(message, now_us=START_US + 5_000_000)
    assert once.granted == ((0, 3),)
    assert await link.call(message, now_us=START_US + 6_000_000) == once
    await link.close()


@needs_server
async def test_a_clock_that_is_set_back_frees_nothing_early(url: str) -> None:
    link = RedisLink(url, prefix="{back}")
    await link.call(Join("a", "", pools(Random(1))), now_us=START_US)
    at = START_US + 5_000_000
    await link.call(Sync("a", 1, (Report(pool=1, wanted_urgently=4),)), now_us=at)
    await link.call(Sync("a", 2, (Report(pool=1, cooled=(0, 0, 0, 0)),)), now_us=at)
    reply = await link.call(Sync("a", 3, (Report(pool=1, wanted_urgently=1),)), now_us=at - 3_600_000_000)
    assert (reply.granted, reply.time_us) == ((), at)
    await link.close()


@needs_server
async def test_a_server_that_was_restarted_opens_no_window_before_it_has_run_full(tmp_path: Path) -> None:
    port = free_port()
    spec = pools(Random(1))
    with redis_server(tmp_path, port) as url:
        link = RedisLink(url)
        await link.call(Join("a", "", spec))
        await asyncio.sleep(2.1)
        first = await link.call(Sync("a", 1, (Report(pool=0, wanted=1),)))
        assert first.granted == ((0, 1),)
        subprocess.run(["redis-cli", "-p", str(port), "save"], check=True, capture_output=True)
    with redis_server(tmp_path, port):
        with pytest.raises(LedgerUnreachable):
            await link.call(AskUsage())
        # the snapshot that it has read may be old: holders join anew, and every window passes once
        assert (await link.call(Sync("a", 2, (Report(pool=0, wanted=1),)))).status == "unknown holder"
        await link.call(Join("a2", first.ledger, spec))
        reply = await link.call(Sync("a2", 1, (Report(pool=0, wanted=1),)))
        assert reply.granted == ()
        assert 2_000_000 < reply.blocked_us <= 3_002_000  # the longest window of all
    await link.close()


@needs_server
def test_three_processes_share_by_redis(tmp_path: Path) -> None:
    with trial(limits_for(4)) as judged, redis_server(tmp_path, free_port()) as url:
        for _ in range(3):
            judged.send("--ledger", url, "--seconds", "9", "--creates", "800", "--refill")
        verdict, told = judged.verdict()
    assert len(told) == 3
    assert verdict["violations"] == 0, verdict
    assert used(verdict, "create_order") >= 85, verdict


async def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    link = RedisLink("redis://user:secret@127.0.0.1:1/0")
    with pytest.raises(LedgerUnreachable):
        await link.call(AskUsage())
    assert link.name == "the ledger at redis://127.0.0.1:1/0"
    await link.close()


def test_another_scheme_is_refused() -> None:
    with pytest.raises(ConfigError, match="redis://HOST:PORT/0"):
        RedisLink("memcached://x")
