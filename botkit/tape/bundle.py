"""Writes a synthetic market as a tape: months of one-minute candles, followed by hours of books and trades.

The bundled ``backtest_data`` is the output of `write_synthetic` with its default arguments. Equal arguments yield an
equal ``content_sha256`` in the manifest on any machine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from botkit.errors import DataError
from botkit.model.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, Nanos, format_time, parse_time
from botkit.model.columns import MarketColumns, TradeColumns
from botkit.model.pairs import Pair
from botkit.tape.manifest import MANIFEST_NAME, Manifest, read_manifest
from botkit.tape.parquet import join
from botkit.tape.synthetic import PAIRS, SyntheticMarket, candles_of
from botkit.tape.writer import TapeWriter

DEFAULT_SEED = 6
DEFAULT_START = parse_time("2025-01-01")
DEFAULT_DAYS = 92
DEFAULT_HOURS = 4

_SOURCE = "botkit's synthetic market: invented by a seeded generator, not recorded from any exchange"
_RECORDED = (
    "candles: one minute, made from ten-second prices, or from the trades where there are any; books: at most one "
    "a second, when changed; trades: as they were matched; receive times: exchange time plus a lag of some 30 ms"
)


def write_synthetic(
    out: Path,
    pairs: Mapping[str, Pair],
    *,
    seed: int = DEFAULT_SEED,
    start: Nanos = DEFAULT_START,
    days: int = DEFAULT_DAYS,
    hours: int = DEFAULT_HOURS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Create the tape at ``out``, replacing any synthetic tape that is already there. Books and trades cover the last
    ``hours``.

    ``progress`` is called with (minutes done, total minutes). If the folder contains anything other than a synthetic
    tape, the folder is left untouched and DataError is raised.
    """
    if days < 1 or not 0 <= hours <= 24 * days:
        raise DataError(f"{hours} hours of books and trades do not fit into {days} days of candles")
    if start % NS_PER_MINUTE:
        raise DataError(f"the market must start at a whole minute, not at {format_time(start)}")
    old = _old_manifest(out)
    fresh = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        manifest = _generate(fresh, out.name, pairs, seed=seed, start=start, days=days, hours=hours, progress=progress)
        out.mkdir(parents=True, exist_ok=True)
        if old is not None:
            (out / MANIFEST_NAME).unlink()
            for entry in old.files:
                (out / entry.path).unlink(missing_ok=True)
        for path in [*(entry.path for entry in manifest.files), MANIFEST_NAME]:
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (fresh / path).replace(out / path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return manifest


def _old_manifest(out: Path) -> Manifest | None:
    if not (out / MANIFEST_NAME).exists():
        return None
    old = read_manifest(out)
    if not old.synthetic:
        raise DataError(f"{out} contains recorded data; choose another folder for a synthetic market")
    return old


def _generate(
    root: Path,
    name: str,
    pairs: Mapping[str, Pair],
    *,
    seed: int,
    start: Nanos,
    days: int,
    hours: int,
    progress: Callable[[int, int], None],
) -> Manifest:
    total, fine = days * 1440, hours * 60
    market = SyntheticMarket(pairs, seed=seed, start=start)
    # amounts have four decimals, as on the wire, because these take half the space of eight
    decimals = {name: pairs[name].rules.display_decimals for name in PAIRS}
    command = f"botkit data synthetic --out {name} --seed {seed}"
    for given, default, option in (
        (start, DEFAULT_START, f" --start {format_time(start)}"),
        (days, DEFAULT_DAYS, f" --days {days}"),
        (hours, DEFAULT_HOURS, f" --hours {hours}"),
    ):
        command += option if given != default else ""
    with TapeWriter(
        root, source=_SOURCE, recorded=_RECORDED, synthetic=True, command=command, seed=seed, name=name,
        amount_decimals=decimals,
    ) as writer:  # fmt: skip
        closes: dict[str, int] = {}
        done = 0
        for chunk in market.history(total - fine):
            for candles in chunk:
                writer.write(candles)
                closes[str(candles.pair)] = int(candles.close[-1])
            done += len(chunk[0])
            progress(done, total)
        boundary, end = market.time, start + days * NS_PER_DAY
        trades: dict[str, list[MarketColumns]] = {}
        while market.time < end:
            for columns in market.advance(min(end, market.time + NS_PER_HOUR // 4)):
                # rows received after the end are omitted, including candles, so that all three kinds end together
                kept = columns.rows(0, int(np.searchsorted(columns.received, end)))
                writer.write(kept)
                if isinstance(kept, TradeColumns):
                    trades.setdefault(str(kept.pair), []).append(kept)
            progress(total - (end - market.time) // NS_PER_MINUTE, total)
        for pair_name, parts in trades.items():
            whole = join(parts)
            assert isinstance(whole, TradeColumns)
            candles = candles_of(whole, boundary, end, closes.get(pair_name, int(whole.ticks[0])))
            writer.write(candles)
        return writer.close()
