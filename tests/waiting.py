"""Waits, with a timeout, for an effect caused by a thread or another process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

#: How long to wait in real time for any condition. An effect that takes longer than this will never occur, even on a
#: slow machine, so the test should fail.
PATIENCE_S = 120.0


def wait_for(condition: Callable[[], Any]) -> None:
    """Block until the condition is true."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.02)  # not less, because looking at a browser or a file costs a few milliseconds
