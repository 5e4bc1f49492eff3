"""The shared ledger in a Redis server: joins the bots of several machines on one account.

``limits: {ledger: redis://HOST:PORT/0}``; needs the extra ``botkit[redis]``. The script ``ledger.lua`` beside this file
holds the books. They are only as durable as the server: a new ledger, and one whose server was restarted, opens after
every window has run full once, since slots that it forgot may still count at the exchange.
"""

from __future__ import annotations

import asyncio
import secrets
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from botkit.errors import ConfigError
from botkit.live.shared_limits.ledger import Message, Reply
from botkit.live.shared_limits.slots import LedgerUnreachable

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: a Redis server that does not answer for so long is as good as gone
ANSWER_S = 1.0
#: all keys of a ledger begin with this; the braces keep them on one node of a cluster
PREFIX = "botkit:{limits}"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Reply).decode


class RedisLink:
    """A `Link` to a ledger in Redis. ``prefix`` keeps several ledgers apart on one server; ``now_us`` serves tests."""

    def __init__(self, url: str, *, prefix: str = PREFIX) -> None:
        try:
            import redis.asyncio as redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import RedisError
        except ImportError:
            raise ConfigError(
                'limits.ledger: a ledger in Redis needs the package redis; type: pip install "botkit[redis]"'
            ) from None
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss"):
            raise ConfigError(f"limits.ledger: {parts.scheme}:// is not known; write redis://HOST:PORT/0")
        # a password may stand in the URL, and must not stand in a message
        self.name = f"the ledger at {parts.scheme}://{parts.hostname}:{parts.port or 6379}{parts.path}"
        self._error = RedisError
        self._lock = asyncio.Lock()
        self._prefix = prefix
        # no retries below: a message is repeated by `SharedLimits`, with its number
        self._redis: Redis = redis.from_url(
            url,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=ANSWER_S,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._script: Any = self._redis.register_script(
            files("botkit.live.shared_limits").joinpath("ledger.lua").read_text(encoding="utf-8")
        )
        self._fresh_id = secrets.token_hex(8)

    async def call(self, message: Message, now_us: int | None = None) -> Reply:
        """Carry a message out in Redis. ``now_us`` stands for the server's clock in tests."""
        arguments = [_encode(message), self._fresh_id, "" if now_us is None else str(now_us)]
        try:
            # one at a time: messages of one process must arrive in their order
            async with self._lock, asyncio.timeout(2 * ANSWER_S):
                answer = await self._script(keys=[self._prefix], args=arguments)
            return _decode(answer)
        except (self._error, OSError, TimeoutError, msgspec.MsgspecError) as error:
            raise LedgerUnreachable(f"{type(error).__name__}: {error}" if str(error) else "no answer") from None

    async def close(self) -> None:
        """Drop the connections."""
        await self._redis.aclose()
