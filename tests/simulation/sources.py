"""The code objects of a module's functions, so that a function's code can be replaced with code from a changed source.

Files, modules and worker processes are not changed. A function only receives the code compiled from its changed source.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from typing import Any


class Stale(LookupError):
    """A piece of source text is no longer where it is expected."""


def functions_of(owner: Any, module: str) -> Iterator[tuple[tuple[str, ...], types.FunctionType]]:
    """Yield all functions of a module and its classes, each with its qualified name. Decorated functions are
    unwrapped.
    """
    for name, thing in list(vars(owner).items()):
        plain = thing.__func__ if isinstance(thing, (staticmethod, classmethod)) else thing
        if isinstance(plain, property):
            plain = plain.fget
        if isinstance(plain, types.FunctionType) and plain.__module__ == module:
            inner = inspect.unwrap(plain)
            assert isinstance(inner, types.FunctionType)
            yield (name,), inner
        elif inspect.isclass(thing) and thing.__module__ == module and owner is not thing:
            for path, function in functions_of(thing, module):
                yield (name, *path), function


def codes_of(code: types.CodeType) -> dict[str, types.CodeType]:
    """Return the code objects of functions and classes within a module's code, by qualified name."""
    found = {}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            name = constant.co_qualname
            if "<" not in name:
                found[name] = constant
                found |= codes_of(constant)
    return found


def differs(one: types.CodeType, other: types.CodeType) -> bool:
    """Return True if two functions behave differently. Their positions in the file are ignored."""
    if one.co_code != other.co_code or one.co_names != other.co_names or len(one.co_consts) != len(other.co_consts):
        return True
    for a, b in zip(one.co_consts, other.co_consts, strict=True):
        if isinstance(a, types.CodeType) and isinstance(b, types.CodeType):
            if differs(a, b):
                return True
        elif isinstance(a, types.CodeType) or isinstance(b, types.CodeType) or a != b:
            return True
    return False
