"""A small exchange for tests of recording and downloading, with books, trade lists and candles, in a thread of its
own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from types import TracebackType
from typing import Any

from aiohttp import WSMsgType, web


class MarketVenue:
    """Serves until the block ends. What it has sent can be read at any time.

    ``candles`` maps the start of a bucket (seconds) to a close; ``refusals`` is a list of statuses that the next REST
    requests get, with 0 for an answer. One trade is made every ``every_s`` and numbered by its price, and a list holds
    the last ``keep`` of them.
    """

    def __init__(self, *, every_s: float = 0.05, keep: int = 20, candles: dict[int, int] | None = None) -> None:
        self.every_s = every_s
        self.keep = keep
        self.candles = candles or {}
        self.refusals: list[int] = []
        self.requests: list[dict[str, str]] = []
        #: (wall time in s, number) for every trade that was made
        self.trades: list[tuple[float, int]] = []
        self.muted = False
        self.rest = self.ws = ""
        self._sockets: set[web.WebSocketResponse] = set()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> MarketVenue:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def cut(self) -> None:
        """Drop every stream."""

        async def close_all() -> None:
            for socket in list(self._sockets):
                await socket.close()

        asyncio.run_coroutine_threadsafe(close_all(), self._loop).result(10)

    # -- the server -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        app = web.Application()
        app.router.add_get("/v3/trading-history/{pair}", self._history)
        app.router.add_get("/ws/v1/pub/{kind}/{pairs}", self._stream)
        runner = web.AppRunner(app, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        self.rest, self.ws = f"http://{host}:{port}/v3", f"ws://{host}:{port}/ws"
        pump = asyncio.create_task(self._pump())
        self._ready.set()
        await self._stop.wait()
        pump.cancel()
        await runner.cleanup()

    async def _pump(self) -> None:
        number = 0
        while True:
            number += 1
            self.trades.append((time.time(), number))
            for socket in list(self._sockets):
                if not self.muted and not socket.closed:
                    with contextlib.suppress(ConnectionError):  # the client was killed
                        for frame in self._frames(socket):
                            await socket.send_str(json.dumps(frame))
            await asyncio.sleep(self.every_s)

    def _frames(self, socket: Any) -> list[dict[str, Any]]:
        now_ms = time.time_ns() // 10**6
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
