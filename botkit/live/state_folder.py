"""Where a bot keeps what must survive: a folder by name, mode and account, held by one process at a time.

    <state>/<name>/<mode>/<account>/   journal.sqlite, lock, halt.json, status.json, commands/, runs/

Emulator, paper and live each have a folder of their own, so that a rehearsal cannot leak into the real thing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import IO, Any

import msgspec
import platformdirs

from botkit.errors import BotkitError
from botkit.model.clock import Nanos

#: overrides where the operating system keeps programs' state
STATE_VARIABLE = "BOTKIT_STATE"


class AlreadyRunning(BotkitError):
    """Another process holds the bot's folder."""


class FolderUnusable(BotkitError):
    """Nothing can be written where the bot keeps what must survive."""


class Halt(msgspec.Struct, frozen=True, kw_only=True):
    """Why the bot may send no new orders. ``kind``: panic, loss, breaker."""

    kind: str
    reason: str
    time: Nanos


def state_root() -> Path:
    """The folder of all bots' state: BOTKIT_STATE, or where the system keeps such things."""
    given = os.environ.get(STATE_VARIABLE)
    return Path(given) if given else Path(platformdirs.user_state_dir("botkit", appauthor=False))


def account_label(email: str) -> str:
    """A folder's name for an account; not the address itself, which nobody needs to read in a path."""
    return hashlib.sha256(email.strip().lower().encode()).hexdigest()[:12]


class StateFolder:
    """One bot's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._halt_path = path / "halt.json"
        self._lock: IO[str] | None = None

    @classmethod
    def of(cls, name: str, mode: str, account: str) -> StateFolder:
        """The folder of a bot by its name, mode and account."""
        return cls(state_root() / name / mode / account)

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.path / "journal.sqlite"

    @property
    def commands(self) -> Path:
        """Where other processes leave what the running bot shall do."""
        return self.path / "commands"

    # -- one process at a time ------------------------------------------------------------------------------------

    def lock(self) -> None:
        """Hold the folder until `unlock` or the end of the process, however that comes. Raises AlreadyRunning, or
        FolderUnusable where nothing can be written there."""
        assert self._lock is None
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if os.name == "posix":
                self.path.chmod(0o700)
            file = (self.path / "lock").open("a+", encoding="ascii")
        except OSError as error:
            raise FolderUnusable(
                f"the state folder {self.path} cannot be written ({error.strerror}), and a bot without a journal may "
                f"not trade; mend that, or set {STATE_VARIABLE} to another place"
            ) from None
        if not _try_lock(file):
            file.seek(1)
            holder = file.read().strip() or "unknown"
            file.close()
            raise AlreadyRunning(
                f"this bot runs already, as process {holder}; stop it with `botkit stop`, or give this one another name"
            )
        # the first byte is what Windows locks, and a locked byte cannot be read by others there
        file.truncate(0)
        file.write(f" {os.getpid()}\n")
        file.flush()
        self._lock = file

    def unlock(self) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def holder(self) -> int | None:
        """Process id of the running bot, None where none runs."""
        try:
            file = (self.path / "lock").open("r+", encoding="ascii")
        except OSError:
            return None
        with file:
            if _try_lock(file):
                return None
            file.seek(1)
            text = file.read().strip()
            return int(text) if text.isdigit() else 0

    # -- the halt latch -------------------------------------------------------------------------------------------

    def is_halted(self) -> bool:
        """Whether the latch is set: one look at the file system, cheap enough to take before every order."""
        try:
            self._halt_path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def halt(self) -> Halt | None:
        """Why new orders are held back, None where they are not. A file that cannot be read holds them back too."""
        try:
            return msgspec.json.decode(self._halt_path.read_bytes(), type=Halt)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            return Halt(kind="breaker", reason=f"{self._halt_path} cannot be read ({error})", time=0)

    def set_halt(self, halt: Halt) -> None:
        """Set the latch; the first reason stays."""
        if not self.is_halted():
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(self._halt_path, msgspec.json.encode(halt))

    def clear_halt(self) -> None:
        """Lift the latch: `botkit resume` alone does."""
        self._halt_path.unlink(missing_ok=True)

    # -- what other processes read --------------------------------------------------------------------------------

    def write_status(self, status: dict[str, Any]) -> None:
        """Leave the bot's figures where `botkit status` finds them."""
        write_whole(self.path / "status.json", json.dumps(status).encode(), durable=False)

    def read_status(self) -> dict[str, Any] | None:
        """The figures that the bot left last."""
        try:
            found: dict[str, Any] = json.loads((self.path / "status.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found


def write_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file so that a reader, or a crash, sees the old or the new one and never half of it."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    with fresh.open("wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    fresh.replace(path)


def _try_lock(file: IO[str]) -> bool:
    """Lock without waiting; the system lets go when the process ends, however it ends."""
    if os.name == "posix":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
    import msvcrt  # pragma: no cover

    file.seek(0)  # pragma: no cover
    with contextlib.suppress(OSError):  # pragma: no cover
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        return True
    return False  # pragma: no cover
