"""Describes the configuration as JSON Schema, so that editors can autocomplete and validate it. ``botkit config
schema`` prints the schema.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec

from botkit.config.decode import Bound, field_types
from botkit.config.schema import BotConfig

_FIGURE = r"^[-+]?[0-9]{1,20}(\.[0-9]{1,18})?$"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) for a configuration file."""
    structs = _structs(BotConfig, {})
    (root,), definitions = msgspec.json.schema_components(
        [BotConfig], schema_hook=_custom, ref_template="#/$defs/{name}"
    )
    for name, kind in structs.items():
        if name in definitions:
            definitions[name] = _loosened(definitions[name], kind)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "botkit configuration",
        **root,
        "$defs": definitions,
    }
    result = _figures(schema)
    assert isinstance(result, dict)
    return result


def _custom(kind: type) -> dict[str, Any]:
    if kind is Path:
        return {"type": "string"}
    raise NotImplementedError(kind)


def _structs(kind: Any, found: dict[str, type[msgspec.Struct]]) -> dict[str, type[msgspec.Struct]]:
    """Collect, by name, every struct type that occurs in the annotations of ``kind``."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if kind.__name__ not in found:
            found[kind.__name__] = kind
            for _, annotation in field_types(kind).values():
                _structs(annotation, found)
    else:
        for part in getattr(kind, "__args__", ()):
            _structs(part, found)
    return found


def _loosened(definition: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Loosen a definition to match the configuration reader, which also accepts plugins' options, and a bare word in
    place of a section.
    """
    rest = getattr(kind, "rest_field", None)
    if rest is not None:
        definition["properties"].pop(rest)
        definition["additionalProperties"] = True
    for key, (_, annotation) in field_types(kind).items():
        if key in definition.get("properties", {}) and _takes_one_item(annotation):
            definition["properties"][key] = _with_one_item(definition["properties"][key])
        for meta in getattr(annotation, "__metadata__", ()):
            if isinstance(meta, Bound) and key in definition.get("properties", {}):
                _bound(definition["properties"][key], meta)
    if getattr(kind, "only_text", False):
        return {"type": "string", "description": definition.get("description", "")}
    definition["type"] = ["object", "null"] if not definition.get("required") else "object"
    if getattr(kind, "from_text", None) is not None:
        return {"anyOf": [definition, {"type": "string"}], "description": definition.get("description", "")}
    return definition


def _takes_one_item(annotation: Any) -> bool:
    """Return True if the annotation is a list that can be written without brackets if it has a single item."""
    if get_origin(annotation) is tuple:
        return getattr(get_args(annotation)[0], "from_text", None) is not None
    return any(_takes_one_item(part) for part in getattr(annotation, "__args__", ()))


def _with_one_item(field: dict[str, Any]) -> dict[str, Any]:
    branches = field.get("anyOf", [{key: field[key] for key in ("type", "items") if key in field}])
    items = next(branch["items"] for branch in branches if "items" in branch)
    rest = {key: value for key, value in field.items() if key not in ("anyOf", "type", "items")}
    return {**rest, "anyOf": [*branches, items]}


def _bound(field: dict[str, Any], bound: Bound) -> None:
    for key, value in (("minimum", bound.least), ("maximum", bound.most), ("exclusiveMinimum", bound.above)):
        if value is not None:
            field[key] = value


def _figures(value: Any) -> Any:
    """Allow numbers to be written with or without quotes."""
    if isinstance(value, list):
        return [_figures(item) for item in value]
    if not isinstance(value, dict):
        return value.as_posix() if isinstance(value, Path) else float(value) if isinstance(value, Decimal) else value
    if value.get("format") == "decimal":
        rest = {key: item for key, item in value.items() if key not in ("type", "format")}
        return {**_figures(rest), "type": ["number", "string"], "pattern": _FIGURE}
    return {key: _figures(item) for key, item in value.items()}
