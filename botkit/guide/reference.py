"""Generates parts of the guide: ``python -m botkit.guide.reference``.

``reference.md`` is generated entirely from the docstrings of the public modules. ``configuration.md`` is handwritten
down to `MARKER`; below that line is one generated table per section of a configuration. tests/guide/test_reference.py
compares both files with the code.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import re
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from botkit.guide.configuration_tables import configuration_tables

__all__ = ["MARKER", "PUBLIC_MODULES", "configuration_chapter", "reference_chapter", "write"]

#: the public modules and their purposes; names missing from a module's ``__all__``, or in other modules, may change at
#: any time
PUBLIC_MODULES: dict[str, str] = {
    "botkit": "Everything a strategy needs.",
    "botkit.errors": "Errors, grouped by how botkit reacts to them.",
    "botkit.hookspecs": "The hooks that plugins implement.",
    "botkit.model.figures": "Human-readable figures.",
    "botkit.model.extension": "What plugins provide through the hooks.",
    "botkit.model.adapter": "What a bot needs from its exchange.",
    "botkit.model.clock": "Time in nanoseconds.",
    "botkit.model.zone_offsets": "UTC offsets of many times.",
    "botkit.model.compared_fills": "A session's fills next to its simulated fills.",
    "botkit.model.columns": "Market data as NumPy columns.",
    "botkit.model.merged_rows": "Rows of several streams merged into one.",
    "botkit.model.levels": "One level of an order book.",
    "botkit.model.order_book": "Order books.",
    "botkit.model.published_books": "Books that a simulated exchange will publish.",
    "botkit.model.events": "Events: market data, fills, balances.",
    "botkit.model.inputs": "All inputs of a bot.",
    "botkit.model.latency": "The latencies that a run measured.",
    "botkit.model.limits": "Rate limits.",
    "botkit.model.money": "Exact money.",
    "botkit.model.moment": "The order of inputs with equal timestamps.",
    "botkit.model.order_spec": "An order as a strategy requests it.",
    "botkit.model.orders": "Orders and their states.",
    "botkit.model.pairs": "Pairs and the exchange's rules for them.",
    "botkit.model.listed_pairs": "The pairs of an exchange, also those that cannot be traded.",
    "botkit.model.percent": "Checks that distinguish percent, basis points and fractions.",
    "botkit.model.csv_cells": "Text that is safe in CSV files opened as spreadsheets.",
    "botkit.model.reasons": "Why strategies did not trade, by kind.",
    "botkit.model.counts": "Counts with their nouns, for messages.",
    "botkit.model.requests": "Requests to an exchange, and its answers.",
    "botkit.model.resolutions": "Lengths of bars.",
    "botkit.model.playback": "A run's state over time, for its playback.",
    "botkit.model.results": "The result of a backtest.",
    "botkit.model.row_columns": "Orders, fills and trades of a result, column by column.",
    "botkit.model.venue": "A simulated exchange that a bot can run against.",
    "botkit.pytest_plugin": "Fixtures for tests against the emulator.",
    "botkit.testing.adapter_cases": "Tests that an adapter fulfils its contract.",
    "botkit.testing.strategy_cases": "Tests that a strategy is fit for live trading.",
}

MARKER = "<!-- Below this line: python -m botkit.guide.reference -->"

_HEAD = """# Reference

<!-- Written by python -m botkit.guide.reference; change the docstrings instead. -->

Every public name, module by module. Prices are in quote currency, amounts in base currency and times in nanoseconds
since the epoch (UTC), unless stated otherwise.
"""

_HERE = Path(__file__).parent
_LONGEST_VALUE = 100


def reference_chapter() -> str:
    """Return the text of ``reference.md``."""
    parts = [_HEAD]
    written: dict[int, str] = {}
    for name, about in PUBLIC_MODULES.items():
        module = importlib.import_module(name)
        parts.append(f"## {name}\n\n{about}\n")
        source = _source_of(name)
        # botkit re-exports much of botkit.model, but each name is described only once
        elsewhere = {public: written.get(id(getattr(module, public))) for public in module.__all__}
        if name != "botkit":
            elsewhere |= {public: module_of(public) for public in module.__all__ if public in source.imported}
        for other in dict.fromkeys(filter(None, elsewhere.values())):
            again = [f"`{public}`" for public, place in elsewhere.items() if place == other]
            parts.append(f"Described above, under {other}: {', '.join(again)}.\n")
        for public in module.__all__:
            if elsewhere[public] is None:
                thing = getattr(module, public)
                if public not in source.values and (inspect.isclass(thing) or inspect.isroutine(thing)):
                    written[id(thing)] = name
                parts.append(_entry(name, public, thing, source))
    return "\n".join(parts)


def module_of(public: str) -> str:
    """Return the public module, other than botkit itself, that defines a name."""
    return next(
        name
        for name in PUBLIC_MODULES
        if name != "botkit"
        and public in importlib.import_module(name).__all__
        and public not in _source_of(name).imported
    )


def configuration_chapter() -> str:
    """Return the text of ``configuration.md``: the handwritten part and the tables."""
    head, marker, _ = (_HERE / "configuration.md").read_text(encoding="utf-8").partition(MARKER)
    assert marker, "configuration.md has lost its marker"
    return f"{head}{MARKER}\n\n{configuration_tables()}"


def write() -> list[Path]:
    """Write both chapters into the package and return their paths."""
    chapters = {"reference.md": reference_chapter(), "configuration.md": configuration_chapter()}
    for name, text in chapters.items():
        (_HERE / name).write_text(text, encoding="utf-8", newline="\n")
    return [_HERE / name for name in chapters]


class _Source:
    """Facts available only in a module's source: the ``#:`` comments on its constants, and the constants' values as
    written.
    """

    def __init__(self, module: ModuleType) -> None:
        text = inspect.getsource(module)
        lines = text.splitlines()
        self.comments: dict[str, str] = {}
        self.values: dict[str, str] = {}
        #: names defined in another module
        self.imported: set[str] = set()
        for node in ast.parse(text).body:
            if isinstance(node, ast.ImportFrom):
                self.imported |= {alias.asname or alias.name for alias in node.names}
            if not isinstance(node, ast.Assign | ast.AnnAssign):
                continue
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if not isinstance(target, ast.Name):
                continue
            comment: list[str] = []
            for line in reversed(lines[: node.lineno - 1]):
                if not line.startswith("#:"):
                    break
                comment.insert(0, line.removeprefix("#:").strip())
            self.comments[target.id] = " ".join(comment)
            self.values[target.id] = re.sub(r"\s+", " ", ast.get_source_segment(text, node.value or target) or "")


@cache
def _source_of(module: str) -> _Source:
    return _Source(importlib.import_module(module))


def _entry(module: str, name: str, thing: Any, source: _Source) -> str:
    """Return one name's heading, signature and documentation."""
    heading = f"### {module}.{name}\n"
    thing = thing._get_wrapped_function() if hasattr(thing, "_get_wrapped_function") else thing  # a pytest fixture
    # the docstring of a name such as Nanos would be that of int, which is not useful here
    is_alias = name in source.values
    if inspect.isclass(thing) and not is_alias:
        return "\n".join([heading, _class(name, thing)])
    if inspect.isroutine(thing) and not is_alias:
        return "\n".join([heading, _code(name + _signature(thing)), _prose(thing)])
    if name == "__version__":
        return "\n".join([heading, "The version of botkit, such as 0.1.0.\n"])
    value = source.values.get(name, "")
    lines = [heading]
    if name in source.values and len(value) <= _LONGEST_VALUE:
        lines.append(_code(f"{name} = {value}"))
    comment = source.comments.get(name) or _comment_of(name)
    if comment:
        lines.append(_markdown(comment[0].upper() + comment[1:]))
    return "\n".join(lines)


def _comment_of(name: str) -> str:
    """Return the ``#:`` comment on a constant that one public module imports from another."""
    for other in PUBLIC_MODULES:
        if other != "botkit":
            comment = _source_of(other).comments.get(name)
            if comment:
                return comment
    return ""


def _class(name: str, kind: type) -> str:
    lines = []
    if issubclass(kind, enum.Enum):
        lines += [_code(", ".join(f"{name}.{member.name}" for member in kind)), _prose(kind)]
    elif issubclass(kind, msgspec.Struct):
        lines += [_code(f"{name}({', '.join(_fields(kind))})"), _prose(kind)]
    elif getattr(kind, "_is_protocol", False):
        lines += [_code(f"class {name}(Protocol)"), _prose(kind)]
        for attribute, annotation in inspect.get_annotations(kind).items():
            lines.append(f"* `{attribute}: {annotation}`\n")
    elif issubclass(kind, BaseException):
        lines += [_code(f"class {name}({kind.__bases__[0].__name__})"), _prose(kind)]
        return "\n".join(lines)
    else:
        lines += [_code(name + _signature(kind)), _prose(kind)]
    for member, value in vars(kind).items():
        if (member.startswith("_") and member != "__call__") or not _own(value):
            continue
        function = _function(value)
        shown = f"`.{member}`" if isinstance(value, property) else f"`.{member}{_signature(function, method=True)}`"
        text = _markdown(inspect.getdoc(function) or "").replace("\n", "\n  ").rstrip()
        lines.append(f"* {shown}  \n  {text}\n" if text else f"* {shown}\n")
    return "\n".join(lines)


def _own(value: Any) -> bool:
    return isinstance(value, property | staticmethod | classmethod) or inspect.isfunction(value)


def _function(value: Any) -> Any:
    if isinstance(value, property):
        return value.fget
    return value.__func__ if isinstance(value, staticmethod | classmethod) else value


def _fields(kind: type[msgspec.Struct]) -> list[str]:
    """Return a struct's fields as ``name: type = default``, as written in the source."""
    spelt = {name: text for base in reversed(kind.__mro__) for name, text in inspect.get_annotations(base).items()}
    parts = []
    for field in msgspec.structs.fields(kind):
        part = f"{field.name}: {spelt[field.name]}"
        if field.default is not msgspec.NODEFAULT:
            part += f" = {_value(field.default)}"
        elif field.default_factory is not msgspec.NODEFAULT:
            part += f" = {_value(field.default_factory())}"
        parts.append(part)
    return parts


def _signature(thing: Any, *, method: bool = False) -> str:
    """Return a signature with its annotations as written. With ``method``, omit the first parameter."""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return "(...)"
    parameters = list(signature.parameters.values())[1 if method else 0 :]
    parts: list[str] = []
    starred = False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
        starred |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        stars = 1 * (parameter.kind is parameter.VAR_POSITIONAL) + 2 * (parameter.kind is parameter.VAR_KEYWORD)
        part = "*" * stars + parameter.name
        if parameter.annotation is not parameter.empty:
            annotation = parameter.annotation  # a named tuple's annotation is a ForwardRef
            part += f": {getattr(annotation, '__forward_arg__', annotation)}"
        if parameter.default is not parameter.empty:
            part += f" = {_value(parameter.default)}"
        parts.append(part)
    back = signature.return_annotation
    arrow = "" if back is signature.empty or inspect.isclass(thing) else f" -> {back}"
    return f"({', '.join(parts)}){arrow}"


def _value(value: Any) -> str:
    if not isinstance(value, enum.Enum):
        return repr(value)
    kind = type(value).__name__
    return value.name if kind.startswith("_") else f"{kind}.{value.name}"


def _code(text: str) -> str:
    return f"```text\n{text}\n```\n"


def _prose(thing: Any) -> str:
    return _markdown(inspect.cleandoc(thing.__doc__ or ""))


def _markdown(text: str) -> str:
    """Return a docstring as Markdown, with double backticks replaced by single backticks."""
    return text.replace("``", "`") + "\n" if text else ""


if __name__ == "__main__":
    for path in write():
        print(f"wrote {path}")  # noqa: T201
