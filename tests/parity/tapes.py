"""The tapes on which random strategies trade in lockstep: recorded frames, the bundled tape, and two tapes with many
bursts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
import numpy as np

from botkit.cli.main import botkit
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_MINUTE, NS_PER_MS, NS_PER_S, Nanos, parse_time
from botkit.model.columns import BookColumns, MarketColumns, TradeColumns
from botkit.model.pairs import Pair
from botkit.tape.synthetic import SyntheticMarket
from botkit.tape.tape import Tape
from botkit.tape.writer import TapeWriter
from tests.backtest_world import ROOT, SHARED

FRAMES = SHARED / "btc_usdt-2024-08-08.frames.jsonl.gz"
BUNDLED = ROOT / "backtest_data"
START = 1_740_000_000 * NS_PER_S // NS_PER_MINUTE * NS_PER_MINUTE


class ParityTape(msgspec.Struct, frozen=True, kw_only=True):
    """A tape, its time span with books and trades, and the pairs and balances of the bots that use the tape."""

    path: Path
    start: Nanos
    end: Nanos
    pairs: tuple[str, ...]
    balances: Mapping[str, str]
    #: the seconds of the tape that a run uses
    seconds: int = 60


def parity_tape(name: str, folder: Path) -> ParityTape | None:
    """Return the tape with this name from `TAPES`, or None if the tape is unavailable. Write the tape below ``folder``
    if it is missing.
    """
    return _MAKERS[name](folder)


def recorded_frames(folder: Path) -> ParityTape | None:
    """Return the recorded frames as a tape below ``folder``, or None if the frames are unavailable."""
    if not FRAMES.exists():
        return None
    path = folder / "frames"
    if not path.exists():
        botkit.main(["data", "import", str(FRAMES), "--out", str(path), "--json"], standalone_mode=False)
    return _whole(path, ("btc_usdt",), {"usdt": "100000", "btc": "2"}, seconds=90)


def bundled(folder: Path) -> ParityTape:
    """Return the project's bundled tape, which is read in place."""
    return ParityTape(
        path=BUNDLED,
        start=parse_time("2025-04-02T20:01"),
        end=parse_time("2025-04-02T23:58"),
        pairs=("btc_usdt", "btc_twd", "usdt_twd"),
        balances={"usdt": "100000", "btc": "2", "twd": "3000000"},
    )


def burst_tape(folder: Path) -> ParityTape:
    """Return a tape with two pairs and extreme prices; see `write_bursts`."""
    path = folder / "bursts"
    if not path.exists():
        path.mkdir(parents=True)
        write_bursts(path, packaged_pairs())
    return _whole(path, BURST_PAIRS, {"usdt": "100000", "btc": "2", "eth": "20"})


def cascade_tape(folder: Path) -> ParityTape:
    """Return a synthetic market with two pairs, in which one trade in ten sweeps several levels; see
    `write_cascades`.
    """
    path = folder / "cascades"
    if not path.exists():
        path.mkdir(parents=True)
        write_cascades(path, packaged_pairs())
    return _whole(path, CASCADE_PAIRS, {"usdt": "100000", "btc": "2", "twd": "3000000"})


def _whole(path: Path, pairs: tuple[str, ...], balances: Mapping[str, str], seconds: int = 60) -> ParityTape:
    streams = [stream for stream in Tape.open(path, packaged_pairs()).streams if stream.kind != "candles"]
    start, end = min(stream.start for stream in streams), max(stream.end for stream in streams)
    return ParityTape(path=path, start=start, end=end, pairs=pairs, balances=balances, seconds=seconds)


# -- wild bursts ------------------------------------------------------------------------------------------------------

BURST_SECONDS = 60
BURST_PAIRS = ("btc_usdt", "eth_usdt")


def write_bursts(folder: Path, pairs: Mapping[str, Pair]) -> None:
    """Write books about one second apart, and trades that arrive singly, by the dozen, or 130 at a time. Some trades
    arrive together with a book.
    """
    dice = random.Random(3)
    with TapeWriter(folder, source="invented for a test", recorded="by hand") as writer:
        for name in BURST_PAIRS:
            for columns in _bursts(dice, pairs[name], 60_000_00 if name == "btc_usdt" else 2_500_00):
                writer.write(columns)


def _bursts(dice: random.Random, pair: Pair, middle: int) -> tuple[BookColumns, TradeColumns]:
    unit = 10 ** max(pair.rules.amount_decimals - pair.rules.display_decimals, 0)
    times, bids, asks, trades = [], [], [], []
    for second in range(BURST_SECONDS):
        at = START + second * NS_PER_S
        middle += dice.randint(-300, 300)
        times.append(at + dice.randint(0, 90) * NS_PER_MS)
        bids.append([middle - 50 - 40 * i for i in range(5)])
        asks.append([middle + 50 + 40 * i for i in range(5)])
        for _ in range(dice.choice([0, 1, 2])):
            when = times[-1] if dice.random() < 0.3 else at + dice.randint(0, 999) * NS_PER_MS
            for _ in range(dice.choice([1, 1, 1, 12, 60, 130])):
                ticks = middle + dice.randint(-250, 250)
                trades.append((when, ticks, dice.randint(1, 4_000) * unit, dice.choice([1, -1])))
    trades.sort(key=lambda row: row[0])
    received = np.array(times, dtype=np.int64)
    lots = np.array([[dice.randint(1, 30_000) * unit for _ in range(5)] for _ in range(2 * BURST_SECONDS)], np.int64)
    stamps = received - 5 * NS_PER_MS
    half = BURST_SECONDS
    books = BookColumns(pair, received, stamps, np.array(bids), lots[:half], np.array(asks), lots[half:])
    return books, _trades(pair, trades)


def _trades(pair: Pair, rows: Iterable[tuple[int, int, int, int]]) -> TradeColumns:
    """Build trades from rows of (received, ticks, lots, side)."""
    received, ticks, lots, sides = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return TradeColumns(pair, received, received // NS_PER_S * NS_PER_S, ticks, lots, sides.astype(np.int8))


# -- sweeps in a realistic market --------------------------------------------------------------------------

CASCADE_MINUTES = 6
CASCADE_PAIRS = ("btc_usdt", "btc_twd")


def write_cascades(folder: Path, pairs: Mapping[str, Pair]) -> None:
    """Write the synthetic market, with one trade in ten replaced by a sweep of up to 260 simultaneous trades.

    The prices of a sweep move in one direction, and some rows repeat, as in real sweeps. One sweep in three arrives
    together with a book of its pair, and one in four affects both pairs at once.
    """
    dice = random.Random(8)
    market = SyntheticMarket(pairs, seed=21, start=START - 60 * NS_PER_MINUTE)
    for _ in market.history(60):
        pass
    found = [c for c in market.advance(START + CASCADE_MINUTES * NS_PER_MINUTE) if c.pair in CASCADE_PAIRS]
    books = {str(c.pair): c for c in found if isinstance(c, BookColumns)}
    rows: dict[str, list[tuple[int, int, int, int]]] = {name: [] for name in CASCADE_PAIRS}
    for columns in found:
        if isinstance(columns, TradeColumns):
            _sweep(dice, columns, books, rows)
    with TapeWriter(folder, source="a synthetic market for a test", recorded="made up", synthetic=True) as writer:
        for name in CASCADE_PAIRS:
            rows[name].sort(key=lambda row: row[0])
            kept: list[MarketColumns] = [books[name], _trades(pairs[name], rows[name])]
            for columns in kept:
                writer.write(columns)


def _sweep(
    dice: random.Random,
    columns: TradeColumns,
    books: Mapping[str, BookColumns],
    rows: dict[str, list[tuple[int, int, int, int]]],
) -> None:
    name = str(columns.pair)
    other = next(pair for pair in CASCADE_PAIRS if pair != name)
    read = (columns.received, columns.ticks, columns.lots, columns.side)
    for received, ticks, lots, side in zip(*(column.tolist() for column in read), strict=True):
        rows[name].append((received, ticks, lots, side))
        if dice.random() >= 0.1:
            continue
        moments = books[name].received
        place = min(int(moments.searchsorted(received)), len(moments) - 1)
        at = int(moments[place]) if dice.random() < 1 / 3 else received
        for target in (name, other) if dice.random() < 0.25 else (name,):
            book = books[target]
            row = max(int(book.received.searchsorted(at, side="right")) - 1, 0)
            levels = (book.ask_ticks if side > 0 else book.bid_ticks)[row]
            price, left = int(levels[0]), dice.choice([12, 60, 110, 260])
            while left > 0:
                alike = min(left, dice.choice([1, 1, 1, 2, 6]))
                size = max(1, lots // dice.choice([3, 10, 30]))
                rows[target] += [(at, price, size, side)] * alike
                left -= alike
                price += side * dice.choice([0, 0, 1, 7])


_MAKERS: dict[str, Callable[[Path], ParityTape | None]] = {
    "frames": recorded_frames,
    "bundled": bundled,
    "bursts": burst_tape,
    "cascades": cascade_tape,
}
TAPES = tuple(_MAKERS)

__all__ = ["FRAMES", "TAPES", "ParityTape", "parity_tape", "write_bursts"]
