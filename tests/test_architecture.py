"""The architecture is a test: which package may import which, and what the pure part may not touch."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BOTKIT = ROOT / "botkit"

#: the table of the architecture: package -> packages (or modules) of botkit it may import. ``errors`` is open to all.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "version": set(),
    "model": set(),
    "engine": {"model"},
    "sim": {"model"},
    "exchange": {"model"},
    "tape": {"model"},
    "backtesting": {"model", "engine", "sim", "tape"},
    "live": {"model", "engine", "exchange"},
    "emulator": {"model", "sim", "tape", "exchange.bitopro.wire", "exchange.bitopro.sign"},
    "report": {"model"},
    "config": {"model"},
    "hookspecs": {"model", "engine"},
    "plugins": {"hookspecs", "model"},
    "cli": {"assembly", "report", "config", "tape", "version", "model", "guide"},
    "guide": {"config"},
}
#: the public face and the place where everything is wired may import all
FREE = {"__init__", "__main__", "assembly", "pytest_plugin"}

PURE = ("model", "engine", "sim")
FORBIDDEN_MODULES = {"time", "random", "asyncio", "os", "socket", "threading", "uuid", "secrets", "requests", "aiohttp"}
#: what a pure module may take from a module that is otherwise forbidden, each for a reason
ALLOWED_NAMES = {("random", "Random")}  # a seeded generator that is handed in or made from a seed


def modules() -> list[Path]:
    return sorted(BOTKIT.rglob("*.py"))


def package_of(path: Path) -> str:
    relative = path.relative_to(BOTKIT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports_of(path: Path) -> list[tuple[str, str | None, int]]:
    """(module, name or None, line) of every import, those inside functions too; type-only ones as well."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, None, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide which package is meant"
            found += [(node.module or "", alias.name, node.lineno) for alias in node.names]
    return found


def test_every_package_stands_in_the_table() -> None:
    packages = {package_of(path) for path in modules()}
    assert packages - FREE <= set(MAY_IMPORT)


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_package_imports_only_what_it_may(package: str) -> None:
    wrong = []
    for path in modules():
        if package_of(path) != package:
            continue
        for module, name, line in imports_of(path):
            if module != "botkit" and not module.startswith("botkit."):
                continue
            target = module.removeprefix("botkit").removeprefix(".")
            full = f"{target}.{name}" if name else target
            allowed = MAY_IMPORT[package] | {package, "errors"}
            if not any(full == a or full.startswith(a + ".") for a in allowed):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {package} imports {full}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", PURE)
def test_pure_packages_touch_no_clock_no_chance_and_no_loop(package: str) -> None:
    wrong = []
    for path in modules():
        if package_of(path) != package:
            continue
        for module, name, line in imports_of(path):
            root = module.split(".")[0]
            if root in FORBIDDEN_MODULES and (root, name) not in ALLOWED_NAMES:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: imports {module}{'.' + name if name else ''}")
    assert not wrong, "\n".join(wrong)


def test_botkit_never_imports_strategies() -> None:
    wrong = [
        f"{path}:{line}"
        for path in modules()
        for module, _, line in imports_of(path)
        if module.split(".")[0] == "strategies"
    ]
    assert not wrong


def test_bundled_strategies_import_only_the_public_face() -> None:
    wrong = [
        f"{path.name}:{line}: {module}"
        for path in sorted((ROOT / "strategies").glob("*.py"))
        for module, _, line in imports_of(path)
        if module.startswith("botkit.")
    ]
    assert not wrong


def test_the_top_level_holds_exactly_what_was_agreed() -> None:
    agreed = {"pyproject.toml", "README.md", "LICENSE", "botkit", "strategies", "configs", "tests", "backtest_data"}
    # what a user's own runs leave behind is ignored by git and not part of the project
    leftovers = {"build", "dist", "out", "runs", "venv"}
    present = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert {n for n in present - leftovers if not n.endswith(".egg-info")} <= agreed


def test_no_package_is_a_drawer_without_a_label() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    wrong = [str(p.relative_to(ROOT)) for p in modules() if drawers & set(p.stem.split("_"))]
    assert not wrong
