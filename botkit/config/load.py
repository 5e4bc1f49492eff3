"""Loads a configuration: reads the file, applies the ``--set`` arguments and checks the types. Records where each value
was set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from botkit.config.decode import MISSING, PROBLEMS_MAX, Decoder, field_types, is_secret, suggestion
from botkit.config.ledger_address import has_written_password, is_ledger_address
from botkit.config.schema import BotConfig
from botkit.config.source import Node, Source, parse_text, plain_value, read_source
from botkit.config.strategy import PluginPlace
from botkit.config.values import node_of
from botkit.errors import ConfigError

_REFERENCE = re.compile(r"\$\{[^}]*\}?")

DEFAULT = "default"
#: used in place of a file path for a configuration built in Python
PYTHON = "configuration"


class LoadedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration, with the location at which each value was set."""

    config: BotConfig
    path: Path
    root: Node
    #: the ``--set`` arguments, except those that set a secret
    overrides: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"LoadedConfig({str(self.path)!r})"  # the contents are not shown, because the nodes may contain secrets

    def where(self, dotted: str) -> str:
        """Return the location of a value, such as ``configs/x.yaml:7`` for ``strategies.0.params.fast``.

        For a value that the file does not set, this is the location of the nearest enclosing section.
        """
        return self._nearest(_steps(dotted)).where

    def origins(self) -> dict[str, str]:
        """Return each value's origin, keyed by dotted path: ``file:line``, ``--set ...`` or ``default``."""
        return {".".join(path): self._origin(path, value) for path, value in leaves(plain_config(self.config))}

    @property
    def plugin_folders(self) -> tuple[Path, ...]:
        """Folders and files with plugins. Without ``plugins:``, the default is ./strategies in the current directory if
        that folder exists.
        """
        if self.config.plugins is None:
            default = Path("strategies")
            return (default,) if default.is_dir() else ()
        return tuple(place.path for place in self.config.plugins if place.path is not None)

    @property
    def plugin_modules(self) -> tuple[str, ...]:
        """Modules with plugins, by the names under which Python imports them; none without ``plugins:``."""
        return tuple(place.module for place in self.config.plugins or () if place.module is not None)

    def error(self, dotted: str, message: str) -> ConfigError:
        """Return a ConfigError that starts with the location of a value: ``file:line: message``."""
        return ConfigError(f"{self.where(dotted)}: {message}")

    def _nearest(self, path: tuple[str, ...]) -> Node:
        node = self.root
        for step in path:
            child = _child(node, step)
            if child is None:
                break
            node = child
        return node

    def _origin(self, path: tuple[str, ...], value: Any) -> str:
        node = self.root
        for step in path:
            child = _child(node, step)
            if child is None:
                # `exchange: bitopro` sets the entire section, whereas a mapping sets only the keys that it contains
                return node.where if isinstance(node.value, str) and node.value and value is not None else DEFAULT
            node = child
        return node.where


def load_config(
    path: str | Path, *, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None
) -> LoadedConfig:
    """Read a configuration and apply ``--set`` arguments such as ``sma.fast=12`` or ``backtest.slippage=0.001``.

    ``values`` are additional settings as Python values, such as ``{"backtest.balances": {"usdt": 1000}}``. Raises
    ConfigError with one line ``file:line: what, why; how to fix it`` for each mistake.
    """
    return _loaded(read_source(Path(path)), Path(path), overrides, values or {})


def load_mapping(mapping: Mapping[str, Any], *, values: Mapping[str, Any] | None = None) -> LoadedConfig:
    """Check a configuration written in Python, with the same keys as a configuration file. Relative paths are relative
    to the current folder.

    Mistakes are reported as for a file, with ``configuration`` in place of file and line. Raises ConfigError.
    """
    root = node_of(mapping, Source(PYTHON, Path.cwd(), is_file=False))
    return _loaded(root, Path(PYTHON), (), values or {})


def with_parameters(loaded: LoadedConfig, parameters: Mapping[str, Mapping[str, Any]]) -> LoadedConfig:
    """Return the configuration with some parameters replaced: strategy -> name -> value. All other parameters keep
    their values.

    Values are converted to the text that a file would contain, so a file with these values yields an equal
    configuration. Raises ConfigError for a strategy that is not in the configuration.
    """
    root, strategies = loaded.root, list(loaded.config.strategies)
    labels = [strategy.label for strategy in strategies]
    for label, values in parameters.items():
        if label not in labels:
            raise ConfigError(f"there is no strategy named `{label}`; {suggestion(label, labels)}")
        index = labels.index(label)
        params = dict(strategies[index].params)
        for name, value in values.items():
            node = _python_node(f"{label}.{name}", value)
            root = _replaced(root, ("strategies", str(index), "params", name), node, label)
            params[name] = plain_value(node)
        strategies[index] = msgspec.structs.replace(strategies[index], params=params)
    config = msgspec.structs.replace(loaded.config, strategies=tuple(strategies))
    return msgspec.structs.replace(loaded, config=config, root=root)


def with_settings(loaded: LoadedConfig, values: Mapping[str, Any]) -> LoadedConfig:
    """Return the configuration with some settings replaced, such as ``{"backtest.from": "2024-01-01"}``. Raises
    ConfigError.
    """
    found = _loaded(loaded.root, loaded.path, (), values)
    return msgspec.structs.replace(found, overrides=loaded.overrides)


def _loaded(root: Node, path: Path, overrides: Sequence[str], values: Mapping[str, Any]) -> LoadedConfig:
    for override in overrides:
        root = _override(root, override)
    for key, value in values.items():
        root = _placed(root, _steps(key), _python_node(key, value), key)
    decoder = Decoder()
    _refuse_stray_references(root, decoder)
    config = MISSING if decoder.problems else decoder.decode(root, BotConfig, "")
    if decoder.problems:
        shown = decoder.problems[:PROBLEMS_MAX]
        if len(decoder.problems) > PROBLEMS_MAX:
            shown.append(f"{path}: ... and {len(decoder.problems) - PROBLEMS_MAX} more")
        raise ConfigError("\n".join(shown))
    assert config is not MISSING
    assert isinstance(config, BotConfig)
    if not config.name:
        config = named_after_file(config, path)
    shown_overrides = tuple(text for text in overrides if not is_secret(_steps(text.partition("=")[0].strip())))
    return LoadedConfig(config=config, path=path, root=root, overrides=shown_overrides)


def named_after_file(config: BotConfig, path: Path) -> BotConfig:
    """Name the bot after its configuration file. Raises ConfigError if no valid name can be derived from the file
    name.
    """
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", path.name.split(".")[0]).strip("-_")[:64]
    if not name:
        raise ConfigError(
            f"{path}:1: the bot has no name, and the file's name cannot serve as one; add a line `name: my-bot`"
        )
    return msgspec.structs.replace(config, name=name)


# -- --set ------------------------------------------------------------------------------------------------------------


def _override(root: Node, text: str) -> Node:
    """Return a copy of the tree with one ``--set key=value`` applied."""
    key, equals, value = text.partition("=")
    steps = _steps(key.strip())
    sections = field_types(BotConfig)
    labels = _strategy_labels(root)
    is_known = steps[0] in sections or steps[0] in labels
    # From here on, errors and origins quote the text. Hide a secret's value, and any value in an unknown section,
    # because the section may be a misspelled secret section.
    if is_secret(steps) or (equals and not is_known):
        text = f"{key}=..."
    if is_ledger_address(steps) and has_written_password(value):
        raise ConfigError(f"--set {key}=...: a password must not be on the command line; write ${{NAME}} instead")
    source = Source(f"--set {text}", Path.cwd(), is_file=False)
    if not equals or not all(steps):
        raise ConfigError(f"--set {text}: write it as key=value, such as sma.fast=12")
    return _placed(root, steps, parse_text(value, source), f"--set {text}")


def _python_node(key: str, value: Any) -> Node:
    """Return a Python value as a node whose location is ``key=value``, or only ``key`` if the value may be a secret."""
    node = node_of(value, Source(key, Path.cwd(), is_file=False), key)
    if is_secret(_steps(key)) or not isinstance(node.value, str):
        return node
    return node_of(value, Source(f"{key}={node.value}", Path.cwd(), is_file=False), key)


def _placed(root: Node, steps: tuple[str, ...], node: Node, shown: str) -> Node:
    """Return a copy of the tree with a node inserted at ``steps``, which may start with a strategy's name.

    Error messages refer to the node as ``shown``.
    """
    sections, labels = field_types(BotConfig), _strategy_labels(root)
    if steps[0] not in sections:
        if steps[0] not in labels:
            raise ConfigError(
                f"{shown}: `{steps[0]}` is neither a strategy nor a section of {root.source.name}; "
                f"{suggestion(steps[0], [*labels, *sections])}"
            )
        if len(steps) < 2:
            raise ConfigError(f"{shown}: also name the parameter, such as {steps[0]}.fast=12")
        steps = ("strategies", str(labels.index(steps[0])), "params", *steps[1:])
    elif steps[0] == "strategies" and len(steps) > 1 and steps[1] in labels:
        steps = ("strategies", str(labels.index(steps[1])), *steps[2:])
    return _replaced(root, steps, node, shown)


def overrides_for(paths: Sequence[Path], overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """Assign ``--set`` arguments to several files. An argument that names a strategy is assigned to the files that
    contain the strategy.

    An argument that matches no file is assigned to all files, so that loading reports the mistake. Raises ConfigError.
    """
    labels = [_strategy_labels(read_source(path)) for path in paths]
    found: list[list[str]] = [[] for _ in paths]
    for text in overrides:
        first, second, *_ = (*_steps(text.partition("=")[0].strip()), "")
        label = second if first == "strategies" and not second.isdigit() else first
        knows = [label in own for own in labels]
        for own, known in zip(found, knows, strict=True):
            if known or not any(knows):
                own.append(text)
    return [tuple(own) for own in found]


def _strategy_labels(root: Node) -> list[str]:
    strategies = _child(root, "strategies")
    if strategies is None or not isinstance(strategies.value, list):
        return []
    labels = []
    for strategy in strategies.value:
        named = _child(strategy, "name") or _child(strategy, "use")
        labels.append(named.value if named is not None and isinstance(named.value, str) else "")
    return labels


def _replaced(node: Node, steps: tuple[str, ...], leaf: Node, text: str) -> Node:
    if not steps:
        return leaf
    step, *rest = steps
    value = node.value
    if isinstance(value, list):
        index = int(step) if re.fullmatch(r"[0-9]{1,6}", step, re.ASCII) else -1
        if not 0 <= index < len(value):
            raise ConfigError(f"{text}: {step!r} is not an index into the list of {len(value)} entries; count from 0")
        items = [*value]
        items[index] = _replaced(value[index], tuple(rest), leaf, text)
        return msgspec.structs.replace(node, value=items)
    # a mapping can replace a bare word or a missing section, so `fees.maker` can be set even if the file has no `fees:`
    fields = dict(value) if isinstance(value, dict) else {}
    lines = dict(node.key_lines)
    if step not in fields:
        lines.pop(step, None)
        node = msgspec.structs.replace(node, key_lines=lines)
    fields[step] = _replaced(fields.get(step, Node({}, leaf.source, 1)), tuple(rest), leaf, text)
    return msgspec.structs.replace(node, value=fields)


# -- secrets ----------------------------------------------------------------------------------------------------------


def _refuse_stray_references(root: Node, decoder: Decoder) -> None:
    for path, node in _scalars(root, ()):
        if is_secret(path) or is_ledger_address(path):  # in other sections, the resolved value would be logged
            continue
        match = _REFERENCE.search(str(node.value))
        if match:
            decoder.problem(
                node.where,
                f"{match[0]} is used in `{'.'.join(path)}`, but references are for secrets only, in `account:`, "
                "`notify:` and `limits.ledger`; write the value out",
            )


def _scalars(node: Node, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Node]]:
    if isinstance(node.value, str):
        yield path, node
        return
    children = enumerate(node.value) if isinstance(node.value, list) else node.value.items()
    for key, child in children:
        yield from _scalars(child, (*path, str(key)))


# -- paths through the tree -------------------------------------------------------------------------------------------


def _steps(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.split("."))


def _child(node: Node, step: str) -> Node | None:
    value = node.value
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and step.isascii() and step.isdigit() and len(step) < 7 and int(step) < len(value):
        return value[int(step)]
    return None


def plain_config(value: Any) -> Any:
    """Return the configuration as plain data, using the same keys as the file. Plugins' options are kept as written."""
    if isinstance(value, PluginPlace):
        return value.text if value.path is None else value.path.as_posix()
    if isinstance(value, msgspec.Struct):
        rest = getattr(value, "rest_field", None)
        result = {}
        for key, (field, _) in field_types(type(value)).items():
            if field == rest:
                result.update(plain_config(getattr(value, field)))
            else:
                result[key] = plain_config(getattr(value, field))
        return result
    if isinstance(value, dict):
        return {key: plain_config(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_config(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    return value


def leaves(
    value: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], bool | int | float | Decimal | str | None]]:
    """Yield (path, value) for every scalar in plain data. Empty lists and mappings are yielded as the text ``[]`` and
    ``{}``.
    """
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, str(index)))
    else:
        yield path, value
