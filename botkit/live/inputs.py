"""What enters the engine, written down as it enters: enough to run the same bot over it again (`botkit.live.replay`).

The engine has no clock, no chance and no I/O, so its decisions are a function of the calls made on it. Each call that
comes from outside of `botkit.engine` is one entry of ``inputs.bin``, with its arguments; calls that the engine makes on
itself are not, since a replay makes them by itself. Where the engine calls back (an answer to a read that the bot
asked for, a change of an order that the breaker watches), the calls made from there stand between two marks.

A market event is put into bytes once the orders that it brought about have left (`Inputs.settle`); compression and
writing wait for `Inputs.flush`, a few times a second, so a kill loses less than a second of it. A file that cannot be
written ends the recording and never the bot, and so does one that has reached its bound, when older runs have already
given way to it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import msgspec

from botkit.engine.strategy.parameters import parameters_of
from botkit.engine.turn import Engine
from botkit.live.journal_rows import order_row
from botkit.live.limits.leases import SharedLimits
from botkit.live.limits.recorded_slots import SlotRecord
from botkit.model.events import OrderBook, Ticker, Trade
from botkit.model.orders import Order
from botkit.model.requests import Answer

log = logging.getLogger("botkit.live")

FORMAT = 1
INPUTS = "inputs.bin"
HEADER = "inputs.json"

#: entries that are no calls: begin of a call back by its number, begin of what an observer does, end of either
BACK, OBSERVED, END = "back", "observed", "end"
#: the last entry of a run that ended in order, and of one whose recording ended before the run did
CLOSED, FULL = "closed", "full"
#: recordings that are kept in a bot's state folder
RUNS_KEPT = 20
#: each entry follows its size
_SIZE_BYTES = 4
_READ_BYTES = 1 << 16

#: where calls come in: name -> how to find the object they are made on
_TARGETS: dict[str, tuple[Callable[[Engine], Any], tuple[str, ...]]] = {
    "engine": (
        lambda e: e,
        ("turn", "attend", "start", "stop", "restore", "halt", "resume", "take_book", "notify", "move_capital"),
    ),
    "desk": (
        lambda e: e.desk,
        ("on_answer", "on_order_report", "on_trade_report", "cancel", "read", "later", "look_at", "forget_before"),
    ),
    "router": (lambda e: e.router, ("cool_down",)),
    "portfolio": (lambda e: e.portfolio, ("open", "restore", "on_balances", "mark")),
    "risk": (lambda e: e.risk, ("halt", "resume")),
    "decisions": (lambda e: e.decisions, ("note",)),
}
#: events of which nobody can change anything until they are put into bytes
_UNCHANGING = (OrderBook, Trade, Ticker)
#: engine modules that stand outside of the turn: the bot drives them
_OUTER = ("botkit.engine.orders.reconcile",)


class Inputs:
    """Records one engine, from before its first call.

    ``shared`` are windows that the engine shares with others.

    ``folder`` is the run's; what else is written there counts as well. All runs together stay within ``bytes_max``, and
    ``tell`` hears why a recording ended before its run.
    """

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        header: Mapping[str, Any],
        *,
        shared: SharedLimits | None = None,
        bytes_max: int = 1 << 30,
        tell: Callable[[str], None] = log.warning,
    ) -> None:
        self._engine = engine
        self._slots = None if shared is None else SlotRecord(shared.leased)
        self._entries: list[bytes] = []
        #: turns of market events, not in bytes yet
        self._later: list[tuple[str, tuple[Any, ...]]] = []
        self._packed: list[bytes] = []
        self._inside = False
        self._changes = 0
        self._backs = 0
        self._packer = zlib.compressobj(1)
        self._encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
        self._folder = folder
        self._bytes_max = bytes_max
        self._tell = tell
        _drop_old(folder.parent)
        #: the runs before this one with their bytes, oldest first
        self._older = [(run, _bytes_of(run)) for run in _runs(folder.parent) if run != folder]
        #: the bound was reached; nothing that belongs to the recording is written any more
        self.is_full = False
        (folder / HEADER).write_text(json.dumps({"format": FORMAT, **header}, indent=1) + "\n", encoding="utf-8")
        self._file: IO[bytes] | None = (folder / INPUTS).open("wb")
        engine.order_observers.insert(0, self._changed)
        self._wrap_history()
        for target, (find, names) in _TARGETS.items():
            owner = find(engine)
            for name in names:
                setattr(owner, name, self._recording(f"{target}.{name}", getattr(owner, name)))
        for strategy, context in engine.contexts.items():
            context.market_sell = self._recording(f"sell.{strategy}", context.market_sell)  # type: ignore[method-assign]

    def settle(self) -> None:
        """Put into bytes, and pack, what came in: little by little, since a second's worth would hold the bot up."""
        self._catch_up()
        if self._entries:
            entries, self._entries = self._entries, []
            self._packed.append(
                self._packer.compress(b"".join(len(entry).to_bytes(_SIZE_BYTES, "big") + entry for entry in entries))
            )

    def _catch_up(self) -> None:
        later, self._later = self._later, []
        for code, arguments in later:
            self._encoded(code, [_typed(argument) for argument in arguments], {})

    def flush(self) -> None:
        """Write what has gathered."""
        self.settle()
        if self._file is None or not self._packed:
            return
        self._put(self._file)
        if self._file is not None:
            self._keep_within_bound(self._file)

    def _put(self, file: IO[bytes]) -> None:
        self.settle()
        packed, self._packed = self._packed, []
        try:
            file.write(b"".join(packed) + self._packer.flush(zlib.Z_SYNC_FLUSH))
            file.flush()
        except OSError as error:
            self._tell(f"this run can no longer be recorded for a replay: {error}")
            self._give_up()

    def _keep_within_bound(self, file: IO[bytes]) -> None:
        """Older runs give way to this one, and where there are none, the recording ends."""
        own = _bytes_of(self._folder)
        while self._older and own + sum(size for _, size in self._older) > self._bytes_max:
            run, _ = self._older.pop(0)
            shutil.rmtree(run, ignore_errors=True)
        if own <= self._bytes_max:
            return
        self.is_full = True
        self._tell(
            f"the recording of this run has reached {own / 2**20:,.0f} MB and ends here: `botkit replay` will show the "
            "run up to now. The bot goes on; `log: {record_mb: ...}` sets the bound"
        )
        self._write(FULL)
        self._put(file)
        self._give_up()

    def _give_up(self) -> None:
        file, self._file = self._file, None
        self._entries.clear()
        self._packed.clear()
        with contextlib.suppress(OSError):
            if file is not None:
                file.close()

    def close(self) -> None:
        """Write the rest and close the file."""
        self._write(CLOSED)
        self.flush()
        file, self._file = self._file, None
        with contextlib.suppress(OSError):
            if file is not None:
                file.write(self._packer.flush())
                file.close()

    # -- recording ------------------------------------------------------------------------------------------------

    def _changed(self, order: Order) -> None:
        self._changes += 1

    def _write(self, code: str, *arguments: Any) -> None:
        self._catch_up()
        self._encoded(code, *arguments)

    def _encoded(self, code: str, *arguments: Any) -> None:
        if self._file is None:
            return
        try:
            self._entries.append(self._encode((code, arguments)))
        except Exception:  # a recording must never end the bot
            log.exception("this run can no longer be recorded for a replay: %s", code)
            self._give_up()

    def _recording(self, code: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            caller = sys._getframe(1).f_globals.get("__name__", "")
            if caller.startswith("botkit.engine.") and caller not in _OUTER:
                return original(*arguments, **options)
            observed = self._inside
            if self._slots is not None:
                self._slots.write(self._write)
            if observed:  # the engine told somebody of something, and that somebody acts within the turn
                self._write(OBSERVED, self._changes)
            arguments = self._noted(code, arguments, options)
            was, self._inside = self._inside, True
            try:
                return original(*arguments, **options)
            finally:
                self._inside = was
                if observed:
                    self._write(END)

        return call

    def _noted(self, code: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
        """Write the call down; its arguments, with calls back that are recorded in place of plain ones."""
        if code == "engine.turn" and not options and type(arguments[0]) in _UNCHANGING:
            self._later.append((code, arguments))
            return arguments
        if code == "engine.start":
            self._write_states()
        if code == "desk.read":
            make, on_answer = arguments
            number = self._next_back()
            plain = {name: value for name, value in options.items() if name in ("endpoint", "owner", "now", "urgent")}
            priority = options.get("priority")
            self._write(code, number, _typed(make(0)), plain, None if priority is None else int(priority))
            return make, self._called_back(number, on_answer)
        if code == "desk.later":
            due, call = arguments
            number = self._next_back()
            self._write(code, number, due)
            return due, self._called_back(number, call)
        if code == "engine.restore":
            order, executed, now = arguments
            executed = list(executed)
            self._write(code, order_row(order), executed, now)
            return order, executed, now
        if code == "engine.notify":
            context, name, event = arguments
            self._write(code, context.name, name, event)
        elif code == "router.cool_down":
            sends, now = list(arguments[0]), arguments[1]
            self._write(code, sends, now)
            return sends, now
        else:
            self._write(code, [_typed(argument) for argument in arguments], options)
        return arguments

    def _next_back(self) -> int:
        self._backs += 1
        return self._backs

    def _called_back(self, number: int, call: Callable[..., Any]) -> Callable[..., Any]:
        def back(*arguments: Any) -> Any:
            self._write(BACK, number)
            was, self._inside = self._inside, False
            try:
                return call(*arguments)
            finally:
                self._inside = was
                self._write(END)

        return back

    def _wrap_history(self) -> None:
        original = self._engine.history

        def history(pair: Any, resolution: str, count: int) -> Any:
            bars = original(pair, resolution, count)
            self._write("history", list(bars))
            return bars

        self._engine.history = history

    def _write_states(self) -> None:
        """What strategies have from earlier runs; it was put into them by hand."""
        for name, context in self._engine.contexts.items():
            state = json.dumps(context.kept(), default=str)
            live = {
                parameter.name: getattr(context.strategy, parameter.name)
                for parameter in parameters_of(type(context.strategy)).values()
                if parameter.live
            }
            self._write("strategy", name, state, live)


def _runs(runs: Path) -> list[Path]:
    """The folders of runs, oldest first."""
    return sorted((path for path in runs.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))


def _bytes_of(run: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(entry.stat().st_size for entry in os.scandir(run))
    return 0


def _drop_old(runs: Path) -> None:
    recorded = [run for run in _runs(runs) if (run / INPUTS).exists()]
    for run in recorded[:-RUNS_KEPT]:
        (run / INPUTS).unlink(missing_ok=True)


def _typed(value: Any) -> Any:
    """A value with the name of its type where it is one of the model's, so that it can be read back."""
    if isinstance(value, Order):
        return ("Order", value.client_id)
    if type(value) is Answer:
        body = value.body
        kind = "" if body is None else type(body).__name__
        if isinstance(body, tuple):
            kind = "*" + type(body[0]).__name__ if body else "()"
        return ("Answer", (value.request_id, value.outcome, value.status, value.text), kind, body)
    if isinstance(value, msgspec.Struct):
        return (type(value).__name__, value)
    return ("", value)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)  # a pair, by its name
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not written down")


class Entries:
    """The entries of a recorded run as (code, arguments), in order, read as they are taken: a run may be longer than
    the memory. A torn end, as a kill leaves it, is left out."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file = path.open("rb")
        self._unpacker = zlib.decompressobj()
        self._decode = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw]).decode
        self._data = bytearray()
        self._at = 0
        self._next = self._read()
        #: how many were taken
        self.taken = 0

    @property
    def next(self) -> tuple[str, msgspec.Raw] | None:
        """The next entry, which stays the next one; None at the end."""
        return self._next

    def take(self) -> tuple[str, msgspec.Raw] | None:
        """The next entry, and go on."""
        entry = self._next
        if entry is not None:
            self.taken += 1
            self._next = self._read()
        return entry

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _read(self) -> tuple[str, msgspec.Raw] | None:
        head = self._bytes(_SIZE_BYTES)
        data = None if head is None else self._bytes(int.from_bytes(head, "big"))
        return None if data is None else self._decode(data)

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


__all__ = ["BACK", "CLOSED", "END", "FORMAT", "FULL", "HEADER", "INPUTS", "OBSERVED", "Entries", "Inputs"]
