"""A notebook executed by a real kernel, and the outputs of its cells."""

from __future__ import annotations

import asyncio
import html
import re
from pathlib import Path
from typing import Any

import pytest

from tests.backtest_world import ROOT

NOTEBOOK = Path(__file__).with_name("two_averages.ipynb")


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Execute the notebook and return the outputs of each code cell."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "backtest_data").symlink_to(ROOT / "backtest_data", target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        client = nbclient.NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        )
        asyncio.run(client.async_execute())
    return [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]


def shown(outputs: list[dict[str, Any]], kind: str) -> str:
    """Return the value of a cell's last expression in one of its display formats."""
    (output,) = [output for output in outputs if output["output_type"] == "execute_result"]
    return "".join(output["data"][kind])


def printed(outputs: list[dict[str, Any]]) -> list[str]:
    return "".join(output["text"] for output in outputs if output["output_type"] == "stream").splitlines()


def test_no_cell_fails_or_warns(executed: list[list[dict[str, Any]]]) -> None:
    assert len(executed) == 9
    for outputs in executed:
        assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]


def test_a_backtest_runs_inside_the_notebooks_event_loop(executed: list[list[dict[str, Any]]]) -> None:
    assert shown(executed[0], "text/plain") == "True"
    text = shown(executed[3], "text/plain")
    assert re.fullmatch(r"<backtest Cross: return \S+ %, drawdown \S+ %, Sharpe \S+, \d+ trades>", text)


def test_a_result_is_displayed_as_metrics_and_curves_without_scripts(executed: list[list[dict[str, Any]]]) -> None:
    page = shown(executed[3], "text/html")
    assert "<script" not in page
    assert len(page.encode()) < 200_000
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    for word in ("Cross", "Return", "Max drawdown", "Sharpe", "buy-and-hold", "USDT", "synthetic market"):
        assert word in text
    assert page.count("<polyline") == 4
    plot = shown(executed[5], "text/html")
    assert plot.startswith("<svg")
    assert plot in page


def test_tables_are_displayed_as_pandas_displays_them(executed: list[list[dict[str, Any]]]) -> None:
    candles = shown(executed[2], "text/html")
    assert all(f"<th>{name}</th>" in candles for name in ("open", "high", "low", "close", "volume"))
    assert "2025-04-02 23:59:00+00:00" in candles
    trades = shown(executed[4], "text/html")
    assert trades.count("<tr") == 6
    assert "signal" in trades
    months = shown(executed[6], "text/html")
    assert [month for month in ("2025-01", "2025-02", "2025-03") if month in months] == [
        "2025-01",
        "2025-02",
        "2025-03",
    ]


def test_a_modified_class_can_be_run_again_and_a_mistake_is_reported_in_one_sentence(
    executed: list[list[dict[str, Any]]],
) -> None:
    line, same = printed(executed[7])
    assert line.startswith("<backtest Cross: return")
    assert same == "False"
    (sentence,) = printed(executed[8])
    assert sentence == ("Cross.fsat=5: fsat: Cross has no such parameter; did you mean fast?; it has pair, fast, slow")
