"""Keeps halts across restarts. The bot's halt is stored in a file that any process may write. Strategies' halts are
stored in the journal.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Mapping

from botkit.engine.outcome_parts import Reply
from botkit.live.journal import Journal
from botkit.live.journal_rows import JournalError
from botkit.live.notices import Notices
from botkit.live.refused_key import KEY_HALT
from botkit.live.state_folder import KeptHalt, StateFolder
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.inputs import Halt, Input, Resume

#: documents of the journal: the halted strategies, whether the bot is halted, and the strategies whose halts were
#: lifted while it was stopped
_STRATEGIES, _BOT, _LIFTED = "halts", "bot halted", "lifted"
#: interval between attempts to write to a journal that cannot be written
_RETRY_AFTER: Nanos = 1 * NS_PER_S


class Latch:
    """Manages the halts of one bot. ``say`` passes an input to the engine.

    ``configured`` are the names of the bot's strategies. Halts of other strategies are kept for the run that has them.
    """

    def __init__(
        self,
        folder: StateFolder,
        journal: Journal,
        notices: Notices,
        *,
        configured: Collection[str],
        say: Callable[[Input], Reply],
        now: Callable[[], Nanos],
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._notices = notices
        self._say = say
        self._now = now
        self._is_set = folder.halt() is not None
        halts, lifted = halts_of(journal), lifted_of(journal, is_halted=self._is_set)
        #: halts of strategies that are not configured, and the ones among such halts that were lifted. A strategy that
        #: is left out of a run and put back must come back as it was
        self._halts_aside = {name: reason for name, reason in halts.items() if name not in configured}
        self._lifted_aside = [name for name in lifted if name is not None and name not in configured]
        #: levels whose halts were lifted since the last run, until the restored books have been written
        self.lifted = tuple(level for level in lifted if level is None or level in configured)
        #: a halt that has not been written yet
        self._to_write: KeptHalt | None = None
        self._strategies: dict[str, str] = halts
        #: what the journal contains: the strategies' halts, and whether the bot is halted
        self._kept = (self._strategies, journal.document(_BOT) is True)
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
        self._strategies = self._halts_aside | dict(strategies)
        self._keep()

    def _keep(self) -> None:
        wanted = (self._strategies, self._is_set and self._to_write is None)
        if wanted == self._kept or self.lifted or self._now() < self._keep_at:
            return
        try:
            self._journal.put_meta(_documents(*wanted))
        except JournalError:  # the journal watch reports an unwritable journal
            self._keep_at = self._now() + _RETRY_AFTER
        else:
            self._kept = wanted

    def forget_lifted(self) -> None:
        """Forget the halts lifted while the bot was stopped, because the books written since then take them into
        account. Raises JournalError.
        """
        self._kept = (self._strategies, self._is_set)
        self._journal.put_meta({**_documents(*self._kept), _LIFTED: json.dumps(self._lifted_aside)})
        self.lifted = ()


def _documents(strategies: Mapping[str, str], is_halted: bool) -> dict[str, str]:
    return {_STRATEGIES: json.dumps(strategies), _BOT: json.dumps(is_halted)}


def lift(journal: Journal, strategy: str) -> str | None:
    """Lift a stopped bot's halt of a strategy, and return the reason for the halt, or None if there is none. The next
    start measures losses afresh, as a running bot would do. Raises JournalError.
    """
    halts = halts_of(journal)
    reason = halts.pop(strategy, None)
    if reason is not None:
        lifted = [*(journal.document(_LIFTED) or ()), strategy]
        journal.put_meta({_STRATEGIES: json.dumps(halts), _LIFTED: json.dumps(lifted)})
    return reason


def lifted_of(journal: Journal, *, is_halted: bool) -> tuple[str | None, ...]:
    """Return the levels (a strategy's name; None: the bot) that were halted when the bot stopped and whose halts were
    lifted since then. The bot's halt is a file, which the user may also delete by hand.
    """
    strategies: list[str] = journal.document(_LIFTED) or []
    bot: list[None] = [None] if not is_halted and journal.document(_BOT) is True else []
    return (*bot, *dict.fromkeys(strategies))


def halts_of(journal: Journal) -> dict[str, str]:
    """Return the strategies that an earlier run left halted, with the reasons."""
    found: dict[str, str] = journal.document(_STRATEGIES) or {}
    return found
