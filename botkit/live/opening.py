"""The first stage of starting a bot: opens the folder, the journal, the client ids, and the connection for sending."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from botkit.live import commands
from botkit.live.client_ids import ClientIdPlaces
from botkit.live.journal import Journal, remove_journal
from botkit.live.journal_faults import commits_lost
from botkit.live.journal_losses import has_lost_ids, unwritten_orders, write_off
from botkit.live.parts import BotParts
from botkit.live.start_refused import StartRefused
from botkit.live.state_folder import JOURNAL_HALT, KeptHalt
from botkit.model.clock import Nanos
from botkit.model.inputs import Unwritten


class Opened(msgspec.Struct, frozen=True):
    """The result of the first stage, after which the folder is locked and the journal is readable."""

    journal: Journal
    first_client_id: int
    ids_until: int
    run_folder: Path
    began: Nanos
    unwritten: Unwritten | None
    #: a description of the journal's losses, if any are already known
    losses: str | None
    #: a message for a bot that has traded before but no longer has a journal and therefore starts from scratch
    starts_over: str | None = None
    #: commands to an earlier run, which were never obeyed
    dropped_commands: tuple[str, ...] = ()
    #: True if the last run's journal was removed, since its exchange ended with it
    forgets: bool = False


async def open_bot(parts: BotParts, stack: contextlib.AsyncExitStack) -> Opened:
    """Run the first stage. Clean-up functions are pushed onto ``stack``. Raises BotkitError."""
    parts.folder.lock(parts.machine.clock)
    stack.callback(parts.folder.unlock)
    dropped = commands.drop(parts.folder)
    forgets = parts.is_new_world and parts.folder.journal.exists()
    if parts.is_new_world:
        remove_journal(parts.folder.journal, parts.folder.disk)
        parts.folder.clear_halt()
    machine = parts.machine
    journal = Journal.open(
        parts.folder.journal, disk=parts.folder.disk, background=machine.background, random=machine.random
    )
    stack.callback(journal.close)
    await parts.adapter.open()
    stack.push_async_callback(parts.adapter.close)
    unwritten, losses = None, None
    if journal.damage is not None or has_lost_ids(journal):
        losses = losses_of(journal.damage or commits_lost(journal.path, "it is missing some client ids that were used"))
        try:
            parts.folder.set_halt(KeptHalt(kind=JOURNAL_HALT, reason=losses, time=parts.clock.now()))
        except OSError as error:
            raise StartRefused(f"{losses}. That cannot be recorded either: {error}") from None
        write_off(journal)
    elif not journal.is_new:
        unwritten = unwritten_orders(journal)
    starts_over = None
    has_traded = not journal.is_new or journal.reach().counted > 0
    if journal.is_new and has_traded and not parts.is_new_world:
        starts_over = (
            f"the journal {journal.path} is new, but this bot has traded before; if its journal was lost, restore the "
            "whole folder"
        )
    random = parts.machine.random  # client ids may start anywhere, because no comparison relies on them
    first, until = journal.lease_ids(random)
    places = parts.client_ids or ClientIdPlaces()
    if not has_traded:
        places.note_others(parts.folder)
    apart = places.claim(parts.name, first, random)
    if apart != first:
        first, until = journal.lease_ids(random, after=apart)
    return Opened(
        journal,
        first,
        until,
        parts.folder.path / "runs" / str(journal.run),
        parts.clock.now(),
        unwritten,
        losses,
        starts_over,
        tuple(dropped),
        forgets,
    )


def losses_of(what: str) -> str:
    """Return the reason why the bot must not continue after losing commits, or None. With outdated books, it would buy
    the same amounts a second time.
    """
    return (
        f"{what}; positions, capital and self.state are outdated. Restore the whole folder, or "
        "check the positions and capital against those on the exchange"
    )
