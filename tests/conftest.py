from __future__ import annotations

import contextlib
import gc
import itertools
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from botkit.live import collector
from botkit.live.limits.broker import FOLDER_VARIABLE
from tests.processes import adopt_orphans, children, end_all_but
from tests.simulation.virtual_time import (  # noqa: F401  pytest finds hooks and fixtures by name
    _virtual_time_of_synchronous_tests,
    pytest_asyncio_loop_factories,
)
from tests.simulation.virtual_time import pytest_configure as add_markers

if TYPE_CHECKING:
    from tests.report.browser import Chromium
    from tests.simulation.terminal import Terminal

_numbers = itertools.count()
_task_errors: list[str] = []
_MEMORY = Path("/dev/shm")
#: a container's default of 64 MB would be too small
_MEMORY_FREE_MIN = 2 << 30
#: the slowest test files, slowest first. A wrong entry affects only the running time
_LONG = (
    "live/test_kills.py",
    "research/doctor/test_doctor.py",
    "live/test_canary.py",
    "guide/test_code_blocks.py",
    "report/test_crosshair.py",
    "page/test_control.py",
    "live/test_limits_of_every_process.py",
    "research/search/test_optimize.py",
    "live/test_redis.py",
    "live/test_broker.py",
    "report/test_large_report.py",
    "live/test_audit.py",
    "page/test_page.py",
    "page/test_reconnect.py",
    "cli/test_new.py",
    "live/test_live_trace.py",
)


class _TaskErrors(logging.Handler):
    """Collects asyncio's reports of tasks that failed or were never awaited."""

    def emit(self, record: logging.LogRecord) -> None:
        _task_errors.append(record.getMessage())


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and place ``tmp_path`` in memory if the machine allows it, because bots sync their journals
    very often.

    This does not weaken any test: data written by a killed process survives in memory just as it would in a disk cache,
    and no test simulates a power failure.
    """
    add_markers(config)
    # tests quote English text, so ignore the developer's locale
    os.environ["BOTKIT_LANG"] = "en"
    # a slow machine must not cause a test to fail
    hypothesis.settings.register_profile("calm", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
    hypothesis.settings.load_profile("calm")
    # without cached bytecode, each worker and each of the hundreds of commands that tests start would first have to
    # compile botkit
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # numpy starts its threads on import, which takes each of those commands a third of the time it needs to start;
    # no test multiplies matrices that are large enough to need them
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    logging.getLogger("asyncio").addHandler(_TaskErrors(logging.ERROR))
    with contextlib.suppress(OSError):
        found = os.statvfs(_MEMORY)
        if os.access(_MEMORY, os.W_OK) and found.f_bavail * found.f_frsize > _MEMORY_FREE_MIN:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """With ``-n auto``, use one more worker than there are cores, because tests that start processes spend half of
    their time waiting.
    """
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let an idle worker take over tests from workers that are busy with long tests."""
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Distribute the long test files among the workers so that each worker starts with its share. Idle workers take
    tests from the end of other workers' queues. The last tests are therefore short, and no worker is still busy for
    half a minute after the others have finished.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers == 1:
        return
    rest: list[pytest.Item] = []
    long: dict[str, list[pytest.Item]] = {f"tests/{name}": [] for name in _LONG}
    for item in items:
        long.get(item.nodeid.partition("::")[0], rest).append(item)
    shares = [[item for part in [*long.values()][number::workers] for item in part] for number in range(workers)]
    ordered: list[pytest.Item] = []
    for number, share in enumerate(shares):
        # every worker is given the same number of tests, in collection order
        fill = max(0, (len(items) - len(ordered)) // (workers - number) - len(share))
        ordered += share + rest[:fill]
        del rest[:fill]
    items[:] = ordered + rest


@pytest.fixture(scope="session")
def _brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the folders of the limits brokers that the tests use separate from the user's own folders."""
    folder = tmp_path_factory.mktemp("brokers")
    os.environ[FOLDER_VARIABLE] = str(folder / "of no test")
    yield folder
    del os.environ[FOLDER_VARIABLE]


@pytest.fixture(scope="session", autouse=True)
def _orphans() -> None:
    adopt_orphans()


#: processes started by shared fixtures, which outlive individual tests
_kept: set[int] = set()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Iterator[object]:
    """Record the processes started by fixtures that several tests share."""
    if fixturedef.scope == "function":
        return (yield)
    before = children()
    try:
        return (yield)
    finally:
        _kept.update(children().keys() - before.keys())


@pytest.fixture(scope="session", autouse=True)
def _the_heap_stays_frozen() -> Iterator[None]:
    """Keep the bots in this process from freezing and unfreezing objects, which `_nothing_is_left` does itself. After a
    bot that unfroze everything, the collection would traverse every object that was ever imported.
    """
    without_freezing = SimpleNamespace(collect=gc.collect, freeze=int, unfreeze=int, set_threshold=gc.set_threshold)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collector, "gc", without_freezing)
        yield


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest, _brokers: Path, _orphans: None) -> Iterator[None]:
    """Run each test with a separate limits broker. Check that the test leaves no process, socket, file or task behind,
    and that no task failed.
    """
    os.environ[FOLDER_VARIABLE] = str(_brokers / f"{next(_numbers)}")
    _task_errors.clear()
    yield
    # Collect garbage now, so that a warning about an unclosed object fails this test and not a later one. Freeze the
    # surviving objects; otherwise each collection would traverse every object that was ever imported.
    request.node.funcargs.clear()
    gc.collect()
    gc.freeze()
    left = end_all_but(_kept)
    assert not left, f"these processes outlived the test: {left}"
    assert not _task_errors, f"asyncio reported: {_task_errors}"


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Start the browser. The test is skipped if chromium is missing."""
    from tests.report.browser import CHROMIUM, Chromium

    if CHROMIUM is None:
        pytest.skip("needs chromium to open the page")
    before = children()
    found = Chromium(tmp_path_factory.mktemp("browser"))
    # pytest does not call this file's hooks for fixtures of the session, which belong to the folder above
    _kept.update(children().keys() - before.keys())
    yield found
    found.close()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """Provide a terminal in virtual time for tests that call ``main([...])``."""
    from tests.simulation.terminal import Terminal  # this import loads half of botkit, which few tests need

    with Terminal(tmp_path / "broker") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _log_as_imported() -> Iterator[None]:
    """Undo what commands do to the process-wide log when they take it off the terminal, so that tests can read it.

    It is undone before the test as well, because fixtures of a module run commands, too. To a logger that does not
    propagate, pytest attaches its own handlers, which then raise for a record that botkit means to be lenient with.
    """
    _undo_logging()
    yield
    _undo_logging()


def _undo_logging() -> None:
    logger = logging.getLogger("botkit")
    logger.setLevel(logging.NOTSET)
    logger.propagate, logger.handlers = True, []
