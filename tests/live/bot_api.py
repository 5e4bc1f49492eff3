"""A server that implements the part of Telegram's Bot API used by botkit, including the relevant limits."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import web

TOKEN = "7000000001:AAcanary_9c1f55e0-d27b_4a6ea1b2c3d4e5f6"
CHAT, USER = 424242, 515151
PATIENCE_S = 120.0


class BotApiServer:
    """Serves one Telegram bot. A test acts as the user with `write` and `press`, and finds the bot's messages in
    `sent`.
    """

    def __init__(self, *, per_second: int | None = 1) -> None:
        """Respond with 429 if a chat gets more than ``per_second`` messages in a second."""
        self.sent: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.answered: list[dict[str, Any]] = []
        #: how many times two programs polled for updates simultaneously
        self.conflicts = 0
        self.refusals = 0
        #: responses that the next sendMessage calls return instead of accepting the messages
        self.scripted: deque[tuple[int, dict[str, Any]]] = deque()
        #: if set, builds the response to every request
        self.instead: Callable[[], web.Response] | None = None
        self._per_second = per_second
        self._times: deque[float] = deque()
        self._updates: list[dict[str, Any]] = []
        self._number = 100
        self._waiting: asyncio.Event | None = None
        self._news = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.address = ""

    async def __aenter__(self) -> BotApiServer:
        app = web.Application()
        app.router.add_post("/bot{token}/{method}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *ended: object) -> None:
        assert self._runner is not None
        if self._waiting is not None:
            self._waiting.set()
        await self._runner.cleanup()

    # -- the user -----------------------------------------------------------------------------------------------------

    def write(self, text: str, *, chat: int = CHAT, user: int = USER, age_s: float = 0.0) -> None:
        """Send a message to the bot as the user would."""
        message = {
            "message_id": self._number,
            # Telegram's dates have a resolution of one second. A date that was rounded down may precede the start of a
            # bot that already responds, and botkit correctly drops messages sent before its start.
            "date": math.ceil(time.time() - age_s),
            "chat": {"id": chat, "type": "private" if chat > 0 else "group"},
            "from": {"id": user, "is_bot": False, "first_name": "U"},
            "text": text,
        }
        self._update({"message": message})

    def press(self, data: str, *, chat: int = CHAT, user: int = USER) -> None:
        """Press a button as the user would."""
        message = {"message_id": 7, "date": int(time.time()), "chat": {"id": chat, "type": "private"}}
        press = {"id": f"p{self._number}", "from": {"id": user}, "message": message, "data": data, "chat_instance": "1"}
        self._update({"callback_query": press})

    def _update(self, update: dict[str, Any]) -> None:
        self._number += 1
        self._updates.append({"update_id": self._number, **update})
        self._news.set()

    @property
    def texts(self) -> list[str]:
        """The texts of all messages sent by the bot."""
        return [message["text"] for message in self.sent]

    async def answer(self, *parts: str, after: int = 0) -> str:
        """Wait for a message that contains all of ``parts``, and return it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for text in self.texts[after:]:
                    if all(part in text for part in parts):
                        return text
                await asyncio.sleep(0.01)

    async def button(self, label: str) -> str:
        """Wait for a button whose label starts with ``label`` in the latest message with buttons, and return its
        data.
        """
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for message in reversed(self.sent):
                    for row in message.get("reply_markup", {}).get("inline_keyboard", ()):
                        for key in row:
                            if key["text"].startswith(label):
                                return str(key["callback_data"])
                await asyncio.sleep(0.01)

    # -- the wire -----------------------------------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self.instead is not None:
            return self.instead()
        method = request.match_info["method"]
        self.calls.append(method)
        if request.match_info["token"] != TOKEN:
            return _refused(401, "Unauthorized")
        given = await request.json()
        if method == "getMe":
            return _ok({"id": 7000000001, "is_bot": True, "username": "canary_bot", "first_name": "c"})
        if method == "getUpdates":
            return await self._get_updates(given)
        if method == "sendMessage":
            return self._send(given)
        if method in ("answerCallbackQuery", "editMessageReplyMarkup"):
            self.answered.append({"method": method, **given})
            return _ok(True)
        return _refused(404, "Not Found: method not found")

    async def _get_updates(self, given: dict[str, Any]) -> web.Response:
        if self._waiting is not None:
            # Telegram aborts the older call, so both programs eventually notice the conflict
            self.conflicts += 1
            self._waiting.set()
        mine = self._waiting = asyncio.Event()
        self._updates = [update for update in self._updates if update["update_id"] >= given.get("offset", 0)]
        now = asyncio.get_running_loop().time
        end = now() + given.get("timeout", 0)
        while not self._updates and not mine.is_set() and now() < end:
            self._news.clear()
            both = [asyncio.ensure_future(self._news.wait()), asyncio.ensure_future(mine.wait())]
            await asyncio.wait(both, timeout=end - now(), return_when=asyncio.FIRST_COMPLETED)
            for one in both:
                one.cancel()
        if mine.is_set():
            return _refused(409, "Conflict: terminated by other getUpdates request")
        self._waiting = None
        return _ok(self._updates[:100])

    def _send(self, given: dict[str, Any]) -> web.Response:
        if self.scripted:
            code, more = self.scripted.popleft()
            return _refused(code, more.pop("description", "Too Many Requests"), **more)
        now = time.monotonic()
        # slightly less than a second, because requests take time to arrive
        while self._times and self._times[0] <= now - 0.9:
            self._times.popleft()
        if self._per_second is not None and len(self._times) >= self._per_second:
            self.refusals += 1
            return _refused(429, "Too Many Requests: retry after 1", retry_after=1)
        self._times.append(now)
        if len(given["text"].encode("utf-16-le")) > 2 * 4096:
            return _refused(400, "Bad Request: message is too long")
        self.sent.append(given)
        return _ok({"message_id": len(self.sent), "date": int(time.time()), "chat": {"id": given["chat_id"]}})


def _ok(result: object) -> web.Response:
    return web.json_response({"ok": True, "result": result})


def _refused(code: int, description: str, **parameters: Any) -> web.Response:
    row: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    return web.json_response({**row, "parameters": parameters} if parameters else row, status=code)
