"""Checks that a running bot does not load heavy modules that it does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import botkit
from tests.benchmarks.footprint import weigh


def test_three_strategies_run_without_loading_pandas_or_pyarrow(tmp_path: Path) -> None:
    weight = weigh(tmp_path, seconds=0.5)
    assert weight.code == 0
    assert weight.loaded == []
    assert weight.started_s


def test_a_running_bot_has_no_backtest_and_no_report_in_memory() -> None:
    heavy = ("botkit.backtesting.session", "jinja2")
    code = f"import sys, botkit.assembly.live; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["cli.main", "cli.languages", "live.limits.broker_process"])
def test_help_and_the_limits_broker_start_without_numpy_and_the_report(module: str) -> None:
    code = f"import sys, botkit.{module}; print([name for name in ('numpy', 'jinja2') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_exported_name_is_found_and_listed() -> None:
    assert set(botkit.__all__) <= set(dir(botkit))
    assert all(hasattr(botkit, name) for name in botkit.__all__)
    with pytest.raises(ImportError, match="cannot import name 'Stratgy' from 'botkit'"):
        from botkit import Stratgy  # noqa: F401
