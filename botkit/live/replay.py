"""Running the same engine over what entered it before: each decision is the same, or the first that differs is shown.

What differs then is the code: another botkit, another version of a strategy, a changed configuration, or a strategy
that reads a clock, chance of its own, or the network.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from botkit.engine.router.router import Priority, SentBefore
from botkit.engine.turn import Engine
from botkit.errors import BotkitError
from botkit.live.inputs import BACK, CLOSED, END, FORMAT, FULL, HEADER, INPUTS, OBSERVED, Entries
from botkit.live.journal_rows import ORDER_FIELDS, order_of
from botkit.live.settings import set_parameter
from botkit.model import events, requests
from botkit.model.clock import Nanos
from botkit.model.events import Bar
from botkit.model.limits import SlotsChanged
from botkit.model.orders import Order
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, Outcome

_TYPES: dict[str, type[Any]] = {
    name: thing
    for module in (events, requests)
    for name, thing in vars(module).items()
    if isinstance(thing, type) and issubclass(thing, msgspec.Struct)
}


class ReplayError(BotkitError):
    """The run cannot be replayed; the message says why."""


class Difference(msgspec.Struct, frozen=True):
    """The first decision that is not the recorded one, by its line; None where a side has no more."""

    line: int
    recorded: str | None
    replayed: str | None


class Verdict(msgspec.Struct, frozen=True):
    """What a replay showed. ``decisions`` were compared; ``unflushed`` more were made than the run had written.

    ``ends_early``: the run went on when its recording had reached its bound.
    """

    entries: int
    decisions: int
    unflushed: int
    difference: Difference | None
    ends_early: bool = False


class _Diverged(Exception):
    """The engine asks in another order than it did; what it decided up to here says where."""


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
        raise ReplayError(f"{run} was recorded in format {header.get('format')}, and this botkit replays {FORMAT}")
    return header


class Replay:
    """Plays one run's inputs into an engine that was made as the run's was."""

    def __init__(self, engine: Engine, run: Path, pairs: Mapping[str, Pair]) -> None:
        self._engine = engine
        self._pairs = dict(pairs)
        try:
            self._entries = Entries(run / INPUTS)
        except OSError as error:
            raise ReplayError(f"{run / INPUTS} cannot be read: {error}") from None
        self._changes = 0
        #: the run ended in order, and was played to its end
        self.is_whole = False
        #: the recording ended before the run did, at its bound
        self.ends_early = False
        #: the engine asked for something in another order than it did in the run
        self.diverged = False
        #: what the engine raised, which is no news where it had decided otherwise before
        self.error: Exception | None = None
        self._decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}
        engine.history = self._history
        engine.order_observers.append(self._changed)

    def run(self) -> int:
        """Play everything; how many entries were played. A run that was killed may end within an entry's calls."""
        try:
            while self._entries.next is not None and not self.is_whole:
                code, raw = self._next()
                if code == CLOSED:
                    self.is_whole = True
                elif code == FULL:
                    self.ends_early = True
                else:
                    self._play(code, raw)
        except _Diverged:
            self.diverged = self._entries.next is not None
        except ReplayError:
            raise
        except Exception as error:  # such as an answer to a request that was not made this time
            self.diverged, self.error = True, error
        finally:
            self._entries.close()
        return self._entries.taken

    # -- entries --------------------------------------------------------------------------------------------------

    def _next(self) -> tuple[str, msgspec.Raw]:
        entry = self._entries.take()
        if entry is None:
            raise _Diverged
        return entry

    def _as(self, kind: Any, raw: Any) -> Any:
        decoder = self._decoders.get(kind)
        if decoder is None:
            decoder = self._decoders[kind] = msgspec.msgpack.Decoder(kind, dec_hook=self._special)
        return decoder.decode(raw)

    def _special(self, kind: type[Any], value: Any) -> Any:
        if kind is Pair:
            return self._pairs[value]
        raise TypeError(kind.__name__)

    def _value(self, raw: msgspec.Raw) -> Any:
        """One argument of a call, from (type's name, value)."""
        name, *rest = self._as(list[msgspec.Raw], raw)
        name = self._as(str, name)
        if name == "":
            return self._as(Any, rest[0])
        if name == "Order":
            return self._order(self._as(int, rest[0]))
        if name not in _TYPES:
            raise ReplayError(f"the run holds a {name!r}, which this botkit does not know")
        if name != "Answer":
            return self._as(_TYPES[name], rest[0])
        request_id, outcome, status, text = self._as(tuple[int, Outcome, int, str], rest[0])
        body = self._body(self._as(str, rest[1]), rest[2])
        return Answer(request_id=request_id, outcome=outcome, status=status, text=text, body=body)

    def _body(self, kind: str, raw: msgspec.Raw) -> Any:
        if kind in ("", "()"):
            return () if kind else None
        if kind.startswith("*"):
            return self._as(tuple[_TYPES[kind[1:]], ...], raw)  # type: ignore[misc]
        return self._as(_TYPES[kind], raw)

    def _order(self, client_id: int) -> Order:
        order = self._engine.desk.orders.get(client_id)
        if order is None:
            raise _Diverged
        return order

    # -- calls ----------------------------------------------------------------------------------------------------

    def _play(self, code: str, raw: msgspec.Raw) -> None:
        engine = self._engine
        special: Callable[[msgspec.Raw], None] | None = getattr(self, "_" + code.replace(".", "_"), None)
        if special is not None:
            special(raw)
            return
        target, _, name = code.partition(".")
        values, options = self._as(tuple[list[msgspec.Raw], dict[str, Any]], raw)
        arguments = [self._value(value) for value in values]
        if target == "sell":
            sell = engine.contexts[name].market_sell
            sell(self._pairs[arguments[0]], Decimal(arguments[1]), *arguments[2:], **options)
            return
        if target == "desk" and name.startswith("on_") and self._depth == 0:
            engine.now = arguments[1]  # before the start the driver itself tells the engine the time
        if code == "portfolio.mark":
            arguments[0] = self._pairs[arguments[0]]
        owner = engine if target == "engine" else getattr(engine, target)
        self._depth += 1
        try:
            getattr(owner, name)(*arguments, **options)
        finally:
            self._depth -= 1

    _depth = 0

    def _desk_read(self, raw: msgspec.Raw) -> None:
        number, request, options, priority = self._as(tuple[int, msgspec.Raw, dict[str, Any], int | None], raw)
        made = self._value(request)
        if priority is not None:
            options["priority"] = Priority(priority)
        self._engine.desk.read(
            lambda i: msgspec.structs.replace(made, id=i), lambda answer, now: self._back(number), **options
        )

    def _desk_later(self, raw: msgspec.Raw) -> None:
        number, due = self._as(tuple[int, Nanos], raw)
        self._engine.desk.later(due, lambda now: self._back(number))

    def _engine_restore(self, raw: msgspec.Raw) -> None:
        row, executed, now = self._as(tuple[list[Any], list[tuple[int, int]], Nanos], raw)
        order = order_of(dict(zip(ORDER_FIELDS, row, strict=True)), self._pairs)
        self._engine.restore(order, executed, now)

    def _engine_notify(self, raw: msgspec.Raw) -> None:
        strategy, name, changed = self._as(tuple[str, str, Any], raw)
        if name != "on_params":
            raise ReplayError(f"the run tells {strategy} of {name!r}, which this botkit does not replay")
        for parameter, value in changed.items():
            set_parameter(self._engine, strategy, parameter, value)

    def _slots(self, raw: msgspec.Raw) -> None:
        self._engine.router.slots_changed(*self._as(tuple[SlotsChanged], raw))

    def _router_cool_down(self, raw: msgspec.Raw) -> None:
        sends, now = self._as(tuple[list[SentBefore], Nanos], raw)
        self._engine.router.cool_down(sends, now)

    def _strategy(self, raw: msgspec.Raw) -> None:
        name, document, live = self._as(tuple[str, str, dict[str, Any]], raw)
        context = self._engine.contexts[name]
        context.recall(json.loads(document))
        for parameter, value in live.items():
            if getattr(context.strategy, parameter) != value:
                set_parameter(self._engine, name, parameter, value, tell=False)

    # -- calls back -----------------------------------------------------------------------------------------------

    def _back(self, number: int) -> None:
        if not self._comes(BACK, number):
            raise _Diverged
        self._until_end()

    def _changed(self, order: Order) -> None:
        self._changes += 1
        while self._comes(OBSERVED, self._changes):
            self._until_end()

    def _comes(self, code: str, number: int) -> bool:
        """True, and takes it, when this is the next entry."""
        entry = self._entries.next
        if entry is None or entry[0] != code or self._as(tuple[int], entry[1]) != (number,):
            return False
        self._entries.take()
        return True

    def _until_end(self) -> None:
        while True:
            code, raw = self._next()
            if code == END:
                return
            self._play(code, raw)

    def _history(self, pair: Pair, resolution: str, count: int) -> list[Bar]:
        entry = self._entries.next
        if entry is None or entry[0] != "history":
            raise _Diverged
        self._entries.take()
        bars: list[Bar] = self._as(tuple[list[Bar]], entry[1])[0]
        return bars


def compare(recorded: list[str], replayed: list[str], entries: int, *, is_whole: bool) -> Verdict:
    """Hold the decisions against each other. A run that was killed (``is_whole`` false) may have made more than it had
    written, or written more than what led to it."""
    for number, (before, after) in enumerate(itertools.zip_longest(recorded, replayed), 1):
        if before is None and not is_whole:
            return Verdict(entries, len(recorded), len(replayed) - len(recorded), None)
        if after is None and not is_whole:
            return Verdict(entries, len(replayed), 0, None)
        if before != after:
            return Verdict(entries, number - 1, 0, Difference(number, before, after))
    return Verdict(entries, len(recorded), 0, None)


__all__ = ["Difference", "Replay", "ReplayError", "Verdict", "compare", "read_header"]
