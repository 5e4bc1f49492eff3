"""Tests the content and number of notifications, and the handling of failing notifiers."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.assembly.outputs import bot_outputs
from botkit.errors import ConfigError
from botkit.live.notifications import notify
from botkit.live.notifications.logs import HIDDEN, Redactor
from botkit.live.notifications.notify import AppriseNotifier, Channel, Notifications, TryLater, policy_of
from botkit.live.notifications.outbox import LEVELS, LINES_MAX, Level, NotifierOutbox, Policy
from botkit.model.clock import NS_PER_DAY, NS_PER_S
from botkit.project.project import Project
from tests.waiting import PATIENCE_S, wait_for

S = NS_PER_S
DAY = NS_PER_DAY
NOW = 20_000 * DAY + 10 * 3_600 * S


def midnight(now: int) -> int:
    return now // DAY * DAY


def outbox(**given: Any) -> NotifierOutbox:
    return NotifierOutbox(Policy(**given), name="bot", day_start=midnight)


# -- the outbox -------------------------------------------------------------------------------------------------------


def test_fills_are_combined_into_one_message_and_errors_are_sent_immediately() -> None:
    box = outbox(digest_s=30)
    box.tell("info", "bought 1", NOW)
    assert box.take(NOW) == []
    assert box.wake_at() == NOW + 30 * S
    box.tell("warning", "slow", NOW + 10 * S)
    box.tell("error", "broken", NOW + 11 * S)
    assert [(m.level, m.title, m.text) for m in box.take(NOW + 11 * S)] == [("error", "bot: error", "broken")]
    box.tell("info", "bought 1", NOW + 20 * S)
    assert box.take(NOW + 29 * S) == []
    [digest] = box.take(NOW + 30 * S)
    assert (digest.level, digest.title) == ("warning", "bot: warning")
    assert digest.text == "bought 1 (2 times)\nslow"
    assert box.wake_at() is None


def test_messages_below_the_minimum_level_are_dropped() -> None:
    box = outbox(level="error", digest_s=0)
    for level in LEVELS:
        box.tell(level, level, NOW)
    assert [m.text for m in box.take(NOW)] == ["breaker", "error"]


def test_a_strategys_message_ignores_the_minimum_level_but_not_the_daily_cap() -> None:
    box = outbox(level="error", digest_s=5, daily_cap=1)
    box.tell("info", "a fill", NOW)
    box.tell("info", "the level is reached", NOW, is_wanted=True)
    box.tell("info", "and passed", NOW + S, is_wanted=True)
    [message] = box.take(NOW + 5 * S)
    assert (message.level, message.text.split("\n")[:2]) == ("info", ["the level is reached", "and passed"])
    box.tell("info", "once more", NOW + 6 * S, is_wanted=True)
    assert box.take(NOW + 60 * S) == []


def test_above_the_daily_cap_only_breaker_messages_are_sent_until_the_next_day() -> None:
    box = outbox(daily_cap=2, digest_s=0)
    sent = []
    for i in range(5):
        box.tell("error", f"error {i}", NOW + i)
        sent += box.take(NOW + i)
    assert [m.text.split("\n")[0] for m in sent] == ["error 0", "error 1"]
    assert "message 2 today" in sent[1].text
    box.tell("breaker", "halted", NOW + 10)
    assert [m.text for m in box.take(NOW + 10)] == ["halted"]
    assert [m.text for m in box.take(NOW + DAY)] == ["3 messages were held back on the previous day"]
    box.tell("error", "another day", NOW + DAY)
    assert box.take(NOW + DAY)[0].text.startswith("another day")


def test_a_flood_of_messages_is_combined_into_one_message_of_bounded_size() -> None:
    box = outbox(digest_s=30)
    for i in range(10_000):
        box.tell("info", f"{i} " + "x" * 10_000, NOW)
    [message] = box.take(NOW + 30 * S)
    assert len(message.text) <= 3_000
    *whole, last = message.text.splitlines()
    assert all(line.endswith("...") for line in whole), "no line was cut again"
    assert last == f"and {10_000 - len(whole):,} more".replace(",", "")
    assert box.take(NOW + 60 * S) == []


def test_pending_messages_are_sent_at_shutdown() -> None:
    box = outbox(digest_s=3_600)
    for i in range(LINES_MAX + 5):
        box.tell("info", f"fill {i}", NOW)
    [message] = box.take(NOW, all_of_it=True)
    assert message.text.endswith(f"fill {LINES_MAX - 1}\nand 5 more")


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(st.tuples(st.sampled_from(LEVELS), st.integers(0, 8 * 3_600)), max_size=60),
    least=st.sampled_from(LEVELS),
    cap=st.integers(1, 5),
)
def test_breaker_messages_are_always_sent_and_others_never_exceed_the_cap(
    events: list[tuple[Level, int]], least: Level, cap: int
) -> None:
    box = outbox(level=least, daily_cap=cap, digest_s=60)
    now, sent = NOW, []
    for number, (level, pause_s) in enumerate(events):
        now += pause_s * S
        box.tell(level, f"{level} {number}", now)
        sent += [(message, midnight(now)) for message in box.take(now)]
    sent += [(message, midnight(now)) for message in box.take(now, all_of_it=True)]
    breakers = [f"{level} {n}" for n, (level, _) in enumerate(events) if level == "breaker"]
    assert [m.text for m, _ in sent if m.level == "breaker"] == breakers
    others = [day for message, day in sent if message.level != "breaker"]
    assert all(others.count(day) <= cap for day in others)
    assert all(LEVELS.index(m.level) >= LEVELS.index(least) or "held back" in m.text for m, _ in sent)


# -- the threads ------------------------------------------------------------------------------------------------------


class Clock:
    def now(self) -> int:
        return time.time_ns()


class Collected:
    """Collects messages. The first ``failures`` messages fail. With a ``gate``, messages hang until it is set."""

    def __init__(self, failures: int = 0, gate: threading.Event | None = None) -> None:
        self.messages: list[tuple[str, str, str]] = []
        self.failures = failures
        self.gate = gate

    def notify(self, level: str, title: str, text: str) -> None:
        if self.gate is not None:
            self.gate.wait(PATIENCE_S)
        if self.failures:
            self.failures -= 1
            raise ConnectionError("https://example.org/token")
        self.messages.append((level, title, text))


def notifications(*notifiers: Collected, redactor: Redactor | None = None, **policy: Any) -> Notifications:
    channels = [Channel(f"n{i}", notifier, Policy(**{"digest_s": 0, **policy})) for i, notifier in enumerate(notifiers)]
    found = Notifications(channels, name="bot", clock=Clock(), day_start=midnight, redactor=redactor)
    found.start()
    return found


def test_a_hanging_notifier_delays_neither_the_bot_nor_other_notifiers() -> None:
    gate = threading.Event()
    stuck, free = Collected(gate=gate), Collected()
    told = notifications(stuck, free)
    for i in range(3_000):
        told.tell("error", f"error {i}")
    wait_for(lambda: free.messages)
    assert not stuck.messages, "all of this happened while the other notifier hung"
    assert told.figures["dropped"] >= 1  # the stuck notifier's queue is bounded
    gate.set()
    told.close()
    assert stuck.messages


def test_a_message_that_must_wait_is_sent_later_and_is_not_counted_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    # without retries, a failure would lose the message
    monkeypatch.setattr(notify, "_RETRIES_S", dict.fromkeys(LEVELS, ()))

    class Busy(Collected):
        waits = 3

        def notify(self, level: str, title: str, text: str) -> None:
            self.waits -= 1
            if self.waits >= 0:
                raise TryLater(0.01)
            super().notify(level, title, text)

    busy = Busy()
    told = notifications(busy)
    told.tell("error", "broken")
    wait_for(lambda: busy.messages)
    told.close()
    assert told.figures == {"sent": 1, "failed": 0, "dropped": 0}


def test_failed_messages_are_retried_and_the_log_contains_no_notifier_address(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notify, "_RETRIES_S", dict.fromkeys(LEVELS, (0.0, 0.0)))
    flaky, dead = Collected(failures=2), Collected(failures=99)
    told = notifications(flaky, dead)
    with caplog.at_level("WARNING", logger="botkit.notify"):
        told.tell("error", "broken")
        wait_for(lambda: flaky.messages and told.figures["failed"] == 1)
    told.close()
    assert flaky.messages == [("error", "bot: error", "broken")]
    assert "ConnectionError" in caplog.text
    assert "token" not in caplog.text


def test_the_last_messages_are_sent_before_shutdown_with_secrets_redacted() -> None:
    collected = Collected()
    told = notifications(collected, redactor=Redactor(["canary-77"]), digest_s=3_600)
    told.tell("info", "the key is canary-77")
    told.tell("nonsense", "an unknown level is a warning")
    told.close()
    [(level, _, text)] = collected.messages
    assert level == "warning"
    assert text == f"the key is {HIDDEN}\nan unknown level is a warning"


def test_a_daily_summary_is_sent_once_the_day_has_ended() -> None:
    class Moved:
        time = NOW

        def now(self) -> int:
            return self.time

    clock, collected = Moved(), Collected()
    told = Notifications([Channel("n", collected, Policy(digest_s=0))], name="bot", clock=clock, day_start=midnight)
    told.start()
    told.tell_of_the_day(lambda: "too early")
    clock.time += DAY
    told.tell_of_the_day(lambda: "3 fills")
    told.tell_of_the_day(lambda: "too late")
    told.close()
    assert [text for _, _, text in collected.messages] == ["3 fills"]


# -- options and configuration ----------------------------------------------------------------------------------------


def test_policy_options_are_separated_from_notifier_options() -> None:
    policy, rest = policy_of("error", {"digest_s": 5, "daily_cap": "7", "url": "x"})
    assert policy == Policy(level="error", digest_s=5.0, daily_cap=7)
    assert rest == {"url": "x"}
    with pytest.raises(ValueError, match="must be numbers"):
        policy_of("info", {"digest_s": "often"})
    with pytest.raises(ValueError, match="daily_cap 1 to 10000"):
        policy_of("info", {"daily_cap": 0})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # raised by a module imported by Apprise
def test_apprise_addresses_never_appear_in_errors_or_logs(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("apprise")
    for options, message in (
        ({}, "needs an address"),
        ({"url": "nothing-like-a-url canary-99"}, "does not understand address 1 of 1"),
        ({"uri": "json://localhost"}, "unknown key `uri`"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            AppriseNotifier(options)
        assert "canary-99" not in str(caught.value)
    notifier = AppriseNotifier({"url": "json://127.0.0.1:9/canary-99"})
    assert "canary" not in repr(notifier)
    with pytest.raises(RuntimeError, match="did not accept the message"):
        notifier.notify("error", "title", "text")
    assert "canary" not in caplog.text


STRATEGY = """
from botkit import Strategy, Pair, hookimpl
class Idle(Strategy):
    pair: Pair
class Sink:
    def __init__(self, options): self.options = options
    def notify(self, level, title, text): SENT.append((level, title, text))
SENT = []
@hookimpl
def botkit_register_strategies(register): register("idle", Idle)
@hookimpl
def botkit_register_notifiers(register): register("sink", Sink)
"""


def project(tmp_path: Path, notify_section: str) -> Project:
    (tmp_path / "plugins").mkdir(exist_ok=True)
    (tmp_path / "plugins" / "mine.py").write_text(STRATEGY)
    path = tmp_path / "bot.yaml"
    path.write_text(
        "name: mine\nplugins: [plugins]\nstrategies:\n  - {use: idle, params: {pair: btc_twd}}\n"
        f"log: {{file: {tmp_path / 'bot.jsonl'}}}\nnotify:\n{notify_section}\n"
    )
    return Project.load(path)


async def test_notifiers_are_created_with_secrets_filled_in_and_secrets_are_redacted_in_messages(
    tmp_path: Path,
) -> None:
    found = project(tmp_path, "  - {use: sink, level: warning, digest_s: 0, url: 'mem://${TOKEN}'}")
    told = bot_outputs(found, "emulator", environ={"TOKEN": "canary-1234"})
    async with told:
        told.notifications.tell("info", "below the level")
        told.notifications.tell("error", "send to mem://canary-1234")
    sent = found.plugins.notifiers["sink"].thing.__init__.__globals__["SENT"]
    assert sent == [("error", "mine (emulator): error", f"send to {HIDDEN}")]


def test_a_notifier_that_cannot_be_created_raises_an_error_with_its_location(tmp_path: Path) -> None:
    for section, message in (
        ("  - {use: telegram}", "telegram"),
        ("  - {use: bell, loud: true}", "bell: loud: unknown key; it takes digest_s"),
        ("  - {use: sink, digest_s: -1}", "digest_s must be 0 to 86400 seconds"),
        ("  - {use: sink, url: '${MISSING}'}", "MISSING"),
    ):
        with pytest.raises(ConfigError, match=r"bot\.yaml") as caught:
            bot_outputs(project(tmp_path, section), "emulator", environ={})
        assert message in str(caught.value)
