"""Connects commands in another process to a bot's account."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from botkit.config.addresses import check_command, chosen_address
from botkit.config.secrets import resolve_account, resolve_ledger
from botkit.errors import ConfigError
from botkit.live.clock import SteadyClock
from botkit.live.limits.rate_limited_reads import RateLimitedReads
from botkit.live.limits.sharing import ALONE, LimitSharing, venue_name
from botkit.live.machine import this_machine
from botkit.live.state_folder import StateFolder
from botkit.model.clock import NS_PER_S
from botkit.project.connect import connect
from botkit.project.project import Project


@contextlib.asynccontextmanager
async def account_access(
    project: Project,
    mode: str,
    *,
    rest: str | None = None,
    ws: str | None = None,
    environ: Mapping[str, str] = os.environ,
    hurries: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> AsyncIterator[RateLimitedReads]:
    """Open a separate connection to a bot's account for `botkit panic` and `botkit account`. Requests on this
    connection count toward the rate-limit windows that bots share.

    Raises ConfigError, and LedgerUnreachable unless ``hurries`` is set.
    """
    rest, ws = chosen_address(project.config, rest, ws)
    check_command(mode, rest)
    account, _ = _account(project, mode, rest, environ)
    ledger, clock = _ledger(project, environ, hurries, say), SteadyClock()
    if mode == "emulator":
        from botkit.emulator.ask_clock import emulator_clock

        assert rest is not None
        # if the exchange does not respond, later requests report a clearer error than this request would
        with contextlib.suppress(ConfigError):
            ledger = ledger if (await emulator_clock(rest, None)).speed == 1 else ALONE
    section = project.config.live if mode == "live" else project.config.emulator
    sharing = LimitSharing(
        table=project.facts.limits,
        ledger=ledger,
        venue=venue_name(project.facts, rest),
        account=account.email,
        clock=clock,
        latest_accept_ns=int(section.latest_accept_s * NS_PER_S),
    )
    adapter = connect(project, account, rest, ws, clock, random=this_machine().random)
    async with adapter, sharing.outside_router(adapter, hurries=hurries, say=say) as access:
        yield access


def _ledger(project: Project, environ: Mapping[str, str], hurries: bool, say: Callable[[str], None]) -> str | None:
    """Return the configured ledger, or None if the ledger's password is missing and ``hurries`` is set."""
    try:
        return resolve_ledger(project.loaded, environ)
    except ConfigError as error:
        if not hurries:
            raise
        say(f"{error}; continuing without shared rate limits")
        return ALONE


def named_account(
    project: Project, mode: str, rest: str | None, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the account that `account_access` uses, and the section of the configuration that its key is from. Raises
    ConfigError.
    """
    rest, _ = chosen_address(project.config, rest, None)
    check_command(mode, rest)
    account, origin = _account(project, mode, rest, environ)
    return {"account": account.email, "key_from": origin}


def _account(project: Project, mode: str, rest: str | None, environ: Mapping[str, str]) -> tuple[Any, str]:
    """Return a bot's account for the given mode, and where it is from. In an emulator mode without a configured
    account, return the account that the bot would use.
    """
    loaded = project.loaded
    if mode == "live":
        return resolve_account(loaded, environ), f"`account:` ({loaded.where('account')})"
    section = "emulator.account"
    if project.config.emulator.account is not None:
        return resolve_account(loaded, environ, section=section), f"`{section}:` ({loaded.where(section)})"
    from botkit.assembly.embedded import embedded_account
    from botkit.emulator.options import DEFAULT_ACCOUNT

    status = StateFolder.of(project.config.name, "emulator", "inside").read_status() or {}
    if rest is not None and rest in status.get("address", ()):
        return embedded_account(project.config.name), "the bot's own emulator"
    return DEFAULT_ACCOUNT, f"the default of `botkit emulator`, as `{section}:` is missing in {loaded.path}"
