"""Keeps messages within Telegram's limits: 30 per second in total, one per second to a chat, 20 per minute to a group.

Like `NotifierOutbox`, it uses no clock, thread or network.
"""

from __future__ import annotations

from collections import deque

from botkit.model.clock import NS_PER_S, Nanos

#: (messages, period) for all chats combined, for one chat, and for one group
ALL = (30, NS_PER_S)
CHAT = (1, NS_PER_S)
GROUP = (20, 60 * NS_PER_S)


class SendPace:
    """The send times of one Telegram bot's messages. Chats with negative ids are groups."""

    def __init__(self) -> None:
        self._sent: dict[int | None, deque[Nanos]] = {}
        self._held_until: Nanos = 0

    def take(self, chat: int, now: Nanos) -> Nanos:
        """Reserve permission to send one message to a chat at ``now`` and return 0. If the limits do not allow it,
        return how long to wait first.
        """
        rules = [(None, *ALL), (chat, *CHAT), *([(chat, *GROUP)] if chat < 0 else [])]
        wait = max(0, self._held_until - now)
        for key, most, span in rules:
            times = self._times(key)
            if len(times) >= most:
                wait = max(wait, times[-most] + span - now)
        if wait > 0:
            return wait
        for key in (None, chat):
            self._times(key).append(now)
        return 0

    def hold(self, until: Nanos) -> None:
        """Send nothing until the given time, because Telegram has requested a pause."""
        self._held_until = max(self._held_until, until)

    def _times(self, key: int | None) -> deque[Nanos]:
        return self._sent.setdefault(key, deque(maxlen=ALL[0] if key is None else GROUP[0]))
