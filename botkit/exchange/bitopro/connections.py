"""Keeps connections to one host open, writes requests to them, and reads the responses.

aiohttp opens the connections and parses the responses, but requests do not use its `ClientSession`. A session creates a
dozen objects for each request and starts a task before it writes the request, which takes longer than all of the bot's
own checks. Here a request on an open connection is written immediately, without waiting for the next event-loop step.

Every request is written once: this module never retries, does not follow redirects, and does not read proxy settings
from the environment.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.connector import Connection

_READ_CHUNK = 64 * 1024
#: how long an unused connection is kept; servers close idle connections, possibly at the moment a request is written
_KEPT_S = 15.0


def stream_session() -> aiohttp.ClientSession:
    """Return a session for a stream. The session sends each request once and does not follow redirects."""
    trace = aiohttp.TraceConfig()

    async def on_redirect(_session: Any, _context: Any, _params: Any) -> None:
        # `ws_connect` has no parameter to prevent this
        raise aiohttp.ClientError("the server sent a redirect, which botkit does not follow")

    trace.on_request_redirect.append(on_redirect)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept": "application/json", "User-Agent": "botkit"},
        trust_env=False,
        trace_configs=[trace],
    )
    if hasattr(session, "_retry_connection"):  # a flag that aiohttp provides for its own test client
        session._retry_connection = False
    return session


class HttpAnswer(NamedTuple):
    """An HTTP response. ``body`` is None if it was larger than allowed."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None


class Connections:
    """A pool of connections to the host in ``address``. Needs a running event loop."""

    def __init__(self, address: URL, connections_max: int) -> None:
        """A ``connections_max`` of 0 means no limit."""
        self._loop = asyncio.get_running_loop()
        self.connector = aiohttp.TCPConnector(limit=connections_max)
        #: only gives the connector the address; this request is never sent
        self._target = ClientRequest("GET", address, loop=self._loop)
        #: unused connections with the time each was last used, oldest first
        self._kept: deque[tuple[Connection, float]] = deque()
        self._used: set[Connection] = set()

    def kept(self) -> Connection | None:
        """Take an open connection out of the pool. Return None if there is none."""
        kept = self._kept
        while kept:
            connection, since_s = kept.pop()
            protocol = connection.protocol
            if (
                protocol is not None
                and protocol.is_connected()
                and not protocol.should_close
                and self._loop.time() - since_s < _KEPT_S
            ):
                self._used.add(connection)
                return connection
            connection.close()
        return None

    async def connect(self, timeout_s: float) -> Connection:
        """Open a connection. Raises TimeoutError, aiohttp.ClientError and OSError."""
        timeout = aiohttp.ClientTimeout(connect=timeout_s)
        connection = await self.connector.connect(self._target, [], timeout)
        self._expect_answer(connection)
        self._used.add(connection)
        return connection

    @staticmethod
    def write(connection: Connection, request: bytes) -> None:
        """Write a request. Raises ConnectionResetError; later errors are raised by `read`."""
        transport = connection.transport
        if transport is None:
            raise ConnectionResetError("the connection was lost before the request was written")
        transport.write(request)

    @staticmethod
    async def read(connection: Connection, size_max: int) -> HttpAnswer:
        """Read the response to the last request. Raises aiohttp.ClientError, OSError, ValueError and
        aiohttp.http_exceptions.HttpProcessingError.
        """
        protocol = connection.protocol
        if protocol is None:
            raise aiohttp.ServerDisconnectedError
        while True:
            message, payload = await protocol.read()
            if not 100 <= message.code < 200 or message.code == 101:
                break
        chunks, size = [], 0
        async for chunk in payload.iter_chunked(_READ_CHUNK):
            size += len(chunk)
            if size > size_max:
                return HttpAnswer(message.code, message.headers, None)
            chunks.append(chunk)
        return HttpAnswer(message.code, message.headers, b"".join(chunks))

    def leave(self, connection: Connection) -> None:
        """Return a connection to the pool after its response was read completely, and close connections that have been
        unused for too long.
        """
        protocol = connection.protocol
        if protocol is None or not protocol.is_connected() or protocol.should_close:
            self.drop(connection)
        else:
            self._used.discard(connection)
            self._expect_answer(connection)
            self._kept.append((connection, self._loop.time()))
        while self._kept and self._loop.time() - self._kept[0][1] >= _KEPT_S:
            self._kept.popleft()[0].close()

    def drop(self, connection: Connection) -> None:
        """Close a connection on which the response to the last request may still arrive."""
        self._used.discard(connection)
        connection.close()

    @staticmethod
    def _expect_answer(connection: Connection) -> None:
        # prepares the parser now, so that the next request does not have to wait for it
        protocol = connection.protocol
        if protocol is not None:
            protocol.set_response_params(read_until_eof=True)

    async def close(self) -> None:
        """Close every connection, including those still waiting for a response."""
        for connection in (*self._used, *(connection for connection, _ in self._kept)):
            connection.close()
        self._used.clear()
        self._kept.clear()
        await self.connector.close()
