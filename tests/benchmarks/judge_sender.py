"""A bot without strategies, with the real router and real HTTP, that sends as many orders as the limits allow.

``limits_judge.py`` and tests run this script, each time in a separate process. The script prints ``sending`` after it
receives the response to its first request, and one JSON object before it exits. It exits after ``--seconds``, or shuts
down cleanly on SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from random import Random, SystemRandom

import aiohttp

from botkit.engine.router.router import Priority, Router
from botkit.live.clock import SteadyClock
from botkit.live.limits.broker_client import BrokerLink
from botkit.live.limits.leases import Identity, SharedLimits
from botkit.live.limits.protocol import Link
from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.limits import EndpointLimit, LimitTable, Scope, SlotsChanged, WindowLimit
from botkit.model.orders import Order
from botkit.model.requests import CancelBatch, CancelOrder, CreateBatch, CreateOrder, Ending, Request

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.router_world import make_balances, make_open_orders, order, resting

METHODS = {"create_order": "POST", "create_batch": "POST", "cancel_order": "DELETE", "cancel_batch": "PUT"}
POOLS = {"balance": "private", "order_book": "public"}


def table_of(limits: dict[str, list[list[int]]]) -> LimitTable:
    """Return the judge's limits as a limits table for the router."""
    endpoints = {}
    for name in ("create_order", "create_batch", "cancel_order", "cancel_batch", "open_orders", "balance"):
        pool = POOLS.get(name, name)
        scopes = (Scope.IP,) if name == "cancel_batch" else (Scope.IP, Scope.ACCOUNT)
        endpoints[name] = EndpointLimit(
            endpoint=name,
            method=METHODS.get(name, "GET"),
            path="",
            private=True,
            pool=pool,
            windows=tuple(WindowLimit(n, s, scope) for n, s in limits[pool] for scope in scopes),
        )
    return LimitTable(endpoints=endpoints)


def path_of(request: Request) -> tuple[str, str, object]:
    """Return a request's method, path and JSON body."""
    if isinstance(request, CreateOrder):
        return "POST", "/orders/btc_twd", {"clientId": request.order.client_id}
    if isinstance(request, CreateBatch):
        return "POST", "/orders/batch", [{"clientId": new.client_id} for new in request.orders]
    if isinstance(request, CancelOrder):
        return "DELETE", f"/orders/btc_twd/{request.order_id}", None
    if isinstance(request, CancelBatch):
        return "PUT", "/orders", {"BTC_TWD": [order_id for _, order_id in request.orders]}
    return "GET", "/orders/open" if request.endpoint == "open_orders" else "/accounts/balance", None


class Sender:
    """Drives the router in real time."""

    def __init__(self, options: argparse.Namespace) -> None:
        limits = json.loads(options.limits)
        self._url = options.url
        self._clock = SteadyClock()
        self.shared: SharedLimits | None = None
        table = table_of(limits)
        link = link_of(options)
        latest = int(options.latest_accept_s * NS_PER_S)
        if link is not None:
            self.shared = SharedLimits(
                table,
                link,
                identity=Identity(venue="judge", account="one"),
                holder=f"sender-{os.getpid()}",
                clock=self._clock,
                latest_accept_ns=latest,
                read_latest_ns=latest,
                request_timeout_ns=int(options.timeout_s * NS_PER_S),
                on_change=self._slots_changed,
                on_notice=lambda text, good: print(text, file=sys.stderr, flush=True),
            )
        self.router = Router(
            table,
            latest_accept_ns=latest,
            read_latest_ns=latest,
            batching=options.batching,
            leased=self.shared.leased if self.shared is not None else None,
        )
        self._timeout = aiohttp.ClientTimeout(total=options.timeout_s)
        self._wake: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: dict[int, tuple[str, int]] = {}  # client id -> (owner, time)
        self._cancels: dict[int, int] = {}
        self.waits_ms: dict[str, list[float]] = {}
        self.cancel_waits_ms: list[float] = []
        self.sent = self.unknown = self.answered = 0
        self._ended = False
        self._next_id = 0
        self.session: aiohttp.ClientSession

    def create(self, owner: str) -> None:
        """Queue one more create."""
        self._next_id += 1
        now = self._clock.now()
        self._asked[self._next_id] = (owner, now)
        self.router.create(order(self._next_id, owner), now)

    def cancel(self, owner: str) -> None:
        """Queue one more cancel."""
        self._next_id += 1
        placed: Order = resting(self._next_id, owner)
        now = self._clock.now()
        self._cancels[self._next_id] = now
        self.router.cancel(placed, now)

    def read(self, owner: str, endpoint: str) -> None:
        """Queue one more read."""
        make = make_open_orders if endpoint == "open_orders" else make_balances
        now = self._clock.now()
        self.router.read(make, endpoint=endpoint, owner=owner, priority=Priority.PRIVATE_READ, now=now)

    def _slots_changed(self, change: SlotsChanged) -> None:
        self.router.slots_changed(change)
        self.pump()

    def pump(self) -> None:
        """Send the requests that are due and schedule the next run."""
        now = self._clock.now()
        while (due := self.router.next_due()) is not None and due <= now:
            for request in self.router.due(now).requests:
                self._note(request, now)
                task = asyncio.create_task(self._send(request))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if due is not None:
            self._wake = asyncio.get_running_loop().call_later((due - now) / NS_PER_S, self.pump)

    def _note(self, request: Request, now: int) -> None:
        self.sent += 1
        if isinstance(request, CreateOrder):
            ids = [request.order.client_id]
        elif isinstance(request, CreateBatch):
            ids = [new.client_id for new in request.orders]
        else:
            ids = []
        for client_id in ids:
            owner, asked = self._asked.pop(client_id)
            self.waits_ms.setdefault(owner, []).append((now - asked) / NS_PER_MS)

    async def _send(self, request: Request) -> None:
        method, path, body = path_of(request)
        if isinstance(request, CancelOrder | CancelBatch):
            ids = [request.client_id] if isinstance(request, CancelOrder) else request.client_ids
            now = self._clock.now()
            self.cancel_waits_ms += [(now - self._cancels.pop(client_id)) / NS_PER_MS for client_id in ids]
        try:
            async with self.session.request(method, self._url + path, json=body, timeout=self._timeout) as response:
                await response.read()
            outcome = Ending.OK
            self.answered += 1
            if self.answered == 1:
                print("sending", flush=True)
        except (aiohttp.ClientError, TimeoutError):
            outcome = Ending.UNKNOWN
            self.unknown += 1
        self.router.answered(request.id, self._clock.now(), outcome)
        self.pump()

    def end(self) -> None:
        """Stop sending requests, and finish when all requests have received a response."""
        self._ended = True

    async def run(self, options: argparse.Namespace) -> None:
        """Run the scenario."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.end)
        if self.shared is not None:
            await self.shared.start(patience_s=30)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as self.session:
            for _ in range(options.creates):
                self.create("greedy")
            self.pump()
            light = [asyncio.create_task(self._light(f"light{n}", Random(n))) for n in range(options.light)]
            end = self._clock.now() + int(options.seconds * NS_PER_S)
            while not self._ended and self._clock.now() < end and (self.router.waiting or self._tasks or light):
                if options.refill and self.router.waiting < options.creates // 2:
                    for _ in range(options.creates // 2):
                        self.create("greedy")
                    self.pump()
                await asyncio.sleep(0.05)
            for task in light:
                task.cancel()
            if self._wake is not None:
                self._wake.cancel()
            self.pump = lambda: None  # type: ignore[method-assign]
            while self._tasks:
                await asyncio.wait(list(self._tasks))
        if self.shared is not None:
            await self.shared.stop()

    async def _light(self, owner: str, random: Random) -> None:
        """Behave like a strategy that sends a request of each kind about once every two seconds."""
        while True:
            await asyncio.sleep(random.uniform(0.2, 0.8))
            deed = random.choice(["create", "cancel", "balance", "open_orders"])
            if deed == "create":
                self.create(owner)
            elif deed == "cancel":
                self.cancel(owner)
            else:
                self.read(owner, deed)
            self.pump()


def link_of(options: argparse.Namespace) -> Link | None:
    """Return the link to the requested ledger."""
    if options.ledger == "memory":
        return None
    if options.ledger.startswith("redis"):
        from botkit.live.limits.redis import RedisLink

        return RedisLink(options.ledger, SteadyClock(), SystemRandom())
    return BrokerLink(Path(options.ledger), by_port=options.by_port)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--limits", required=True, help="JSON: {pool: [[requests, seconds], ...]}")
    parser.add_argument("--ledger", default="memory", help="memory, a broker's folder, or redis://...")
    parser.add_argument("--by-port", action="store_true")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--creates", type=int, default=3000)
    parser.add_argument("--refill", action="store_true", help="Keep so many creates waiting.")
    parser.add_argument("--light", type=int, default=0)
    parser.add_argument("--batching", action="store_true")
    parser.add_argument("--latest-accept-s", type=float, default=2)
    parser.add_argument("--timeout-s", type=float, default=5)
    options = parser.parse_args()
    sender = Sender(options)
    asyncio.run(sender.run(options))
    waits = {owner: sorted(values) for owner, values in sender.waits_ms.items()}
    cancels = sorted(sender.cancel_waits_ms)
    print(
        json.dumps(
            {
                "sent": sender.sent,
                "unknown": sender.unknown,
                "wait_p95_ms": {owner: values[int(len(values) * 0.95)] for owner, values in waits.items()},
                "orders": {owner: len(values) for owner, values in waits.items()},
                "cancels": len(cancels),
                "cancel_p99_ms": cancels[int(len(cancels) * 0.99)] if cancels else None,
                "refused": sum(row.dropped for row in sender.router.statistics().endpoints),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
