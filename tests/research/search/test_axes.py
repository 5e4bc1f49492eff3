"""The ranges of a search, as written on the command line."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botkit import Pair, param
from botkit.engine.strategy.parameter_classes import parameters_of
from botkit.errors import ConfigError
from botkit.research.search.axes import Axis, Choices, Range, parse_axis, points_of_grid


class Side(Enum):
    LONG = "long"
    SHORT = "short"


class Searched:
    pair: Pair
    fast: int = param(10, ge=1, le=500)
    share: float = param(0.5, gt=0, le=1)
    spend: Decimal = Decimal("1.5")
    resolution: str = "1m"
    mode: Literal["a", "b"] = "a"
    side: Side = Side.LONG
    is_on: bool = True
    stop: float | None = None
    weights: list[float] = param([0.5, 0.5])


PARAMETERS = {"sma": parameters_of(Searched), "my-bot": parameters_of(Searched)}


def parse(text: str) -> Axis:
    return parse_axis(text, PARAMETERS, {})


def values(text: str) -> tuple[object, ...]:
    axis = parse(text)
    assert isinstance(axis, Choices)
    return axis.values


def test_a_range_includes_both_ends() -> None:
    assert values("sma.fast=5:50:5") == tuple(range(5, 51, 5))
    assert values("sma.fast=7:7:1") == (7,)


def test_a_range_of_decimals_is_exact() -> None:
    assert values("sma.share=0.1:0.3:0.1") == (0.1, 0.2, 0.3)
    assert values("sma.spend=0.1:0.3:0.1") == ("0.1", "0.2", "0.3")


@given(st.integers(1, 400), st.integers(1, 20), st.integers(0, 20))
def test_a_range_of_integers_contains_exactly_the_values_at_its_steps(low: int, step: int, count: int) -> None:
    high = min(low + step * count, 500 - (500 - low) % step)
    assert values(f"sma.fast={low}:{high}:{step}") == tuple(range(low, high + 1, step))


def test_listed_values_keep_their_type() -> None:
    assert values("sma.resolution=1m,5m") == ("1m", "5m")
    assert values("sma.fast=5, 10") == (5, 10)
    assert values("sma.is_on=true,false") == (True, False)
    assert values("sma.mode=b,a") == ("b", "a")
    assert values("sma.side=long,short") == ("long", "short")
    assert values("my-bot.fast=3") == (3,)
    assert values("sma.stop=1,2.5") == (1.0, 2.5)


def test_a_range_without_a_step_covers_both_ends() -> None:
    axis = parse("sma.share=0.1:1")
    assert axis == Range("sma.share", 0.1, 1.0, is_log=False, is_whole=False)
    assert (axis.at(0), axis.at(0.5), axis.at(1)) == (0.1, 0.55, 1.0)


def test_the_midpoint_of_a_logarithmic_range_is_its_geometric_mean() -> None:
    axis = parse("sma.share=0.001:0.1:log")
    assert isinstance(axis, Range)
    assert (axis.at(0), axis.at(0.5), axis.at(1)) == (0.001, 0.01, 0.1)


def test_a_range_for_an_integer_parameter_yields_integers() -> None:
    axis = parse("sma.fast=1:100:log")
    assert isinstance(axis, Range)
    assert [axis.at(share) for share in (0, 0.5, 1)] == [1, 10, 100]
    assert isinstance(axis.at(0.3), int)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fast=1:2:1", "write STRATEGY.PARAMETER=RANGE"),
        ("sma.fast", "write STRATEGY.PARAMETER=RANGE"),
        ("sma.fast=", "write STRATEGY.PARAMETER=RANGE"),
        ("smb.fast=1", "there is no strategy 'smb'; the configuration has sma, my-bot"),
        ("sma.fats=1", "sma has no parameter 'fats'; it has pair, fast"),
        ("sma.fast=5:52:5", "do not reach 52; end at 50 or 55"),
        ("sma.fast=9:5:1", "the range is empty"),
        ("sma.fast=1:5:0", "the step must be above 0"),
        ("sma.fast=1:5:x", "'x' is not a number"),
        ("sma.fast=1:5:1:1", "a range is LOW:HIGH"),
        ("sma.fast=1:501:1", "must be at most 500"),
        ("sma.fast=1:5:0.5", "must be a whole number"),
        ("sma.fast=1,1", "listed twice"),
        ("sma.fast=1,,2", "is not a plain number"),
        ("sma.share=0:1:log", "must be above 0"),
        ("sma.resolution=1:5:1", "list its values"),
        ("sma.weights=1", "must be a list of numbers"),
        ("sma.spend=0:1000000:0.0001", "at most 100,000 are possible"),
        ("sma.spend=1:1e999999:1", "is not a finite number"),
        ("sma.spend=nan:1:1", "is not a finite number"),
    ],
)
def test_a_mistake_in_a_range_is_reported_with_the_argument(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text)
    assert says in str(raised.value)
    assert str(raised.value).startswith(f"--param {text}: ")


def test_a_grid_search_requires_a_step() -> None:
    assert points_of_grid([parse("sma.fast=1:10:1"), parse("sma.resolution=1m,5m")]) == 20
    with pytest.raises(ConfigError, match="a grid needs steps"):
        points_of_grid([parse("sma.share=0.1:0.5")])
