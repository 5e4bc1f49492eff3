"""``botkit data``: import, describe, check and measure recorded data, and generate the synthetic market."""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Callable, Mapping
from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from botkit.cli.screen import screen
from botkit.cli.zones import DEFAULT_ZONE, TYPED_ZONE
from botkit.errors import DataError
from botkit.model.clock import Nanos, format_time, parse_time
from botkit.model.counts import counted
from botkit.model.extension import TapeFormat
from botkit.model.money import parse_decimal
from botkit.model.pairs import Pair
from botkit.model.resolutions import fixed_length
from botkit.tape.manifest import StreamInfo

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_PATH = click.argument("path", type=click.Path(path_type=Path))
_PAIR = click.option("--pair", help="The pair in a CSV file, such as btc_usdt.")
_KIND = click.option("--kind", help="The file's format: candles, trades, frames, or one from a plugin.")
_RESOLUTION = click.option("--resolution", help="The candles' resolution, such as 1m.")
_TRADES = click.option(
    "--trades",
    type=click.Choice(["list", "single"]),
    help="Each TRADE frame repeats recent trades (list) or contains one trade (single). Default: detected.",
)

_SORT = click.option("--sort", is_flag=True, help="Accept CSV rows in any order, such as newest first.")
_ZONE = click.option("--timezone", metavar="ZONE", help="Time zone for CSV times without an offset, such as UTC.")


class HowToRead(msgspec.Struct, frozen=True, kw_only=True):
    """The options for reading a file. None means not set."""

    pair: str | None
    kind: str | None
    resolution: str | None
    trades: str | None
    sort: bool
    timezone: str | None

    def options(self, **more: str | None) -> dict[str, Any]:
        """Return the options for a format, merged with ``more``."""
        given = {"pair": self.pair, "resolution": self.resolution, "trades": self.trades, "timezone": self.timezone}
        return {**given, "sort": self.sort or None, **more}


def _reads_file(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for commands that read files in any format. The command receives them as ``how``."""

    @functools.wraps(command)
    def read(**given: Any) -> Any:
        how = HowToRead(**{name: given.pop(name) for name in HowToRead.__struct_fields__})
        return command(how=how, **given)

    for option in (_ZONE, _SORT, _TRADES, _RESOLUTION, _KIND, _PAIR):
        read = option(read)
    return read


_CANDLE_HINTS = frozenset(("open", "high", "low", "close"))


class Surroundings(msgspec.Struct, frozen=True):
    """The context that the commands depend on: the exchange's pairs, and the formats provided by plugins."""

    pairs: Mapping[str, Pair]
    formats: Mapping[str, TapeFormat]


def _world() -> Surroundings:
    """Return the surroundings from the click context or, if it has none, the exchange's facts and the formats of
    installed plugins.
    """
    handed = click.get_current_context().find_object(Surroundings)
    if handed is not None:
        return handed
    from botkit.project.plugins import assemble_plugins, tape_formats

    plugins = assemble_plugins(None, installed_only=True)
    return Surroundings(plugins.exchanges["bitopro"].thing.facts({}).pairs, tape_formats(plugins))


@click.group(name="data")
def data() -> None:
    """Import, check and describe recorded data."""


# -- sources ----------------------------------------------------------------------------------------------------------


def _guess_kind(path: Path, formats: Mapping[str, TapeFormat]) -> str:
    """Guess a file's format from its name or, for a CSV file, from its header."""
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        from botkit.tape.csv_columns import CsvFile

        header = {cell.lower() for cell in CsvFile(path, {}).header}
        return "candles" if header >= _CANDLE_HINTS else "trades"
    fitting = [
        (len(ending), kind) for kind, reader in formats.items() for ending in reader.endings if name.endswith(ending)
    ]
    if not fitting:
        raise DataError(f"{path}: no format matches this file name; choose one with --kind ({', '.join(formats)})")
    return max(fitting)[1]


def _file_source(path: Path, kind: str | None, options: dict[str, Any]) -> Any:
    from botkit.tape.feed import FileSource

    world = _world()
    if not path.exists():
        raise DataError(f"{path} does not exist")
    chosen = kind or _guess_kind(path, world.formats)
    if chosen not in world.formats:
        raise DataError(f"--kind {chosen}: no such format; choose one of {', '.join(sorted(world.formats))}")
    given = {name: value for name, value in options.items() if value is not None}
    return FileSource(path, world.formats[chosen], world.pairs, given)


def _source(path: Path, kind: str | None, options: dict[str, Any]) -> Any:
    """Return the source at a path. A folder is a tape; anything else is a single file, read using a format."""
    from botkit.tape.feed import TapeSource

    if path.is_dir():
        pair = options.get("pair")
        return TapeSource(path, _world().pairs, only=(pair.lower(),) if pair else ())
    return _file_source(path, kind, options)


# -- import -----------------------------------------------------------------------------------------------------------


@data.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The tape to create or extend.")
@_reads_file
@click.option("--drop-doubled", is_flag=True, help="Skip candles that are exact copies of the previous one.")
@click.option("--source", "origin", default="", help="Source of the data; stored in the tape's manifest.")
@_JSON
def import_file(
    file: Path,
    out: Path,
    how: HowToRead,
    drop_doubled: bool,
    origin: str,
    as_json: bool,
) -> None:
    """Convert FILE (CSV candles or trades, or recorded frames) to a tape.

    A pair's rows must be later than those already in the tape. If there is an error, the tape is left unchanged.
    """
    from botkit.tape.tape import Tape
    from botkit.tape.writer import TapeWriter

    options = {name: getattr(how, name) for name in ("pair", "kind", "resolution", "trades", "timezone")}
    given = [word for name, value in options.items() if value for word in (f"--{name}", value)]
    flags = [flag for flag, is_set in (("--sort", how.sort), ("--drop-doubled", drop_doubled)) if is_set]
    command = shlex.join(["botkit", "data", "import", file.name, *given, *flags])
    source = _file_source(file, how.kind, how.options(doubled="drop" if drop_doubled else None))
    notes = [*source.notes, *source.findings]
    with TapeWriter(
        out,
        source=origin or file.name,
        recorded=f"imported from {file.name}",
        command=command,
        notes=tuple(f"{file.name}: {note}" for note in notes),
    ) as writer:
        for info in source.streams:
            for columns in source.read(info.key, None, None, 262_144):
                writer.write(columns)
            if info.kind != "candles":  # the writer counts the gaps in candles
                for start, end in info.gaps:
                    writer.note_gap(info.pair, info.kind, start, end)
    gaps = {info.label: len(info.gaps) for info in source.streams if info.gaps}
    imported = {info.label: info.rows for info in source.streams}
    if as_json:
        manifest = Tape.open(out, _world().pairs).manifest
        figures = {"imported": imported, "gaps": gaps, "notes": notes, "sha256": manifest.content_sha256}
        _print_json({"out": str(out), **figures})
        return
    for label, rows in imported.items():
        missing = gaps.get(label, 0)
        click.echo(
            f"{label}: {counted(rows, 'row')} added to {out}" + (f", {counted(missing, 'gap')}" if missing else "")
        )
    for note in notes:
        click.echo(f"note: {note}")


# -- info and check ---------------------------------------------------------------------------------------------------


@data.command()
@_PATH
@_reads_file
@_JSON
def info(
    path: Path,
    how: HowToRead,
    as_json: bool,
) -> None:
    """Show the contents of PATH (a tape or a file): spans, rows, gaps, duplicate rows, crossed books."""
    from botkit.tape.checks import inspect
    from botkit.tape.csv_columns import zone_of

    source = _source(path, how.kind, how.options())
    reports = list(inspect(source))
    described = _provenance(source)
    if as_json:
        rows = [
            {
                **{name: getattr(report.info, name) for name in ("pair", "kind", "resolution", "rows", "start", "end")},
                "has_receive_times": report.info.has_receive_times,
                "gaps": report.gaps,
                "missing_candles": report.missing_candles,
                "doubled": report.doubled,
                "crossed": report.crossed,
                "longest_silence_s": report.longest_silence_s,
            }
            for report in reports
        ]
        _print_json({**described, "streams": rows})
        return
    console = screen()
    for name, value in described.items():
        if value not in ("", None, [], False):
            style = "bold yellow" if name == "synthetic" else None
            text = "yes: generated, not recorded" if name == "synthetic" else _plain(value)
            console.print(f"{name}: {text}", style=style, highlight=False, markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    # the default zone that other commands use for dates, unless a zone was specified for this file
    zone = zone_of(path, how.timezone or DEFAULT_ZONE) or UTC
    for title in ("stream", f"from ({zone})", f"to ({zone})"):
        table.add_column(title, no_wrap=True)
    for title in ("rows", "gaps", "doubled", "crossed", "silence"):
        table.add_column(title, no_wrap=True, justify="right")
    for report in reports:
        stream = report.info
        table.add_row(
            stream.label,
            format_time(_first_moment(stream), zone)[:16].replace("T", " "),
            format_time(stream.end, zone)[:16].replace("T", " "),
            f"{stream.rows:,}",
            f"{report.gaps}" + (f" ({report.missing_candles})" if report.missing_candles else ""),
            str(report.doubled),
            str(report.crossed) if stream.kind == "books" else "",
            f"{report.longest_silence_s:,.1f} s",
        )
    console.print()
    console.print(table)
    unstamped = [report.info.label for report in reports if not report.info.has_receive_times]
    if unstamped:
        console.print(f"\nwithout receive times: {', '.join(unstamped)}", highlight=False, markup=False)


def _first_moment(stream: StreamInfo) -> Nanos:
    """Return the time at which a stream starts. For candles, this is the start of the first candle, although the candle
    is received only at its end.
    """
    length = fixed_length(stream.resolution) if stream.resolution is not None else None
    return stream.start - (length or 0)


def _plain(value: Any) -> str:
    return "; ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _provenance(source: Any) -> dict[str, Any]:
    """Return the origin of the data, to the extent that the tape records it."""
    from botkit.tape.feed import TapeSource

    if not isinstance(source, TapeSource):
        return {"path": source.path, "synthetic": False, "notes": source.notes}
    manifest = source.tape.manifest
    return {
        "path": source.path,
        "synthetic": manifest.synthetic,
        "exchange": manifest.exchange,
        "source": manifest.source,
        "recorded": manifest.recorded,
        "command": manifest.command,
        "seed": manifest.seed,
        "content_sha256": manifest.content_sha256,
        "notes": list(manifest.notes),
        "unknown_pairs": list(source.tape.unknown_pairs),
    }


@data.command()
@_PATH
@_reads_file
@_JSON
def check(
    path: Path,
    how: HowToRead,
    as_json: bool,
) -> int:
    """Check PATH (a tape or a file). The exit code is 1 if there is an error.

    Errors are missing candles (except in a downloaded tape, which contains every candle that the exchange has),
    out-of-order rows, duplicate candles and books, crossed or empty books, impossible prices, and a tape whose files do
    not match its manifest.
    """
    from botkit.tape.checks import NO_CANDLE, check_contents, inspect
    from botkit.tape.feed import TapeSource
    from botkit.tape.manifest import DOWNLOADED

    sentences: list[str] = []
    streams, rows = 0, 0
    synthetic = False
    notes: list[str] = []
    # count a file's duplicate rows instead of refusing the file at the first duplicate
    options = how.options() if path.is_dir() else how.options(doubled="drop")
    try:
        source = _source(path, how.kind, options)
        synthetic = source.synthetic
        is_downloaded = isinstance(source, TapeSource) and source.tape.manifest.recorded == DOWNLOADED
        if isinstance(source, TapeSource):
            sentences += check_contents(source.tape)
        else:
            sentences += [f"{path}: {finding}" for finding in source.findings]
            notes = list(source.notes)
        for report in inspect(source) if not sentences or not path.is_dir() else ():
            for finding in report.findings:
                if is_downloaded and finding.what == NO_CANDLE:
                    notes.append(
                        f"{finding.stream}: the exchange omitted {counted(report.missing_candles, 'candle')} in "
                        f"{counted(report.gaps, 'place')}, the first before {format_time(finding.time)}: there were "
                        f"no trades at those times"
                    )
                else:
                    sentences.append(finding.sentence())
            notes += report.notes()
            streams, rows = streams + 1, rows + report.rows
    except DataError as error:
        sentences.append(str(error))
    if as_json:
        _print_json(
            {
                "path": str(path),
                "good": not sentences,
                "synthetic": synthetic,
                "rows": rows,
                "findings": sentences,
                "notes": notes,
            }
        )
    else:
        for sentence in (*sentences, *(f"note: {note}" for note in notes)):
            click.echo(sentence)
        if not sentences:
            label = " (synthetic market)" if synthetic else ""
            click.echo(f"{path}: OK; {counted(rows, 'row')} in {counted(streams, 'stream')}{label}")
    return 1 if sentences else 0


# -- spread -----------------------------------------------------------------------------------------------------------


@data.command()
@_PATH
@_PAIR
@_KIND
@_TRADES
@click.option("--size", "sizes", multiple=True, metavar="VALUE", help="Order sizes in quote currency.")
@_JSON
def spread(
    path: Path, pair: str | None, kind: str | None, trades: str | None, sizes: tuple[str, ...], as_json: bool
) -> None:
    """Measure the spread and depth of the books in PATH and the cost of market orders, to choose `slippage`."""
    from botkit.tape.spread import measure_spread

    try:
        values = [float(parse_decimal(size, "--size")) for size in sizes] or None
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    source = _source(path, kind, {"pair": pair, "trades": trades})
    pairs = [pair.lower()] if pair else [s.pair for s in source.streams if s.kind == "books"]
    if not pairs:
        raise DataError(f"{path} has no books, and candles and trades do not show the spread")
    reports = [measure_spread(source, name, values) for name in pairs]
    if as_json:
        rows = [{**msgspec.to_builtins(report), "slippage": report.slippage} for report in reports]
        _print_json({"path": str(path), "synthetic": source.synthetic, "quantiles": [5, 25, 50, 75, 95], "pairs": rows})
        return
    console = screen()
    if source.synthetic:
        console.print("synthetic data: measure your own recordings instead", style="bold yellow")
    for report in reports:
        table = Table(
            "", "5 %", "25 %", "median", "75 %", "95 %", title=f"{report.pair}: {counted(report.books, 'book')}"
        )
        table.add_row("spread, bps", *(f"{v:.2f}" for v in report.spread_bps))
        table.add_row("at the best price (quote)", *(f"{v:,.0f}" for v in report.best_value))
        table.add_row("all levels (quote)", *(f"{v:,.0f}" for v in report.depth_value))
        console.print(table)
        costs = Table("market order (quote)", "median cost, bps", "95 %", "books deep enough")
        for cost in report.costs:
            median, high = ("–" if v is None else f"{v:.2f}" for v in (cost.median_bps, cost.p95_bps))
            costs.add_row(f"{cost.value:,.0f}", median, high, f"{cost.fits:.1%}")
        console.print(costs)
        console.print(f'for small orders on candles: slippage: "{report.slippage}"', highlight=False)


# -- synthetic --------------------------------------------------------------------------------------------------------


@data.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The tape to create; an existing synthetic tape is replaced.",
)
@click.option("--seed", type=int, help="Random seed; each seed generates a different market.")
@click.option("--start", help="First minute, such as 2025-01-01, in the time zone of --timezone.")
@TYPED_ZONE
@click.option("--days", type=click.IntRange(1, 3660), help="Number of days of one-minute candles.")
@click.option(
    "--hours",
    type=click.IntRange(0, 10_000),
    help="Number of hours at the end of the tape that also get books and trades.",
)
@_JSON
def synthetic(
    out: Path,
    seed: int | None,
    start: str | None,
    timezone: ZoneInfo,
    days: int | None,
    hours: int | None,
    as_json: bool,
) -> None:
    """Generate a tape of a synthetic market. The same options generate the same rows on any machine.

    With only --out, the command generates the tape that ships with botkit as backtest_data.
    """
    from botkit.tape.bundle import DEFAULT_DAYS, DEFAULT_HOURS, DEFAULT_SEED, DEFAULT_START, write_synthetic

    try:
        first = DEFAULT_START if start is None else parse_time(start, timezone)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--start") from None
    columns = (TextColumn("synthetic market"), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=None)
        manifest = write_synthetic(
            out,
            _world().pairs,
            seed=DEFAULT_SEED if seed is None else seed,
            start=first,
            days=DEFAULT_DAYS if days is None else days,
            hours=DEFAULT_HOURS if hours is None else hours,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    rows = sum(stream.rows for stream in manifest.streams)
    if as_json:
        _print_json(
            {
                "out": str(out),
                "synthetic": True,
                "seed": manifest.seed,
                "rows": rows,
                "content_sha256": manifest.content_sha256,
            }
        )
        return
    click.echo(
        f"{out}: synthetic, seed {manifest.seed}, {counted(rows, 'row')} in {counted(len(manifest.streams), 'stream')}"
    )
    click.echo(f"content sha256 {manifest.content_sha256}")


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
