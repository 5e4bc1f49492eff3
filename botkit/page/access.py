"""Restricts access to the page to browsers that have the token and run on this machine or at the other end of a tunnel.

* The server listens only on the loopback address.
* The Host header must be a known name, so that an attacker's name that resolves to 127.0.0.1 (DNS rebinding) is
  refused.
* The Origin header of a request, if present, must be the page's own origin, not another site or another port.
* Every request except the one for the page's own file needs the token, sent in a header or in the first
  WebSocket message.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from botkit.live.state_folder import StateFolder

ADDRESS = "127.0.0.1"
_LOOPBACK = ("127.0.0.1", "localhost")
_TOKEN_BYTES = 32
_TOKEN_FILE = "page-token"
HEADER = "X-Botkit-Token"
#: for every response; the page and reports add their own policy
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_NOTHING = "default-src 'none'; frame-ancestors 'none'"


def kept_token(root: Path) -> str:
    """Return this user's token. The token does not change, so an open page can reconnect after its server restarts.

    Anyone who can read the token can also leave commands in the bots' folders. If the file is deleted, a new token is
    created.
    """
    files = StateFolder(root).disk.files
    path = root / _TOKEN_FILE
    try:
        found = files.read(path).decode("ascii").strip()
        if len(found) >= _TOKEN_BYTES:
            return found
    except (OSError, UnicodeDecodeError):
        pass
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    files.write(path, token.encode("ascii"))
    return token


class PageAccess:
    """Validates requests to one server. ``names`` returns additional Host names allowed by the bots' configurations."""

    def __init__(self, token: str, names: Callable[[], Iterable[str]]) -> None:
        self.token = token
        self.port = 0
        self._names = names

    def knows(self, token: object) -> bool:
        """Return whether a token is the page's token. The comparison takes constant time."""
        given = token if isinstance(token, str) else ""
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self.token.encode())

    def require(self, request: web.Request) -> None:
        """Raise HTTPForbidden unless the request's header contains the token."""
        if not self.knows(request.headers.get(HEADER)):
            raise web.HTTPForbidden(text="the token is missing or wrong\n")

    def is_own_host(self, host: str) -> bool:
        """Return whether a Host header contains one of the page's host names."""
        name, _, port = host.partition(":")
        if name in _LOOPBACK:
            return port == str(self.port)
        return name.lower() in set(self._names()) and (not port or port.isdigit())

    @staticmethod
    def is_own_origin(request: web.Request) -> bool:
        """Return whether a request has the page's own origin, or no origin at all."""
        origin = request.headers.get("Origin")
        if origin is not None:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or parts.netloc.lower() != request.headers.get("Host", "").lower():
                return False
        return request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")

    @property
    def middleware(self) -> Middleware:
        """Refuse cross-origin requests and unknown hosts, and add the headers common to all responses."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            hosts = request.headers.getall("Host", [])
            if len(hosts) != 1 or not self.is_own_host(hosts[0]):
                return _hardened(web.Response(status=421, text="this page does not accept that host name\n"))
            if not self.is_own_origin(request):
                return _hardened(web.Response(status=403, text="this page only accepts its own requests\n"))
            try:
                response: web.StreamResponse = await handler(request)
            except web.HTTPException as error:
                response = error
            return _hardened(response)

        return check


def _hardened(response: web.StreamResponse) -> web.StreamResponse:
    if not response.prepared:  # a WebSocket response has already been sent
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Security-Policy", _NOTHING)
    return response
