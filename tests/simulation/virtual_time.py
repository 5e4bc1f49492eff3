"""The marker that makes a test run on a virtual loop.

    pytestmark = pytest.mark.virtual_time            # all tests in a file: none waits for wall time
    @pytest.mark.virtual_time(seed=7, limit_s=60)    # one test, with a task order that depends on the seed
    @pytest.mark.real_time                           # one test in this file that runs in real time

An asynchronous test and its fixtures get a `VirtualLoop` from pytest-asyncio. In a synchronous test, ``asyncio.run``
creates the loop. In both cases, `on_virtual_time` applies while the loop is open. A test that waits for an event that
never occurs fails with `Stuck`, which shows where each task is waiting. It fails immediately if no further event is
scheduled, and otherwise after ``limit_s`` virtual seconds (default: one hour).
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import pytest

REAL_TIME_MARKER = "real_time: one test of a file on virtual time that needs sockets, processes, threads or TLS"
MARKER = "virtual_time(seed=None, limit_s=3600): the test runs on a loop without wall time, sockets and threads"


def _virtual_loop(**options: Any) -> asyncio.AbstractEventLoop:
    from tests.simulation.machine import MachineLoop  # this import loads half of botkit, which few tests need

    return MachineLoop(**options)


def _factory(item: pytest.Item) -> Callable[[], asyncio.AbstractEventLoop] | None:
    marker = item.get_closest_marker("virtual_time")
    if item.get_closest_marker("real_time"):
        return None
    return None if marker is None else functools.partial(_virtual_loop, **marker.kwargs)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line("markers", MARKER)
    config.addinivalue_line("markers", REAL_TIME_MARKER)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return a loop factory for an asynchronous test."""
    return {"loop": _factory(item) or asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def _virtual_time_of_synchronous_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``asyncio.run`` create a virtual loop in a marked synchronous test."""
    factory = _factory(request.node)
    if factory is not None and not inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        monkeypatch.setattr(asyncio.events, "new_event_loop", factory)
