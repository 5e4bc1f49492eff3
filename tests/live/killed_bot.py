"""A bot in a process of its own that kills itself, as `kill -9` would, at a chosen moment of its n-th order.

python -m tests.live.killed_bot PHASE COUNT  botkit-arguments...
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from botkit.cli.main import main
from botkit.live import driver, persistence
from botkit.model.requests import CreateBatch, CreateOrder

#: the moments of an order: what has happened by then
PHASES = ("before_journal", "journaled", "sent", "answered", "after", "random")


def arm(phase: str, count: int) -> None:
    """Make the process kill itself at the ``count``-th create that reaches the phase."""
    left = count

    def reached(at: str) -> None:
        nonlocal left
        if at == phase:
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    commit, carry = persistence.Persistence.commit, driver.Driver._carry

    def counted_commit(self: Any, requests: Any, now: int) -> None:
        creates = [request for request in requests if isinstance(request, (CreateOrder, CreateBatch))]
        if creates:
            reached("before_journal")
        commit(self, requests, now)
        if creates:
            reached("journaled")

    async def counted_carry(self: Any, request: Any) -> None:
        if not isinstance(request, (CreateOrder, CreateBatch)):
            await carry(self, request)
            return
        send = self.adapter.client._transport.call

        async def call(endpoint: Any, *arguments: Any, **options: Any) -> Any:
            answer = await send(endpoint, *arguments, **options)
            if endpoint.method == "POST":
                # the exchange has done it, and the bot has not been told
                reached("sent")
            return answer

        self.adapter.client._transport.call = call
        try:
            await carry(self, request)
        finally:
            self.adapter.client._transport.call = send
        reached("answered")
        self._loop.call_later(0.02, reached, "after")

    persistence.Persistence.commit = counted_commit  # type: ignore[method-assign]
    driver.Driver._carry = counted_carry  # type: ignore[method-assign]


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
