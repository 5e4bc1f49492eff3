"""The commands ``botkit compare``, ``botkit backtest A B`` and ``botkit strategies``, and the option
``--benchmark``.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from botkit.cli.main import main
from tests.backtest_world import write_strategy
from tests.research_world import CROSS, write_crossing

CLICKS = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create two configurations, ``one`` and ``two``, for the strategy ``s``, and three runs of them."""
    folder = tmp_path_factory.mktemp("made")
    text = write_crossing(folder).read_text(encoding="utf-8")
    for name in ("one", "two"):
        (folder / f"{name}.yaml").write_text(text.replace("name: test", f"name: {name}"), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for arguments in (["one.yaml"], ["one.yaml", "--set", "s.fast=3"], ["two.yaml", "--to", "2024-01-01T20:00"]):
            assert main(["backtest", *arguments, "--no-readings"]) == 0
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a copy of the folder with the configurations and their runs, and return it."""
    shutil.copytree(made, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_metrics_of_two_runs_and_their_differences_are_printed(place: Path, capsys: CLICKS) -> None:
    capsys.readouterr()
    assert main(["compare", "one@1", "one@2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (title,) = [line.split() for line in lines if line.startswith("Return")]
    returns = [json.loads((place / "out" / "one" / n / "summary.json").read_text())["return"] for n in "12"]
    assert " ".join(title) == "Return " + " ".join(f"{value * 100:+,.2f} %".replace("-", "−") for value in returns)
    differs = lines[lines.index("What differs") + 1 :]
    assert [line.split() for line in differs if line.startswith("s.")] == [["s.fast", "5", "3"]]
    assert not any(line.startswith(("run from", "backtest.", "name")) for line in differs)


def test_a_list_of_runs_shows_the_same_figures_as_a_comparison(place: Path, capsys: CLICKS) -> None:
    for number, fees in (("1", 0.012345), ("2", 1234.5)):
        summary = place / "out" / "one" / number / "summary.json"
        figures = json.loads(summary.read_text()) | {"return": -0.0712, "sharpe": -1.5, "fees": fees}
        summary.write_text(json.dumps(figures))
    capsys.readouterr()
    assert main(["compare", "one@1", "one@2"]) == 0
    compared = capsys.readouterr().out
    assert main(["runs", "one"]) == 0
    listed = capsys.readouterr().out
    for text in ("−7.12 %", "−1.50", "0.01234500", "1,234.50"):
        assert text in compared
        assert text in listed


def test_json_contains_every_metric_and_the_differences(place: Path, capsys: CLICKS) -> None:
    capsys.readouterr()
    assert main(["compare", "one", "two", "out/one/1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in rows] == ["one@2", "two", "one@1"]
    assert [row["differs"]["s.fast"] for row in rows] == ["3", "5", "5"]
    assert [row["differs"]["name"] for row in rows] == ["one", "two", "one"]
    assert len({row["differs"]["run to"] for row in rows}) == 2
    assert rows[2]["journal_sha256"] == json.loads((place / "out/one/1/summary.json").read_text())["journal_sha256"]
    assert not (place / "out" / "comparison.html").exists()


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)


def test_the_comparison_page_draws_all_curves_and_contains_no_script(place: Path, capsys: CLICKS) -> None:
    assert main(["compare", "one@1", "one@2", "two", "--page", "pages/all.html"]) == 0
    assert "Page: pages/all.html" in capsys.readouterr().out
    text = (place / "pages" / "all.html").read_text(encoding="utf-8")
    page = Elements(text)
    assert page.tags.count("polyline") == 6  # three equity curves and three drawdown curves
    assert "script" not in page.tags
    assert "default-src 'none'; style-src" in text
    assert "the runs cover different spans" in text


def test_a_configuration_name_cannot_break_the_page(place: Path) -> None:
    hostile = "<script>alert(1)</script>"
    summary = place / "out" / "two" / "1" / "summary.json"
    summary.write_text(json.dumps({**json.loads(summary.read_text()), "currency": hostile}), encoding="utf-8")
    config = place / "out" / "two" / "1" / "config.yaml"
    config.write_text(config.read_text() + f'extra: "{hostile}"\n', encoding="utf-8")
    assert main(["compare", "one", "two", "--page", "page.html"]) == 0
    assert "script" not in Elements((place / "page.html").read_text(encoding="utf-8")).tags


def test_runs_can_be_referenced_by_their_names_in_the_list_of_runs(place: Path, capsys: CLICKS) -> None:
    assert main(["runs"]) == 0
    assert "one/1 " in capsys.readouterr().out
    assert main(["compare", "one/1", "one/2"]) == 0
    assert main(["compare", "one/1", "one/7"]) == 2
    assert "one has no run 7 in out; it has 1, 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["one"], "a comparison needs two runs or more, such as `botkit compare sma-cross@1 sma-cross@2`"),
        (["one", "onne"], "there is no folder onne, and no backtest of that name in out; did you mean `one`?"),
        (["one", "one@7"], "one has no run 7 in out; it has 1, 2"),
        (["one", "plugins"], "plugins is not the folder of a backtest: its summary.json is missing"),
        (["one", "two", "--page", "one.yaml/x.html"], "--page one.yaml/x.html cannot be written: "),
        (
            ["one", "two", "--out", "empty"],
            "there is no folder one, and no backtest of that name in empty; run one with",
        ),
    ],
)
def test_a_missing_run_is_named_in_the_error(place: Path, capsys: CLICKS, arguments: list[str], said: str) -> None:
    capsys.readouterr()
    assert main(["compare", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_a_damaged_run_is_named_in_the_error(place: Path, capsys: CLICKS) -> None:
    (place / "out" / "one" / "2" / "equity.csv").write_text("nonsense\n1\n")
    assert main(["compare", "one@1", "one@2"]) == 2
    assert "out/one/2/equity.csv cannot be read" in capsys.readouterr().err
    shutil.rmtree(place / "out" / "one" / "2")
    assert main(["compare", "one@1", "one@2"]) == 2


def test_several_configurations_can_be_run_and_compared(place: Path, capsys: CLICKS) -> None:
    capsys.readouterr()
    assert main(["backtest", "one.yaml", "two.yaml", "--set", "s.fast=7", "--benchmark", "buy-and-hold"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("Report: ") == 2
    assert re.search(r"^What differs\s+one\s+two\s+name\s+one\s+two\s+Page", printed, flags=re.MULTILINE)
    page = (place / "out" / "comparison.html").read_text(encoding="utf-8")
    assert page.count("<polyline") == 6  # two curves and the shared benchmark line, with their drawdowns
    assert "buy-and-hold" in page
    for name in ("one", "two"):
        folder = place / "out" / name / "latest"
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["benchmark"]["return"] == pytest.approx(summary["buy_and_hold_return"], rel=1e-3)
        with (folder / "equity.csv").open(encoding="utf-8", newline="") as file:
            last = list(csv.DictReader(file))[-1]
        assert float(last["buy-and-hold"]) == pytest.approx(10_000 * (1 + summary["buy_and_hold_return"]), rel=1e-4)
        assert "fast: 7" in (folder / "config.yaml").read_text()


def test_json_output_for_several_configurations_is_a_list(place: Path, capsys: CLICKS) -> None:
    capsys.readouterr()
    assert main(["backtest", "one.yaml", "two.yaml", "--json", "--no-readings"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["one", "two"]
    assert main(["backtest", "one.yaml", "--json", "--no-readings"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "one"


def test_several_runs_with_a_single_output_folder_are_refused_before_the_first_run_starts(
    place: Path, capsys: CLICKS
) -> None:
    assert main(["backtest", "one.yaml", "two.yaml", "--out", "here"]) == 2
    assert "--out is the folder of a single run, but several configurations are given" in capsys.readouterr().err
    assert not (place / "here").exists()
    assert main(["backtest", "one.yaml", "--benchmark", "gold"]) == 2


# -- strategies -------------------------------------------------------------------------------------------------------


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_strategy(tmp_path, CROSS)
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "dip.py").write_text(
        "from typing import Literal\nfrom botkit import Pair, Strategy, hookimpl, param\n\n\n"
        'class Dip(Strategy):\n    """Buys dips.\n\n    And [bold]hopes[/bold].\n    """\n\n'
        '    pair: Pair\n    deep: float = param(2.5, gt=0, lt=50, live=True, doc="percent [below] the last high")\n'
        "    bars: int = param(ge=1, le=500)\n    names: list[str] = param(['a', 'b'])\n"
        '    mode: Literal["long", "both"] = "long"\n    stop: float | None = None\n    eager: bool = True\n\n\n'
        '@hookimpl\ndef botkit_register_strategies(register):\n    register("dip", Dip)\n'
    )
    return tmp_path


def test_strategies_are_listed_with_their_parameters(offered: Path, capsys: CLICKS) -> None:
    assert main(["strategies"]) == 0
    assert re.search(
        r"^dip +Buys dips\. +pair, deep, bars, names, mode, stop, eager +strategies/dip\.py$",
        "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines()),
        flags=re.MULTILINE,
    )
    assert main(["strategies", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["plugin"], row["summary"]) == ("dip", "dip", "Buys dips.")
    found = {
        p["name"]: (p["kind"], p["required"], p["default"], p["bounds"], p["live"], p["doc"]) for p in row["parameters"]
    }
    assert found == {
        "pair": ("pair", True, "", "", False, ""),
        "deep": ("number", False, "2.5", "above 0, below 50", True, "percent [below] the last high"),
        "bars": ("whole number", True, "", "1 to 500", False, ""),
        "names": ("list of texts", False, "[a, b]", "", False, ""),
        "mode": ("one of long, both", False, "long", "", False, ""),
        "stop": ("number, or null", False, "null", "", False, ""),
        "eager": ("true or false", False, "true", "", False, ""),
    }


def test_the_source_text_of_a_strategy_is_printed_unchanged(offered: Path, capsys: CLICKS) -> None:
    assert main(["strategies", "dip"]) == 0
    printed = capsys.readouterr().out
    assert "And [bold]hopes[/bold]." in printed
    assert re.search(
        r"^deep +number +2.5 +above 0, below 50 +yes +percent \[below\] the last high", printed, re.MULTILINE
    )
    assert re.search(r"^bars +whole number +required +1 to 500", printed, re.MULTILINE)


def test_the_strategies_available_to_a_configuration_are_listed(offered: Path, capsys: CLICKS) -> None:
    (offered / "bot.yaml").write_text("plugins: [plugins]\nstrategies: [{use: scripted, params: {pair: btc_usdt}}]\n")
    assert main(["strategies", "--config", "bot.yaml", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["scripted"]
    assert main(["strategies", "scripted", "--config", "bot.yaml"]) == 0
    assert main(["strategies", "dip", "--config", "bot.yaml"]) == 2


def test_an_unknown_strategy_name_gets_a_suggestion(offered: Path, capsys: CLICKS) -> None:
    assert main(["strategies", "dib"]) == 2
    assert "there is no strategy named `dib`; did you mean `dip`?" in capsys.readouterr().err


def test_if_there_are_no_strategies_a_hint_explains_how_to_write_one(
    tmp_path: Path, monkeypatch, capsys: CLICKS
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["strategies"]) == 0
    assert capsys.readouterr().out.startswith("no plugin offers a strategy; write one with `botkit new strategy NAME`")
