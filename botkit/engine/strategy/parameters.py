"""Strategy parameters: annotated class attributes, checked against the configured values.

    class SmaCross(Strategy):
        pair: Pair                                  # required
        fast: int = param(10, ge=1, le=500)         # a default and bounds
        spend: float = 20_000                       # a bare default
        weights: list[float] = param([0.5, 0.5], gt=0)
        mode: Literal["long", "both"] = "long"
        limit: Decimal | None = None

Names that start with ``_``, ``ClassVar`` and ``Final`` are not parameters. Figures in a configuration are exact,
whether bare or quoted: ``10``, ``"10"`` and ``10.0`` are the same whole number. ``010``, ``true`` and ``1.5`` are
refused as whole numbers, because a wrong guess could cost money.
"""

from __future__ import annotations

import ast
import difflib
import enum
import inspect
import re
import sys
import textwrap
import types
import typing
import weakref
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final, Literal, TypeVar, overload

import msgspec

from botkit.errors import ConfigError, PluginError
from botkit.model.listed_pairs import ListedPairs
from botkit.model.money import Number, to_decimal
from botkit.model.pairs import Pair

T = TypeVar("T")

_WHOLE = re.compile(r"[+-]?(0|[1-9]\d*)(\.0+)?\Z", re.ASCII)
_LEADING_ZERO = re.compile(r"[+-]?0\d", re.ASCII)
#: the module name prefix of plugin files (`botkit.plugins.discovery`)
_FILE_MODULE = "botkit_plugin_"
_DIGITS_MOST = 40  # no real amount has more digits, and int(Decimal("1e999999")) would exhaust memory
_NUMBERS = (int, float, Decimal)
_KINDS = "int, float, str, bool, Decimal, an Enum, Literal, Pair, list[...] of these, or any of them | None"


class _Required(enum.Enum):
    REQUIRED = "required"

    def __repr__(self) -> str:
        return "REQUIRED"


#: marks a parameter without a default
REQUIRED = _Required.REQUIRED


class ParameterError(ConfigError):
    """The configured value of a strategy's parameter is invalid.

    ``name`` is the parameter (or the unknown name). ``message`` explains the error and the fix.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"parameter {name}: {message}")
        self.name = name
        self.message = message


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a strategy class.

    Bounds apply to the number itself, or to each number of a list: ``minimum`` and ``maximum`` are inclusive, ``above``
    and ``below`` exclusive. ``choices`` are the accepted spellings of an enum or a Literal. A ``live`` parameter may be
    changed while the bot runs.
    """

    name: str
    kind: Any
    default: Any = REQUIRED
    minimum: Number | None = None
    maximum: Number | None = None
    above: Number | None = None
    below: Number | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    doc: str = ""

    @property
    def kind_text(self) -> str:
        """The kind as text, such as ``whole number`` or ``list of pairs``."""
        return _in_words(self.kind)


class _Declaration(msgspec.Struct, frozen=True):
    """The placeholder that `param` leaves in the class."""

    default: Any
    minimum: Number | None
    maximum: Number | None
    above: Number | None
    below: Number | None
    live: bool
    doc: str


@overload
def param(
    default: T,
    *,
    ge: Number | None = None,
    gt: Number | None = None,
    le: Number | None = None,
    lt: Number | None = None,
    live: bool = False,
    doc: str = "",
) -> T: ...


@overload
def param(
    *,
    ge: Number | None = None,
    gt: Number | None = None,
    le: Number | None = None,
    lt: Number | None = None,
    live: bool = False,
    doc: str = "",
) -> Any: ...


def param(
    default: Any = REQUIRED,
    *,
    ge: Number | None = None,
    gt: Number | None = None,
    le: Number | None = None,
    lt: Number | None = None,
    live: bool = False,
    doc: str = "",
) -> Any:
    """Declare a parameter that needs more than a default: ``fast: int = param(10, ge=1, le=500, doc="bars")``.

    ``ge``, ``gt``, ``le``, ``lt`` bound a number (or each number of a list). A ``live`` parameter may be changed while
    the bot runs. A parameter without a default is required.
    """
    return _Declaration(default, ge, le, gt, lt, live, doc)


# -- from a class -----------------------------------------------------------------------------------------------------


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
    reason = _unusable(kind)
    if reason:
        raise PluginError(f"{where}: {reason}; a parameter is {_KINDS}")
    if name in vars(owner):
        parameter = Parameter(name=name, kind=kind, choices=_choices_of(kind), doc=parent.doc if parent else "")
        return _with_value(where, parameter, vars(owner)[name])
    if parent is None:
        return Parameter(name=name, kind=kind, choices=_choices_of(kind))
    # annotated again without a value, so the parent's value remains, as with any class attribute
    parameter = msgspec.structs.replace(parent, kind=kind, choices=_choices_of(kind))
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
    if isinstance(value, _Declaration):
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
    if any(bound is not None for bound in bounds) and _number_kind(parameter.kind) is None:
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


# -- kinds ------------------------------------------------------------------------------------------------------------


def _optional_of(kind: Any) -> tuple[Any, bool]:
    """Return (X, True) for ``X | None``, otherwise (kind, False)."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        rest = [member for member in typing.get_args(kind) if member is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return kind, False


def _unusable(kind: Any) -> str:
    """Return the reason why ``kind`` cannot be the kind of a parameter, or "" if it can."""
    inner, _ = _optional_of(kind)
    if typing.get_origin(inner) is list:
        items = typing.get_args(inner)
        return _unusable(items[0]) if items else _unusable(list)
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


def _number_kind(kind: Any) -> type | None:
    """Return the numeric type of a kind, or of its elements if the kind is a list; None if it is not numeric."""
    inner, _ = _optional_of(kind)
    if typing.get_origin(inner) is list:
        return _number_kind(typing.get_args(inner)[0])
    return inner if inner in _NUMBERS else None


def _choices_of(kind: Any) -> tuple[str, ...]:
    inner, _ = _optional_of(kind)
    if typing.get_origin(inner) is list:
        return _choices_of(typing.get_args(inner)[0])
    if typing.get_origin(inner) is Literal:
        return tuple(_spelled(choice) for choice in typing.get_args(inner))
    if isinstance(inner, type) and issubclass(inner, enum.Enum):
        return tuple(_member_text(member) for member in inner)
    return ()


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _member_text(member: enum.Enum) -> str:
    """Return the spelling of a member in a configuration: its value if that is text or a number, otherwise its name."""
    value = member.value
    return _spelled(value) if isinstance(value, (str, int, float, Decimal)) else member.name.lower()


_WORDS: dict[Any, str] = {
    int: "whole number", float: "number", Decimal: "exact number", str: "text", bool: "true or false", Pair: "pair",
}  # fmt: skip
_PLURALS: dict[Any, str] = {
    int: "whole numbers", float: "numbers", Decimal: "exact numbers", str: "texts", bool: "true or false", Pair: "pairs"
}  # fmt: skip


def _in_words(kind: Any) -> str:
    inner, optional = _optional_of(kind)
    if typing.get_origin(inner) is list:
        item = typing.get_args(inner)[0]
        text = "list of " + (_PLURALS.get(item) or _in_words(item))
    elif inner in _WORDS:
        text = _WORDS[inner]
    else:
        text = "one of " + ", ".join(_choices_of(inner)) if _choices_of(inner) else _annotation_text(inner)
    return f"{text}, or null" if optional else text


def _annotation_text(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not isinstance(kind, types.GenericAlias) else str(kind)


# -- from a configuration ---------------------------------------------------------------------------------------


def check_parameters(cls: type, given: Mapping[str, Any], pairs: Mapping[str, Pair]) -> dict[str, Any]:
    """Check the values for all parameters of ``cls``. Returns the values with their types, within bounds, in
    declaration order.

    ``pairs`` are the exchange's pairs by name. Lists are copied, so that two instances never share one. Raises
    ParameterError for an unknown name or a missing or invalid value, and PluginError if the class itself is invalid.
    """
    parameters = parameters_of(cls)
    for name in given:
        if name not in parameters:
            known = f"it has {', '.join(parameters)}" if parameters else "it has none"
            raise ParameterError(
                str(name), f"{cls.__name__} has no such parameter{_did_you_mean(str(name), parameters)}; {known}"
            )
    values = {}
    for name, parameter in parameters.items():
        if name in given:
            values[name] = check_value(parameter, given[name], pairs)
        elif parameter.default is REQUIRED:
            hint = f": {parameter.doc}" if parameter.doc else ""
            raise ParameterError(name, f"{cls.__name__} requires it ({parameter.kind_text}{hint}); add it under params")
        else:
            values[name] = check_value(parameter, parameter.default, pairs)
    return values


def check_value(parameter: Parameter, value: Any, pairs: Mapping[str, Pair] | None) -> Any:
    """Convert ``value`` to the parameter's kind and check its bounds.

    Raises ParameterError if the value is invalid. Without ``pairs``, a pair stays text.
    """
    return _checked(parameter, parameter.name, parameter.kind, value, pairs)


def _checked(parameter: Parameter, name: str, kind: Any, value: Any, pairs: Mapping[str, Pair] | None) -> Any:
    inner, optional = _optional_of(kind)
    if value is None:
        if optional:
            return None
        raise ParameterError(name, f"is empty; give it a value ({_in_words(kind)}) or omit the line")
    if typing.get_origin(inner) is list:
        if not isinstance(value, (list, tuple)):
            raise ParameterError(name, f"must be a {_in_words(inner)}, such as [{value}, ...], not {value!r}")
        item = typing.get_args(inner)[0]
        return [_checked(parameter, f"{name}[{i}]", item, element, pairs) for i, element in enumerate(value)]
    if typing.get_origin(inner) is Literal:
        return _choice(name, typing.get_args(inner), value)
    if issubclass(inner, Pair):
        return _pair(name, value, pairs)
    if issubclass(inner, enum.Enum):
        return _member(name, inner, value)
    if inner is bool:
        return _truth(name, value)
    if inner is str:
        if not isinstance(value, str):
            raise ParameterError(name, f'must be text; write it in quotes: "{_spelled(value)}"')
        return value
    number = _whole(name, value) if inner is int else _exact(name, value)
    _check_bounds(parameter, name, number)
    if inner is not float:
        return number
    try:
        return float(value) if isinstance(value, (int, float)) else float(number)
    except OverflowError:
        raise ParameterError(name, f"{_shortened(value)} is too large") from None


def _exact(name: str, value: Any) -> Decimal:
    if isinstance(value, str) and _LEADING_ZERO.match(value.strip()):
        raise ParameterError(name, f"{value!r} has a leading zero, which some parsers read as octal; remove it")
    try:
        number = to_decimal(value, "it")
    except TypeError:
        raise ParameterError(name, f"must be a number such as 12.5, not {_shortened(value)}") from None
    except ValueError:
        raise ParameterError(
            name, f"{_shortened(value)} is not a plain number such as 12.5 (no exponent, no separators)"
        ) from None
    return number


def _whole(name: str, value: Any) -> int:
    number = _exact(name, value)
    if number.adjusted() > _DIGITS_MOST:
        raise ParameterError(name, f"{_shortened(value)} is too large")
    if number != number.to_integral_value() or (isinstance(value, str) and not _WHOLE.match(value.strip())):
        raise ParameterError(name, f"must be a whole number such as 10, not {_shortened(value)}")
    return int(number)


def _check_bounds(parameter: Parameter, name: str, number: Decimal | int) -> None:
    # compare as decimals: Decimal("0.1") is less than the float 0.1, which no user expects
    if parameter.minimum is not None and number < to_decimal(parameter.minimum):
        raise ParameterError(name, f"must be at least {parameter.minimum}, not {number}")
    if parameter.above is not None and number <= to_decimal(parameter.above):
        raise ParameterError(name, f"must be above {parameter.above}, not {number}")
    if parameter.maximum is not None and number > to_decimal(parameter.maximum):
        raise ParameterError(name, f"must be at most {parameter.maximum}, not {number}")
    if parameter.below is not None and number >= to_decimal(parameter.below):
        raise ParameterError(name, f"must be below {parameter.below}, not {number}")


def _truth(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise ParameterError(name, f"must be true or false, not {_shortened(value)}")


def _choice(name: str, choices: tuple[Any, ...], value: Any) -> Any:
    for choice in choices:
        # True == 1 in Python: compare types first, then the spelling, so that 5 and "5" both mean the choice 5
        if type(choice) is type(value) and choice == value:
            return choice
    if not isinstance(value, bool):
        for choice in choices:
            if isinstance(value, (str, int)) and str(value) == _spelled(choice):
                return choice
    raise ParameterError(name, _not_one_of(value, [_spelled(choice) for choice in choices]))


def _member(name: str, kind: type[enum.Enum], value: Any) -> enum.Enum:
    if isinstance(value, kind):
        return value
    members = list(kind)
    if isinstance(value, (str, int, float, Decimal)):
        text = _spelled(value)
        for member in members:
            if text == _member_text(member) and isinstance(value, bool) <= isinstance(member.value, bool):
                return member
        for member in members:
            if text.lower() == member.name.lower():
                return member
    raise ParameterError(name, _not_one_of(value, [_member_text(member) for member in members]))


def _pair(name: str, value: Any, pairs: Mapping[str, Pair] | None) -> Any:
    if not isinstance(value, str):
        raise ParameterError(name, f"must be a pair such as btc_twd, not {_shortened(value)}")
    if pairs is None:
        return value
    pair = pairs.get(value)
    if pair is not None:
        return pair
    # BTC_TWD, btc/twd, btc-twd and twd_btc are common mistakes, but too different for fuzzy matching
    plain = re.sub(r"[/\-. :]", "_", value.strip().lower())
    base, _, quote = plain.partition("_")
    meant = next((text for text in (plain, f"{quote}_{base}") if text in pairs), None)
    hint = f"; did you mean {meant}?" if meant else _did_you_mean(plain, pairs)
    if isinstance(pairs, ListedPairs) and plain in pairs.left_out:
        raise ParameterError(name, f"{plain} cannot be traded: {pairs.left_out[plain]}")
    raise ParameterError(name, f"{value!r} is not a pair of the exchange{hint}")


def _not_one_of(value: Any, choices: list[str]) -> str:
    return f"must be one of {', '.join(choices)}, not {_shortened(value)}{_did_you_mean(str(value), choices)}"


def _did_you_mean(text: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(text.lower(), list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _shortened(value: Any) -> str:
    text = f"{value:f}" if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def current_parameters(strategy: object) -> dict[str, Any]:
    """Return the current values of a strategy's parameters."""
    return {name: getattr(strategy, name, None) for name in parameters_of(type(strategy))}


def set_live_parameter(strategy: object, label: str, name: str, value: Any, pairs: Mapping[str, Pair] | None) -> Any:
    """Set a ``live`` parameter of a running strategy.

    Returns the checked value. ``label`` is the strategy's name in the configuration. Raises ValueError with the reason
    if the parameter cannot be set.
    """
    checked = check_live_parameter(parameters_of(type(strategy)), label, name, value, pairs)
    setattr(strategy, name, checked)
    return checked


def check_live_parameter(
    parameters: Mapping[str, Parameter], label: str, name: str, value: Any, pairs: Mapping[str, Pair] | None
) -> Any:
    """Return the value that `set_live_parameter` would set. Raises ValueError like it."""
    parameter = parameters.get(name)
    if parameter is None:
        raise ValueError(f"{label} has no parameter {name!r}; it has {', '.join(parameters)}")
    if not parameter.live:
        live = [p.name for p in parameters.values() if p.live]
        hint = f"only {', '.join(live)} can" if live else "none of its parameters can"
        raise ValueError(f"{label}.{name} cannot be changed while running; {hint} (declare it with live=True)")
    try:
        return check_value(parameter, value, pairs)
    except ParameterError as error:
        raise ValueError(f"{label}.{name}: {error.message}") from None
