"""Handles the address of a shared ledger, ``limits: {ledger: ...}``. This address is the only value outside secret
sections that may contain a password.

The password is written as ``${NAME}``. A plain-text password is accepted only in a file that other users cannot read,
and is never shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import quote

from botkit.config.source import HIDDEN

_PATH = ("limits", "ledger")
_REFERENCE = re.compile(r"\$\{([^}]*)\}")
#: groups: scheme; user; password; host with port and database number; options
_ADDRESS = re.compile(r"(\w+://)(?:([^:@/?#]*)(?::([^@/?#]*))?@)?([^:@/?#]*(?::\d+)?(?:/\d*)?)(\?.*)?\Z", re.ASCII)


def is_ledger_address(path: Sequence[str]) -> bool:
    """Return whether this configuration path is that of a ledger's address."""
    return tuple(path) == _PATH


def has_written_password(text: str) -> bool:
    """Return whether an address contains a password, or text that may be a password, not written as ``${NAME}``."""
    return shown_address(text) != text


def shown_address(text: str) -> str:
    """Return the address in a form that is safe to show: ``${NAME}`` is kept, but a plain-text password is hidden."""
    if _REFERENCE.fullmatch(text) or ("://" not in text and "@" not in text):
        return text
    match = _ADDRESS.match(text)
    if match is None:
        return HIDDEN
    scheme, user, password, rest, options = match.groups()
    if options or (password and _REFERENCE.fullmatch(password) is None):
        return f"{scheme}{f'{user}:{HIDDEN}@' if password else ''}{rest}{f'?{HIDDEN}' if options else ''}"
    return text


def filled_address(text: str, value: Callable[[str], str]) -> str:
    """Return the address with each ``${NAME}`` replaced by its value. Values are escaped unless the reference is the
    entire address.
    """
    if _REFERENCE.fullmatch(text):
        return _REFERENCE.sub(lambda match: value(match[1]), text)
    return _REFERENCE.sub(lambda match: quote(value(match[1]), safe=""), text)
