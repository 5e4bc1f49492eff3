"""Delays Ctrl-C until a search is in a consistent state.

Python raises KeyboardInterrupt between any two instructions of the main thread. If that happens after a process pool
lock was acquired but before its release was scheduled, the lock is never released and the pool waits forever. If it
happens in a weak reference callback, Python prints the exception and continues. Therefore the signal is only recorded,
and the search checks for it after every trial and several times per second.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["NEVER", "Interrupts", "born_deaf"]


class Interrupts:
    """A context manager that records Ctrl-C. A second Ctrl-C raises KeyboardInterrupt immediately.

    Signals arrive only in the main thread. In other threads, or if other code handles Ctrl-C, this class does nothing.
    """

    def __init__(self) -> None:
        #: True once Ctrl-C has been pressed
        self.came = False
        self._is_open = False
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.came or self._is_open:
            self.came = True
            raise KeyboardInterrupt
        self.came = True

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self.came:
            raise KeyboardInterrupt

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let Ctrl-C raise KeyboardInterrupt immediately inside the block. The block may take a long time and must be
        safe to interrupt.
        """
        self._is_open = True
        try:
            self.check()
            yield
        finally:
            self._is_open = False


#: for a runner whose caller handles Ctrl-C
NEVER = Interrupts()


@contextmanager
def born_deaf() -> Iterator[None]:
    """Make processes started inside the block ignore Ctrl-C from the start. A terminal sends Ctrl-C to all processes,
    but only the driver should react. A signal that arrives inside the block is delivered after the block.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield  # on Windows, a worker ignores Ctrl-C as soon as it runs
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
