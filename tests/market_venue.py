"""A small exchange for tests of recording and downloading: books, trade lists and candles.

with MarketVenue() as venue:                       in a separate thread, on real sockets
venue = terminal.serve(MarketVenue().served())     on an event loop, which may be virtual
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any

from aiohttp import WSMsgType, web

from botkit.live.clock import REAL_CLOCK
from botkit.model.clock import NS_PER_MS, NS_PER_S
from tests.waiting import PATIENCE_S


class MarketVenue:
    """An exchange that serves requests until the block exits. The sent data can be inspected at any time.

    Uses the time of `REAL_CLOCK`, which is virtual on a virtual loop.

    ``candles`` maps the start of a bucket (seconds) to a close. ``refusals`` is a list of response statuses for the
    next REST requests, in which 0 means a normal response. A trade occurs every ``every_s`` seconds, and its price
    encodes its number. A trade list contains the last ``keep`` trades.
    """

    def __init__(self, *, every_s: float = 0.05, keep: int = 20, candles: dict[int, int] | None = None) -> None:
        self.every_s = every_s
        self.keep = keep
        self.candles = candles or {}
        self.refusals: list[int] = []
        self.requests: list[dict[str, str]] = []
        #: (time in s, number) of every trade
        self.trades: list[tuple[float, int]] = []
        self.muted = False
        self.rest = self.ws = ""
        self._sockets: set[web.WebSocketResponse] = set()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread

    def __enter__(self) -> MarketVenue:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)

    async def cut(self) -> None:
        """Disconnect every stream."""
        for socket in list(self._sockets):
            await socket.close()

    # -- the server -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._until_stopped())
        self._loop.close()

    async def _until_stopped(self) -> None:
        self._stop = asyncio.Event()
        async with self.served():
            self._ready.set()
            await self._stop.wait()

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[MarketVenue]:
        """Serve on the running event loop."""
        app = web.Application()
        app.router.add_get("/v3/trading-history/{pair}", self._history)
        app.router.add_get("/ws/v1/pub/{kind}/{pairs}", self._stream)
        runner = web.AppRunner(app, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        self.rest, self.ws = f"http://{host}:{port}/v3", f"ws://{host}:{port}/ws"
        pump = asyncio.create_task(self._pump())
        try:
            yield self
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            await runner.cleanup()

    async def _pump(self) -> None:
        number = 0
        while True:
            number += 1
            self.trades.append((REAL_CLOCK.wall_ns() / NS_PER_S, number))
            for socket in list(self._sockets):
                if not self.muted and not socket.closed:
                    with contextlib.suppress(ConnectionError):  # the client was killed
                        for frame in self._frames(socket):
                            await socket.send_str(json.dumps(frame))
            await asyncio.sleep(self.every_s)

    def _frames(self, socket: Any) -> list[dict[str, Any]]:
        now_ms = REAL_CLOCK.wall_ns() // NS_PER_MS
        frames: list[dict[str, Any]] = []
        for pair in socket.pairs:
            head = {"pair": pair, "timestamp": now_ms, "datetime": ""}
            if socket.kind == "trades":
                rows = [
                    {
                        "timestamp": int(at),
                        "price": str(1_000_000 + number),
                        "amount": "0.001",
                        "isBuyer": number % 2 == 0,
                    }
                    for at, number in self.trades[-self.keep :][::-1]
                ]
                frames.append({"event": "TRADE", **head, "data": rows})
            else:
                number = self.trades[-1][1]
                bids = [{"price": str(1_000_000 + number - i), "amount": "1", "total": "1"} for i in range(1, 6)]
                asks = [{"price": str(1_000_000 + number + i), "amount": "1", "total": "1"} for i in range(1, 6)]
                frames.append({"event": "ORDER_BOOK", **head, "limit": 5, "bids": bids, "asks": asks})
        return frames

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket: Any = web.WebSocketResponse()
        socket.kind = request.match_info["kind"]
        socket.pairs = [part.split(":")[0] for part in request.match_info["pairs"].split(",")]
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:
                    break
        finally:
            self._sockets.discard(socket)
        return socket

    async def _history(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.requests.append(query)
        status = self.refusals.pop(0) if self.refusals else 0
        if status:
            return web.json_response({"error": "asked to"}, status=status)
        rows = [
            {
                "timestamp": start * 1000,
                "open": str(close),
                "high": str(close + 1),
                "low": str(close - 1),
                "close": str(close),
                "volume": "0.5",
            }
            for start, close in self.candles.items()
            if int(query["from"]) <= start <= int(query["to"])
        ]
        return web.json_response({"data": rows[::-1]})
