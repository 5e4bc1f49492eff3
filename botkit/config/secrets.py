"""Reads secrets from the environment or a private file when a mode needs them, and never shows them.

A configuration refers to a secret as ``${NAME}``. This module never prints a value; its errors contain locations but no
file contents.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from botkit.config.account import AccountConfig
from botkit.config.ledger_address import filled_address, has_written_password
from botkit.config.load import LoadedConfig
from botkit.errors import ConfigError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*\Z", re.ASCII)
_SIZE_MAX = 100_000
#: notifier options that are secrets even if they are written in plain text
_SECRET_OPTIONS = ("token", "password", "secret")


class AccountKeys(msgspec.Struct, frozen=True):
    """An account with its credentials, which its repr hides."""

    email: str
    key: str
    secret: str

    def __repr__(self) -> str:
        return "Account(hidden)"

    __str__ = __repr__


def resolve_account(loaded: LoadedConfig, environ: Mapping[str, str], *, section: str = "account") -> AccountKeys:
    """Return the credentials in ``account:`` or ``emulator.account``. The environment takes precedence over
    ``secrets_file``.

    Raises ConfigError if the section or a named secret is missing, or if other users can read a file that contains
    secrets.
    """
    config = loaded.config.account if section == "account" else loaded.config.emulator.account
    if config is None:
        raise ConfigError(
            f"{loaded.path}: `{section}:` is missing, but this mode requires it; "
            "add {email: you@example.com, key: '${BITOPRO_KEY}', secret: '${BITOPRO_SECRET}'}"
        )
    resolver = _Resolver(loaded, environ, config, section)
    return AccountKeys(*(resolver.value(field) for field in ("email", "key", "secret")))


def credentials(loaded: LoadedConfig, mode: str, environ: Mapping[str, str]) -> set[str]:
    """Return the credentials of the account used by a mode, which must not appear in any output."""
    section = "account" if mode == "live" else "emulator.account"
    try:
        account = resolve_account(loaded, environ, section=section)
    except ConfigError:
        return set()  # ignored here: a mode that needs the account reports this error when it connects
    return {account.key, account.secret}


def ledger_passwords(loaded: LoadedConfig, environ: Mapping[str, str]) -> set[str]:
    """Return a shared ledger's password, both decoded and as written in the address. Neither form may appear in any
    output.
    """
    try:
        spelt = urlsplit(resolve_ledger(loaded, environ) or "").password
    except (ConfigError, ValueError):
        return set()  # ignored here: the code that uses this section reports this error
    return {spelt, unquote(spelt)} if spelt else set()


class SecretOptions:
    """Reads options of ``notify:``, taking each ``${NAME}`` from the environment or the account's ``secrets_file``."""

    def __init__(self, loaded: LoadedConfig, environ: Mapping[str, str]) -> None:
        self._resolver = _Resolver(loaded, environ, loaded.config.account, "account")
        #: the resolved secrets, which must not appear in any output
        self.found: set[str] = set()

    def resolve(self, value: Any, where: str) -> Any:
        """Resolve an option, or a mapping of options, at a dotted path. Raises ConfigError if a name is missing, or if
        a file that other users can read contains a plain-text secret.
        """
        if isinstance(value, dict):
            return {key: self.resolve(item, f"{where}.{key}") for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, f"{where}.{index}") for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        text = self._resolver.substitute(value, where)
        is_written = text == value and where.rpartition(".")[2] in _SECRET_OPTIONS
        if is_written:
            self._resolver.check_written(where)
        # a notifier's address contains its token, in plain text or as a reference
        if text != value or is_written or "://" in text:
            self.found.add(text)
        return text


def resolve_ledger(loaded: LoadedConfig, environ: Mapping[str, str]) -> str | None:
    """Return ``limits.ledger``, taking each ``${NAME}`` from the environment or the account's ``secrets_file``.

    Raises ConfigError if a name is missing, or if a file that other users can read contains a plain-text password.
    """
    text, where = loaded.config.limits.ledger, "limits.ledger"
    if text is None:
        return None
    if has_written_password(text):
        check_private(loaded.path, loaded.where(where))
    resolver = _Resolver(loaded, environ, loaded.config.account, "account")
    return filled_address(text, lambda name: resolver.lookup(name, where))


def ledger_of_option(text: str | None, environ: Mapping[str, str]) -> str | None:
    """Return a ledger's address given on the command line, taking each ``${NAME}`` from the environment. Raises
    ConfigError if a name is missing or the address contains a plain-text password.
    """
    if text is None:
        return None
    if has_written_password(text):
        raise ConfigError("--ledger: a password must not be on the command line; write '${NAME}' instead")

    def value(name: str) -> str:
        if name not in environ:
            raise ConfigError(f"--ledger: the environment variable {name} is not set; set it")
        return environ[name]

    return filled_address(text, value)


class _Resolver:
    def __init__(
        self, loaded: LoadedConfig, environ: Mapping[str, str], config: AccountConfig | None, section: str
    ) -> None:
        self.loaded = loaded
        self.environ = environ
        self.config = config
        self.section = section
        self._file: dict[str, str] | None = None

    def value(self, field: str) -> str:
        text: str = getattr(self.config, field)
        where = f"{self.section}.{field}"
        if field == "secret" and _REFERENCE.search(text) is None:
            self.check_written(where)
        result = self.substitute(text, where)
        if not result or not result.isprintable():
            raise self.loaded.error(where, "the value is empty or contains characters that cannot be sent; correct it")
        return result

    def check_written(self, where: str) -> None:
        """Raise ConfigError if a secret is written in plain text in a place that other users can read."""
        place = self.loaded.where(where)
        if place.startswith("--set"):  # other users can see a process's arguments
            raise self.loaded.error(where, "a secret must not be on the command line; write ${NAME}")
        check_private(self.loaded.path, place)

    def substitute(self, text: str, where: str) -> str:
        return _REFERENCE.sub(lambda match: self.lookup(match[1], where), text)

    def lookup(self, name: str, where: str) -> str:
        if not _NAME.match(name):
            raise self.loaded.error(where, f"${{{name}}} is not a variable name; write one such as ${{BITOPRO_KEY}}")
        if name in self.environ:
            return self.environ[name]
        path, section = self._secrets_file()
        if path is not None:
            if self._file is None:
                self._file = read_secrets(path, self.loaded.where(f"{section}.secrets_file"))
            if name in self._file:
                return self._file[name]
            raise self.loaded.error(where, f"{name} is neither in the environment nor in {path}; set it in one of them")
        raise self.loaded.error(
            where,
            f"the environment variable {name} is not set; set it, or name a `secrets_file` with a line {name}=...",
        )

    def _secrets_file(self) -> tuple[Path | None, str]:
        """Return the file with the values of this section, which is the account's if the section names none."""
        real = self.loaded.config.account
        if (self.config is None or self.config.secrets_file is None) and real is not None:
            return real.secrets_file, "account"
        return (None if self.config is None else self.config.secrets_file), self.section


def read_secrets(path: Path, where: str) -> dict[str, str]:
    """Read NAME=value lines from a file that only its owner can read. Lines that start with ``#`` are comments. Raises
    ConfigError.
    """
    check_private(path, where)
    try:
        if path.stat().st_size > _SIZE_MAX:
            raise ConfigError(f"{where}: {path} is too large to be a secrets file; name the right file")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{where}: {path} cannot be read as UTF-8 text; check the path and its permissions") from None
    values: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:  # the line is not shown, because it may be the secret
            raise ConfigError(f"{path}:{number}: this line is not of the form NAME=value; fix it")
        name, value = match[1], match[2]
        if name in values:
            raise ConfigError(f"{path}:{number}: {name} is set twice; keep one of the lines")
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        values[name] = value
    return values


def check_private(path: Path, where: str) -> None:
    """Raise ConfigError if other users can read a file that contains secrets. On Windows every file passes, because
    Windows has no POSIX file modes.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        raise ConfigError(f"{where}: there is no file {path}; create it with NAME=value lines, mode 0600") from None
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{where}: {path} is not a regular file; name a file of NAME=value lines")
    if os.name == "posix" and mode & 0o077:
        raise ConfigError(
            f"{where}: {path} contains secrets and others can read it (mode {mode & 0o777:04o}); run: chmod 600 {path}"
        )
