"""No test depends on the speed of the machine: no test sleeps for a fixed time, times out in less than a minute or
compares wall times.

In virtual time, waiting is free and exact (tests/simulation/README.md). In real time, a test waits for a condition with
`tests.waiting` or with ``until`` from tests/live/world.py; a polling loop may sleep for a tenth of a second between
checks.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
#: scripts and measurements, which are not tests
NO_TESTS = ("benchmarks/", "official_client.py", "under_load.py", "simulation/runner.py", "simulation/pieces.py")
#: files that use virtual time without the marker: tests of the event loop itself, and code that runs on its own loop or
#: on any loop
ON_VIRTUAL_TIME = (
    *("simulation/", "live/shared_world.py", "live/test_shared_limits.py"),
    *("emulator/fuzz_wire.py", "live/frozen_journal.py", "market_venue.py", "toy_exchange.py"),
)
#: the longest sleep between two checks
PAUSE_MAX_S = 0.1
PATIENCE_MIN_S = 60
#: functions that are allowed to wait in real time, each with the reason
ALLOWED = {
    "waiting.py::wait_for": "the one place that waits on real time",
    "processes.py::end_all_but": "waits for processes to end, and for nothing else",
    "live/test_several.py::looked": "blocks the loop until the watchdog's thread has noticed and said so",
    "live/kills.py::_from_outside": "kills a process at a random moment; no assertion depends on which",
    "live/kills.py::_command": "kills a process at a random moment; no assertion depends on which",
    "live/kills.py::_explained": "gives up after a minute",
    "live/test_ports.py::test_waiting_for_a_command_response_uses_the_given_clock": "its clock is moved by hand",
}
CLOCKS = {"time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter"}
#: functions that take a timeout, with the position of the timeout argument
TIMEOUTS = {"asyncio.timeout": 0, "asyncio.wait_for": 1, "wait": 0, "join": 0, "result": 0}


def names_of(function: ast.AST) -> str:
    """Return the text of a function's decorators and parameters."""
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return ""
    arguments = [argument.arg for argument in function.args.args]
    return " ".join([*map(ast.unparse, function.decorator_list), *arguments])


def number(node: ast.expr | None) -> float | None:
    """Return a literal's value, or None for any other node."""
    return float(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, int | float) else None


class Reader:
    """Finds the code locations at which a file depends on real time."""

    def __init__(self, place: str, tree: ast.Module) -> None:
        self.found: list[str] = []
        self._place = place
        marks = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign)]
        is_virtual = any(mark.startswith("pytestmark") and "virtual_time" in mark for mark in marks)
        self._virtual = [is_virtual or place.startswith(ON_VIRTUAL_TIME)]
        self._functions: list[str] = []
        self._loops = 0

    def read(self, node: ast.AST) -> None:
        """Visit a node and all its children."""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self._read_function(node)
            return
        self._loops += isinstance(node, ast.While)
        if isinstance(node, ast.Compare):
            self._look_at_compare(node)
        elif isinstance(node, ast.Call):
            self._look_at_call(node)
        for child in ast.iter_child_nodes(node):
            self.read(child)
        self._loops -= isinstance(node, ast.While)

    def _read_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        names = names_of(node).split()
        is_virtual = self._virtual[-1] or "terminal" in names or any("virtual_time" in name for name in names)
        self._virtual.append(is_virtual and not any("real_time" in name for name in names))
        self._functions.append(node.name)
        loops, self._loops = self._loops, 0
        for child in ast.iter_child_nodes(node):
            self.read(child)
        self._loops = loops
        self._functions.pop()
        self._virtual.pop()

    def _look_at_compare(self, node: ast.Compare) -> None:
        terms: list[ast.expr] = []
        for side in (node.left, *node.comparators):
            terms += [side.left, side.right] if isinstance(side, ast.BinOp) else [side]
        if any(isinstance(term, ast.Call) and ast.unparse(term.func) in CLOCKS for term in terms):
            self._tell(node, "compares the machine's time")

    def _look_at_call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func)
        checks = [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "suppress_health_check"]
        if checks and "too_slow" not in checks[0]:
            self._tell(node, "lets a slow machine fail a property, which tests/conftest.py does not")
        if called == "time.sleep":
            self._tell(node, "sleeps")
        elif called == "asyncio.sleep" and not self._virtual[-1]:
            pause = number(node.args[0])
            if pause != 0 and not (self._loops and pause is not None and pause <= PAUSE_MAX_S):
                self._tell(node, "sleeps for a fixed time")
        elif not self._virtual[-1]:
            self._look_at_timeout(node, called)

    def _look_at_timeout(self, node: ast.Call, called: str) -> None:
        place = TIMEOUTS.get(called, TIMEOUTS.get(called.rpartition(".")[2]))
        given = [keyword.value for keyword in node.keywords if keyword.arg in ("timeout", "timeout_s")]
        if place is not None and len(node.args) > place:
            given.append(node.args[place])
        for value in given:
            seconds = number(value)
            if seconds is not None and seconds < PATIENCE_MIN_S:
                self._tell(node, f"has {seconds:g} s of patience")

    def _tell(self, node: ast.expr, what: str) -> None:
        if not any(f"{self._place}::{function}" in ALLOWED for function in self._functions):
            self.found.append(f"tests/{self._place}:{node.lineno}: {what}: {ast.unparse(node)}")


def files() -> Iterator[Path]:
    for path in sorted(TESTS.rglob("*.py")):
        if not path.relative_to(TESTS).as_posix().startswith(NO_TESTS):
            yield path


def found_in(place: str, text: str) -> list[str]:
    tree = ast.parse(text)
    reader = Reader(place, tree)
    reader.read(tree)
    return reader.found


def test_no_test_depends_on_the_speed_of_the_machine() -> None:
    found = [line for path in files() for line in found_in(path.relative_to(TESTS).as_posix(), path.read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("code", "is_refused"),
    [
        ("async def test(): await asyncio.sleep(1)", True),
        ("async def test(): await asyncio.sleep(0)", False),
        ("@pytest.mark.virtual_time\nasync def test(): await asyncio.sleep(1)", False),
        ("pytestmark = pytest.mark.virtual_time\nasync def test(): await asyncio.sleep(1)", False),
        ("pytestmark = pytest.mark.virtual_time\n@pytest.mark.real_time\nasync def t(): await asyncio.sleep(1)", True),
        ("async def test():\n    while not done(): await asyncio.sleep(0.05)", False),
        ("async def test():\n    while not done(): await asyncio.sleep(5)", True),
        ("def test(): time.sleep(0.1)", True),
        ("def test(terminal):\n    async def beside(): await asyncio.sleep(3)", False),
        ("def test(): assert time.monotonic() - began < 1", True),
        ("def test(): assert list(run(until=time.monotonic() - 1)) == []", False),
        ("def test(): process.communicate(timeout=20)", True),
        ("def test(): process.communicate(timeout=60)", False),
        ("def test(): process.wait(5)", True),
        ("async def test():\n    async with asyncio.timeout(2): await done", True),
        ("def test(): ','.join(rows)", False),
        ("@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])\ndef test(): pass", True),
    ],
)
def test_waits_in_real_time_are_detected(code: str, is_refused: bool) -> None:
    assert bool(found_in("test_x.py", code)) == is_refused


def test_every_listed_exception_is_still_needed() -> None:
    for place in ALLOWED:
        file, _, function = place.partition("::")
        text = (TESTS / file).read_text()
        assert f"def {function}(" in text, place
        assert found_in("elsewhere.py", text), f"{file} needs no exception any more"
