"""Reads a live parameter's new value, as typed for ``botkit set`` or on the page, exactly as a configuration file is
read.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from botkit.config.decode import MISSING, Decoder
from botkit.config.source import Source, parse_text
from botkit.errors import ConfigError


def live_value(name: str, text: str) -> Any:
    """Return the value of the parameter ``name`` (STRATEGY.NAME) as a JSON value. Raises ConfigError for a spelling
    that a configuration would refuse, such as 010.
    """
    node = parse_text(text, Source(f"{name}={text}", Path.cwd(), is_file=False))
    if isinstance(node.value, dict):
        raise ConfigError(f"{node.where}: the value must be a number, text or list")
    decoder = Decoder()
    value = decoder.decode(node, Any, name)
    if value is MISSING:
        raise ConfigError("\n".join(decoder.problems))
    return _as_json(value)


def _as_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, Decimal):
        # a bot takes figures as text too, so digits that a float cannot hold are not lost
        return float(value) if Decimal(repr(float(value))) == value else str(value)
    return value
