from __future__ import annotations

import contextlib
import gc
import itertools
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from botkit.live.limits.broker import FOLDER_VARIABLE
from tests.processes import adopt_orphans, children, end_all_but
from tests.simulation.virtual_time import (  # noqa: F401  pytest finds hooks and fixtures by name
    _virtual_time_of_synchronous_tests,
    pytest_asyncio_loop_factories,
)
from tests.simulation.virtual_time import pytest_configure as add_markers

if TYPE_CHECKING:
    from tests.simulation.terminal import Terminal

_numbers = itertools.count()
_task_errors: list[str] = []
_MEMORY = Path("/dev/shm")
#: a container's default of 64 MB would be too little
_MEMORY_FREE_MIN = 2 << 30


class _TaskErrors(logging.Handler):
    """Collects asyncio's reports of tasks that failed or were never awaited."""

    def emit(self, record: logging.LogRecord) -> None:
        _task_errors.append(record.getMessage())


def pytest_configure(config: pytest.Config) -> None:
    """Add the markers, and put ``tmp_path`` in memory if the machine allows that, because bots sync their journals very
    often.

    This does not weaken any test. Like a disk's cache, memory keeps the data that a killed process has written, and no
    test simulates a power failure.
    """
    add_markers(config)
    # tests quote English texts, whatever the language of the developer's system
    os.environ["BOTKIT_LANG"] = "en"
    # a slow machine must not make a test fail
    hypothesis.settings.register_profile("calm", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
    hypothesis.settings.load_profile("calm")
    logging.getLogger("asyncio").addHandler(_TaskErrors(logging.ERROR))
    with contextlib.suppress(OSError):
        found = os.statvfs(_MEMORY)
        if os.access(_MEMORY, os.W_OK) and found.f_bavail * found.f_frsize > _MEMORY_FREE_MIN:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """With ``-n auto``, use one worker more than there are cores, because tests of processes spend half of their time
    waiting.
    """
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let an idle worker take tests from workers that are busy with long tests."""
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


@pytest.fixture(scope="session")
def _brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the folders of the tests' limits brokers separate from this user's own files."""
    folder = tmp_path_factory.mktemp("brokers")
    os.environ[FOLDER_VARIABLE] = str(folder / "of no test")
    yield folder
    del os.environ[FOLDER_VARIABLE]


@pytest.fixture(scope="session", autouse=True)
def _orphans() -> None:
    adopt_orphans()


#: processes of shared fixtures, which outlive a single test
_kept: set[int] = set()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Iterator[object]:
    """Record the processes that are started by a fixture shared between tests."""
    if fixturedef.scope == "function":
        return (yield)
    before = children()
    try:
        return (yield)
    finally:
        _kept.update(children().keys() - before.keys())


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest, _brokers: Path, _orphans: None) -> Iterator[None]:
    """Run each test with a separate limits broker. Check that the test leaves no process, socket, file or task behind,
    and that no task failed.
    """
    os.environ[FOLDER_VARIABLE] = str(_brokers / f"{next(_numbers)}")
    _task_errors.clear()
    yield
    # Collect garbage now, so that a warning about an object that is still open fails this test and not a later one.
    # Freeze the surviving objects; otherwise each collection would traverse all objects that were ever imported.
    request.node.funcargs.clear()
    gc.collect()
    gc.freeze()
    left = end_all_but(_kept)
    assert not left, f"these processes outlived the test: {left}"
    assert not _task_errors, f"asyncio reported: {_task_errors}"


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """Provide a terminal on virtual time, for tests that call ``main([...])``."""
    from tests.simulation.terminal import Terminal  # it loads half of botkit, which few tests need

    with Terminal(tmp_path / "broker") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _log_as_found() -> Iterator[None]:
    """Undo `botkit run`'s process-wide removal of its log from the terminal, so that later tests can read the log."""
    logger = logging.getLogger("botkit")
    level, propagates, handlers = logger.level, logger.propagate, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.propagate, logger.handlers = propagates, handlers
