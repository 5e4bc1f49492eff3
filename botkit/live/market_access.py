"""Provides access to market data without a bot, for ``botkit record`` and ``botkit download``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from botkit.errors import ConfigError, RequestError
from botkit.live.clock import SteadyClock
from botkit.live.limits.rate_limited_reads import RateLimitedReads
from botkit.live.limits.sharing import rate_limited_reads, venue_name
from botkit.model.adapter import Adapter
from botkit.model.clock import Nanos
from botkit.model.extension import Exchange, ExchangeFacts
from botkit.model.limits import PAIRS_ENDPOINT
from botkit.model.pairs import Pair
from botkit.model.requests import Ending

_ASK_S = 5.0


class MarketAccess:
    """Access to an exchange's market data: its facts, a connection without an account, a clock, and reads within the
    limits.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        rest: str | None = None,
        ws: str | None = None,
        frame_tap: Callable[[str | bytes, Nanos], None] | None = None,
        ledger: str | None = None,
    ) -> None:
        """``rest`` and ``ws`` override the exchange's own addresses. ``ledger`` contains the windows shared with other
        processes (`botkit.live.limits.sharing`). None means this machine's ledger. Raises ConfigError.
        """
        self.facts: ExchangeFacts = exchange.facts({})
        self.clock = SteadyClock()
        self.adapter = exchange.connect(
            {
                "public": True,
                "rest": rest,
                "ws": ws,
                "clock": self.clock,
                "pairs": self.facts.pairs,
                "frame_tap": frame_tap,
            }
        )
        self._ledger, self._venue = ledger, venue_name(self.facts, rest)
        #: True if an emulator reports that its market is synthetic
        self.is_synthetic = any(_is_synthetic(address) for address in {rest, ws} - {None})

    def reads(self, *endpoints: str) -> RateLimitedReads:
        """Return a sender for reads from these endpoints within the limits. It is an async context manager that may
        raise LedgerUnreachable.
        """
        return rate_limited_reads(
            self.adapter,
            self.facts.limits,
            self._ledger,
            endpoints=endpoints,
            venue=self._venue,
            clock=self.clock,
        )

    def pair(self, name: str) -> Pair:
        """Return the pair with this name, which may be in upper or lower case. Raises ConfigError with a suggestion."""
        found = self.facts.pairs.get(name.strip().lower())
        if found is None:
            near = get_close_matches(name.strip().lower(), list(self.facts.pairs), 1)
            raise ConfigError(
                f"{name!r} is not a pair of {self.facts.name}; "
                + (f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(self.facts.pairs))}")
            )
        return found


async def read_pairs(adapter: Adapter, reads: RateLimitedReads, exchange: str) -> Mapping[str, Pair]:
    """Open the adapter's connection, read the exchange's current pairs and their rules, and close the connection.
    Raises ConfigError.
    """
    await adapter.open()
    try:
        async with reads, reads.slot(PAIRS_ENDPOINT) as slot:
            pairs = await adapter.pairs()
            slot.outcome = Ending.OK
            return pairs
    except RequestError as error:
        why = re.sub(r"\b[A-Za-z]+Error: ", "", str(error))  # the name of a class says nothing to a user
        raise ConfigError(
            f"the pairs of {exchange} cannot be fetched: {why}. Check the address and the network"
        ) from None
    finally:
        await adapter.close()


def _is_synthetic(address: str | None) -> bool:
    """Return whether an address on this machine belongs to an emulator with a synthetic market."""
    url = urlsplit(address or "")
    if url.hostname not in ("localhost", "127.0.0.1", "::1"):
        return False
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(f"http://{url.netloc}/_emulator/state", timeout=_ASK_S) as answer:
            return bool(json.loads(answer.read())["market"]["synthetic"])
    except (OSError, ValueError, KeyError, TypeError):  # not an emulator, or one that is too old to report it
        return False


__all__ = ["MarketAccess", "RateLimitedReads", "read_pairs"]
