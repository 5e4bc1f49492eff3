"""Generates one table for each section of a configuration file from the types that parse the section."""

from __future__ import annotations

import inspect
import types
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from botkit.config.decode import field_types
from botkit.config.schema import BotConfig

__all__ = ["configuration_tables"]

_WORDS: dict[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    Decimal: "number",
    Path: "path",
    Any: "anything",
    type(None): "null",
}


def configuration_tables() -> str:
    """Return Markdown tables for all sections, outermost first."""
    titles: dict[type[msgspec.Struct], str] = {}
    _collect(BotConfig, "The file", titles)
    return "\n".join(_table(kind, title) for kind, title in titles.items())


def _collect(kind: type[msgspec.Struct], title: str, found: dict[type[msgspec.Struct], str]) -> None:
    """Collect every section reachable through the keys of ``kind``, with its location in the file."""
    if kind in found:
        found[kind] += f", {title}"
        return
    found[kind] = title
    for key, (_, annotation) in field_types(kind).items():
        for section in _sections(annotation):
            if not getattr(section, "only_text", False):
                place = key if title == "The file" else f"{title.split(', ')[0]}.{key}"
                _collect(section, place, found)


def _sections(annotation: Any) -> list[type[msgspec.Struct]]:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return [annotation]
    return [section for part in getattr(annotation, "__args__", ()) for section in _sections(part)]


def _table(kind: type[msgspec.Struct], title: str) -> str:
    heading = title if title == "The file" else ", ".join(f"`{place}`" for place in title.split(", "))
    doc = inspect.cleandoc(kind.__doc__ or "").replace("``", "`")
    lines = [f"## {heading}", "", doc, "", "| key | value | default | |", "|---|---|---|---|"]
    defaults = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    rest = getattr(kind, "rest_field", None)
    for key, (_, annotation) in field_types(kind).items():
        if key == rest:
            lines.append(f"| ... | | | {_description(annotation)} |")
            continue
        lines.append(f"| `{key}` | {_words(annotation)} | {_default(defaults[key])} | {_description(annotation)} |")
    return "\n".join(lines) + "\n"


def _description(annotation: Any) -> str:
    for meta in getattr(annotation, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.description:
            return meta.description.replace("|", "\\|")
    return ""


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None or value == () or value == {} or value == "" or isinstance(value, msgspec.Struct):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _words(annotation: Any) -> str:
    """Describe a value's type in words."""
    if annotation in _WORDS:
        return _WORDS[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(part) for part in arguments if part is not type(None)))
    if origin is tuple:
        return f"list: {_words(arguments[0])}"
    if origin is dict:
        return f"mapping: {_words(arguments[1])}"
    if getattr(annotation, "only_text", False):
        return "text"
    return "section"
