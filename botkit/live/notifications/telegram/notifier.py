"""The notifier ``telegram``: ``notify: {use: telegram, token: '${TELEGRAM_TOKEN}', chat: 123, user: 456}``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botkit.live.notifications.notify import Listening, TakesCommands
from botkit.live.notifications.outbox import Level
from botkit.live.notifications.telegram.api import ADDRESS, check_address, check_token
from botkit.live.notifications.telegram.sender import sender_of
from botkit.live.ports import Machine
from botkit.live.state_folder import StateFolder
from botkit.model.extension import Options

_KEYS = ("token", "chat", "user", "address")


class OptionError(ValueError):
    """An option is invalid. ``key`` is the name of the option."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"telegram: {key}: {message}")
        self.key = key


class TelegramNotifier(TakesCommands):
    """Sends messages to one chat. If a user is configured, it also accepts this user's commands from the chat."""

    def __init__(self, options: Options) -> None:
        """The options are token, chat, user and address. Raises OptionError, which never contains the token."""
        for key in options:
            if key not in _KEYS:
                raise OptionError(str(key), f"unknown key; telegram takes {', '.join(_KEYS)}")
        self._token = _checked("token", options.get("token"))
        self._address = _checked("address", options.get("address", ADDRESS))
        self._chat = _checked("chat", options.get("chat"))
        self._user = _checked("user", options.get("user"))
        self._sender = sender_of(self._token, self._address)

    def __repr__(self) -> str:
        return "<TelegramNotifier, hidden>"

    def notify(self, level: Level, title: str, text: str) -> None:
        """Send one message. Info messages are sent without a sound. Raises TryLater and NotSent."""
        self._sender.send(self._chat, f"{title}\n{text}", is_silent=level == "info")

    def listen(self, folder: StateFolder, machine: Machine, tell: Callable[[str, str], None]) -> Listening | None:
        """Start accepting commands for the bot with this folder, if a user is configured."""
        if self._user is None:
            return None
        from botkit.live.notifications.telegram.listener import CommandListener
        from botkit.live.notifications.telegram.reach import Access, allow

        allow(folder, Access(mark=self._sender.mark, chat=self._chat, user=self._user), machine.clock.wall_ns())
        return CommandListener(self._token, self._address, self._sender, folder, machine, tell)


def check_options(options: Options) -> None:
    """Check the values of some of the options. Raises OptionError."""
    for key, value in options.items():
        _checked(key, value)


def _checked(key: str, value: object) -> Any:
    if value is None and key == "user":  # without a user, the bot accepts no commands
        return None
    problem = "it is missing; get a token from @BotFather" if key == "token" else "it is missing"
    if value is not None:
        try:
            return _CHECKS[key](value)
        except ValueError as error:
            problem = str(error)
    raise OptionError(key, problem)


def _number(value: object) -> int:
    """Return the numeric id of a chat or a user, which may be text if it comes from a secrets file."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("write the numeric Telegram ID, such as 123456789")
    try:
        return int(value)
    except ValueError:
        raise ValueError("write the numeric Telegram ID, such as 123456789, not a name") from None


def _user(value: object) -> int:
    number = _number(value)
    if number <= 0:
        raise ValueError("user IDs are positive; negative IDs belong to groups")
    return number


_CHECKS: dict[str, Callable[[object], Any]] = {
    "token": check_token,
    "chat": _number,
    "user": _user,
    "address": check_address,
}
