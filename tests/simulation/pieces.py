"""Splits a long run into pieces (ranges of seeds), runs each piece in a separate process, and saves the results in a
file.

    {"commit": "1f0c...", "layer": "core", "first": 200, "seeds": 100, "cpu_s": 9.1, "counted": 84, ...}

Each line of the file is a finished piece. A resumed run skips the finished pieces that have its commit and layer.
Pieces from other commits stay in the file but are not counted.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import msgspec

from tests.simulation.plan import Layer
from tests.simulation.world import Result

_FORK = multiprocessing.get_context("fork")


class Piece(msgspec.Struct, kw_only=True):
    """A range of seeds with its results."""

    commit: str
    layer: Layer
    first: int
    seeds: int
    cpu_s: float = 0.0
    #: number of seeds whose runs had enough coverage to be counted
    counted: int = 0
    orders: int = 0
    crashes: int = 0
    starts: int = 0
    virtual_s: float = 0.0
    faults: dict[str, int] = {}
    reached: dict[str, int] = {}
    #: (seed, description of the violation)
    broken: list[tuple[int, str]] = []

    def take(self, result: Result) -> None:
        """Add the result of one run."""
        self.counted += result.counts
        self.orders += result.orders
        self.crashes += result.crashes
        self.starts += result.starts
        self.virtual_s += result.virtual_s
        self.faults = _sum(self.faults, result.faults)
        self.reached = _sum(self.reached, result.reached)
        if result.broken:
            self.broken.append((result.seed, result.broken))


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return dict(Counter(one) + Counter(other))


def merged(pieces: list[Piece]) -> Piece:
    """Merge pieces with the same commit and layer into one."""
    whole = msgspec.structs.replace(pieces[0], seeds=0, faults={}, reached={}, broken=[], cpu_s=0.0, virtual_s=0.0)
    whole.counted = whole.orders = whole.crashes = whole.starts = 0
    for piece in sorted(pieces, key=lambda piece: piece.first):
        whole.seeds += piece.seeds
        whole.cpu_s += piece.cpu_s
        whole.counted += piece.counted
        whole.orders += piece.orders
        whole.crashes += piece.crashes
        whole.starts += piece.starts
        whole.virtual_s += piece.virtual_s
        whole.faults = _sum(whole.faults, piece.faults)
        whole.reached = _sum(whole.reached, piece.reached)
        whole.broken += piece.broken
    return whole


def commit() -> str:
    """Return the commit of this checkout, with ``+`` appended if files differ from the commit, or "unknown" outside a
    checkout.
    """
    folder = Path(__file__).parent

    def asked(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return asked("rev-parse", "HEAD") + ("+" if asked("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


class Kept:
    """The file of finished pieces."""

    def __init__(self, path: Path | None) -> None:
        """If ``path`` is None, no pieces are saved."""
        self._path = path

    def read(self, commit: str, layer: Layer) -> list[Piece]:
        """Return the pieces with the given commit and layer. An incomplete last line is ignored."""
        found = []
        for line in [] if self._path is None or not self._path.exists() else self._path.read_bytes().splitlines():
            try:
                piece = msgspec.json.decode(line, type=Piece)
            except msgspec.MsgspecError:
                continue
            if (piece.commit, piece.layer) == (commit, layer):
                found.append(piece)
        return found

    def add(self, piece: Piece) -> None:
        """Append a piece and sync the file."""
        if self._path is None:
            return
        torn = self._path.exists() and self._path.read_bytes()[-1:] not in (b"", b"\n")
        with self._path.open("ab") as file:
            file.write((b"\n" if torn else b"") + msgspec.json.encode(piece) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def left(first: int, seeds: int, size: int, done: list[Piece]) -> Iterator[tuple[int, int]]:
    """Return (first seed, number of seeds) of each unfinished piece in a range. Pieces start at multiples of ``size``
    or where finished pieces end.
    """
    spans = sorted((piece.first, piece.first + piece.seeds) for piece in done)
    at, end = first, first + seeds
    while at < end:
        covered = next((until for begin, until in spans if begin <= at < until), None)
        if covered is not None:
            at = covered
            continue
        until = min([end, (at // size + 1) * size, *(begin for begin, _ in spans if begin > at)])
        yield at, until - at
        at = until


def carried_out(
    pieces: Iterator[Piece], run: Callable[[int, Layer], Result], jobs: int, until: float | None
) -> Iterator[Piece]:
    """Run the pieces in separate processes, ``jobs`` at a time, and yield each piece with its results as it finishes.

    No piece starts after ``until`` (a `time.monotonic` value). A piece that is running at that time stops early, with
    fewer seeds.
    """
    at_work: dict[Connection, tuple[BaseProcess, Piece]] = {}
    has_more = True
    try:
        while has_more or at_work:
            while has_more and len(at_work) < jobs:
                piece = None if until is not None and time.monotonic() > until else next(pieces, None)
                if piece is None:
                    has_more = False
                    break
                here, there = _FORK.Pipe(duplex=False)
                process = _FORK.Process(target=_work, args=(piece, run, until, there), daemon=True)
                process.start()
                there.close()
                at_work[here] = process, piece
            for pipe in wait(list(at_work)) if at_work else ():
                assert isinstance(pipe, Connection)
                process, piece = at_work.pop(pipe)
                try:
                    piece = msgspec.msgpack.decode(pipe.recv_bytes(), type=Piece)
                except EOFError:
                    process.join()
                    piece.broken.append((piece.first, f"process: it ended with {process.exitcode} within this piece"))
                pipe.close()
                process.join()
                if piece.seeds:
                    yield piece
    finally:
        for process, _ in at_work.values():
            process.terminate()
            process.join()


def _work(piece: Piece, run: Callable[[int, Layer], Result], until: float | None, pipe: Connection) -> None:
    began = time.process_time()
    count = 0
    try:
        for seed in range(piece.first, piece.first + piece.seeds):
            if until is not None and time.monotonic() > until:
                break
            piece.take(run(seed, piece.layer))
            count += 1
    except KeyboardInterrupt:
        pass
    piece.seeds, piece.cpu_s = count, time.process_time() - began
    pipe.send_bytes(msgspec.msgpack.encode(piece))
