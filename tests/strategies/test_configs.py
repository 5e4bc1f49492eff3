"""Every sample configuration runs on the bundled data, trades, and stays within the exchange's rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from botkit.cli.main import main
from botkit.model.orders import OrderState
from tests.strategy_world import CONFIGS, ROOT, run_config

SAMPLES = sorted(CONFIGS.glob("*.yaml"))
IDS = [path.stem for path in SAMPLES]


def test_every_strategy_has_a_sample_configuration() -> None:
    strategies = {path.stem for path in (ROOT / "strategies").glob("*.py")}
    assert {path.stem for path in SAMPLES} == strategies | {"minimal"}


@pytest.mark.parametrize("path", SAMPLES, ids=IDS)
def test_every_sample_configuration_is_accepted(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", str(path)]) == 0
    assert "OK; " in capsys.readouterr().out


@pytest.mark.parametrize("path", SAMPLES, ids=IDS)
def test_every_sample_trades_on_the_bundled_data(path: Path, tmp_path: Path) -> None:
    # Two weeks are enough; the books and trades cover only four hours anyway.
    start = None if path.stem in ("market_maker", "triangular") else "2025-03-20"
    result = run_config(path, tmp_path, start=start).result
    assert len(result.fills) > 0
    assert result.router.refused_by_exchange == 0
    assert [row.stopped for row in result.strategies] == [""]
    bad = {OrderState.REJECTED.value, OrderState.UNKNOWN.value, OrderState.ABSENT.value, OrderState.NOT_SENT.value}
    assert not [order for order in result.orders if order.state in bad]
    assert result.summary["refused"] == 0


@pytest.mark.parametrize("path", SAMPLES, ids=IDS)
def test_samples_refer_to_accounts_only_through_environment_variables(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    values = dict(re.findall(r"^  (email|key|secret): (.*)$", text, re.MULTILINE))
    assert values == {"email": "${BITOPRO_EMAIL}", "key": "${BITOPRO_KEY}", "secret": "${BITOPRO_SECRET}"}


@pytest.mark.parametrize("path", [path for path in SAMPLES if path.stem != "minimal"], ids=lambda path: path.stem)
def test_the_live_section_of_a_sample_is_valid_after_uncommenting(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    head, found, tail = text.partition("# live:")
    assert found, "a sample contains its live section as a comment"
    live = re.sub(r"^# ?", "", found + tail, flags=re.MULTILINE)
    assert "confirm: true" in live
    made = tmp_path / "live.yaml"
    made.write_text(head.replace("../", f"{ROOT.as_posix()}/") + live, encoding="utf-8")
    assert main(["config", "check", str(made)]) == 0


def test_the_minimal_sample_is_small() -> None:
    lines = [line for line in (CONFIGS / "minimal.yaml").read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 10
