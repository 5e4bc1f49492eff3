"""If data is damaged at any position, the error is a single sentence that names the file, and no incorrect rows are
returned.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botkit.cli.main import main
from botkit.errors import DataError
from botkit.model.clock import NS_PER_S
from botkit.model.columns import MarketColumns
from botkit.model.pairs import Pair
from botkit.tape.checks import check_contents, inspect
from botkit.tape.feed import FileSource, TapeSource
from botkit.tape.formats import CandleCsv, TradeCsv
from botkit.tape.journal import journal_files
from botkit.tape.manifest import MANIFEST_NAME
from botkit.tape.recorder import DAMAGED
from botkit.tape.tape import Tape
from botkit.tape.writer import TapeWriter
from tests.tape.test_recorder import NOW, S, book, make, trade

Printed = pytest.CaptureFixture[str]


def damaged(content: bytes, dice: random.Random) -> bytes:
    """Damage the content in one of several ways."""
    at = dice.randrange(len(content))
    size = dice.choice((1, 40, 4_000))
    match dice.choice(("flip", "cut", "zeros", "noise", "hole", "empty", "foreign")):
        case "flip":
            return content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :]
        case "cut":
            return content[:at]
        case "zeros":
            return content[:at] + bytes(min(size, len(content) - at)) + content[at + size :]
        case "noise":
            return content[:at] + dice.randbytes(min(size, len(content) - at)) + content[at + size :]
        case "hole":
            return content[:at] + content[at + size :]
        case "empty":
            return b""
    return dice.choice((b"PAR1PAR1", b"{}", b"\xff\xfe" * 99, bytes(500), b"GIF89a", b"[" * 50_000))


def opened(root: Path, pairs: Mapping[str, Pair]) -> tuple[Tape | None, str]:
    """Open the tape. Return the tape, or the reason why it cannot be opened."""
    try:
        return Tape.open(root, pairs), ""
    except DataError as error:
        return None, str(error)


def rows_of(tape: Tape) -> list[tuple[Any, ...]]:
    return [
        (stream.label, *row)
        for stream in tape.streams
        for columns in tape.read(stream.pair, stream.kind, stream.resolution)
        for row in _rows(columns)
    ]


def _rows(columns: MarketColumns) -> list[tuple[Any, ...]]:
    names = ("received", "time", "ticks", "lots") if columns.kind == "trades" else ("received", "time")
    more = () if columns.kind == "trades" else (columns.bid_ticks, columns.bid_lots)  # type: ignore[union-attr]
    arrays = [getattr(columns, name).tolist() for name in names] + [side.tolist() for side in more]
    return [tuple(map(str, row)) for row in zip(*arrays, strict=True)]


# -- the journal of a recorder ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_rows_lost_in_a_damaged_journal_are_reported_and_become_a_gap(
    seed: int, tmp_path: Path, pairs: Mapping[str, Pair]
) -> None:
    dice, pair = random.Random(seed), pairs["btc_usdt"]
    recorder = make(tmp_path, pairs)
    recorder.open(NOW)
    for i in range(200):
        recorder.take(trade(pair, NOW // S * S + i * S, i), NOW + 1 + 2 * i * S)
        recorder.take(book(pair, NOW + i, i), NOW + 2 + 2 * i * S)
    recorder.sync()
    recorder.abandon()  # as after a kill
    before = rows_of(Tape.open(tmp_path, pairs))
    [file] = journal_files(tmp_path)
    content = file.read_bytes()
    broken = damaged(content, dice)
    file.write_bytes(broken)
    is_cut = content.startswith(broken)  # as after a crash

    tape, said_of_it = opened(tmp_path, pairs)
    if tape is None:
        if "is not a tape" in said_of_it:
            assert is_cut, "the journal ends within its first line, as after a crash"
            return
        assert str(file) in said_of_it
        assert "\n" not in said_of_it
        with pytest.raises(DataError, match=re.escape(str(file))):
            make(tmp_path, pairs).open(NOW + 10_000 * S)
        assert file.read_bytes() == broken, "nothing is deleted"
        return
    after = rows_of(tape)
    assert [row for row in after if row not in before] == [], "no row is invented"
    said = tape.journal_damage()
    if broken != content and not is_cut:
        lost = len(before) - len(after)
        assert said or not lost, (lost, len(broken))
    for sentence in said:
        assert str(file) in sentence
        assert sentence in check_contents(tape)
    for stream in tape.streams:
        here = [row for row in before if row[0] == stream.label]
        kept = [row for row in after if row[0] == stream.label]
        for row in here[: here.index(kept[-1])] if kept else ():
            if row not in kept:
                received = int(row[1])
                assert any(start < received <= end for start, end in stream.gaps), (row, stream.gaps)

    again = make(tmp_path, pairs)
    told = again.open(NOW + 10_000 * S)
    again.take(trade(pair, NOW + 10_000 * S, 1), NOW + 10_001 * S)
    again.close()
    assert [sentence for sentence in told if "is damaged at byte" in sentence] == said
    if said:
        kept_file = file.with_name(file.name + DAMAGED)
        assert kept_file.read_bytes() == broken
        assert str(kept_file) in told[-1]
    written = Tape.open(tmp_path, pairs)
    assert [row for row in rows_of(written) if row in before] == after
    for stream in tape.streams:
        same = written.stream(stream.pair, stream.kind)
        assert same is not None
        assert set(stream.gaps) <= set(same.gaps)


# -- tapes ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tape(
    tmp_path: Path,
    make_trades: Callable[..., MarketColumns],
    make_books: Callable[..., MarketColumns],
    make_candles: Callable[..., MarketColumns],
) -> Path:
    with TapeWriter(tmp_path / "tape", exchange="bitopro", source="a test", recorded="a test") as writer:
        writer.write(make_trades(list(range(1_750_000_000, 1_750_000_400))))
        writer.write(make_books(list(range(1_750_000_000, 1_750_000_400))))
        writer.write(make_candles(list(range(29_166_666, 29_166_900)), "eth_usdt"))
    return tmp_path / "tape"


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_tape_is_reported_and_returns_no_incorrect_rows(
    seed: int, tape: Path, pairs: Mapping[str, Pair]
) -> None:
    dice = random.Random(seed)
    whole = _all_rows(tape, pairs)
    file = dice.choice([path for path in sorted(tape.rglob("*")) if path.is_file()])
    content = file.read_bytes()
    file.write_bytes(damaged(content, dice))
    found_tape, error = opened(tape, pairs)
    if found_tape is None:
        assert file.name == MANIFEST_NAME
        assert str(file) in error
        return
    found = check_contents(found_tape)
    rows: list[Any] = []
    try:
        rows = _all_rows(tape, pairs)
        list(inspect(TapeSource(tape, pairs)))
    except DataError as refused:
        error = str(refused)
    if error:
        assert found
        assert file.name in error or file.name == MANIFEST_NAME
        assert "\n" not in error
        return
    if rows != whole:
        assert found, "a check finds the damage"
        assert file.name == MANIFEST_NAME, "pages of new files have checksums"


def _all_rows(tape: Path, pairs: Mapping[str, Pair]) -> list[Any]:
    opened = Tape.open(tape, pairs)
    return [
        (stream.label, columns.received.tolist(), *(a.tolist() for a in vars_of(columns)))
        for stream in opened.streams
        for columns in opened.read(stream.pair, stream.kind, stream.resolution)
    ]


def vars_of(columns: MarketColumns) -> list[Any]:
    return [value for name in dir(columns) if isinstance(value := getattr(columns, name), np.ndarray)]


# -- data files ----------------------------------------------------------------------------------

CANDLES = "time,open,high,low,close,volume\n" + "".join(
    f"{1_750_000_020 + 60 * i},{86_000 + i},{86_100 + i},{85_900 + i},{86_050 + i},1.2345\n" for i in range(300)
)
TRADES = "time,price,amount,side\n" + "".join(f"{1_750_000_000 + i},{86_000 + i},0.0123,buy\n" for i in range(300))


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_csv_file_is_reported_in_one_sentence_or_read_as_written(
    seed: int, tmp_path: Path, pairs: Mapping[str, Pair]
) -> None:
    dice = random.Random(seed)
    kind, text = dice.choice((("candles", CANDLES), ("trades", TRADES)))
    is_packed = dice.random() < 0.5
    file = tmp_path / f"{kind}.csv{'.gz' if is_packed else ''}"
    file.write_bytes(damaged(gzip.compress(text.encode(), mtime=0) if is_packed else text.encode(), dice))
    reader, error = CandleCsv() if kind == "candles" else TradeCsv(), ""
    try:
        source = FileSource(file, reader, pairs, {"pair": "btc_usdt"})
        rows = sum(len(columns) for info in source.streams for columns in source.read(info.key, None, None, 1_000))
    except DataError as refused:
        error = str(refused)
    if error:
        assert str(file) in error
        assert "\n" not in error, error
        return
    assert not is_packed or rows == 300, "a compressed file has a checksum"


@pytest.mark.parametrize("stamp", ["9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z", "2500-01-01", "1500-06-06 00:00"])
def test_a_time_outside_the_range_of_a_tape_is_reported_in_one_line(
    stamp: str, tmp_path: Path, capsys: Printed
) -> None:
    file = tmp_path / "t.csv"
    for rows in ([stamp], ["2025-01-01T00:00:00Z", stamp]):
        file.write_text("time,price,amount\n" + "".join(f"{row},86000,0.01\n" for row in rows))
        for command in (["info"], ["check"], ["import", "--out", str(tmp_path / "tape")]):
            name, *more = command
            code = main(["data", name, str(file), "--pair", "btc_usdt", "--timezone", "UTC", *more])
            printed = capsys.readouterr()
            said = printed.err + printed.out
            assert code in (1, 2), said
            assert f"t.csv:{len(rows) + 1}: time {stamp!r}" in said
            assert said.count("\n") == 1


def test_a_number_that_is_too_large_is_reported_with_its_line(tmp_path: Path, capsys: Printed) -> None:
    file = tmp_path / "t.csv"
    for figure in ("1e50", "1e99", "9" * 39, "-1e50"):
        file.write_text(f"time,price,amount\n1735689600,86000,0.01\n1735689601,{figure},0.01\n")
        assert main(["data", "info", str(file), "--pair", "btc_usdt"]) == 2
        assert f"t.csv:3: price '{figure}' is too large" in capsys.readouterr().err


@pytest.mark.parametrize("moment", [10**18, 253_402_300_799 * NS_PER_S, 2**62, -1, -(2**62)])
def test_a_manifest_with_an_invalid_time_is_reported_in_one_line(moment: int, tape: Path, capsys: Printed) -> None:
    path = tape / MANIFEST_NAME
    document = json.loads(path.read_text())
    for part in ("streams", "files"):
        for row in document[part]:
            row["start"], row["end"] = min(row["start"], moment), max(row["end"], moment)
    path.write_text(json.dumps(document))
    for command in ("info", "check"):
        code = main(["data", command, str(tape)])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        assert code in (0, 1, 2)
        if command == "check":
            assert code == 1
