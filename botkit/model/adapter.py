"""The contract between a bot and an exchange: what an adapter must do, in full.

An adapter carries one account's requests to an exchange and brings events back. It is three ports in one object:

    Lifetime        open it, close it; an async context manager
    StreamSource    the streams of the account and of the market: events in
    RequestSender   requests out, one answer each; what the exchange can do, and its rate limits

`botkit.exchange.bitopro` has one for BitoPro, `botkit.exchange.paper` one whose orders never leave the process, and
``tests/toy_exchange.py`` a small one to start from. A plugin provides its own through `Exchange.connect`
(`botkit.model.extension`), and `botkit.testing.adapter_cases` tests it against this contract under pytest.

What a bot relies on beyond the signatures:

* **One request, one call, one answer.** An adapter never retries a request and sends none on its own: every request
  counts against a limit, and the bot's router grants the slots. After an outage the bot asks for what it missed.
* **No answer is not a refusal.** Between the first byte and a clear answer the outcome is UNKNOWN, and the bot looks
  the order up. NOT_SENT means that no byte was written, REFUSED that the exchange refused the request, RATE_LIMITED
  that it refused because there were too many.
* **Each execution reaches the sink once**, as a `TradeReport`. Order reports may repeat; they give the current state. A
  report may overtake the answer to the request that caused it.
* **Money is integers** (ticks, lots, units of 1e-8), and times are the exchange's timestamps, in nanoseconds UTC.
* **A state is one of `REPORTED_STATES`**: an adapter maps its exchange's own codes.
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
#: takes an event; returns at once and does not raise
Sink: TypeAlias = Callable[[AdapterEvent], None]
#: what a stream carries, named as in the arguments of `StreamSource.watch`
StreamKind: TypeAlias = Literal["books", "trades", "tickers", "account"]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What an exchange can do beyond single limit and market orders.

    ``batch_create_max`` and ``batch_cancel_max``: the most orders in one `CreateBatch` or `CancelBatch`; 0 if there is
    no such call, and then the limit table has no ``create_batch`` or ``cancel_batch`` either.
    ``cancel_all``: it has a call that cancels every order of the account. ``stop_orders``: it takes stop-limit orders.
    ``find_by_client_id``: `ListOrders` can filter by client id; if not, it returns all orders of the pair and time.
    Orders in listings and reports carry their client id either way.
    """

    batch_create_max: int = 0
    batch_cancel_max: int = 0
    cancel_all: bool = False
    stop_orders: bool = False
    find_by_client_id: bool = False


class Lifetime(Protocol):
    """Opened once, closed once."""

    async def open(self) -> None:
        """Get ready to send; nothing has to be sent yet. Raises ConfigError for settings that cannot work."""
        ...

    async def close(self) -> None:
        """Close every stream and connection. Requests still waiting for an answer are cancelled."""
        ...

    async def __aenter__(self) -> Self:
        """`open`."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """`close`."""
        ...


class StreamSource(Protocol):
    """Events in. Every stream reconnects by itself and reports its state in `Connection` events."""

    @property
    def account_streams(self) -> tuple[str, ...]:
        """The names of the account's streams, as in their `Connection` events.

        A bot trades once all of them have reported CONNECTED. Empty where no connection can be lost, as within one
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
        """Open streams; their events go to ``sink`` until `close`. Further calls add streams.

        ``books`` gives the minimum depth of each pair, in levels per side. A public stream sends one `Connection` for
        each of its pairs, an account stream one without a pair. ``account``, set at most once, adds the account's
        orders, executions and balances.

        A lost connection reports LOST and reconnects: CONNECTED if the bot must ask for what it missed, followed by
        RESYNCHRONISED once the adapter knows that nothing is missing. STALE means that the stream is up but cannot be
        trusted.
        """
        ...

    def reconnect(self, kind: StreamKind | None = None) -> None:
        """Reconnect the streams of one kind, or all of them: the current connection may be silently dead."""
        ...


class Sender(Protocol):
    """The one part of an adapter that most callers need."""

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        """Send a request once and return how it ended: one `Answer` with the request's id.

        `Answer` lists which body belongs to which request. ``urgent`` requests (cancels, and orders that reduce a
        position) must not wait behind others. A request that the exchange has no call for is REFUSED; before `open` and
        after `close` everything is NOT_SENT.

        Raises nothing but CancelledError, after which the outcome is unknown.
        """
        ...


class RequestSender(Sender, Protocol):
    """Requests out, and what is known about the exchange that takes them."""

    @property
    def limits(self) -> LimitTable:
        """Its rate limits: one row for each ``endpoint`` that its requests use."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the exchange can do."""
        ...

    @property
    def clock_skew_ms(self) -> int | None:
        """This machine's time less the exchange's, as of the last answer; None before the first. It may be off by a
        second if the exchange's clock is no finer.
        """
        ...

    async def pairs(self) -> Mapping[str, Pair]:
        """The pairs and their rules as the exchange gives them now, by lowercase name; endpoint
        `botkit.model.limits.PAIRS_ENDPOINT`.

        Raises a RequestError that says what to do next (`botkit.errors`).
        """
        ...


class Adapter(Lifetime, StreamSource, RequestSender, Protocol):
    """An account's way to an exchange and back."""


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
