"""Columns of numbers whose older rows are in a temporary file, so that a long run takes no more memory than a short
one.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from botkit.backtesting.spill_file import SpillFile

Values = npt.NDArray[Any]

#: the number of rows that are written at a time; up to this many, all rows stay in memory
BLOCK_ROWS = 16_384


class SpilledColumns:
    """Equally long columns. ``kinds`` has each column's type code as in `array`, "q" for integers and "d" for floats.

    The latest rows are in ``tail``, in memory, and may be changed. Older rows are read back in blocks. If the temporary
    file cannot be written, for example because the disk is full, all rows stay in memory.
    """

    def __init__(self, kinds: str) -> None:
        self._kinds = kinds
        self.tail: list[array[Any]] = [array(kind) for kind in kinds]
        self._file = SpillFile()
        #: for each block, its offset in the file, or its bytes
        self._blocks: list[int | bytes] = []

    def __len__(self) -> int:
        return len(self._blocks) * BLOCK_ROWS + len(self.tail[0])

    @property
    def is_in_memory(self) -> bool:
        """True if all rows are in ``tail``."""
        return not self._blocks

    def extend(self, *columns: Values) -> None:
        """Append rows. At least the last row is then in ``tail``."""
        for kind, tail, values in zip(self._kinds, self.tail, columns, strict=True):
            tail.frombytes(np.ascontiguousarray(values, kind).view(np.uint8).data)
        done = 0
        while len(self.tail[0]) - done > BLOCK_ROWS:
            self._keep(b"".join(memoryview(tail)[done : done + BLOCK_ROWS].tobytes() for tail in self.tail))
            done += BLOCK_ROWS
        if done:
            self.tail = [tail[done:] for tail in self.tail]

    def _keep(self, block: bytes) -> None:
        begin = self._file.write(block)
        self._blocks.append(block if begin is None else begin)

    def blocks(self) -> Iterator[list[Values]]:
        """Yield the columns in blocks of rows."""
        for number in range(len(self._blocks)):
            yield [self._block(number, place) for place in range(len(self._kinds))]
        if len(self.tail[0]):
            yield [np.array(tail) for tail in self.tail]

    def _block(self, number: int, place: int) -> Values:
        kept, size = self._blocks[number], BLOCK_ROWS * 8
        if isinstance(kept, bytes):
            part = kept[place * size : (place + 1) * size]
        else:
            part = self._file.read(kept + place * size, size)
        return np.frombuffer(part, self._kinds[place])

    def rows(self, place: int, begin: int, end: int) -> Values:
        """Return rows of the column at ``place``, as a copy."""
        found = np.empty(max(0, end - begin), self._kinds[place])
        at = begin
        while at < end:
            number, row = divmod(at, BLOCK_ROWS)
            block = self._block(number, place) if number < len(self._blocks) else np.array(self.tail[place])
            part = block[row : row + end - at]
            found[at - begin : at - begin + len(part)] = part
            at += len(part)
        return found

    def column(self, place: int, change: Callable[[Values], Values] = lambda values: values) -> SpilledColumn:
        """Return the column at ``place`` as a sequence; ``change`` is applied to the rows as they are read."""
        return SpilledColumn(self, place, change)


class SpilledColumn(Sequence[Any]):
    """One of the columns, as a sequence that numpy can read. It is pickled as an array."""

    def __init__(self, columns: SpilledColumns, place: int, change: Callable[[Values], Values]) -> None:
        self._columns = columns
        self._place = place
        self._change = change

    def __len__(self) -> int:
        return len(self._columns)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> array[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if not isinstance(index, slice):
            at = range(len(self))[index]
            return self._read(at, at + 1).item()
        begin, end, step = index.indices(len(self))
        return _as_array(self._read(begin, end) if step == 1 else self._read(0, len(self))[index])

    def __iter__(self) -> Iterator[Any]:
        for begin in range(0, len(self), BLOCK_ROWS):
            yield from self[begin : begin + BLOCK_ROWS]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Values:
        return self._read(0, len(self)).astype(dtype, copy=False)

    def __reduce__(self) -> tuple[Callable[[Values], array[Any]], tuple[Values]]:
        return _as_array, (self._read(0, len(self)),)

    def _read(self, begin: int, end: int) -> Values:
        return self._change(self._columns.rows(self._place, begin, end))


def _as_array(values: Values) -> array[Any]:
    return array("q" if values.dtype.kind == "i" else "d", values.tobytes())
