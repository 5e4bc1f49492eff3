"""Garbage collection in a running bot: recent garbage is collected, but rarely, and older objects are not scanned."""

from __future__ import annotations

import gc
import weakref

import pytest

from botkit.live import collector
from botkit.live.collector import quiet_collector


class Node:
    """An object in a reference cycle."""

    def __init__(self) -> None:
        self.ring: object = self


def test_recent_cycles_are_collected_during_the_run_and_older_objects_only_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collector, "gc", gc)  # in tests, bots do not freeze anything (tests/conftest.py)
    before = gc.get_threshold()
    old = Node()
    ghost = weakref.ref(old)
    try:
        with quiet_collector():
            assert gc.get_freeze_count() > 1000
            del old
            gc.collect()
            assert ghost() is not None
            rings = [weakref.ref(Node()) for _ in range(3 * gc.get_threshold()[0])]
            assert sum(ring() is not None for ring in rings) <= gc.get_threshold()[0]
        gc.collect()
        assert ghost() is None
    finally:
        gc.set_threshold(*before)
