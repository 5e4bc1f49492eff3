"""The files a backtest leaves: written into a folder beside the wanted one, which then takes its place whole.

So a reader never sees half a run, and a run that fails leaves the one before it as it was.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np

from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_MS
from botkit.model.money import UNIT
from botkit.model.pairs import Pair
from botkit.model.results import BacktestResult, FillRow, OrderRow

SUMMARY, ORDERS, FILLS, EQUITY = "summary.json", "orders.csv", "fills.csv", "equity.csv"
REPORT, CONFIG, DECISIONS = "report.html", "config.yaml", "decisions.jsonl"


class RunFolder:
    """Where a run writes until it is finished. Make it before the run: what cannot work is refused at once.

        with RunFolder(out) as run:
            ...                                    # decisions may grow in run.path / DECISIONS meanwhile
            write_outputs(run.path, result, ...)
        # leaving the block puts the folder at `out`; an exception removes it

    ``out`` may be absent, empty, or an earlier run, which is replaced. Anything else is a ConfigError.
    """

    def __init__(self, out: Path) -> None:
        self.out = Path(os.path.abspath(out))  # noqa: PTH100 - resolve() would follow a link that is to be replaced
        self.path = self.out  # until the block is entered
        self._check()

    def _check(self) -> None:
        out = self.out
        if out.is_symlink() or (out.exists() and not out.is_dir()):
            raise ConfigError(f"--out {out} is not a folder; choose another path or remove it")
        if out.is_dir() and any(out.iterdir()) and not is_run(out):
            raise ConfigError(
                f"--out {out} holds files that are not a backtest's, and a run replaces the folder; "
                "choose a new or an empty folder"
            )

    def __enter__(self) -> RunFolder:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        # beside the target, since only within one file system does a rename happen at once
        self.path = Path(tempfile.mkdtemp(prefix=f".{self.out.name}.", suffix=".partial", dir=self.out.parent))
        if os.name == "posix":  # mkdtemp makes a private folder; a run is as readable as the user's other files
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
        self._check()  # somebody may have put files there meanwhile
        old: Path | None = None
        if self.out.exists():
            # two renames, since no system replaces a folder that holds files in one
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


def is_run(folder: Path) -> bool:
    """True when a backtest wrote the folder: its summary names the hash of its decisions."""
    with contextlib.suppress(OSError, ValueError):
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        return isinstance(summary, dict) and "journal_sha256" in summary
    return False


def write_outputs(
    folder: Path, result: BacktestResult, *, report_html: str, config_yaml: str, decisions: Path | bytes | None = None
) -> None:
    """Write all files of a run into ``folder``, which exists.

    ``decisions`` is moved when a path, written when bytes, and None when it stands in the folder already.
    """
    _write(folder / SUMMARY, summary_json(result) + "\n")
    _write(folder / ORDERS, orders_csv(result.orders))
    _write(folder / FILLS, fills_csv(result.fills, result.currency))
    _write(folder / EQUITY, equity_csv(result))
    _write(folder / REPORT, report_html)
    _write(folder / CONFIG, config_yaml)
    if isinstance(decisions, bytes):
        (folder / DECISIONS).write_bytes(decisions)
    elif decisions is not None:
        shutil.move(decisions, folder / DECISIONS)
    else:
        assert (folder / DECISIONS).exists(), "decisions were not handed over"


def summary_json(result: BacktestResult) -> str:
    """The summary as one JSON object, as ``--json`` prints it. ``allow_nan`` is off: JSON has no NaN."""
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
                "orders": row.orders,
                "fills": row.fills,
                "refused": row.refused,
                "pnl": row.pnl,
                "return": row.return_,
                "fees": row.fees,
                "skips": row.skips,
                "refusals": row.refusals,
                "stopped": row.stopped,
            }
            for row in result.strategies
        ],
        "queue_readings": {reading.name: reading.figures for reading in result.queue_readings},
        "warnings": [warning.text for warning in result.warnings],
        "dust": result.dust,
        "versions": result.versions,
    }
    return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8"))  # bytes, so that no system turns LF into CRLF


# -- CSV --------------------------------------------------------------------------------------------------------------
# Exact decimals straight from the integers, at the pair's own number of decimals.


def _times(times: Sequence[int]) -> list[str]:
    """ISO 8601 with milliseconds; the exact nanoseconds stand in a column of their own."""
    if not times:
        return []
    # tolist: f-strings take ten times as long over numpy's own str
    texts: list[str] = np.datetime_as_string(np.asarray(times, dtype="datetime64[ns]"), unit="ms").tolist()
    return texts


def _text(text: str) -> str:
    """A CSV field: quoted only where it must be."""
    if "," in text or '"' in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def _scaled(value: int, decimals: int) -> str:
    if decimals == 0:
        return str(value)
    whole, fraction = divmod(abs(value), 10**decimals)
    return f"{'-' if value < 0 else ''}{whole}.{fraction:0{decimals}d}"


class _Scales(dict[Pair, tuple[int, int, int, int]]):
    """Per pair: ticks and decimals of a price, lots and decimals of an amount. Looked up once a pair."""

    def __missing__(self, pair: Pair) -> tuple[int, int, int, int]:
        rules = pair.rules
        scale = self[pair] = (
            10**rules.price_decimals,
            rules.price_decimals,
            10**rules.amount_decimals,
            rules.amount_decimals,
        )
        return scale


def fills_csv(fills: Sequence[FillRow], currency: str) -> str:
    """All fills. ``value`` is in the pair's quote currency, exact; the last two columns are valued in ``currency``."""
    lines = [
        "time,time_ns,strategy,pair,side,liquidity,price,amount,value,fee,fee_currency,client_id,order_id,tag,"
        f"value_{currency},fee_{currency}"
    ]
    scales = _Scales()
    for when, fill in zip(_times([fill.time for fill in fills]), fills, strict=True):
        price_scale, price_decimals, lot_scale, lot_decimals = scales[fill.pair]
        if price_decimals and lot_decimals and fill.fee_units >= 0:
            whole, part = divmod(fill.price_ticks, price_scale)
            price = f"{whole}.{part:0{price_decimals}d}"
            whole, part = divmod(fill.lots, lot_scale)
            amount = f"{whole}.{part:0{lot_decimals}d}"
        else:
            price, amount = _scaled(fill.price_ticks, price_decimals), _scaled(fill.lots, lot_decimals)
        value, value_part = divmod(fill.value_units, UNIT)
        fee = _scaled(fill.fee_units, 8)
        lines.append(
            f"{when}Z,{fill.time},{_text(fill.strategy)},{fill.pair},{fill.side},"
            f"{'maker' if fill.is_maker else 'taker'},{price},{amount},{value}.{value_part:08d},{fee},"
            f"{fill.fee_currency},{fill.client_id},{_text(fill.order_id)},{_text(fill.tag)},"
            f"{fill.value:.8f},{fill.fee_value:.8f}"
        )
    return "\n".join(lines) + "\n"


def orders_csv(orders: Sequence[OrderRow]) -> str:
    """All orders. Fields that an order does not have (the price of a market order) are empty."""
    lines = [
        "time,time_ns,strategy,pair,side,type,price,amount,spend,stop_price,post_only,state,reason,executed,value,"
        "queue_ms,updated,client_id,order_id,tag"
    ]
    scales = _Scales()
    created, updated = _times([o.created for o in orders]), _times([o.updated for o in orders])
    for when, last, order in zip(created, updated, orders, strict=True):
        _, price_decimals, _, lot_decimals = scales[order.pair]
        price = _scaled(order.price_ticks, price_decimals) if order.price_ticks else ""
        amount = _scaled(order.amount_lots, lot_decimals) if order.amount_lots else ""
        spend = _scaled(order.spend_units, 8) if order.spend_units else ""
        stop = _scaled(order.stop_ticks, price_decimals) if order.stop_ticks else ""
        queue = f"{(order.sent - order.created) / NS_PER_MS:.3f}" if order.sent else ""
        lines.append(
            f"{when}Z,{order.created},{_text(order.strategy)},{order.pair},{order.side},{order.type},{price},{amount},"
            f"{spend},{stop},{'true' if order.post_only else 'false'},{order.state},{_text(order.reason)},"
            f"{_scaled(order.executed_lots, lot_decimals)},{_scaled(order.executed_units, 8)},{queue},{last}Z,"
            f"{order.client_id},{_text(order.order_id)},{_text(order.tag)}"
        )
    return "\n".join(lines) + "\n"


def equity_csv(result: BacktestResult) -> str:
    """The sampled curve: equity of the bot and its fall below the peak so far, then of each strategy at that time."""
    names = list(result.strategy_equity)
    lines = [",".join(["time", "time_ns", "equity", "drawdown", *(_text(name) for name in names)])]
    times, values = result.equity.times, result.equity.values
    columns: list[Iterable[str]] = []
    for name in names:
        curve = result.strategy_equity[name]
        at = np.searchsorted(np.asarray(curve.times, np.int64), np.asarray(times, np.int64), side="right").tolist()
        columns.append([f"{curve.values[i - 1]:.8f}" if i else "" for i in at])
    peaks = np.maximum.accumulate(np.asarray(values)) if values else np.zeros(0)
    for when, time, value, peak, *rest in zip(_times(times), times, values, peaks.tolist(), *columns, strict=True):
        fall = 1 - value / peak if peak > 0 else 0.0
        lines.append(",".join([f"{when}Z,{time},{value:.8f},{fall:.8f}", *rest]))
    return "\n".join(lines) + "\n"
