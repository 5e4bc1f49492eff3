"""Numbers in a CSV file that would crash the process or that make no sense are refused before any library casts
them.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

FIGURES = ("1e-9999999", "1e9999999", "1e-999", "1e99999999999999999999", "0x10", "١")
COLUMNS = ("time", "price", "amount")
#: imports each file with the command, and prints [file, exit code, messages] on one line per file, until a file crashes
#: the process
READER = """
import contextlib, io, json, sys
from botkit.cli.main import main
for file in sys.argv[1:]:
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main(["data", "info", file, "--pair", "btc_usdt"])
    print(json.dumps([file, code, said.getvalue()]), flush=True)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[int, str]]:
    """Return the exit code and the error message for each file that a separate process imported before it exited, keyed
    by column and number.
    """
    files = {}
    for column, figure in itertools.product(COLUMNS, FIGURES):
        good = {"time": "1735689600", "price": "86000", "amount": "0.01"}
        bad = {**good, "time": "1735689601", column: figure}
        rows = [",".join(row.values()) for row in (good, bad)]
        file = tmp_path_factory.mktemp("figure") / "t.csv"
        file.write_text("time,price,amount\n" + "\n".join(rows) + "\n", encoding="utf-8")
        files[str(file)] = column, figure
    done = subprocess.run(
        [sys.executable, "-c", READER, *files],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    return {files[file]: (code, text) for file, code, text in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("column", COLUMNS)
def test_a_number_that_cannot_be_a_price_is_reported_in_one_line_without_a_crash(
    said: dict[tuple[str, str], tuple[int, str]], figure: str, column: str
) -> None:
    assert (column, figure) in said, "the process crashed by this figure or an earlier one"
    code, error = said[column, figure]
    assert code == 2
    assert f"t.csv:3: {column}" in error
    assert "Traceback" not in error
