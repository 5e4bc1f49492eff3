"""Replays a recorded run through the same engine: every decision is the same, or the first difference is shown.

A difference means changed code: another botkit, another version of a strategy, a changed configuration, or a strategy
that reads a clock, its own random numbers, or the network.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from botkit.engine.decisions import DecisionLog
from botkit.engine.engine import Engine
from botkit.engine.outcome import Outcome
from botkit.errors import BotkitError
from botkit.live.journal_rows import ORDER_FIELDS, order_of
from botkit.live.recording import CLOSED, FORMAT, FULL, HEADER, INPUTS, SIZE_BYTES
from botkit.live.run_files import DECISIONS
from botkit.model import events, requests
from botkit.model.clock import Nanos
from botkit.model.inputs import INPUT_TYPES, AccountEvents, Input
from botkit.model.orders import Order
from botkit.model.pairs import Pair
from botkit.model.requests import Answer

_READ_BYTES = 1 << 16

_TYPES: dict[str, type[Any]] = {kind.__name__: kind for kind in INPUT_TYPES} | {
    name: thing
    for module in (events, requests)
    for name, thing in vars(module).items()
    if isinstance(thing, type) and issubclass(thing, msgspec.Struct)
}


class ReplayError(BotkitError):
    """The run cannot be replayed; the message says why."""


class DecisionDifference(msgspec.Struct, frozen=True):
    """The first decision that differs from the recording, by line; None if one side has no more."""

    line: int
    recorded: str | None
    replayed: str | None


class Verdict(msgspec.Struct, frozen=True):
    """The result of a replay. ``decisions`` were compared; ``unflushed`` more were made than the run had written.

    ``ends_early``: the run went on after its recording had reached its limit.
    """

    entries: int
    decisions: int
    unflushed: int
    difference: DecisionDifference | None
    ends_early: bool = False


class Entries:
    """The entries of a recorded run as (type name, time, content), in order, read lazily, since a run may not fit into
    memory. A torn end, as left by a kill, is dropped.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file = path.open("rb")
        self._unpacker = zlib.decompressobj()
        self._decode = msgspec.msgpack.Decoder(tuple[str, Nanos, msgspec.Raw]).decode
        self._data = bytearray()
        self._at = 0
        #: how many have been taken
        self.taken = 0

    def take(self) -> tuple[str, Nanos, msgspec.Raw] | None:
        """The next entry; None at the end."""
        head = self._bytes(SIZE_BYTES)
        data = None if head is None else self._bytes(int.from_bytes(head, "big"))
        if data is None:
            return None
        self.taken += 1
        return self._decode(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _bytes(self, count: int) -> bytes | None:
        while len(self._data) - self._at < count:
            packed = self._file.read(_READ_BYTES)
            if not packed:
                return None
            del self._data[: self._at]
            self._at = 0
            self._data += self._unpacker.decompress(packed)
        self._at += count
        return bytes(self._data[self._at - count : self._at])


def read_header(run: Path) -> dict[str, Any]:
    """How a run was started. Raises ReplayError."""
    try:
        header: dict[str, Any] = json.loads((run / HEADER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReplayError(
            f"{run} holds no recorded run; give a folder such as .../runs/12 of a bot's state, which `botkit run` names"
        ) from None
    except ValueError as error:
        raise ReplayError(f"{run / HEADER} cannot be read: {error}") from None
    if header.get("format") != FORMAT:
        raise ReplayError(
            f"{run} was recorded in format {header.get('format')} by another version of botkit, and this one replays "
            f"format {FORMAT}; replay it with the version that recorded it"
        )
    return header


class Replay:
    """Plays one run's inputs into an engine built like the run's."""

    def __init__(self, engine: Engine, run: Path, pairs: Mapping[str, Pair]) -> None:
        self._engine = engine
        self._pairs = dict(pairs)
        try:
            self._entries = Entries(run / INPUTS)
        except OSError as error:
            raise ReplayError(f"{run / INPUTS} cannot be read: {error}") from None
        #: the run ended cleanly and was played to its end
        self.is_whole = False
        #: the recording ended before the run, at its limit
        self.ends_early = False
        #: an exception of the engine, which is expected if an earlier decision differed
        self.error: Exception | None = None
        self._decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}

    def run(self) -> int:
        """Play everything; returns how many entries were played."""
        out = Outcome()
        try:
            while (entry := self._entries.take()) is not None and not self.is_whole:
                name, now, content = entry
                if name == CLOSED:
                    self.is_whole = True
                elif name == FULL:
                    self.ends_early = True
                else:
                    given = self._input(name, content)
                    self._engine.turn(given, now, out)
                    out.clear()
        except ReplayError:
            raise
        except Exception as error:  # such as an answer to a request not made this time
            self.error = error
        finally:
            self._entries.close()
        return self._entries.taken

    # -- entries --------------------------------------------------------------------------------------------------

    def _input(self, name: str, content: msgspec.Raw) -> Input | None:
        if not name:
            return None
        kind = _TYPES.get(name)
        if kind is None:
            raise ReplayError(f"the run holds a {name!r}, which this botkit does not know")
        if kind is Answer:
            return self._answer(content)
        if kind is AccountEvents:
            rows = self._as(list[tuple[str, msgspec.Raw]], content)
            return AccountEvents(tuple(self._as(_TYPES[row], raw) for row, raw in rows))
        given: Input = self._as(kind, content)
        return given

    def _answer(self, content: msgspec.Raw) -> Answer:
        request_id, outcome, status, text, kind, raw = self._as(
            tuple[int, requests.Ending, int, str, str, msgspec.Raw], content
        )
        body: Any = None
        if kind == "()":
            body = ()
        elif kind.startswith("*"):
            body = self._as(tuple[_TYPES[kind[1:]], ...], raw)  # type: ignore[misc]
        elif kind:
            body = self._as(_TYPES[kind], raw)
        return Answer(request_id=request_id, outcome=outcome, status=status, text=text, body=body)

    def _as(self, kind: Any, raw: Any) -> Any:
        decoder = self._decoders.get(kind)
        if decoder is None:
            decoder = self._decoders[kind] = msgspec.msgpack.Decoder(kind, dec_hook=self._special)
        return decoder.decode(raw)

    def _special(self, kind: type[Any], value: Any) -> Any:
        if kind is Pair:
            return self._pairs[value]
        if kind is Order:
            return order_of(dict(zip(ORDER_FIELDS, value, strict=True)), self._pairs)
        raise TypeError(kind.__name__)


def compare(recorded: list[str], replayed: list[str], entries: int, *, is_whole: bool) -> Verdict:
    """Compare the decisions. A killed run (``is_whole`` false) may have made more decisions than it wrote, or written
    more decisions than inputs.
    """
    for number, (before, after) in enumerate(itertools.zip_longest(recorded, replayed), 1):
        if before is None and not is_whole:
            return Verdict(entries, len(recorded), len(replayed) - len(recorded), None)
        if after is None and not is_whole:
            return Verdict(entries, len(replayed), 0, None)
        if before != after:
            return Verdict(entries, number - 1, 0, DecisionDifference(number, before, after))
    return Verdict(entries, len(recorded), 0, None)


def verdict_on(replay: Replay, run: Path, decisions: DecisionLog, lines: list[str]) -> Verdict:
    """Run a replay, whose ``decisions`` become ``lines``, and compare them with those of the recorded run.

    Raises the exception that stopped the replay, unless an earlier decision differs.
    """
    entries = replay.run()
    decisions.flush()
    recorded = (run / DECISIONS).read_text(encoding="ascii").splitlines()
    if not replay.is_whole and recorded and not _is_json(recorded[-1]):
        recorded.pop()  # torn by a kill
    verdict = compare(recorded, lines, entries, is_whole=replay.is_whole or replay.error is not None)
    if replay.error is not None and (verdict.difference is None or verdict.difference.replayed is None):
        raise replay.error
    return msgspec.structs.replace(verdict, ends_early=replay.ends_early)


def _is_json(line: str) -> bool:
    with contextlib.suppress(ValueError):
        json.loads(line)
        return True
    return False


__all__ = [
    "DecisionDifference",
    "Replay",
    "ReplayError",
    "Verdict",
    "compare",
    "read_header",
    "verdict_on",
]
