"""Selects the ledger of request slots that a bot shares: this machine's broker, or a configured Redis server."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

import msgspec

from botkit.engine.router.router import READ_LATEST_NS
from botkit.errors import ConfigError
from botkit.live.clock import DriverClock, SteadyClock
from botkit.live.limits.broker_client import BrokerLink
from botkit.live.limits.in_process import InProcessLedger
from botkit.live.limits.leases import GATHER, Identity, SharedLimits
from botkit.live.limits.protocol import AskUsage, LedgerUnreachable, Link, WindowUsage
from botkit.live.limits.rate_limited_reads import RateLimitedReads
from botkit.live.machine import secret_random
from botkit.model.adapter import RequestSender
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.extension import ExchangeFacts
from botkit.model.limits import LimitTable
from botkit.model.requests import CancelAll, CancelBatch, CancelOrder, GetBalances, ListOpenOrders

#: the value of `limits: {ledger: none}`, for a process that is alone on its IP address and account
ALONE = "none"
#: a ledger as named in a configuration (None means this machine's broker), or a link to a ledger
Ledger: TypeAlias = str | Link | None
#: the endpoints that a bot, or a command run for that bot, calls outside the engine's router
OUTSIDE_ROUTER = tuple(
    request.endpoint for request in (GetBalances, ListOpenOrders, CancelOrder, CancelBatch, CancelAll)
)
#: the maximum wait for a response
REQUEST_TIMEOUT_NS = 10 * NS_PER_S


def ledger_link(ledger: str | None, *, starts: bool = True) -> Link:
    """Return the link to the ledger named in a configuration. With ``starts``, the broker is started if it is not
    running. Raises ConfigError.
    """
    if ledger is None:
        return BrokerLink(starts=starts)
    if not ledger.startswith(("redis://", "rediss://")):
        raise ConfigError(
            f"limits.ledger: an unknown address (not shown, since it may contain a password); write "
            f"redis://HOST:PORT/0, or {ALONE} for a bot that does not share limits"
        )
    from botkit.live.limits.redis import RedisLink

    return RedisLink(ledger, SteadyClock(), secret_random())


def venue_name(facts: ExchangeFacts, rest: str | None) -> str:
    """Return the ledger's name for the exchange at an address. It must be the same in all processes that use the
    exchange.
    """
    return facts.name if rest is None or rest.rstrip("/") == facts.address else rest.rstrip("/")


def shared_limits(
    table: LimitTable,
    ledger: Ledger,
    *,
    venue: str,
    account: str,
    clock: DriverClock,
    latest_accept_ns: Nanos,
    endpoints: Collection[str] | None = None,
    keeps_stock: bool = True,
) -> SharedLimits | None:
    """Create a bot's shared windows without starting them. Return None if the bot shares no windows or if its clock
    runs at a different speed.

    If ``endpoints`` is given, only their windows are shared. Raises ConfigError for an unknown ledger.
    """
    is_own = isinstance(ledger, InProcessLedger)
    if not is_own and (ledger == ALONE or clock.speed != 1):
        return None
    return SharedLimits(
        table,
        ledger_link(ledger) if ledger is None or isinstance(ledger, str) else ledger,
        # hashed, because other users of a shared server must not learn whose account it is
        identity=Identity(venue=venue, account=hashlib.sha256(account.encode()).hexdigest()[:16]),
        holder=f"{socket.gethostname()}-{os.getpid()}-{secret_random().getrandbits(32):08x}",
        clock=clock,
        latest_accept_ns=latest_accept_ns,
        read_latest_ns=READ_LATEST_NS,
        request_timeout_ns=int(REQUEST_TIMEOUT_NS * clock.speed),
        endpoints=endpoints,
        keeps_stock=keeps_stock,
        # messages within the process cost nothing
        gather=0 if is_own else GATHER,
    )


def rate_limited_reads(
    sender: RequestSender,
    table: LimitTable,
    ledger: Ledger,
    *,
    endpoints: Collection[str],
    venue: str,
    clock: DriverClock,
    account: str = "",
    latest_ns: Nanos = READ_LATEST_NS,
    hurries: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> RateLimitedReads:
    """Return a sender for ``endpoints`` that works outside any bot's router, within the windows that bots share.

    Raises ConfigError for an unknown ledger.
    """
    shared = shared_limits(
        table,
        ledger,
        venue=venue,
        account=account,
        clock=clock,
        latest_accept_ns=latest_ns,
        endpoints=[endpoint for endpoint in endpoints if endpoint in table.endpoints],
        keeps_stock=False,
    )
    return RateLimitedReads(sender, table, clock, shared=shared, latest_ns=latest_ns, hurries=hurries, say=say)


class LimitSharing(msgspec.Struct, frozen=True, kw_only=True):
    """Specifies where the requests of one bot or command are counted. ``account`` is the account whose windows count
    them, or "" if no other process uses these windows. ``endpoints`` lists the shared endpoints. None means all
    endpoints.
    """

    table: LimitTable
    ledger: Ledger
    venue: str
    account: str
    clock: DriverClock
    #: how long after being sent a request may still arrive
    latest_accept_ns: Nanos
    endpoints: Collection[str] | None = None

    def windows(self) -> SharedLimits | None:
        """Create shared windows for a bot without starting them, or return None if the bot shares none. Raises
        ConfigError.
        """
        return shared_limits(
            self.table,
            self.ledger,
            venue=self.venue,
            account=self.account,
            clock=self.clock,
            latest_accept_ns=self.latest_accept_ns,
            endpoints=self.endpoints,
        )

    def outside_router(
        self, sender: RequestSender, *, hurries: bool = False, say: Callable[[str], None] = lambda text: None
    ) -> RateLimitedReads:
        """Return a sender that works outside the engine's router, within the bot's windows. It is an async context
        manager.
        """
        return rate_limited_reads(
            sender,
            self.table,
            self.ledger if self.account else ALONE,
            endpoints=OUTSIDE_ROUTER,
            venue=self.venue,
            clock=self.clock,
            account=self.account,
            latest_ns=self.latest_accept_ns,
            hurries=hurries,
            say=say,
        )


def ledger_usage(ledger: str | None) -> tuple[str, Sequence[WindowUsage]]:
    """Return the name of the ledger, and the usage of every window, summed over all bots that share the ledger. Raises
    LedgerUnreachable.
    """

    async def ask() -> tuple[str, Sequence[WindowUsage]]:
        link = ledger_link(ledger, starts=False)
        try:
            return link.name, (await link.call(AskUsage())).usage
        except LedgerUnreachable as error:
            if link.name in str(error):
                raise
            raise LedgerUnreachable(
                f"{link.name} cannot be reached ({error}), so its bots' usage is unknown; start it, or correct "
                "`limits: {ledger: ...}`"
            ) from None
        finally:
            await link.close()

    return asyncio.run(ask())
