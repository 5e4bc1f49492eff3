"""Finds and kills the processes that a test leaves behind.

On Linux, the test process adopts the orphaned processes of its children, so that none is missed. For example, a limits
broker outlives the bot that started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from botkit.live.limits import broker_client, broker_process

_PR_SET_CHILD_SUBREAPER = 36
_BROKER = broker_process.__name__
#: a helper process that Python starts for process pools and never stops
_OF_PYTHON = "multiprocessing.resource_tracker"
#: how long a process may take to exit after being asked; shorter than the time that a broker waits for bots before
#: exiting
_GRACE_S = 20.0


def adopt_orphans() -> None:
    """Adopt processes whose parent has exited."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> dict[int, str]:
    """Return the process IDs and command lines of this process's running children. On systems other than Linux, the
    result is empty.
    """
    if sys.platform != "linux" or not _has_children():
        return {}
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if int(parent) == os.getpid() and state != "Z" and _OF_PYTHON not in line:
                    found[int(entry.name)] = line
    return found


def _has_children() -> bool:
    """Return whether there are any children, including those that have exited. This check needs one system call;
    reading /proc needs hundreds.
    """
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def end(process_id: int) -> None:
    """Kill a child with SIGKILL, and wait for it to exit."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):  # other code has already waited for this process
        os.waitpid(process_id, 0)


def end_all_but(kept: Iterable[int]) -> list[str]:
    """Kill all children except these, and return the command lines of those that should have exited already.

    A process that was asked to exit gets some time to do so. A limits broker is killed immediately: no test asks it to
    exit, because it waits for other bots.
    """
    left = {process_id: line for process_id, line in children().items() if process_id not in set(kept)}
    for process_id in [process_id for process_id, line in left.items() if _BROKER in line]:
        end(process_id)
        del left[process_id]
    until = time.monotonic() + _GRACE_S
    while left and time.monotonic() < until:
        time.sleep(0.02)
        left = {process_id: line for process_id, line in left.items() if process_id in children()}
    for process_id in left:
        end(process_id)
    # forget the brokers that have exited: Python warns about a started process whose exit status was never collected
    broker_client._started[:] = [started for started in broker_client._started if started.poll() is None]
    return list(left.values())
