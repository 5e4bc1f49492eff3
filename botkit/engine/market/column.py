"""Growing columns that can be read as numpy arrays. Readers can neither write to them nor look ahead."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

_FIRST_CAPACITY = 256


class _Exporter:
    """Exposes a buffer's memory to numpy as read-only and hides the buffer itself.

    A plain read-only view is no protection: its ``.base`` is the writable buffer, and a view of an owned buffer can be
    made writable again. Neither is possible if the memory comes from a foreign object marked read-only.
    """

    __slots__ = ("__array_interface__", "__weakref__")

    def __init__(self, buffer: npt.NDArray[Any]) -> None:
        interface = dict(buffer.__array_interface__)
        interface["data"] = (interface["data"][0], True)
        self.__array_interface__ = interface
        # the buffer lives as long as any view: a view keeps this object alive, and the object's finalizer keeps the
        # buffer alive
        weakref.finalize(self, _let_go, buffer).atexit = False


def _let_go(buffer: npt.NDArray[Any]) -> None:
    """Do nothing. The finalizer exists only to hold a reference to the buffer."""


class Column:
    """A growing column. Memory beyond the last row stays zero until a finished bar is written there."""

    __slots__ = ("_buffer", "_start", "_stop", "_view", "_whole")

    def __init__(self, dtype: Any) -> None:
        self._start = self._stop = 0
        self._adopt(np.zeros(_FIRST_CAPACITY, dtype))

    @property
    def dtype(self) -> Any:
        """The type of a row."""
        return self._buffer.dtype

    def _adopt(self, buffer: npt.NDArray[Any]) -> None:
        self._buffer = buffer
        self._whole = np.asarray(_Exporter(buffer))
        self._view: npt.NDArray[Any] | None = None

    def _make_room(self, count: int, keep: int | None) -> None:
        start, stop = self._start, self._stop
        rows = stop - start
        if keep is not None:
            rows = max(0, min(rows, keep - count))
        # rows are never moved within existing memory, so views that a strategy still holds do not change
        grown: npt.NDArray[Any] = np.zeros(max(_FIRST_CAPACITY, 2 * (rows + count)), self._buffer.dtype)
        grown[:rows] = self._buffer[stop - rows : stop]
        self._adopt(grown)
        self._start, self._stop = 0, rows

    def push(self, value: Any, keep: int | None) -> None:
        """Add one row. Only the last ``keep`` rows remain visible."""
        if self._stop == len(self._buffer):
            self._make_room(1, keep)
        self._buffer[self._stop] = value
        self._stop += 1
        if keep is not None and self._stop - self._start > keep:
            self._start += 1
        self._view = None

    def extend(self, values: npt.NDArray[Any], keep: int | None) -> None:
        """Add rows. Only the last ``keep`` rows remain visible."""
        count = len(values)
        if self._stop + count > len(self._buffer):
            self._make_room(count, keep)
        self._buffer[self._stop : self._stop + count] = values
        self._stop += count
        if keep is not None:
            self._start = max(self._start, self._stop - keep)
        self._view = None

    def __len__(self) -> int:
        return self._stop - self._start

    def last(self) -> Any:
        """Return the latest row, or None."""
        return self._buffer[self._stop - 1] if self._stop > self._start else None

    def view(self) -> npt.NDArray[Any]:
        """Return the visible rows, read-only."""
        view = self._view
        if view is None:
            view = self._view = self._whole[self._start : self._stop]
        return view
