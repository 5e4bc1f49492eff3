"""The persistent state of a bot: one folder per name, mode and account, locked by one process at a time.

    <state>/<name>/<mode>/<account>/   journal.sqlite, lock, halt.json, status.json, page.json, commands/, runs/

Emulator, paper and live runs have separate folders, so that state from a simulation can never reach live trading.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import platformdirs

from botkit.errors import BotkitError, ConfigError
from botkit.live.clock import REAL_CLOCK
from botkit.live.disk import REAL_DISK, remove_unfinished
from botkit.live.ports import Disk, Lock, MachineClock
from botkit.model.clock import Nanos

#: the kind of the halt for a journal that has lost commits; positions are unknown, so only cancels are sent
JOURNAL_HALT = "journal"

#: overrides the operating system's default folder for program state
STATE_VARIABLE = "BOTKIT_STATE"

#: how long a start waits for processes that only look at the lock, in case one of them is held up in between
_LOOK_MAX_S = 5.0
_LOOK_PAUSE_S = 0.005
#: the files that only the process that holds the folder's lock writes (`remove_unfinished`); the halt, for example, is
#: also written by `botkit panic` and the guard
_OWN_FILES = ("journal", "client_ids", "status", "page", "claim", "telegram")


class AlreadyRunning(BotkitError):
    """Another process holds the bot's folder."""


class FolderUnusable(BotkitError):
    """The bot's state folder cannot be written to."""


class KeptHalt(msgspec.Struct, frozen=True, kw_only=True):
    """The reason why the bot must not send new orders. ``kind`` is panic, loss or breaker."""

    kind: str
    reason: str
    time: Nanos


class Strike(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the guard's intervention while its bot was silent. ``time`` is machine time."""

    silent_s: float
    cancelled: int
    time: Nanos


def state_root() -> Path:
    """Return the folder that holds all bots' state: BOTKIT_STATE, or the system's default location."""
    given = os.environ.get(STATE_VARIABLE)
    return Path(given) if given else Path(platformdirs.user_state_dir("botkit", appauthor=False))


def account_label(email: str) -> str:
    """Return a folder name for an account that does not reveal the account's e-mail address."""
    return hashlib.sha256(email.strip().lower().encode()).hexdigest()[:12]


def _folders_with_journal(place: Path, mode: str | None) -> list[Path]:
    """Return the folders below ``place``, one per mode and account, that contain a journal. Unlike `Path.glob`, which
    leaves out what it may not read, this raises FolderUnusable.
    """
    names, found = REAL_DISK.files.names, []
    try:
        for folder in [place / mode] if mode else [place / name for name in names(place)]:
            for path in (folder / account for account in names(folder)):
                if REAL_DISK.files.identity(path / "journal.sqlite") is not None:
                    found.append(path)
    except OSError as error:
        raise FolderUnusable(
            f"the state folder {error.filename or place} cannot be read ({error.strerror or error}), so it is unknown "
            f"whether this bot runs and has open orders; repeat this as the user who runs the bot"
        ) from None
    return found


class StateFolder:
    """A bot's folder, by default on this machine's disk."""

    def __init__(self, path: Path, disk: Disk = REAL_DISK, root: Path | None = None) -> None:
        """``root`` is the folder that holds all bots' state, or None if the bot's folder is outside it."""
        self.path = path
        self.root = root
        self.disk = disk
        self._halt_path = path / "halt.json"
        self._lock_path = path / "lock"
        self._status_path = path / "status.json"
        self._strike_path = path / "guard.json"
        self._lock: Lock | None = None

    def neighbours(self) -> Iterator[tuple[str, StateFolder]]:
        """Yield (name, folder) of every other bot that has run on this account in this mode on this machine."""
        if self.root is None:
            return
        account, mode, own = self.path.name, self.path.parent.name, self.path.parent.parent.name
        for name in self.disk.files.names(self.root):
            if name != own and not name.startswith("."):
                yield name, StateFolder(self.root / name / mode / account, self.disk)

    @classmethod
    def find(cls, name: str, mode: str | None) -> StateFolder:
        """Return the folder of the bot with this name. Prefer the running bot's folder, then the only folder, then the
        latest folder in a mode without real money.

        Raises ConfigError if there is no folder, or if the choice is ambiguous. Raises FolderUnusable if a folder
        cannot be read, so that nobody takes a bot with open orders for one that has never run.
        """
        root = state_root()
        found = [cls(path, root=root) for path in _folders_with_journal(root / name, mode)]
        if not found:
            raise ConfigError(f"{name} has never run{f' in mode {mode}' if mode else ''}; try `botkit run`")
        running = [folder for folder in found if folder.holder() is not None]
        chosen = running or found
        if len(chosen) > 1:
            modes = sorted({folder.path.parent.name for folder in chosen})
            if len(modes) > 1:
                raise ConfigError(f"{name} has run as {', '.join(modes)}; choose one with --mode")
            if modes == ["live"]:
                folders = ", ".join(str(folder.path) for folder in chosen)
                raise ConfigError(
                    f"{name} has traded on {len(chosen)} accounts ({folders}); move the folder of the account "
                    f"that it no longer uses elsewhere"
                )
        return max(chosen, key=lambda folder: folder.heartbeat() or 0)

    @classmethod
    def of(cls, name: str, mode: str, account: str, disk: Disk = REAL_DISK) -> StateFolder:
        """Return the folder of the bot with this name, mode and account."""
        root = state_root()
        return cls(root / name / mode / account, disk, root)

    @property
    def journal(self) -> Path:
        """The path of the journal."""
        return self.path / "journal.sqlite"

    @property
    def commands(self) -> Path:
        """The folder in which other processes leave commands for the running bot."""
        return self.path / "commands"

    # -- one process at a time ------------------------------------------------------------------------------------

    def lock(self, clock: MachineClock = REAL_CLOCK) -> None:
        """Lock the folder until `unlock` is called or the process exits, even by a crash. Raises AlreadyRunning, or
        FolderUnusable if the folder cannot be written to.
        """
        assert self._lock is None
        waited_s = 0.0
        while not self._has_locked():
            holder = self.disk.holder(self._lock_path)
            if holder is not None:
                raise AlreadyRunning(
                    f"this bot is already running, as process {holder or 'unknown'}; stop it with `botkit stop`, or "
                    f"give this bot another name"
                )
            # No bot holds the lock: a page, a guard or another bot looked at it (`holder`), which takes microseconds.
            if waited_s >= _LOOK_MAX_S:
                raise FolderUnusable(
                    f"a program that is not a bot keeps {self._lock_path} locked; end it, or give this bot another name"
                )
            clock.sleep(_LOOK_PAUSE_S)
            waited_s += _LOOK_PAUSE_S
        remove_unfinished(self.disk.files, self.path, _OWN_FILES)

    def _has_locked(self) -> bool:
        try:
            self._lock = self.disk.lock(self._lock_path, str(os.getpid()))
        except OSError as error:
            raise FolderUnusable(
                f"the state folder {self.path} cannot be written ({error.strerror}), and a bot without a journal may "
                f"not trade; make it writable, or point {STATE_VARIABLE} at another folder"
            ) from None
        return self._lock is not None

    def unlock(self) -> None:
        """Release the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def holder(self) -> int | None:
        """Return the process id of the running bot, or None."""
        note = self.disk.holder(self._lock_path)
        if note is None:
            return None
        return int(note) if note.isdigit() else 0

    # -- the halt latch -------------------------------------------------------------------------------------------

    def is_halted(self) -> bool:
        """Return whether the latch is set. This is a single file-system call, cheap enough to run before every
        order.
        """
        try:
            return self.disk.files.identity(self._halt_path) is not None
        except OSError:
            return True  # a failing disk must not permit trading

    def halt(self) -> KeptHalt | None:
        """Return the reason why new orders are blocked, or None. An unreadable file also blocks new orders."""
        try:
            return msgspec.json.decode(self.disk.files.read(self._halt_path), type=KeptHalt)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            return KeptHalt(kind="breaker", reason=f"{self._halt_path} cannot be read ({error})", time=0)

    def set_halt(self, halt: KeptHalt) -> None:
        """Set the latch. If it is already set, the first reason is kept, unless the journal has lost commits since
        then. In that case, not even orders that seem to reduce a position may be sent, and the user who lifts the halt
        must be informed of the loss.
        """
        earlier = self.halt()
        if earlier is not None:
            if halt.kind != JOURNAL_HALT or earlier.kind == JOURNAL_HALT:
                return
            halt = msgspec.structs.replace(
                halt, reason=f"{halt.reason}. Halted before ({earlier.kind}): {earlier.reason}"
            )
        self.disk.files.write(self._halt_path, msgspec.json.encode(halt))

    def clear_halt(self) -> None:
        """Clear the latch. Only `botkit resume` calls this method. Raises FolderUnusable."""
        try:
            self.disk.files.remove(self._halt_path)
        except OSError as error:
            raise FolderUnusable(
                f"{self._halt_path} cannot be removed ({error.strerror or error}), so the halt stays; delete the file "
                f"manually"
            ) from None

    # -- what other processes read --------------------------------------------------------------------------------

    def write_status(self, status: dict[str, Any]) -> None:
        """Write the bot's figures for `botkit status`."""
        self.disk.files.write(self._status_path, msgspec.json.encode(status), durable=False)

    def read_status(self) -> dict[str, Any] | None:
        """Return the figures that the bot last wrote, or None."""
        try:
            found = json.loads(self.disk.files.read(self._status_path))
        except (OSError, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    # -- messages between the guard and its bot -------------------------------------------------------------------

    def beat(self, time: Nanos) -> None:
        """Update the heartbeat timestamp of the lock file. The file exists while the bot runs, and its timestamp can be
        updated even on a full disk.

        Raises OSError if the disk accepts no changes at all.
        """
        self.disk.pulses.beat(self._lock_path, time)

    def heartbeat(self) -> Nanos | None:
        """Return a value that keeps changing while the bot is alive, or None if there is no heartbeat to read."""
        try:
            return self.disk.pulses.last(self._lock_path)
        except OSError:
            return None

    def takes_heartbeats(self) -> bool:
        """Return whether the disk would accept a heartbeat. The test rewrites the current heartbeat."""
        try:
            last = self.disk.pulses.last(self._lock_path)
            if last is not None:
                self.disk.pulses.beat(self._lock_path, last)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def leave_strike(self, strike: Strike) -> None:
        """Save a record of the guard's intervention. Raises OSError."""
        self.disk.files.write(self._strike_path, msgspec.json.encode(strike))

    def strike(self) -> Strike | None:
        """Return the guard's intervention that its bot has not taken yet, or None."""
        try:
            return msgspec.json.decode(self.disk.files.read(self._strike_path), type=Strike)
        except (OSError, msgspec.DecodeError):
            return None

    def take_strike(self) -> Strike | None:
        """Return the guard's intervention since the last call, or None."""
        try:
            found = self.disk.files.read(self._strike_path)
            self.disk.files.remove(self._strike_path)
            return msgspec.json.decode(found, type=Strike)
        except (OSError, msgspec.DecodeError):
            return None
