"""Seals part of a market's data. Backtests, searches and the doctor do not read the sealed part until the seal is
opened. A seal can be opened only once.

A seal applies to the strategy and its pairs, not to a file, so a copy of the tape is also sealed. It is a reminder, not
a lock: anyone can still read all the data by deleting the seals file or by reading the tape with another program.
"""

from __future__ import annotations

import msgspec

from botkit.errors import ConfigError
from botkit.live.state_folder import state_root
from botkit.model.clock import Nanos, format_time
from botkit.project.project import Project
from botkit.tape.feed import Feed
from botkit.tape.writer import write_atomically

__all__ = ["Seal", "open_seal", "seal", "seal_of", "sealed_end", "sealed_note"]

FILE = "seals.json"


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """A seal. ``opened`` is the time at which the seal was opened, or None while it is still closed. Times are in
    nanoseconds.
    """

    strategy: str
    pairs: tuple[str, ...]
    is_synthetic: bool
    start: Nanos
    sealed: Nanos
    opened: Nanos | None = None


def seal_of(project: Project, *, is_synthetic: bool) -> Seal | None:
    """Return the seal on a project's market, whether opened or not. Raises ConfigError if the seals file is damaged."""
    strategy, pairs = _market(project)
    for found in _read():
        if (found.strategy, found.pairs, found.is_synthetic) == (strategy, pairs, is_synthetic):
            return found
    return None


def seal(project: Project, start: Nanos, now: Nanos, *, is_synthetic: bool) -> Seal:
    """Seal a project's market from ``start`` on. Raises ConfigError if the market already has a seal, even if that seal
    has been opened, because data that has been seen cannot be sealed again.
    """
    known = seal_of(project, is_synthetic=is_synthetic)
    if known is not None:
        since = format_time(known.start, project.config.zone)
        state = "and was opened" if known.opened is not None else "already"
        raise ConfigError(
            f"--sealed: the data of {known.strategy} on {', '.join(known.pairs)} is sealed from {since} on {state}"
        )
    strategy, pairs = _market(project)
    made = Seal(strategy=strategy, pairs=pairs, is_synthetic=is_synthetic, start=start, sealed=now)
    _write([*_read(), made])
    return made


def open_seal(project: Project, now: Nanos, *, is_synthetic: bool) -> Seal:
    """Permanently open the seal on a project's market. Raises ConfigError if there is no closed seal."""
    known = seal_of(project, is_synthetic=is_synthetic)
    if known is None:
        raise ConfigError("--open: nothing is sealed for this strategy and its pairs; seal data with --sealed FROM")
    if known.opened is not None:
        raise ConfigError(f"--open: the data was already opened at {format_time(known.opened, project.config.zone)}")
    opened = msgspec.structs.replace(known, opened=now)
    _write([opened if found == known else found for found in _read()])
    return opened


def sealed_end(
    project: Project, feed: Feed, start: Nanos | None, end: Nanos | None
) -> tuple[Nanos | None, Seal | None]:
    """Return the end of the unsealed part of the span, and the seal if it shortened the span. Raises ConfigError if no
    unsealed data is left.
    """
    closed = seal_of(project, is_synthetic=feed.synthetic)
    if closed is None or closed.opened is not None:
        return end, None
    last = end if end is not None else max((info.end for info in feed.streams), default=0) + 1
    if last <= closed.start:
        return end, None
    if start is not None and start >= closed.start:
        raise ConfigError(
            f"everything from {format_time(closed.start, project.config.zone)} on is sealed for {closed.strategy} on "
            f"{', '.join(closed.pairs)}; choose an earlier span, or open the data (possible only once) with `botkit "
            f"trials CONFIG --open`"
        )
    return closed.start, closed


def sealed_note(closed: Seal, project: Project) -> str:
    """Return a sentence stating which data a run did not read."""
    return (
        f"the data from {format_time(closed.start, project.config.zone)} on is sealed and was not read; `botkit trials "
        "CONFIG --open` opens it, which is possible only once"
    )


def _market(project: Project) -> tuple[str, tuple[str, ...]]:
    """Return the strategies and pairs that identify a market, in the form used by the ledger of looks
    (`botkit.research.looks`).
    """
    uses = sorted({strategy.use for strategy in project.config.strategies})
    return "+".join(uses), tuple(sorted({str(pair) for pair in project.bot_pairs()}))


def _read() -> list[Seal]:
    path = state_root() / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Seal])
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(
            f"{path}: the seals cannot be read ({error}); repair the file, or move it elsewhere"
        ) from None


def _write(seals: list[Seal]) -> None:
    path = state_root() / FILE
    try:
        write_atomically(path, msgspec.json.format(msgspec.json.encode(seals), indent=1) + b"\n")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror or error}); nothing was sealed or opened"
        ) from None
