"""Decodes nodes into typed structs according to their annotations, and reports every mistake with file and line.

msgspec.convert stops at the first mistake, does not track line numbers and makes no suggestions, so this module walks
the annotations itself. A struct can also declare: ``rest_field``, the name of the field that receives unknown keys
(plugins' options); ``from_text``, which parses a bare word that replaces the entire section; ``only_text``, which
allows only a bare word; and a ``__post_init__``, which can raise `FieldError` to report an error in one field.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from botkit.config.source import Node, exact_figure, resolve_plain, spelling_hint

#: cap the number of errors, because users do not read a hundred error messages at once
PROBLEMS_MAX = 20

MISSING = object()

#: sections that may contain secrets: ``${NAME}`` is allowed there, and their values are never shown
_SECRET_SECTIONS = (("account",), ("emulator", "account"), ("notify",))


class FieldError(ValueError):
    """Raised by a struct's ``__post_init__``; ``path`` leads from the struct to the invalid field."""

    def __init__(self, path: str | tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.path = (path,) if isinstance(path, str) else path


class Bound(msgspec.Struct, frozen=True):
    """The allowed range of a number, for types that msgspec.Meta cannot constrain (Decimal). ``above`` is exclusive."""

    least: int | None = None
    most: int | None = None
    above: int | None = None

    def complaint(self, value: Decimal | int | float) -> str | None:
        """Return a complaint such as "must be at least 1", or None if ``value`` is within the range."""
        if self.least is not None and value < self.least:
            return f"must be at least {self.least}"
        if self.above is not None and value <= self.above:
            return f"must be above {self.above}"
        if self.most is not None and value > self.most:
            return f"must be at most {self.most}"
        return None


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean `fast`?`` if a known name is similar, otherwise a list of the known names."""
    names = sorted(known)
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"use one of: {', '.join(names)}" if names else "no keys are allowed here"


def is_secret(path: Sequence[str]) -> bool:
    """Return True if the value at this path may be a secret."""
    return any(tuple(path[: len(section)]) == section for section in _SECRET_SECTIONS)


class Decoder:
    """Decodes nodes and collects mistakes. ``problems`` contains complete messages, one line each."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def problem(self, where: str, text: str) -> Any:
        """Record a mistake and return MISSING, the placeholder for a value that could not be read."""
        self.problems.append(f"{where}: {text}")
        return MISSING

    def decode(self, node: Node, kind: Any, name: str) -> Any:
        """Decode the node as type ``kind``. If there are problems, record them and return MISSING. Error messages call
        the node ``name``.
        """
        base, metas = _unwrap(kind)
        value = self._decode_base(node, base, name)
        if value is MISSING:
            return value
        for meta in metas:
            complaint = _complaint(meta, value)
            if complaint:
                return self.problem(node.where, f"`{name}` is {_shown(node, name)}, but {complaint}")
        return value

    def _decode_base(self, node: Node, kind: Any, name: str) -> Any:
        origin = get_origin(kind)
        if kind is Any:
            return self._untyped(node, name)
        if origin in (Union, types.UnionType):
            return self._union(node, get_args(kind), name)
        if origin is Literal:
            return self._literal(node, get_args(kind), name)
        if node.value == "" and not node.quoted:
            # if every line in a section is commented out, the section sets nothing
            if origin is tuple:
                return ()
            if origin is dict or (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
                node = Node({}, node.source, node.line)
        if origin is tuple:
            return self._list(node, get_args(kind)[0], name)
        if origin is dict:
            key_kind, value_kind = get_args(kind)
            return self._mapping(node, key_kind, value_kind, name)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._struct(node, kind, name)
        return self._scalar(node, kind, name)

    # -- scalars --------------------------------------------------------------------------------------------------

    def _scalar(self, node: Node, kind: Any, name: str) -> Any:
        if not isinstance(node.value, str):
            what = "a list" if isinstance(node.value, list) else "a mapping"
            return self.problem(
                node.where, f"`{name}` is {what}, but {_WANTED[kind]} is expected; write a single value"
            )
        text = node.value
        plain = text if node.quoted else resolve_plain(text)
        if kind is type(None):
            return None if plain is None else MISSING
        if kind is bool:
            return plain if isinstance(plain, bool) else self._wrong(node, kind, name)
        if kind in (int, float, Decimal):
            figure = exact_figure(text)
            if figure is None or (kind is int and not isinstance(figure, int)):
                return self._wrong(node, kind, name)
            return kind(figure)
        if plain is None or isinstance(plain, bool):
            return self._wrong(node, kind, name)
        if kind is Path:
            return self._path(node, text, name)
        assert kind is str, kind
        return text

    def _path(self, node: Node, text: str, name: str) -> Any:
        if not text.strip() or "\0" in text:
            return self.problem(
                node.where, f"`{name}` is {_shown(node, name)}, but a path is expected; name a file or folder"
            )
        return resolve_path(text, node.source.base)

    def _wrong(self, node: Node, kind: Any, name: str) -> Any:
        text = str(node.value)
        mend = None if node.quoted and kind is bool else spelling_hint(text)
        if mend is None:
            mend = "remove the quotes" if node.quoted and text in ("true", "false") else _MEND[kind]
        return self.problem(node.where, f"`{name}` is {_shown(node, name)}, but {_WANTED[kind]} is expected; {mend}")

    def _literal(self, node: Node, choices: tuple[str, ...], name: str) -> Any:
        if isinstance(node.value, str) and node.value in choices:
            return node.value
        return self.problem(node.where, f"`{name}` is {_shown(node, name)}; {_choice(node, choices)}")

    # -- several values -------------------------------------------------------------------------------------------

    def _union(self, node: Node, kinds: tuple[Any, ...], name: str) -> Any:
        if type(None) in kinds and node.value in ("", "null") and not node.quoted:
            return None
        kinds = tuple(kind for kind in kinds if kind is not type(None))
        fitting = [kind for kind in kinds if _fits(node, _unwrap(kind)[0])]
        if not fitting and get_origin(kinds[0]) is Literal and isinstance(node.value, str):
            return self._literal(node, get_args(kinds[0]), name)  # probably misspelled, not of the wrong type
        for index, kind in enumerate(fitting or kinds):
            before = len(self.problems)
            value = self.decode(node, kind, name)
            if value is not MISSING or index == len(fitting or kinds) - 1:
                return value
            del self.problems[before:]
        raise AssertionError("a union has at least one member")

    def _list(self, node: Node, kind: Any, name: str) -> Any:
        if not isinstance(node.value, list):
            if getattr(kind, "from_text", None) is not None:  # one item as a bare word needs no brackets
                item = self.decode(node, kind, name)
                return item if item is MISSING else (item,)
            return self.problem(node.where, f"`{name}` is {_shown(node, name)}, but a list is expected; write [...]")
        items = [self.decode(item, kind, f"{name}[{index}]") for index, item in enumerate(node.value)]
        return MISSING if any(item is MISSING for item in items) else tuple(items)

    def _mapping(self, node: Node, key_kind: Any, value_kind: Any, name: str) -> Any:
        if not isinstance(node.value, dict):
            return self.problem(
                node.where, f"`{name}` is {_shown(node, name)}, but a mapping is expected; write {{key: value}}"
            )
        _, metas = _unwrap(key_kind)
        result: dict[str, Any] = {}
        failed = False
        for key, child in node.value.items():
            complaint = next(filter(None, (_complaint(meta, key) for meta in metas)), None)
            if complaint:
                self.problem(node.key_where(key), f"the key `{key}` in `{name}`: {complaint}")
                failed = True
                continue
            value = self.decode(child, value_kind, f"{name}.{key}")
            failed = failed or value is MISSING
            result[key] = value
        return MISSING if failed else result

    def _untyped(self, node: Node, name: str) -> Any:
        """Return plain data for a plugin to interpret. Ambiguous spellings are refused here as well."""
        value = node.value
        if isinstance(value, list):
            items = [self._untyped(item, f"{name}[{index}]") for index, item in enumerate(value)]
            return MISSING if any(item is MISSING for item in items) else items
        if isinstance(value, dict):
            fields = {key: self._untyped(child, f"{name}.{key}") for key, child in value.items()}
            return MISSING if any(field is MISSING for field in fields.values()) else fields
        if node.quoted:
            return value
        plain = resolve_plain(value)
        # 22:22 is allowed, because it is never a number, and users often write times of day without quotes
        hint = spelling_hint(value) if isinstance(plain, str) and ":" not in value else None
        if hint is not None:
            return self.problem(
                node.where,
                f"`{name}` is {_shown(node, name)}, which is ambiguous; "
                + ("put it in quotes" if is_secret(_path_of(name)) else f"{hint}, or quote it if it is text"),
            )
        return plain

    # -- structs --------------------------------------------------------------------------------------------------

    def _struct(self, node: Node, kind: type[msgspec.Struct], name: str) -> Any:
        if isinstance(node.value, str):
            return self._shorthand(node, kind, name)
        if getattr(kind, "only_text", False):
            return self.problem(
                node.where, f"`{name}` is {_shown(node, name)}, but a name is expected; write one word or path"
            )
        if not isinstance(node.value, dict):
            return self.problem(node.where, f"`{name}` is a list, but a mapping is expected; write key: value lines")
        hints = field_types(kind)
        rest: str | None = getattr(kind, "rest_field", None)
        values: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        before = len(self.problems)
        for key, child in node.value.items():
            label = f"{name}.{key}" if name else key
            if key in hints and key != rest:
                field, hint = hints[key]
                values[field] = self.decode(child, hint, label)
            elif rest is not None:
                extra[key] = self.decode(child, _rest_type(hints[rest][1]), label)
            else:
                place = f" in `{name}`" if name else ""
                self.problem(node.key_where(key), f"unknown key `{key}`{place}; {suggestion(key, hints)}")
        for key in missing_fields(kind, values):
            place = f"`{name}`" if name else "the file"
            self.problem(node.where, f"`{key}` is missing in {place}; add a line `{key}: ...`")
        if len(self.problems) > before:
            return MISSING
        if rest is not None:
            values[rest] = extra
        return self._make(node, kind, values, name)

    def _shorthand(self, node: Node, kind: type[msgspec.Struct], name: str) -> Any:
        from_text = getattr(kind, "from_text", None)
        text = str(node.value)
        if from_text is None or (not node.quoted and resolve_plain(text) is None):
            what = "empty" if node.value == "" else _shown(node, name)
            return self.problem(node.where, f"`{name}` is {what}, but a mapping is expected; write key: value lines")
        try:
            return from_text(text, node.source.base)
        except (ValueError, RuntimeError, OSError) as error:
            return self.problem(node.where, f"`{name}`: {error}")

    def _make(self, node: Node, kind: type[msgspec.Struct], values: dict[str, Any], name: str) -> Any:
        try:
            return kind(**values)
        except FieldError as error:
            target = node
            for step in error.path:
                if isinstance(target.value, dict) and str(step) in target.value:
                    target = target.value[str(step)]
                elif isinstance(target.value, list) and isinstance(step, int):
                    target = target.value[step]
                else:
                    break
            label = name
            for part in error.path:
                label += f"[{part}]" if isinstance(part, int) else f".{part}" if label else part
            return self.problem(target.where, f"`{label}`: {error}")


@functools.cache  # resolving annotations takes a millisecond per struct
@functools.cache
def field_types(kind: type[msgspec.Struct]) -> Mapping[str, tuple[str, Any]]:
    """Return a mapping from each field's key in the file to (attribute, annotation), in field order."""
    hints = typing.get_type_hints(kind, include_extras=True)
    pairs = zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True)
    return types.MappingProxyType({key: (field, hints[field]) for key, field in pairs})


def missing_fields(kind: type[msgspec.Struct], values: dict[str, Any]) -> list[str]:
    """Return the keys that have no default and were not set."""
    return [key for key, field in _required_fields(kind) if field not in values]


@functools.cache
def _required_fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, str], ...]:
    return tuple((field.encode_name, field.name) for field in msgspec.structs.fields(kind) if field.required)


def resolve_path(text: str, base: Path) -> Path:
    """Resolve a path from a configuration. ``~`` is the home folder, and other relative paths are relative to the
    file's folder.

    Raises ValueError if the text cannot be a path.
    """
    if not text.strip() or "\0" in text:
        raise ValueError("a path is expected; name a file or folder")
    # realpath, because normpath would change the meaning of a `..` after a symbolic link
    return Path(os.path.realpath(base / Path(text).expanduser() if text[0] == "~" else base / text))


def _unwrap(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(kind) is Annotated:
        base, *metas = get_args(kind)
        return base, tuple(metas)
    return kind, ()


def _rest_type(hint: Any) -> Any:
    base, _ = _unwrap(hint)
    return get_args(base)[1]


def _fits(node: Node, kind: Any) -> bool:
    """Return True if the node could be a value of this union member."""
    origin = get_origin(kind)
    if isinstance(node.value, list):
        return origin is tuple
    if isinstance(node.value, dict):
        return origin is dict or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))
    if origin is Literal:
        return node.value in get_args(kind)
    if kind in (int, float, Decimal):
        return exact_figure(node.value) is not None
    if kind is bool:
        return not node.quoted and isinstance(resolve_plain(node.value), bool)
    return kind in (str, Path)


def _complaint(meta: Any, value: Any) -> str | None:
    if isinstance(meta, Bound):
        return meta.complaint(value)
    if isinstance(meta, msgspec.Meta) and meta.pattern is not None and isinstance(value, str):
        if not re.fullmatch(meta.pattern, value):  # `$` alone would also match before a trailing newline
            lower = value.lower()
            if lower != value and re.fullmatch(meta.pattern, lower):
                return f"it must be in lower case; write {lower}"
            return str((meta.extra or {}).get("wanted", f"it must match {meta.pattern}"))
        return None
    return None


def _choice(node: Node, choices: Iterable[str]) -> str:
    names = list(choices)
    if isinstance(node.value, str):
        close = difflib.get_close_matches(node.value.lower(), [n.lower() for n in names], n=1)
        if close:
            return f"did you mean `{next(n for n in names if n.lower() == close[0])}`? (one of {', '.join(names)})"
    return f"write one of {', '.join(names)}"


def _path_of(name: str) -> list[str]:
    return re.split(r"[.\[]", name)


def _shown(node: Node, name: str) -> str:
    if isinstance(node.value, list):
        return "a list"
    if isinstance(node.value, dict):
        return "a mapping"
    if node.value == "" and not node.quoted:
        return "empty"
    if is_secret(_path_of(name)):
        # a token may have been pasted into the wrong key of its section
        return "set to a value that is not shown, as it may be secret"
    text = node.value if len(node.value) <= 60 else node.value[:57] + "..."
    return f'"{text}"' if node.quoted else text


_WANTED: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Decimal: "a number",
    str: "text",
    Path: "a path",
    type(None): "nothing",
}
_MEND: dict[Any, str] = {
    bool: "write true or false, without quotes",
    int: "write a whole number such as 100",
    float: "write a plain number such as 12.5",
    Decimal: "write a plain number such as 12.5",
    str: "put it in quotes if it is text",
    Path: "name a file or folder",
    type(None): "write null",
}
