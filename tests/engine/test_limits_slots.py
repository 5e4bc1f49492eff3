"""A single rate-limit window: how slots are taken and freed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.engine.router.windows import SlotLog, hold_ns
from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.limits import Scope, WindowLimit

WINDOW = WindowLimit(3, 1, Scope.IP)
HOLD = hold_ns(NS_PER_S)
T0 = 1_000 * NS_PER_S


def test_a_slot_is_held_for_the_window_length_plus_a_margin_for_clock_differences() -> None:
    assert hold_ns(60 * NS_PER_S) == 60 * NS_PER_S + 6 * NS_PER_MS + 2 * NS_PER_MS


def test_a_slot_becomes_free_exactly_one_window_after_the_response() -> None:
    log = SlotLog(WINDOW)
    log.take()
    assert log.free(T0 + 10 * NS_PER_S) == 2  # there is no response yet, so the slot is still held
    log.release(T0 + 10 * NS_PER_S)
    assert log.free(T0 + 10 * NS_PER_S + HOLD - 1) == 2
    assert log.free(T0 + 10 * NS_PER_S + HOLD) == 3


def test_an_unsent_request_returns_its_slot_immediately() -> None:
    log = SlotLog(WINDOW)
    log.take()
    log.give_back()
    assert log.free(T0) == 3


def test_no_slot_is_freed_early_when_the_clock_is_set_back() -> None:
    log = SlotLog(WINDOW)
    log.take()
    log.take()
    log.release(T0 + NS_PER_S)
    log.release(T0)
    assert log.free(T0 + NS_PER_S + HOLD - 1) == 1
    assert log.free(T0 + NS_PER_S + HOLD) == 3


def test_a_request_with_an_unknown_outcome_holds_its_slot_until_one_window_after_its_latest_arrival_time() -> None:
    log = SlotLog(WINDOW)
    log.take()
    log.hold_late(7, T0 + 900 * NS_PER_S)
    assert log.free(T0 + 900 * NS_PER_S + HOLD - 1) == 2
    assert log.free(T0 + 900 * NS_PER_S + HOLD) == 3


def test_resolving_an_unknown_outcome_can_only_shorten_the_hold() -> None:
    log = SlotLog(WINDOW)
    log.take()
    log.hold_late(7, T0 + 900 * NS_PER_S)
    log.shorten(7, T0 + 5 * NS_PER_S)
    log.shorten(7, T0 + 60 * NS_PER_S)
    log.shorten(8, T0)  # this key never held a slot, so nothing changes
    assert log.free(T0 + 5 * NS_PER_S + HOLD - 1) == 2
    assert log.free(T0 + 5 * NS_PER_S + HOLD) == 3


def test_with_all_slots_in_flight_the_next_free_time_is_unknown_until_a_response_arrives() -> None:
    log = SlotLog(WINDOW)
    for _ in range(3):
        log.take()
    assert log.open_at(T0, 1) is None
    log.release(T0)
    assert log.open_at(T0, 1) == T0 + HOLD
    assert log.open_at(T0, 2) is None


def test_a_lowered_limit_recovers_gradually_with_each_window() -> None:
    log = SlotLog(WindowLimit(100, 1, Scope.IP))
    log.lower(T0)
    assert log.limit == 80
    log.lower(T0)
    assert log.limit == 64
    assert log.free(T0 + NS_PER_S - 1) == 64
    assert log.free(T0 + NS_PER_S) == 69
    assert log.free(T0 + 60 * NS_PER_S) == 100


def test_a_limit_is_never_lowered_below_the_larger_of_one_and_a_quarter_of_its_original_value() -> None:
    many, one = SlotLog(WindowLimit(100, 1, Scope.IP)), SlotLog(WindowLimit(1, 1, Scope.IP))
    for _ in range(30):
        many.lower(T0)
        one.lower(T0)
    assert many.limit == 25
    assert one.limit == 1


@settings(max_examples=200, deadline=None)
@given(
    deeds=st.lists(
        st.tuples(
            st.sampled_from(["take", "take", "release", "late", "shorten", "lower", "back"]), st.integers(0, 900)
        ),
        max_size=60,
    ),
    needed=st.integers(1, 3),
)
def test_slots_become_free_exactly_at_the_announced_time(deeds: list[tuple[str, int]], needed: int) -> None:
    log = SlotLog(WindowLimit(5, 1, Scope.IP))
    now, on_their_way, late = T0, 0, 0
    for deed, wait_ms in deeds:
        now += wait_ms * NS_PER_MS
        free = log.free(now)
        if deed == "take" and free > 0:
            log.take()
            on_their_way += 1
        elif deed == "release" and on_their_way:
            log.release(now)
            on_their_way -= 1
        elif deed == "back" and on_their_way:
            log.give_back()
            on_their_way -= 1
        elif deed == "late" and on_their_way:
            late += 1
            log.hold_late(late, now + 3 * NS_PER_S)
            on_their_way -= 1
        elif deed == "shorten" and late:
            log.shorten(late, now)
        elif deed == "lower":
            log.lower(now)
        at = log.open_at(now, needed)
        if at is None:
            # (open_at advances the log time, so the example ends here)
            assert log.free(now + 100 * NS_PER_S) < needed
            return
        assert at >= now
        assert log.held(now) >= on_their_way
    if deeds and (at := log.open_at(now, needed)) is not None and at > now:
        assert log.free(at - 1) < needed
        assert log.free(at) >= needed


_DEEDS = st.lists(
    st.tuples(st.sampled_from(["take", "take", "release", "late", "lower", "wait"]), st.integers(0, 2_500)), max_size=40
)


@given(_DEEDS, st.integers(0, 2))
@settings(max_examples=300)
def test_taking_a_slot_directly_is_equivalent_to_checking_for_a_free_slot_first(
    deeds: list[tuple[str, int]], kept: int
) -> None:
    at_once, asked = SlotLog(WINDOW), SlotLog(WINDOW)
    now, flying = T0, 0
    for key, (deed, ms) in enumerate(deeds):
        if deed == "take":
            free = asked.free(now)
            if free > kept:
                asked.take()
                flying += 1
            assert at_once.take_beyond(kept, now, None) == free
        elif deed == "wait":
            now += ms * NS_PER_MS
        elif deed == "lower":
            at_once.lower(now)
            asked.lower(now)
        elif flying:
            flying -= 1
            for log in (at_once, asked):
                if deed == "late":
                    log.hold_late(key, now + ms * NS_PER_MS)
                else:
                    log.release(now)
        assert (at_once.held(now), at_once.peak) == (asked.held(now), asked.peak)
