from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from botkit.live.limits.broker import FOLDER_VARIABLE
from tests.simulation.virtual_time import (  # noqa: F401  pytest finds hooks and fixtures by name
    _virtual_time_of_synchronous_tests,
    pytest_asyncio_loop_factories,
)
from tests.simulation.virtual_time import pytest_configure as add_markers

_MEMORY = Path("/dev/shm")
#: a container's default of 64 MB would be too little
_MEMORY_FREE_MIN = 2 << 30


def pytest_configure(config: pytest.Config) -> None:
    """Add the markers, and put ``tmp_path`` in memory if the machine allows it, because bots sync their journals all
    the time.

    No test loses anything by this. Memory keeps what a killed process has written, as a disk's cache does, and no test
    cuts the power.
    """
    add_markers(config)
    with contextlib.suppress(OSError):
        found = os.statvfs(_MEMORY)
        if os.access(_MEMORY, os.W_OK) and found.f_bavail * found.f_frsize > _MEMORY_FREE_MIN:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


@pytest.fixture(scope="session", autouse=True)
def _broker_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep tests from counting toward the windows of this user's bots, and from leaving a broker among their files."""
    os.environ.setdefault(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("broker")))


@pytest.fixture(autouse=True)
def _log_as_found() -> Iterator[None]:
    """Undo `botkit run`'s process-wide removal of its log from the terminal, so that later tests can read the log."""
    logger = logging.getLogger("botkit")
    level, propagates, handlers = logger.level, logger.propagate, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.propagate, logger.handlers = propagates, handlers
