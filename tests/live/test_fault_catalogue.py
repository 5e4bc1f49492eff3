"""Checks the fault catalogue: the listed tests exist and assert the listed messages."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

from tests.live.fault_catalogue import CATALOGUE, Shown

_PROJECT = Path(__file__).resolve().parents[2]
_ROWS = [(section, fault) for section, faults in CATALOGUE.items() for fault in faults]


@functools.cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((_PROJECT / file).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, kinds) and node.name.startswith("test_"))


@functools.cache
def texts_of(file: str) -> str:
    """Return all strings in a file, with adjacent literals joined and regex backslashes removed."""
    tree = ast.parse((_PROJECT / file).read_text())
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return "\n".join(texts).replace("\\", "")


@pytest.mark.parametrize(("section", "fault"), _ROWS)
def test_every_listed_test_exists_and_asserts_the_listed_message(section: str, fault: str) -> None:
    shown: Shown = CATALOGUE[section][fault]
    for name in shown.tests:
        file, _, test = name.partition("::")
        assert (_PROJECT / file).is_file(), f"{fault}: there is no {file}"
        assert test in functions_of(file), f"{fault}: {file} has no {test}"
    texts = [texts_of(name.partition("::")[0]) for name in shown.tests]
    for piece in filter(None, map(str.strip, shown.says.split("..."))):
        assert any(piece in text for text in texts), f"{fault}: no test asserts {piece!r}"


@pytest.mark.parametrize("section", CATALOGUE)
def test_every_fault_has_a_test(section: str) -> None:
    missing = [fault for fault, shown in CATALOGUE[section].items() if not shown.tests]
    assert not missing
