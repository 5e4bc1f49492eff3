"""Reads the parameters of a strategy class from its annotations, its defaults and its parents."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import types
import typing
import weakref
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from botkit.engine.strategy.parameter import REQUIRED, Declaration, Parameter, ParameterError
from botkit.engine.strategy.parameter_kinds import KINDS, choices_of, number_kind, unusable
from botkit.engine.strategy.parameter_values import check_value
from botkit.errors import PluginError
from botkit.model.money import to_decimal

#: the module name prefix of plugin files (`botkit.plugins.discovery`)
_FILE_MODULE = "botkit_plugin_"
#: cached, because a running bot needs them every second and reading a class takes a millisecond
_parameters: weakref.WeakKeyDictionary[type, Mapping[str, Parameter]] = weakref.WeakKeyDictionary()


def parameters_of(cls: type) -> Mapping[str, Parameter]:
    """Return the parameters of a strategy class by name, parents' parameters first. Each class is read only once.

    A subclass may change the default of a parent's parameter without repeating its annotation or bounds, or turn the
    parameter into a constant by declaring it a ClassVar. Raises PluginError naming the class and the attribute if an
    attribute cannot be a parameter.
    """
    found = _parameters.get(cls)
    if found is None:
        found = _parameters[cls] = types.MappingProxyType(_read(cls))
    return found


def _read(cls: type) -> dict[str, Parameter]:
    base = _strategy_base(cls)
    found: dict[str, Parameter] = {}
    for owner in reversed(cls.__mro__):
        if owner in base.__mro__:
            continue
        for name, annotation in _annotations_of(owner).items():
            if name.startswith("_"):
                continue
            kind = _resolve(owner, name, annotation)
            if _is_constant(kind):
                found.pop(name, None)
                continue
            _refuse_hiding(cls, owner, name, base)
            found[name] = _declared(owner, name, kind, found.get(name))
    for name in found:
        found[name] = _with_inherited_default(cls, found[name])
    return found


def _strategy_base(cls: type) -> type:
    """Return the class marked as the base of all strategies, or `object` for a test that uses a plain class."""
    return next((c for c in cls.__mro__ if "__botkit_strategy__" in vars(c)), object)


def _annotations_of(owner: type) -> Mapping[str, Any]:
    try:
        # from Python 3.14 on, annotations are evaluated lazily and may raise here
        return inspect.get_annotations(owner)
    except Exception as error:
        raise PluginError(f"{_Place(owner)}: its annotations cannot be read: {error}") from error


def _resolve(owner: type, name: str, annotation: Any) -> Any:
    """Return the annotation as a type, even if ``from __future__ import annotations`` turned it into text."""
    # a separate class, because get_type_hints would also resolve the annotations of all parents, whose names may be
    # imported only for type checkers
    holder = type(owner.__name__, (), {})
    holder.__annotations__ = {name: annotation}
    try:
        hints = typing.get_type_hints(holder, _globals_of(owner), dict(vars(owner)))
    except Exception as error:
        raise PluginError(
            f"{_Place(owner, name)}: the annotation {annotation!r} cannot be resolved ({error}); import its names at "
            "the top of the module, not under TYPE_CHECKING or inside a function"
        ) from error
    return hints[name]


def _globals_of(owner: type) -> dict[str, Any]:
    module = sys.modules.get(owner.__module__)
    if module is not None:
        return vars(module)
    # the module of a plugin file may not be in sys.modules; its functions refer to the module's globals
    return next((value.__globals__ for value in vars(owner).values() if isinstance(value, types.FunctionType)), {})


def _is_constant(kind: Any) -> bool:
    return kind in (ClassVar, Final) or typing.get_origin(kind) in (ClassVar, Final)


def _refuse_hiding(cls: type, owner: type, name: str, base: type) -> None:
    where = _Place(owner, name)
    if base is not object and (
        hasattr(base, name) or any(name in _annotations_of(c) for c in base.__mro__ if c is not object)
    ):
        raise PluginError(f"{where}: this parameter would hide an attribute that every Strategy has; rename it")
    for other in cls.__mro__:
        value = vars(other).get(name)
        if inspect.isroutine(value) or isinstance(value, (property, types.FunctionType, classmethod, staticmethod)):
            raise PluginError(f"{where}: this parameter has the same name as a method of {_named(other)}; rename one")


def _declared(owner: type, name: str, kind: Any, parent: Parameter | None) -> Parameter:
    where = _Place(owner, name)
    reason = unusable(kind)
    if reason:
        raise PluginError(f"{where}: {reason}; a parameter is {KINDS}")
    if name in vars(owner):
        parameter = Parameter(name=name, kind=kind, choices=choices_of(kind), doc=parent.doc if parent else "")
        return _with_value(where, parameter, vars(owner)[name])
    if parent is None:
        return Parameter(name=name, kind=kind, choices=choices_of(kind))
    # annotated again without a value, so the parent's value remains, as with any class attribute
    parameter = msgspec.structs.replace(parent, kind=kind, choices=choices_of(kind))
    return _with_value(where, parameter, parent.default)


def _with_inherited_default(cls: type, parameter: Parameter) -> Parameter:
    """Apply a default that a class sets for an inherited parameter without annotating it again."""
    for owner in cls.__mro__:
        if parameter.name in vars(owner):
            if parameter.name in _annotations_of(owner):
                break  # the default was already read with the declaration
            return _with_value(_Place(owner, parameter.name), parameter, vars(owner)[parameter.name])
        if parameter.name in _annotations_of(owner):
            break
    return parameter


def _with_value(where: _Place, parameter: Parameter, value: Any) -> Parameter:
    if isinstance(value, Declaration):
        parameter = msgspec.structs.replace(
            parameter,
            default=value.default,
            minimum=value.minimum,
            maximum=value.maximum,
            above=value.above,
            below=value.below,
            live=value.live,
            doc=value.doc or parameter.doc,
        )
    else:
        parameter = msgspec.structs.replace(parameter, default=value)
    bounds = (parameter.minimum, parameter.maximum, parameter.above, parameter.below)
    if any(bound is not None for bound in bounds) and number_kind(parameter.kind) is None:
        raise PluginError(f"{where}: only numbers have bounds, and this is a {parameter.kind_text}")
    for bound in bounds:
        try:
            if bound is not None:
                to_decimal(bound, "a bound")
        except (TypeError, ValueError) as error:
            raise PluginError(f"{where}: {error}") from None
    if parameter.default is not REQUIRED:
        try:
            # pairs are not known yet, so a default pair is checked when the strategy is created
            check_value(parameter, parameter.default, None)
        except ParameterError as error:
            raise PluginError(f"{where}: its default is invalid: {error.message}") from None
    return parameter


def _named(cls: type) -> str:
    # a plugin's file is imported under a generated module name
    if cls.__module__ == "builtins" or cls.__module__.startswith(_FILE_MODULE):
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"


class _Place(msgspec.Struct, frozen=True):
    """Names a class or its parameter in errors, with file and line if it is in a plugin file.

    The line is determined only when the text is needed, because this requires reading and parsing the file.
    """

    cls: type
    name: str = ""

    def __str__(self) -> str:
        cls, name = self.cls, self.name
        what = f"{_named(cls)}.{name}" if name else _named(cls)
        file = getattr(sys.modules.get(cls.__module__), "__file__", None)
        if not cls.__module__.startswith(_FILE_MODULE) or file is None:
            return what
        return f"{file}:{_line_of(cls, name)}: {what}"


def _line_of(cls: type, name: str) -> int:
    """Return the line number of a class, or of the annotation or assignment of one of its attributes."""
    try:
        lines, first = inspect.getsourcelines(cls)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):
        return 1
    body = next((node.body for node in tree.body if isinstance(node, ast.ClassDef)), [])
    for node in body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return first + node.lineno - 1
    return first
