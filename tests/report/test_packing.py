"""Packed data is unchanged after unpacking, both in Python and in the browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from botkit.report.html import page_script
from botkit.report.packing import COLUMN_LEAST, EXACT, column_of, deltas, packed, unpacked
from tests.report.browser import Browser

WHOLE = st.integers(-EXACT + 1, EXACT - 1)
COLUMNS = st.lists(WHOLE | st.integers(-300, 300), min_size=COLUMN_LEAST, max_size=200)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | WHOLE | st.floats(allow_nan=False, allow_infinity=False) | st.text() | COLUMNS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_packed_data_is_unchanged_after_unpacking(data: Any) -> None:
    assert unpacked(packed(data)) == data


@given(st.lists(st.integers(-(2**60), 2**60), max_size=50))
def test_the_cumulative_sum_of_differences_restores_the_original_numbers(values: list[int]) -> None:
    total, found = 0, []
    for step in deltas(values):
        total += step
        found.append(total)
    assert found == values


def test_non_finite_numbers_are_refused() -> None:
    for data in ([float("nan")], {"a": [1, {"b": [float("inf")]}]}):
        with pytest.raises(ValueError, match="JSON compliant"):
            packed(data)


def test_the_page_unpacks_packed_data(browser: Browser, tmp_path: Path) -> None:
    data = {
        "ends": [0, -1, 1, EXACT - 1, 1 - EXACT, *range(-100, 100)],
        "short": [1, 2, 3],
        "mixed": [1, None, 2.5] * 40,
        "text": "</script> 漲跌",
        "steps": [1_250 * n for n in range(-40, 90)],
        "deep": [{"column": list(range(70_000, 70_100))}],
    }
    unpacker = page_script().split("const summed")[0].partition("{\n")[2]
    page = tmp_path / "page.html"
    drawn = "<script>document.documentElement.dataset.charts=0</script>"
    page.write_text(f"<!doctype html><p id=data>{packed(data)}</p>{drawn}")
    browser.open(page)
    text = "document.getElementById('data').textContent"
    found = browser.run(
        f"(async () => {{ {unpacker}; return JSON.stringify(await unpack({text}),"
        " (key, value) => (ArrayBuffer.isView(value) ? [...value] : value)); })()"
    )
    assert json.loads(found) == data


@given(COLUMNS)
def test_a_column_may_be_an_array(values: list[int]) -> None:
    column = column_of(np.array(values, np.int64))
    assert isinstance(column, np.ndarray)
    assert packed({"values": column}) == packed({"values": values})
    assert column.tolist() == values, "packing leaves the array as it is"
