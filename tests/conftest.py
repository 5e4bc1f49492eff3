from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

from botkit.live.limits.broker import FOLDER_VARIABLE
from tests.simulation.virtual_time import (  # noqa: F401  pytest finds hooks and fixtures by name
    _virtual_time_of_synchronous_tests,
    pytest_asyncio_loop_factories,
    pytest_configure,
)


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
