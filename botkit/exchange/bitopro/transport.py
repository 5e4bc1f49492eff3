"""Makes HTTP calls to BitoPro. Each call is sent once and is limited in time and size. The type of an error tells the
caller what to do next.

Two aiohttp defaults must be off. One repeats GET, PUT and DELETE after a dropped keep-alive connection (a repeated
cancel counts twice). The other follows redirects to any host, with the ``X-BITOPRO-*`` headers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from botkit.errors import OutcomeUnknown, RateLimited, Refused, RequestError, TryAgain
from botkit.exchange.bitopro.sign import Credentials, nonce_headers, signed_headers
from botkit.exchange.bitopro.wire.endpoints import Endpoint
from botkit.exchange.bitopro.wire.errors import error_text
from botkit.model.clock import NS_PER_MS, NS_PER_S, Clock, Nanos, from_datetime

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_CONNECT_TIMEOUT_S = 5.0
_READ_CHUNK = 64 * 1024
#: how many answers must agree before this machine's clock is considered wrong
_DATES = 3


@lru_cache(maxsize=1024)
def _url(address: str) -> URL:
    return URL(address, encoded=True)


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
    """No connection was made, so no byte was written. The request had no effect and was not counted."""


class _SentTwiceError(Exception):
    """aiohttp was about to open a second connection for one call."""


class _Call:
    """The state of the call made by the current task."""

    __slots__ = ("connected",)

    def __init__(self) -> None:
        self.connected = False


_current_call: ContextVar[_Call | None] = ContextVar("botkit_call", default=None)


class _OnceConnector(aiohttp.TCPConnector):
    """A connector that allows one connection per call, because a second connection would send the request again."""

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        call = _current_call.get()
        if call is not None and call.connected:
            raise _SentTwiceError
        connection = await super().connect(req, traces, timeout)
        if call is not None:
            call.connected = True
        return connection


#: rate limits already bound the requests in flight; this limit only keeps a bug elsewhere from using up all file
#: handles
_CONNECTIONS_MAX = 500
#: cancels must not wait for each other's answers, because dozens go out at once when the market turns
_UNBOUNDED = 0


def once_only_session(connections_max: int, *, for_streams: bool = False) -> aiohttp.ClientSession:
    """Return a session that sends every request exactly once, to the given address only.

    Two safeguards prevent repetition. One is a switch that aiohttp provides for its own test client. That switch is
    private and may disappear, so the other is a connector that refuses to open a second connection for one call.
    ``for_streams`` also refuses redirects, because ``ws_connect`` has no parameter for that. Only streams use it: a
    trace adds 30 to 80 us to a request of about 1,500.
    """
    traces = []
    if for_streams:
        trace = aiohttp.TraceConfig()

        async def on_redirect(_session: Any, _context: Any, _params: Any) -> None:
            raise aiohttp.ClientError("the server sent a redirect, which botkit does not follow")

        trace.on_request_redirect.append(on_redirect)
        traces.append(trace)
    session = aiohttp.ClientSession(
        connector=_OnceConnector(limit=connections_max),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept": "application/json", "User-Agent": "botkit"},
        trust_env=False,
        trace_configs=traces,
    )
    if hasattr(session, "_retry_connection"):
        session._retry_connection = False
    return session


class Transport:
    """Makes signed and unsigned calls to one REST base URL. Urgent calls have their own connections."""

    def __init__(self, base_url: str, credentials: Credentials | None, clock: Clock) -> None:
        self.base_url = check_url(base_url, ("https", "http"))
        self.credentials = credentials
        self.clock = clock
        #: this machine's time minus the exchange's, from the Date headers (1 s resolution) of the latest answers
        self._skews_ms: deque[int] = deque(maxlen=_DATES)
        self._sessions: list[aiohttp.ClientSession] = []

    @property
    def clock_skew_ms(self) -> int | None:
        """The offset of this machine's clock from the exchange's clock. It is the smallest difference shown by the
        latest answers, or None before the first answer.

        A large skew halts a bot, so a single bad answer must not cause a halt.
        """
        return min(self._skews_ms, key=abs, default=None)

    def open(self) -> None:
        """Create the sessions. Needs a running event loop."""
        assert not self._sessions, "opened twice"
        self._sessions = [once_only_session(_CONNECTIONS_MAX), once_only_session(_UNBOUNDED)]

    async def close(self) -> None:
        """Close every connection."""
        sessions, self._sessions = self._sessions, []
        for session in sessions:
            await session.close()

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
        """Send one request once and return the body of its 2xx answer.

        Raises NothingSent (no connection), TryAgain (a read failed), RateLimited (429), Refused (another 4xx) or
        OutcomeUnknown (a write was or may have been sent, but no clear answer came back).
        """
        if not self._sessions:
            raise RuntimeError("the client is not open; use `async with BitoProClient(...) as client:`")
        what = f"{endpoint.method} {path}"
        headers = self._headers(endpoint, body)
        address = self.base_url + path
        url = URL(f"{address}?{urlencode(query)}", encoded=True) if query else _url(address)
        call = _Call()
        token = _current_call.set(call)
        started = self.clock.now()
        try:
            async with self._sessions[urgent].request(
                endpoint.method,
                url,
                headers=headers,
                data=body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s, connect=min(timeout_s, connect_timeout_s)),
            ) as response:
                if response.content_type != "text/html":  # an HTML page comes from a proxy in front of the exchange
                    self._note_date(response.headers.get("Date"), started)
                answer = await _read(response, size_max)
                status = response.status
        except (TimeoutError, aiohttp.ClientError, OSError, _SentTwiceError, ValueError) as error:
            failure = _no_answer(what, endpoint, error, connected=call.connected, timeout_s=timeout_s)
        else:
            if answer is None:
                failure = _unclear(what, endpoint, status, f"the answer has more than {size_max} bytes")
            elif 200 <= status < 300:
                return answer
            else:
                failure = self._failure(what, endpoint, status, answer)
        finally:
            _current_call.reset(token)  # the task may make another call or open a stream next
        # raised outside the handlers; otherwise aiohttp's error, which contains the signed headers, would be kept as
        # its context
        raise failure

    def _headers(self, endpoint: Endpoint, body: bytes | None) -> dict[str, str]:
        headers = {} if body is None else {"Content-Type": "application/json"}
        if endpoint.private:
            if self.credentials is None:
                raise Refused(f"{endpoint.method} {endpoint.path} needs an account; give email, key and secret")
            if body is None:
                headers |= nonce_headers(self.credentials, self.clock.now() // NS_PER_MS)
            else:
                headers |= signed_headers(self.credentials, body)
        return headers

    def _note_date(self, date: str | None, started: Nanos) -> None:
        try:
            server = from_datetime(parsedate_to_datetime(date)) if date else None
        except ValueError:
            return
        if server is not None:
            middle = (started + self.clock.now()) // 2
            # the Date header drops fractions of a second, so adding half a second is the best guess
            self._skews_ms.append((middle - server - NS_PER_S // 2) // NS_PER_MS)

    def _failure(self, what: str, endpoint: Endpoint, status: int, body: bytes) -> RequestError:
        text = error_text(body)
        message = f"{what}: {status} {text}".rstrip()
        if status == 429:
            return RateLimited(message, status=status, text=text)
        if status == 409 and self._skews_ms:
            skew_ms = self._skews_ms[-1]
            ahead = "ahead of" if skew_ms > 0 else "behind"
            clock = f" (this machine's clock is about {abs(skew_ms)} ms {ahead} the exchange's, to the second)"
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


async def _read(response: aiohttp.ClientResponse, size_max: int) -> bytes | None:
    """Return the body, or None if it is larger than allowed. The total timeout also bounds a slow body."""
    chunks, size = [], 0
    async for chunk in response.content.iter_chunked(_READ_CHUNK):
        size += len(chunk)
        if size > size_max:
            response.close()
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _unclear(what: str, endpoint: Endpoint, status: int, text: str) -> RequestError:
    message = f"{what}: {status} {text}".rstrip()
    if endpoint.is_write:
        return OutcomeUnknown(f"{message}; it may have taken effect", status=status, text=text)
    return TryAgain(message, status=status, text=text)


def _no_answer(
    what: str, endpoint: Endpoint, error: BaseException, *, connected: bool, timeout_s: float
) -> RequestError:
    """Return the error for a call that got no answer. If no connection was made, no byte was written."""
    if isinstance(error, asyncio.TimeoutError):
        reason = f"no answer within {timeout_s:g} s" if connected else "no connection within the time limit"
    elif isinstance(error, _SentTwiceError):
        reason = "the connection was dropped"
    else:
        # show only the class and the first line, because some aiohttp messages quote the received data
        reason = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else 'connection dropped'}"
    if not connected:
        return NothingSent(f"{what}: nothing was sent: {reason}", text=reason)
    if endpoint.is_write:
        return OutcomeUnknown(f"{what}: {reason}; it may have taken effect", text=reason)
    return TryAgain(f"{what}: {reason}", text=reason)
