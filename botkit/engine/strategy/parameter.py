"""A parameter of a strategy, as declared in its class: a kind, a default, bounds."""

from __future__ import annotations

import enum
from typing import Any, TypeVar, overload

import msgspec

from botkit.engine.strategy.parameter_kinds import in_words
from botkit.errors import ConfigError
from botkit.model.money import Number

T = TypeVar("T")


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
        return in_words(self.kind)


class Declaration(msgspec.Struct, frozen=True):
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
    return Declaration(default, ge, le, gt, lt, live, doc)
