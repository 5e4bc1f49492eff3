"""Makes HTTP calls to BitoPro. Each call is sent once, with a time limit and a size limit. The type of an error tells
the caller what to do next.

A call is never repeated after a dropped keep-alive connection, because the exchange would count a repeated cancel
twice. Redirects are not followed, because they may lead to any host, which would receive the ``X-BITOPRO-*`` headers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from botkit.errors import OutcomeUnknown, RateLimited, Refused, RequestError, TryAgain
from botkit.exchange.bitopro.connections import Connections
from botkit.exchange.bitopro.sign import Credentials, nonce_payload
from botkit.exchange.bitopro.wire.endpoints import Endpoint
from botkit.exchange.bitopro.wire.errors import error_text
from botkit.model.clock import NS_PER_MS, NS_PER_S, Clock, Nanos, from_datetime

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_CONNECT_TIMEOUT_S = 5.0
#: number of responses that must agree before this machine's clock is assumed to be wrong
_DATES = 3


def check_url(url: str, schemes: tuple[str, str]) -> str:
    """Return the address without trailing slashes. ``schemes`` is (encrypted, plain). The plain scheme is allowed only
    for addresses on this machine.

    Raises ValueError explaining what is wrong with the address.
    """
    parsed = URL(url)
    secure, plain = schemes
    if parsed.scheme not in schemes or not parsed.host:
        raise ValueError(f"{url!r} is not a valid exchange address; it must start with {secure}://")
    if parsed.scheme == plain and parsed.host not in _LOOPBACK:
        raise ValueError(f"{url!r} is not encrypted; {plain}:// is for an emulator on this machine only")
    if parsed.user or parsed.password or parsed.query_string or parsed.fragment:
        raise ValueError("an exchange address must not contain a user, query or fragment")
    return url.rstrip("/")


class NothingSent(TryAgain):
    """No connection was made, so no byte was written. The request had no effect and did not count toward any rate
    limit.
    """


#: rate limits already bound the number of requests in flight; this only keeps a bug elsewhere from using up all file
#: handles
_CONNECTIONS_MAX = 500
#: no cancel may wait for the response to another one, because dozens are sent at once when the market turns
_UNBOUNDED = 0


class Call:
    """A request started by `Transport.begin`, whose response has not been read yet."""

    __slots__ = (
        *("_transport", "_connections", "_connection", "_request", "_started"),
        *("_endpoint", "_path", "_timeout_s", "_connect_timeout_s", "_size_max"),
    )

    def __init__(
        self,
        transport: Transport,
        connections: Connections,
        endpoint: Endpoint,
        path: str,
        request: bytes,
        timeout_s: float,
        connect_timeout_s: float,
        size_max: int,
    ) -> None:
        self._transport = transport
        self._connections = connections
        self._endpoint = endpoint
        self._path = path
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._size_max = size_max
        self._request = request
        self._connection = connections.kept()
        if self._connection is not None:
            connections.write(self._connection, request)
        self._started = transport.clock.now()

    async def answer(self) -> bytes:
        """Return the body of a 2xx response. Call this once. Raises the same errors as `Transport.call`."""
        connections, endpoint = self._connections, self._endpoint
        what = f"{endpoint.method} {self._path}"
        connection, is_read = self._connection, False
        try:
            async with asyncio.timeout(self._timeout_s):
                if connection is None:
                    connection = await connections.connect(min(self._timeout_s, self._connect_timeout_s))
                    connections.write(connection, self._request)
                status, headers, answer = await connections.read(connection, self._size_max)
            is_read = answer is not None
        except (TimeoutError, aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            is_connected = connection is not None
            failure = _no_answer(what, endpoint, error, connected=is_connected, timeout_s=self._timeout_s)
        else:
            if not headers.get("Content-Type", "").lower().startswith("text/html"):
                # an HTML page comes from a proxy in front of the exchange
                self._transport.note_date(headers.get("Date"), self._started)
            if answer is None:
                failure = _unclear(what, endpoint, status, f"the answer has more than {self._size_max} bytes")
            elif 200 <= status < 300:
                return answer
            else:
                failure = self._transport.failure(what, endpoint, status, answer)
        finally:
            if connection is not None:
                (connections.leave if is_read else connections.drop)(connection)
        # raised outside the handlers; otherwise aiohttp's error would be kept as its context
        raise failure


class Transport:
    """Makes signed and unsigned calls to one REST base URL. Urgent calls have their own connections."""

    def __init__(self, base_url: str, credentials: Credentials | None, clock: Clock) -> None:
        self.base_url = check_url(base_url, ("https", "http"))
        self.credentials = credentials
        self.clock = clock
        #: this machine's time minus the exchange's time, from the Date headers (1 s resolution) of the latest responses
        self._skews_ms: deque[int] = deque(maxlen=_DATES)
        self._pools: list[Connections] = []
        url = URL(self.base_url)
        assert url.raw_host is not None
        host = f"[{url.raw_host}]" if ":" in url.raw_host else url.raw_host
        #: the parts that all requests share: the beginning of the path, and everything from the HTTP version on
        self._root = url.raw_path.rstrip("/")
        self._constant = (
            f" HTTP/1.1\r\nHost: {host if url.is_default_port() else f'{host}:{url.port}'}\r\n"
            "Accept: application/json\r\nAccept-Encoding: gzip, deflate\r\nUser-Agent: botkit\r\n"
        )

    @property
    def clock_skew_ms(self) -> int | None:
        """The offset of this machine's clock from the exchange's clock. It is the smallest difference found in the
        latest responses, or None before the first response.

        A large skew halts a bot, so a single bad response must not cause a halt.
        """
        return min(self._skews_ms, key=abs, default=None)

    def open(self) -> None:
        """Create the connection pools. Needs a running event loop."""
        assert not self._pools, "opened twice"
        address = URL(self.base_url)
        self._pools = [Connections(address, _CONNECTIONS_MAX), Connections(address, _UNBOUNDED)]

    async def close(self) -> None:
        """Close all connections."""
        pools, self._pools = self._pools, []
        for pool in pools:
            await pool.close()

    async def call(
        self,
        endpoint: Endpoint,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float,
        connect_timeout_s: float = _CONNECT_TIMEOUT_S,
        size_max: int = 2 * 2**20,
        urgent: bool = False,
    ) -> bytes:
        """Send one request once and return the body of its 2xx response.

        Raises NothingSent (no connection), TryAgain (a read failed), RateLimited (429), Refused (another 4xx) or
        OutcomeUnknown (a write was or may have been sent, but no clear response was received).
        """
        return await self.begin(
            endpoint,
            path,
            query=query,
            body=body,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            size_max=size_max,
            urgent=urgent,
        ).answer()

    def begin(
        self,
        endpoint: Endpoint,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float,
        connect_timeout_s: float = _CONNECT_TIMEOUT_S,
        size_max: int = 2 * 2**20,
        urgent: bool = False,
    ) -> Call:
        """Start one request. If a connection is open, the request is written now; otherwise `Call.answer` writes it.

        Raises Refused if the request needs an account and there is none.
        """
        if not self._pools:
            raise RuntimeError("the client is not open; use `async with BitoProClient(...) as client:`")
        request = self._request(endpoint, f"{path}?{urlencode(query)}" if query else path, body)
        return Call(self, self._pools[urgent], endpoint, path, request, timeout_s, connect_timeout_s, size_max)

    def _request(self, endpoint: Endpoint, target: str, body: bytes | None) -> bytes:
        """Return the bytes of a request: the head and the signed body. Raises Refused if the request needs an account
        and there is none.
        """
        signed, credentials = "", self.credentials
        if endpoint.private:
            if credentials is None:
                raise Refused(f"{endpoint.method} {endpoint.path} needs an account; give email, key and secret")
            payload = nonce_payload(credentials, self.clock.now() // NS_PER_MS) if body is None else body
            signed = credentials.signed_head(payload)
        head = f"{endpoint.method} {self._root}{target}{self._constant}{signed}"
        if body is None:
            return (head + ("\r\n" if endpoint.method == "GET" else "Content-Length: 0\r\n\r\n")).encode()
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def note_date(self, date: str | None, started: Nanos) -> None:
        """Measure the clock skew from a response's Date header."""
        try:
            server = from_datetime(parsedate_to_datetime(date)) if date else None
        except ValueError:
            return
        if server is not None:
            now = self.clock.now()
            # the Date header drops fractions of a second, so half a second is added as the best estimate
            skew = (started + now) // 2 - server - NS_PER_S // 2
            # The answer was made at an unknown time within the round trip. A request that was under way while the
            # machine slept would otherwise show half of the sleep as an offset, and halt the bot.
            unknown = (now - started) // 2
            self._skews_ms.append((max(0, skew - unknown) if skew > 0 else min(0, skew + unknown)) // NS_PER_MS)

    def failure(self, what: str, endpoint: Endpoint, status: int, body: bytes) -> RequestError:
        """Return the error for a response with a status other than 2xx."""
        text = error_text(body)
        message = f"{what}: {status} {text}".rstrip()
        if status == 429:
            return RateLimited(message, status=status, text=text)
        if status == 409 and self._skews_ms:
            skew_ms = self._skews_ms[-1]
            ahead = "ahead of" if skew_ms > 0 else "behind"
            clock = f" (this machine's clock is about {abs(skew_ms)} ms {ahead} the exchange's, accurate to one second)"
            message, text = message + clock, text + clock
        if status == 408:
            return _unclear(what, endpoint, status, text or "the exchange timed out")
        if 400 <= status < 500:
            return Refused(message, status=status, text=text)
        if 300 <= status < 400:
            text = text or "a redirect, which botkit does not follow"
            if not endpoint.is_write:
                return Refused(f"{what}: {status}, {text}", status=status, text=text)
        return _unclear(what, endpoint, status, text)


def _unclear(what: str, endpoint: Endpoint, status: int, text: str) -> RequestError:
    message = f"{what}: {status} {text}".rstrip()
    if endpoint.is_write:
        return OutcomeUnknown(f"{message}; it may have taken effect", status=status, text=text)
    return TryAgain(message, status=status, text=text)


def _no_answer(
    what: str, endpoint: Endpoint, error: BaseException, *, connected: bool, timeout_s: float
) -> RequestError:
    """Return the error for a call that got no response. If no connection was made, no byte was written."""
    if isinstance(error, asyncio.TimeoutError):
        reason = f"no answer within {timeout_s:g} s" if connected else "no connection within the time limit"
    else:
        # show only the class and the first line, because some aiohttp messages quote the received data
        # (aiohttp writes ssl:default even for a plain http address)
        said = str(error).replace(" ssl:default", "")
        reason = f"{type(error).__name__}: {said.splitlines()[0][:200] if said else 'connection dropped'}"
    if not connected:
        return NothingSent(f"{what}: nothing was sent: {reason}", text=reason)
    if endpoint.is_write:
        return OutcomeUnknown(f"{what}: {reason}; it may have taken effect", text=reason)
    return TryAgain(f"{what}: {reason}", text=reason)
