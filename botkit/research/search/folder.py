"""A search's folder: the definition of the search, every evaluation, and the best configuration.

    study.json       the search's definition; only an identical search can continue it
    trials.jsonl     one evaluation per line, in order of completion
    best.yaml        the configuration with the best parameters, ready to run
    search.html      the page

An incomplete last line is dropped, so if a search is interrupted during a write, only that evaluation is lost.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from botkit.backtesting.outputs import next_number, run_numbers
from botkit.errors import ConfigError
from botkit.research.search.study import Evaluation, TrialRun

__all__ = ["SEARCHES", "SearchFolder", "newest_search", "next_search", "write_whole"]

SEARCHES = "searches"
DEFINITION, TRIALS, BEST = "study.json", "trials.jsonl", "best.yaml"
PAGE = "search.html"
_FORMAT = 2
#: what a hash in the definition stands for
_HASHED = {
    "code": "the strategies' code has changed",
    "config": "the configuration has changed",
    "data": "the recorded data has changed",
}


class SearchFolder:
    """Stores a search's evaluations and its result. Use it as a context manager."""

    def __init__(self, path: Path, definition: Mapping[str, Any], *, is_continued: bool) -> None:
        """Create the folder, or open a folder created in an earlier session. Raises ConfigError."""
        self.path = path
        self._definition = {"format": _FORMAT, **definition}
        self._file: FileIO | None = None
        self.known: dict[tuple[int, float], Evaluation] = {}
        if is_continued:
            self._check_same()
            self.known = self._read()
        else:
            self._create()

    def __enter__(self) -> SearchFolder:
        self._file = (self.path / TRIALS).open("ab", buffering=0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, job: TrialRun, evaluation: Evaluation) -> None:
        """Append one evaluation. Raises ConfigError if writing fails."""
        assert self._file is not None, "the folder is not open"
        row = {
            "number": job.number,
            "share": job.share,
            "start_ns": job.start,
            "end_ns": job.end,
            "params": job.point,
            "summary": evaluation.summary,
            "journal_sha256": evaluation.journal_sha256,
            "error": evaluation.error,
        }
        try:
            line = (json.dumps(row, allow_nan=False) + "\n").encode()
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise ConfigError(
                f"{self.path / TRIALS}: cannot be written ({error.strerror}); earlier trials are kept, and "
                "--continue resumes the search once there is space"
            ) from None

    def write_best(self, text: str) -> Path:
        """Write the best configuration atomically and return its path. Raises ConfigError."""
        return write_whole(self.path / BEST, text)

    def write_page(self, html: str) -> Path:
        """Write the page and return its path. Raises ConfigError."""
        return write_whole(self.path / PAGE, html)

    def _create(self) -> None:
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ConfigError(f"{self.path} is not an empty folder; choose another --out, or --continue the search")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.path}: the folder cannot be created ({error.strerror})") from None
        write_whole(self.path / DEFINITION, json.dumps(self._definition, indent=2) + "\n")

    def _check_same(self) -> None:
        path = self.path / DEFINITION
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise ConfigError(f"{path}: there is no search to continue here; omit --continue") from None
        if not isinstance(found, dict):
            raise ConfigError(f"{path}: this does not describe a search; omit --continue to start a new one")
        same = json.loads(json.dumps(self._definition))
        for key in {**found, **same}:
            if found.get(key) == same.get(key):
                continue
            if key in _HASHED and found.get("format") == _FORMAT:
                raise ConfigError(
                    f"{path}: {_HASHED[key]} since that search; restore it, or omit --continue to start a new search"
                )
            raise ConfigError(
                f"{path}: that search had {key} = {json.dumps(found.get(key))}, this one has "
                f"{json.dumps(same.get(key))}; restore the old value, or omit --continue to start a new search"
            )

    def _read(self) -> dict[tuple[int, float], Evaluation]:
        path = self.path / TRIALS
        if not path.exists():
            return {}
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):  # the last line is incomplete, so the trial it describes runs again
            with path.open("r+b") as file:
                file.truncate(len(whole))
        known = {}
        for line, text in enumerate(whole.decode("utf-8", "replace").splitlines(), 1):
            try:
                row = json.loads(text)
                key = (int(row["number"]), float(row["share"]))
                known[key] = Evaluation(dict(row["summary"]), str(row["journal_sha256"]), str(row["error"]))
            except (ValueError, KeyError, TypeError):
                raise ConfigError(f"{path}:{line}: this line is damaged; delete it, and its trial runs again") from None
        return known


def newest_search(parent: Path) -> Path:
    """Return the folder of the newest search below ``parent``. Raises ConfigError if there is none."""
    numbers = run_numbers(parent)
    if not numbers:
        raise ConfigError(f"{parent}: there is no search to continue; omit --continue")
    return parent / str(numbers[-1])


def next_search(parent: Path) -> Path:
    """Return the folder for the next search below ``parent``."""
    return parent / str(next_number(parent))


def write_whole(path: Path, text: str) -> Path:
    """Write a file completely or not at all, and return its path. Raises ConfigError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from None
    return path
