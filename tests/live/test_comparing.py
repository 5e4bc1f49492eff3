"""Tests for comparisons with the exchange: when they run, and that no event that occurs during a comparison is
missed.
"""

from __future__ import annotations

from botkit.engine.outcome import Outcome
from botkit.engine.outcome_parts import Comparison, Reply
from botkit.live.comparing import EVERY, Comparisons
from botkit.live.notices import Notices
from botkit.model.clock import NS_PER_S
from botkit.model.inputs import Compare, Input

START = 1_700_000_000 * NS_PER_S


class Asked:
    """Runs comparisons with a stand-in engine that only counts requests."""

    def __init__(self) -> None:
        self.count = 0
        self.comparisons = Comparisons(Notices(), lambda kind, text: None, say=self._say, others=(), speed=1.0)

    def _say(self, given: Input) -> Reply:
        assert given == Compare()
        self.count += 1
        return Reply()

    def end(self, began: int, now: int) -> bool:
        """Finish the comparison in progress. Return True if another comparison must follow."""
        out = Outcome()
        out.comparisons.append(Comparison(began=began))
        return self.comparisons.came_out(out, now)


def test_a_suspected_discrepancy_during_a_comparison_triggers_another_comparison() -> None:
    asked = Asked()
    asked.comparisons.at_once()
    asked.comparisons.suspect(START + NS_PER_S)
    for second in range(30):  # duration of a read during the comparison
        asked.comparisons.look(START + second * NS_PER_S)
    assert asked.count == 1
    assert not asked.end(START, START + 30 * NS_PER_S)
    asked.comparisons.look(START + 31 * NS_PER_S)
    assert asked.count == 1  # the next comparison waits, because its reads must leave slots for others
    asked.comparisons.look(START + 41 * NS_PER_S)
    assert asked.count == 2


def test_requests_during_a_comparison_trigger_another_comparison_right_after_it() -> None:
    asked = Asked()
    for _ in range(3):  # as when streams reconnect or the machine wakes up
        asked.comparisons.at_once()
    assert asked.count == 1
    assert asked.end(START, START + NS_PER_S)
    asked.comparisons.at_once()
    assert asked.count == 2
    assert not asked.end(START + NS_PER_S, START + 2 * NS_PER_S)


def test_a_slow_comparison_is_not_requested_again_at_every_check() -> None:
    asked = Asked()
    asked.comparisons.look(START)
    assert asked.count == 1
    for second in range(3 * EVERY // NS_PER_S):
        asked.comparisons.look(START + second * NS_PER_S)
    assert asked.count == 1
