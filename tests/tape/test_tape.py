"""Tapes are written completely or not at all, and reading a tape returns exactly the written rows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.errors import DataError
from botkit.model.columns import BookColumns, CandleColumns, MarketColumns, TradeColumns
from botkit.model.pairs import Pair
from botkit.tape.parquet import COLUMNS, join, kind_of
from botkit.tape.tape import Tape
from botkit.tape.writer import GROUP_ROWS, TapeWriter
from tests.backtest_world import ROOT

DAY_S = 86_400
S = 10**9


def writer(root: Path, **given: object) -> TapeWriter:
    return TapeWriter(root, **{"source": "a test", "recorded": "by hand", **given})  # type: ignore[arg-type]


def write_all(root: Path, *parts: MarketColumns) -> None:
    with writer(root) as tape:
        for part in parts:
            tape.write(part)


def equal(a: MarketColumns, b: MarketColumns) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in COLUMNS[kind_of(a)])


def test_rows_stored_in_one_file_per_day_are_read_back_exactly(
    tmp_path: Path,
    pairs: Mapping[str, Pair],
    make_trades: Callable[..., TradeColumns],
    make_books: Callable[..., BookColumns],
) -> None:
    seconds = [*range(DAY_S - 50, DAY_S + 50), *range(2 * DAY_S - 5, 2 * DAY_S + 5)]
    trades, books = make_trades(seconds), make_books(seconds, depth=4)
    with writer(tmp_path) as tape:
        for lo in range(0, len(trades), 17):
            tape.write(trades.rows(lo, lo + 17))
            tape.write(books.rows(lo, lo + 17))
    opened = Tape.open(tmp_path, pairs)
    assert equal(join(list(opened.read("btc_usdt", "trades"))), trades)
    assert equal(join(list(opened.read("btc_usdt", "books", rows_max=7))), books)
    names = sorted(p.name for p in (tmp_path / "bitopro" / "btc_usdt" / "trades").iterdir())
    assert names == ["1970-01-01.parquet", "1970-01-02.parquet", "1970-01-03.parquet"]
    info = opened.stream("btc_usdt", "trades")
    assert info is not None
    assert (info.rows, info.start, info.end) == (110, int(trades.received[0]), int(trades.received[-1]))
    assert info.has_receive_times


def test_monthly_candles_have_one_file_per_month_separate_from_one_minute_candles(
    tmp_path: Path, pairs: Mapping[str, Pair], make_candles: Callable[..., CandleColumns]
) -> None:
    minutes = make_candles(list(range(1440 * 31 - 2, 1440 * 31 + 2)))
    month = CandleColumns(pairs["btc_usdt"], "1M", *(getattr(minutes, n)[:1] for n in COLUMNS["candles"]))
    with writer(tmp_path) as tape:
        tape.write(minutes)
        tape.write(month)
    folder = tmp_path / "bitopro" / "btc_usdt"
    assert sorted(p.name for p in folder.iterdir()) == ["candles-1m", "candles-1mo"]
    assert sorted(p.name for p in (folder / "candles-1m").iterdir()) == ["1970-01.parquet", "1970-02.parquet"]
    assert equal(join(list(Tape.open(tmp_path, pairs).read("btc_usdt", "candles", "1m"))), minutes)


def test_a_time_range_is_half_open_and_can_start_and_end_within_a_file(
    tmp_path: Path, pairs: Mapping[str, Pair], make_trades: Callable[..., TradeColumns]
) -> None:
    trades = make_trades([1, 2, 2, 3, 4], lag_ms=0)
    with writer(tmp_path) as tape:
        tape.write(trades)
    found = join(list(Tape.open(tmp_path, pairs).read("btc_usdt", "trades", start=2 * S, end=4 * S)))
    assert equal(found, trades.rows(1, 4))


def test_rows_can_be_appended_to_a_day(
    tmp_path: Path, pairs: Mapping[str, Pair], make_books: Callable[..., BookColumns]
) -> None:
    first, second = make_books([1, 2, 3], depth=2), make_books([4, 5], depth=5)
    with writer(tmp_path) as tape:
        tape.write(first)
    with writer(tmp_path) as tape:
        tape.write(second)
    opened = Tape.open(tmp_path, pairs)
    found = join(list(opened.read("btc_usdt", "books")))
    assert equal(found, join([first, second]))
    assert len(opened.manifest.files) == 1


def test_the_content_hash_does_not_depend_on_how_rows_are_split_into_chunks(
    tmp_path: Path, make_trades: Callable[..., TradeColumns]
) -> None:
    trades = make_trades(list(range(200)))
    hashes = set()
    for chunk in (200, 7, 50):
        with writer(tmp_path / str(chunk)) as tape:
            for lo in range(0, 200, chunk):
                tape.write(trades.rows(lo, lo + chunk))
        hashes.add(tape.close().content_sha256)
    assert len(hashes) == 1
    changed = msgspec.structs.replace(trades, ticks=trades.ticks + 1)
    with writer(tmp_path / "changed") as tape:
        tape.write(changed)
    assert tape.close().content_sha256 not in hashes


def test_an_error_while_creating_a_tape_leaves_no_files(
    tmp_path: Path, make_trades: Callable[..., TradeColumns]
) -> None:
    root = tmp_path / "new"
    with pytest.raises(DataError, match="older than the row before"):
        write_all(root, make_trades([DAY_S - 1, DAY_S + 1]), make_trades([2 * DAY_S, DAY_S + 5]))
    assert not root.exists()


def test_an_error_leaves_an_existing_tape_unchanged(
    tmp_path: Path, pairs: Mapping[str, Pair], make_trades: Callable[..., TradeColumns]
) -> None:
    trades = make_trades([1, 2, 3])
    with writer(tmp_path) as tape:
        tape.write(trades)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(DataError, match="already has btc_usdt trades"):
        write_all(tmp_path, make_trades([4, DAY_S]), make_trades([2]))
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert equal(join(list(Tape.open(tmp_path, pairs).read("btc_usdt", "trades"))), trades)


def test_synthetic_and_recorded_rows_are_never_mixed(tmp_path: Path, make_trades: Callable[..., TradeColumns]) -> None:
    with writer(tmp_path, synthetic=True) as tape:
        tape.write(make_trades([1]))
    with pytest.raises(DataError, match="cannot mix"):
        writer(tmp_path)


def test_amounts_can_be_stored_with_fewer_decimals_than_the_pair_allows(
    tmp_path: Path, pairs: Mapping[str, Pair], make_trades: Callable[..., TradeColumns]
) -> None:
    trades = make_trades([1, 2, 3])
    with writer(tmp_path, amount_decimals={"btc_usdt": 4}) as tape:
        tape.write(trades)
    assert equal(join(list(Tape.open(tmp_path, pairs).read("btc_usdt", "trades"))), trades)


def test_a_tape_with_more_decimals_than_its_pair_is_an_error(
    tmp_path: Path, pairs: Mapping[str, Pair], make_trades: Callable[..., TradeColumns]
) -> None:
    with writer(tmp_path) as tape:
        tape.write(make_trades([1, 2, 3]))
    pair = pairs["btc_usdt"]
    coarse = {"btc_usdt": pair.with_rules(msgspec.structs.replace(pair.rules, price_decimals=0))}
    with pytest.raises(DataError, match="has more decimals than btc_usdt allows"):
        list(Tape.open(tmp_path, coarse).read("btc_usdt", "trades"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.unlink(), "is missing"),
        (lambda p: p.write_bytes(b"no parquet at all"), "not a readable Parquet file"),
        (lambda p: p.write_bytes(p.read_bytes()[:-20]), "not a readable Parquet file"),
    ],
)
def test_a_damaged_file_is_named_in_the_error(
    tmp_path: Path,
    pairs: Mapping[str, Pair],
    make_trades: Callable[..., TradeColumns],
    damage: Callable[[Path], object],
    message: str,
) -> None:
    with writer(tmp_path) as tape:
        tape.write(make_trades([1, 2, 3]))
    damage(next(tmp_path.rglob("*.parquet")))
    with pytest.raises(DataError, match=message):
        list(Tape.open(tmp_path, pairs).read("btc_usdt", "trades"))


def test_the_error_for_a_missing_stream_names_the_available_streams(
    tmp_path: Path, pairs: Mapping[str, Pair], make_trades: Callable[..., TradeColumns]
) -> None:
    with writer(tmp_path) as tape:
        tape.write(make_trades([1]))
    with pytest.raises(DataError, match="has no eth_twd books; it has btc_usdt trades"):
        list(Tape.open(tmp_path, pairs).read("eth_twd", "books"))
    with pytest.raises(DataError, match="is not a tape"):
        Tape.open(tmp_path / "bitopro", pairs)
    with pytest.raises(DataError, match="does not exist"):
        Tape.open(tmp_path / "nowhere", pairs)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        Tape.open(tmp_path, pairs)


def test_missing_candles_become_gaps_in_the_stream(
    tmp_path: Path, pairs: Mapping[str, Pair], make_candles: Callable[..., CandleColumns]
) -> None:
    with writer(tmp_path) as tape:
        tape.write(make_candles([1, 2, 5]))
        tape.write(make_candles([6, 9]))
    info = Tape.open(tmp_path, pairs).stream("btc_usdt", "candles", "1m")
    assert info is not None
    assert info.gaps == ((3 * 60 * S, 5 * 60 * S), (7 * 60 * S, 9 * 60 * S))
    assert not info.has_receive_times


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=40).map(sorted), st.integers(-1, 31), st.integers(-1, 32))
def test_every_time_range_is_read_exactly_across_row_groups(
    tmp_path_factory: pytest.TempPathFactory, pairs: Mapping[str, Pair], seconds: list[int], start: int, end: int
) -> None:
    at = np.array(seconds, dtype=np.int64)
    ones = np.ones(len(at), dtype=np.int64)
    trades = TradeColumns(pairs["btc_usdt"], at, at, ones, ones, ones.astype(np.int8))
    root = tmp_path_factory.mktemp("tape")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GROUP_ROWS, "trades", 5)
        write_all(root, trades)
    found = list(Tape.open(root, pairs).read("btc_usdt", "trades", start=start, end=end, rows_max=3))
    assert [int(t) for part in found for t in part.received] == [t for t in seconds if start <= t < end]


@pytest.mark.parametrize("path", ["../x.parquet", "a/../../x.parquet", "/etc/passwd", "C:/x", "a\\..\\..\\x", ""])
def test_a_manifest_that_refers_to_files_outside_the_tape_is_refused(
    tmp_path: Path, pairs: Mapping[str, Pair], make_trades: Callable[..., TradeColumns], path: str
) -> None:
    root = tmp_path / "tape"
    write_all(root, make_trades([1, 2]))
    manifest = root / "manifest.json"
    document = msgspec.json.decode(manifest.read_bytes())
    document["files"][0]["path"] = path
    manifest.write_bytes(msgspec.json.encode(document))
    with pytest.raises(DataError, match="is outside the tape"):
        Tape.open(root, pairs)


def test_writing_and_reading_a_tape_does_not_load_pandas(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from botkit.exchange.bitopro.facts import packaged_pairs\n"
        "from botkit.tape.tape import Tape\n"
        "from botkit.testing.trial_market import write_market\n"
        f"pairs, folder = packaged_pairs(), Path({str(tmp_path / 'tape')!r})\n"
        "write_market(folder, {pairs['btc_twd']: [1_000_000.0, 1_000_100.0]}, 60)\n"
        "assert list(Tape.open(folder, pairs).read('btc_twd', 'books'))\n"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)
