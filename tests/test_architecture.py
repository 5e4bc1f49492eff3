"""The architecture as tests: the imports allowed in each package, and the names forbidden in pure code."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import FunctionType

import pytest

from botkit import Strategy

ROOT = Path(__file__).parent.parent
BOTKIT = ROOT / "botkit"

#: the botkit packages (or modules) that each package may import; every package may import ``errors``
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "compiled": {"_compiled_sources"},  # generated during compilation
    "version": set(),
    "model": set(),
    "engine": {"model"},
    "sim": {"model"},
    "exchange": {"model"},
    "tape": {"model"},
    "backtesting": {"model", "engine", "sim", "tape"},
    "playback": {"model", "engine"},
    "live": {"model", "engine", "exchange"},
    "emulator": {"model", "sim", "tape", "exchange.bitopro.wire", "exchange.bitopro.sign"},
    "report": {"model"},
    # runs an author's strategy in every mode in which a bot can run
    "testing": {
        *("assembly", "backtesting", "engine", "live", "model", "project", "research", "tape"),
    },
    "config": {"model"},
    "hookspecs": {"model", "engine"},
    "plugins": {"hookspecs", "model"},
    # interprets a configuration; accesses venues and drivers only through their plugins and a driver's clock
    "project": {
        *("config", "plugins", "model", "engine", "tape"),
        *("sim.plugin", "exchange.bitopro.plugin", "live.plugin", "live.clock"),
    },
    # runs backtests from Python, and converts a user's objects to a project and a feed
    "research": {
        "assembly",
        "backtesting",
        "project",
        "config",
        "report",
        "tape",
        "plugins",
        "model",
        "engine",
        "version",
    },
    "cli": {
        "assembly",
        "research",
        "project",
        "report",
        "config",
        "tape",
        "version",
        "compiled",
        "model",
        "guide",
        "backtesting.kept_runs",
        "page",
    },
    # runs in a separate process, and reads the folders of bots and runs
    "page": {
        "live",
        "model",
        "config.live_value",
        "backtesting.kept_runs",
        "report.language",
        "report.page_files",
        "report.templates",
    },
    "guide": {"config"},
}
#: the public interface and the assembly code may import any package
FREE = {"__init__", "__main__", "assembly", "authors", "pytest_plugin"}

PURE = ("model", "engine", "sim")
FORBIDDEN_MODULES = {"time", "random", "asyncio", "os", "socket", "threading", "uuid", "secrets", "requests", "aiohttp"}
#: names that a pure module may import from an otherwise forbidden module, each with the reason
ALLOWED_NAMES = {("random", "Random")}  # a seeded generator, passed in or created from a seed


@cache
def modules() -> tuple[Path, ...]:
    return tuple(sorted(BOTKIT.rglob("*.py")))


@cache
def tree_of(path: Path) -> ast.Module:
    """Return a module's syntax tree. Every test here reads all modules, and parsing them takes most of the time."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree_of(path)))


@pytest.fixture(scope="module", autouse=True)
def _trees_are_dropped_after_the_last_test() -> Iterator[None]:
    yield
    for kept in (nodes_of, tree_of, imports_of):
        kept.cache_clear()


def package_of(path: Path) -> str:
    relative = path.relative_to(BOTKIT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


@cache
def imports_of(path: Path) -> list[tuple[str, str | None, int]]:
    """Return (module, name or None, line) for every import, including imports inside functions and type-checking
    imports.
    """
    found: list[tuple[str, str | None, int]] = []
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found += [(alias.name, None, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide the package"
            found += [(node.module or "", alias.name, node.lineno) for alias in node.names]
    return found


def test_every_package_is_in_the_table() -> None:
    packages = {package_of(path) for path in modules()}
    assert packages - FREE <= set(MAY_IMPORT)


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_a_package_imports_only_allowed_packages(package: str) -> None:
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
def test_pure_packages_use_no_clock_no_randomness_and_no_event_loop(package: str) -> None:
    wrong = []
    for path in modules():
        if package_of(path) != package:
            continue
        for module, name, line in imports_of(path):
            root = module.split(".")[0]
            if root in FORBIDDEN_MODULES and (root, name) not in ALLOWED_NAMES:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: imports {module}{'.' + name if name else ''}")
    assert not wrong, "\n".join(wrong)


#: functions that read the machine's clock or draw unseeded random numbers
READS_THE_MACHINE = (
    "time.",
    "uuid.",
    "secrets.",
    "random.",
    "os.urandom",
    "os.getrandom",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
)
SEEDED = "random.Random"


def readings_of_the_machine(source: str) -> list[tuple[int, str]]:
    """Return (line, name) for every direct use of a clock or of randomness. Waiting is allowed, because it uses the
    `asyncio` event loop.
    """
    tree, found = ast.parse(source), []
    origins: dict[str, str] = {}  # the fully qualified name of each name in this module
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            origins |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origins |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        is_bare = isinstance(node, ast.Call) and not node.args and not node.keywords
        if is_bare and _meaning(node.func, origins) == SEEDED:
            found.append((node.lineno, "Random() without a seed"))
        if isinstance(node, (ast.Name, ast.Attribute)):
            name = _meaning(node, origins)
            if name != SEEDED and name.startswith(READS_THE_MACHINE):
                found.append((node.lineno, name))
    return found


def _meaning(node: ast.expr, origins: dict[str, str]) -> str:
    """Return the fully qualified name of an expression's imported object, or "" if the expression is not imported."""
    head, _, rest = ast.unparse(node).partition(".")
    return f"{origins[head]}{'.' if rest else ''}{rest}" if head in origins else ""


#: the only module under exchange/ that may use these functions, as defaults for a client without a bot
MACHINE = BOTKIT / "exchange" / "machine.py"


def test_exchange_code_has_its_clock_and_randomness_injected() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in modules()
        if package_of(path) == "exchange" and path != MACHINE
        for line, what in readings_of_the_machine(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "stray",
    [
        "import time\nnow = time.time_ns",
        "from time import monotonic\nmonotonic()",
        "import random\nrandom.random()",
        "from random import Random\nchance = Random()",
        "from uuid import uuid4\nuuid4()",
        "import os\nos.urandom(4)",
        "from datetime import datetime\ndatetime.now()",
        "import datetime as d\nd.datetime.utcnow()",
        "import secrets\nsecrets.token_hex(4)",
    ],
)
def test_a_direct_use_of_the_machine_is_detected(stray: str) -> None:
    assert readings_of_the_machine(stray)


#: base classes whose subclasses are neither structs nor plain classes, and are never compiled to native classes
NEITHER = {"Protocol", "NamedTuple", "Enum", "Exception", "str"}


def kinds_of_classes(source: str) -> set[str]:
    """Return which of ``struct`` and ``class`` occur in a module."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base).split("[")[0].rpartition(".")[2] for base in node.bases}
            if "Struct" in bases:
                found.add("struct")
            elif not bases & NEITHER and not any(base.endswith("Error") for base in bases):
                found.add("class")
    return found


def test_modules_that_may_be_compiled_contain_either_structs_or_plain_classes() -> None:
    mixed = {
        path.relative_to(BOTKIT).as_posix()
        for path in modules()
        if package_of(path) in PURE and len(kinds_of_classes(path.read_text(encoding="utf-8"))) > 1
    }
    assert mixed == set()
    assert kinds_of_classes("class A(msgspec.Struct, frozen=True): ...\nclass B(C): ...") == {"struct", "class"}


def test_no_two_classes_have_the_same_name() -> None:
    places: dict[str, list[str]] = {}
    for path in modules():
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_botkit_never_imports_from_the_strategies_folder() -> None:
    wrong = [
        f"{path}:{line}"
        for path in modules()
        for module, _, line in imports_of(path)
        if module.split(".")[0] == "strategies"
    ]
    assert not wrong


def test_bundled_strategies_import_only_the_public_interface() -> None:
    wrong = [
        f"{path.name}:{line}: {module}"
        for path in sorted((ROOT / "strategies").glob("*.py"))
        for module, _, line in imports_of(path)
        if module.startswith("botkit.")
    ]
    assert not wrong


def test_the_top_level_folder_contains_exactly_the_agreed_entries() -> None:
    agreed = {"pyproject.toml", "README.md", "LICENSE", "botkit", "strategies", "configs", "tests", "backtest_data"}
    # files created by a user's own runs are ignored by git and are not part of the project
    leftovers = {"build", "dist", "out", "runs", "venv"}
    present = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert {n for n in present - leftovers if not n.endswith(".egg-info")} <= agreed


def test_what_a_docstring_says_is_returned_fits_the_annotation() -> None:
    misplaced = []
    for path in modules():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                says_bool = (ast.get_docstring(node) or "").startswith(
                    ("Return True", "Return False", "Return whether")
                )
                returned = ast.unparse(node.returns) if node.returns is not None else ""
                if says_bool and returned != "bool" and not returned.startswith("TypeGuard["):
                    misplaced.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} returns {returned}")
    assert not misplaced, "\n".join(misplaced)


def test_no_module_has_a_catch_all_name() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    wrong = [str(p.relative_to(ROOT)) for p in modules() if drawers & set(p.stem.split("_"))]
    assert not wrong


# -- the ports of a running bot ---------------------------------------------------------------------------------------

#: the modules that use the machine; all other code in ``live``, ``exchange`` and ``emulator`` uses ports
PORT_MODULES = {
    *("live/clock.py", "live/background.py", "live/disk.py", "live/machine.py"),
    *("exchange/machine.py", "emulator/clock.py"),
}
#: names that a module outside the ports must not use: module -> names, or None for all names
STRAY: dict[str, set[str] | None] = {
    "time": None,
    "random": None,
    "uuid": None,
    "secrets": None,
    "threading": None,
    "concurrent.futures": None,
    "datetime.datetime": {"now", "utcnow", "today"},
    "datetime.date": {"today"},
    "os": {"urandom", "getrandom"},
    "asyncio": {"to_thread"},
}
#: names that are also forbidden in ``live``, because it must access files through a port
STRAY_FILES: dict[str, set[str] | None] = {
    "os": {"fsync", "listdir", "open", "remove", "rename", "replace", "scandir", "stat", "unlink"},
    "shutil": None,
    "sqlite3": {"connect"},
}
_FILE_METHODS = {"mkdir", "iterdir", "read_bytes", "read_text", "touch", "unlink", "write_bytes", "write_text"}
#: uses that cannot affect a running bot's decisions. Entries may be removed, but not added.
BESIDE_A_BOT: dict[str, set[str]] = {
    # reads a recording after the run
    "live/replay.py": {"open", "read_bytes"},
    # the log is for human readers; no code reads it back, and the library's handler opens the file
    "live/notifications/logs.py": {"mkdir"},
    # runs an emulator for tests that have no event loop
    "emulator/thread.py": {"concurrent.futures.Future", "threading.Thread"},
}


def _imported(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """Return the fully qualified name for each imported name, such as ``{"Random": "random.Random"}``."""
    found = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                found[alias.asname or root] = alias.name if alias.asname else root
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _dotted(node: ast.expr, imported: dict[str, str]) -> str:
    """Return an attribute expression as text, such as ``datetime.datetime.now``, or "" for any other expression."""
    if isinstance(node, ast.Name):
        return imported.get(node.id, "")
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value, imported)
        return f"{before}.{node.attr}" if before else ""
    return ""


def stray_uses(path: Path, *, files: bool) -> dict[str, int]:
    """Return the machine functions that a module uses without going through a port, each with the line of its first
    use.
    """
    nodes = nodes_of(path)
    imported = _imported(nodes)
    rules = [STRAY, STRAY_FILES] if files else [STRAY]
    found: dict[str, int] = {}
    for node in nodes:
        if isinstance(node, (ast.Name, ast.Attribute)):
            module, _, name = _dotted(node, imported).rpartition(".")
            names = [rule[module] for rule in rules if module in rule]
            if any(refused is None or name in refused for refused in names) and (module, name) not in ALLOWED_NAMES:
                found.setdefault(f"{module}.{name}", node.lineno)
        if files and isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id == "open":
                found.setdefault("open", node.lineno)
            elif isinstance(called, ast.Attribute) and not _dotted(called, imported):
                opens = called.attr == "open" and any(
                    isinstance(arg, ast.Constant) and isinstance(arg.value, str) and set(arg.value) <= set("rwaxbt+")
                    for arg in node.args
                )
                if opens or called.attr in _FILE_METHODS:
                    found.setdefault(called.attr, node.lineno)
    return found


@pytest.mark.parametrize("package", ["live", "exchange", "emulator"])
def test_a_running_bot_uses_its_machine_only_through_ports(package: str) -> None:
    wrong = []
    for path in modules():
        name = path.relative_to(BOTKIT).as_posix()
        if package_of(path) != package or name in PORT_MODULES:
            continue
        found = stray_uses(path, files=package == "live")
        allowed = BESIDE_A_BOT.get(name, set())
        wrong += [f"botkit/{name}:{line}: {use}" for use, line in found.items() if use not in allowed]
        wrong += [
            f"botkit/{name}: {use} is gone; remove it from BESIDE_A_BOT" for use in sorted(allowed - found.keys())
        ]
    assert not wrong, "\n".join(wrong)


def test_direct_uses_of_the_machine_in_a_module_are_detected(tmp_path: Path) -> None:
    module = tmp_path / "m.py"
    module.write_text(
        "import os, random, time as t, uuid\nfrom datetime import datetime\nfrom random import Random, choice\n"
        "a = [t.time(), random.random(), choice, uuid.uuid4(), datetime.now(), os.urandom(8), Random(1)]\n"
        "b = [path.open('wb'), adapter.open(), open('x'), path.unlink(), os.stat('x'), text.replace('a', 'b')]\n"
    )
    chance = {"random.random", "random.choice", "uuid.uuid4", "os.urandom"}
    clocks = {"time.time", "datetime.datetime.now"}
    assert set(stray_uses(module, files=False)) == chance | clocks
    assert set(stray_uses(module, files=True)) == chance | clocks | {"open", "unlink", "os.stat"}


def test_no_port_has_more_than_six_methods() -> None:
    for path in (BOTKIT / "live" / "ports.py", BOTKIT / "live" / "clock.py"):
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef):
                methods = [m for m in node.body if isinstance(m, (ast.FunctionDef, ast.AsyncFunctionDef))]
                assert len(methods) <= 6, node.name


# -- circles and sizes ------------------------------------------------------------------------------------------------

PUBLIC_MOST = 20
#: classes that are allowed to have more public methods, each with the reason
FACES = {
    # strategy authors use a single class that provides every method they may call
    "botkit.engine.strategy.base.Strategy",
    # one method per documented endpoint, named as the exchange names the endpoint; a plain list without logic
    "botkit.exchange.bitopro.rest.BitoProClient",
}
PORT_MOST = 6


def names_of_modules() -> dict[str, Path]:
    found = {}
    for path in modules():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imported_at_the_top(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield imports outside functions, including imports for type checkers."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for field in ("body", "orelse", "finalbody", "handlers"):
                yield from imported_at_the_top(getattr(node, field, []))


def import_graph(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Return, for each module, the modules in ``trees`` that it imports at top level."""
    graph: dict[str, set[str]] = {}
    for module, tree in trees.items():
        targets: set[str] = set()
        for node in imported_at_the_top(tree.body):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            else:
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                targets |= {name if name in trees else str(node.module) for name in full}
        graph[module] = {target for target in targets if target in trees} - {module}
    return graph


def circles(graph: dict[str, set[str]]) -> set[tuple[str, ...]]:
    """Return sorted groups of modules that import each other, directly or indirectly."""
    reached: dict[str, set[str]] = {}
    for module in graph:
        seen: set[str] = set()
        todo = [module]
        while todo:
            for target in graph[todo.pop()] - seen:
                seen.add(target)
                todo.append(target)
        reached[module] = seen
    return {
        tuple(sorted(other for other in reached[module] if module in reached[other]))
        for module in graph
        if module in reached[module]
    }


def test_there_are_no_circular_imports() -> None:
    assert circles(import_graph({name: tree_of(path) for name, path in names_of_modules().items()})) == set()


def test_a_circular_type_checking_import_is_detected() -> None:
    hidden = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import A\n"
    sources = {"p.a": "import p.b", "p.b": "from p import c", "p.c": hidden, "p.d": "import p.a"}
    trees = {name: ast.parse(source) for name, source in sources.items()}
    assert circles(import_graph(trees)) == {("p.a", "p.b", "p.c")}
    assert not circles(import_graph({**trees, "p.c": ast.parse("def f():\n    import p.a\n")}))


def public_methods(cls: type) -> set[str]:
    """Return a class's public methods and properties, including inherited ones, so that mixins cannot hide how large
    the class is.
    """
    kinds = (FunctionType, property, staticmethod, classmethod)
    return {
        name
        for base in cls.__mro__
        if base.__module__.startswith("botkit.")
        for name, value in vars(base).items()
        if isinstance(value, kinds) and not name.startswith("_")
    }


def all_classes() -> dict[str, type]:
    found = {}
    for name in names_of_modules():
        if name != "botkit.__main__":
            module = importlib.import_module(name)
            classes = [value for value in vars(module).values() if isinstance(value, type)]
            found |= {f"{name}.{cls.__qualname__}": cls for cls in classes if cls.__module__ == name}
    return found


def test_no_class_has_too_many_public_methods() -> None:
    classes = all_classes()
    assert len(classes) > 500, "the search no longer finds classes"
    large = {name for name, cls in classes.items() if len(public_methods(cls)) > PUBLIC_MOST}
    # strategies are excluded: they inherit the public methods of `Strategy`
    strategies = {name for name, cls in classes.items() if issubclass(cls, Strategy) and cls is not Strategy}
    assert large - strategies == FACES


def ports() -> dict[str, int]:
    """Return every Protocol in botkit with the number of methods that it requires."""
    found = {}
    for name, path in names_of_modules().items():
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef) and any(
                ast.unparse(base).split("[")[0] in ("Protocol", "typing.Protocol") for base in node.bases
            ):
                methods = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
                found[f"{name}.{node.name}"] = len(methods)
    return found


def test_no_protocol_requires_too_many_methods() -> None:
    found = ports()
    assert len(found) > 10, "the search no longer finds protocols"
    assert {name: count for name, count in found.items() if count > PORT_MOST} == {}


# -- the engine's entry points ------------------------------------------------------------------------------------


#: the names used for an engine and for the parts of its view
ENGINE_OBJECTS = {"engine", "_engine", "view", "_view", "money", "checks"}
#: a source without such text has no way past the door. Between a name and the dot there can only be white space,
#: brackets and comments
_POSSIBLE_WAY = re.compile(rf"rooms|\b({'|'.join(sorted(ENGINE_OBJECTS))})\b([\s\\)]|#.*\n)*\.([\s\\]|#.*\n)*_")


def ways_past_the_door(source: str) -> list[tuple[int, str]]:
    """Return (line, expression) for every access to an engine's rooms, or to any private attribute of the engine or its
    view.
    """
    if not _POSSIBLE_WAY.search(source):
        return []  # parsing takes much longer than searching, and hardly any file outside the engine mentions these
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr.startswith(("_", "rooms")):
            owner = ast.unparse(node.value).rpartition(".")[2]
            is_private = node.attr.startswith("_") and not node.attr.startswith("__")
            if node.attr in ("_rooms", "rooms") or (is_private and owner in ENGINE_OBJECTS):
                found.append((node.lineno, ast.unparse(node)))
    return found


def test_no_outside_code_accesses_engine_internals() -> None:
    outside = [path for path in modules() if package_of(path) != "engine"]
    outside += [*(ROOT / "tests").rglob("*.py"), *(ROOT / "strategies").rglob("*.py")]
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in outside
        for line, what in ways_past_the_door(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "way",
    ["engine._stages", "bot.engine._router.due(1)", "self._rooms", "b.engine.rooms", "bot.view._a", "view.money._b"],
)
def test_access_to_engine_internals_is_detected(way: str) -> None:
    assert ways_past_the_door(way)
    assert not ways_past_the_door("engine.view.orders(), self._engine.turn(None, 0, out), self._out")
