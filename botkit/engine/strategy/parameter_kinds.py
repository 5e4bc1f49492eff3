"""The kinds of parameters: which annotations can be one, how users write their values, and what they are called."""

from __future__ import annotations

import enum
import types
import typing
from decimal import Decimal
from typing import Any, Final, Literal

from botkit.model.pairs import Pair

#: every kind, for an error
KINDS: Final = "int, float, str, bool, Decimal, an Enum, Literal, Pair, list[...] of these, or any of them | None"
_NUMBERS = (int, float, Decimal)


def optional_of(kind: Any) -> tuple[Any, bool]:
    """Return (X, True) for ``X | None``, otherwise (kind, False)."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        rest = [member for member in typing.get_args(kind) if member is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return kind, False


def unusable(kind: Any) -> str:
    """Return the reason why ``kind`` cannot be the kind of a parameter, or "" if it can."""
    inner, _ = optional_of(kind)
    if typing.get_origin(inner) is list:
        items = typing.get_args(inner)
        return unusable(items[0]) if items else unusable(list)
    if typing.get_origin(inner) is Literal:
        wrong = [choice for choice in typing.get_args(inner) if type(choice) not in (str, int, bool)]
        return f"{wrong[0]!r} cannot be a choice" if wrong else ""
    if isinstance(inner, type) and not isinstance(inner, types.GenericAlias):
        if inner in (int, float, str, bool, Decimal) or issubclass(inner, Pair):
            return ""
        if issubclass(inner, enum.Enum):
            return "" if len(inner) else f"the enum {inner.__name__} has no members"
        if inner is list:
            return "list lacks its element type; write list[float], for example"
    return f"{_annotation_text(kind)} is not a kind of parameter"


def number_kind(kind: Any) -> type | None:
    """Return the numeric type of a kind, or of its elements if the kind is a list; None if it is not numeric."""
    inner, _ = optional_of(kind)
    if typing.get_origin(inner) is list:
        return number_kind(typing.get_args(inner)[0])
    return inner if inner in _NUMBERS else None


def choices_of(kind: Any) -> tuple[str, ...]:
    inner, _ = optional_of(kind)
    if typing.get_origin(inner) is list:
        return choices_of(typing.get_args(inner)[0])
    if typing.get_origin(inner) is Literal:
        return tuple(spelled(choice) for choice in typing.get_args(inner))
    if isinstance(inner, type) and issubclass(inner, enum.Enum):
        return tuple(member_text(member) for member in inner)
    return ()


def spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def member_text(member: enum.Enum) -> str:
    """Return the spelling of a member in a configuration: its value if that is text or a number, otherwise its name."""
    value = member.value
    return spelled(value) if isinstance(value, (str, int, float, Decimal)) else member.name.lower()


_WORDS: dict[Any, str] = {
    int: "whole number", float: "number", Decimal: "exact number", str: "text", bool: "true or false", Pair: "pair",
}  # fmt: skip
_PLURALS: dict[Any, str] = {
    int: "whole numbers", float: "numbers", Decimal: "exact numbers", str: "texts", bool: "true or false", Pair: "pairs"
}  # fmt: skip


def in_words(kind: Any) -> str:
    inner, optional = optional_of(kind)
    if typing.get_origin(inner) is list:
        item = typing.get_args(inner)[0]
        text = "list of " + (_PLURALS.get(item) or in_words(item))
    elif inner in _WORDS:
        text = _WORDS[inner]
    else:
        text = "one of " + ", ".join(choices_of(inner)) if choices_of(inner) else _annotation_text(inner)
    return f"{text}, or null" if optional else text


def _annotation_text(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not isinstance(kind, types.GenericAlias) else str(kind)
