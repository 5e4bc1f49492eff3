"""Packs the page's data so that a hundred thousand candles and fills stay small: JSON, with long columns of whole
numbers taken out as bytes, all deflated, in base64. `page/data.js` unpacks it.

A column's numbers are zigzag-coded (0, -1, 1, -2, ...), and all their lowest bytes come first, then all their second
lowest, and so on: the higher bytes are mostly equal, which deflates to almost nothing.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

#: a higher level takes four times as long to save 3 %
LEVEL = 6
#: shorter columns stay in the JSON
COLUMN_LEAST = 64
#: the browser counts in doubles: twice this number is still exact in them
EXACT = 2**52
#: the key of a column in the JSON; its value is where it begins, how many numbers, and bytes for each
COLUMN = "\x00column"


def packed(data: object) -> str:
    """Return data, packed: no text in it can close its element. Raises ValueError if a number is NaN or infinite."""
    blob = bytearray()
    text = json.dumps(_without_columns(data, blob), allow_nan=False, separators=(",", ":")).encode("ascii")
    return base64.b64encode(zlib.compress(struct.pack("<I", len(text)) + text + blob, LEVEL)).decode("ascii")


def unpacked(text: str) -> object:
    """Return what `packed` was given, with tuples as lists."""
    whole = zlib.decompress(base64.b64decode(text))
    (length,) = struct.unpack_from("<I", whole)
    blob = whole[4 + length :]

    def column(found: dict[str, Any]) -> Any:
        if COLUMN not in found:
            return found
        begin, count, width = found[COLUMN]
        planes = np.frombuffer(blob, np.uint8, count * width, begin).reshape(width, count).astype(np.uint64)
        coded = sum((plane << np.uint64(8 * i) for i, plane in enumerate(planes)), np.zeros(count, np.uint64))
        return ((coded >> np.uint64(1)).astype(np.int64) ^ -(coded & np.uint64(1)).astype(np.int64)).tolist()

    return json.loads(whole[4 : 4 + length], object_hook=column)


def deltas(values: Sequence[int] | npt.NDArray[np.int64]) -> list[int]:
    """Return the first number, followed by differences, which need fewer digits."""
    column = np.asarray(values, np.int64)
    return np.diff(column, prepend=np.int64(0)).tolist() if len(column) else []


def _without_columns(data: Any, blob: bytearray) -> Any:
    if isinstance(data, dict):
        return {key: _without_columns(value, blob) for key, value in data.items()}
    if not isinstance(data, (list, tuple)):
        return data
    if len(data) >= COLUMN_LEAST and set(map(type, data)) == {int} and max(data) < EXACT and min(data) > -EXACT:
        values = np.asarray(data, np.int64)
        coded = ((values << 1) ^ (values >> 63)).astype("<u8")
        width = max(1, -(-int(coded.max()).bit_length() // 8))
        begin = len(blob)
        blob += coded.view(np.uint8).reshape(-1, 8)[:, :width].T.tobytes()
        return {COLUMN: [begin, len(data), width]}
    return [_without_columns(value, blob) if isinstance(value, (dict, list, tuple)) else value for value in data]
