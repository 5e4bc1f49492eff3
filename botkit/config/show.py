"""Writes a configuration as YAML, showing every effective value with its origin but no secrets.

Loading the YAML yields an equal configuration, except for hidden values.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from botkit.config.decode import is_secret
from botkit.config.ledger_address import is_ledger_address, shown_address
from botkit.config.load import LoadedConfig, leaves, plain_config
from botkit.config.source import HIDDEN, resolve_plain, spelling_hint

#: keys in secret sections whose values are safe to show
_HARMLESS = {"use", "level", "secrets_file"}
_REFERENCE = re.compile(r"(\$\{[A-Za-z0-9_]*\})+\Z", re.ASCII)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n"}
_BARE = re.compile(r"[A-Za-z0-9./_][A-Za-z0-9./_%-]*\Z", re.ASCII)


def resolved(loaded: LoadedConfig) -> dict[str, Any]:
    """Return the complete configuration as plain data, with secrets hidden. ``${NAME}`` is kept, because it reveals
    nothing.
    """
    result = _hide(plain_config(loaded.config), ())
    assert isinstance(result, dict)
    return result


def resolved_yaml(loaded: LoadedConfig, *, with_origins: bool = False) -> str:
    """Return the complete configuration as YAML, optionally with each value's origin as a comment."""
    lines: list[tuple[str, str]] = []
    origins = loaded.origins() if with_origins else {}
    _write(resolved(loaded), (), lines, origins)
    if not with_origins:
        return "".join(f"{text}\n" for text, _ in lines)
    width = min(max((len(text) for text, origin in lines if origin), default=0), 60)
    return "".join(f"{text.ljust(width)}  # {origin}\n" if origin else f"{text}\n" for text, origin in lines)


def origin_rows(loaded: LoadedConfig) -> list[dict[str, Any]]:
    """Return one row per value: key, value (numbers as exact text) and origin."""
    origins = loaded.origins()
    return [
        {
            "key": ".".join(path),
            "value": format(value, "f") if isinstance(value, Decimal) else value,
            "origin": origins[".".join(path)],
        }
        for path, value in leaves(resolved(loaded))
    ]


def _hide(value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _hide(item, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_hide(item, (*path, str(index))) for index, item in enumerate(value)]
    if isinstance(value, str) and is_ledger_address(path):
        return shown_address(value)
    if value is None or not is_secret(path) or path[-1] in _HARMLESS:
        return value
    return value if isinstance(value, str) and _REFERENCE.match(value) else HIDDEN


def _write(value: Any, path: tuple[str, ...], lines: list[tuple[str, str]], origins: dict[str, str]) -> None:
    """Append (text, origin) for each line of a non-empty mapping or list."""
    indent = "  " * len(path)
    items = value.items() if isinstance(value, dict) else ((str(index), item) for index, item in enumerate(value))
    for key, item in items:
        lead = f"{indent}{_scalar(key)}:" if isinstance(value, dict) else f"{indent}-"
        here = (*path, key)
        if not isinstance(item, (dict, list)) or not item:
            lines.append((f"{lead} {_scalar(item)}", origins.get(".".join(here), "")))
        elif isinstance(value, list):
            start = len(lines)
            _write(item, here, lines, origins)
            first, origin = lines[start]
            lines[start] = (f"{lead} {first.lstrip()}", origin)
        else:
            lines.append((lead, ""))
            _write(item, here, lines, origins)


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    if isinstance(value, (int, Decimal)):
        return format(value, "f") if isinstance(value, Decimal) else str(value)
    if isinstance(value, (dict, list)):
        return "{}" if isinstance(value, dict) else "[]"
    text = str(value)
    if _BARE.match(text) and isinstance(resolve_plain(text), str) and spelling_hint(text) is None:
        return text
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else _escaped(c)) for c in text) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    # json.dumps is unsuitable, because it writes characters beyond 16 bits as surrogate pairs, and YAML reads each pair
    # as two characters
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
