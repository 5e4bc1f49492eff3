"""On the virtual loop, waiting takes no real time, asyncio's order is kept unless a seed varies it, and a stuck loop is
reported.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.simulation.loop import PROCESS, Process, Stuck, VirtualLoop, in_process, running


def run(main: Callable[[], Coroutine[Any, Any, Any]], **options: Any) -> tuple[Any, VirtualLoop]:
    loop = VirtualLoop(**options)
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(main()), loop
    finally:
        assert loop.is_closed()


def test_waiting_for_a_virtual_year_takes_no_real_time() -> None:
    async def main() -> float:
        await asyncio.sleep(365 * 86_400)
        return asyncio.get_running_loop().time()

    passed, loop = run(main, limit_s=1e9)
    assert passed == pytest.approx(365 * 86_400)
    assert loop.rounds < 20


def test_timeouts_and_timers_fire_in_time_order() -> None:
    async def main() -> list[str]:
        said: list[str] = []
        loop = asyncio.get_running_loop()
        for seconds in (3, 1, 2):
            loop.call_later(seconds, said.append, f"{seconds}")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await asyncio.Event().wait()
        said.append("timeout")
        await asyncio.sleep(1)
        return said

    assert run(main)[0] == ["1", "2", "timeout", "3"]


def test_a_timer_that_was_cancelled_never_fires_and_is_counted_as_asyncio_counts_it() -> None:
    async def main() -> list[str]:
        said: list[str] = []
        loop = running()
        timer = loop.call_later(1, said.append, "cancelled")
        assert timer.when() == loop.time() + 1
        before = loop._timer_cancelled_count
        timer.cancel()
        timer.cancel()
        assert timer.cancelled()
        assert loop._timer_cancelled_count == before + 1
        await asyncio.sleep(2)
        assert loop._timer_cancelled_count == before
        return said

    assert run(main)[0] == []


def test_an_exception_in_a_callback_is_told_in_asyncios_words_and_the_loop_goes_on() -> None:
    async def main() -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: told.append(context))
        loop.call_soon(int, "no number")
        loop.call_later(1, int, "no number either")
        await asyncio.sleep(2)
        return told

    told = run(main)[0]
    assert [str(context["message"]).split("(")[0] for context in told] == ["Exception in callback int"] * 2
    assert [type(context["exception"]) for context in told] == [ValueError, ValueError]


def test_a_spinning_task_reaches_its_timeout() -> None:
    async def main() -> None:
        async with asyncio.timeout(0.5):
            while True:
                await asyncio.sleep(0)

    with pytest.raises(TimeoutError):
        run(main)


async def _order_of_tasks() -> list[int]:
    done: list[int] = []

    async def work(number: int) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        done.append(number)

    await asyncio.gather(*(work(i) for i in range(6)))
    return done


def test_without_a_seed_tasks_run_in_asyncios_order() -> None:
    assert run(_order_of_tasks)[0] == asyncio.run(_order_of_tasks()) == list(range(6))


def test_equal_seeds_run_tasks_in_the_same_order() -> None:
    orders = {seed: run(_order_of_tasks, seed=seed)[0] for seed in range(10)}
    assert all(sorted(order) == list(range(6)) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) > 5
    assert all(run(_order_of_tasks, seed=seed)[0] == order for seed, order in orders.items())


def test_a_seed_does_not_change_the_order_of_plain_callbacks() -> None:
    async def main() -> list[int]:
        said: list[int] = []
        for i in range(50):
            asyncio.get_running_loop().call_soon(said.append, i)
        await asyncio.sleep(1)
        return said

    for seed in range(10):
        assert run(main, seed=seed)[0] == list(range(50))


def test_a_stuck_loop_immediately_reports_where_each_task_is_waiting() -> None:
    cleaned: list[str] = []

    async def waits_for_a_lock(lock: asyncio.Lock) -> None:
        async with lock:
            pass

    async def main() -> None:
        lock = asyncio.Lock()
        await lock.acquire()
        try:
            await asyncio.create_task(waits_for_a_lock(lock), name="the waiting one")
        finally:
            await asyncio.sleep(5)
            cleaned.append("yes")

    with pytest.raises(Stuck) as caught:
        run(main)
    text = str(caught.value)
    assert "nothing is scheduled, so nothing will ever happen again" in text
    assert "the waiting one" in text
    assert "test_loop.py:" in text
    assert "in test_a_stuck_loop_immediately_reports_where_each_task_is_waiting.<locals>.waits_for_a_lock" in text
    assert cleaned == ["yes"]


def test_a_loop_that_only_waits_is_stopped_at_its_time_limit() -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(1)

    with pytest.raises(Stuck, match="the limit of 90 virtual seconds is reached"):
        run(main, limit_s=90)


def test_a_loop_that_never_waits_is_also_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.simulation.loop.ROUNDS_MAX", 1000)

    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Stuck, match="always something to do"):
        run(main)


def test_a_stuck_test_fails_even_if_it_swallows_the_cancellation() -> None:
    async def main() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "well"
        return "never"

    with pytest.raises(Stuck, match="nothing is scheduled"):
        run(main)


def test_work_for_a_thread_is_executed_after_a_short_delay() -> None:
    async def main() -> tuple[str, float, bool]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        job = loop.run_in_executor(None, lambda: "done")
        was_done = job.done()
        return await job, loop.time() - began, was_done

    (result, passed, was_done), _ = run(main)
    assert result == "done"
    assert 0 < passed < 0.01
    assert not was_done


def test_a_killed_process_runs_no_more_code_not_even_cleanup() -> None:
    said: list[str] = []

    async def victim() -> None:
        try:
            while True:
                await asyncio.sleep(1)
                said.append("lives")
        finally:
            said.append("cleaned up")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        process = Process("bot")
        task = loop.create_task(victim(), context=in_process(process))
        del task
        loop.call_later(50, said.append, "the test goes on")
        await asyncio.sleep(2.5)
        loop.kill(process)
        gc.collect()
        await asyncio.sleep(100)
        gc.collect()
        assert said == ["lives", "lives", "the test goes on"]
        assert PROCESS.get() is None

    run(main)


def test_a_process_killed_just_before_one_of_its_tasks_would_resume_does_not_resume() -> None:
    async def main() -> list[str]:
        loop = running()
        process, said, event = Process("bot"), [], asyncio.Event()

        async def victim() -> None:
            await event.wait()
            said.append("woken")

        task = loop.create_task(victim(), context=in_process(process))
        loop.call_soon(said.append, "callback", context=in_process(process))
        await asyncio.sleep(1)
        assert not task.done()
        event.set()
        loop.call_soon(said.append, "callback too late", context=in_process(process))
        loop.kill(process)
        await asyncio.sleep(1)
        return said

    assert run(main)[0] == ["callback"]


def test_a_process_can_be_killed_while_its_tasks_wait_for_each_other() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        process, count = Process("bot"), 0

        async def inner() -> None:
            nonlocal count
            while True:
                count += 1
                await asyncio.sleep(0.1)

        async def outer() -> None:
            await asyncio.gather(asyncio.create_task(inner()), asyncio.to_thread(lambda: None))

        task = loop.create_task(outer(), context=in_process(process))
        await asyncio.sleep(0.95)
        assert not task.done()
        loop.kill(process)
        before = count
        await asyncio.sleep(10)
        assert before > 5
        return count - before

    assert run(main)[0] == 0


def test_a_thread_sleeps_in_virtual_time_while_the_loop_continues() -> None:
    order: list[tuple[float, str]] = []

    async def main(loop: VirtualLoop) -> str:
        def work() -> str:
            for _ in range(2):
                order.append((round(loop.time(), 1), "thread"))
                loop.sleep_in_thread(10)
            return "done"

        async def beside() -> None:
            await asyncio.sleep(15)
            order.append((round(loop.time(), 1), "loop"))

        found, _ = await asyncio.gather(asyncio.to_thread(work), beside())
        with pytest.raises(RuntimeError, match="blocking sleep"):
            loop.sleep_in_thread(1)
        return found

    loop = VirtualLoop()
    try:
        assert loop.run_until_complete(main(loop)) == "done"
    finally:
        loop.close()
    assert order == [(0.0, "thread"), (10.0, "thread"), (15.0, "loop")]


def test_a_sleeping_thread_terminates_when_its_loop_is_closed() -> None:
    left: list[str] = []

    async def main(loop: VirtualLoop) -> None:
        def work() -> None:
            try:
                loop.sleep_in_thread(1000)
            finally:
                left.append("left")

        task = asyncio.create_task(asyncio.to_thread(work))
        await asyncio.sleep(1)
        task.cancel()

    loop = VirtualLoop()
    loop.run_until_complete(main(loop))
    loop.close()
    assert left == ["left"]
