"""The ledger on a Redis server, shared by bots that use one account from several machines.

``limits: {ledger: redis://HOST:PORT/0}`` needs the extra ``botkit[redis]``. The server stores the ledger as one value
and provides the time. A bot reads the value, applies its message, and writes the value back unless another bot has
changed it in the meantime. The ledger is only as durable as the server: after a restart, or on a new server, it is
treated as lost.
"""

from __future__ import annotations

import asyncio
import hashlib
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from botkit.errors import ConfigError
from botkit.live.limits.ledger import SlotLedger, new_ledger
from botkit.live.limits.protocol import LedgerReply, LedgerUnreachable, Message
from botkit.model.clock import NS_PER_S, NS_PER_US, Clock, Nanos

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: timeout for replies from the server
ANSWER_S = 1.0
#: if the server's clock gains more than this on this machine's clock between two messages, it must have been set
#: forward
JUMP: Nanos = NS_PER_S
#: the Redis key of the stored value
KEY = "botkit:limits"

_WRITE_IF_UNCHANGED = """
if redis.sha1hex(redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class KeptValue(msgspec.Struct, array_like=True):
    """The stored value: the ledger, and the id of the server run during which it was written."""

    run: str
    ledger: SlotLedger


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(KeptValue).decode


class RedisLink:
    """A `Link` to a ledger in Redis. ``key`` distinguishes several ledgers on one server."""

    def __init__(self, url: str, clock: Clock, random: Random, *, key: str = KEY) -> None:
        """``clock`` must never be adjusted. It is used to detect jumps of the server's clock. Raises ConfigError."""
        try:
            import redis.asyncio as redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import RedisError
        except ImportError:
            raise ConfigError(
                'limits.ledger: a ledger in Redis needs the package redis; install it with: pip install "botkit[redis]"'
            ) from None
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss"):
            raise ConfigError("limits.ledger: this is not the address of a Redis server; write redis://HOST:PORT/0")
        try:
            port = parts.port or 6379
        except ValueError:  # not chained: the error quotes the port, which may be half a password
            raise ConfigError(
                "limits.ledger: the port in the address is not a number; write redis://:${NAME}@HOST:PORT/0, where "
                "NAME holds the password alone, or write the password's / ? # @ as %2F %3F %23 %40"
            ) from None
        # the URL may contain a password, which must not appear in a message
        self.name = f"the ledger at {parts.scheme}://{parts.hostname}:{port}{parts.path}"
        self._error = RedisError
        self._lock = asyncio.Lock()
        self._clock = clock
        self._random = random
        self._key = key
        # no retries here, because `SharedLimits` resends a message with the same sequence number
        try:
            self._redis: Redis = redis.from_url(
                url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, retry=Retry(NoBackoff(), 0)
            )
        except ValueError:
            raise ConfigError(
                "limits.ledger: the address has options that Redis does not support; remove them"
            ) from None
        self._write: Any = self._redis.register_script(_WRITE_IF_UNCHANGED)
        self._times: tuple[Nanos, Nanos] | None = None  # the server's time and this machine's time at the last message

    async def call(self, message: Message) -> LedgerReply:
        """Apply a message and return the reply."""
        try:
            # one message at a time, because messages from one process must arrive in order
            async with self._lock, asyncio.timeout(2 * ANSWER_S):
                while True:
                    reply = await self._try(message)
                    if reply is not None:
                        return reply
        except (self._error, OSError, msgspec.MsgspecError) as error:
            raise LedgerUnreachable(f"{type(error).__name__}: {error}" if str(error) else "no answer") from None

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _try(self, message: Message) -> LedgerReply | None:
        """Apply a message once. Return None if another process has changed the value in the meantime."""
        asked = self._clock.now()
        pipe: Any = self._redis.pipeline(transaction=False)
        found, (seconds, micros), server = await pipe.get(self._key).time().info("server").execute()
        now = seconds * NS_PER_S + micros * NS_PER_US
        run = str(server["run_id"])
        kept = _decode(found) if found is not None else None
        if kept is None or kept.run != run:
            # a new ledger cannot be distinguished from a lost one, and a restarted server may have lost the latest
            # state
            kept = KeptValue(run, new_ledger(self._random))
            kept.ledger.lose(now)
        if self._times is not None and (now - self._times[0]) - (asked - self._times[1]) > JUMP:
            kept.ledger.lose(now)  # the clock's jump may have freed slots too early
        reply = kept.ledger.apply(message, now)
        digest = hashlib.sha1(found or b"", usedforsecurity=False).hexdigest()
        if not await self._write(keys=[self._key], args=[digest, _encode(kept)]):
            return None
        self._times = now, asked
        return reply
