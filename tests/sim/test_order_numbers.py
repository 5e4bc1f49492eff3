"""The set of order numbers must answer as a set does, however many numbers it has moved to its array."""

from __future__ import annotations

import random

import pytest

from botkit.sim import order_numbers
from botkit.sim.order_numbers import OrderNumbers


@pytest.mark.parametrize("seed", range(5))
def test_it_contains_exactly_the_numbers_that_were_added(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_numbers, "_NEW_LEAST", 7)
    chance, numbers, known = random.Random(seed), OrderNumbers(), set[int]()
    for _ in range(500):
        number = chance.randrange(1_000)
        assert (number in numbers) is (number in known)
        if number not in known:
            numbers.add(number)
            known.add(number)
        assert len(numbers) == len(known)
    assert [number for number in range(1_000) if number in numbers] == sorted(known)
