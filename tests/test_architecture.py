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
    "testing": {"model"},
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


#: what reads the machine's clock or draws chance by itself
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
    """(line, what) of every stray reading of a clock or of chance; `asyncio`'s loop is the port for waiting."""
    tree, found = ast.parse(source), []
    origins: dict[str, str] = {}  # what a name in this module stands for
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
    """The full name of what an expression reads from a module; "" for anything else."""
    head, _, rest = ast.unparse(node).partition(".")
    return f"{origins[head]}{'.' if rest else ''}{rest}" if head in origins else ""


#: the one place under exchange/ that may: what a client without a bot lives by
MACHINE = BOTKIT / "exchange" / "machine.py"


def test_the_way_to_the_exchange_takes_its_clock_and_chance_from_outside() -> None:
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
def test_a_stray_reading_of_the_machine_is_noticed(stray: str) -> None:
    assert readings_of_the_machine(stray)


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


# -- the ports of a running bot ---------------------------------------------------------------------------------------

#: where the machine is reached; everything else in ``live`` and ``exchange`` goes through `botkit.live.ports`
PORT_MODULES = {"live/clock.py", "live/background.py", "live/disk.py"}
#: what a module outside the ports may not use: module -> names of it, None for all of them
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
#: ... and in ``live``, where a bot's folder is written, no file either
STRAY_FILES: dict[str, set[str] | None] = {
    "os": {"fsync", "listdir", "open", "remove", "rename", "replace", "scandir", "stat", "unlink"},
    "shutil": None,
    "sqlite3": {"connect"},
}
_FILE_METHODS = {"mkdir", "iterdir", "read_bytes", "read_text", "touch", "unlink", "write_bytes", "write_text"}
#: uses that are still to go, or that have nothing to do with a running bot. The list may only shrink.
NOT_YET: dict[str, set[str]] = {
    # a bot's life: its run folder becomes files of the disk port with the stages of `Bot`
    "live/bot.py": {"mkdir", "open", "unlink"},
    "live/inputs.py": {"iterdir", "open", "os.scandir", "shutil.rmtree", "unlink", "write_text"},
    # reads a recording after the run, beside no bot
    "live/replay.py": {"read_text"},
    # a process of its own, and its folder
    "live/shared_limits/broker.py": {
        "mkdir", "open", "os.fsync", "os.open", "random.SystemRandom", "read_bytes", "secrets.token_hex", "unlink",
    },
    "live/shared_limits/broker_link.py": {"read_bytes"},
    "live/shared_limits/ledger_redis.py": {"read_text", "secrets.token_hex"},
    # the log is for people: nothing is read back from it
    "live/telling/logs.py": {"mkdir"},
    # /proc, behind `Machine.resident_bytes`
    "live/telling/memory.py": {"read_text"},
    # the connection's own clock where none is given, and a lock around the last nonce of the process
    "exchange/bitopro/transport.py": {"time.time_ns"},
    "exchange/bitopro/sign.py": {"threading.Lock"},
}  # fmt: skip


def _imported(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for, such as ``{"Random": "random.Random"}``."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                found[alias.asname or root] = alias.name if alias.asname else root
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _dotted(node: ast.expr, imported: dict[str, str]) -> str:
    """``datetime.datetime.now`` for such an expression, "" for others."""
    if isinstance(node, ast.Name):
        return imported.get(node.id, "")
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value, imported)
        return f"{before}.{node.attr}" if before else ""
    return ""


def stray_uses(path: Path, *, files: bool) -> dict[str, int]:
    """What a module has from the machine past the ports, with the line of the first use."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = _imported(tree)
    rules = [STRAY, STRAY_FILES] if files else [STRAY]
    found: dict[str, int] = {}
    for node in ast.walk(tree):
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


@pytest.mark.parametrize("package", ["live", "exchange"])
def test_a_running_bot_reaches_its_machine_through_ports_alone(package: str) -> None:
    wrong = []
    for path in modules():
        name = path.relative_to(BOTKIT).as_posix()
        if package_of(path) != package or name in PORT_MODULES:
            continue
        found = stray_uses(path, files=package == "live")
        allowed = NOT_YET.get(name, set())
        wrong += [f"botkit/{name}:{line}: {use}" for use, line in found.items() if use not in allowed]
        wrong += [f"botkit/{name}: {use} is gone; take it off NOT_YET" for use in sorted(allowed - found.keys())]
    assert not wrong, "\n".join(wrong)


def test_what_is_looked_for_in_a_module_is_found(tmp_path: Path) -> None:
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
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                methods = [m for m in node.body if isinstance(m, (ast.FunctionDef, ast.AsyncFunctionDef))]
                assert len(methods) <= 6, node.name
