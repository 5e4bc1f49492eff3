"""Writes a backtest's files to a temporary folder, which replaces the target folder only after the run has finished.

The target folder never contains a partial run, and a failed run leaves the previous run untouched.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, timedelta, timezone, tzinfo
from pathlib import Path
from types import TracebackType
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_MS, NS_PER_S, format_time
from botkit.model.csv_cells import inert
from botkit.model.money import UNIT_DECIMALS, format_units
from botkit.model.reasons import grouped
from botkit.model.results import BacktestResult, ClosedTrade, FillRow, OrderRow
from botkit.model.row_columns import block_count, block_length, columns_of
from botkit.model.zone_offsets import offsets_s

SUMMARY, ORDERS, FILLS = "summary.json", "orders.csv", "fills.csv"
EQUITY, DAILY, TRADES = "equity.csv", "daily.csv", "trades.csv"
LATEST = "latest"
_NUMBER = re.compile(r"[1-9][0-9]{0,8}\Z", re.ASCII)
REPORT, CONFIG, DECISIONS = "report.html", "config.yaml", "decisions.jsonl"


class RunFolder:
    """The folder that a run writes to until it finishes. Create this object before the run, so that an unusable path is
    refused immediately.

        with RunFolder(out) as run:
            ...                                    # decisions may be written to run.path / DECISIONS meanwhile
            write_outputs(run.path, result, ...)
        # on exit, the folder is renamed to `out`; after an exception it is removed

    ``out`` may be missing or empty, or may contain an earlier run, which is replaced. Raises ConfigError if it contains
    anything else.
    """

    def __init__(self, out: Path) -> None:
        self.out = Path(os.path.abspath(out))  # noqa: PTH100 - resolve() would follow a link that is to be replaced
        self.path = self.out  # `out` until `__enter__` sets the temporary folder
        self._check()

    def _check(self) -> None:
        out = self.out
        if out.is_symlink() or (out.exists() and not out.is_dir()):
            raise ConfigError(f"{out} is not a folder; remove it, or choose another path with --out")
        if out.is_dir() and any(out.iterdir()) and not is_run(out):
            raise ConfigError(
                f"--out {out} contains files that are not part of a backtest, and a run would delete them; choose a "
                f"new or empty folder"
            )

    def __enter__(self) -> RunFolder:
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            # create the folder next to the target, because a rename is atomic only within one file system
            self.path = Path(tempfile.mkdtemp(prefix=f".{self.out.name}.", suffix=".partial", dir=self.out.parent))
        except OSError as error:
            raise ConfigError(
                f"{self.out} cannot be created: {error.strerror or error}; choose another folder with --out"
            ) from None
        # mkdtemp creates a private folder, but a run should be as readable as the user's other files
        if os.name == "posix":
            umask = os.umask(0)
            os.umask(umask)
            self.path.chmod(0o777 & ~umask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            if self.path != self.out:
                shutil.rmtree(self.path, ignore_errors=True)

    def _publish(self) -> None:
        self._check()  # files may have been added there in the meantime
        old: Path | None = None
        if self.out.exists():
            # rename twice, because no system can replace a non-empty folder in a single rename
            old = Path(tempfile.mkdtemp(prefix=f".{self.out.name}.", suffix=".old", dir=self.out.parent))
            self.out.rename(old / "run")
        try:
            self.path.rename(self.out)
        except OSError:
            if old is not None:
                (old / "run").rename(self.out)
            raise
        finally:
            if old is not None:
                shutil.rmtree(old, ignore_errors=True)


class NumberedRun(RunFolder):
    """A `RunFolder` that keeps earlier runs: ``out/NAME/1``, ``out/NAME/2``..., with ``latest`` pointing to the newest.

    The number is assigned when the run finishes, so two simultaneous runs get different numbers. From then on, ``out``
    is the numbered folder.
    """

    def __init__(self, parent: Path) -> None:
        """Choose the next number in ``parent``, the folder for all runs with a given name. Raises ConfigError if the
        folder is not usable.
        """
        self.parent = Path(os.path.abspath(parent))  # noqa: PTH100 - as above
        if self.parent.exists() and not self.parent.is_dir():
            raise ConfigError(
                f"{self.parent} is not a folder, so runs cannot be saved there; remove the file, or use --out"
            )
        super().__init__(self.parent / str(next_number(self.parent)))

    def _publish(self) -> None:
        while True:
            try:
                self.path.rename(self.out)
                break
            except OSError:
                if not self.out.exists():
                    raise
            self.out = self.parent / str(next_number(self.parent))
        _point_to(self.parent / LATEST, self.out)


def run_numbers(parent: Path) -> list[int]:
    """Return the numbers of the runs stored in a folder, oldest first."""
    if not parent.is_dir():
        return []
    return sorted(int(p.name) for p in parent.iterdir() if _NUMBER.match(p.name) and p.is_dir())


def next_number(parent: Path) -> int:
    """Return the number of the next run."""
    return max(run_numbers(parent), default=0) + 1


def _point_to(link: Path, run: Path) -> None:
    """Make ``latest`` refer to the newest run: a link, or a copy if the system does not allow links."""
    beside = link.with_name(f".{LATEST}.{os.getpid()}")
    with contextlib.suppress(OSError):
        beside.unlink()
    try:
        beside.symlink_to(run.name, target_is_directory=True)
        if link.is_dir() and not link.is_symlink():
            shutil.rmtree(link)
        beside.replace(link)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        if link.is_symlink():
            return  # ``latest`` still points to an earlier run, which is better than a partial copy
        shutil.rmtree(link, ignore_errors=True)
        shutil.copytree(run, link)


def is_run(folder: Path) -> bool:
    """Return True if the folder was written by a backtest, that is, if its summary contains a hash of the decisions."""
    with contextlib.suppress(OSError, ValueError):
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        return isinstance(summary, dict) and "journal_sha256" in summary
    return False


def write_outputs(
    folder: Path,
    result: BacktestResult,
    *,
    report_html: str | Iterable[str],
    config_yaml: str,
    decisions: Path | bytes | None = None,
) -> None:
    """Write all output files of a run to ``folder``, which must exist.

    ``report_html`` may come in parts, which are written as they come. ``decisions`` is the path of a file to move, or
    the bytes to write, or None if the file is already in the folder.
    """
    zone = zone_of(result)
    _write(folder / SUMMARY, [summary_json(result), "\n"])
    _write(folder / ORDERS, _orders_text(result.orders, zone))
    _write(folder / FILLS, _fills_text(result.fills, result.currency, zone))
    _write(folder / TRADES, _trades_text(result.trades, result.currency, zone))
    _write(folder / EQUITY, [equity_csv(result)])
    _write(folder / DAILY, [daily_csv(result)])
    _write(folder / REPORT, [report_html] if isinstance(report_html, str) else report_html)
    _write(folder / CONFIG, [config_yaml])
    if isinstance(decisions, bytes):
        (folder / DECISIONS).write_bytes(decisions)
    elif decisions is not None:
        shutil.move(decisions, folder / DECISIONS)
    else:
        assert (folder / DECISIONS).exists(), "decisions are missing"


def summary_json(result: BacktestResult) -> str:
    """Return the summary as one JSON object, as printed by ``--json``. ``allow_nan`` is off, because JSON does not
    support NaN.
    """
    whole = {
        **result.summary,
        "name": result.name,
        "start_ns": result.start,
        "end_ns": result.end,
        "seed": result.seed,
        "synthetic": result.data.synthetic,
        "drawdown": msgspec.to_builtins(result.drawdown),
        "strategies": [
            {
                "name": row.name,
                "params": row.params,
                "orders": row.orders,
                "fills": row.fills,
                "refused": row.refused,
                "pnl": row.pnl,
                "return": row.return_,
                "fees": row.fees,
                "skips": grouped(row.skips),
                "refusals": grouped(row.refusals),
                "stopped": row.stopped,
            }
            for row in result.strategies
        ],
        "unassigned": {currency: format_units(units) for currency, units in result.unassigned.items()},
        "benchmark": None
        if result.benchmark is None
        else {
            "name": result.benchmark.name,
            "return": result.benchmark.return_,
            "max_drawdown": result.benchmark.max_drawdown,
            "sharpe": result.benchmark.sharpe,
        },
        "trades": {
            name: {
                group: {
                    "trades": figures.count,
                    "win_rate": figures.win_rate,
                    "pnl": figures.gross_profit - figures.gross_loss,
                    "expectancy": figures.expectancy,
                }
                for group, figures in groups.items()
            }
            for name, groups in result.groups.items()
        },
        "queue_readings": {reading.name: reading.figures for reading in result.queue_readings},
        "warnings": [warning.text for warning in result.warnings],
        "dust": result.dust,
        "versions": result.versions,
    }
    return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)


def _write(path: Path, parts: Iterable[str]) -> None:
    with path.open("wb") as file:  # write bytes, so that no system turns LF into CRLF
        for part in parts:
            file.write(part.encode("utf-8"))


# -- CSV --------------------------------------------------------------------------------------------------------------
# Exact decimals are formatted directly from the integers, with the pair's number of decimals. They are formatted column
# by column, and each row is then a single join. Formatting row by row took twice as long.


#: the position of the offset in a time formatted by `format_time`
_OFFSET_AT = len("2025-01-31T01:00:00.000")


def zone_of(result: BacktestResult) -> tzinfo:
    """Return a run's time zone, or UTC if the system does not recognize it."""
    try:
        return ZoneInfo(result.timezone)
    except (KeyError, ValueError, OSError):
        return UTC


def _times(times: Sequence[int], zone: tzinfo) -> list[str]:
    """Format times as ISO 8601 with milliseconds and the zone's UTC offset. The exact nanoseconds are in another
    column.
    """
    if not times:
        return []
    column = np.asarray(times, dtype=np.int64)
    shifts = offsets_s(column, zone)
    # use tolist, because joining and formatting numpy's own strings is ten times slower
    texts = np.datetime_as_string((column + shifts * NS_PER_S).astype("datetime64[ns]"), unit="ms").tolist()
    distinct, places = np.unique(shifts, return_inverse=True)
    suffixes = [format_time(0, timezone(timedelta(seconds=shift)))[_OFFSET_AT:] for shift in distinct.tolist()]
    if len(suffixes) == 1:
        return [text + suffixes[0] for text in texts]
    return [text + suffixes[place] for text, place in zip(texts, places.tolist(), strict=True)]


class _Quoted(dict[str, str]):
    """Formats strings as CSV fields, with a cache. A field is quoted only if necessary, and escaped so that a
    spreadsheet does not treat it as a formula.

    Results are cached, because a column usually repeats a small number of strings.
    """

    def __missing__(self, text: str) -> str:
        field = inert(text)
        if "," in field or '"' in field or "\n" in field or "\r" in field:
            field = '"' + field.replace('"', '""') + '"'
        self[text] = field
        return field


def _scaled(value: int, places: int) -> str:
    if places == 0:
        return str(value)
    whole, part = divmod(abs(value), 10**places)
    return f"{'-' if value < 0 else ''}{whole}.{part:0{places}d}"


def _decimals(values: Sequence[int], places: Sequence[int]) -> list[str]:
    """Format each of ``values`` x 10^-places as text, keeping trailing zeros."""
    distinct = set(places)
    if len(distinct) == 1 and (only := distinct.pop()) > 0 and min(values) >= 0:
        # slicing digits is faster than dividing, in Python and in numpy, and never overflows
        return [
            f"{digits[:-only]}.{digits[-only:]}" if len(digits) > only else "0." + digits.zfill(only)
            for digits in map(str, values)
        ]
    return [_scaled(value, place) for value, place in zip(values, places, strict=True)]


def _blank_zero(values: Sequence[int], texts: Sequence[str]) -> list[str]:
    return [text if value else "" for value, text in zip(values, texts, strict=True)]


def _csv(header: str, columns: Sequence[Sequence[str]]) -> str:
    return header + "\n" + _lines(columns)


def _lines(columns: Sequence[Sequence[str]]) -> str:
    return "".join([line + "\n" for line in map(",".join, zip(*columns, strict=True))])


def fills_csv(fills: Sequence[FillRow], currency: str, zone: tzinfo = UTC) -> str:
    """Return all fills as CSV. ``value`` is exact, in the pair's quote currency. The last two columns are in
    ``currency``.
    """
    return "".join(_fills_text(fills, currency, zone))


def _fills_text(fills: Sequence[FillRow], currency: str, zone: tzinfo) -> Iterator[str]:
    """Yield the table in parts: as text, a row takes ten times its size in the file."""
    yield (
        "time,time_ns,strategy,pair,side,liquidity,price,amount,value,fee,fee_currency,client_id,order_id,tag,"
        f"value_{currency},fee_{currency}\n"
    )
    for read in _columns(fills):
        quoted, eight = _Quoted(), [UNIT_DECIMALS] * read.count
        rules, times = [pair.rules for pair in read("pair")], read("time")
        yield _lines(
            [
                _times(times, zone),
                [str(time) for time in times],
                [quoted[strategy] for strategy in read("strategy")],
                read("pair"),
                read("side"),
                ["maker" if is_maker else "taker" for is_maker in read("is_maker")],
                _decimals(read("price_ticks"), [rule.price_decimals for rule in rules]),
                _decimals(read("lots"), [rule.amount_decimals for rule in rules]),
                _decimals(read("value_units"), eight),
                _decimals(read("fee_units"), eight),
                read("fee_currency"),
                [str(client_id) for client_id in read("client_id")],
                [order_id if order_id.isalnum() else quoted[order_id] for order_id in read("order_id")],
                [quoted[tag] for tag in read("tag")],
                [f"{value:.8f}" for value in read("value")],
                [f"{fee:.8f}" for fee in read("fee_value")],
            ]
        )


def trades_csv(trades: Sequence[ClosedTrade], currency: str, zone: tzinfo = UTC) -> str:
    """Return all trades as CSV. Amounts are exact, in the currency named in the column ``currency``. ``pnl`` is also
    given in the run's ``currency``. Fields that do not apply to a trade (such as the excursions of a loop) are empty.
    """
    return "".join(_trades_text(trades, currency, zone))


def _trades_text(trades: Sequence[ClosedTrade], currency: str, zone: tzinfo) -> Iterator[str]:
    def figures(values: Iterable[float | None]) -> list[str]:
        return ["" if value is None else f"{value:.8f}" for value in values]

    yield (
        f"opened,closed,strategy,pair,kind,amount,entry_value,exit_value,fees,profit,currency,pnl_{currency},return,mae,"
        "mfe,exit_reason,entry_tag,exit_tag,given,client_id\n"
    )
    for read in _columns(trades):
        quoted, eight = _Quoted(), [UNIT_DECIMALS] * read.count
        entries, profits = read("entry_units"), read("pnl_units")
        yield _lines(
            [
                _times(read("opened"), zone),
                _times(read("closed"), zone),
                [quoted[strategy] for strategy in read("strategy")],
                [" > ".join(pairs) for pairs in read("pairs")],
                read("kind"),
                _decimals(read("units"), eight),
                _decimals(entries, eight),
                _decimals(read("exit_units"), eight),
                _decimals(read("fee_units"), eight),
                _decimals(profits, eight),
                read("currency"),
                figures(read("pnl")),
                figures(pnl / entry if entry else None for pnl, entry in zip(profits, entries, strict=True)),
                figures(read("mae")),
                figures(read("mfe")),
                read("exit_reason"),
                [quoted[tag] for tag in read("entry_tag")],
                [quoted[tag] for tag in read("exit_tag")],
                ["true" if is_given else "false" for is_given in read("is_given")],
                [str(client_id) for client_id in read("client_id")],
            ]
        )


def orders_csv(orders: Sequence[OrderRow], zone: tzinfo = UTC) -> str:
    """Return all orders as CSV. Fields that do not apply to an order (such as the price of a market order) are
    empty.
    """
    return "".join(_orders_text(orders, zone))


def _orders_text(orders: Sequence[OrderRow], zone: tzinfo) -> Iterator[str]:
    def optional(values: Sequence[int], places: Sequence[int]) -> list[str]:
        return _blank_zero(values, _decimals(values, places)) if any(values) else [""] * len(values)

    yield (
        "time,time_ns,strategy,pair,side,type,price,amount,spend,stop_price,post_only,state,reason,executed,value,"
        "queue_ms,updated,client_id,order_id,tag\n"
    )
    for read in _columns(orders):
        quoted, eight = _Quoted(), [UNIT_DECIMALS] * read.count
        times, rules = read("spec.created"), [pair.rules for pair in read("spec.pair")]
        price_places = [rule.price_decimals for rule in rules]
        lot_places = [rule.amount_decimals for rule in rules]
        yield _lines(
            [
                _times(times, zone),
                [str(time) for time in times],
                [quoted[strategy] for strategy in read("spec.strategy")],
                read("spec.pair"),
                [side._value_ for side in read("spec.side")],
                [kind._value_ for kind in read("spec.type")],
                optional(read("spec.price_ticks"), price_places),
                optional(read("spec.amount_lots"), lot_places),
                optional(read("spec.spend_units"), eight),
                optional(read("spec.stop_ticks"), price_places),
                ["true" if post_only else "false" for post_only in read("spec.post_only")],
                read("state"),
                [quoted[reason] for reason in read("reason")],
                _decimals(read("executed_lots"), lot_places),
                _decimals(read("executed_units"), eight),
                [
                    f"{(sent - created) / NS_PER_MS:.3f}" if sent else ""
                    for sent, created in zip(read("sent"), times, strict=True)
                ],
                _times(read("updated"), zone),
                [str(client_id) for client_id in read("spec.client_id")],
                [order_id if order_id.isalnum() else quoted[order_id] for order_id in read("order_id")],
                [quoted[tag] for tag in read("spec.tag")],
            ]
        )


class _Columns:
    """The columns of a block of rows, each read when it is asked for."""

    def __init__(self, rows: Sequence[Any], block: int, count: int) -> None:
        self._rows, self._block = rows, block
        self.count = count

    def __call__(self, name: str) -> list[Any]:
        return columns_of(self._rows, self._block, name)[0]


def _columns(rows: Sequence[Any]) -> Iterator[_Columns]:
    for block in range(block_count(rows)):
        yield _Columns(rows, block, block_length(rows, block))


def equity_csv(result: BacktestResult) -> str:
    """Return the sampled equity curve as CSV: the bot's equity and its drawdown from the peak so far, then each
    strategy's equity at the same timestamp.
    """
    names, quoted, zone = list(result.strategy_equity), _Quoted(), zone_of(result)
    times, values = result.equity.times, result.equity.values
    peaks = np.maximum.accumulate(np.asarray(values)).tolist() if values else []
    falls = [1 - value / peak if peak > 0 else 0.0 for value, peak in zip(values, peaks, strict=True)]
    columns = [_times(times, zone), [str(t) for t in times], [f"{v:.8f}" for v in values], [f"{f:.8f}" for f in falls]]
    curves = list(result.strategy_equity.values())
    if result.benchmark is not None:
        names, curves = [*names, result.benchmark.name], [*curves, result.benchmark.equity]
    for curve in curves:
        at = np.searchsorted(np.asarray(curve.times, np.int64), np.asarray(times, np.int64), side="right").tolist()
        columns.append([f"{curve.values[i - 1]:.8f}" if i else "" for i in at])
    return _csv(",".join(["time,time_ns,equity,drawdown", *(quoted[name] for name in names)]), columns)


def daily_csv(result: BacktestResult) -> str:
    """Return each calendar day's close as CSV. Each row has the bot's equity and its return since the previous day
    (empty for a partial first or last day), then each strategy's equity. The ratios are computed from the bot's daily
    returns.
    """
    quoted, days, zone = _Quoted(), result.days, zone_of(result)
    columns = [
        [day.date for day in days],
        _times([day.end for day in days], zone),
        [str(day.end) for day in days],
        [f"{day.equity:.8f}" for day in days],
        ["" if day.return_ is None else repr(day.return_) for day in days],
    ]
    others = dict(result.strategy_days)
    if result.benchmark is not None:
        others[result.benchmark.name] = result.benchmark.days
    for rows in others.values():
        closes = {day.end: f"{day.equity:.8f}" for day in rows}
        columns.append([closes.get(day.end, "") for day in days])
    names = [quoted[name] for name in others]
    return _csv(",".join(["date,end,end_ns,equity,return", *names]), columns)
