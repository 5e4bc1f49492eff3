"""Rows in files that all processes on a machine map into memory, so that they share one copy."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from botkit.model.columns import MarketColumns
from botkit.model.pairs import Pair
from botkit.tape.manifest import Kind
from botkit.tape.parquet import COLUMNS, columns_of_kind


class MappedRows:
    """A folder of mapped streams. The first process that needs a stream writes its rows there; other processes map
    them.
    """

    def __init__(self, folder: Path, pairs: Mapping[str, Pair]) -> None:
        self._folder = folder
        self._pairs = pairs

    def stream(
        self, key: tuple[str, Kind, str | None], read: Callable[[], MarketColumns | None]
    ) -> MarketColumns | None:
        """Return a stream's rows. If no process has read them before, call ``read`` to get them."""
        pair, kind, resolution = key
        # in hex, because some file systems do not distinguish 1m from 1M
        folder = self._folder / f"{pair}-{kind}-{(resolution or '').encode().hex()}"
        if not folder.is_dir():
            rows = read()
            if rows is None or not self._write(folder, rows, kind):
                return rows
        arrays = [np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in COLUMNS[kind]]
        return columns_of_kind(self._pairs[pair], kind, resolution, arrays)

    def _write(self, folder: Path, rows: MarketColumns, kind: Kind) -> bool:
        """Write rows, unless another process has already written them. Return False if they cannot be written, for
        example because the disk is full.
        """
        beside = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(prefix=".writing-", dir=self._folder))
            for name in COLUMNS[kind]:
                np.save(beside / f"{name}.npy", getattr(rows, name))
            with contextlib.suppress(OSError):  # another process has already written the same rows there
                beside.rename(folder)
        except OSError:
            return False
        finally:
            if beside is not None:
                shutil.rmtree(beside, ignore_errors=True)
        return folder.is_dir()
