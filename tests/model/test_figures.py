"""Numbers formatted for people: separators, fixed decimals, and no negative zero."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.figures import amount_figure, fixed, money_figure, price_figure, separated

RULES = packaged_pairs()["btc_usdt"].rules


@pytest.mark.parametrize(
    ("value", "decimals", "signed", "text"),
    [
        (-0.0, 2, False, "0.00"),
        (-0.004, 2, True, "0.00"),
        (0.004, 2, True, "0.00"),
        (-0.4, 0, False, "0"),
        (1234567.891, 2, True, "+1,234,567.89"),
        (-1234.5, 1, False, "−1,234.5"),
        (5.0, 0, True, "+5"),
    ],
)
def test_zero_has_no_sign_and_thousands_are_separated(value: float, decimals: int, signed: bool, text: str) -> None:
    assert fixed(value, decimals, signed=signed) == text


@pytest.mark.parametrize(
    ("value", "text"), [(-1234.5, "−1,234.50"), (0.5, "+0.5000"), (-0.00012345, "−0.00012345"), (1e-9, "0.00")]
)
def test_small_amounts_of_money_have_more_decimals(value: float, text: str) -> None:
    assert money_figure(value, signed=True) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**12), max_value=10**12))
def test_separators_do_not_change_the_value_of_a_number(number: Decimal) -> None:
    text = separated(f"{number:f}")
    assert Decimal(text.replace(",", "").replace("−", "-")) == number
    assert all(len(group) == 3 for group in text.split(".")[0].split(",")[1:])


def test_text_that_is_not_a_number_is_unchanged() -> None:
    assert [separated(text) for text in ("market", "", "-", "1e5", "-0.5")] == ["market", "", "-", "1e5", "−0.5"]


def test_prices_show_all_decimals_of_their_pair_and_amounts_only_the_necessary_ones() -> None:
    assert price_figure(RULES, 10_473_010) == "104,730.10"
    assert price_figure(RULES, 5) == "0.05"
    assert amount_figure(RULES, 120_050_000_000) == "1,200.5"
    assert amount_figure(RULES, 0) == "0"
