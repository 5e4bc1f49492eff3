"""Counts in messages use natural English singular and plural forms."""

from __future__ import annotations

import pytest

from botkit.model.counts import counted

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 orders"), (1, "1 order"), (2, "2 orders"), (12_345, "12,345 orders")]
)
def test_a_noun_gets_a_plural_s_unless_the_count_is_one(number: int, text: str) -> None:
    assert counted(number, "order") == text
