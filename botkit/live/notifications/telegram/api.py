"""Calls Telegram's Bot API over HTTPS.

The token is part of every address, and the errors of HTTP libraries quote addresses. This module therefore logs nothing
and writes its own error messages. It uses the standard library's client for two reasons. First, this client neither
logs nor follows redirects, which would send the token elsewhere. Second, a call that waits for updates can be aborted
from another thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from botkit.live.notifications.logs import HIDDEN

ADDRESS = "https://api.telegram.org"
_TOKEN = re.compile(r"\d{3,20}:[A-Za-z0-9_-]{20,80}\Z", re.ASCII)
_LOCAL = ("127.0.0.1", "::1", "localhost")
_SIZE_MAX = 4_000_000
_TIMEOUT_S = 10.0
#: HTTP status codes and Telegram's own error codes
UNAUTHORIZED, NOT_FOUND, CONFLICT, TOO_MANY = 401, 404, 409, 429


class TelegramError(Exception):
    """A call failed. The text is a sentence without address or token. ``code`` is Telegram's error code, or 0 if
    Telegram was not reached. ``retry_after_s`` is the pause that Telegram requests, or 0.
    """

    def __init__(self, text: str, *, code: int = 0, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.code = code
        self.retry_after_s = retry_after_s


def check_token(token: object) -> str:
    """Validate a Telegram bot's token and return it. Raises ValueError with a message that does not quote the token."""
    if not isinstance(token, str) or not _TOKEN.match(token):
        raise ValueError(
            "this is not a Telegram token; @BotFather issues tokens such as 123456789:AA...; write ${NAME}"
        )
    return token


def check_address(address: object) -> str:
    """Validate the address of a Bot API server and return it. The token is sent to this server. Raises ValueError."""
    split = urlsplit(address if isinstance(address, str) else "")
    if split.scheme == "https" or (split.scheme == "http" and split.hostname in _LOCAL):
        if split.hostname and not split.query and not split.fragment and not split.username:
            return str(address).rstrip("/")
        raise ValueError(f"write the address of a Bot API server, such as {ADDRESS}")
    raise ValueError("the server sees the token, so its address must start with https://, or http:// on this machine")


def mark_of(token: str) -> str:
    """Return a name for a token that does not reveal the token: part of its hash."""
    return hashlib.sha256(b"botkit telegram " + token.encode()).hexdigest()[:16]


class BotApi:
    """One Telegram bot. Calls may be made from any thread. Each call opens its own connection."""

    def __init__(self, token: str, address: str = ADDRESS) -> None:
        split = urlsplit(address)
        self._is_secure = split.scheme == "https"
        self._host, self._port = split.hostname or "", split.port
        self._token = token
        self._path = f"{split.path}/bot{token}/"
        self._open: set[HTTPConnection] = set()
        self._is_closed = False

    def __repr__(self) -> str:
        return "<BotApi, hidden>"

    def call(self, method: str, *, timeout_s: float = _TIMEOUT_S, **parameters: Any) -> Any:
        """Call a method of the Bot API and return its result. Raises TelegramError."""
        given = {name: value for name, value in parameters.items() if value is not None}
        answer, problem = self._exchange(method, json.dumps(given).encode(), timeout_s)
        # raised outside of any `except`, so that a library's error is not kept as its context
        if answer is None:
            raise TelegramError(problem)
        if answer.get("ok") is True:
            return answer.get("result")
        raise self._refusal(answer)

    def close(self) -> None:
        """Abort all waiting calls and refuse new ones."""
        self._is_closed = True
        for connection in tuple(self._open):
            plugged = connection.sock
            if plugged is not None:
                with contextlib.suppress(OSError):
                    plugged.shutdown(socket.SHUT_RDWR)

    # -- within -------------------------------------------------------------------------------------------------------

    def _exchange(self, method: str, body: bytes, timeout_s: float) -> tuple[dict[str, Any] | None, str]:
        """Return (Telegram's response, "") or (None, an error message)."""
        make = HTTPSConnection if self._is_secure else HTTPConnection
        connection = make(self._host, self._port, timeout=timeout_s)
        self._open.add(connection)
        try:
            if self._is_closed:
                return None, "the connection to Telegram is closed"
            connection.request("POST", self._path + method, body, {"Content-Type": "application/json"})
            with connection.getresponse() as response:
                content = response.read(_SIZE_MAX)
            found = json.loads(content)
        except OSError as error:
            return None, f"Telegram cannot be reached ({error.strerror or type(error).__name__})"
        except (HTTPException, ValueError, RecursionError, AttributeError) as error:
            return None, f"Telegram's answer cannot be read ({type(error).__name__})"
        finally:
            self._open.discard(connection)
            connection.close()
        if not isinstance(found, dict):
            return None, "Telegram's answer cannot be read"
        return found, ""

    def _refusal(self, answer: dict[str, Any]) -> TelegramError:
        code, more = answer.get("error_code"), answer.get("parameters")
        code = code if isinstance(code, int) else 0
        more = more if isinstance(more, dict) else {}
        said = str(answer.get("description", "no reason given")).replace(self._token, HIDDEN)[:300]
        if code in (UNAUTHORIZED, NOT_FOUND):
            return TelegramError(f"Telegram does not know this token ({said}); get it from @BotFather", code=code)
        moved = more.get("migrate_to_chat_id")
        if isinstance(moved, int):
            return TelegramError(f"the chat has become a supergroup; write `chat: {moved}`", code=code)
        pause = more.get("retry_after")
        retry_after_s = float(pause) if isinstance(pause, (int, float)) and pause > 0 else 0.0
        if code == TOO_MANY and not retry_after_s:
            retry_after_s = 5.0
        return TelegramError(f"Telegram refuses: {said}", code=code, retry_after_s=retry_after_s)
