"""Figures in a CSV file that would crash the process, or are meaningless, are refused before any library casts them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("figure", ["1e-9999999", "1e9999999", "1e-999", "1e99999999999999999999", "0x10", "١"])
@pytest.mark.parametrize("column", ["time", "price", "amount"])
def test_a_figure_that_cannot_be_a_price_gives_one_line_and_no_crash(tmp_path: Path, figure: str, column: str) -> None:
    good = {"time": "1735689600", "price": "86000", "amount": "0.01"}
    bad = {**good, "time": "1735689601", column: figure}
    rows = [",".join(row.values()) for row in (good, bad)]
    file = tmp_path / "t.csv"
    file.write_text("time,price,amount\n" + "\n".join(rows) + "\n", encoding="utf-8")
    code = (
        "import sys; from botkit.cli.main import main; "
        "sys.exit(main(['data', 'info', sys.argv[1], '--pair', 'btc_usdt']))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert found.returncode == 2, found
    assert f"t.csv:3: {column}" in found.stderr
    assert "Traceback" not in found.stderr
