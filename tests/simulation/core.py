"""The `core` layer: an adapter that talks directly to the emulator's venue, without HTTP, sockets or a wire format.

The bot, its journal, its engine and the exchange are identical to those in the `whole` layer, but requests and events
pass between them in a few calls. The faults are those of a real connection: requests and responses are lost, late or
refused; streams drop, repeat and reorder messages, disconnect and reconnect. The adapter's contract
(`botkit.model.adapter`) is respected: each execution is reported once, and a missing response is not a refusal.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterable, Mapping
from random import Random
from types import TracebackType
from typing import Any, Self

import msgspec

from botkit.emulator.faults import REQUEST_KINDS, STREAM_KINDS, Fault, Faults
from botkit.emulator.options import EmulatorOptions
from botkit.emulator.venue import ADDRESS, Delivery, EmulatedVenue
from botkit.exchange.bitopro import translate
from botkit.exchange.bitopro.adapter import CAPABILITIES
from botkit.model.adapter import Sink, StreamKind
from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos
from botkit.model.events import BalanceReport, Connection, ConnectionState, OrderBook, OrderReport, TradeReport
from botkit.model.extension import ExchangeFacts
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, Ending, GetOrder, ListOrders, OrderAck, Request
from tests.simulation.loop import PROCESS, VirtualLoop
from tests.simulation.machine import VirtualClock
from tests.simulation.market import market_source
from tests.simulation.plan import REFUSED_THOUGH_DONE
from tests.simulation.plan import Fault as PlannedFault

_TIMEOUT_S = 5.0
_RECONNECT_S = 0.5
#: time until a silent stream is reported as lost
_STALE_S = 3.0
_ACCOUNT_STREAMS = ("active_orders", "order_history", "account_balance", "user_trades")
#: faults for which the response does not reveal whether the request was executed
_UNCLEAR = {
    "reset_after": (0, "ServerDisconnectedError: Server disconnected"),
    "error_after": (502, "Bad Gateway"),
    "garbage": (200, "the answer is no JSON"),
    "truncated": (200, "the answer is no JSON"),
}


class CoreExchange:
    """The venue with its faults and streams. It replaces the emulator in a run."""

    rest = ws = ""
    port = 0

    def __init__(self, facts: ExchangeFacts, options: EmulatorOptions, loop: VirtualLoop, account: str) -> None:
        self._loop = loop
        self._clock = VirtualClock(loop)
        self._account = account
        self._chance = Random(f"core {options.seed}")
        source, start = market_source(facts, options, self._clock.wall_ns())
        self.venue = EmulatedVenue(facts, options, source, start)  # type: ignore[arg-type]
        self.facts = facts
        self.faults = Faults(options.seed)
        self.adapters: list[CoreAdapter] = []
        #: client ids of orders that were accepted and called refused
        self.called_refused: set[int] = set()
        #: no message is delivered before this loop time
        self.stalled_until = 0.0
        self.slow_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self.advance()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def now(self) -> Nanos:
        """Return the venue's time."""
        return self._clock.wall_ns()

    # -- time -----------------------------------------------------------------------------------------------------

    def later(self, seconds: float, call: Callable[..., None], *arguments: Any) -> asyncio.TimerHandle:
        """Schedule a call that is made even if the process that scheduled it dies."""
        return self._loop.call_later(seconds, call, *arguments, context=contextvars.Context())

    def latency_s(self) -> float:
        """Return the transit time of the next message."""
        held_s = max(0.0, self.stalled_until - self._loop.time())
        return held_s + self._chance.uniform(0.0001, 0.003) + self._chance.random() ** 4 * self.slow_s

    def advance(self) -> None:
        """Advance the venue to the current time, deliver its responses and events, and schedule the next call."""
        for delivery in self.venue.advance(self.now()):
            if isinstance(delivery.item, Answer):
                self.venue.answer(delivery)
            else:
                for adapter in self.adapters:
                    adapter.deliver(delivery)
        if self._timer is not None:
            self._timer.cancel()
        at = self.venue.next_at()
        wait_s = 1.0 if at is None else min(1.0, max(0.0005, (at - self.now()) / NS_PER_S))
        self._timer = self.later(wait_s, self.advance)

    # -- requests -------------------------------------------------------------------------------------------------

    def submit(self, request: Request, reply: Callable[[Answer], None]) -> None:
        """Send a request. ``reply`` is called if and when its response arrives."""
        self.later(self.latency_s(), self._arrive, request, reply)

    def _arrive(self, request: Request, reply: Callable[[Answer], None]) -> None:
        faults = self.faults
        struck = {f.kind: f for f in faults.strike(request.endpoint, REQUEST_KINDS, self.venue.now)}

        def end(outcome: Ending, status: int, text: str) -> None:
            self._reply(reply, Answer(request_id=request.id, outcome=outcome, status=status, text=text), 0.0)

        if "lost_request" in struck:
            return
        if "reset" in struck:
            end(Ending.UNKNOWN, 0, "ServerDisconnectedError: Server disconnected")
        elif "storm_429" in struck:
            end(Ending.RATE_LIMITED, 429, "Too Many Requests")
        elif "forbidden" in struck:
            end(Ending.REFUSED, 403, "api token is not allowed")
        elif "error_before" in struck:
            end(Ending.UNKNOWN, 503, "Service Unavailable")
        elif "late_arrival" in struck:
            end(Ending.UNKNOWN, 0, "ServerDisconnectedError: Server disconnected")
            self.later(faults.wait_ms(struck["late_arrival"]) / 1000, self._work, request, struck, lambda answer: None)
        elif "delay_request" in struck:
            self.later(faults.wait_ms(struck["delay_request"]) / 1000, self._work, request, struck, reply)
        else:
            self._work(request, struck, reply)

    def _work(self, request: Request, struck: dict[str, Fault], reply: Callable[[Answer], None]) -> None:
        if not self.venue.limits.admit(request.endpoint, self._account, ADDRESS, self.now()):
            refused = Answer(request_id=request.id, outcome=Ending.RATE_LIMITED, status=429, text="Too Many Requests")
            self._reply(reply, refused, 0.0)
            return
        if "unfiltered" in struck and isinstance(request, ListOrders):
            request = msgspec.structs.replace(request, client_id=None)
        asked = request

        def on_answer(answer: Answer, at: Nanos) -> None:
            answer = msgspec.structs.replace(answer, request_id=asked.id)
            self._answer(answer, struck, reply, asks_for_one=isinstance(asked, GetOrder))

        self.venue.submit(
            self._account, lambda number: msgspec.structs.replace(asked, id=number), self.now(), on_answer
        )
        self.advance()

    def _answer(
        self, answer: Answer, struck: dict[str, Fault], reply: Callable[[Answer], None], *, asks_for_one: bool
    ) -> None:
        if "lost_answer" in struck:
            return
        wait_s = (
            sum(self.faults.wait_ms(struck[kind]) for kind in ("delay_answer", "slow_body") if kind in struck) / 1000
        )
        unclear = next((kind for kind in _UNCLEAR if kind in struck), None)
        if unclear == "error_after" and struck[unclear].value == REFUSED_THOUGH_DONE:
            answer = self._call_refused(answer)
        elif unclear is not None:
            status, text = _UNCLEAR[unclear]
            answer = Answer(request_id=answer.request_id, outcome=Ending.UNKNOWN, status=status, text=text)
        elif isinstance(answer.body, tuple):
            rows = list(answer.body)
            if "lagging" in struck:
                edge = self.now() - int(struck["lagging"].value or 0) * NS_PER_MS
                rows = [row for row in rows if getattr(row, "created", getattr(row, "time", 0)) <= edge]
            if "shuffled" in struck:
                self._chance.shuffle(rows)
            if asks_for_one and not rows:  # as the adapter does with an order that the exchange does not show
                answer = Answer(request_id=answer.request_id, outcome=Ending.REFUSED, status=404, text="no such order")
            else:
                answer = msgspec.structs.replace(answer, body=tuple(rows))
        self._reply(reply, answer, wait_s)

    def _call_refused(self, answer: Answer) -> Answer:
        """Return a refusal of an order that the exchange has accepted, if the order is far from the market: an order
        that filled before the bot hears of it could not be found again.
        """
        orders = self.venue.kernel.account(self._account).open
        order = orders.get(answer.body.order_id) if isinstance(answer.body, OrderAck) else None
        bids = () if order is None else self.venue.book(order.pair, 1).bid_levels
        if order is None or not order.is_buy or not bids or order.new.price_ticks > 0.9 * bids[0][0]:
            return answer
        self.called_refused.add(order.new.client_id)
        text = "the order is not valid"
        return Answer(request_id=answer.request_id, outcome=Ending.REFUSED, status=REFUSED_THOUGH_DONE, text=text)

    def _reply(self, reply: Callable[[Answer], None], answer: Answer, wait_s: float) -> None:
        self.later(wait_s + self.latency_s(), reply, answer)

    # -- faults ---------------------------------------------------------------------------------------------------

    def add_fault(self, spec: Mapping[str, object]) -> Fault:
        """Add a fault in the same way as the emulator."""
        fault = self.faults.add(spec, self.venue.now)
        if fault.kind == "ws_refuse":  # an open stream cannot be refused, so disconnect it first
            for adapter in self.adapters:
                adapter.end_streams(lambda stream: fault.where in ("*", stream))
            self.faults.fired[fault.kind] = self.faults.fired.get(fault.kind, 0) + 1
        return fault

    def remove_faults(self, fault_id: int | None = None) -> int:
        """Remove faults in the same way as the emulator."""
        return len(self.faults.remove(fault_id))

    def strike_network(self, fault: PlannedFault) -> int:
        """Apply a network fault. Return the number of affected connections or streams."""
        until = self._loop.time() + fault.for_ms / 1000
        if fault.kind in ("net_stall", "net_cut"):
            self.stalled_until = max(self.stalled_until, until)
            return 1
        if fault.kind == "net_slow":
            self.slow_s = fault.for_ms / 1000
            for adapter in self.adapters:
                adapter.slow_down(fault.share, 2 * self.slow_s, self._chance)
            return 1
        struck = 0
        for adapter in self.adapters:
            if fault.kind == "net_half_open":
                struck += adapter.fall_silent(fault.share, fault.for_ms / 1000, self._chance)
            else:
                struck += adapter.end_streams(lambda stream: self._chance.random() < fault.share)
                struck += adapter.reset_requests(fault.share, self._chance)
        return struck

    def lose_streams(self, share: float, chance: Random) -> None:
        """Disconnect some streams, as happens while the client is suspended."""
        for adapter in self.adapters:
            adapter.end_streams(lambda stream: chance.random() < share)

    def mend(self) -> None:
        """End all network faults."""
        self.stalled_until = self.slow_s = 0.0
        for adapter in self.adapters:
            adapter.slow_down(1.0, 0.0, self._chance)


class _Stream:
    """One stream of one adapter. Its messages arrive in order unless a fault reorders them."""

    def __init__(self, name: str, pairs: tuple[Pair | None, ...]) -> None:
        self.name = name
        self.pairs = pairs
        self.is_up = False
        self.is_silent = False
        # number of the current connection; messages still in transit from an earlier connection are dropped
        self.round = 0
        self.last_at = 0.0
        self.lag_s = 0.0


class CoreAdapter:
    """Implements `botkit.model.adapter.Adapter` for a venue in this process."""

    account_streams = _ACCOUNT_STREAMS
    capabilities = CAPABILITIES
    clock_skew_ms: int | None = None

    def __init__(self, exchange: CoreExchange, pairs: Mapping[str, Pair]) -> None:
        self._exchange = exchange
        self._pairs = pairs
        self._loop = asyncio.get_running_loop()
        self._process = PROCESS.get()
        self._sink: Sink = lambda event: None
        self._streams: list[_Stream] = []
        self._waiting: dict[int, tuple[int, asyncio.Future[Answer]]] = {}
        self._requests = 0
        self._is_open = False
        self._executions: set[tuple[str, str]] = set()

    @property
    def limits(self) -> Any:
        """The exchange's limits."""
        return self._exchange.facts.limits

    @property
    def is_alive(self) -> bool:
        """Return True if the adapter is open and its process is alive."""
        return self._is_open and (self._process is None or not self._process.is_dead)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect."""
        self._is_open = True
        self._exchange.adapters = [adapter for adapter in self._exchange.adapters if adapter.is_alive]
        self._exchange.adapters.append(self)

    async def close(self) -> None:
        """Disconnect the adapter."""
        self._is_open = False
        for _, future in self._waiting.values():
            future.cancel()

    async def pairs(self) -> Mapping[str, Pair]:
        """Return the pairs by name."""
        return self._pairs

    # -- requests -------------------------------------------------------------------------------------------------

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        """Send a request once."""
        if not self.is_alive:
            return Answer(request_id=request.id, outcome=Ending.NOT_SENT, text="the adapter is not open")
        self._requests += 1
        number = self._requests
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting[number] = (request.id, future)

        def reply(answer: Answer) -> None:
            if self.is_alive and not future.done():
                future.set_result(answer)

        self._exchange.submit(request, reply)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await future
        except TimeoutError:
            return Answer(request_id=request.id, outcome=Ending.UNKNOWN, text="no answer within 5 s")
        finally:
            self._waiting.pop(number, None)

    def reset_requests(self, share: float, chance: Random) -> int:
        """Make some requests in flight fail as if their connections had been reset."""
        struck = [found for found in self._waiting.values() if not found[1].done() and chance.random() < share]
        for request_id, future in struck:
            future.set_result(Answer(request_id=request_id, outcome=Ending.UNKNOWN, text="ConnectionResetError"))
        return len(struck)

    # -- streams --------------------------------------------------------------------------------------------------

    def watch(
        self,
        sink: Sink,
        *,
        books: Mapping[Pair, int] | None = None,
        trades: Iterable[Pair] = (),
        tickers: Iterable[Pair] = (),
        account: bool = True,
    ) -> None:
        """Open the requested streams."""
        self._sink = sink
        fresh = []
        if books:
            for pair, depth in books.items():
                self._exchange.venue.publish_books(pair, depth)
            fresh.append(_Stream("order_book", tuple(books)))
        trades = tuple(trades)
        if trades:
            fresh.append(_Stream("trades", trades))
        if account:
            fresh += [_Stream(name, (None,)) for name in _ACCOUNT_STREAMS]
        self._streams += fresh
        for stream in fresh:
            self._exchange.later(self._exchange.latency_s(), self._connect, stream)

    def reconnect(self, kind: StreamKind | None = None) -> None:
        """Close streams so that they reconnect."""
        kinds = {"books": ("order_book",), "trades": ("trades",), "tickers": (), "account": _ACCOUNT_STREAMS}
        self.end_streams(lambda name: kind is None or name in kinds[kind])

    def end_streams(self, which: Callable[[str], bool]) -> int:
        """Disconnect streams as if their connections had been lost."""
        struck = [stream for stream in self._streams if stream.is_up and which(stream.name)]
        for stream in struck:
            self._lose(stream, "the connection was reset")
        return len(struck)

    def slow_down(self, share: float, lag_s: float, chance: Random) -> None:
        """Make some streams lag behind the others without reordering their messages."""
        for stream in self._streams:
            if chance.random() < share:
                stream.lag_s = lag_s

    def fall_silent(self, share: float, seconds: float, chance: Random) -> int:
        """Make some streams half-open: they send nothing, and are reported as lost after a while."""
        struck = [stream for stream in self._streams if stream.is_up and chance.random() < share]
        for stream in struck:
            stream.is_silent = True
            self._exchange.later(min(seconds, _STALE_S), self._lose, stream, "no data was received for a while")
        return len(struck)

    def _lose(self, stream: _Stream, why: str) -> None:
        if not self.is_alive or not stream.is_up:
            return
        stream.is_up = False
        stream.round += 1
        for pair in stream.pairs:
            self._sink(Connection(ConnectionState.LOST, stream.name, pair, why))
        self._exchange.later(_RECONNECT_S + self._exchange.latency_s(), self._connect, stream)

    def _connect(self, stream: _Stream) -> None:
        if not self.is_alive or stream.is_up:
            return
        faults = self._exchange.faults
        if any(fault.kind == "ws_refuse" and fault.where in ("*", stream.name) for fault in faults.rules):
            self._exchange.later(_RECONNECT_S, self._connect, stream)
            return
        stream.is_up, stream.is_silent = True, False
        for pair in stream.pairs:
            self._sink(Connection(ConnectionState.CONNECTED, stream.name, pair, ""))
        venue, account = self._exchange.venue, self._exchange._account
        if stream.name == "active_orders":
            for order in list(venue.kernel.account(account).open.values()):
                self._sink(order.report())
        elif stream.name == "account_balance":
            self._sink(msgspec.structs.replace(venue.kernel.account(account).balances(), snapshot=False))
        elif stream.name == "order_book":
            for pair in stream.pairs:
                assert pair is not None
                self._sink(venue.book(pair, 5))

    def _resume(self, stream: _Stream, number: int) -> None:
        if self.is_alive and stream.is_up and number == stream.round:
            for pair in stream.pairs:
                self._sink(Connection(ConnectionState.CONNECTED, stream.name, pair, ""))

    def deliver(self, delivery: Delivery) -> None:
        """Pass a delivery on to the streams that carry deliveries of its kind."""
        if not self.is_alive:
            return
        item = delivery.item
        if isinstance(item, OrderBook):
            self._carry("order_book", item, item.pair)
        elif isinstance(item, Pair):
            if delivery.trades:
                self._carry("trades", translate.trade(delivery.trades[0], item), item)
        elif delivery.account != self._exchange._account:
            return
        elif isinstance(item, OrderReport):
            self._carry("active_orders" if item.state.value in _OPEN else "order_history", item)
        elif isinstance(item, TradeReport):
            self._carry("user_trades", item)
        elif isinstance(item, BalanceReport):
            self._carry("account_balance", item)

    def _carry(self, name: str, event: Any, pair: Pair | None = None) -> None:
        exchange = self._exchange
        for stream in self._streams:
            if stream.name != name or not stream.is_up or (pair is not None and pair not in stream.pairs):
                continue
            struck = {f.kind for f in exchange.faults.strike(name, STREAM_KINDS, exchange.venue.now)}
            if "ws_close" in struck or "ws_abort" in struck:
                self._lose(stream, "the stream was closed")
                continue
            if "ws_silence" in struck and not stream.is_silent:
                stream.is_silent = True
                exchange.later(_STALE_S, self._lose, stream, "no data was received for a while")
            if stream.is_silent or "ws_drop" in struck:
                continue
            if "ws_garbage" in struck:
                for told in stream.pairs:
                    self._sink(Connection(ConnectionState.STALE, name, told, "sent what cannot be read"))
                exchange.later(_RECONNECT_S, self._resume, stream, stream.round)
                continue
            at = self._loop.time() + exchange.latency_s() + stream.lag_s
            if "ws_reorder" in struck:
                at += 0.05
            else:
                at = stream.last_at = max(stream.last_at, at)
            times = 2 if "ws_duplicate" in struck else 1
            for _ in range(times):
                exchange.later(at - self._loop.time(), self._arrive, stream, stream.round, event)

    def _arrive(self, stream: _Stream, number: int, event: Any) -> None:
        if not self.is_alive or number != stream.round:
            return
        if isinstance(event, TradeReport):
            key = (event.order_id, event.trade_id)
            if key in self._executions:
                return  # the adapter passes on each execution only once
            self._executions.add(key)
        self._sink(event)


_OPEN = frozenset({"untriggered", "open", "partly_filled"})
