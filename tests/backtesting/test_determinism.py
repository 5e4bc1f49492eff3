"""Identical inputs produce identical decisions on any machine, while a different latency produces different
decisions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backtest_world import BACKTEST, ROOT, run, write_candles, write_config, write_strategy

#: uses random numbers, timers, and limit and market orders; none of these may depend on hash seeds or on the machine
BODY = """
pair: Pair

def on_start(self):
    self.subscribe_bars(self.pair, "1m")
    self.set_timer(every_s=600)

def on_bar(self, bar):
    draw = self.random.random()
    if draw < 0.1:
        self.market_buy(self.pair, spend=500 + 1000 * draw)
    elif draw < 0.4:
        self.sell(self.pair, amount=0.001 + draw / 1000, price=bar.close * (1 + draw / 500), tag=f"{draw:.3f}")
    elif draw < 0.5:
        self.buy(self.pair, amount=0.002, price=bar.close * (1 - draw / 500), expire_s=900)

def on_timer(self, timer):
    self.cancel_all(self.pair)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    closes = [50_000 + 400 * ((i * 37) % 101 - 50) / 50 for i in range(600)]
    candles = write_candles(tmp_path / "candles.csv", closes)
    return write_config(
        tmp_path,
        f"{{path: {candles}, pair: btc_usdt, kind: candles, resolution: 1m}}",
        plugins=write_strategy(tmp_path, BODY),
        backtest=BACKTEST.replace("{order_ms", "{model: lognormal, order_ms"),
    )


def digest(config: Path, out: Path, seed: str, cwd: Path) -> tuple[str, str]:
    """Run a backtest in a separate process, and return (decision hash, hash of the decisions file)."""
    done = subprocess.run(
        [sys.executable, "-m", "botkit", "backtest", str(config), "--out", str(out), "--json"],
        check=True,
        capture_output=True,
        cwd=cwd,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
    )
    import hashlib

    summary = json.loads(done.stdout)
    return summary["journal_sha256"], hashlib.sha256((out / "decisions.jsonl").read_bytes()).hexdigest()


def test_decisions_do_not_depend_on_hash_seed_working_directory_or_process(config: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    here = run(config)
    assert here.summary["fills"]
    digests = {digest(config, tmp_path / "a", "1", tmp_path), digest(config, tmp_path / "b", "77", elsewhere)}
    # the hash in the summary is the file's hash, so users can verify it
    assert digests == {(here.summary["journal_sha256"],) * 2}


def test_two_runs_in_one_process_are_identical_but_one_millisecond_of_latency_changes_the_decisions(
    config: Path,
) -> None:
    first, second = run(config), run(config)
    assert first.summary["journal_sha256"] == second.summary["journal_sha256"]
    assert first.fills == second.fills
    for setting in ("backtest.latency.order_ms=101", "backtest.latency.answer_ms=101", "seed=1"):
        other = run(config, overrides=[setting])
        assert other.summary["journal_sha256"] != first.summary["journal_sha256"], setting
