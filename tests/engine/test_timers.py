"""Strategy timers: firing times, missed firings, and the order of simultaneous events."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from botkit.model.clock import NS_PER_DAY, NS_PER_HOUR
from botkit.model.inputs import Restore
from tests.engine_world import BTC, MINUTE, RICH, T0, Bot, Listener, S


def bot(deed: Any, **more: Any) -> Bot:
    return Bot(Listener(start=deed), **more)


def rings(b: Bot) -> list[tuple[str, float, int]]:
    return [(timer.name, (timer.due - T0) / S, timer.missed) for timer in b.s.of("timer")]


def test_a_timer_with_every_s_is_aligned_to_the_epoch() -> None:
    b = bot(lambda s: None)
    b.to(7)
    b.s.set_timer(every_s=60)
    b.end_turn()
    b.to(190)
    assert rings(b) == [("timer", 60, 0), ("timer", 120, 0), ("timer", 180, 0)]


def test_cron_timers_fire_in_the_configured_time_zone() -> None:
    b = bot(lambda s: s.set_timer(cron="0 9 * * *"), zone=ZoneInfo("Asia/Taipei"))
    b.to(NS_PER_HOUR / S)
    assert b.s.local_time.hour == 9
    b.to(NS_PER_DAY / S)
    assert [timer.due for timer in b.s.of("timer")] == [T0 + NS_PER_HOUR]  # T0 is 08:00 in that time zone


def test_after_a_clock_jump_a_timer_fires_once_and_counts_the_missed_firings() -> None:
    b = bot(lambda s: s.set_timer(every_s=10))
    b.now = T0 + 47 * S
    b.tell(None)
    assert rings(b) == [("timer", 10, 3)]
    b.to(50)
    assert rings(b)[-1] == ("timer", 50, 0)


def test_a_timer_fires_once_for_firings_missed_during_downtime_if_requested() -> None:
    for missed, expected in (("once", [("timer", 0, 3)]), ("skip", [])):
        b = bot(lambda s: None, start=False)
        b.begin(Restore(balances=RICH, kept={"s0": {"state": {}, "timers": {"timer": T0 - 3 * MINUTE}}}))
        b.s.set_timer(every_s=60, missed=missed)
        b.end_turn()
        assert rings(b) == expected
        b.to(60)
        assert rings(b) == [*expected, ("timer", 60, 0)]


def test_setting_a_timer_with_an_existing_name_replaces_it() -> None:
    b = bot(lambda s: (s.set_timer(every_s=10), s.set_timer(every_s=25), s.set_timer("other", every_s=20)))
    b.to(50)
    assert rings(b) == [("other", 20, 0), ("timer", 25, 0), ("other", 40, 0), ("timer", 50, 0)]


def test_a_cancelled_timer_does_not_fire() -> None:
    b = bot(lambda s: s.set_timer(every_s=10))
    b.to(10)
    b.s.cancel_timer()
    b.s.cancel_timer("never set")
    b.to(100)
    assert len(rings(b)) == 1
    assert not b.engine.view.has_timers()


def test_timers_due_at_the_same_time_fire_in_the_order_in_which_they_were_set() -> None:
    b = bot(lambda s: (s.set_timer("b", every_s=10), s.set_timer("a", every_s=5)))
    b.to(10)
    assert [name for name, due, _ in rings(b) if due == 10] == ["b", "a"]


def test_a_timer_fires_after_simultaneous_bars_and_its_orders_are_sent_in_the_same_turn() -> None:
    def start(s: Any) -> None:
        s.subscribe_trades(BTC)
        s.subscribe_bars(BTC, "1m")
        s.set_timer(every_s=60)

    b = Bot(Listener(start=start, timer=lambda s, _: s.buy(BTC, amount=1, price=900)))
    b.trade(1_000)
    b.to(60)
    assert [name for name, _ in b.s.heard if name != "order"] == ["trade", "bar", "timer"]
    assert len(b.requests) == 1


def test_timers_of_a_stopped_strategy_do_not_fire() -> None:
    b = bot(lambda s: s.set_timer(every_s=10))
    b.break_strategy()
    assert not b.engine.view.has_timers()


@pytest.mark.parametrize("wrong", [{}, {"every_s": 0}, {"every_s": 1, "cron": "* * * * *"}, {"cron": "61 * * * *"}])
def test_an_invalid_timer_is_refused_with_a_reason(wrong: Any) -> None:
    b = bot(lambda s: None)
    with pytest.raises(ValueError, match=r"such as|every_s=60"):
        b.s.set_timer(**wrong)
