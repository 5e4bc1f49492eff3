"""The contract between a bot and an exchange: the duties of an adapter.

An adapter sends one account's requests to an exchange and delivers the exchange's events. It combines three ports:

    Lifetime        opens and closes the adapter; an async context manager
    StreamSource    the account's and the market's streams: events in
    RequestSender   requests out, one answer each; the exchange's capabilities and rate limits

`botkit.exchange.bitopro` contains the BitoPro adapter. The orders sent through the adapter in `botkit.exchange.paper`
never leave the process. ``tests/toy_exchange.py`` is a small adapter to start from. A plugin provides an adapter of its
own through `Exchange.connect` (`botkit.model.extension`), and `botkit.testing.adapter_cases` tests that adapter against
this contract under pytest.

Beyond the signatures, a bot relies on these rules:

* **One request, one call, one answer.** An adapter never retries a request and never initiates one. Every request
  counts toward a limit, and the bot's router grants the slots. After an outage the bot requests missed events.
* **A missing answer is not a refusal.** Between the first byte sent and a clear answer the outcome is UNKNOWN,
  and the bot looks the order up. NOT_SENT means that no byte was written, REFUSED that the exchange refused the
  request, RATE_LIMITED that the exchange refused it for exceeding a rate limit.
* **Each execution reaches the sink exactly once**, as a `TradeReport`. Order reports may repeat; each contains
  the current state. A report may arrive before the answer to the request that caused it.
* **Money is in integers** (ticks, lots, units of 1e-8), and times are the exchange's timestamps, in nanoseconds
  UTC.
* **A state is one of `REPORTED_STATES`**: an adapter maps its exchange's own codes to them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeAlias

import msgspec

from botkit.model.events import AccountEvent, Connection, MarketEvent
from botkit.model.limits import LimitTable
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, Request

AdapterEvent: TypeAlias = MarketEvent | AccountEvent | Connection
#: receives an event; it must return immediately and must not raise
Sink: TypeAlias = Callable[[AdapterEvent], None]
#: the stream kinds, named after the arguments of `StreamSource.watch`
StreamKind: TypeAlias = Literal["books", "trades", "tickers", "account"]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """The capabilities of an exchange beyond single limit and market orders.

    ``batch_create_max`` and ``batch_cancel_max``: the maximum number of orders in one `CreateBatch` or `CancelBatch`. A
    value of 0 means that the exchange has no such call; the limit table then has no ``create_batch`` or
    ``cancel_batch`` row. ``cancel_all``: one call can cancel all of the account's orders. ``stop_orders``: the exchange
    accepts stop-limit orders. ``find_by_client_id``: `ListOrders` can filter by client id. Without this capability it
    returns every order in the pair and time span. In either case, orders in listings and reports carry their client id.
    """

    batch_create_max: int = 0
    batch_cancel_max: int = 0
    cancel_all: bool = False
    stop_orders: bool = False
    find_by_client_id: bool = False


class Lifetime(Protocol):
    """The lifecycle of an adapter. An adapter is opened once and closed once."""

    async def open(self) -> None:
        """Prepare the adapter for use, which may involve sending requests. Raises ConfigError if the settings are
        unusable.
        """
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
    """The source of events. Every stream reconnects automatically and reports its state in `Connection` events."""

    @property
    def account_streams(self) -> tuple[str, ...]:
        """The names of the account's streams, as used in their `Connection` events.

        A bot starts trading once all of these streams have reported CONNECTED. There are no names if there is no
        connection that could be lost, for example because everything runs in one process.
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
        """Open streams and send their events to ``sink`` until `close` is called. Further calls add streams.

        ``books`` maps each pair to the minimum depth, in levels per side. A public stream sends a `Connection` for each
        of its pairs; an account stream sends one without a pair. ``account``, which may be set only once, adds the
        account's orders, executions and balances.

        A stream that loses its connection reports LOST and reconnects. It then reports CONNECTED if the bot must
        request missed events. Once the adapter knows that no event is missing, the stream reports RESYNCHRONISED. STALE
        means that the stream is connected but cannot be trusted.
        """
        ...

    def reconnect(self, kind: StreamKind | None = None) -> None:
        """Reconnect the streams of one kind, or all streams, in case a connection has died silently."""
        ...


class Sender(Protocol):
    """The part of an adapter that most callers need: sending requests."""

    def send(self, request: Request, *, urgent: bool = False) -> Coroutine[Any, Any, Answer]:
        """Send a request once and return its `Answer`, which carries the request's id. An ``async def`` method is
        sufficient, but a plain function that writes the request before it returns the coroutine saves one iteration of
        the event loop.

        `Answer` lists the body for each kind of request. ``urgent`` requests (cancels, and orders that reduce a
        position) must not wait behind others. A request without a corresponding call at the exchange is REFUSED. Before
        `open` and after `close`, every request is NOT_SENT.

        The call itself never raises. The coroutine raises only CancelledError, after which the outcome is unknown.
        """
        ...


class RequestSender(Sender, Protocol):
    """Sends requests, and describes the exchange that receives them."""

    @property
    def limits(self) -> LimitTable:
        """The exchange's rate limits, with a row for each ``endpoint`` that requests use."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """The exchange's capabilities."""
        ...

    @property
    def clock_skew_ms(self) -> int | None:
        """This machine's time minus the exchange's time, or None before the first answer. The value is the smallest
        difference among the last few answers, and may be off by a second if the exchange's clock has a resolution of
        one second. A large skew halts a bot, so a single answer with a wrong time, for example from a proxy, must not
        produce a large value.
        """
        ...

    async def pairs(self) -> Mapping[str, Pair]:
        """Read the pairs and their current rules from the exchange, keyed by lowercase name, before a bot runs. Uses
        the endpoint `botkit.model.limits.PAIRS_ENDPOINT`, as `botkit.model.requests.GetPairs` does in a running bot.

        Raises a RequestError whose message explains what to do next (`botkit.errors`).
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
