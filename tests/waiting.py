"""Waiting for what a thread or another process does: until it is there, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

#: how long anything on real time is waited for. What never comes fails its test by this; no machine is that slow
PATIENCE_S = 120.0


def wait_for(condition: Callable[[], Any]) -> None:
    """Block until the condition holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.005)
