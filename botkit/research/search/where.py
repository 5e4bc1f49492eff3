"""``--where``: the condition that points of a search must satisfy, such as ``sma.fast < sma.slow and sma.share <=
0.5``.

Only comparisons, ``and``, ``or``, ``not``, arithmetic, numbers, strings and parameter names are evaluated. Therefore an
expression copied from an untrusted source cannot run code.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from botkit.errors import ConfigError

__all__ = ["Where"]

_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


class Where:
    """A condition on parameters, which are referenced by names such as ``sma.fast``."""

    def __init__(self, text: str, names: Mapping[str, Any]) -> None:
        """Parse ``text``. ``names`` are the parameters that may occur in the text. Raises ConfigError."""
        self.text = text
        # labels may contain hyphens, which Python would read as minus signs, so replace labels with plain names first
        prefix = "p"
        while prefix in text:
            prefix += "p"
        self._plain = {f"{prefix}{index}": name for index, name in enumerate(names)}
        plain = text
        for short, name in sorted(self._plain.items(), key=lambda item: -len(item[1])):
            plain = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.])", short, plain)
        try:
            self._tree = ast.parse(plain.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError):
            raise ConfigError(
                f"--where {text!r}: this is not a condition; write one such as 'sma.fast < sma.slow'"
            ) from None
        self._check(self._tree, names)

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Return True if ``values`` satisfy the condition. Raises ConfigError if the values cannot be compared."""
        try:
            return bool(self._value(self._tree, values))
        except TypeError as error:
            raise ConfigError(f"--where {self.text!r}: {error}") from None
        except ZeroDivisionError:
            return False

    def _check(self, node: ast.AST, names: Mapping[str, Any]) -> None:
        if isinstance(node, (ast.Name, ast.Attribute)):
            if isinstance(node, ast.Name) and node.id in self._plain:
                return
            raise ConfigError(
                f"--where {self.text!r}: {ast.unparse(node)} is not a parameter; the parameters are "
                f"{', '.join(names) or 'none'}"
            )
        known = (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Constant)
        operators = [*getattr(node, "ops", ()), getattr(node, "op", None)]
        wrong = not isinstance(node, known) or any(
            isinstance(op, (ast.operator, ast.cmpop, ast.unaryop))
            and type(op) not in {*_COMPARE, *_ARITHMETIC, ast.Not, ast.USub}
            for op in operators
        )
        if wrong or (isinstance(node, ast.Constant) and not isinstance(node.value, (int, float, str))):
            raise ConfigError(
                f"--where {self.text!r}: {ast.unparse(node)!r} is not supported; use comparisons, + - * /, and, or, not"
            )
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._check(child, names)

    def _value(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        match node:
            case ast.Constant(value):
                return value
            case ast.Name(short):
                return values[self._plain[short]]
            case ast.UnaryOp(ast.Not(), operand):
                return not self._value(operand, values)
            case ast.UnaryOp(_, operand):
                return -self._value(operand, values)
            case ast.BinOp(left, op, right):
                return _ARITHMETIC[type(op)](self._value(left, values), self._value(right, values))
            case ast.BoolOp(ast.And(), parts):
                return all(self._value(part, values) for part in parts)
            case ast.BoolOp(_, parts):
                return any(self._value(part, values) for part in parts)
            case ast.Compare(left, ops, rights):
                return self._compare(self._value(left, values), ops, rights, values)
        raise AssertionError(node)  # `_check` refuses all other nodes

    def _compare(self, left: Any, ops: list[ast.cmpop], rights: list[ast.expr], values: Mapping[str, Any]) -> bool:
        for op, node in zip(ops, rights, strict=True):
            right = self._value(node, values)
            if not _COMPARE[type(op)](left, right):
                return False
            left = right
        return True
