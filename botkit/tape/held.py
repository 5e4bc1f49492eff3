"""A source that keeps its rows in memory, for many runs over the same data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np

from botkit.model.clock import Nanos
from botkit.model.columns import MarketColumns
from botkit.tape.feed import FeedSource, StreamKey
from botkit.tape.manifest import StreamInfo
from botkit.tape.mapped import MappedRows
from botkit.tape.parquet import join


class HeldSource:
    """Wraps another source. It reads each stream once, on first use, and keeps all its rows.

    All readers share the rows, so their arrays are read-only. With ``mapped``, processes that use the same mapped
    folder also share the rows.
    """

    def __init__(self, source: FeedSource, mapped: MappedRows | None = None) -> None:
        self.name, self.path, self.synthetic = source.name, source.path, source.synthetic
        self.notes: list[str] = getattr(source, "notes", [])
        self._source = source
        self._mapped = mapped
        self._held: dict[StreamKey, MarketColumns | None] = {}

    @property
    def streams(self) -> Sequence[StreamInfo]:
        """The source's streams."""
        return self._source.streams

    def stream(self, key: StreamKey) -> MarketColumns | None:
        """Return all rows of a stream, or None if the stream has none. Raises DataError for a damaged file."""
        if key not in self._held:

            def read() -> MarketColumns | None:
                return _whole(self._source.read(key, None, None, 1 << 20))

            self._held[key] = read() if self._mapped is None else self._mapped.stream(key, read)
        return self._held[key]

    def read(self, key: StreamKey, start: Nanos | None, end: Nanos | None, rows_max: int) -> Iterator[MarketColumns]:
        """Yield the rows of one stream, as views."""
        columns = self.stream(key)
        if columns is None:
            return
        low = 0 if start is None else int(np.searchsorted(columns.received, start))
        high = len(columns) if end is None else int(np.searchsorted(columns.received, end))
        for at in range(low, high, rows_max):
            yield columns.rows(at, min(high, at + rows_max))


def _whole(chunks: Iterable[MarketColumns]) -> MarketColumns | None:
    parts = list(chunks)
    if not parts:
        return None
    columns = join(parts)
    for name in columns.__struct_fields__:
        values = getattr(columns, name)
        if isinstance(values, np.ndarray):
            locked = values.view()
            locked.flags.writeable = False
            columns = msgspec.structs.replace(columns, **{name: locked})
    return columns
