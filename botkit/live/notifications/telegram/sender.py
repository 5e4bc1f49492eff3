"""Sends one Telegram bot's messages to its chats, within Telegram's limits. All bots in a process that use a given
token share one `TelegramSender`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

from botkit.live.background import THREADS
from botkit.live.clock import REAL_CLOCK
from botkit.live.notifications.notify import NotSent, TryLater
from botkit.live.notifications.telegram.api import BotApi, TelegramError, mark_of
from botkit.live.notifications.telegram.pace import SendPace
from botkit.live.ports import MachineClock
from botkit.model.clock import NS_PER_S, Nanos

#: Telegram's limit for a message, in UTF-16 units
TEXT_MAX = 4_096
_CUT = "\n..."


class TelegramSender:
    """Sends one Telegram bot's messages to its chats."""

    def __init__(self, token: str, address: str, clock: MachineClock = REAL_CLOCK) -> None:
        self.mark = mark_of(token)
        self._api = BotApi(token, address)
        self._clock = clock
        self._pace = SendPace()
        self._mutex = THREADS.mutex()

    def __repr__(self) -> str:
        return f"<TelegramSender {self.mark}>"

    def send(
        self, chat: int, text: str, *, is_silent: bool = False, buttons: Sequence[tuple[str, str]] = ()
    ) -> Mapping[str, Any]:
        """Send a message and return Telegram's representation of it. ``buttons`` are (label, data).

        Raises TryLater if the message must wait, and NotSent.
        """
        with self._mutex:
            wait = self._pace.take(chat, self._now())
        if wait:
            raise TryLater(wait / NS_PER_S, "Telegram's limits require a pause")
        keys = [[{"text": label, "callback_data": data} for label, data in buttons]]
        sent: Mapping[str, Any] = self.call(
            "sendMessage",
            chat_id=chat,
            text=clipped(text),
            disable_notification=is_silent or None,
            link_preview_options={"is_disabled": True},
            reply_markup={"inline_keyboard": keys} if buttons else None,
        )
        return sent

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the Bot API. Raises TryLater and NotSent."""
        problem: NotSent
        try:
            return self._api.call(method, **parameters)
        except TelegramError as error:
            problem = NotSent(str(error))
            if error.retry_after_s:
                problem = TryLater(error.retry_after_s, "Telegram requested a pause")
                with self._mutex:
                    self._pace.hold(self._now() + int(error.retry_after_s * NS_PER_S))
        raise problem

    def _now(self) -> Nanos:
        return int(self._clock.monotonic_s() * NS_PER_S)


_senders: WeakValueDictionary[tuple[str, str], TelegramSender] = WeakValueDictionary()


def sender_of(token: str, address: str) -> TelegramSender:
    """Return this process's sender for a token."""
    key = (token, address)
    found = _senders.get(key)
    if found is None:
        found = _senders[key] = TelegramSender(token, address)
    return found


def clipped(text: str) -> str:
    """Shorten a text to the length that Telegram accepts."""
    units = text.encode("utf-16-le", errors="surrogatepass")
    if len(units) <= 2 * TEXT_MAX:
        return text
    # a character outside the basic plane takes two units and must not be split
    kept = units[: 2 * (TEXT_MAX - len(_CUT))].decode("utf-16-le", errors="ignore")
    return kept + _CUT
