"""Receives the commands sent to one Telegram bot, on behalf of all bots on this machine that share its token.

Telegram does not allow two programs to wait for updates of one Telegram bot. Every botkit bot therefore tries to lock a
file named after the token, and the bot that holds the lock waits for updates on behalf of all others. It passes
commands on through the bots' folders. When its process exits, even by a crash, the operating system releases the lock,
and another bot takes it within a few seconds.

    <state>/.telegram/<token's mark>.lock       held while waiting for updates
    <state>/.telegram/<token's mark>.next       the id of the next update
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from botkit.live.machine import secret_random
from botkit.live.notifications.notify import NotSent, TryLater
from botkit.live.notifications.telegram.api import CONFLICT, BotApi, TelegramError
from botkit.live.notifications.telegram.chat import ChatDesk
from botkit.live.notifications.telegram.reach import reachable
from botkit.live.notifications.telegram.sender import TelegramSender
from botkit.live.ports import Lock, Machine
from botkit.live.state_folder import StateFolder

log = logging.getLogger("botkit.telegram")

#: how long Telegram holds a request for updates open
_WAIT_S = 25
_MARGIN_S = 10.0
#: how often a bot without the lock tries to get it
_TRY_LOCK_S = 2.0
#: pauses after failures, in seconds: the first one, and the limit up to which each further pause is doubled
_PAUSE_MIN_S, _PAUSE_MAX_S = 2.0, 60.0
_CLOSE_S = 5.0
#: the maximum time that a reply may wait for Telegram's limits
_ANSWER_WAIT_MAX_S = 30.0


class CommandListener:
    """One bot's background job that receives Telegram commands."""

    def __init__(
        self,
        token: str,
        address: str,
        sender: TelegramSender,
        folder: StateFolder,
        machine: Machine,
        tell: Callable[[str, str], None],
    ) -> None:
        """``tell`` reports problems to the bot's user (level, text)."""
        self._api = BotApi(token, address)
        self._clock = machine.clock
        self._files = folder.disk.files
        self._disk = folder.disk
        self._tell = tell
        root = folder.root or folder.path.parent
        self._lock_path = root / ".telegram" / f"{sender.mark}.lock"
        self._next_path = self._lock_path.with_suffix(".next")
        self._lock: Lock | None = None
        self._next = 0
        self._pause_s = _PAUSE_MIN_S
        self._told = ""
        self._is_ending = False
        self._desk = ChatDesk(
            bots=partial(reachable, root, folder.disk, sender.mark),
            chat=_Answers(sender, machine),
            now=machine.clock.wall_ns,
            code=partial(_code, secret_random()),
        )
        self._work = machine.background.repeat("telegram commands", self._step)

    def __repr__(self) -> str:
        return "<CommandListener, hidden>"

    def close(self) -> None:
        """Stop listening once the current command has been answered."""
        self._is_ending = True
        self._api.close()
        self._work.stop(_CLOSE_S)

    def _step(self) -> float | None:
        """Wait for commands once. Return the time until the next call."""
        if self._is_ending:
            if self._lock is not None:
                self._lock.release()
                self._lock = None
            return None
        try:
            if self._lock is None and not self._begin():
                return _TRY_LOCK_S
            self._look()
        except TelegramError as error:
            return 0.0 if self._is_ending else self._failed(error)
        except OSError as error:
            return self._failed(TelegramError(f"{self._lock_path.parent} cannot be written ({error.strerror})"))
        except Exception:  # a bug here must not disable the bot's commands permanently
            log.exception("a Telegram update was not handled")
            return self._pause_s
        self._told, self._pause_s = "", _PAUSE_MIN_S
        return 0.0

    def _begin(self) -> bool:
        """Take the lock, unless another bot has it."""
        lock = self._disk.lock(self._lock_path, "telegram")
        if lock is None:
            return False
        try:
            with contextlib.suppress(FileNotFoundError, ValueError):
                self._next = int(self._files.read(self._next_path))
            self._desk.username = str(self._api.call("getMe").get("username", ""))
        except BaseException:
            lock.release()
            raise
        self._lock = lock
        return True

    def _look(self) -> None:
        updates = self._api.call(
            "getUpdates",
            timeout_s=_WAIT_S + _MARGIN_S,
            offset=self._next or None,
            timeout=_WAIT_S,
            allowed_updates=["message", "callback_query"],
        )
        for update in updates if isinstance(updates, list) else ():
            number = update.get("update_id") if isinstance(update, dict) else None
            if not isinstance(number, int) or number < self._next:
                continue
            # written first, so that after a crash a command is lost rather than executed twice
            self._next = number + 1
            self._files.write(self._next_path, b"%d" % self._next)
            self._desk.take(update)

    def _failed(self, error: TelegramError) -> float:
        text = str(error)
        if error.code == CONFLICT:
            text = (
                "another program receives this Telegram bot's messages, or a webhook is set, so commands may not "
                "arrive here; use a separate Telegram bot for each machine"
            )
        if text != self._told:
            self._told = text
            self._tell("warning", f"commands from Telegram: {text}")
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, _PAUSE_MAX_S)
        return max(pause_s, error.retry_after_s)


def _code(random: Any) -> str:
    return f"{random.getrandbits(96):024x}"


class _Answers:
    """Sends replies to the chat, within Telegram's limits. Replies that cannot be sent are logged and dropped."""

    def __init__(self, sender: TelegramSender, machine: Machine) -> None:
        self._sender = sender
        self._clock = machine.clock

    def say(self, chat: int, text: str, buttons: Sequence[tuple[str, str]] = ()) -> None:
        """Send a message."""
        until = self._clock.monotonic_s() + _ANSWER_WAIT_MAX_S
        while True:
            try:
                self._sender.send(chat, text, buttons=buttons)
            except TryLater as later:
                if self._clock.monotonic_s() + later.pause_s > until:
                    log.warning("a reply in Telegram was not sent: %s", later)
                    return
                self._clock.sleep(later.pause_s)
            except NotSent as error:
                log.warning("a reply in Telegram was not sent: %s", error)
                return
            else:
                return

    def close_question(self, press: str, note: str, chat: int, message: int) -> None:
        """Acknowledge the press of a button, and remove the buttons from the message."""
        for method, parameters in (
            ("answerCallbackQuery", {"callback_query_id": press, "text": note[:200]}),
            ("editMessageReplyMarkup", {"chat_id": chat, "message_id": message}),
        ):
            try:
                self._sender.call(method, **parameters)
            except NotSent as error:
                log.warning("a button in Telegram was not answered: %s", error)
