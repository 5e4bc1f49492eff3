"""Records which part of an account each bot owns, so that no two bots count the same coins.

Each bot writes a claim into its own state folder. A claim is valid while the folder is locked. The operating system
releases that lock whenever the process exits, even after a crash, so a dead bot claims nothing. A lock per account
ensures that reading the other claims and writing the bot's claim is a single atomic step.

    <state>/<name>/<mode>/<account>/claim.json        what the strategies of that bot own
    <state>/.claims/<mode>-<account>                  held while claims are compared
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from botkit.errors import BotkitError
from botkit.live.ports import Lock
from botkit.live.state_folder import StateFolder
from botkit.model.money import format_units

_LOCK_WAIT_S = 10.0
_LOCK_LOOK_S = 0.05
_FILE = "claim.json"


class ClaimRefused(BotkitError):
    """Another bot owns coins that this bot would treat as its own. The message names the other bot."""


class CoinClaim(msgspec.Struct, frozen=True):
    """The part of an account that one bot owns. ``pooled`` lists the currencies in which the bot uses the entire free
    balance.
    """

    name: str
    pooled: tuple[str, ...]
    units: dict[str, int]


class Claims:
    """The claims of all bots that use the same account as the bot in a given folder. This bot's own claim is valid
    while its folder is locked.
    """

    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder
        self._path = folder.path / _FILE
        account, mode, name = folder.path.name, folder.path.parent.name, folder.path.parent.parent.name
        #: None if the folder is outside the folder that holds all bots' state
        self._root = folder.root
        self._name, self._mode, self._account = name, mode, account
        self._written: CoinClaim | None = None

    def others(self) -> list[CoinClaim]:
        """Return the claims of all other bots that are running on this account."""
        found: list[CoinClaim] = []
        for _, folder in self._folder.neighbours():
            claim = _read(folder)
            if claim is not None and folder.holder() is not None:
                found.append(claim)
        return found

    def elsewhere(self) -> dict[str, int]:
        """Return the coins owned by other running bots, in units by currency."""
        total: dict[str, int] = {}
        for claim in self.others():
            for currency, units in claim.units.items():
                total[currency] = total.get(currency, 0) + units
        return total

    def forget(self) -> None:
        """Delete an earlier run's claim. The folder must be locked. Raises OSError."""
        self._folder.disk.files.remove(self._path)

    async def register(
        self, pooled: Sequence[str], owned: Mapping[str, int], account: Mapping[str, int] | None, slack: int = 0
    ) -> None:
        """Claim the coins that this bot owns in the account. Raises ClaimRefused and OSError.

        ``account`` contains the account's balances, or None while they are unknown. ``slack`` is the number of units by
        which the books may differ from the account, because fills are rounded.
        """
        claim = self._claim(pooled, owned)
        async with self._alone():
            others = self.others()
            refusal = _same_pool(claim, others)
            if refusal is None and account is not None:
                refusal = _too_much(claim, others, account, slack)
            if refusal is not None:
                raise ClaimRefused(refusal)
            self._write(claim)

    def update(self, pooled: Sequence[str], owned: Mapping[str, int]) -> None:
        """Update the claim while the bot trades. Raises OSError."""
        claim = self._claim(pooled, owned)
        if claim != self._written:
            self._write(claim)

    @contextlib.contextmanager
    def adding(self, units: Mapping[str, int], free: Mapping[str, int]) -> Iterator[str | None]:
        """Yield the reason why these units cannot be assigned (another bot owns them), or None. ``free`` is this bot's
        money that is not assigned to any strategy. No other bot on the account can make a claim until the block ends.
        """
        with self._now() as refusal:
            yield refusal or _owned_elsewhere(units, free, self.others())

    # -- within -------------------------------------------------------------------------------------------------------

    def _claim(self, pooled: Sequence[str], owned: Mapping[str, int]) -> CoinClaim:
        return CoinClaim(self._name, tuple(pooled), {c: units for c, units in sorted(owned.items()) if units > 0})

    def _write(self, claim: CoinClaim) -> None:
        self._folder.disk.files.write(self._path, msgspec.json.encode(claim), durable=False)
        self._written = claim

    @property
    def _lock_path(self) -> Path | None:
        return None if self._root is None else self._root / ".claims" / f"{self._mode}-{self._account}"

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        path = self._lock_path
        lock: Lock | None = None
        waited_s = 0.0
        while path is not None and (lock := self._folder.disk.lock(path, self._name)) is None:
            if waited_s >= _LOCK_WAIT_S:
                raise ClaimRefused(
                    f"another bot has kept {path} locked for {waited_s:.0f} s; try again once that bot has started"
                )
            await asyncio.sleep(_LOCK_LOOK_S)
            waited_s += _LOCK_LOOK_S
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    @contextlib.contextmanager
    def _now(self) -> Iterator[str | None]:
        path, lock, refusal = self._lock_path, None, None
        try:
            lock = None if path is None else self._folder.disk.lock(path, self._name)
            if path is not None and lock is None:
                refusal = "another bot is claiming money on this account right now; try again"
        except OSError as error:
            refusal = f"{path} cannot be written: {error.strerror or error}"
        try:
            yield refusal
        finally:
            if lock is not None:
                lock.release()


def _read(folder: StateFolder) -> CoinClaim | None:
    try:
        return msgspec.json.decode(folder.disk.files.read(folder.path / _FILE), type=CoinClaim)
    except (OSError, msgspec.DecodeError):
        return None


def _same_pool(claim: CoinClaim, others: Sequence[CoinClaim]) -> str | None:
    for other in others:
        common = [currency for currency in claim.pooled if currency in other.pooled]
        if common:
            return (
                f"the bot {other.name} runs on this account and pools its {' and '.join(common)} too, so both would "
                "count the same money; give the strategies of one of them a `capital`, such as "
                f'{{{common[0]}: "50000"}}'
            )
    return None


def _too_much(claim: CoinClaim, others: Sequence[CoinClaim], account: Mapping[str, int], slack: int) -> str | None:
    for currency, units in claim.units.items():
        theirs = _owned_by(others, currency)
        if theirs and units + sum(theirs.values()) > account.get(currency, 0) + slack:
            # a pool is what the account has, so there is no `capital` that could be lowered
            remedy = (
                f'give its strategies a `capital`, such as {{{currency}: "1000"}}'
                if currency in claim.pooled
                else "lower its `capital`, or the other bot's"
            )
            return (
                f"the account has {format_units(account.get(currency, 0))} {currency}, of which {_figures(theirs)}, "
                f"and this bot would take {format_units(units)}; {remedy}"
            )
    return None


def _owned_elsewhere(units: Mapping[str, int], free: Mapping[str, int], others: Sequence[CoinClaim]) -> str | None:
    for currency, wanted in units.items():
        theirs = _owned_by(others, currency)
        left = free.get(currency, 0) - sum(theirs.values())
        if wanted > 0 and theirs and wanted > left:
            return (
                f"{format_units(wanted)} {currency} is more than the {format_units(max(0, left))} {currency} that "
                f"is unassigned: {_figures(theirs)}"
            )
    return None


def _owned_by(others: Sequence[CoinClaim], currency: str) -> dict[str, int]:
    return {other.name: other.units[currency] for other in others if other.units.get(currency)}


def _figures(theirs: Mapping[str, int]) -> str:
    return " and ".join(f"{format_units(units)} belongs to the bot {name}" for name, units in theirs.items())
