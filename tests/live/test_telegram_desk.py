"""Tests how a Telegram bot handles messages and stays within Telegram's limits, without a network or a clock."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.live.commands import CommandFailed
from botkit.live.notifications.telegram.chat import COMMANDS, ChatDesk
from botkit.live.notifications.telegram.pace import SendPace
from botkit.live.notifications.telegram.sender import TEXT_MAX, clipped
from botkit.model.clock import NS_PER_S

S = NS_PER_S
CHAT, USER, GROUP = 424242, 515151, -100777
START = 1_790_000_000 * S


class FakeBot:
    """A bot that records the commands it receives."""

    def __init__(self, name: str, mode: str = "live", since: int = START) -> None:
        self.name, self.mode, self.since = name, mode, since
        self.done: list[tuple[str, str | None]] = []
        self.failure = ""

    def do(self, command: str, strategy: str | None) -> str:
        self.done.append((command, strategy))
        if self.failure:
            raise CommandFailed(self.failure)
        return f"{command} of {self.name}"


class Desk:
    """A desk with its bots and its user. The test advances its clock."""

    def __init__(self, *bots: FakeBot) -> None:
        self.bots = list(bots)
        self.now = START + 3_600 * S
        self.said: list[tuple[int, str]] = []
        self.buttons: list[dict[str, str]] = []
        self.closed: list[tuple[str, str]] = []
        numbers = itertools.count()
        self.desk = ChatDesk(bots=self._reachable, chat=self, now=lambda: self.now, code=lambda: f"c{next(numbers)}")
        self.desk.username = "our_bot"

    def _reachable(self, chat: int, user: int) -> Sequence[FakeBot]:
        return self.bots if (chat, user) in ((CHAT, USER), (GROUP, USER)) else []

    def say(self, chat: int, text: str, buttons: Sequence[tuple[str, str]] = ()) -> None:
        self.said.append((chat, text))
        if buttons:
            self.buttons.append({label.split()[0]: data for label, data in buttons})

    def close_question(self, press: str, note: str, chat: int, message: int) -> None:
        self.closed.append((press, note))

    def write(self, text: str, *, chat: int = CHAT, user: int = USER, age_s: int = 0) -> str:
        """Write a message, and return all responses to it."""
        before = len(self.said)
        date = self.now // S - age_s
        self.desk.take({"message": {"text": text, "date": date, "chat": {"id": chat}, "from": {"id": user}}})
        return "\n".join(text for _, text in self.said[before:])

    def press(self, data: str, *, chat: int = CHAT, user: int = USER) -> str:
        before = len(self.said)
        message = {"message_id": 7, "chat": {"id": chat}}
        self.desk.take({"callback_query": {"id": "p", "data": data, "from": {"id": user}, "message": message}})
        return "\n".join(text for _, text in self.said[before:])

    @property
    def done(self) -> list[tuple[str, str, str | None]]:
        return [(bot.name, command, strategy) for bot in self.bots for command, strategy in bot.done]


# -- who may command --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chat", "user"), [(CHAT, USER + 1), (CHAT + 1, USER), (USER, CHAT), (GROUP, 1), (0, 0)])
def test_other_users_get_no_response_and_trigger_no_action(chat: int, user: int) -> None:
    desk = Desk(FakeBot("demo"))
    for command in COMMANDS:
        assert desk.write(f"/{command}", chat=chat, user=user) == ""
    assert desk.write("/help", chat=chat, user=user) == ""
    assert desk.done == []
    assert desk.desk.foreign == len(COMMANDS) + 1


def test_a_command_for_another_bot_in_a_group_is_ignored() -> None:
    desk = Desk(FakeBot("demo"))
    assert desk.write("/status@their_bot", chat=GROUP) == ""
    assert desk.write("/status@Our_Bot", chat=GROUP) == "demo: status of demo"


@pytest.mark.parametrize(
    "update",
    [
        {},
        {"message": None},
        {"message": {"text": 5}},
        {"message": {"text": "/stop", "date": "now"}},
        {"message": {"text": "/stop", "date": 1, "chat": [], "from": {"id": True}}},
        {"message": {"text": "/"}},
        {"callback_query": {"data": "yes c0"}},
        {"callback_query": {"id": "p", "data": "yes c0", "message": {}, "from": None}},
        {"edited_message": {"text": "/stop", "date": START // S, "chat": {"id": CHAT}, "from": {"id": USER}}},
    ],
)
def test_a_malformed_update_is_ignored(update: dict[str, Any]) -> None:
    desk = Desk(FakeBot("demo"))
    desk.desk.take(update)
    assert (desk.said, desk.done) == ([], [])


# -- old commands -----------------------------------------------------------------------------------------------------


def test_a_command_older_than_a_minute_is_dropped_and_this_is_reported_once() -> None:
    desk = Desk(FakeBot("demo"))
    assert "was not sent within the last 60 s" in desk.write("/pause demo maker", age_s=61)
    assert desk.write("/pause demo maker", age_s=70) == ""  # after a long outage, hundreds of old commands may arrive
    assert desk.done == []
    assert desk.desk.late == 2
    assert "pause of demo" in desk.write("/pause demo maker", age_s=59)


def test_a_command_dated_in_the_future_is_dropped_because_the_machines_clock_is_wrong() -> None:
    desk = Desk(FakeBot("demo"))
    assert "according to the clock of the bot's machine" in desk.write("/pause maker", age_s=-61)
    assert desk.done == []


def test_a_command_sent_before_the_start_is_dropped_even_if_it_is_recent() -> None:
    bot = FakeBot("demo", since=START)
    desk = Desk(bot)
    desk.now = START + 5 * S
    assert "was sent before the bot's start" in desk.write("/pause maker", age_s=6)
    assert desk.done == []
    assert "pause of demo" in desk.write("/pause maker", age_s=4)


def test_a_command_is_received_only_by_the_bot_that_was_running_when_it_was_sent() -> None:
    old, new = FakeBot("old", since=START), FakeBot("new", since=START + 100 * S)
    desk = Desk(old, new)
    desk.now = START + 110 * S
    assert desk.write("/status", age_s=20) == "old: status of old"


# -- which bot --------------------------------------------------------------------------------------------------------


def test_a_command_must_name_the_bot_only_if_there_are_multiple_bots() -> None:
    alone, several = Desk(FakeBot("demo")), Desk(FakeBot("one"), FakeBot("two"))
    assert "pause of demo" in alone.write("/pause maker")
    assert "which bot? Write /pause BOT ...; running: one, two" in several.write("/pause maker")
    assert "two: pause of two" in several.write("/pause two maker")
    assert several.done == [("two", "pause", "maker")]
    assert several.write("/why") == "one: why of one\ntwo: why of two"
    assert "no bot 'three' is running here; running: one, two" in several.write("/status three")


def test_a_bot_running_in_two_modes_is_listed_with_its_mode() -> None:
    desk = Desk(FakeBot("demo", "paper"), FakeBot("demo", "live"))
    assert "running: demo/paper, demo/live" in desk.write("/pause demo maker")
    assert desk.write("/pause demo/live maker") == "demo/live: pause of demo"
    assert [bot.done for bot in desk.bots] == [[], [("pause", "maker")]]


def test_a_strategy_and_its_bot_may_share_a_name() -> None:
    desk = Desk(FakeBot("maker"))
    desk.write("/pause maker")
    assert desk.done == [("maker", "pause", "maker")]


def test_the_response_to_a_command_with_a_missing_or_extra_word_explains_the_problem() -> None:
    desk = Desk(FakeBot("demo"))
    assert "which strategy?" in desk.write("/pause")
    assert "'now' is one word too many" in desk.write("/stop demo now")
    assert "'b' is one word too many" in desk.write("/pause demo a b")
    assert "/panic [BOT]" in desk.write("/whatever")
    assert desk.done == []


def test_the_response_to_a_failed_command_includes_the_reason() -> None:
    bot = FakeBot("demo")
    bot.failure = "there is no strategy 'x'"
    assert Desk(bot).write("/pause x") == "demo: not done: there is no strategy 'x'"


# -- confirmations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["stop", "panic", "resume"])
def test_a_dangerous_command_requires_its_confirmation_button_which_works_once(command: str) -> None:
    desk = Desk(FakeBot("demo"))
    assert f"{command} demo (live): " in desk.write(f"/{command}")
    assert desk.done == []
    [buttons] = desk.buttons
    assert desk.press(buttons[command]) == f"demo: {command} of demo"
    assert "no longer valid" in desk.press(buttons[command])
    assert desk.done == [("demo", command, None)]


def test_a_button_confirms_only_the_command_and_bot_for_which_it_was_shown() -> None:
    desk = Desk(FakeBot("one"), FakeBot("two"))
    desk.write("/stop one")
    desk.write("/panic two")
    desk.press(desk.buttons[0]["stop"])
    assert desk.done == [("one", "stop", None)]
    desk.press(desk.buttons[1]["panic"])
    assert desk.done == [("one", "stop", None), ("two", "panic", None)]


def test_the_no_button_cancels_the_confirmation() -> None:
    desk = Desk(FakeBot("demo"))
    desk.write("/panic")
    assert desk.press(desk.buttons[0]["no"]) == "nothing was done"
    assert "no longer valid" in desk.press(desk.buttons[0]["panic"])
    assert desk.done == []


def test_a_button_expires_after_a_minute() -> None:
    desk = Desk(FakeBot("demo"))
    desk.write("/panic")
    desk.now += 61 * S
    assert "no longer valid" in desk.press(desk.buttons[0]["panic"])
    assert desk.done == []


def test_other_users_can_neither_press_a_button_nor_invalidate_it() -> None:
    desk = Desk(FakeBot("demo"))
    desk.write("/panic", chat=GROUP)
    [buttons] = desk.buttons
    assert desk.press(buttons["panic"], chat=GROUP, user=USER + 1) == ""
    assert desk.press(buttons["panic"], chat=CHAT, user=USER) == ""  # right user, wrong chat
    assert desk.done == []
    assert desk.press(buttons["panic"], chat=GROUP) == "demo: panic of demo"


def test_a_button_is_not_valid_for_a_later_run_of_the_bot() -> None:
    desk = Desk(FakeBot("demo"))
    desk.write("/stop")
    desk.bots = [FakeBot("demo", since=START + 3_601 * S)]
    assert desk.press(desk.buttons[0]["stop"]) == "demo/live has stopped or was restarted, so nothing was done"
    assert desk.done == []


def test_forged_button_data_is_rejected() -> None:
    desk = Desk(FakeBot("demo"))
    for data in ("yes c0", "yes ", "", "panic demo"):
        assert "no longer valid" in desk.press(data)
    assert desk.done == []


def test_the_number_of_pending_confirmations_is_bounded() -> None:
    desk = Desk(FakeBot("demo"))
    for _ in range(200):
        desk.write("/stop")
    assert len(desk.desk._questions) <= 20


# -- limits -----------------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from([1, 2, 3, -5, -6]), st.integers(0, 2_000)), min_size=1, max_size=150),
    st.booleans(),
)
def test_messages_never_exceed_any_of_telegrams_limits(steps: list[tuple[int, int]], waits: bool) -> None:
    pace, now, sent = SendPace(), 0, []
    for chat, pause_ms in steps:
        now += pause_ms * 1_000_000
        wait = pace.take(chat, now)
        if wait and waits:
            now += wait
            assert pace.take(chat, now) == 0, "the pause that it asked for is enough"
            wait = 0
        if not wait:
            sent.append((now, chat))
    for at, chat in sent:
        together = [other for time, other in sent if at <= time < at + S]
        assert len(together) <= 30
        assert together.count(chat) <= 1
        if chat < 0:
            assert sum(other == chat for time, other in sent if at <= time < at + 60 * S) <= 20


def test_a_hundred_chats_share_a_limit_of_thirty_messages_per_second() -> None:
    pace = SendPace()
    assert sum(pace.take(chat, 0) == 0 for chat in range(1, 101)) == 30
    assert pace.take(101, 0) == S


def test_a_pause_that_telegram_requests_applies_to_all_chats() -> None:
    pace = SendPace()
    pace.hold(7 * S)
    assert [pace.take(chat, 0) for chat in (1, 2)] == [7 * S, 7 * S]
    assert pace.take(1, 7 * S) == 0


@given(st.text(min_size=0, max_size=200), st.integers(0, 60))
def test_a_long_text_is_truncated_to_the_maximum_length_as_telegram_counts_it(text: str, times: int) -> None:
    found = clipped(text * times)
    assert len(found.encode("utf-16-le", "surrogatepass")) <= 2 * TEXT_MAX
    if len((text * times).encode("utf-16-le", "surrogatepass")) <= 2 * TEXT_MAX:
        assert found == text * times
    else:
        assert found.endswith("...")
