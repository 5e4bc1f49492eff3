"""Rows of orders, fills and trades whose older part is in a temporary file, so that a run with many orders takes no
more memory than a run with few.

The rows are cut into blocks of `BLOCK_ROWS`. A full block is written as columns, most of which are equal numbers or few
different ones. Readers get rows that are made again, or only the columns that they need, which costs much less.
Up to `BLOCK_ROWS`, all rows stay in memory.
"""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Generic, TypeAlias, TypeVar, overload

import msgspec
import numpy as np
import numpy.typing as npt

from botkit.backtesting.spill_file import SpillFile
from botkit.model.order_spec import OrderSpec
from botkit.model.results import ClosedTrade, FillMark, FillRow, OrderRow
from botkit.model.row_columns import BLOCK_ROWS, RowColumns

Row = TypeVar("Row", bound=msgspec.Struct)
#: a column of a block: its code, its bytes unless they are in the file, and its offset and size in the file
_Part: TypeAlias = tuple[str, bytes | None, int, int]


class Packing(msgspec.Struct, Generic[Row], frozen=True):
    """How rows of one class are written.

    ``kinds`` has a letter for each of the columns ``names``: "q" for integers, "d" for floats, "s" for values of which
    there are few, "t" for a trade's steps, and "p" for anything else. ``cut`` turns rows into columns, ``make`` columns
    into rows.
    """

    names: tuple[str, ...]
    kinds: str
    cut: Callable[[Sequence[Row]], list[Sequence[Any]]]
    make: Callable[[Sequence[Sequence[Any]]], list[Row]]


class PackedRows(RowColumns[Row]):
    """Rows that are read as a sequence. If the temporary file cannot be written, for example because the disk is full,
    the blocks stay in memory.
    """

    def __init__(self, packing: Packing[Row], rows: Iterable[Row] = ()) -> None:
        self._packing = packing
        self._size = BLOCK_ROWS
        self._tail: list[Row] = []
        self._blocks: list[list[_Part]] = []
        self._file = SpillFile()
        #: for each column of kind "s", its values and the number of each value
        self._shared: list[tuple[list[Any], dict[Any, int]]] = [([], {}) for _ in packing.names]
        #: the block that was read last, for reading row by row
        self._latest: tuple[int, list[Row]] | None = None
        self.extend(rows)

    # -- writing ------------------------------------------------------------------------------------------------------

    def append(self, row: Row) -> None:
        """Append a row."""
        self._tail.append(row)
        if len(self._tail) > self._size:
            self._spill()

    def extend(self, rows: Iterable[Row]) -> None:
        """Append rows."""
        self._tail += rows
        if len(self._tail) > self._size:
            self._spill()

    def set_columns(self, block: int, columns: Mapping[str, Sequence[Any]]) -> None:
        """Replace columns of a block."""
        if block == len(self._blocks):
            changes = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            self._tail = [
                msgspec.structs.replace(row, **change) for row, change in zip(self._tail, changes, strict=True)
            ]
            return
        places = [self._packing.names.index(name) for name in columns]
        written = self._written(
            [self._coded(place, column) for place, column in zip(places, columns.values(), strict=True)]
        )
        for place, part in zip(places, written, strict=True):
            self._blocks[block][place] = part
        self._latest = None

    def reorder(self, order: npt.NDArray[np.integer[Any]]) -> None:
        """Move the rows: ``order`` has the present index of each row. Blocks that stay as they are are not written
        again.
        """
        assert len(order) == len(self)
        blocks: list[list[_Part]] = []
        for number, block in enumerate(self._blocks):
            begin = number * self._size
            part = order[begin : begin + self._size]
            is_same = np.array_equal(part, np.arange(begin, begin + self._size))
            blocks.append(block if is_same else self._packed(self.picked(part)))
        self._tail = self.picked(order[len(blocks) * self._size :])
        self._blocks, self._latest = blocks, None

    def _spill(self) -> None:
        done = 0
        while len(self._tail) - done > self._size:
            self._blocks.append(self._packed(self._tail[done : done + self._size]))
            done += self._size
        del self._tail[:done]

    def _packed(self, rows: Sequence[Row]) -> list[_Part]:
        return self._written([self._coded(place, column) for place, column in enumerate(self._packing.cut(rows))])

    def _written(self, coded: Sequence[tuple[str, bytes]]) -> list[_Part]:
        block = b"".join(data for _, data in coded)
        begin = self._file.write(block)
        if begin is None:
            return [(code, data, 0, len(data)) for code, data in coded]
        parts: list[_Part] = []
        for code, data in coded:
            parts.append((code, None, begin, len(data)))
            begin += len(data)
        return parts

    def _coded(self, place: int, column: Sequence[Any]) -> tuple[str, bytes]:
        kind = self._packing.kinds[place]
        if kind == "s":
            values, numbers = self._shared[place]
            for value in set(column).difference(numbers):
                numbers[value] = len(values)
                values.append(value)
            column = [numbers[value] for value in column]
        # equal floats may differ in their sign, if they are zero
        if kind in "qs" or (kind == "p" and column[0] is None) or type(column[0]) in (str, bool):
            first = column[0]
            if first == column[-1] and column.count(first) == len(column):
                return "c", pickle.dumps(first, 5)
        try:
            if kind == "t":
                flat = array("q", [number for steps in column for step in steps for number in step])
                return "t", pickle.dumps((list(map(len, column)), flat.tobytes()), 5)
            if kind in "qd":
                return kind, array(kind, column).tobytes()
        except (OverflowError, TypeError):
            pass  # numbers of more than 64 bits
        return "p", pickle.dumps(column, 5)

    # -- reading ------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._blocks) * self._size + len(self._tail)

    @property
    def block_rows(self) -> int:
        """The number of rows in each block except the last."""
        return self._size

    @property
    def is_in_memory(self) -> bool:
        """True if all rows are in memory."""
        return not self._blocks

    def columns_of(self, block: int, names: Sequence[str]) -> list[list[Any]]:
        """Return the columns of a block of rows."""
        if block == len(self._blocks):
            return [list(map(attrgetter(name), self._tail)) for name in names]
        return [self._column(block, self._packing.names.index(name)) for name in names]

    def rows_of(self, block: int) -> list[Row]:
        """Return the rows of a block."""
        if block == len(self._blocks):
            return self._tail
        return self._packing.make([self._column(block, place) for place in range(len(self._packing.names))])

    def picked(self, rows: npt.NDArray[np.integer[Any]]) -> list[Row]:
        """Return the rows with these indices. Each block is read once."""
        found: list[Row | None] = [None] * len(rows)
        blocks = rows // self._size
        for block in np.unique(blocks).tolist():
            made = self.rows_of(block)
            places = np.flatnonzero(blocks == block)
            for place, row in zip(places.tolist(), (rows[places] - block * self._size).tolist(), strict=True):
                found[place] = made[row]
        return [row for row in found if row is not None]

    def _column(self, block: int, place: int) -> list[Any]:
        code, data, begin, size = self._blocks[block][place]
        if data is None:
            data = self._file.read(begin, size)
        column: list[Any]
        if code == "c":
            column = [pickle.loads(data)] * self._size
        elif code == "t":
            column = _steps(*pickle.loads(data))
        else:
            column = pickle.loads(data) if code == "p" else array(code, data).tolist()
        if self._packing.kinds[place] == "s":
            values, _ = self._shared[place]
            column = list(map(values.__getitem__, column))
        return column

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if not isinstance(index, slice):
            block, row = divmod(range(len(self))[index], self._size)
            return self._kept(block)[row]
        wanted = range(len(self))[index]
        if not wanted:
            return []
        low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
        first, last = low // self._size, high // self._size
        found = [row for block in range(first, last + 1) for row in self._kept(block)]
        begin = wanted[0] - first * self._size
        end = wanted[-1] - first * self._size + (1 if wanted.step > 0 else -1)
        return found[begin : end if end >= 0 else None : wanted.step]

    def _kept(self, block: int) -> list[Row]:
        if block == len(self._blocks):
            return self._tail
        if self._latest is None or self._latest[0] != block:
            self._latest = block, self.rows_of(block)
        return self._latest[1]

    def __iter__(self) -> Iterator[Row]:
        for block in range(len(self._blocks)):
            yield from self.rows_of(block)
        yield from self._tail

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, (str, bytes)):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)}>"

    def __reduce__(self) -> tuple[Callable[[Iterable[Row]], list[Row]], tuple[list[Row]]]:
        return list, (list(self),)


def _steps(counts: Sequence[int], numbers: bytes) -> list[tuple[tuple[int, int, int], ...]]:
    flat = iter(array("q", numbers))
    steps = zip(flat, flat, flat, strict=True)
    return [tuple(next(steps) for _ in range(count)) if count != 2 else (next(steps), next(steps)) for count in counts]


def _cut(rows: Sequence[Row]) -> list[Sequence[Any]]:
    return list(zip(*map(msgspec.structs.astuple, rows), strict=True))


def _cut_orders(rows: Sequence[OrderRow]) -> list[Sequence[Any]]:
    specs, *columns = _cut(rows)
    return [*_cut(specs), *columns]


def _make_orders(columns: Sequence[Sequence[Any]]) -> list[OrderRow]:
    names = OrderSpec.__struct_fields__
    count = len(names)
    specs = [OrderSpec(**dict(zip(names, row, strict=True))) for row in zip(*columns[:count], strict=True)]
    return list(map(OrderRow, specs, *columns[count:]))


def _make_fills(columns: Sequence[Sequence[Any]]) -> list[FillRow]:
    return list(map(FillRow, *columns))


def _make_marks(columns: Sequence[Sequence[Any]]) -> list[FillMark]:
    return list(map(FillMark, *columns))


def _make_trades(columns: Sequence[Sequence[Any]]) -> list[ClosedTrade]:
    names = ClosedTrade.__struct_fields__
    return [ClosedTrade(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def _kinds(names: Sequence[str], **kinds: str) -> str:
    """Return the letter of each column, "q" unless ``kinds`` names it: with a letter, the names that have it."""
    letters = {name: letter for letter, several in kinds.items() for name in several.split()}
    return "".join(letters.get(name.removeprefix("spec."), "q") for name in names)


_ORDER_NAMES = (
    *(f"spec.{name}" for name in OrderSpec.__struct_fields__),
    *OrderRow.__struct_fields__[1:],
)
ORDERS = Packing(
    _ORDER_NAMES,
    _kinds(
        _ORDER_NAMES,
        s="pair side type condition strategy state",
        p="post_only expires max_slippage_pct tag reduces is_quote order_id reason",
    ),
    _cut_orders,
    _make_orders,
)
FILLS = Packing(
    FillRow.__struct_fields__,
    _kinds(
        FillRow.__struct_fields__,
        s="strategy pair side fee_currency",
        d="value fee_value",
        p="order_id is_maker tag",
    ),
    _cut,
    _make_fills,
)
TRADES = Packing(
    ClosedTrade.__struct_fields__,
    _kinds(
        ClosedTrade.__struct_fields__,
        s="strategy pairs kind currency",
        d="pnl",
        p="is_given entry_tag exit_tag exit_reason mae mfe",
        t="steps",
    ),
    _cut,
    _make_trades,
)
MARKS = Packing(FillMark.__struct_fields__, "pp", _cut, _make_marks)
