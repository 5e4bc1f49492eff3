"""Reads the rows of a result column by column and in blocks, so that the rows of a long run need not be in memory as
objects. Works for any sequence of rows; a sequence that stores columns (`RowColumns`) returns them without rows.

    for sides, lots in column_blocks(result.fills, "side", "lots"): ...       # two lists for each block
    for order_id, tag in row_values(result.orders, "order_id", "spec.tag"): ...
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

__all__ = [
    "BLOCK_ROWS",
    "ChosenRows",
    "RowColumns",
    "block_count",
    "block_length",
    "column_blocks",
    "columns_of",
    "row_blocks",
    "row_values",
]

#: the number of rows in a block of a sequence of objects
BLOCK_ROWS = 2_048

_Row = TypeVar("_Row")


class RowColumns(Sequence[_Row]):
    """Rows that are stored in columns. A name with a dot is a field of a row's field."""

    @abstractmethod
    def columns_of(self, block: int, names: Sequence[str]) -> list[list[Any]]:
        """Return the columns of a block of rows."""

    @abstractmethod
    def rows_of(self, block: int) -> Sequence[_Row]:
        """Return the rows of a block."""

    @property
    @abstractmethod
    def block_rows(self) -> int:
        """The number of rows in each block except the last."""


class ChosenRows(RowColumns[_Row]):
    """Some rows of another sequence, read from it when they are needed. ``places`` are their indices, ascending."""

    def __init__(self, rows: Sequence[_Row], places: npt.NDArray[np.integer[Any]]) -> None:
        self._rows = rows
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> _Row: ...

    @overload
    def __getitem__(self, index: slice) -> list[_Row]: ...

    def __getitem__(self, index: int | slice) -> _Row | list[_Row]:
        if isinstance(index, slice):
            return [self._rows[place] for place in self._places[index].tolist()]
        return self._rows[int(self._places[index])]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def block_rows(self) -> int:
        """The number of rows in each block except the last."""
        return BLOCK_ROWS

    def columns_of(self, block: int, names: Sequence[str]) -> list[list[Any]]:
        """Return the columns of a block of rows."""
        found: list[list[Any]] = [[] for _ in names]
        for number, rows in self._sources(block):
            for column, values_there in zip(found, columns_of(self._rows, number, *names), strict=True):
                column += [values_there[row] for row in rows]
        return found

    def rows_of(self, block: int) -> list[_Row]:
        """Return the rows of a block."""
        return self[block * BLOCK_ROWS : (block + 1) * BLOCK_ROWS]

    def _sources(self, block: int) -> Iterator[tuple[int, list[int]]]:
        """Yield the blocks that contain rows of this block, with the rows' places in them."""
        size = _block_rows(self._rows)
        places = self._places[block * BLOCK_ROWS : (block + 1) * BLOCK_ROWS]
        numbers = places // size
        for number in np.unique(numbers).tolist():
            yield number, (places[numbers == number] - number * size).tolist()


def block_count(rows: Sequence[Any]) -> int:
    """Return the number of blocks in which rows are read."""
    return -(-len(rows) // _block_rows(rows))


def block_length(rows: Sequence[Any], block: int) -> int:
    """Return the number of rows in a block."""
    size = _block_rows(rows)
    return min(size, len(rows) - block * size)


def column_blocks(rows: Sequence[Any], *names: str, backwards: bool = False) -> Iterator[list[list[Any]]]:
    """Yield the columns of each block of rows, the last block first if ``backwards``."""
    numbers = range(block_count(rows))
    for number in reversed(numbers) if backwards else numbers:
        yield columns_of(rows, number, *names)


def columns_of(rows: Sequence[Any], block: int, *names: str) -> list[list[Any]]:
    """Return the columns of one block of rows."""
    if isinstance(rows, RowColumns):
        return rows.columns_of(block, names)
    part = rows[block * BLOCK_ROWS : (block + 1) * BLOCK_ROWS]
    return [[read(row) for row in part] for read in map(attrgetter, names)]


def row_blocks(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    """Yield the rows block by block."""
    for number in range(block_count(rows)):
        if isinstance(rows, RowColumns):
            yield rows.rows_of(number)
        else:
            yield rows[number * BLOCK_ROWS : (number + 1) * BLOCK_ROWS]


def row_values(rows: Sequence[Any], *names: str) -> Iterator[Any]:
    """Yield one column's values, or a tuple of the columns' values for each row."""
    for columns in column_blocks(rows, *names):
        yield from zip(*columns, strict=True) if len(names) > 1 else columns[0]


def _block_rows(rows: Sequence[Any]) -> int:
    return rows.block_rows if isinstance(rows, RowColumns) else BLOCK_ROWS
