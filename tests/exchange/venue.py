"""Servers for the client tests: a scripted exchange with aiohttp.web, and a raw server that violates the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Venue:
    """Records the requests received by a scripted server. ``replies`` maps "METHOD /path" to a body, a (status, body)
    pair, or a handler.
    """

    replies: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    rest: str = ""
    ws: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, request.path, dict(request.query), body))
        self.headers.append(dict(request.headers))
        reply = self.replies.get(f"{request.method} {request.path}")
        if reply is None:
            return web.Response(status=404, body=b'{"message":"404 NOT FOUND"}\n', content_type="application/json")
        if callable(reply):
            made: web.StreamResponse = await reply(request)
            return made
        status, content = reply if isinstance(reply, tuple) else (200, reply)
        content = content.encode() if isinstance(content, str) else content
        return web.Response(status=status, body=content, content_type="application/json")


@asynccontextmanager
async def venue(replies: dict[str, Any] | None = None) -> AsyncIterator[Venue]:
    """Run a server on a free loopback port until the block exits."""
    state = Venue(dict(replies or {}))
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", state.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    state.rest, state.ws = f"http://{host}:{port}/v3", f"ws://{host}:{port}/ws"
    try:
        yield state
    finally:
        await runner.cleanup()


@dataclass
class RawServer:
    """A server that works with raw bytes. ``arrivals`` contains the request lines that the server has received."""

    rest: str = ""
    arrivals: list[str] = field(default_factory=list)


RawScript = Callable[[RawServer, str, asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[bool]]


@asynccontextmanager
async def raw_server(script: RawScript) -> AsyncIterator[RawServer]:
    """Run ``script(state, request line, reader, writer, request number on this connection)`` for each request.

    The script returns False to drop the connection.
    """
    state = RawServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count = 0
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line = head.split(b"\r\n", 1)[0].decode()
                for header in head.split(b"\r\n"):
                    if header.lower().startswith(b"content-length:"):
                        await reader.readexactly(int(header.split(b":")[1]))
                state.arrivals.append(line)
                count += 1
                if not await script(state, line, reader, writer, count):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    state.rest = f"http://127.0.0.1:{port}/v3"
    try:
        yield state
    finally:
        server.close()
        await server.wait_closed()


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    """Return a complete HTTP/1.1 response."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


class HandClock:
    """A clock that is set manually by the test."""

    def __init__(self, now: int = 1_790_300_000_000_000_000) -> None:
        self.time = now

    def now(self) -> int:
        return self.time
