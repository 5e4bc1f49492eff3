"""The contract between a bot and an exchange: what an adapter must do, in full.

An adapter carries one account's requests to an exchange and its events back. It is three ports in one object:

    Lifetime        open it, close it; an async context manager
    StreamSource    the account's streams and the market's: events in
    RequestSender   requests out, an answer for each; what the exchange can do, and how often it may be asked

`botkit.exchange.bitopro` has one for BitoPro, `botkit.exchange.paper` one whose orders never leave the process, and
``tests/toy_exchange.py`` a small one to begin from. A plugin hands its own over through `Exchange.connect`
(`botkit.model.extension`), and `botkit.testing.adapter_cases` proves under pytest that it keeps this contract.

What a bot relies on beyond the signatures:

* **One request, one call, one answer.** An adapter never repeats a request, and sends none of its own accord: whatever
  is sent counts against a limit, and the bot's router grants the slots. After a break the bot asks for what it missed.
* **No answer is not a refusal.** Between the first byte and a clear answer the outcome is UNKNOWN, and the bot looks
  the order up. NOT_SENT is for requests of which no byte was written, REFUSED for those that the exchange refused,
  RATE_LIMITED for those that it refused because there were too many.
* **Each execution reaches the sink once**, as a `TradeReport`. Order reports may repeat; they say how things stand.
  A report may overtake the answer to the request that caused it.
* **Money is integers** (ticks, lots, units of 1e-8), and times are nanoseconds UTC as the exchange stamps them.
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
#: takes an event in; it returns at once and does not raise
Sink: TypeAlias = Callable[[AdapterEvent], None]
#: what a stream carries, by the names of the arguments of `StreamSource.watch`
StreamKind: TypeAlias = Literal["books", "trades", "tickers", "account"]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What an exchange can do beyond single limit and market orders.

    ``batch_create_max`` and ``batch_cancel_max``: the most orders in one `CreateBatch` and one `CancelBatch`; 0 where
    it has no such call, and then the limit table has no ``create_batch`` or ``cancel_batch`` either.
    ``cancel_all``: it has a call that cancels every order of the account. ``stop_orders``: it takes stop-limit orders.
    ``find_by_client_id``: `ListOrders` with a client id gives the orders of that id alone; otherwise it gives all
    orders of the pair and time. Orders in listings and reports carry their client id in either case.
    """

    batch_create_max: int = 0
    batch_cancel_max: int = 0
    cancel_all: bool = False
    stop_orders: bool = False
    find_by_client_id: bool = False


class Lifetime(Protocol):
    """Opened once, closed once."""

    async def open(self) -> None:
        """Make ready to send; nothing need be sent yet. Raises ConfigError for settings that cannot work."""
        ...

    async def close(self) -> None:
        """End every stream and connection. Requests that wait for an answer are cancelled."""
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
    """Events in. Every stream keeps itself connected, and says by `Connection` events how it is."""

    @property
    def account_streams(self) -> tuple[str, ...]:
        """The names of the account's streams, as their `Connection` events give them.

        A bot trades once all of them have told CONNECTED. Empty where nothing can be lost, such as in one process.
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
        """Open streams; their events go to ``sink`` until `close`. Later calls add streams.

        ``books`` gives each pair's least depth in levels a side. A public stream tells its `Connection` once for each
        of its pairs; an account's stream tells it without a pair. With ``account``, given once at most, come the
        account's orders, executions and balances.

        A lost connection tells LOST and is made again: CONNECTED where the bot has to ask for what it missed,
        RESYNCHRONISED after that where the adapter knows that nothing is missing. STALE says that a stream is there
        but cannot be believed.
        """
        ...

    def reconnect(self, kind: StreamKind | None = None) -> None:
        """Give the streams of one kind, or all, a new connection: the present one may be dead without saying so."""
        ...


class Sender(Protocol):
    """The one thing that most need of an adapter."""

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        """Make the call of a request, once, and say how it ended: one `Answer` with the request's id.

        `Answer` says which body belongs to which request. ``urgent`` must not wait behind requests that are not:
        cancels, and orders that reduce a position. What the exchange has no call for is REFUSED; before `open` and
        after `close` it is NOT_SENT.

        Raises nothing but CancelledError, after which the outcome is unknown.
        """
        ...


class RequestSender(Sender, Protocol):
    """Requests out, and what is known of the exchange that takes them."""

    @property
    def limits(self) -> LimitTable:
        """Its rate limits: a row for the ``endpoint`` of each request that it takes."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the exchange can do."""
        ...

    @property
    def clock_skew_ms(self) -> int | None:
        """This machine's time less the exchange's, as of the last answer; None before the first. It may be a second
        off where the exchange tells no more."""
        ...

    async def pairs(self) -> Mapping[str, Pair]:
        """The pairs and their rules as the exchange gives them now, by lowercase name; endpoint
        `botkit.model.limits.PAIRS_ENDPOINT`.

        Raises RequestError, by what happens next (`botkit.errors`).
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
