"""Waits for the effect of a thread or another process, but not forever."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

#: how long to wait in real time for anything. No machine is this slow, so what takes longer never comes, and its test
#: fails
PATIENCE_S = 120.0


def wait_for(condition: Callable[[], Any]) -> None:
    """Block until the condition holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.005)
