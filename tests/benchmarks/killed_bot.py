"""A bot that dies where it is told to: ``python -m tests.benchmarks.killed_bot PHASE COUNT SEED CONFIG REST WS``.

The process ends itself with SIGKILL at the COUNTth time that it reaches PHASE, so nothing is flushed, no ``finally``
runs, and what the kernel has of a socket is still sent. The phases are the awaits and commits on an order's way.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from random import Random
from typing import Any

from botkit.live.driver import Driver
from botkit.live.persistence import Persistence
from botkit.model.events import TradeReport
from botkit.model.requests import Answer, CancelBatch, CancelOrder, CreateBatch, CreateOrder, OrderAck

#: where a bot is killed from inside; "start", "stopping" and "any time" are killed from outside
INSIDE = (
    "before the journal row",
    "journal row, not yet sent",
    "sent, not yet answered",
    "answer not yet taken in",
    "cancel on its way",
    "fill not yet journaled",
)
#: longest wait for an answer, while the emulator delays answers by up to so much
ANSWER_DELAY_S = 0.06
_CREATES = (CreateOrder, CreateBatch)
_CANCELS = (CancelOrder, CancelBatch)


def _is_ack(body: Any) -> bool:
    return isinstance(body, OrderAck) or (isinstance(body, tuple) and bool(body) and isinstance(body[0], OrderAck))


def die() -> None:
    """End at once, with nothing said or written."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_within(seconds: float) -> None:
    """End in a moment."""
    asyncio.get_running_loop().call_later(seconds, die)


def arm(phase: str, count: int, random: Random) -> None:
    """Put the blow at its place."""
    left = count

    def reached(then: Callable[[], None] = die) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            then()

    commit, carry, sink = Persistence.commit, Driver._carry, Driver.sink

    def commit_or_die(self: Any, requests: Any, now: int) -> None:
        wanted = list(requests)
        if phase == INSIDE[0] and any(isinstance(request, _CREATES) for request in wanted):
            reached()
        if phase == INSIDE[5] and self._fills:
            reached()
        commit(self, wanted, now)

    async def carry_or_die(self: Any, request: Any) -> None:
        is_create = isinstance(request, _CREATES)
        if phase == INSIDE[1] and is_create:
            reached()
        # any moment from before the first byte to about the answer
        if (phase == INSIDE[2] and is_create) or (phase == INSIDE[4] and isinstance(request, _CANCELS)):
            reached(lambda: die_within(random.uniform(0, ANSWER_DELAY_S)))
        await carry(self, request)

    def sink_or_die(self: Any, event: Any) -> None:
        if phase == INSIDE[3] and type(event) is Answer and _is_ack(event.body):
            reached()
        if phase == INSIDE[5] and type(event) is TradeReport:
            reached()
        sink(self, event)

    Persistence.commit = commit_or_die  # type: ignore[method-assign]
    Driver._carry = carry_or_die  # type: ignore[method-assign]
    Driver.sink = sink_or_die  # type: ignore[method-assign]


def main() -> int:
    """Run the bot until it dies."""
    phase, count, seed, config, rest, ws = sys.argv[1:]
    arm(phase, int(count), Random(int(seed)))
    from botkit.cli.main import main as botkit

    return botkit(["run", config, "--mode", "emulator", "--rest", rest, "--ws", ws, "--plain", "--set", f"seed={seed}"])


if __name__ == "__main__":
    sys.exit(main())
