"""Holds Ctrl-C back until a search is at a place where nothing is left half done.

Python raises KeyboardInterrupt between any two instructions of the main thread. Between taking a lock of the process
pool and noting that it must be released, that leaves the lock taken and the pool waiting for itself; within a weak
reference's callback, Python prints the exception and goes on. So the signal is only noted, and the search looks at the
note after every trial and several times a second.
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
    """Notes Ctrl-C while it is entered; a second one raises KeyboardInterrupt at once.

    Signals arrive in the main thread only. Outside it, or where somebody else handles Ctrl-C, nothing changes.
    """

    def __init__(self) -> None:
        #: True once Ctrl-C was pressed
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
        """Let Ctrl-C raise KeyboardInterrupt at once inside the block, which may take long and can be left anywhere."""
        self._is_open = True
        try:
            self.check()
            yield
        finally:
            self._is_open = False


#: for a runner whose caller handles Ctrl-C itself
NEVER = Interrupts()


@contextmanager
def born_deaf() -> Iterator[None]:
    """Let processes that are started inside the block not hear Ctrl-C, not even before they can ignore it: a terminal
    sends it to all of them, and the driver alone decides. A signal that arrives meanwhile arrives after the block.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield  # on Windows a worker ignores it as soon as it runs
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
