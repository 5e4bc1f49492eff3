"""Fixtures for the tests of `botkit.research`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.research_world import CROSS, waves, write_crossing

__all__ = ["CROSS", "waves"]


@pytest.fixture
def crossing(tmp_path: Path) -> Path:
    """Return the configuration for a strategy that trades moving average crossovers, with its data."""
    return write_crossing(tmp_path)
