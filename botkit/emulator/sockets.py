"""One WebSocket to a client, with a bounded frame queue, the exchange's pings, and the faults that affect the
socket.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from aiohttp import WSMsgType, web

from botkit.emulator.faults import PING_KINDS, STREAM_KINDS, Faults
from botkit.emulator.spoiling import alter, lengthen
from botkit.exchange.bitopro.wire.endpoints import STREAMS
from botkit.model.clock import Nanos

#: the maximum number of frames queued for a client that does not read. Above this limit, the connection is cut, as an
#: exchange would do
QUEUE_MAX = 20_000
#: the same limit in bytes, which applies only if more than one frame is waiting
QUEUE_BYTES_MAX = 16 * 1024 * 1024
#: seconds between pings, and seconds to wait for a pong before the socket is cut (Q18)
KEEPALIVE = {"documented": (20.0, 5.0), "observed": (1.0, 60.0)}
#: maximum number of bytes joined into one write, and maximum number waiting in the connection's buffer
_WRITE_MAX = 256 * 1024


def _header(length: int) -> bytes:
    """Return the header of a complete, unmasked text frame."""
    if length < 126:
        return bytes((0x81, length))
    if length < 65_536:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")


class Socket:
    """Sends queued frames in order until the client disconnects."""

    def __init__(
        self, response: web.WebSocketResponse, request: web.BaseRequest, stream_id: str, faults: Faults,
        now: Callable[[], Nanos], keepalive: str,
    ) -> None:  # fmt: skip
        self._ws = response
        self._request = request
        self._stream_id = stream_id
        self._faults = faults
        self._now = now
        self._ping_s, self._patience_s = KEEPALIVE[keepalive]
        self._abrupt = keepalive == "observed"
        self._queue: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._held_back: bytes | None = None
        self._ready = asyncio.Event()
        self._silent = False
        self._pong_at = 0.0
        self._close_code: int | None = None
        self.idle = asyncio.Event()
        self.idle.set()

    def push(self, frame: bytes) -> None:
        """Queue a frame."""
        if self._silent:
            return
        queue = self._queue
        for part in self._struck(frame) if self._faults.rules else (frame,):
            queue.append(part)
            self._waiting_bytes += len(part)
        if len(queue) > QUEUE_MAX or (self._waiting_bytes > QUEUE_BYTES_MAX and len(queue) > 1):
            self.abort()
        self.idle.clear()
        self._ready.set()

    def _struck(self, frame: bytes) -> list[bytes]:
        frames = [frame]
        for fault in self._faults.strike(self._stream_id, STREAM_KINDS, self._now()):
            match fault.kind:
                case "ws_silence":
                    self._silent = True
                    return []
                case "ws_close":
                    self._close_code = int(fault.value or 1001)
                    return []
                case "ws_abort":
                    self.abort()
                    return []
                case "ws_drop":
                    return []
                case "ws_duplicate":
                    frames = frames * 2
                case "ws_garbage":
                    frames = [part[: len(part) // 2] for part in frames]
                case "ws_altered":
                    frames = [alter(part, fault) for part in frames]
                case "ws_huge":
                    frames = [lengthen(part, fault) for part in frames]
                case "ws_reorder":
                    self._held_back = frame
                    return []
        if self._held_back is not None:
            frames.append(self._held_back)
            self._held_back = None
        return frames

    @property
    def is_private(self) -> bool:
        """True if the socket carries an account's data."""
        return STREAMS[self._stream_id].private

    def silence(self) -> None:
        """Stop sending; the connection stays open."""
        self._drop()
        self._silent = True

    def abort(self) -> None:
        """Cut the connection without a close frame."""
        self._drop()
        transport = self._request.transport
        if transport is not None:
            transport.abort()

    def _drop(self) -> None:
        self._queue.clear()
        self._waiting_bytes = 0

    async def run(self) -> None:
        """Serve the socket until the client disconnects."""
        writer, pinger = asyncio.create_task(self._write()), asyncio.create_task(self._ping())
        try:
            async for message in self._ws:
                if message.type is WSMsgType.PING and not self._silent:
                    await self._ws.pong(message.data)
                elif message.type is WSMsgType.PONG:
                    self._pong_at = asyncio.get_running_loop().time()
                # the URL defines the subscription, so ignore anything that a client sends
        except (TimeoutError, ConnectionError):
            pass
        finally:
            for task in (writer, pinger):
                task.cancel()
            await asyncio.gather(writer, pinger, return_exceptions=True)
            self._drop()
            self.idle.set()

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            while True:
                await (self._send_compressed() if self._ws.compress else self._send_joined())
                if self._close_code is not None:
                    await self._ws.close(code=self._close_code)
                    return
                self._ready.clear()
                self.idle.set()
                await self._ready.wait()

    async def _send_compressed(self) -> None:
        queue, ws = self._queue, self._ws
        while queue:
            frame = queue.popleft()
            self._waiting_bytes -= len(frame)
            await ws.send_frame(frame, WSMsgType.TEXT)

    async def _send_joined(self) -> None:
        """Write all waiting frames at once, because making one system call per frame would dominate the cost.

        A server's frames are not masked, so a frame is just its length and its text (RFC 6455, 5.2).
        """
        queue = self._queue
        while queue:
            transport = self._request.transport
            if transport is None or transport.is_closing():
                raise ConnectionResetError
            parts: list[bytes] = []
            size = 0
            while queue and size < _WRITE_MAX:
                frame = queue.popleft()
                self._waiting_bytes -= len(frame)
                parts += (_header(len(frame)), frame)
                size += len(frame)
            transport.write(b"".join(parts))
            while transport.get_write_buffer_size() > _WRITE_MAX and not transport.is_closing():
                await asyncio.sleep(0.002)

    async def _ping(self) -> None:
        loop = asyncio.get_running_loop()
        self._pong_at = loop.time()
        asked_at: float | None = None
        with contextlib.suppress(ConnectionError, RuntimeError):
            while True:
                await asyncio.sleep(self._ping_s if asked_at is None else min(self._ping_s, self._patience_s))
                waited = 0.0 if asked_at is None or self._pong_at >= asked_at else loop.time() - self._pong_at
                if waited >= self._patience_s:
                    # observed as a cut without a close frame (1006), documented as "disconnected"
                    self.abort()
                    return
                if not waited and asked_at is not None and loop.time() - asked_at < self._ping_s:
                    await asyncio.sleep(self._ping_s - (loop.time() - asked_at))
                if not self._silent and (not waited or self._abrupt):
                    asked_at = loop.time() if not waited else asked_at
                    await self._ws.ping()
                if self._faults.rules and self._faults.strike(self._stream_id, PING_KINDS, self._now()):
                    self.abort()
                    return
