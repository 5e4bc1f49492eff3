"""Replays a recorded run through an identical engine, and shows the first decision that differs, if any.

A difference means that the code or configuration has changed (a different version of botkit or of a strategy, or
different settings), or that a strategy reads a clock, its own random numbers, or the network.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import zlib
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import msgspec

from botkit.engine.decisions import DecisionLog
from botkit.engine.engine import Engine
from botkit.engine.outcome import Outcome
from botkit.errors import BotkitError
from botkit.live.journal_rows import ORDER_FIELDS, order_of
from botkit.live.recording import BEGUN, BOOK_FIELDS, CLOSED, FORMAT, FULL, HEADER, INPUTS, PREFIX
from botkit.live.run_files import DECISIONS
from botkit.model import events, requests
from botkit.model.clock import Nanos
from botkit.model.inputs import INPUT_TYPES, AccountEvents, Input
from botkit.model.money import UNIT_DECIMALS
from botkit.model.order_book import OrderBook
from botkit.model.orders import Order
from botkit.model.pairs import Pair, PairRules
from botkit.model.requests import Answer

_READ_BYTES = 1 << 16
#: an entry that seems larger than this has a damaged size field
_ENTRY_MAX = 1 << 28

#: How a recording ends: with its run ("closed"), before its run because it reached its limit ("full"), or abruptly
#: because the run was killed or the file was truncated ("cut")
RecordingEnd = Literal["closed", "full", "cut"]

_TYPES: dict[str, type[Any]] = {kind.__name__: kind for kind in INPUT_TYPES} | {
    name: thing
    for module in (events, requests)
    for name, thing in vars(module).items()
    if isinstance(thing, type) and issubclass(thing, msgspec.Struct)
}


class ReplayError(BotkitError):
    """The run cannot be replayed. The message explains why."""


class DecisionDifference(msgspec.Struct, frozen=True):
    """The first decision that differs from the recording, as two lines. A line is None if its side has no more
    decisions.
    """

    line: int
    recorded: str | None
    replayed: str | None


class Verdict(msgspec.Struct, frozen=True):
    """The result of a replay. ``decisions`` is the number of decisions compared. ``unflushed`` is the number of
    decisions that the run made but never wrote. ``uncompared`` is the number of decisions in decisions.jsonl beyond the
    end of the recording.
    """

    entries: int
    decisions: int
    unflushed: int
    difference: DecisionDifference | None
    uncompared: int = 0
    end: RecordingEnd = "closed"

    @property
    def is_equal(self) -> bool:
        """True if every decision of the run was reproduced. Always False for a truncated recording."""
        return self.difference is None and self.end != "cut"


class RunHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The settings with which a run was started, as stored in ``inputs.json``."""

    format: int
    config: str
    config_sha256: str
    overrides: tuple[str, ...]
    folder: str
    mode: Literal["emulator", "paper", "live"]
    speed: Annotated[float, msgspec.Meta(gt=0)]
    latest_accept_ns: Annotated[int, msgspec.Meta(ge=0)]
    shared: tuple[str, ...] | None
    fees: dict[str, Any]
    pairs: dict[str, PairRules]
    first_client_id: Annotated[int, msgspec.Meta(ge=1)]


class Entries:
    """The entries of a recorded run as (type name, time, content), in order. They are read lazily, because a run may
    not fit into memory. An incomplete last entry, as left by a killed bot, is dropped. Damage raises ReplayError.
    """

    def __init__(self, path: Path) -> None:
        """Open the file. Raises OSError."""
        self._path = path
        self._file = path.open("rb")
        self._unpacker = zlib.decompressobj()
        self._decode = msgspec.msgpack.Decoder(tuple[str, Nanos, msgspec.Raw]).decode
        self._data = bytearray()
        self._at = 0
        #: the number of entries read so far
        self.taken = 0

    def take(self) -> tuple[str, Nanos, msgspec.Raw] | None:
        """Return the next entry, or None at the end."""
        head = self._bytes(PREFIX.size)
        if head is None:
            return None
        size, crc = PREFIX.unpack(head)
        if size > _ENTRY_MAX:
            raise self._damaged("its size is impossible")
        data = self._bytes(size)
        if data is None:
            self._at -= PREFIX.size  # keep returning None at an incomplete last entry
            return None
        if zlib.crc32(data) != crc:
            raise self._damaged("its checksum is wrong")
        try:
            found = self._decode(data)
        except msgspec.MsgspecError as error:
            raise self._damaged(str(error)) from None
        self.taken += 1
        return found

    def _damaged(self, why: str) -> ReplayError:
        return ReplayError(
            f"{self._path} is damaged at entry {self.taken + 1:,}, before byte {self._file.tell():,} ({why}); a run "
            f"can only be replayed in full: restore the file from a copy. {DECISIONS} next to it lists the bot's "
            f"decisions"
        )

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
            try:
                self._data += self._unpacker.decompress(packed)
            except zlib.error as error:
                raise self._damaged(str(error)) from None
        self._at += count
        return bytes(self._data[self._at - count : self._at])


def read_header(run: Path) -> RunHeader:
    """Return the settings with which a run was started, from its header. Raises ReplayError."""
    path = run / HEADER
    try:
        raw = path.read_bytes()
        found = msgspec.json.decode(raw, type=dict[str, Any]).get("format")
    except FileNotFoundError:
        raise ReplayError(
            f"{run} contains no recorded run; give a run's folder, such as runs/12 in the state folder that `botkit "
            f"run` prints"
        ) from None
    except OSError as error:
        raise ReplayError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise ReplayError(_header_damaged(path, error)) from None
    if isinstance(found, int) and found != FORMAT:
        raise ReplayError(
            f"{run} was recorded in format {found} by another version of botkit, and this one replays "
            f"format {FORMAT}; replay it with the version that recorded it"
        )
    try:
        header = msgspec.json.decode(raw, type=RunHeader)
    except (ValueError, RecursionError) as error:
        raise ReplayError(_header_damaged(path, error)) from None
    _check_begin(run, raw)
    for name, rules in header.pairs.items():
        if not all(0 <= n <= UNIT_DECIMALS for n in (rules.price_decimals, rules.amount_decimals)):
            raise ReplayError(_header_damaged(path, f"{name} has an impossible precision"))
    return header


def _check_begin(run: Path, header: bytes) -> None:
    """Check that the recording began with this header. Raises ReplayError if it did not."""
    try:
        entries = Entries(run / INPUTS)
    except OSError as error:
        raise ReplayError(
            f"{run / INPUTS} cannot be read ({error.strerror or error}); restore it from a copy"
        ) from None
    try:
        first = entries.take()
    finally:
        entries.close()
    if first is None:
        return  # the file was truncated before its first entry
    name, _, content = first
    if name != BEGUN or msgspec.msgpack.decode(content) != hashlib.sha256(header).hexdigest():
        raise ReplayError(f"{run / HEADER} is damaged: it does not belong to {INPUTS}; restore it from a copy")


def _header_damaged(path: Path, why: object) -> str:
    return f"{path} is damaged ({why}); without it the run cannot be replayed: restore it from a copy"


class RecordedInputs:
    """The inputs of a recorded run as (time, input), in order. A turn without an input yields None as its input.
    Iterate only once.

    Raises ReplayError for a damaged file.
    """

    def __init__(self, run: Path, pairs: Mapping[str, Pair]) -> None:
        self._pairs = dict(pairs)
        self._run = run
        self.end: RecordingEnd = "cut"
        #: (lines, sha256) of decisions.jsonl at the end of the run, if the recording contains them
        self.decisions: tuple[int, str] | None = None
        #: the number of entries read so far
        self.taken = 0
        self._decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}

    def __iter__(self) -> Generator[tuple[Nanos, Input | None], None, None]:
        """Yield the inputs."""
        try:
            entries = Entries(self._run / INPUTS)
        except OSError as error:
            raise ReplayError(
                f"{self._run / INPUTS} cannot be read ({error.strerror or error}); restore it from a copy"
            ) from None
        try:
            entries.take()  # `read_header` has already compared this entry
            while self.end == "cut" and (entry := entries.take()) is not None:
                name, now, content = entry
                if name == CLOSED:
                    self.end, self.decisions = "closed", self._as(tuple[int, str] | None, content)
                elif name == FULL:
                    self.end = "full"
                else:
                    yield now, self._input(name, content)
        finally:
            self.taken = entries.taken
            entries.close()

    # -- entries --------------------------------------------------------------------------------------------------

    def _input(self, name: str, content: msgspec.Raw) -> Input | None:
        if not name:
            return None
        kind = _TYPES.get(name)
        if kind is None:
            raise ReplayError(f"the run contains a {name!r}, which this botkit does not know")
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
        if kind is OrderBook:
            pair, time, *sides = (value[name] for name in BOOK_FIELDS)
            bids, asks = (tuple([(ticks, lots) for ticks, lots in side]) for side in sides)
            return OrderBook(self._pairs[pair], time, bids, asks)
        raise TypeError(kind.__name__)


class ReplayWatcher(Protocol):
    """Observes a run between its turns without changing it."""

    def before(self, moment: Nanos) -> None:
        """Observe that a turn is about to happen at ``moment``."""

    def turned(self, now: Nanos) -> None:
        """Observe the results of a turn."""

    def heard(self, now: Nanos, given: Input | None) -> None:
        """Observe an input."""


class Replay:
    """Feeds a run's inputs to an engine that is built like the original one. ``watch`` observes the replay; ``observe``
    receives the outcome of every turn.
    """

    def __init__(
        self,
        engine: Engine,
        run: Path,
        pairs: Mapping[str, Pair],
        watch: ReplayWatcher | None = None,
        observe: Callable[[Outcome, Nanos], None] | None = None,
    ) -> None:
        self._engine = engine
        self._watch = watch
        self._observe = observe
        self._inputs = RecordedInputs(run, pairs)
        #: an exception raised by the engine; expected if an earlier decision differed
        self.error: Exception | None = None

    @property
    def end(self) -> RecordingEnd:
        """How the recording ends."""
        return self._inputs.end

    @property
    def decisions(self) -> tuple[int, str] | None:
        """(lines, sha256) of decisions.jsonl at the end of the run, or None if the recording does not contain them."""
        return self._inputs.decisions

    def run(self) -> int:
        """Feed all entries to the engine and return the number of entries. Raises ReplayError for a damaged file."""
        out, inputs = Outcome(), iter(self._inputs)
        try:
            for now, given in inputs:
                if self._watch is not None:
                    self._watch.before(now)
                    self._watch.heard(now, given)
                self._engine.turn(given, now, out)
                if self._observe is not None:
                    self._observe(out, now)
                out.clear()
                if self._watch is not None:
                    self._watch.turned(now)
        except ReplayError:
            raise
        except Exception as error:  # for example, a response to a request that was not made in the replay
            self.error = error
        finally:
            inputs.close()
        return self._inputs.taken


def compare(recorded: list[str], replayed: list[str], entries: int, *, is_whole: bool) -> Verdict:
    """Compare the decisions. If the run was killed (``is_whole`` is False), two differences at the end are allowed:
    decisions that the run did not write, and written decisions whose inputs were not recorded.
    """
    for number, (before, after) in enumerate(itertools.zip_longest(recorded, replayed), 1):
        if before is None and not is_whole:
            return Verdict(entries, len(recorded), len(replayed) - len(recorded), None)
        if after is None and not is_whole:
            return Verdict(entries, len(replayed), 0, None, uncompared=len(recorded) - len(replayed))
        if before != after:
            return Verdict(entries, number - 1, 0, DecisionDifference(number, before, after))
    return Verdict(entries, len(recorded), 0, None)


def verdict_on(replay: Replay, run: Path, decisions: DecisionLog, lines: list[str]) -> Verdict:
    """Run a replay and compare its decisions with those of the recorded run. ``decisions`` writes the replay's
    decisions to ``lines``.

    Raises the exception that stopped the replay, unless an earlier decision differs. Raises ReplayError for a damaged
    file.
    """
    path = run / DECISIONS
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ReplayError(
            f"{path} cannot be read ({error.strerror or error}); the replay has no decisions to compare with: restore "
            f"it "
            "from a copy"
        ) from None
    entries = replay.run()
    decisions.flush()
    recorded = raw.decode("ascii", "replace").splitlines()
    if replay.end != "closed" and recorded and not _is_json(recorded[-1]):
        recorded.pop()  # the run was killed while it was writing this line
    _check_decisions(path, raw, recorded, replay.decisions)
    verdict = compare(recorded, lines, entries, is_whole=replay.end == "closed" or replay.error is not None)
    if replay.error is not None and (verdict.difference is None or verdict.difference.replayed is None):
        raise replay.error
    return msgspec.structs.replace(verdict, end=replay.end)


def _check_decisions(path: Path, raw: bytes, lines: list[str], written: tuple[int, str] | None) -> None:
    """Check that the file contains the decisions that the run wrote, if the recording includes their hash. Raises
    ReplayError if the file does not match.
    """
    bad = next((number for number, line in enumerate(lines, 1) if not _is_json(line)), None)
    if bad is not None:
        raise ReplayError(f"{path}:{bad} is damaged: it is not a decision; restore the file from a copy")
    if written is not None and hashlib.sha256(raw).hexdigest() != written[1]:
        raise ReplayError(
            f"{path} is damaged: its {len(lines):,} decisions are not the run's {written[0]:,} (their "
            "hash differs); restore the file from a copy"
        )


def _is_json(line: str) -> bool:
    with contextlib.suppress(ValueError, RecursionError):
        json.loads(line)
        return True
    return False


__all__ = [
    "DecisionDifference",
    "RecordedInputs",
    "RecordingEnd",
    "Replay",
    "ReplayError",
    "RunHeader",
    "Verdict",
    "compare",
    "read_header",
    "verdict_on",
]
