"""The emulator's shell: sockets, HTTP and a clock around `EmulatedVenue`, which performs no I/O.

    async with Emulator(facts) as emulator:
        BitoProClient(..., rest_url=emulator.rest, ws_url=emulator.ws)

While the clock is running, the exchange advances with it. While the clock is held (lockstep), the exchange does not
advance, and private requests wait for `step`, which advances the exchange to the next delivery.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Mapping
from email.utils import formatdate
from types import TracebackType
from urllib.parse import unquote

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from botkit.emulator.auth import Authenticator
from botkit.emulator.clock import MACHINE_TIME, EmulatorClock, MachineTime
from botkit.emulator.faults import HANDSHAKE_KINDS, REQUEST_KINDS, Fault, Faults
from botkit.emulator.hub import Hub, Subscriber, Told, parse_pairs, stream_of
from botkit.emulator.options import EmulatorOptions
from botkit.emulator.private import PrivateDesk
from botkit.emulator.public import PUBLIC, Query
from botkit.emulator.replies import (
    BAD_BODY,
    FORBIDDEN,
    NOT_FOUND,
    TOO_MANY,
    UNAUTHORIZED,
    HttpReply,
    RefusedError,
    refusal,
)
from botkit.emulator.routes import Route, find_route
from botkit.emulator.sockets import Socket
from botkit.emulator.sources import MarketSource, SyntheticSource, TapeMarket
from botkit.emulator.spoiling import spoil_answer
from botkit.emulator.venue import ADDRESS, EmulatedVenue
from botkit.emulator.wallet import Wallet
from botkit.errors import ConfigError
from botkit.exchange.bitopro.wire.bodies import decode_withdraw
from botkit.exchange.bitopro.wire.codec import WireError
from botkit.model.clock import NS_PER_MINUTE, NS_PER_MS, NS_PER_S, Nanos
from botkit.model.extension import ExchangeFacts
from botkit.model.requests import Answer

log = logging.getLogger("botkit.emulator")
_http_log = logging.getLogger("botkit.emulator.http")
# do not log requests that are not HTTP: they are client errors, and the response has status 400
_http_log.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))

HOST = "127.0.0.1"
#: the maximum size of a header in bytes. A PUT's payload header contains the complete body, which may cancel a thousand
#: orders at once
_HEADER_MAX = 128 * 1024
_FIRST_BOOKS_NS: Nanos = 5 * NS_PER_S
#: the pump's longest sleep while no event is due, in seconds of machine time
_NAP_S = 0.25
_WALLET = {"deposit_history", "withdraw_history", "withdraw_by_serial", "withdraw_by_id", "create_withdraw"}


class Emulator:
    """A local BitoPro. ``facts`` are the exchange's pairs, limits and fees; ``machine`` is the clock."""

    def __init__(
        self, facts: ExchangeFacts, options: EmulatorOptions | None = None, *, machine: MachineTime = MACHINE_TIME
    ) -> None:
        self.options = options = options or EmulatorOptions()
        self.machine = machine
        machine_now = machine.wall_ns()
        source, start = _source(facts, options, machine_now)
        self.venue = EmulatedVenue(facts, options, source, start)
        self.clock = EmulatorClock(start, options.speed, held=options.lockstep, monotonic=machine.monotonic_ns)
        self.faults = Faults(options.seed)
        for spec in options.faults:
            self.add_fault(spec)
        self.gate = Authenticator(self.venue.accounts, options.switches)
        self.hub = Hub(self.venue)
        self.wallet = Wallet(self.venue)
        self.private = PrivateDesk(self.venue)
        self.rest = self.ws = ""
        self.port = 0
        #: number of REST requests received so far, by which lockstep identifies requests
        self.received = 0
        self._arrived = asyncio.Condition()
        self._told: list[Told] = []
        self._sockets: set[Socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: web.ServerRunner | None = None
        self._date = (0, "")
        self._headers = {
            "Access-Control-Allow-Origin": "*",
            "Content-Type": "application/json",
            "Vary": "Origin",
            "X-Response-Time": "1ms",
        }
        self._context = contextvars.copy_context()
        self._pump_timer: asyncio.TimerHandle | None = None
        #: the pump's next wake-up, in exchange time
        self._pump_at: Nanos = 0
        self._stopping = asyncio.Event()
        self._stepping = asyncio.Lock()

    # -- life -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Emulator:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Bind to loopback and start the clock. Raises ConfigError if the port is taken."""
        server = web.Server(
            self._handle,
            access_log=None,
            logger=_http_log,
            # do not decompress a compressed body; it is then refused because it is not JSON
            auto_decompress=False,
            max_line_size=_HEADER_MAX,
            max_field_size=_HEADER_MAX,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=0.2)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self.options.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(f"port {self.options.port} on {HOST} cannot be used: {error.strerror or error}") from None
        self.port = int(self._runner.addresses[0][1])
        self.rest, self.ws = f"http://{HOST}:{self.port}/v3", f"ws://{HOST}:{self.port}/ws"
        self.hub.on_frame = self._note
        self._context = contextvars.copy_context()
        self._pump()
        self.clock.on_change = self._rearm_pump

    async def stop(self) -> None:
        """Drop every connection and stop."""
        self._stopping.set()
        if self._pump_timer is not None:
            self._pump_timer.cancel()
            self._pump_timer = None
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for socket in list(self._sockets):
            socket.abort()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _spawn(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- time -----------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Advance the exchange to the clock's time, and schedule the next wake-up for when an event is due."""
        self._pump_timer = None
        try:
            if not self.clock.held:
                self.advance()
        except Exception:
            log.exception("the market stopped")
            raise
        self._arm_pump()

    def _arm_pump(self) -> None:
        wait_s, now = _NAP_S, self.clock.now()
        if not self.clock.held:
            at = self.venue.next_at()
            left = NS_PER_S if at is None else at - now
            wait_s = min(_NAP_S, max(left / self.clock.speed / NS_PER_S, 0.001))
        self._pump_at = now + int(wait_s * self.clock.speed * NS_PER_S)
        # run the pump in the exchange's context, regardless of which task triggers it
        self._pump_timer = asyncio.get_running_loop().call_later(wait_s, self._pump, context=self._context)

    def _rearm_pump(self) -> None:
        if self._pump_timer is not None:
            self._pump_timer.cancel()
            self._arm_pump()

    def _look_sooner(self) -> None:
        """Wake the pump when the next event is due, if that is earlier than the scheduled wake-up."""
        at = self.venue.next_at()
        if at is not None and at < self._pump_at and not self.clock.held:
            self._rearm_pump()

    def advance(self, to: Nanos | None = None) -> None:
        """Advance the exchange to a time (default: now) and send the resulting deliveries."""
        deliveries = self.venue.advance(self.clock.now() if to is None else to, pause=self.clock.held)
        if deliveries:
            self.hub.deliver(deliveries)
        self._look_sooner()

    def _note(self, told: Told) -> None:
        if self.clock.held:
            self._told.append(told)

    async def step(
        self,
        until: Nanos,
        *,
        requests: int | None = None,
        whole: bool = False,
        still: bool = False,
        more: bool = False,
        patience_s: float = 60.0,
    ) -> tuple[Nanos, list[Told]]:
        """In lockstep, advance time to the first delivery at or before ``until``, and deliver it.

        ``requests`` first waits until that many REST requests have been received since the start. ``whole`` continues
        to ``until``. ``still`` stops between simultaneous books and trades, because orders that arrive instantly may
        still have to precede the trades. ``more`` only waits for the requests, because other requests from the same
        turn follow, and all of the turn's requests must arrive before any other event. Returns (the new time, the
        deliveries in order) once all frames have been written. Raises ConfigError if the clock is running, and
        TimeoutError if the requests do not arrive.
        """
        if not self.clock.held:
            raise ConfigError("step needs a held clock: start in lockstep, or POST /_emulator/hold")
        async with self._stepping:
            if requests is not None and self.received < requests:
                async with self._arrived, asyncio.timeout(patience_s):
                    await self._arrived.wait_for(lambda: self.received >= requests)
            if more:
                return self.clock.now(), []
            # deliveries since the last step (a refusal, a socket's first frames) occurred at the current time, so
            # return them before time advances
            while (whole or not self._told) and not (still and self.venue.is_paused):
                at = self.venue.next_at()
                here = until if at is None else max(min(at, until), self.clock.now())
                self.clock.move(here)
                self.advance(here)
                if here >= until and not (whole and self.venue.is_paused):
                    break
            told, self._told = self._told, []
            # few deliveries concern every socket, and a wait for one costs more than the delivery
            for socket in [socket for socket in self._sockets if not socket.idle.is_set()]:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(patience_s):
                        await socket.idle.wait()
        return self.clock.now(), told

    # -- faults ---------------------------------------------------------------------------------------------------

    def add_fault(self, spec: Mapping[str, object]) -> Fault:
        """Activate a fault (`botkit.emulator.faults` lists the kinds). Raises ConfigError."""
        fault = self.faults.add(spec, self.venue.now)
        if fault.kind == "maintenance":
            pair = self.venue.pairs.get(fault.where.lower())
            if pair is None:
                self.faults.remove(fault.id)
                raise ConfigError(f"fault: maintenance for {fault.where!r}, which is not a pair")
            self.venue.set_maintenance(pair, on=True)
        if fault.kind == "key_expired":
            for socket in [socket for socket in self._sockets if socket.is_private]:
                if self.options.switches["key_expiry_streams"] == "close":
                    socket.abort()
                else:
                    socket.silence()
        return fault

    def remove_faults(self, fault_id: int | None = None) -> int:
        """Remove one fault or all faults; return the number removed."""
        gone = self.faults.remove(fault_id)
        for fault in gone:
            if fault.kind == "maintenance":
                self.venue.set_maintenance(self.venue.pairs[fault.where.lower()], on=False)
        return len(gone)

    async def _wait_ms(self, ms: float) -> None:
        speed = 1.0 if self.clock.held else self.clock.speed
        await asyncio.sleep(ms / 1000 / speed)

    # -- HTTP -----------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        try:
            if path.startswith("/v3/"):
                return await self._rest(request, path[3:])
            if path.startswith("/ws/"):
                return await self._stream(request, path[3:])
            if path.startswith("/_emulator"):
                from botkit.emulator.control import control  # imported here to avoid a circular import

                return await control(self, request)
        except web.HTTPException as error:
            return self._respond(refusal(error.status, error.reason))
        except (web.RequestPayloadError, ConnectionError):
            return self._cut(request)  # the body is malformed, or the sender has disconnected
        return self._respond(NOT_FOUND)

    async def _rest(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        route = find_route(request.method, path)
        if route is None:
            return self._respond(NOT_FOUND)
        body = await request.read()
        if self.faults.rules:
            struck = self.faults.strike(route[0].id, REQUEST_KINDS, self.venue.now)
            if struck:
                return await self._faulty(request, route, body, {fault.kind: fault for fault in struck})
        return self._respond(await self._work(request, route, body))

    def _respond(self, reply: HttpReply) -> web.Response:
        headers = self._headers
        headers["Date"] = self._http_date()
        headers["X-Request-Id"] = f"{self.received:08x}-0000-4000-8000-{self.port:012x}"
        return web.Response(body=reply.body, status=reply.status, headers=headers)

    def _now(self) -> Nanos:
        return self.clock.now()

    def _http_date(self) -> str:
        now = self.clock.now()
        if self.faults.rules:
            now += self.faults.skew_ms(now) * NS_PER_MS
        second = now // NS_PER_S
        if second != self._date[0]:
            self._date = (second, formatdate(second, usegmt=True))
        return self._date[1]

    async def _work(self, request: web.BaseRequest, route: Route, body: bytes, query: Query | None = None) -> HttpReply:
        """Execute a request. ``query`` replaces the request's own query."""
        if not self.clock.held and not route[0].private:
            self.advance()  # a private request advances the exchange to the request's arrival time
        found = self._begin(request, route, body, request.query if query is None else query)
        if self.clock.held:
            if isinstance(found, HttpReply):
                self._told.append(Told(at=self.venue.now, kind="answer", request=self.received, status=found.status))
            async with self._arrived:
                self._arrived.notify_all()
        return found if isinstance(found, HttpReply) else await found

    def _begin(
        self, request: web.BaseRequest, route: Route, body: bytes, query: Query
    ) -> HttpReply | asyncio.Future[HttpReply]:
        """Count, check and start a request. Return its reply, or a future if the exchange replies later."""
        endpoint, names = route
        now = self.clock.now()
        self.received += 1
        account, refused = "", None
        for over in self.faults.ended("maintenance", now) if self.faults.rules else ():
            self.remove_faults(over.id)
        if endpoint.private:
            skewed = now + self.faults.skew_ms(now) * NS_PER_MS if self.faults.rules else now
            machine = self.machine.wall_ns() if self.clock.speed != 1.0 else None
            try:
                if self.faults.rules and self.faults.has_expired(now):
                    raise RefusedError(UNAUTHORIZED, 401)
                signed = body if endpoint.method in ("POST", "PUT") else None
                account = self.gate.admit(request.headers, signed, skewed, machine, self.clock.speed)
            except RefusedError as error:
                refused = error
        if not self.venue.limits.admit(endpoint.id, account, ADDRESS, now):
            return refusal(429, TOO_MANY)
        try:
            if refused is not None:
                raise refused
            if not endpoint.private:
                return PUBLIC[endpoint.id](self.venue, names, query)
            return self._private(endpoint.id, account, names, query, body, now)
        except RefusedError as error:
            return self._refusal(error)
        except WireError:
            return self._refusal(RefusedError(BAD_BODY))

    def _refusal(self, error: RefusedError) -> HttpReply:
        status = error.status
        if status == 422 and (error.text == BAD_BODY or error.text.startswith("Wrong parameter")):
            status = self.options.switches.number("bad_request")
        return refusal(status, error.text)

    def _private(
        self, endpoint: str, account: str, names: Mapping[str, str], query: Query, body: bytes, now: Nanos
    ) -> HttpReply | asyncio.Future[HttpReply]:
        if endpoint in _WALLET:
            if not self.clock.held:
                self.advance(now)
            return self._wallet(endpoint, account, names, query, body)
        machine = self.machine.wall_ns() if self.clock.speed != 1.0 else None
        skewed = now + self.faults.skew_ms(now) * NS_PER_MS if self.faults.rules else now
        make, word = self.private.work(
            endpoint,
            account,
            names,
            query,
            body,
            now,
            lambda stamp: self.gate.check_time(stamp, skewed, machine, self.clock.speed),
        )
        answered: list[HttpReply] = []
        promise: list[asyncio.Future[HttpReply]] = []
        number = self.received

        def on_answer(answer: Answer, at: Nanos) -> None:
            reply = word(answer)
            if self.clock.held:
                self._told.append(Told(at=at, kind="answer", account=account, request=number, status=reply.status))
            if promise:
                if not promise[0].done():
                    promise[0].set_result(reply)
            else:
                answered.append(reply)

        self.venue.submit(account, make, now, on_answer)
        if not self.clock.held:
            self.advance(now)
        if answered:
            return answered[0]
        promise.append(asyncio.get_running_loop().create_future())
        return promise[0]

    def _wallet(self, endpoint: str, account: str, names: Mapping[str, str], query: Query, body: bytes) -> HttpReply:
        if endpoint == "create_withdraw":
            reply = self.wallet.withdraw(account, names, decode_withdraw(body))
            if not self.clock.held:
                self.advance(self.venue.now)
            return reply
        if endpoint in ("withdraw_by_serial", "withdraw_by_id"):
            return self.wallet.one(account, names)
        return self.wallet.history(account, names, query, deposits=endpoint == "deposit_history")

    async def _faulty(
        self, request: web.BaseRequest, route: Route, body: bytes, struck: dict[str, Fault]
    ) -> web.StreamResponse:
        """Execute a request affected by faults. A fault may occur before the request arrives, before or after it takes
        effect, or in its response.
        """
        faults = self.faults
        if "delay_request" in struck:
            await self._wait_ms(faults.wait_ms(struck["delay_request"]))
        if "lost_request" in struck:
            return await self._hang(request)
        if "reset" in struck:
            return self._cut(request)
        if "storm_429" in struck:
            return self._respond(refusal(429, TOO_MANY))
        if "forbidden" in struck:
            return self._respond(refusal(403, FORBIDDEN))
        if "error_before" in struck:
            return self._respond(refusal(int(struck["error_before"].value or 503), "Service Unavailable"))
        if "redirect" in struck:
            return _redirect(struck["redirect"])
        if "late_arrival" in struck:
            wait_ms = faults.wait_ms(struck["late_arrival"])

            async def later() -> None:
                await self._wait_ms(wait_ms)
                await self._work(request, route, body)

            self._spawn(later())
            return self._cut(request)
        query = {k: v for k, v in request.query.items() if k != "clientId"} if "unfiltered" in struck else None
        reply = await self._work(request, route, body, query)
        if reply.status == 200:
            reply = HttpReply(reply.status, spoil_answer(reply.body, struck, faults, self.clock.now()))
        if "delay_answer" in struck:
            await self._wait_ms(faults.wait_ms(struck["delay_answer"]))
        if "lost_answer" in struck:
            return await self._hang(request)
        if "reset_after" in struck:
            return self._cut(request)
        if "error_after" in struck:
            return self._respond(refusal(int(struck["error_after"].value or 502), "Bad Gateway"))
        if "garbage" in struck:
            return web.Response(body=b"<html><body>502 Bad Gateway</body></html>", content_type="text/html")
        if "truncated" in struck:
            return self._respond(HttpReply(reply.status, reply.body[: len(reply.body) // 2]))
        if "slow_body" in struck:
            return await self._drip(request, reply, struck["slow_body"].value or 5000.0)
        return self._respond(reply)

    async def _hang(self, request: web.BaseRequest) -> web.Response:
        """Wait until the client gives up, without sending a response."""
        while request.transport is not None and not request.transport.is_closing() and not self._stopping.is_set():
            await asyncio.sleep(0.1)
        return self._cut(request)

    def _cut(self, request: web.BaseRequest) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=503)

    async def _drip(self, request: web.BaseRequest, reply: HttpReply, over_ms: float) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for index in range(len(reply.body)):
                await response.write(reply.body[index : index + 1])
                await self._wait_ms(over_ms / max(len(reply.body), 1))
            await response.write_eof()
        return response

    # -- WebSocket ------------------------------------------------------------------------------------------------

    async def _stream(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        found = stream_of(unquote(path))
        response = web.WebSocketResponse(autoping=False, max_msg_size=64 * 1024)
        if found is None or not response.can_prepare(request).ok:
            return web.Response(status=200)  # as observed on the wire: 200 and no upgrade
        stream, rest = found
        if self.faults.rules:
            for fault in self.faults.strike(stream.id, HANDSHAKE_KINDS, self.venue.now):
                if fault.kind == "ws_redirect":
                    return _redirect(fault)
                return self._respond(refusal(int(fault.value or 503), "Service Unavailable"))
        account: str | None = None
        pairs: dict[str, int] = {}
        if stream.private:
            machine = self.machine.wall_ns() if self.clock.speed != 1.0 else None
            now = self.clock.now() + self.faults.skew_ms(self.venue.now) * NS_PER_MS
            try:
                if self.faults.has_expired(self.venue.now):
                    raise RefusedError(UNAUTHORIZED, 401)
                account = self.gate.admit(request.headers, None, now, machine, self.clock.speed)
            except RefusedError as error:
                return self._respond(error.reply)
        else:
            wanted = parse_pairs(self.venue, rest, request.query.get("pairs"))
            if wanted is None:
                return web.Response(status=200)
            pairs = wanted
        try:
            await response.prepare(request)
        except ConnectionResetError:  # the client disconnected before the upgrade
            return web.Response(status=503)
        keepalive = self.options.switches["keepalive"]
        socket = Socket(response, request, stream.id, self.faults, self._now, keepalive)
        subscriber = Subscriber(stream, socket, pairs, account)
        if not self.clock.held:
            self.advance()
        self.hub.add(subscriber)
        self._look_sooner()
        self._sockets.add(socket)
        try:
            await socket.run()
        finally:
            self._sockets.discard(socket)
            self.hub.remove(subscriber)
        return response

    @property
    def sockets(self) -> int:
        """The number of open WebSockets."""
        return len(self._sockets)

    def cut_sockets(self) -> int:
        """Cut every WebSocket without a close frame; return the number of sockets cut."""
        count = len(self._sockets)
        for socket in list(self._sockets):
            socket.abort()
        return count


def _redirect(fault: Fault) -> web.Response:
    return web.Response(status=307, headers={"Location": fault.put or ""})


def _source(facts: ExchangeFacts, options: EmulatorOptions, machine_now: Nanos) -> tuple[MarketSource, Nanos]:
    """Return the market, and the emulator's start time."""
    if options.market is not None:
        tape = TapeMarket(options.market, facts.pairs, options.market_span)
        if options.lockstep:
            return tape, options.start if options.start is not None else tape.start - 1
        start = options.start if options.start is not None else machine_now
        # shift by an integer number of minutes, so that the tape's candles still start on full minutes
        tape.shift_ns = (start - tape.start) // NS_PER_MINUTE * NS_PER_MINUTE
        tape.known_until = tape.start + tape.shift_ns
        return tape, start
    start = options.start if options.start is not None else machine_now
    if options.lockstep and options.start is None:
        start = machine_now // NS_PER_MINUTE * NS_PER_MINUTE
    missing = [name for name in ("btc_usdt", "btc_twd", "usdt_twd", "eth_twd") if name not in facts.pairs]
    if missing:
        raise ConfigError(f"the synthetic market needs the pair {missing[0]}, which the exchange does not list")
    # The market starts on a full minute and takes two seconds to produce all its books, so start it slightly earlier.
    # Otherwise the market would initially be empty if the emulator were started within those two seconds.
    source = SyntheticSource(
        facts.pairs,
        seed=options.seed,
        start=start if options.lockstep else start - _FIRST_BOOKS_NS,
        history_days=options.history_days,
        speed=options.speed,
    )
    return source, start
