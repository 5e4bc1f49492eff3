"""Runs a command on one core and measures the entire process: wall time, CPU time and peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

#: libraries that would use multiple threads are restricted to one
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

#: Runs a command, writes its CPU seconds and peak memory in MB to a file, and exits with its code. It stands between
#: this process and the command, because Linux counts the memory of a process towards the peak of those that it starts,
#: and this one has just generated millions of rows.
_LAUNCHER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
scale = 2**20 if sys.platform == "darwin" else 1024
with open(sys.argv[1], "w") as file:
    file.write(f"[{used.ru_utime + used.ru_stime}, {used.ru_maxrss / scale}]")
sys.exit(code)
"""


class Failed(Exception):
    """Error raised if a run exits with an error. The message is the last line of its output."""


class Measured(msgspec.Struct, frozen=True):
    """A finished process: its times in seconds, its peak memory in megabytes, and the results that it printed."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    figures: dict[str, Any]


def measure(command: Sequence[str], *, cores: int = 1, path: Path | None = None, state: Path | None = None) -> Measured:
    """Run a command whose last line is JSON. ``path`` is added to Python's search path, and ``state`` is the folder for
    botkit's looks. Raises Failed.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | _ONE_THREAD
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    if state is not None:
        environment["BOTKIT_STATE"] = str(state)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryDirectory() as folder:
        usage = Path(folder) / "usage"
        launched = [sys.executable, "-S", "-c", _LAUNCHER, str(usage), *command]
        begin = time.perf_counter()
        process = subprocess.Popen(launched, stdout=out, stderr=err, env=environment)
        _keep_to(process.pid, cores)
        process.wait()
        wall_s = time.perf_counter() - begin
        cpu_s, peak_mb = json.loads(usage.read_text())
        lines, errors = (_lines(file) for file in (out, err))
    if process.returncode:
        raise Failed(errors[-1] if errors else f"ended with {process.returncode}")
    return Measured(wall_s, cpu_s, peak_mb, json.loads(lines[-1]) if lines else {})


def _keep_to(process_id: int, cores: int) -> None:
    """Restrict a newly started process to this number of cores, if the system supports it."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(process_id, allowed[-cores:])


def _lines(file: Any) -> list[str]:
    file.seek(0)
    return [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
