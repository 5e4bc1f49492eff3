"""The page's server: one HTML file, one WebSocket, reports and commands."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from botkit.errors import BotkitError, ConfigError
from botkit.page.access import ADDRESS, PageAccess
from botkit.page.bots import Bots
from botkit.page.control import CommandRefused, carry_out, decoded
from botkit.page.front import page_html, page_policy
from botkit.page.reports import POLICY, Reports
from botkit.page.viewers import PageView, Viewer
from botkit.report import language

#: how often to check for new data while a page is open
_LOOK_S = 0.5
_VIEWED_EVERY_S = 4.0
_RUNS_EVERY_S = 10.0
#: how long a new connection may take to send the token
_GREETING_S = 10.0
#: how long a slow connection may take to receive the last message
_FAREWELL_S = 2.0
_MESSAGE_MAX = 16_384
_VIEWERS_MAX = 32
DEFAULT_PORT = 8_600

_encode = msgspec.json.Encoder().encode


class Greeting(msgspec.Struct, frozen=True):
    """The first message on a connection."""

    token: str


class PageServer:
    """Serves the page until the end of the block. Port 0 uses any free port. None uses the default port, or any free
    port if the default is taken.

    ``folders`` are the bots to show, or None for all; ``out`` is the folder with finished backtests, or None to show
    none.
    """

    def __init__(
        self,
        root: Path,
        token: str,
        *,
        port: int | None = None,
        folders: Sequence[Path] | None = None,
        out: Path | None = None,
    ) -> None:
        self.bots = Bots(root, folders)
        self.access = PageAccess(token, self.bots.hosts)
        self._port = port
        #: the page uses the language of the command that serves it; sentences from bots are translated here
        self._language = language.current()
        self._html = page_html()
        self._reports = None if out is None else Reports(out)
        self._runs: list[dict[str, Any]] = []
        self._viewers: dict[Viewer, asyncio.Event] = {}
        #: held while the bots' files are read in another thread, and while a message is built from their data
        self._reading = asyncio.Lock()
        self._telling: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._looking: asyncio.Task[None] | None = None
        self._is_closing = False

    @property
    def address(self) -> str:
        """The page's address. The token is in the fragment, which browsers do not send."""
        return f"http://{ADDRESS}:{self.access.port}/#token={self.access.token}"

    async def __aenter__(self) -> PageServer:
        app = web.Application(middlewares=[self.access.middleware], client_max_size=_MESSAGE_MAX)
        app.router.add_get("/", self._page)
        app.router.add_get("/live", self._live)
        app.router.add_post("/ticket", self._ticket)
        app.router.add_post("/command", self._command)
        app.router.add_get("/report/{ticket}", self._report)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await self._listen(self._runner)
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"--page-port {self._port}: {error.strerror or error}; choose another port, or 0 for any free port"
            ) from None
        self.access.port = int(self._runner.addresses[0][1])
        await asyncio.to_thread(self._look, whole=False)
        self._looking = asyncio.create_task(self._keep_looking(), name="page")
        return self

    async def _listen(self, runner: web.AppRunner) -> None:
        wanted = DEFAULT_PORT if self._port is None else self._port
        try:
            await web.TCPSite(runner, ADDRESS, wanted).start()
        except OSError:
            if self._port is not None:
                raise
            await web.TCPSite(runner, ADDRESS, 0).start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._look, whole=True)  # read the final state of a bot that has just exited
        self._is_closing = True
        for news in self._viewers.values():
            news.set()
        if self._telling:
            await asyncio.wait(self._telling, timeout=_FAREWELL_S)
        if self._runner is not None:
            await self._runner.cleanup()

    # -- looking --------------------------------------------------------------------------------------------------

    async def _keep_looking(self) -> None:
        viewed_at = runs_at = 0.0
        while True:
            if self._viewers:
                now = time.monotonic()
                if now - viewed_at > _VIEWED_EVERY_S:
                    viewed_at = now
                    self._show_viewers()
                if now - runs_at > _RUNS_EVERY_S and self._reports is not None:
                    runs_at = now
                    self._runs = await asyncio.to_thread(self._reports.all)
                async with self._reading:
                    await asyncio.to_thread(self._look, whole=True)
                for news in self._viewers.values():
                    news.set()
            await asyncio.sleep(_LOOK_S)

    def _look(self, *, whole: bool) -> None:
        looked_at = {viewer.look.bot for viewer in self._viewers}
        for bot in self.bots.all():
            bot.look(whole=whole and bot.id in looked_at)

    def _show_viewers(self) -> None:
        for bot_id in {viewer.look.bot for viewer in self._viewers}:
            bot = self.bots.get(bot_id)
            if bot is not None:
                bot.show_viewer()

    # -- answering ------------------------------------------------------------------------------------------------

    async def _page(self, request: web.Request) -> web.Response:
        host = request.headers["Host"]  # already checked
        policy = f"{page_policy()}; connect-src 'self' ws://{host} wss://{host}"
        return web.Response(text=self._html, content_type="text/html", headers={"Content-Security-Policy": policy})

    async def _ticket(self, request: web.Request) -> web.Response:
        self.access.require(request)
        asked = await request.json()
        ticket = None
        if self._reports is not None and isinstance(asked, dict):
            ticket = await asyncio.to_thread(self._reports.ticket, asked.get("run"))
        if ticket is None:
            raise web.HTTPNotFound(text=self._said("there is no such report") + "\n")
        return web.json_response({"ticket": ticket})

    async def _command(self, request: web.Request) -> web.Response:
        self.access.require(request)
        try:
            command = decoded(await request.read())
            bot = self.bots.get(command.bot)
            if bot is None:
                raise CommandRefused(f"there is no bot {command.bot}")
            reply = await asyncio.to_thread(carry_out, bot, command)
        except BotkitError as error:
            return web.json_response({"ok": False, "text": self._said(str(error))})
        return web.json_response({"ok": True, "text": self._said(reply)})

    def _said(self, text: str) -> str:
        """Return the lines of a reply in the page's language."""
        with language.using(self._language):
            return "\n".join(map(language.told, text.split("\n")))

    async def _report(self, request: web.Request) -> web.Response:
        content = None
        if self._reports is not None:
            content = await asyncio.to_thread(self._reports.take, request.match_info["ticket"])
        if content is None:
            raise web.HTTPNotFound(
                text=self._said("this link was already used or has expired; open the report from the page again") + "\n"
            )
        headers = {"Content-Security-Policy": POLICY}
        return web.Response(body=content, content_type="text/html", charset="utf-8", headers=headers)

    async def _live(self, request: web.Request) -> web.WebSocketResponse:
        if "Origin" not in request.headers:
            raise web.HTTPForbidden(text="this page only accepts its own requests\n")
        socket = web.WebSocketResponse(heartbeat=20, max_msg_size=_MESSAGE_MAX)
        await socket.prepare(request)
        if not await self._is_greeted(socket):
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"the token is missing or wrong")
            return socket
        if len(self._viewers) >= _VIEWERS_MAX:
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too many pages are open")
            return socket
        viewer, news = Viewer(), asyncio.Event()
        self._viewers[viewer] = news
        telling = asyncio.create_task(self._tell(socket, viewer, news), name="page viewer")
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
        try:
            await self._listen_to(socket, viewer, news)
        finally:
            del self._viewers[viewer]
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling
        return socket

    async def _is_greeted(self, socket: web.WebSocketResponse) -> bool:
        try:
            async with asyncio.timeout(_GREETING_S):
                message = await socket.receive()
            if message.type is not WSMsgType.TEXT:
                return False
            return self.access.knows(msgspec.json.decode(message.data, type=Greeting).token)
        except (TimeoutError, msgspec.MsgspecError):
            return False

    async def _listen_to(self, socket: web.WebSocketResponse, viewer: Viewer, news: asyncio.Event) -> None:
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            try:
                viewer.looks_at(msgspec.json.decode(message.data, type=PageView))
            except msgspec.MsgspecError:
                break
            bot = self.bots.get(viewer.look.bot)
            if bot is not None:
                bot.show_viewer()
                async with self._reading:
                    await asyncio.to_thread(bot.look, whole=True)
            else:  # bots may have started or stopped while no page was open
                async with self._reading:
                    await asyncio.to_thread(self._look, whole=False)
            news.set()

    async def _tell(self, socket: web.WebSocketResponse, viewer: Viewer, news: asyncio.Event) -> None:
        """Send new data to a viewer. On a slow connection, intermediate states are skipped instead of queued."""
        with contextlib.suppress(ConnectionError):
            while not socket.closed:
                await news.wait()
                news.clear()
                async with self._reading:
                    with language.using(self._language):
                        message = viewer.news(self.bots, self.bots.all(), self._runs)
                if message is not None:
                    await socket.send_str(_encode(message).decode())
                if self._is_closing:
                    await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the page's server has ended")
