"""Calls of BitoPro's endpoints: from an endpoint's name and its values to a typed reply.

Invariant: a reply that does not have the expected shape never counts as a success. For a read it means that the call
may be repeated; for a write its outcome is unknown, because the exchange may have acted on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar

from botkit.errors import OutcomeUnknown, Refused, RequestError, TryAgain
from botkit.exchange.bitopro.transport import Call, Transport
from botkit.exchange.bitopro.wire.codec import WireError, decode, refuse_repeated_names
from botkit.exchange.bitopro.wire.endpoints import ENDPOINTS, Endpoint

T = TypeVar("T")

_MB = 2**20
#: the default timeouts for reads and writes
READ_TIMEOUT_S, WRITE_TIMEOUT_S = 10.0, 5.0
#: the default time limit for connecting
CONNECT_TIMEOUT_S = 5.0
#: the default limit on the size of a reply, and those of replies with long lists
SIZE_MAX = 2 * _MB
LIST_SIZE_MAX = 4 * _MB
CANDLES_SIZE_MAX = 16 * _MB


class Begun(Generic[T]):
    """A request whose reply has not been read yet. If a connection was open, the request has already been written."""

    __slots__ = ("_call", "_endpoint", "_shape")

    def __init__(self, call: Call, endpoint: Endpoint, shape: type[T]) -> None:
        self._call = call
        self._endpoint = endpoint
        self._shape = shape

    async def reply(self) -> T:
        """Wait for the reply, after writing the request if there was no open connection. Call this once. Raises
        RequestError.
        """
        answer, endpoint = await self._call.answer(), self._endpoint
        try:
            reply = decode(answer, self._shape, endpoint.id)
            if endpoint.is_write:
                refuse_repeated_names(answer, endpoint.id)  # a repeated order id would be ambiguous
            return reply
        except WireError as error:
            failure: RequestError = (
                OutcomeUnknown(f"{error}; it may have taken effect", status=200, text=str(error))
                if endpoint.is_write
                else TryAgain(str(error), status=200, text=str(error))
            )
        raise failure


class Calls:
    """The calls of one client, each limited by the client's timeout for reads or for writes."""

    def __init__(self, transport: Transport, *, read_timeout_s: float, write_timeout_s: float) -> None:
        self._transport = transport
        self._read_timeout_s = read_timeout_s
        self.write_timeout_s = write_timeout_s

    def begin(
        self,
        endpoint_id: str,
        shape: type[T],
        *,
        query: Mapping[str, object] | None = None,
        body: bytes | None = None,
        size_max: int = SIZE_MAX,
        timeout_s: float | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        urgent: bool = False,
        **names: str,
    ) -> Begun[T]:
        """Start a call and return before its reply arrives. ``names`` fill in the path, ``query`` values of None are
        left out, and times are in seconds. Raises Refused for an empty name.
        """
        endpoint = ENDPOINTS[endpoint_id]
        call = self._transport.begin(
            endpoint,
            path_of(endpoint_id, **names),
            query={name: _text(value) for name, value in query.items() if value is not None} if query else None,
            body=body,
            timeout_s=timeout_s or (self.write_timeout_s if endpoint.is_write else self._read_timeout_s),
            connect_timeout_s=connect_timeout_s,
            size_max=size_max,
            urgent=urgent,
        )
        return Begun(call, endpoint, shape)

    async def reply(self, endpoint_id: str, shape: type[T], **options: Any) -> T:
        """Make a call and return its reply. Takes the options of `begin`. Raises RequestError."""
        return await self.begin(endpoint_id, shape, **options).reply()


@lru_cache(maxsize=1024)
def path_of(endpoint_id: str, **names: str) -> str:
    """Return a call's path. Raises Refused for an empty name, because a path without that name would belong to a
    different endpoint.
    """
    if not all(names.values()):
        raise Refused(f"{endpoint_id}: {', '.join(n for n, v in names.items() if not v)} must not be empty")
    return ENDPOINTS[endpoint_id].fill(**names)


def _text(value: object) -> str:
    # the documented type is bool, which is lower case in JSON
    return str(value).lower() if isinstance(value, bool) else str(value)
