"""The option ``--where``: the conditions that it accepts, and those that it refuses."""

from __future__ import annotations

import pytest

from botkit.errors import ConfigError
from botkit.research.search.where import Where

NAMES = {"sma.fast": 5, "sma.slow": 20, "my-bot.mode": "a", "sma.fast_too": 1}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("sma.fast < sma.slow", True),
        ("sma.fast*4 >= sma.slow", True),
        ("sma.fast*4 > sma.slow", False),
        ("1 < sma.fast < 5", False),
        ("sma.fast == 5 and not sma.slow == 5", True),
        ("sma.fast == 6 or sma.slow == 6", False),
        ("my-bot.mode == 'a'", True),
        ("sma.slow - sma.fast_too == 19", True),
        ("-sma.fast < 0", True),
        ("sma.fast / 0 > 1", False),
    ],
)
def test_a_condition_is_evaluated(text: str, holds: bool) -> None:
    assert Where(text, NAMES).holds(NAMES) is holds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sma.fats < 3", "sma.fats is not a parameter; the parameters are sma.fast"),
        ("sma.fast <", "this is not a condition"),
        ("", "this is not a condition"),
        ("__import__('os').system('true')", "is not supported"),
        ("sma.fast.__class__", "is not a parameter"),
        ("sma.fast ** 99 > 1", "is not supported"),
        ("sma.fast in (1, 2)", "is not supported"),
        ("p0 < pp1", "is not a parameter"),
        ("[x for x in 'abc']", "is not supported"),
        ("lambda: 1", "is not supported"),
        ("(" * 5000, "this is not a condition"),
    ],
)
def test_any_other_expression_is_refused_before_it_is_evaluated(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Where(text, NAMES)
    assert says in str(raised.value)


def test_values_that_are_not_comparable_are_named_in_the_error() -> None:
    with pytest.raises(ConfigError, match="'<' not supported"):
        Where("my-bot.mode < 3", NAMES).holds(NAMES)
