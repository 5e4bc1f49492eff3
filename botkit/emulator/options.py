"""An emulator's options: accounts, balances, market, speed and switches."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from botkit.emulator.switches import Switches, choose
from botkit.errors import ConfigError
from botkit.model.extension import FeeModel, LatencyModel, QueueModel
from botkit.model.money import to_units

#: an account's default balances, in coins by currency
DEFAULT_BALANCES: Mapping[str, str] = {"twd": "1000000", "usdt": "30000", "btc": "1", "eth": "10", "bito": "10000"}

#: the maximum speed, above which the market cannot be generated in time
SPEED_MAX = 1_000
HISTORY_DAYS_MAX = 400

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}\Z", re.ASCII)
_CURRENCY = re.compile(r"[a-z0-9]{2,10}\Z", re.ASCII)


class EmulatorAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account: its email, key and secret, and its balances (units of 1e-8 by lowercase currency).

    ``fees`` is the account's own fee model, because ranks depend on the account's volume. None means the emulator's fee
    model.
    """

    email: str
    key: str
    secret: str
    balances: Mapping[str, int] = {}
    fees: FeeModel | None = None

    def __repr__(self) -> str:
        # never show the secret: the emulator accepts any secret, so a user may have entered a real secret
        return f"EmulatorAccount({self.email!r})"


#: the account of an emulator started without any accounts
DEFAULT_ACCOUNT = EmulatorAccount(email="emulator@botkit.local", key="emulator-key", secret="emulator-secret")


class EmulatorOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of an emulator.

    ``market`` is the folder of a recorded tape, or None for the synthetic market. ``lockstep`` stops the clock, so that
    only ``/_emulator/step`` advances time. ``start`` (ns) is the initial time, by default the machine's time or, in
    lockstep, the start of the tape. ``history_days`` is the number of days of candles before the synthetic market's
    first trade. ``market_span`` (ns, end exclusive) is the part of the tape to serve; None serves the entire tape.
    ``fees``, ``latency`` and ``queue`` are models of the simulated exchange; None means rank 0, no latency, and the
    default queue assumption.
    """

    accounts: tuple[EmulatorAccount, ...] = ()
    balances: Mapping[str, int] | None = None
    market: Path | None = None
    market_span: tuple[int, int] | None = None
    speed: float = 1.0
    lockstep: bool = False
    start: int | None = None
    seed: int = 0
    port: int = 0
    history_days: float = 2.0
    switches: Switches = msgspec.field(default_factory=choose)
    faults: tuple[Mapping[str, Any], ...] = ()
    fees: FeeModel | None = None
    latency: LatencyModel | None = None
    queue: QueueModel | None = None
    max_book_age_s: int | None = None

    def all_accounts(self) -> tuple[EmulatorAccount, ...]:
        """Return the accounts with their balances filled in."""
        shared = self.balances if self.balances is not None else default_balances()
        accounts = self.accounts or (DEFAULT_ACCOUNT,)
        return tuple(
            msgspec.structs.replace(account, balances=dict(account.balances or shared)) for account in accounts
        )


def default_balances() -> dict[str, int]:
    """Return `DEFAULT_BALANCES` in units."""
    return {currency: to_units(amount) for currency, amount in DEFAULT_BALANCES.items()}


def parse_account(text: str, environ: Mapping[str, str] = os.environ, *, where: str = "--account") -> EmulatorAccount:
    """Parse ``EMAIL:KEY:SECRET``, in which each part may be ``${NAME}``, a variable in ``environ``.

    Raises a ConfigError whose message starts with ``where`` and never shows the text, because the text may contain a
    secret.
    """
    parts = [_from_environ(part, environ, where) for part in text.split(":")]
    if len(parts) != 3 or not all(part and part.isprintable() and part == part.strip() for part in parts):
        raise ConfigError(f"{where}: write it as EMAIL:KEY:SECRET, three parts without spaces")
    return EmulatorAccount(email=parts[0], key=parts[1], secret=parts[2])


def _from_environ(part: str, environ: Mapping[str, str], where: str) -> str:
    reference = _REFERENCE.match(part)
    if reference is None:
        return part
    if reference[1] not in environ:
        raise ConfigError(f"{where}: the environment variable {reference[1]} is not set; set it")
    return environ[reference[1]]


def read_accounts(path: Path, environ: Mapping[str, str] = os.environ) -> list[EmulatorAccount]:
    """Return the accounts in a file with one ``EMAIL:KEY:SECRET`` per line; lines that start with ``#`` are comments.

    Raises a ConfigError that identifies an invalid line but never shows its text. The file must not be readable by
    others.
    """
    where = f"--accounts {path}"
    if not path.is_file():
        raise ConfigError(f"{where}: there is no such file; create it with EMAIL:KEY:SECRET lines, mode 0600")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise ConfigError(f"{where}: the file contains secrets and others can read it; run: chmod 600 {path}")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError, ValueError):
        raise ConfigError(f"{where}: cannot be read as UTF-8 text; check the path and its permissions") from None
    accounts = [
        parse_account(line.strip(), environ, where=f"{path}:{number}")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not accounts:
        raise ConfigError(f"{where}: the file has no accounts; write a line EMAIL:KEY:SECRET for each")
    return accounts


def parse_balances(text: str) -> dict[str, int]:
    """Parse balances such as ``twd=1000000,btc=1`` into units of 1e-8. Raises ConfigError."""
    balances = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        currency, equals, amount = part.partition("=")
        currency = currency.strip().lower()
        if not equals or not _CURRENCY.match(currency):
            raise ConfigError(f"--balance {part}: write it as twd=1000000,btc=1")
        try:
            units = to_units(amount.strip(), currency)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"--balance {part}: {error}") from None
        if units < 0:
            raise ConfigError(f"--balance {part}: a balance must not be negative")
        balances[currency] = units
    return balances


def emulator_options(
    *,
    accounts: Sequence[str] = (),
    accounts_file: Path | None = None,
    balance: str | None = None,
    switches: Sequence[str] | Mapping[str, str] = (),
    as_set: str | None = None,
    **more: Any,
) -> EmulatorOptions:
    """Build options from text in the forms ``EMAIL:KEY:SECRET``, ``twd=1000,btc=1`` and ``name=value``. ``more`` sets
    other fields.

    ``accounts_file`` contains more accounts, one per line, and must not be readable by others. Raises ConfigError.
    """
    known = [parse_account(text) for text in accounts]
    if accounts_file is not None:
        known += read_accounts(accounts_file)
    return EmulatorOptions(
        accounts=tuple(known),
        balances=None if balance is None else parse_balances(balance),
        switches=choose(switches, as_set),
        **more,
    )


def check_options(options: EmulatorOptions) -> None:
    """Raise ConfigError for invalid or contradictory options."""
    if not 0 < options.speed <= SPEED_MAX:
        raise ConfigError(f"--speed {options.speed:g}: the factor must be above 0 and at most {SPEED_MAX}")
    if not 0 <= options.history_days <= HISTORY_DAYS_MAX:
        raise ConfigError(f"--history-days {options.history_days:g}: it must be from 0 to {HISTORY_DAYS_MAX}")
    accounts = options.all_accounts()
    if len({account.email for account in accounts}) < len(accounts):
        raise ConfigError("--account: two accounts share an email")
    if len({account.key for account in accounts}) < len(accounts):
        raise ConfigError("--account: two accounts share a key")
