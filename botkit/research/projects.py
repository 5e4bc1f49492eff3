"""Turns a user's strategy (class, name, file or dict) and data into a project and its feed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from botkit.config.backtest import BacktestConfig, DataSource
from botkit.config.decode import field_types, suggestion
from botkit.config.load import load_config, load_mapping
from botkit.config.schema import BotConfig
from botkit.errors import ConfigError
from botkit.model.extension import hookimpl
from botkit.model.pairs import Pair
from botkit.plugins.registry import is_strategy
from botkit.project.data import backtest_feed, open_feed
from botkit.project.project import Project
from botkit.research.frames import frame_source, is_frame
from botkit.research.tapes import LoadedTape
from botkit.tape.feed import Feed, FeedSource

#: arguments whose names differ from the keys that they set in the configuration's `backtest:` section
_RENAMED = {"start": "backtest.from", "end": "backtest.to"}


class OfferedStrategies:
    """A plugin that registers strategy classes that exist only in this process, for example classes defined in a
    notebook.
    """

    def __init__(self) -> None:
        self.classes: dict[str, type] = {}

    def add(self, cls: type) -> str:
        """Register a class for use in this process. Returns the name under which it can be used."""
        name = re.sub(r"[^A-Za-z0-9-]+", "_", cls.__name__).strip("_") or "strategy"
        while self.classes.setdefault(name, cls) is not cls:
            name += "2"
        return name

    @hookimpl
    def botkit_register_strategies(self, register: Any) -> None:
        """Register the classes."""
        for name, cls in self.classes.items():
            register(name, cls)


def project_of(
    strategy: Any,
    *,
    params: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
    keys: Mapping[str, Any] | None = None,
    also: Sequence[tuple[str, Any]] = (),
) -> Project:
    """Return the project for a strategy class or name, the path of a configuration, or a configuration as a dict.

    ``params`` are parameters of the strategy, or of several strategies as ``{"sma.fast": 5}`` or ``{"sma": {"fast":
    5}}``. ``values`` are additional arguments of `botkit.backtest`. ``keys`` are additional settings by their full key,
    such as ``risk.max_open_orders``. ``also`` contains additional plugins as (name, object). Raises ConfigError.
    """
    offered = OfferedStrategies()
    given = values or {}
    settings = {**_settings(given), **(keys or {})}
    if isinstance(strategy, (str, Path)) and _is_path(strategy):
        labels = [spec.label for spec in load_config(strategy).config.strategies]
        _check_capital(given, labels)
        loaded = load_config(strategy, values={**settings, **_parameters(params or {}, labels)})
    else:
        mapping = _mapping(strategy, offered)
        labels = _labels(mapping)
        _check_capital(given, labels)
        loaded = load_mapping(mapping, values={**settings, **_parameters(params or {}, labels)})
    return Project.of(loaded, also=[*([("python", offered)] if offered.classes else []), *also])


def _check_capital(values: Mapping[str, Any], labels: Sequence[str]) -> None:
    if values.get("capital") is not None and len(labels) > 1:
        raise ConfigError(
            f"capital: there are several strategies ({', '.join(labels)}); set the capital of each in the configuration"
        )


def _is_path(strategy: str | Path) -> bool:
    return isinstance(strategy, Path) or strategy.endswith((".yaml", ".yml")) or "/" in strategy or "\\" in strategy


def _mapping(strategy: Any, offered: OfferedStrategies) -> dict[str, Any]:
    """Return a configuration as a dict, with classes replaced by their registered names."""
    if isinstance(strategy, str):
        return {"name": re.sub(r"[^A-Za-z0-9_-]+", "-", strategy) or "bot", "strategies": [{"use": strategy}]}
    if isinstance(strategy, Mapping):
        mapping = dict(strategy)
        entries = mapping.get("strategies")
        if isinstance(entries, Sequence) and not isinstance(entries, str):
            mapping["strategies"] = [
                {**entry, "use": _name_of(entry["use"], offered)}
                if isinstance(entry, Mapping) and isinstance(entry.get("use"), type)
                else entry
                for entry in entries
            ]
        return mapping
    name = _name_of(strategy, offered)
    return {"name": name, "plugins": [], "strategies": [{"use": name}]}


def _name_of(strategy: Any, offered: OfferedStrategies) -> str:
    if isinstance(strategy, type) and getattr(strategy, "__botkit_strategy__", False) is True:
        return offered.add(strategy)
    if is_strategy(strategy):
        name = type(strategy).__name__
        raise ConfigError(f"a backtest creates its own instances; pass the class {name}, not {name}()")
    if isinstance(strategy, type):
        raise ConfigError(f"{strategy.__name__} is not a strategy; derive it from botkit.Strategy")
    raise ConfigError(
        "a backtest needs a strategy's class or name, the path of a configuration, or a configuration as a dict, not "
        f"{type(strategy).__name__}"
    )


def _labels(mapping: Mapping[str, Any]) -> list[str]:
    entries = mapping.get("strategies")
    if not isinstance(entries, list):
        return []
    found = [entry.get("name") or entry.get("use") for entry in entries if isinstance(entry, Mapping)]
    return [label for label in found if isinstance(label, str)]


def _parameters(params: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """Return parameters as settings, such as ``{"sma.fast": 5}``."""
    if not isinstance(params, Mapping):
        raise ConfigError(f"params is {type(params).__name__}; pass it as a dict, such as {{'fast': 5}}")
    found = {}
    for key, value in params.items():
        label, dot, _ = str(key).partition(".")
        if isinstance(value, Mapping):
            found.update({f"{key}.{name}": item for name, item in value.items()})
        elif dot:
            found[str(key)] = value
        elif len(labels) == 1:
            found[f"{labels[0]}.{key}"] = value
        else:
            example = f"{labels[0]}.{key}" if labels else f"NAME.{key}"
            raise ConfigError(
                f"params: `{key}` may belong to any of {', '.join(labels)}; name the strategy too, such as {example!r}"
            )
        if (dot or isinstance(value, Mapping)) and label not in labels:
            raise ConfigError(f"params: there is no strategy named `{label}`; {suggestion(label, labels)}")
    return found


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as settings, under the keys of `backtest:` or of the configuration's top level."""
    section, whole = field_types(BacktestConfig), field_types(BotConfig)
    found = {}
    for name, value in values.items():
        if value is None:
            continue
        if name in _RENAMED:
            found[_RENAMED[name]] = _moment_text(name, value)
        elif name in section and name not in ("from", "to", "data"):
            found[f"backtest.{name}"] = value
        elif name == "capital":
            found["strategies.0.capital"] = value
        elif name in whole and name != "strategies":
            found[name] = value
        else:
            known = (*_RENAMED, "capital", *(key for key in (*section, *whole) if key not in ("from", "to", "data")))
            raise ConfigError(f"backtest() has no argument `{name}`; {suggestion(name, known)}")
    return found


def _moment_text(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            # a naive datetime, like text without an offset, is interpreted in the configuration's time zone
            return value.isoformat()
        return value.isoformat().replace("+00:00", "Z")
    return value


# -- data -------------------------------------------------------------------------------------------------------------


def feed_of(project: Project, data: Any) -> Feed:
    """Return a backtest's data as a feed. If ``data`` is None, the data named in the configuration is used. Otherwise
    ``data`` is a path, a DataFrame, a result of `botkit.load`, a list of these, or a dict of these by pair. Raises
    ConfigError or DataError.
    """
    if data is None:
        return backtest_feed(project, None)
    sources = list(_sources(project, data, None))
    if not sources:
        raise ConfigError("data is empty; pass a path, a DataFrame, or a dict of them by pair")
    return Feed(sources, feed_ms=float(project.config.backtest.latency.feed_ms))


def _sources(project: Project, data: Any, pair: str | None) -> list[FeedSource]:
    if isinstance(data, LoadedTape):
        return [_tape_source(project, data)]
    if isinstance(data, (str, Path)):
        path = Path(data).expanduser()
        if not path.exists():
            raise ConfigError(f"data: there is no file or folder {path}; check the path")
        return list(open_feed(project, [DataSource(path=path, pair=pair)]).sources)
    if is_frame(data):
        return [frame_source(data, _pair_of(project, pair))]
    if isinstance(data, Mapping):
        return [source for name, item in data.items() for source in _sources(project, item, str(name))]
    if isinstance(data, Sequence):
        return [source for item in data for source in _sources(project, item, pair)]
    raise ConfigError(
        f"data is {type(data).__name__}; pass a path, a DataFrame, the result of botkit.load, or a dict of them by pair"
    )


def _pair_of(project: Project, name: str | None) -> Pair:
    if name is None:
        pairs = project.bot_pairs()
        if len(pairs) != 1:
            example = str(pairs[0]) if pairs else "btc_twd"
            raise ConfigError(f'data: name the pair of the DataFrame, such as data={{"{example}": frame}}')
        return pairs[0]
    pair = project.pairs.get(name)
    if pair is None:
        raise ConfigError(f"data: the exchange has no pair {name!r}; {suggestion(name, project.pairs)}")
    return pair


def _tape_source(project: Project, tape: LoadedTape) -> FeedSource:
    for name, pair in tape.pairs.items():
        own = project.pairs.get(name)
        if own is None:
            raise ConfigError(f"data: the exchange has no pair {name!r}, which {tape.source.path} contains")
        steps = (own.rules.price_decimals, own.rules.amount_decimals)
        if steps != (pair.rules.price_decimals, pair.rules.amount_decimals):
            raise ConfigError(
                f"data: the price or amount steps of {name} in {tape.source.path} differ from this exchange's; "
                "pass the tape's path"
            )
    return tape.source
