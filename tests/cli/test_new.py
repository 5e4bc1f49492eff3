"""The command ``botkit new``: the generated files work, and existing files are never overwritten."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from botkit.cli.main import main
from tests.backtest_world import ROOT


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate two strategies, of which the second trades another pair, and a plugin, and return their folder."""
    folder = tmp_path_factory.mktemp("generated")
    for name in ("my_idea", "elsewhere"):
        assert main(["new", "strategy", name, "--dir", str(folder)]) == 0
    config = folder / "configs" / "elsewhere.yaml"
    text = config.read_text(encoding="utf-8")
    for before, after in (
        ("pair: btc_usdt", "pair: eth_twd"),
        ("spend: 1000", "spend: 30000"),
        ("{usdt: 2000}", "{twd: 60000}"),
        ("{usdt: 10000}", "{twd: 300000}"),
    ):
        assert before in text
        text = text.replace(before, after)
    config.write_text(text, encoding="utf-8")
    assert main(["new", "plugin", "dipper", "--dir", str(folder)]) == 0
    # `pip install` would leave these files next to the package
    root = folder / "botkit-dipper"
    points = tomllib.loads((root / "pyproject.toml").read_text())["project"]["entry-points"]["botkit"]
    installed = root / "botkit_dipper-0.1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: botkit-dipper\nVersion: 0.1.0\n")
    (installed / "entry_points.txt").write_text(
        "[botkit]\n" + "".join(f"{name} = {module}\n" for name, module in points.items())
    )
    return folder


@pytest.fixture(scope="module")
def outcomes(generated: Path) -> Counter[tuple[str, str]]:
    """Run the generated tests as a user would, all in one process, and return how many of each file had which
    outcome.
    """
    files = ["tests/test_my_idea.py", "tests/test_elsewhere.py", "botkit-dipper/tests/test_dipper.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--rootdir", ".", *files],
        cwd=generated,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(generated / "botkit-dipper")))},
    )
    print(done.stdout)  # pytest shows it if a test fails
    found = re.findall(r"^([A-Z]+) \S*?(\w+)\.py(?:::|$)", done.stdout, flags=re.MULTILINE)
    return Counter((file, outcome) for outcome, file in found)


def passed(outcomes: Counter[tuple[str, str]], file: str) -> int:
    """Return how many of a file's tests passed. None may have had another outcome."""
    assert {outcome for other, outcome in outcomes if other == file} == {"PASSED"}
    return outcomes[file, "PASSED"]


def test_new_generates_a_strategy_and_a_passing_test(generated: Path, outcomes: Counter[tuple[str, str]]) -> None:
    assert "class MyIdea(Strategy)" in (generated / "strategies" / "my_idea.py").read_text()
    assert passed(outcomes, "test_my_idea") == 11


def test_the_generated_test_still_passes_if_the_configuration_uses_another_pair(
    outcomes: Counter[tuple[str, str]],
) -> None:
    assert passed(outcomes, "test_elsewhere") == 11


def test_a_generated_plugin_is_found_by_its_entry_point_and_passes_its_own_tests(
    outcomes: Counter[tuple[str, str]],
) -> None:
    assert passed(outcomes, "test_dipper") == 11


def test_a_new_plugin_is_a_package_that_can_be_installed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "plugin", "dipper", "--dir", str(tmp_path)]) == 0
    root = tmp_path / "botkit-dipper"
    assert f"pip install -e {root}" in capsys.readouterr().out
    described = tomllib.loads((root / "pyproject.toml").read_text())
    assert described["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["botkit_dipper"]


def test_new_does_not_overwrite_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind, kept, name in (
        ("strategy", "configs/dip.yaml", "strategies"),
        ("plugin", "botkit-dip/tests/test_dip.py", "botkit-dip/botkit_dip"),
    ):
        assert main(["new", kind, "dip", "--dir", str(tmp_path)]) == 0
        assert (tmp_path / kept).exists()
        shutil.rmtree(tmp_path / name)
        assert main(["new", kind, "dip", "--dir", str(tmp_path)]) == 2
        assert "already exists" in capsys.readouterr().err
        assert not (tmp_path / name).exists(), "nothing is written if one of the files exists"


@pytest.mark.parametrize(
    ("name", "hint"), [("MyIdea", "my_idea"), ("my-idea", "my_idea"), ("class", ""), ("../x", "x")]
)
def test_new_refuses_names_that_are_invalid_in_python_or_in_the_file_system(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, hint: str
) -> None:
    assert main(["new", "strategy", name, "--dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert (f"write {hint}" if hint else "is not a valid strategy name") in error
    assert not list(tmp_path.iterdir())
