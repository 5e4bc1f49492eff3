"""Converts Python values to nodes, so that a configuration written in Python is validated like a YAML file."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from botkit.config.source import Node, Source
from botkit.errors import ConfigError

#: the maximum number of decimals in a configuration's numbers
_DECIMALS_MOST = 18
_DEPTH_MOST = 20


def node_of(value: Any, source: Source, name: str = "") -> Node:
    """Convert a Python value to a node. Accepts None, bool, numbers, text, paths, times, enum members, and lists and
    mappings of these. numpy and pandas objects are converted to plain values.

    Floats keep up to 18 decimals. Raises ConfigError for any other type; the message refers to the value as ``name``.
    """
    return _node(value, source, name, 0)


def _node(value: Any, source: Source, name: str, depth: int) -> Node:
    if depth > _DEPTH_MOST:
        raise ConfigError(f"{source.name}: `{name}` is nested deeper than {_DEPTH_MOST} levels; flatten it")
    if isinstance(value, Mapping):
        fields = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise ConfigError(f"{source.name}: the key {key!r} in `{name}` is not text; write it in quotes")
            fields[str(key)] = _node(item, source, f"{name}.{key}" if name else str(key), depth + 1)
        return Node(fields, source, 1)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        items = [_node(item, source, f"{name}[{index}]", depth + 1) for index, item in enumerate(value)]
        return Node(items, source, 1)
    if isinstance(value, enum.Enum):
        return _node(value.value if isinstance(value.value, (str, int, float)) else value.name, source, name, depth)
    text = _bare_text(value)
    if text is not None:
        return Node(text, source, 1)
    if isinstance(value, (str, Path)):
        return Node(str(value), source, 1, quoted=True)
    if isinstance(value, (datetime, date)):
        return Node(value.isoformat(), source, 1, quoted=True)
    plain = getattr(value, "item", None)  # numpy scalars have an `item` method
    if callable(plain) and not isinstance(value, type):
        found = plain()
        if type(found) is not type(value):
            return _node(found, source, name, depth + 1)
    raise ConfigError(
        f"{source.name}: `{name}` is {type(value).__name__}, but a configuration can only contain numbers, text, "
        f"lists and mappings"
    )


def _bare_text(value: Any) -> str | None:
    """Return the text that YAML uses for an unquoted value, or None for other kinds of values."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _decimal_text(Decimal(repr(float(value)))) if math.isfinite(value) else repr(float(value))
    if isinstance(value, Decimal):
        return _decimal_text(value) if value.is_finite() else str(value)
    return None


def _decimal_text(value: Decimal) -> str:
    text = format(value, "f")
    if len(text.partition(".")[2]) > _DECIMALS_MOST:
        text = format(round(value, _DECIMALS_MOST), "f")
    return text
