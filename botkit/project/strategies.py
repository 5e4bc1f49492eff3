"""Describes the strategies provided by plugins, and their parameters."""

from __future__ import annotations

import enum
import inspect
from pathlib import Path
from typing import Any

from botkit.config.load import load_config
from botkit.engine.settings import StrategySpec
from botkit.engine.strategy.base import Strategy
from botkit.engine.strategy.parameter import REQUIRED, Parameter
from botkit.engine.strategy.parameter_classes import parameters_of
from botkit.plugins import Plugins
from botkit.project.plugins import assemble_plugins


def loaded_plugins(config: Path | None) -> Plugins:
    """Return a configuration's plugins or, without a configuration, the installed plugins and those in ./strategies.
    Raises ConfigError.
    """
    return assemble_plugins(load_config(config) if config is not None else None)


def described_strategies(plugins: Plugins, name: str | None = None) -> list[dict[str, Any]]:
    """Return one row per strategy, or only the row for ``name``: name, plugin, file, summary (the first paragraph of
    its docstring), doc, parameters.

    A parameter has name, kind, required, default (as written in a configuration), bounds, choices, live and doc. Raises
    PluginError for an unknown name or a class whose parameters cannot be read.
    """
    found = plugins.strategies.values() if name is None else [plugins.pick("strategies", name)]
    rows = []
    for registration in found:
        doc = inspect.getdoc(registration.thing) or ""
        if doc == (inspect.getdoc(Strategy) or ""):
            doc = ""  # an inherited docstring, so it describes strategies in general
        rows.append(
            {
                "name": registration.name,
                "plugin": registration.plugin,
                "file": registration.file,
                "summary": " ".join(doc.split("\n\n", 1)[0].split()),
                "doc": doc,
                "parameters": [_described(parameter) for parameter in parameters_of(registration.thing).values()],
            }
        )
    return rows


def _described(parameter: Parameter) -> dict[str, Any]:
    is_required = parameter.default is REQUIRED
    return {
        "name": parameter.name,
        "kind": parameter.kind_text,
        "required": is_required,
        "default": "" if is_required else _text(parameter.default),
        "bounds": bounds_text(parameter),
        "choices": list(parameter.choices),
        "live": parameter.live,
        "doc": parameter.doc,
    }


def plain_parameters(spec: StrategySpec) -> dict[str, Any]:
    """Return a strategy's effective parameters, including defaults, as plain JSON values."""
    return {name: _plain(value) for name, value in spec.parameters.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or type(value) in (bool, int, float) else str(value)


def bounds_text(parameter: Parameter) -> str:
    """Return a parameter's bounds in words: ``1 to 500``, ``above 0``, ``at least 0, below 10000``; "" if it has
    none.
    """
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None:
        return f"{low} to {high}"
    parts = [
        f"{word} {bound}"
        for word, bound in (
            ("at least", low),
            ("above", parameter.above),
            ("at most", high),
            ("below", parameter.below),
        )
        if bound is not None
    ]
    return ", ".join(parts)


def _text(value: Any) -> str:
    """Return a default as written in a configuration."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_text, value))}]"
    return str(value)
