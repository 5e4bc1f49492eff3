"""Finds the recorded data for a configuration's backtest, and its time span."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from botkit.config.backtest import DataSource, moment
from botkit.errors import ConfigError
from botkit.model.clock import Nanos
from botkit.model.pairs import Pair
from botkit.project.plugins import tape_formats
from botkit.project.project import Project
from botkit.tape.feed import Feed, FeedSource, FileSource, OneKind, TapeSource, format_of


def open_feed(project: Project, sources: Sequence[DataSource], *, feed_ms: float = 0) -> Feed:
    """Open a configuration's recorded data as one feed. Raises DataError or ConfigError."""
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


def backtest_feed(project: Project, data: Path | None) -> Feed:
    """Open the data for a backtest: ``data`` from the command line if given, otherwise the data named in the
    configuration.

    Raises DataError or ConfigError.
    """
    section = project.config.backtest
    sources: Sequence[DataSource] = section.data
    if data is not None:
        if not data.exists():
            raise ConfigError(f"--data {data}: there is no such file or folder; check the path")
        sources = (DataSource(path=data),)
    if not sources:
        raise project.loaded.error("backtest", "there is no data to run on; add `data: PATH` here, or use --data PATH")
    return open_feed(project, sources, feed_ms=float(section.latency.feed_ms))


def pairs_with_data(project: Project, feed: Feed) -> dict[str, Pair]:
    """Return the pairs named by strategies, together with the pairs in the data."""
    named = [str(pair) for pair in project.bot_pairs()]
    read = {stream.pair for stream in feed.streams}
    return {name: project.pairs[name] for name in dict.fromkeys([*named, *(p for p in project.pairs if p in read)])}


def one_tape(project: Project) -> Path:
    """Return the backtest's single tape, which an emulator can serve. Raises ConfigError."""
    sources = project.config.backtest.data
    if len(sources) == 1 and sources[0].path.is_dir():
        return sources[0].path
    raise ConfigError("--lockstep: the emulator serves one tape; set `backtest.data` to the folder of one tape")


def emulator_tape(project: Project) -> Path | None:
    """Return the tape played by the emulator, or None for the synthetic market."""
    market = project.config.emulator.market
    if market == "synthetic":
        return None
    path = Path(market)
    return path if path.is_absolute() else (project.loaded.path.parent / path).resolve()


def asked_span(project: Project, start: str | None, end: str | None) -> tuple[Nanos | None, Nanos | None]:
    """Return the span of a backtest, as given on the command line, or otherwise in the configuration. Raises
    ConfigError.
    """
    zone, section = project.config.zone, project.config.backtest
    begin, until = section.span(zone)
    if start is not None:
        begin = _asked_moment("--from", start, zone)
    if end is not None:
        until = _asked_moment("--to", end, zone, end=True)
    if begin is not None and until is not None and until <= begin:
        raise ConfigError(f"the end of the backtest, {end or section.to}, is not after its start")
    return begin, until


def _asked_moment(option: str, text: str, zone: ZoneInfo, *, end: bool = False) -> Nanos | None:
    try:
        return moment(text, zone, end=end)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None
