"""The contract between a bot and an exchange: everything an adapter must do.

An adapter carries one account's requests to an exchange and brings events back. It combines three ports:

    Lifetime        opens and closes it; an async context manager
    StreamSource    the account's and the market's streams: events in
    RequestSender   requests out, one answer each; the exchange's capabilities and rate limits

`botkit.exchange.bitopro` has one for BitoPro, `botkit.exchange.paper` has one whose orders never leave the process,
and ``tests/toy_exchange.py`` is a small one to start from. A plugin provides its own through `Exchange.connect`
(`botkit.model.extension`), and `botkit.testing.adapter_cases` tests it against this contract under pytest.

What a bot relies on beyond the signatures:

* **One request, one call, one answer.** An adapter never retries a request and sends none on its own: every request
  counts toward a limit, and the bot's router grants the slots. After an outage the bot requests what it missed.
* **No answer is not a refusal.** Between the first byte and a clear answer the outcome is UNKNOWN, and the bot looks
  the order up. NOT_SENT means that no byte was written, REFUSED that the exchange refused the request, RATE_LIMITED
  that the exchange refused it for exceeding a rate limit.
* **Each execution reaches the sink once**, as a `TradeReport`. Order reports may repeat; each gives the current state.
  A report may arrive before the answer to the request that caused it.
* **Money is in integers** (ticks, lots, units of 1e-8), and times are the exchange's timestamps, in nanoseconds UTC.
* **A state is one of `REPORTED_STATES`**: an adapter maps its exchange's own codes to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Literal, Protocol, Self, TypeAlias

import msgspec

from botkit.model.events import AccountEvent, Connection, MarketEvent
from botkit.model.limits import LimitTable
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, Request

AdapterEvent: TypeAlias = MarketEvent | AccountEvent | Connection
#: receives an event; it must return at once and must not raise
Sink: TypeAlias = Callable[[AdapterEvent], None]
#: the content of a stream, named after the arguments of `StreamSource.watch`
StreamKind: TypeAlias = Literal["books", "trades", "tickers", "account"]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """The capabilities of an exchange beyond single limit and market orders.

    ``batch_create_max`` and ``batch_cancel_max``: the maximum number of orders in one `CreateBatch` or `CancelBatch`; 0
    if the exchange has no such call, in which case the limit table has no ``create_batch`` or ``cancel_batch`` either.
    ``cancel_all`` says that one call can cancel all of the account's orders, and ``stop_orders`` that it accepts
    stop-limit orders. ``find_by_client_id`` says that `ListOrders` can filter by client id; if not, it returns every
    order in the pair and time span. Orders in listings and reports carry their client id in either case.
    """

    batch_create_max: int = 0
    batch_cancel_max: int = 0
    cancel_all: bool = False
    stop_orders: bool = False
    find_by_client_id: bool = False


class Lifetime(Protocol):
    """The lifetime of an adapter, which is opened once and closed once."""

    async def open(self) -> None:
        """Prepare for sending, without necessarily sending anything. Raises ConfigError if the settings cannot work."""
        ...

    async def close(self) -> None:
        """Close every stream and connection. Requests still awaiting an answer are cancelled."""
        ...

    async def __aenter__(self) -> Self:
        """Open the adapter."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the adapter."""
        await self.close()


class StreamSource(Protocol):
    """The source of events. Every stream reconnects by itself and reports its state as `Connection` events."""

    @property
    def account_streams(self) -> tuple[str, ...]:
        """The names of the account's streams, as used in their `Connection` events.

        A bot trades once all of them have reported CONNECTED. Empty if no connection can be lost, as within one
        process.
        """
        ...

    def watch(
        self,
        sink: Sink,
        *,
        books: Mapping[Pair, int] | None = None,
        trades: Iterable[Pair] = (),
        tickers: Iterable[Pair] = (),
        account: bool = True,
    ) -> None:
        """Open streams and send their events to ``sink`` until `close`. Further calls add streams.

        ``books`` gives the minimum depth for each pair, in levels per side. A public stream sends one `Connection` for
        each of its pairs, an account stream one without a pair. ``account``, set at most once, adds the account's
        orders, executions and balances.

        A stream that loses its connection reports LOST and reconnects. It then reports CONNECTED if the bot must
        request what it missed, followed by RESYNCHRONISED once the adapter knows that nothing is missing. STALE means
        that the stream is up but cannot be trusted.
        """
        ...

    def reconnect(self, kind: StreamKind | None = None) -> None:
        """Reconnect the streams of one kind, or all of them, in case a connection has died silently."""
        ...


class Sender(Protocol):
    """The only part of an adapter that most callers need."""

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        """Send a request once and return its `Answer`, which carries the request's id.

        `Answer` lists the body for each kind of request. ``urgent`` requests (cancels, and orders that reduce a
        position) must not wait behind others. A request that the exchange has no call for is REFUSED; before `open`
        and after `close` every request is NOT_SENT.

        Raises nothing but CancelledError, after which the outcome is unknown.
        """
        ...


class RequestSender(Sender, Protocol):
    """Sends requests, and describes the exchange that receives them."""

    @property
    def limits(self) -> LimitTable:
        """The exchange's rate limits: one row for each ``endpoint`` that its requests use."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """The exchange's capabilities."""
        ...

    @property
    def clock_skew_ms(self) -> int | None:
        """This machine's time minus the exchange's: the smallest difference shown by the last few answers, or None
        before the first answer. It may be off by a second if the exchange's clock only counts seconds. A large skew
        halts a bot, so a single answer with a wrong time, such as a proxy's, must not cause one.
        """
        ...

    async def pairs(self) -> Mapping[str, Pair]:
        """Return the pairs and their current rules, by lowercase name, read from the exchange; uses the endpoint
        `botkit.model.limits.PAIRS_ENDPOINT`.

        Raises a RequestError that says what to do next (`botkit.errors`).
        """
        ...


class Adapter(Lifetime, StreamSource, RequestSender, Protocol):
    """Connects one account to an exchange."""


__all__ = [
    "Adapter",
    "AdapterEvent",
    "Capabilities",
    "Lifetime",
    "RequestSender",
    "Sender",
    "Sink",
    "StreamKind",
    "StreamSource",
]
