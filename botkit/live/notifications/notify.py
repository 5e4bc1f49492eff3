"""Sends notifications outside the terminal. Each notifier has a `NotifierOutbox`, which is emptied in the background.

`Notifications.tell` never waits, so the trading loop may call it. A failed message is retried, and breaker messages are
retried for longer than others. A hanging notifier does not delay the others.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from botkit.live.background import THREADS
from botkit.live.notifications.logs import Redactor
from botkit.live.notifications.outbox import LEVELS, MESSAGE, Level, Message, NotifierOutbox, Policy
from botkit.live.ports import Background, Machine, Repeating
from botkit.live.state_folder import StateFolder
from botkit.model.clock import NS_PER_S, Clock, Nanos
from botkit.model.extension import Notifier, Options

log = logging.getLogger("botkit.notify")

_QUEUE_MAX = 1_000
#: the pauses before the retries of a failed message
_RETRIES_S: dict[Level, tuple[float, ...]] = {
    "info": (2.0,),
    "warning": (2.0,),
    "error": (2.0, 10.0),
    "breaker": (2.0, 10.0, 30.0, 60.0, 120.0),
}
#: how long to wait at shutdown for the last messages to be sent
_CLOSE_S = 10.0
_LOOK_S = 1.0


class NotSent(Exception):
    """A message was not sent. The text is a sentence for the log and contains neither an address nor a token."""


class TryLater(NotSent):
    """A message may be sent only after a pause requested by the service."""

    def __init__(self, pause_s: float, why: str = "the service requested a pause") -> None:
        super().__init__(f"{why} of {pause_s:.0f} s")
        self.pause_s = pause_s


class Listening(Protocol):
    """A running listener for a notifier's commands. It runs as long as its bot."""

    def close(self) -> None:
        """Stop accepting commands once the current command has been answered."""
        ...


class TakesCommands(ABC):
    """A notifier whose service can also carry commands from the user to the bot."""

    @abstractmethod
    def listen(self, folder: StateFolder, machine: Machine, tell: Callable[[str, str], None]) -> Listening | None:
        """Start accepting commands for the running bot with this folder. Return None if no commands are configured.

        ``tell`` reports problems to the bot's user (level, text).
        """


class Channel(msgspec.Struct, frozen=True):
    """A notifier with its policy and its configured name."""

    name: str
    notifier: Notifier
    policy: Policy


class _Worker:
    """Sends the messages of one notifier in the background."""

    def __init__(
        self, channel: Channel, outbox: NotifierOutbox, clock: Clock, redactor: Redactor, background: Background
    ) -> None:
        self._channel = channel
        self._outbox = outbox
        self._clock = clock
        self._redactor = redactor
        self._background = background
        self._waiting: queue.Queue[tuple[Level, str, Nanos, bool]] = queue.Queue(_QUEUE_MAX)
        self._is_ending = False
        #: the messages to send, the number of failed attempts to send the first message, and the time of its next
        #: attempt
        self._unsent: deque[Message] = deque()
        self._failures = 0
        self._again_at: Nanos = 0
        self._work: Repeating | None = None
        self.dropped = 0
        self.failed = 0
        self.sent = 0

    def start(self) -> None:
        self._work = self._background.repeat(f"notify {self._channel.name}", self._step)

    def tell(self, level: Level, text: str, now: Nanos, *, is_wanted: bool) -> None:
        try:
            self._waiting.put_nowait((level, text, now, is_wanted))
        except queue.Full:
            self.dropped += 1
        if self._work is not None:
            self._work.wake()

    def close(self, wait_s: float) -> None:
        self._is_ending = True
        if self._work is not None:
            self._work.stop(wait_s)

    def _step(self) -> float | None:
        """Queue new messages, send the due ones, and return the number of seconds until the next run."""
        is_ending = self._is_ending  # read first, because all messages that arrived before the end must be sent
        with contextlib.suppress(queue.Empty):
            while True:
                level, text, now, is_wanted = self._waiting.get_nowait()
                self._outbox.tell(level, text, now, is_wanted=is_wanted)
        if self._again_at > self._clock.now() and not is_ending:
            return self._wait_s(self._again_at)
        while True:
            if not self._unsent:
                self._unsent.extend(self._outbox.take(self._clock.now(), all_of_it=is_ending))
            if not self._unsent:
                return None if is_ending else self._wait_s(self._outbox.wake_at())
            pause_s = self._send(self._unsent[0], is_ending=is_ending)
            if pause_s is not None:
                self._again_at = self._clock.now() + int(pause_s * NS_PER_S)
                if pause_s:
                    return self._wait_s(self._again_at)

    def _wait_s(self, until: Nanos | None) -> float:
        return _LOOK_S if until is None else min(_LOOK_S, max(0.0, (until - self._clock.now()) / NS_PER_S))

    def _send(self, message: Message, *, is_ending: bool) -> float | None:
        """Try to send a message. Return the seconds until the next attempt, or None if no further attempt is needed."""
        clean = self._redactor.clean
        try:
            self._channel.notifier.notify(message.level, clean(message.title), clean(message.text))
        except TryLater as later:
            # the service only requested a pause, so this is not counted as a failed attempt
            return min(later.pause_s, _CLOSE_S) if is_ending else later.pause_s
        except BaseException as error:  # even sys.exit() in a plugin must not stop the bot or the other notifiers
            # log only the type of a library's error, because its text may contain the address with the token
            why = str(error) if isinstance(error, NotSent) else type(error).__name__
            log.warning("the notifier %s failed: %s", self._channel.name, why)
            pauses = _RETRIES_S[message.level]
            self._failures += 1
            if self._failures <= len(pauses):
                if not is_ending:
                    return pauses[self._failures - 1]
                if message.level == "breaker" and self._failures == 1:
                    return 0.0  # the bot is stopping, so retry once immediately
            self.failed += 1
        else:
            self.sent += 1
        self._unsent.popleft()
        self._failures = 0
        return None


class Notifications:
    """All of a bot's notifiers. Call `start`, then `tell` for each message, and finally `close`."""

    def __init__(
        self,
        channels: Sequence[Channel],
        *,
        name: str,
        clock: Clock,
        day_start: Callable[[Nanos], Nanos],
        redactor: Redactor | None = None,
        background: Background = THREADS,
    ) -> None:
        """``clock`` provides the machine's time, because days and pauses are measured in the user's time even if the
        bot's clock runs faster.
        """
        self._clock = clock
        self._day_start = day_start
        self._day = day_start(clock.now())
        clean = redactor or Redactor()
        self._workers = [
            _Worker(channel, NotifierOutbox(channel.policy, name=name, day_start=day_start), clock, clean, background)
            for channel in channels
        ]

    def __bool__(self) -> bool:
        return bool(self._workers)

    def start(self) -> None:
        """Start sending."""
        for worker in self._workers:
            worker.start()

    def tell(self, level: str, text: str) -> None:
        """Send a message to every notifier that accepts its level. Never blocks and never raises an exception."""
        known: Level = "info" if level == MESSAGE else level if level in LEVELS else "warning"
        now = self._clock.now()
        for worker in self._workers:
            worker.tell(known, text, now, is_wanted=level == MESSAGE)

    def tell_of_the_day(self, summary: Callable[[], str]) -> None:
        """Send a daily summary once the day has ended. Called periodically."""
        day = self._day_start(self._clock.now())
        if day != self._day:
            self._day = day
            self.tell("info", summary())

    def close(self, wait_s: float = _CLOSE_S) -> None:
        """Send pending messages and wait a limited time for them."""
        end = self._clock.now() + int(wait_s * NS_PER_S)
        for worker in self._workers:
            worker.close(max(0.1, (end - self._clock.now()) / NS_PER_S))

    @property
    def figures(self) -> dict[str, int]:
        """The numbers of messages that were sent, that failed, and that were dropped because the queue was full."""
        return {
            "sent": sum(w.sent for w in self._workers),
            "failed": sum(w.failed for w in self._workers),
            "dropped": sum(w.dropped for w in self._workers),
        }


# -- the built-in notifiers ---------------------------------------------------------------------------------------


class Bell:
    """Rings the terminal's bell and prints the message on standard error."""

    def notify(self, level: Level, title: str, text: str) -> None:
        """Print the message, and ring the bell for warnings and higher levels."""
        ring = "" if level == "info" else "\a"
        sys.stderr.write(f"{ring}{title}: {text}\n")
        sys.stderr.flush()


class AppriseNotifier:
    """Sends messages to Telegram, Discord, Slack, mail and a hundred other services through Apprise (``pip install
    'botkit[notify]'``).
    """

    def __init__(self, options: Options) -> None:
        """The options are ``url``, or a list under ``urls``. Raises ValueError with a message that contains no
        address.
        """
        given: Any = options.get("urls", options.get("url"))
        urls = [given] if isinstance(given, str) else list(given or ())
        unknown = sorted(set(options) - {"url", "urls"})
        if unknown:
            raise ValueError(f"apprise: unknown key `{unknown[0]}`; it takes url or urls")
        if not urls:
            raise ValueError("apprise needs an address; write, for example, {use: apprise, url: '${NOTIFY_URL}'}")
        try:
            import apprise
        except ImportError:
            raise ValueError("apprise is not installed; install it with: pip install 'botkit[notify]'") from None
        self._types: dict[Level, Any] = {
            "info": apprise.NotifyType.INFO,
            "warning": apprise.NotifyType.WARNING,
            "error": apprise.NotifyType.FAILURE,
            "breaker": apprise.NotifyType.FAILURE,
        }
        # Apprise's own log quotes addresses that it cannot parse, including their tokens
        logging.getLogger("apprise").disabled = True
        self._apprise: Any = apprise.Apprise()
        for number, url in enumerate(urls, 1):
            if not isinstance(url, str) or not self._apprise.add(url):
                # the address is a secret, so name its position instead of quoting it
                raise ValueError(f"Apprise does not understand address {number} of {len(urls)}; see its documentation")

    def __repr__(self) -> str:
        return "<AppriseNotifier, hidden>"

    def notify(self, level: Level, title: str, text: str) -> None:
        """Send one message. Raises RuntimeError if a service did not accept it."""
        if not self._apprise.notify(body=text, title=title, notify_type=self._types[level]):
            raise RuntimeError("a service did not accept the message")


def policy_of(level: Level, options: dict[str, Any]) -> tuple[Policy, dict[str, Any]]:
    """Return a notifier's policy and its remaining options. Raises ValueError with an explanation."""
    rest = dict(options)
    digest_s, daily_cap = rest.pop("digest_s", Policy().digest_s), rest.pop("daily_cap", Policy().daily_cap)
    try:
        digest, cap = float(digest_s), int(daily_cap)
    except (TypeError, ValueError):
        raise ValueError(f"digest_s: {digest_s!r} and daily_cap: {daily_cap!r} must be numbers") from None
    if not 0 <= digest <= 86_400 or not 1 <= cap <= 10_000:
        raise ValueError("digest_s must be 0 to 86400 seconds, and daily_cap 1 to 10000 messages")
    return Policy(level=level, digest_s=digest, daily_cap=cap), rest
