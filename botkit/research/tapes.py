"""Opens recorded data as DataFrames, for `botkit.load`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from botkit.errors import ConfigError, DataError
from botkit.model.pairs import Pair
from botkit.project.plugins import assemble_plugins, tape_formats
from botkit.research.frames import frame_of
from botkit.tape.feed import FileSource, TapeSource, format_of
from botkit.tape.held import HeldSource

if TYPE_CHECKING:
    import pandas as pd

    from botkit.tape.manifest import Kind


class LoadedTape:
    """Recorded data as DataFrames. Each DataFrame is created on request. The tape can be passed to any number of
    backtests as ``data``, and is then read only once.
    """

    def __init__(self, source: HeldSource, pairs: Mapping[str, Pair]) -> None:
        self.source = source
        #: the pairs in the data, with their rules
        self.pairs = {info.pair: pairs[info.pair] for info in source.streams}

    def __repr__(self) -> str:
        return f"<tape {self.source.path}: {', '.join(info.label for info in self.source.streams)}>"

    @property
    def streams(self) -> pd.DataFrame:
        """The streams in the data: pair, kind, resolution, rows, start, end, gaps."""
        import pandas as pd

        infos = self.source.streams
        return pd.DataFrame(
            {
                "pair": pd.array([str(info.pair) for info in infos], dtype="string"),
                "kind": pd.array([info.kind for info in infos], dtype="string"),
                "resolution": pd.array([info.resolution or "" for info in infos], dtype="string"),
                "rows": [info.rows for info in infos],
                "start": pd.to_datetime([info.start for info in infos], unit="ns", utc=True),
                "end": pd.to_datetime([info.end for info in infos], unit="ns", utc=True),
                "gaps": [len(info.gaps) for info in infos],
            }
        )

    def candles(self, pair: str, resolution: str | None = None) -> pd.DataFrame:
        """Return a pair's candles, indexed by their start in UTC: open, high, low, close, volume. ``resolution`` may be
        omitted if the data has only one resolution. Raises DataError.
        """
        return self._frame(pair, "candles", resolution)

    def trades(self, pair: str) -> pd.DataFrame:
        """Return a pair's trades, indexed by receipt time: time, price, amount and side. Raises DataError."""
        return self._frame(pair, "trades", None)

    def books(self, pair: str) -> pd.DataFrame:
        """Return a pair's order books, indexed by receipt time: bid_price_1, bid_amount_1, ask_price_1 and so on.

        Raises DataError.
        """
        return self._frame(pair, "books", None)

    def _frame(self, pair: str, kind: Kind, resolution: str | None) -> pd.DataFrame:
        found = [
            info
            for info in self.source.streams
            if (info.pair, info.kind) == (pair, kind) and resolution in (None, info.resolution)
        ]
        label = " ".join(filter(None, (pair, kind, resolution)))
        if len(found) > 1:
            choices = ", ".join(str(info.resolution) for info in found)
            raise DataError(f"{self.source.path} has several {label}; name a resolution: {choices}")
        columns = self.source.stream(found[0].key) if found else None
        if columns is None:
            have = ", ".join(info.label for info in self.source.streams) or "nothing"
            raise DataError(f"{self.source.path} has no {label}; it has {have}")
        return frame_of(columns)


def open_tape(
    path: str | Path,
    *,
    pair: str | None = None,
    kind: str | None = None,
    resolution: str | None = None,
    timezone: str | None = None,
) -> LoadedTape:
    """Open a tape's folder or a single file; see `botkit.load`."""
    place = Path(path)
    plugins = assemble_plugins(None, installed_only=True)
    pairs: Mapping[str, Pair] = plugins.exchanges["bitopro"].thing.facts({}).pairs
    if not place.exists():
        raise DataError(f"there is no file or folder {place}; check the path")
    if place.is_dir():
        return LoadedTape(HeldSource(TapeSource(place, pairs)), pairs)
    formats = tape_formats(plugins)
    reader = formats.get(kind or format_of(place, formats))
    if reader is None and kind is not None:
        raise ConfigError(f"kind: {kind!r} is not a format; use one of {', '.join(formats)}")
    if reader is None:
        raise ConfigError(f"{place}: botkit reads a tape's folder, or files in the formats {', '.join(formats)}")
    given = {"pair": pair, "resolution": resolution, "timezone": timezone}
    options = {key: value for key, value in given.items() if value is not None}
    return LoadedTape(HeldSource(FileSource(place, reader, pairs, options)), pairs)
