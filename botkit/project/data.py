"""The recorded data for a configuration's backtest, and its time span."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from botkit.config.schema import DataSource, moment
from botkit.errors import ConfigError
from botkit.model.clock import Nanos
from botkit.project.plugins import tape_formats
from botkit.project.project import Project
from botkit.tape.feed import Feed, FeedSource, FileSource, OneKind, TapeSource, format_of


def open_feed(project: Project, sources: Sequence[DataSource], *, feed_ms: float = 0) -> Feed:
    """A configuration's recorded data as one feed. Raises DataError or ConfigError."""
    formats = tape_formats(project.plugins)
    opened: list[FeedSource] = []
    wanted = [str(pair) for pair in project.bot_pairs()]
    for index, source in enumerate(sources):
        if source.path.is_dir():
            tape = TapeSource(source.path, project.pairs, only=(source.pair,) if source.pair else ())
            opened.append(OneKind(tape, source.kind) if source.kind else tape)
            continue
        if not source.path.exists():
            raise project.loaded.error(f"backtest.data.{index}", f"there is no file or folder {source.path}")
        name = source.kind or format_of(source.path, formats)
        reader = formats.get(name)
        if reader is None:
            known = ", ".join(formats)
            raise project.loaded.error(f"backtest.data.{index}", f"{name!r} is not a format; use one of {known}")
        options: dict[str, Any] = {"pair": source.pair or (wanted[0] if len(wanted) == 1 else None)}
        if source.resolution is not None:
            options["resolution"] = source.resolution
        if source.trades is not None:
            options["trades"] = source.trades
        if source.sort:
            options["sort"] = True
        if source.timezone is not None:
            options["timezone"] = source.timezone
        if name == "frames" and source.pair is None:
            options.pop("pair")
        opened.append(FileSource(source.path, reader, project.pairs, options))
    return Feed(opened, feed_ms=feed_ms)


def asked_moment(option: str, text: str, zone: ZoneInfo, *, end: bool = False) -> Nanos | None:
    """Parse a time given on the command line. Raises ConfigError naming the option."""
    try:
        return moment(text, zone, end=end)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None
