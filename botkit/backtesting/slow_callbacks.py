"""Detects callbacks that would block a live bot. A backtest waits for a slow callback, so the delay does not show up in
its metrics.

A thread samples the main thread's stack. If the outermost strategy frame is the same object in two samples, the samples
were taken during the same call. That call has lasted at least as long as the time between the samples.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType

import msgspec

#: a live bot warns about callbacks that run this long (`botkit.live.watchdog`)
LIMIT_S = 0.25
_LOOK_S = 0.05
#: the maximum number of code locations to report; each gets one sentence
_PLACES_MAX = 10
_PACKAGE = str(Path(__file__).resolve().parents[1])


class SlowCallback(msgspec.Struct, frozen=True, kw_only=True):
    """A callback that ran longer than a live bot can tolerate. ``where`` is file:line in the strategy."""

    callback: str
    where: str
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.callback} took over {self.seconds:.2f} s at {self.where}; meanwhile, a live bot is blocked: it "
            f"cannot read responses or cancel orders"
        )


class SlowCallbacks:
    """A context manager that monitors the thread that enters it. ``report`` is called from another thread."""

    def __init__(self, report: Callable[[SlowCallback], None], *, limit_s: float = LIMIT_S) -> None:
        self._report = report
        self._limit_s = limit_s
        self._watched = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="slow callbacks", daemon=True)
        self._told: set[str] = set()

    def __enter__(self) -> SlowCallbacks:
        self._watched = threading.get_ident()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        seen: FrameType | None = None
        since = 0.0
        while not self._ended.wait(_LOOK_S):
            frames = strategy_frames(sys._current_frames().get(self._watched))
            outermost = next(frames, None)
            now = time.monotonic()
            if outermost is None or outermost is not seen:
                seen, since = outermost, now
            elif now - since >= self._limit_s:
                self._tell(outermost, frames, now - since)

    def _tell(self, outermost: FrameType, inner: Iterator[FrameType], seconds: float) -> None:
        file = outermost.f_code.co_filename
        own = [frame for frame in inner if frame.f_code.co_filename == file]
        where = f"{file}:{(own[-1] if own else outermost).f_lineno}"
        if where not in self._told and len(self._told) < _PLACES_MAX:
            self._told.add(where)
            self._report(SlowCallback(callback=outermost.f_code.co_name, where=where, seconds=seconds))


def strategy_frames(innermost: FrameType | None) -> Iterator[FrameType]:
    """Yield the frames of the most recent call from botkit into external code, starting with the callback's own frame.
    Yields nothing if there is no such call.
    """
    stack: list[FrameType] = []
    while innermost is not None:
        stack.append(innermost)
        innermost = innermost.f_back
    stack.reverse()
    engine = [i for i, frame in enumerate(stack) if _is_engine(frame)]
    if engine:
        first = next((i for i in range(engine[0] + 1, len(stack)) if not _is_inner(stack[i])), None)
        if first is not None:
            yield from stack[first:]


def _is_engine(frame: FrameType) -> bool:
    file = frame.f_code.co_filename.replace("\\", "/")
    return file.startswith((f"{_PACKAGE}/engine/", "botkit/engine/"))


def _is_inner(frame: FrameType) -> bool:
    file = frame.f_code.co_filename.replace("\\", "/")
    # Compiled modules record file names relative to the package. If a plugin wraps a callback, pluggy's frames surround
    # the callback's frame.
    return file.startswith((f"{_PACKAGE}/", "botkit/", "<")) or "/pluggy/" in file or "/site-packages/numpy/" in file
