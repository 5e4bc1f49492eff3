"""The reference matches the code, and lists exactly the public names."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import botkit
from botkit.guide import chapter
from botkit.guide.reference import PUBLIC_MODULES, configuration_chapter, module_of, reference_chapter

REMEDY = "run: python -m botkit.guide.reference"


def public_definitions(name: str) -> set[str]:
    """Return the names without a leading underscore that a module defines at top level."""
    tree = ast.parse(inspect.getsource(importlib.import_module(name)))
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {n for n in names if not n.startswith(("_", "pytest_"))}


def test_the_reference_chapter_is_up_to_date() -> None:
    assert chapter("reference") == reference_chapter(), REMEDY


def test_the_tables_of_the_configuration_chapter_are_up_to_date() -> None:
    assert chapter("configuration") == configuration_chapter(), REMEDY


def test_botkit_exports_exactly_the_names_in_the_reference() -> None:
    listed = re.findall(r"^### botkit\.(\w+)$", chapter("reference"), flags=re.MULTILINE)
    assert listed == botkit.__all__


def test_every_module_in_the_model_package_is_public() -> None:
    model = Path(inspect.getfile(botkit)).parent / "model"
    internal = {"__init__", "compiling"}  # "compiling" contains only mypyc markers for botkit's own classes
    modules = {f"botkit.model.{path.stem}" for path in model.glob("*.py") if path.stem not in internal}
    assert modules <= set(PUBLIC_MODULES)


@pytest.mark.parametrize("name", [n for n in PUBLIC_MODULES if n != "botkit"])
def test_a_public_module_lists_exactly_the_names_that_it_defines(name: str) -> None:
    module = importlib.import_module(name)
    foreign = set(module.__all__) - public_definitions(name)
    assert foreign == {public for public in foreign if public in public_definitions(module_of(public))}
    assert public_definitions(name) <= set(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_every_public_class_and_function_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    things = {public: getattr(module, public) for public in module.__all__}
    bare = [
        p for p, thing in things.items() if (inspect.isclass(thing) or inspect.isroutine(thing)) and not thing.__doc__
    ]
    assert not bare
