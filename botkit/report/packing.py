"""Packs a page's data so that a million candles take less than 8 MB. The data is JSON; long integer columns are moved
out of it as bytes. All of it is deflated and encoded in base 85. `page/data.js` unpacks it.

A column's numbers are divided by their greatest common divisor (prices often move in larger steps than a tick) and
zigzag-coded (0, -1, 1, -2, ...). All lowest bytes come first, then all second-lowest bytes, and so on. The higher bytes
are mostly equal, and equal bytes deflate to almost nothing.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

#: the next higher compression level takes four times as long and saves only 3 %
LEVEL = 6
#: shorter columns stay in the JSON
COLUMN_LEAST = 64
#: how many words are written at a time: each takes 80 bytes of memory while it is converted to base 85
_WORDS = 16_384
#: how many rows of a column are converted at a time, so that a page needs little memory beyond its columns
BLOCK_ROWS = 65_536
#: JavaScript numbers are doubles, which represent even twice this number exactly
EXACT = 2**52
#: the base-85 digits, which take 6 % less space than base 64. None of them can end an element or needs escaping in HTML
DIGITS = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%()*+,-./:;=?@[]^_{|"
_POWERS = 85 ** np.arange(4, -1, -1, dtype=np.uint64)
_KINDS = (np.int8, np.int16, np.int32, np.int64)
#: the key of a column in the JSON; the value has its offset, the number of values, the bytes per value, and the divisor
COLUMN = "\x00column"


class LongColumn:
    """A column that is coded already: a long one takes less memory so than as numbers."""

    def __init__(self, blocks: Sequence[npt.NDArray[np.integer[Any]]]) -> None:
        self._count = sum(map(len, blocks))
        self._divisor = max(1, int(np.gcd.reduce([int(np.gcd.reduce(block)) for block in blocks])))
        highest = max(int(_coded(block, self._divisor).max()) for block in blocks)
        width = max(1, -(-highest.bit_length() // 8))
        self.planes = np.empty((width, self._count), np.uint8)
        begin = 0
        for block in blocks:
            coded = _coded(block, self._divisor).view(np.uint8).reshape(-1, 8)[:, :width]
            self.planes[:, begin : begin + len(block)] = coded.T
            begin += len(block)

    def __len__(self) -> int:
        return self._count

    def place(self, begin: int) -> list[int]:
        """Return what the JSON says of the column, whose bytes begin at ``begin``."""
        return [begin, self._count, len(self.planes), self._divisor]


#: integers: a list, or an array if there are many
Column: TypeAlias = list[int] | npt.NDArray[np.integer[Any]] | LongColumn


def packed(data: object) -> str:
    """Return packed data, in which no text can close the surrounding element. Raises ValueError if a number is NaN or
    infinite.
    """
    return "".join(packed_parts(data))


def packed_parts(data: object) -> list[str]:
    """Return the text of `packed` in parts: a page with a million candles is written part by part."""
    planes: list[memoryview] = []
    text = json.dumps(_without_columns(data, _Blob(planes)), allow_nan=False, separators=(",", ":")).encode("ascii")
    # bytes of numbers are less repetitive than text; zlib's strategy for such data saves 6 % of a large page
    is_mostly_columns = sum(map(len, planes)) > len(text)
    coder = zlib.compressobj(LEVEL, strategy=zlib.Z_FILTERED if is_mostly_columns else zlib.Z_DEFAULT_STRATEGY)
    deflated = [coder.compress(struct.pack("<I", len(text)) + text)]
    planes.reverse()
    while planes:
        deflated.append(coder.compress(planes.pop()))
    deflated.append(coder.flush())
    return list(_written(deflated))


def unpacked(text: str) -> object:
    """Return the data that was passed to `packed`, with tuples as lists."""
    whole = zlib.decompress(_read(text))
    (length,) = struct.unpack_from("<I", whole)
    blob = whole[4 + length :]

    def column(found: dict[str, Any]) -> Any:
        if COLUMN not in found:
            return found
        begin, count, width, divisor = found[COLUMN]
        planes = np.frombuffer(blob, np.uint8, count * width, begin).reshape(width, count).astype(np.uint64)
        coded = sum((plane << np.uint64(8 * i) for i, plane in enumerate(planes)), np.zeros(count, np.uint64))
        values = (coded >> np.uint64(1)).astype(np.int64) ^ -(coded & np.uint64(1)).astype(np.int64)
        return (values * divisor).tolist()

    return json.loads(whole[4 : 4 + length], object_hook=column)


def _written(parts: Sequence[bytes]) -> Iterator[str]:
    """Yield bytes as text: the number of zeros that pad the last four-byte word, then five digits for each word."""
    yield str(-sum(map(len, parts)) % 4)
    held = b""
    for number, part in enumerate(parts, 1):
        held += part
        if number == len(parts):
            held += bytes(-len(held) % 4)
        whole = len(held) - len(held) % 4
        for begin in range(0, whole, 4 * _WORDS):
            words = np.frombuffer(held, ">u4", min(_WORDS, (whole - begin) // 4), begin)
            digits = words[:, None].astype(np.uint64) // _POWERS % np.uint64(85)
            yield np.frombuffer(DIGITS, np.uint8)[digits].tobytes().decode("ascii")
        held = held[whole:]


def _read(text: str) -> bytes:
    values = np.zeros(128, np.uint64)
    values[np.frombuffer(DIGITS, np.uint8)] = np.arange(85)
    digits = values[np.frombuffer(text[1:].encode("ascii"), np.uint8)].reshape(-1, 5)
    data: bytes = (digits * _POWERS).sum(axis=1).astype(">u4").tobytes()
    return data[: len(data) - int(text[0])]


def deltas(values: Sequence[int] | npt.NDArray[np.int64]) -> Column:
    """Return the first number, followed by the differences between consecutive numbers, which need fewer digits."""
    column = np.asarray(values, np.int64)
    return column_of(np.diff(column, prepend=np.int64(0))) if len(column) else []


def column_of(values: npt.NDArray[np.int64]) -> Column:
    """Return integers as a list if they stay in the JSON, and otherwise as a narrow array, because a million Python
    integers take 40 MB.
    """
    return joined_column([narrow(values)])


def narrow(values: npt.NDArray[np.int64]) -> npt.NDArray[np.integer[Any]]:
    """Return integers in the narrowest type that holds them."""
    if not len(values):
        return values.astype(np.int8)
    lowest, highest = int(values.min()), int(values.max())
    kind = next(kind for kind in _KINDS if np.iinfo(kind).min <= lowest and highest <= np.iinfo(kind).max)
    found: npt.NDArray[np.integer[Any]] = values.astype(kind)
    return found


def joined_column(blocks: Sequence[npt.NDArray[np.integer[Any]]]) -> Column:
    """Return a column whose rows were computed in blocks (`narrow`)."""
    if sum(map(len, blocks)) < COLUMN_LEAST:
        return [value for block in blocks for value in block.tolist()]
    if len(blocks) == 1:
        return blocks[0]
    return LongColumn(blocks) if all(map(_is_exact, blocks)) else np.concatenate(blocks)


def _is_exact(values: npt.NDArray[np.integer[Any]]) -> bool:
    return int(values.max()) < EXACT and int(values.min()) > -EXACT


class _Blob:
    """The bytes of the columns that were moved out of the JSON."""

    def __init__(self, planes: list[memoryview]) -> None:
        self._planes = planes
        self._size = 0

    def take(self, column: LongColumn) -> dict[str, list[int]]:
        """Add a column. Return the value that stays in the JSON."""
        begin, self._size = self._size, self._size + column.planes.size
        self._planes += [plane.data for plane in column.planes]
        return {COLUMN: column.place(begin)}


def _coded(values: npt.NDArray[np.integer[Any]], divisor: int) -> npt.NDArray[np.uint64]:
    """Return values in zigzag code."""
    wide = values.astype(np.int64)
    wide //= divisor
    signs = wide >> 63
    wide <<= 1
    wide ^= signs
    return wide.view(np.uint64).astype("<u8", copy=False)


def _long(values: npt.NDArray[np.integer[Any]]) -> LongColumn:
    return LongColumn([values[begin : begin + BLOCK_ROWS] for begin in range(0, len(values), BLOCK_ROWS)])


def _without_columns(data: Any, blob: _Blob) -> Any:
    if isinstance(data, LongColumn):
        return blob.take(data)
    if isinstance(data, np.ndarray):
        return blob.take(_long(data)) if len(data) >= COLUMN_LEAST and _is_exact(data) else data.tolist()
    if isinstance(data, dict):
        return {key: _without_columns(value, blob) for key, value in data.items()}
    if not isinstance(data, (list, tuple)):
        return data
    if len(data) >= COLUMN_LEAST and set(map(type, data)) == {int} and max(data) < EXACT and min(data) > -EXACT:
        return blob.take(_long(np.asarray(data, np.int64)))
    return [
        _without_columns(value, blob) if isinstance(value, (dict, list, tuple, np.ndarray, LongColumn)) else value
        for value in data
    ]
