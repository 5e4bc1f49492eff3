"""Keeps halts across restarts. The bot's halt is stored in a file that any process may write. Strategies' halts are
stored in the journal.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping

from botkit.engine.outcome_parts import Reply
from botkit.live.journal import Journal
from botkit.live.journal_rows import JournalError
from botkit.live.notices import Notices
from botkit.live.refused_key import KEY_HALT
from botkit.live.state_folder import KeptHalt, StateFolder
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.inputs import Halt, Input, Resume

#: interval between attempts to write to a journal that cannot be written
_RETRY_AFTER: Nanos = 1 * NS_PER_S


class Latch:
    """Manages the halts of one bot. ``say`` passes an input to the engine."""

    def __init__(
        self,
        folder: StateFolder,
        journal: Journal,
        notices: Notices,
        *,
        say: Callable[[Input], Reply],
        now: Callable[[], Nanos],
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._notices = notices
        self._say = say
        self._now = now
        self._is_set = folder.halt() is not None
        #: a halt that has not been written yet
        self._to_write: KeptHalt | None = None
        self._strategies: dict[str, str] = halts_of(journal)
        #: the strategies' halts that the journal contains
        self._kept = dict(self._strategies)
        #: no write is attempted before this time
        self._keep_at: Nanos = 0

    def set(self, kind: str, reason: str) -> None:
        """Set the durable latch, which blocks new orders. Open orders are cancelled, unless the key was refused."""
        self._say(Halt(reason, keeps_orders=kind == KEY_HALT))
        self.remember(kind, reason)

    def remember(self, kind: str, reason: str) -> None:
        """Save the engine's halt for later runs."""
        self._is_set = True
        orders = "stay as they are" if kind == KEY_HALT else "are cancelled"
        self._notices.tell("breaker", f"halted: {reason}. Open orders {orders}; `botkit resume` lifts it")
        self._to_write = KeptHalt(kind=kind, reason=reason, time=self._now())
        self._write()
        if self._to_write is not None:
            self._notices.tell(
                "error",
                f"the halt could not be written to {self._folder.path}; retrying. Until it is written, a restart would "
                "forget the halt",
            )
        with contextlib.suppress(JournalError):  # the journal watch reports an unwritable journal
            self._journal.note("halt", reason, self._now())

    def look(self) -> None:
        """Check whether another process has set or cleared the latch. Retry what could not be written before."""
        self._keep()
        self._write()
        if self._to_write is not None:
            return
        halt = self._folder.halt()
        if halt is not None and not self._is_set:
            self._is_set = True
            self._notices.tell("breaker", f"halted ({halt.kind}): {halt.reason}. Open orders are cancelled")
            self._say(Halt(halt.reason))
        elif halt is None and self._is_set:
            self._is_set = False
            self._say(Resume())
            self._notices.tell("info", "the halt was lifted; the bot trades again")

    def _write(self) -> None:
        if self._to_write is not None:
            with contextlib.suppress(OSError):
                self._folder.set_halt(self._to_write)
                self._to_write = None

    def keep(self, strategies: Mapping[str, str]) -> None:
        """Save the strategies' halts (set by a loss limit or by the user), so that they survive restarts like the bot's
        own halt.
        """
        self._strategies = dict(strategies)
        self._keep()

    def _keep(self) -> None:
        if self._strategies == self._kept or self._now() < self._keep_at:
            return
        try:
            self._journal.put_meta({"halts": json.dumps(self._strategies)})
        except JournalError:  # the journal watch reports an unwritable journal
            self._keep_at = self._now() + _RETRY_AFTER
        else:
            self._kept = self._strategies


def halts_of(journal: Journal) -> dict[str, str]:
    """Return the strategies that an earlier run left halted, with the reasons."""
    found: dict[str, str] = journal.document("halts") or {}
    return found
