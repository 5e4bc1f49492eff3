"""Checks that a running bot does not load heavy modules that it does not need."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.footprint import weigh


def test_three_strategies_run_without_loading_pandas_or_pyarrow(tmp_path: Path) -> None:
    weight = weigh(tmp_path, seconds=0.5)
    assert weight.code == 0
    assert weight.loaded == []
    assert weight.started_s
