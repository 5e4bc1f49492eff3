"""The ledger of request slots is a plain value, and it makes identical decisions wherever it is stored."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from botkit.live.limits.ledger import UNKNOWN_RETRY, SlotLedger
from botkit.live.limits.protocol import (
    AskUsage,
    Join,
    Leave,
    LedgerReply,
    Message,
    Report,
    SharedPool,
    SharedWindow,
    Sync,
)
from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos

START: Nanos = 1_700_000_000 * NS_PER_S


def pools(account: str, late: Nanos) -> tuple[SharedPool, ...]:
    """Return pools whose windows fill up quickly. The last pool has two windows of different lengths."""
    return (
        SharedPool(
            "create", late, 2, (SharedWindow("ip|create|20/2", 20, 2), SharedWindow(f"{account}|create|20/2", 20, 2))
        ),
        SharedPool("read", late, 1, (SharedWindow("ip|read|4/1", 4, 1),)),
        SharedPool("both", late, 0, (SharedWindow("ip|both|5/1", 5, 1), SharedWindow("ip|both|30/3", 30, 3))),
    )


class Model:
    """A process that tracks its own leases, so that its messages are consistent."""

    def __init__(self, name: str, random: Random) -> None:
        self.name, self._random = name, random
        self.pools = pools(random.choice(["one", "two"]), 2 * NS_PER_S)
        self.leased = [0] * len(self.pools)
        self.number = self._next_key = 0
        self.keys: list[tuple[int, int]] = []

    def message(self) -> Sync:
        random = self._random
        reports = []
        for pool, leased in enumerate(self.leased):
            if random.random() < 0.4:
                continue
            ends = [random.choice(["unused", "answered", "answered", "late"]) for _ in range(random.randint(0, leased))]
            arrivals = [(0, 0)] * ends.count("answered")
            arrivals += [(self._key(pool), random.randint(0, 3_000) * NS_PER_MS) for end in ends if end == "late"]
            if random.random() < 0.03:
                arrivals.append((self._key(pool), random.randint(0, 500) * NS_PER_MS))
            known = [key for place, key in self.keys if place == pool]
            if known and random.random() < 0.3:
                arrivals.append((random.choice(known), random.randint(-500, 100) * NS_PER_MS))
            self.leased[pool] -= len(ends)
            reports.append(
                Report(
                    pool=pool,
                    returned=len(ends),
                    arrivals=tuple(arrivals),
                    lower=random.random() < 0.03,
                    wanted=random.choice([0, 1, 1, 3]),
                    wanted_urgently=random.choice([0, 0, 0, 2]),
                )
            )
        self.number += 1
        return Sync(self.name, self.number, tuple(reports))

    def _key(self, pool: int) -> int:
        self._next_key += 1
        self.keys.append((pool, self._next_key))
        return self._next_key

    def take_in(self, reply: LedgerReply) -> None:
        for pool, count in reply.granted:
            self.leased[pool] += count


@pytest.mark.parametrize("seed", range(8))
def test_a_ledger_serialized_between_messages_gives_identical_responses(seed: int) -> None:
    random = Random(seed)
    kept, stored = SlotLedger("any"), msgspec.msgpack.encode(SlotLedger("any"))
    now = START

    def both(message: Message) -> LedgerReply:
        nonlocal stored
        ledger = msgspec.msgpack.decode(stored, type=SlotLedger)
        reply = kept.apply(message, now)
        assert ledger.apply(message, now) == reply, (now, message)
        assert ledger == kept
        stored = msgspec.msgpack.encode(ledger)
        return reply

    processes = [Model(f"p{n}", random) for n in range(3)]
    for process in processes:
        both(Join(process.name, "", process.pools))
    granted = 0
    for _ in range(250):
        now += random.choice([1_000, NS_PER_MS, 20 * NS_PER_MS, 20 * NS_PER_MS, 100 * NS_PER_MS, 700 * NS_PER_MS])
        process = random.choice(processes)
        deed = random.random()
        if deed < 0.03:
            known = {
                pool.name: tuple(random.randint(-700, 900) * NS_PER_MS for _ in range(3)) for pool in process.pools
            }
            both(Leave(process.name, random.choice([None, known])))
            processes[processes.index(process)] = fresh = Model(f"{process.name}x", random)
            both(Join(fresh.name, "another" if deed < 0.003 else "", fresh.pools))
        elif deed < 0.1:
            both(AskUsage())
        else:
            reply = both(process.message())
            if reply.status == "unknown holder":  # the process was silent for too long and was dropped
                processes[processes.index(process)] = fresh = Model(f"{process.name}x", random)
                both(Join(fresh.name, reply.ledger, fresh.pools))
            else:
                process.take_in(reply)
                granted += sum(count for _, count in reply.granted)
    assert granted > 100


LARGE = SharedPool("create", 900 * NS_PER_S, 0, (SharedWindow("create", 1200, 60),))


@pytest.mark.parametrize("seed", range(8))
def test_a_process_that_changes_its_name_keeps_all_that_it_holds(seed: int) -> None:
    random = Random(seed)
    plain, renaming, now = SlotLedger("any"), SlotLedger("any"), START
    processes, names = [Model(name, random) for name in ("a", "b", "c")], {"a": "a", "b": "b", "c": "c"}
    for process in processes:
        for ledger in (plain, renaming):
            ledger.apply(Join(process.name, "", process.pools), now)
    for step in range(400):
        now += random.randint(0, 120) * NS_PER_MS
        process = random.choice(processes)
        if random.random() < 0.2:
            rename = Join(f"{process.name}#{step}", "any", process.pools, names[process.name])
            for _ in range(random.choice([1, 2])):  # the reply may be lost
                assert renaming.apply(rename, now).status == "ok"
            plain.apply(Sync(process.name, process.number), now)  # a sign of life, as the other message is
            names[process.name] = rename.holder
        message = process.message()
        reply = plain.apply(message, now)
        assert renaming.apply(msgspec.structs.replace(message, holder=names[process.name]), now) == reply
        process.take_in(reply)
    assert renaming.apply(Sync("a", 10_000), now).status == "unknown holder"
    assert renaming.apply(Join("x#2", "any", (), "x"), now).status == "unknown holder"


def wanted(ledger: SlotLedger, number: int, count: int, now: Nanos) -> LedgerReply:
    return ledger.apply(Sync("a", number, (Report(pool=0, wanted_urgently=count),)), now)


def test_unanswered_requests_use_at_most_half_of_a_large_window() -> None:
    ledger = SlotLedger("any")
    ledger.apply(Join("a", "", (LARGE,)), START)
    assert wanted(ledger, 1, 1000, START).granted == ((0, 600),)
    more = wanted(ledger, 2, 1000, START)
    assert (more.granted, more.retry) == ((), ((0, UNKNOWN_RETRY),))
    answered = Report(pool=0, returned=100, arrivals=((0, 0),) * 100, wanted_urgently=1000)
    assert ledger.apply(Sync("a", 3, (answered,)), START).granted == ((0, 100),)


def test_a_lost_ledger_initially_opens_half_of_a_large_window_and_the_rest_once_nothing_can_arrive() -> None:
    ledger = SlotLedger("any")
    ledger.lose(START)
    ledger.apply(Join("a", "", (LARGE,)), START)
    ((_, wait),) = wanted(ledger, 1, 1, START).closed
    assert 60 * NS_PER_S < wait < 61 * NS_PER_S

    def room(now: Nanos) -> int:
        return ledger.windows["create"].free(now)

    assert room(START + wait - 1) == 0
    assert room(START + wait) == 600
    assert room(START + wait + 900 * NS_PER_S - 1) == 600
    assert room(START + wait + 900 * NS_PER_S) == 1200


def test_unused_windows_are_dropped() -> None:
    ledger = SlotLedger("any")
    ledger.apply(Join("a", "", (LARGE,)), START)
    wanted(ledger, 1, 1, START)
    ledger.apply(Leave("a"), START)
    ledger.apply(Join("b", "", ()), START + 900 * NS_PER_S)
    assert "create" in ledger.windows
    ledger.apply(Join("b", "", ()), START + 961 * NS_PER_S)
    assert ledger.windows == {}
