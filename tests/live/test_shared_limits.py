"""Processes that share windows never exceed them in total, no matter which processes die and which messages are
lost.
"""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from botkit.live.limits.leases import LEASE, Predecessor
from botkit.live.limits.ledger import DEAD_AFTER
from botkit.live.limits.protocol import AskUsage
from botkit.model.clock import NS_PER_S
from botkit.model.limits import LimitTable
from tests.live.shared_world import LATEST_ACCEPT_NS, TIMEOUT_NS, LoopClock, Process, Server, VirtualLoop, run_virtually
from tests.router_world import exceeded, table

SMALL = table(create_order=(16, 1), cancel_order=(90, 3), private=(6, 1), open_orders=(2, 1))
#: large windows; half of each opens while requests known to a lost ledger may still arrive
HALVED = table(create_order=(100, 2), cancel_order=(120, 3), private=(6, 1), open_orders=(2, 1))
#: a ledger is lost, and a process that used it then dies before joining the new ledger
LOST_AND_DEAD = [(50, "join"), (50, "join"), (50, "join"), (50, "lose ledger"), (50, "die")]


@example(seed=64, limits=SMALL, lost=0.0, unknown=0.02, heard_after_s=0.0, deeds=LOST_AND_DEAD)
@example(seed=64, limits=HALVED, lost=0.0, unknown=0.3, heard_after_s=0.0, deeds=LOST_AND_DEAD)
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    limits=st.sampled_from([SMALL, HALVED]),
    lost=st.sampled_from([0.0, 0.0, 0.05, 0.3]),
    unknown=st.sampled_from([0.0, 0.0, 0.02, 0.3]),
    heard_after_s=st.sampled_from([0.0, 0.004]),
    deeds=st.lists(
        st.tuples(
            st.integers(50, 2500),
            st.sampled_from(
                ["die", "join", "kill ledger", "back", "cut", "mend", "cancels", "creates", "lose ledger", "disown"]
            ),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_processes_combined_never_exceed_a_rate_limit(
    seed: int, limits: LimitTable, lost: float, unknown: float, heard_after_s: float, deeds: list[tuple[int, str]]
) -> None:
    arrivals: dict[str, list[int]] = {}
    random = Random(seed)

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        processes: list[Process] = []
        left_behind: list[Process] = []  # processes that have a successor

        async def join() -> None:
            name = f"p{len(processes)}"
            one = Process(
                name,
                limits,
                server,
                loop,
                arrivals,
                seed=seed,
                lost=lost,
                unknown=unknown,
                heard_after_s=heard_after_s,
            )
            dead = [p for p in processes if not p.is_alive and p not in left_behind]
            heir_of = random.choice(dead) if dead and random.random() < 0.7 else None
            left_behind.extend(dead[:0] if heir_of is None else [heir_of])
            processes.append(one)
            one.create(400)
            one.cancel(5)
            await one.start(patience_s=60, heir_of=heir_of)

        starting = [asyncio.create_task(join()) for _ in range(2)]
        for wait_ms, deed in deeds:
            await asyncio.sleep(wait_ms / 1000)
            alive = [one for one in processes if one.is_alive and one.shared._task is not None]
            one = random.choice(alive) if alive else None
            if deed == "join" and len(processes) < 4:
                starting.append(asyncio.create_task(join()))
            elif deed == "kill ledger":
                server.kill()
            elif deed == "back" and not server.is_up:
                server.come_back()
            elif deed == "lose ledger" and all(p.is_alive for p in processes):
                server.lose()
            elif one is not None:
                if deed == "die":
                    one.die()
                elif deed == "cut":
                    one.link.is_cut = True
                elif deed == "mend":
                    one.link.is_cut = False
                elif deed == "cancels":
                    one.cancel(30)
                elif deed == "creates":
                    one.create(30, reduces=random.random() < 0.3)
                elif deed == "disown":
                    one.shared.disown()
        if not server.is_up:
            server.come_back()
        await asyncio.sleep(16)
        for task in starting:
            task.cancel()

    run_virtually(main)
    assert exceeded(arrivals, limits) == []


def used_percent(arrivals: list[int], windows: int, limit: int, length: int) -> float:
    return 100 * sum(time < min(arrivals) + windows * length for time in arrivals) / (windows * limit)


@pytest.mark.parametrize("count", [2, 3])
def test_processes_combined_use_nearly_the_full_limit_and_share_it_evenly(count: int) -> None:
    limits = table(create_order=(300, 15))
    arrivals: dict[str, list[int]] = {}
    sent: list[int] = []

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        processes = [Process(f"p{n}", limits, server, loop, arrivals, seed=n) for n in range(count)]
        for one in processes:
            one.create(1000)
            await one.shared.start()
        await asyncio.sleep(31)
        sent.extend(len(one.sent) for one in processes)

    run_virtually(main)
    assert exceeded(arrivals, limits) == []
    assert used_percent(arrivals["create_order"], 2, 300, 15 * NS_PER_S) >= 97
    assert max(sent) < 1.3 * min(sent)


def test_a_light_process_is_not_delayed_by_a_greedy_one() -> None:
    limits = table(create_order=(300, 15))
    arrivals: dict[str, list[int]] = {}
    waits: list[float] = []

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        greedy, light = (Process(name, limits, server, loop, arrivals, seed=1) for name in ("greedy", "light"))
        await greedy.shared.start()
        await light.shared.start()
        greedy.create(3000)
        for _ in range(30):
            await asyncio.sleep(0.9)
            asked, before = light._venue.now(), len(light.sent)
            light.create()
            while len(light.sent) == before:
                await asyncio.sleep(0.005)
            waits.append((light.sent[-1][0] - asked) / NS_PER_S)

    run_virtually(main)
    assert sorted(waits)[28] < 0.25  # 95th percentile


def test_a_dead_processs_slots_are_held_as_unknown_until_their_hold_expires() -> None:
    limits = table(create_order=(20, 2))
    arrivals: dict[str, list[int]] = {}

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        first, second = (Process(name, limits, server, loop, arrivals, seed=1) for name in ("first", "second"))
        await first.shared.start()
        await second.shared.start()
        first.create(100)
        await asyncio.sleep(1.05)
        first.die()
        second.create(500)
        await asyncio.sleep((DEAD_AFTER + LATEST_ACCEPT_NS + TIMEOUT_NS) / NS_PER_S + 8)
        (create,) = [u for u in await second.shared.usage() if "create_order" in u.key and "ip=" in u.key]
        assert create.holders == 1
        late = [at for at, _ in second.sent if at > (loop.virtual_s - 4) * NS_PER_S]
        assert len(late) >= 36  # two full windows in the last four seconds

    run_virtually(main)
    assert exceeded(arrivals, limits) == []


def test_a_bot_that_dies_repeatedly_is_not_delayed_by_its_predecessors_slots() -> None:
    limits = table(create_order=(300, 15), cancel_order=(90, 60), open_orders=(5, 1), private=(60, 60))
    arrivals: dict[str, list[int]] = {}

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        before: Process | None = None
        for life in range(30):
            bot = Process(f"life{life}", limits, server, loop, arrivals, seed=life)
            await bot.start(heir_of=before)
            asked, cancels = loop.virtual_s, 2 if life % 3 == 0 else 0
            bot.create(3)
            bot.cancel(cancels)
            while len(bot.sent) < 3 + cancels:
                await asyncio.sleep(0.001)
            assert loop.virtual_s - asked < 0.1
            await asyncio.sleep(0.3)
            bot.die()
            before = bot
        await asyncio.sleep(LATEST_ACCEPT_NS / NS_PER_S)

    run_virtually(main)
    assert exceeded(arrivals, limits) == []
    assert len(arrivals["cancel_order"]) == 20


def test_a_successor_holds_the_slots_of_requests_in_flight_until_they_can_no_longer_arrive() -> None:
    limits = table(create_order=(16, 1))
    arrivals: dict[str, list[int]] = {}

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        first = Process("first", limits, server, loop, arrivals, seed=1, unknown=1.0)
        await first.start()
        first.create(100)
        await asyncio.sleep(0.9)
        assert len(first.sent) == 16
        first.die()
        second = Process("second", limits, server, loop, arrivals, seed=1)
        await second.start(heir_of=first)
        second.create(100)
        await asyncio.sleep(LATEST_ACCEPT_NS / NS_PER_S - 1)
        assert second.sent == []
        await asyncio.sleep((LATEST_ACCEPT_NS + TIMEOUT_NS) / NS_PER_S + 60)
        assert second.sent

    run_virtually(main)
    assert exceeded(arrivals, limits) == []


def test_a_temporary_journal_failure_costs_only_one_set_of_leases() -> None:
    limits = table(create_order=(60, 60), cancel_order=(900, 60))
    arrivals: dict[str, list[int]] = {}

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        bot = Process("a", limits, server, loop, arrivals, seed=1)
        await bot.start()
        bot.create(2)
        await asyncio.sleep(0.5)
        bot.journal_fails = True
        for _ in range(200):  # the driver calls disown after each pass
            bot.shared.disown()
            await asyncio.sleep(0.01)
        bot.journal_fails = False
        asked = loop.virtual_s
        bot.create(20)
        bot.cancel(100)
        while len(bot.sent) < 122:
            await asyncio.sleep(0.01)
        # sending is paced, but must not wait for the leases of the two hundred holders that these calls left behind
        assert loop.virtual_s - asked < 30

    run_virtually(main)
    assert exceeded(arrivals, limits) == []


def test_a_journal_that_fails_every_second_write_does_not_hold_more_slots_for_the_requests_in_flight() -> None:
    limits = table(create_order=(60, 60), cancel_order=(5, 1))
    arrivals: dict[str, list[int]] = {}

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        bot = Process("a", limits, server, loop, arrivals, seed=1, unknown=1.0)
        await bot.start()
        bot.cancel()
        for _ in range(40):
            bot.shared.disown()
            await asyncio.sleep(0.02)  # by now, the journal has taken a new name if one was offered
        other = Process("b", limits, server, loop, arrivals, seed=2)
        await other.start()
        other.cancel(3)
        await asyncio.sleep(0.5)
        assert len(other.sent) == 3

    run_virtually(main)
    assert exceeded(arrivals, limits) == []


@pytest.mark.parametrize("writes_again", [False, True])
def test_requests_missing_from_the_journal_still_count_after_a_crash(writes_again: bool) -> None:
    limits = table(cancel_order=(20, 3))
    arrivals: dict[str, list[int]] = {}

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        bot = Process("bot", limits, server, loop, arrivals, seed=1, unknown=1.0)
        await bot.start()
        bot.journal_fails = True
        bot.cancel(20)
        await asyncio.sleep(0.1)  # they are in flight for a second, and may arrive seconds later
        bot.journal_fails = not writes_again
        for _ in range(3):
            bot.shared.disown()
            await asyncio.sleep(0.1)
        bot.die()
        successor = Process("successor", limits, server, loop, arrivals, seed=2)
        await successor.start(heir_of=bot)
        successor.cancel(20)
        await asyncio.sleep(LATEST_ACCEPT_NS / NS_PER_S)
        assert len(bot.sent) == 20

    run_virtually(main)
    assert exceeded(arrivals, limits) == []


def test_without_the_ledger_only_cancels_are_sent_and_the_user_is_notified() -> None:
    limits = table(create_order=(300, 15), cancel_order=(900, 60))
    arrivals: dict[str, list[int]] = {}

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        bot = Process("bot", limits, server, loop, arrivals, seed=1)
        await bot.shared.start()
        await asyncio.sleep(1)
        server.kill()
        await asyncio.sleep(LEASE / NS_PER_S + 2.5)
        assert not bot.shared.is_reachable
        ((text, good),) = bot.notices
        assert not good
        assert "unreachable" in text
        assert "cancels" in text
        bot.create(3)
        bot.cancel(4)
        await asyncio.sleep(0.5)
        assert [endpoint for _, endpoint in bot.sent] == ["cancel_order"] * 4
        bot.cancel(40)  # more than the slots reserved for cancels
        await asyncio.sleep(0.5)
        assert len(bot.sent) == 20
        server.come_back()
        await asyncio.sleep(1.5)
        assert len(bot.sent) == 47
        assert bot.notices[-1][1]

    run_virtually(main)


def test_a_single_cancel_and_a_single_order_are_sent_immediately() -> None:
    limits = table()
    arrivals: dict[str, list[int]] = {}

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        bot = Process("bot", limits, server, loop, arrivals, seed=1)
        await bot.shared.start()
        await asyncio.sleep(0.1)
        bot.create()
        bot.cancel()
        assert [endpoint for _, endpoint in bot.sent] == ["create_order", "cancel_order"]

    run_virtually(main)


def test_a_clean_stop_returns_all_slots() -> None:
    limits = table(create_order=(300, 15))
    arrivals: dict[str, list[int]] = {}

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        bot = Process("bot", limits, server, loop, arrivals, seed=1)
        await bot.shared.start()
        await asyncio.sleep(0.5)
        await bot.shared.stop()
        assert not server.ledger.holders
        assert not any(window.leased or window.held for window in server.ledger.windows.values())

    run_virtually(main)


def test_accounts_share_the_address_windows_but_each_has_its_own_account_windows() -> None:
    limits = table(create_order=(20, 2), cancel_order=(90, 3))
    arrivals: dict[str, list[int]] = {}

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        bots = [Process(name, limits, server, loop, arrivals, seed=1, account=name) for name in ("a", "b")]
        for bot in bots:
            await bot.shared.start()
            bot.create(100)
        await asyncio.sleep(6)
        usage = {u.key: u for u in await bots[0].shared.usage()}
        address = usage["v|ip=shared|create_order|20/2s"]
        accounts = [usage[f"v|account={name}|create_order|20/2s"] for name in ("a", "b")]
        assert address.held == sum(account.held for account in accounts)
        assert address.held >= 18
        assert all(account.held >= 6 for account in accounts)

    run_virtually(main)
    assert exceeded(arrivals, limits) == []


def test_requests_with_unknown_outcomes_are_reported_again_to_a_ledger_that_lost_its_state() -> None:
    limits = table(create_order=(16, 1))
    arrivals: dict[str, list[int]] = {}

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        first = Process("first", limits, server, loop, arrivals, seed=1, unknown=1.0)
        second = Process("second", limits, server, loop, arrivals, seed=1)
        await first.shared.start()
        await second.shared.start()
        first.create(100)
        await asyncio.sleep(2.5)
        aborted_by = max(at for at, _ in first.sent) + TIMEOUT_NS
        unknown = len(first.sent)
        assert unknown >= 15
        server.lose()
        second.create(100)
        while (second._venue.now() - aborted_by) < LATEST_ACCEPT_NS - NS_PER_S:
            await asyncio.sleep(0.1)
        assert len(first.sent) + len(second.sent) - unknown <= 1

    run_virtually(main)
    assert exceeded(arrivals, limits) == []


def test_requests_of_an_earlier_run_are_reported_again_to_a_ledger_that_replaces_the_one_that_counted_them() -> None:
    limits = table(create_order=(10, 60))
    arrivals: dict[str, list[int]] = {}

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        first = Process("first", limits, server, loop, arrivals, seed=1)
        await first.start()
        first.create(6)
        while len(first.journal) < 6 or any(sent.answered is None for sent in first.journal.values()):
            await asyncio.sleep(0.1)
        first.die()
        second = Process("second", limits, server, loop, arrivals, seed=2)
        second.shared.on_join = second._joined
        await second.shared.start()
        sent = list(first.journal.values())
        ledger, holder = first._identity
        await second.shared.succeed(Predecessor(ledger=ledger, holder=holder, sent=sent))
        server.lose()
        while second._identity[0] != server.ledger.id:
            await asyncio.sleep(0.1)
        second.router.cool_down(sent, second._clock.now())
        await asyncio.sleep(1)
        held = {one.key: one.held for one in server.apply(AskUsage()).usage}
        assert {held[key] for key in held if "create_order" in key} == {6}

    run_virtually(main)
