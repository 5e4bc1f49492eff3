"""Every recorded row is on the tape exactly once and in order, regardless of when the recorder was killed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.errors import DataError
from botkit.exchange.bitopro.capture import BitoProFrames
from botkit.model.columns import BookColumns, TradeColumns
from botkit.model.events import Connection, ConnectionState, OrderBook, Trade
from botkit.model.orders import Side
from botkit.model.pairs import Pair
from botkit.tape import recorder as recorder_module
from botkit.tape.checks import check_contents
from botkit.tape.journal import journal_files
from botkit.tape.parquet import join
from botkit.tape.raw_frames import RawFrames
from botkit.tape.recorder import Recorder
from botkit.tape.tape import Tape
from botkit.tape.writer import TapeWriter

S = 10**9
DAY = 86_400 * S
NOW = 20_000 * DAY + 3_600 * S


def make(root: Path, pairs: Mapping[str, Pair], *names: str, depth: int = 5) -> Recorder:
    chosen = [pairs[name] for name in names or ("btc_usdt",)]
    return Recorder(root, chosen, known=pairs, depth=depth, source="a test")


def trade(pair: Pair, time: int, number: int) -> Trade:
    rules = pair.rules
    return Trade(pair, time, rules.price(8_600_000 + number), rules.amount(1_000 + number), Side.BUY)


def book(pair: Pair, time: int, number: int, levels: int = 5) -> OrderBook:
    bids = tuple((8_600_000 + number - i, 10 + i) for i in range(1, levels + 1))
    asks = tuple((8_600_000 + number + i, 20 + i) for i in range(1, levels + 1))
    return OrderBook(pair, time, bids, asks)


def change(pair: Pair, stream: str, state: ConnectionState) -> Connection:
    return Connection(state, stream, pair)


def ticks(root: Path, pairs: Mapping[str, Pair], name: str = "btc_usdt") -> list[int]:
    chunks = Tape.open(root, pairs).read(name, "trades")
    return [int(t) - 8_600_000 for columns in chunks for t in columns.ticks]  # type: ignore[union-attr]


def gaps(root: Path, pairs: Mapping[str, Pair], kind: str) -> list[tuple[float, float]]:
    stream = Tape.open(root, pairs).stream("btc_usdt", kind)  # type: ignore[arg-type]
    assert stream is not None
    return [((a - NOW) / S, (b - NOW) / S) for a, b in stream.gaps]


def test_rows_from_the_journal_and_from_parquet_are_read_exactly(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    pair = pairs["btc_usdt"]
    recorder = make(tmp_path, pairs)
    recorder.open(NOW)
    for i in range(10):
        recorder.take(book(pair, NOW - 5 + i * S, i, levels=3 + i % 3), NOW + 1 + i * S)
        recorder.take(trade(pair, NOW // S * S + i * S, i), NOW + 2 + i * S)
    recorder.sync()
    for state in ("journal", "parquet"):
        if state == "parquet":
            recorder.close()
            assert journal_files(tmp_path) == []
        tape = Tape.open(tmp_path, pairs)
        trades = join(list(tape.read("btc_usdt", "trades")))
        books = join(list(tape.read("btc_usdt", "books")))
        assert isinstance(trades, TradeColumns)
        assert isinstance(books, BookColumns)
        assert trades.received.tolist() == [NOW + 2 + i * S for i in range(10)]
        assert trades.time.tolist() == [NOW // S * S + i * S for i in range(10)]
        assert trades.ticks.tolist() == [8_600_000 + i for i in range(10)]
        assert trades.lots.tolist() == [1_000 + i for i in range(10)]
        assert trades.side.tolist() == [1] * 10
        assert books.depth == 5
        assert books.bid_ticks[4].tolist() == [8_600_003, 8_600_002, 8_600_001, 8_600_000, 0]
        assert books.ask_lots[4].tolist() == [21, 22, 23, 24, 0]
        part = join(list(tape.read("btc_usdt", "trades", start=NOW + 2 + 3 * S, end=NOW + 2 + 5 * S)))
        assert np.array_equal(part.received, trades.received[3:5])
        stream = tape.stream("btc_usdt", "trades")
        assert stream is not None
        assert (stream.rows, stream.start, stream.end) == (10, NOW + 2, NOW + 2 + 9 * S)
        assert stream.has_receive_times
    assert check_contents(Tape.open(tmp_path, pairs)) == []


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(0, 3_000), noise=st.binary(max_size=40))
def test_a_crash_damages_no_rows_before_the_last_bytes_written(
    tmp_path_factory: pytest.TempPathFactory, pairs: Mapping[str, Pair], cut: int, noise: bytes
) -> None:
    root = tmp_path_factory.mktemp("tape")
    pair = pairs["btc_usdt"]
    recorder = make(root, pairs)
    recorder.open(NOW)
    for i in range(60):
        recorder.take(trade(pair, NOW, i), NOW + i)
    recorder.sync()
    [file] = journal_files(root)
    content = file.read_bytes()
    recorder.abandon()
    kept = content[: max(content.index(b"\n") + 1, len(content) - cut)]
    # if the random bytes happen to equal the truncated bytes, nothing changes
    file.write_bytes(kept + (noise if not content[len(kept) :].startswith(noise) else b""))
    again = make(root, pairs)
    again.open(NOW + DAY)
    again.take(trade(pair, NOW, 1_000), NOW + DAY + 1)
    again.close()
    found = ticks(root, pairs)
    assert found[-1] == 1_000
    assert found[:-1] == list(range(len(found) - 1))
    # a record takes about 40 bytes
    assert len(found) - 1 >= 60 - cut // 30 - 1


def test_reading_a_journal_stops_at_a_damaged_record(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    pair = pairs["btc_usdt"]
    recorder = make(tmp_path, pairs)
    recorder.open(NOW)
    for i in range(20):
        recorder.take(trade(pair, NOW, i), NOW + i)
    recorder.sync()
    recorder.abandon()
    [file] = journal_files(tmp_path)
    content = bytearray(file.read_bytes())
    # change a digit in the last amount: the record can still be parsed, and only its checksum reveals the damage
    place = content.rindex((1_000 + 19).to_bytes(2, "big"))
    content[place + 1] ^= 1
    file.write_bytes(content)
    assert ticks(tmp_path, pairs) == list(range(19))


@pytest.mark.parametrize("moment", ["before the manifest", "before the journal is removed"])
def test_a_kill_while_parquet_is_written_does_not_duplicate_rows(
    tmp_path: Path, pairs: Mapping[str, Pair], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    pair = pairs["btc_usdt"]
    first = make(tmp_path, pairs)
    first.open(NOW)
    for i in range(5):
        first.take(trade(pair, NOW, i), NOW + i)
    first.close()
    second = make(tmp_path, pairs)
    second.open(NOW + 100)
    for i in range(5, 10):
        second.take(trade(pair, NOW, i), NOW + 100 + i)

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if moment == "before the manifest":
            patch.setattr("botkit.tape.writer.write_atomically", die)
        else:
            patch.setattr(Path, "unlink", die)
        with pytest.raises(Killed):
            second.close()
    assert ticks(tmp_path, pairs) == list(range(10))
    third = make(tmp_path, pairs)
    third.open(NOW + 200)
    third.close()
    assert ticks(tmp_path, pairs) == list(range(10))
    assert check_contents(Tape.open(tmp_path, pairs)) == []


def test_the_file_of_a_finished_day_is_written_while_the_next_day_is_recorded(
    tmp_path: Path, pairs: Mapping[str, Pair]
) -> None:
    pair = pairs["btc_usdt"]
    recorder = make(tmp_path, pairs)
    recorder.open(NOW)
    recorder.take(trade(pair, NOW, 0), NOW)
    assert not recorder.has_finished_days
    recorder.take(trade(pair, NOW + DAY, 1), NOW + DAY)
    assert recorder.has_finished_days
    recorder.sync()
    assert ticks(tmp_path, pairs) == [0, 1]  # both rows come from journals
    [sentence] = recorder.write_finished_days()
    assert "1 row recorded since 2024-10-04T01:00:00Z was added to the tape" in sentence
    assert len(Tape.open(tmp_path, pairs).manifest.files) == 1
    assert ticks(tmp_path, pairs) == [0, 1]  # one row from Parquet, one from a journal
    recorder.close()
    assert len(Tape.open(tmp_path, pairs).manifest.files) == 2
    assert ticks(tmp_path, pairs) == [0, 1]


def test_a_lost_connection_leaves_a_gap_in_books_but_not_in_trades(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    pair = pairs["btc_usdt"]
    recorder = make(tmp_path, pairs)
    recorder.open(NOW)
    for stream in ("order_book", "trades"):
        recorder.take(change(pair, stream, ConnectionState.CONNECTED), NOW)
    recorder.take(book(pair, NOW, 0), NOW + 1 * S)
    recorder.take(trade(pair, NOW, 0), NOW + 1 * S)
    for stream in ("order_book", "trades"):
        recorder.take(change(pair, stream, ConnectionState.LOST), NOW + 2 * S)
        recorder.take(change(pair, stream, ConnectionState.CONNECTED), NOW + 5 * S)
    recorder.take(book(pair, NOW, 1), NOW + 6 * S)
    recorder.take(trade(pair, NOW, 1), NOW + 6 * S)
    recorder.take(book(pair, NOW, 2), NOW + 7 * S)
    # the exchange's trade list did not go back far enough
    recorder.take(Connection(ConnectionState.RESYNCHRONISED, "trades", pair, "told", gap=True), NOW + 9 * S)
    recorder.take(trade(pair, NOW, 2), NOW + 9 * S)
    recorder.sync()
    for _ in ("journal", "parquet"):
        assert gaps(tmp_path, pairs, "books") == [(1.0, 6.0)]
        assert gaps(tmp_path, pairs, "trades") == [(6.0, 9.0)]
        recorder.close()
    assert recorder.gaps == 2


def test_a_gap_between_two_runs_starts_at_the_last_row_of_the_first_run(
    tmp_path: Path, pairs: Mapping[str, Pair]
) -> None:
    pair = pairs["btc_usdt"]
    recorder = make(tmp_path, pairs)
    recorder.open(NOW)
    recorder.take(book(pair, NOW, 0), NOW + 1 * S)
    recorder.take(trade(pair, NOW, 0), NOW + 1 * S)
    recorder.close()
    recorder = make(tmp_path, pairs)
    recorder.open(NOW + 50 * S)
    recorder.take(change(pair, "trades", ConnectionState.CONNECTED), NOW + 51 * S)
    recorder.take(book(pair, NOW, 1), NOW + 52 * S)
    recorder.take(trade(pair, NOW, 1), NOW + 60 * S)
    recorder.close()
    assert gaps(tmp_path, pairs, "books") == [(1.0, 52.0)]
    assert gaps(tmp_path, pairs, "trades") == [(1.0, 51.0)]  # the trade lists were complete from this time on


def test_rows_of_pairs_that_are_no_longer_recorded_are_kept(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    recorder = make(tmp_path, pairs, "btc_usdt", "eth_twd")
    recorder.open(NOW)
    recorder.take(trade(pairs["eth_twd"], NOW, 7), NOW)
    recorder.sync()
    recorder.abandon()
    recorder = make(tmp_path, pairs, "btc_usdt", depth=1)
    assert len(recorder.open(NOW + S)) == 1
    recorder.take(book(pairs["btc_usdt"], NOW, 1), NOW + S)
    recorder.close()
    assert ticks(tmp_path, pairs, "eth_twd") == [7]


@pytest.mark.parametrize(("first", "second"), [(5, 20), (20, 5)])
def test_a_day_may_be_continued_with_another_depth(
    tmp_path: Path, pairs: Mapping[str, Pair], first: int, second: int
) -> None:
    pair = pairs["btc_usdt"]
    for run, levels in enumerate((first, second)):
        begin = NOW + run * 100 * S
        recorder = make(tmp_path, pairs, depth=levels)
        recorder.open(begin)
        for i in range(10):
            recorder.take(book(pair, begin + i * S, i, levels), begin + 1 + i * S)
        recorder.close()
    tape = Tape.open(tmp_path, pairs)
    assert check_contents(tape) == []
    (books,) = tape.read("btc_usdt", "books")
    assert isinstance(books, BookColumns)
    assert (len(books), books.depth) == (20, 20)
    assert [int((row > 0).sum()) for row in books.bid_lots] == [first] * 10 + [second] * 10


def test_rows_stay_in_order_when_the_clock_is_set_back(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    pair = pairs["btc_usdt"]
    recorder = make(tmp_path, pairs)
    recorder.open(NOW)
    for number, received in enumerate((NOW + 10 * S, NOW - 3_600 * S, NOW + 11 * S)):
        recorder.take(trade(pair, NOW, number), received)
    recorder.close()
    received = join(list(Tape.open(tmp_path, pairs).read("btc_usdt", "trades"))).received
    assert received.tolist() == [NOW + 10 * S, NOW + 10 * S, NOW + 11 * S]


def test_a_tape_that_cannot_be_continued_is_refused_before_any_row_is_written(
    tmp_path: Path, pairs: Mapping[str, Pair]
) -> None:
    pair = pairs["btc_usdt"]
    recorder = make(tmp_path / "a", pairs)
    recorder.open(NOW)
    with pytest.raises(DataError, match=r"is being recorded by another botkit record \(process \d+\)"):
        make(tmp_path / "a", pairs).open(NOW)
    recorder.take(trade(pair, NOW, 0), NOW)
    recorder.close()
    with pytest.raises(DataError, match="which is later than this machine's clock"):
        make(tmp_path / "a", pairs).open(NOW - S)
    with TapeWriter(tmp_path / "b", source="x", recorded="x", synthetic=True):
        pass
    with pytest.raises(DataError, match="synthetic tape from bitopro; record into another folder"):
        make(tmp_path / "b", pairs).open(NOW)
    again = make(tmp_path / "a", pairs)
    again.open(NOW + S)  # every refused attempt released the lock
    again.close()


def test_a_full_disk_is_reported_clearly_and_earlier_rows_are_kept(
    tmp_path: Path, pairs: Mapping[str, Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = pairs["btc_usdt"]
    recorder = make(tmp_path, pairs)
    recorder.open(NOW)
    recorder.take(trade(pair, NOW, 0), NOW)
    recorder.sync()
    recorder.take(trade(pair, NOW, 1), NOW + 1)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("botkit.tape.journal.os.fsync", full)
        with pytest.raises(DataError, match="No space left on device; earlier rows are safe"):
            recorder.sync()
    recorder.take(trade(pair, NOW, 2), NOW + 2)
    recorder.close()
    assert ticks(tmp_path, pairs)[0] == 0


def test_raw_frames_from_a_killed_recorder_are_repaired_at_the_next_start(
    tmp_path: Path, pairs: Mapping[str, Pair]
) -> None:
    frame = (
        '{"event":"ORDER_BOOK","pair":"BTC_USDT","timestamp":1728003600000,'
        '"bids":[{"price":"86000.0%d","amount":"1"}],"asks":[{"price":"86001","amount":"1"}]}'
    )
    raw = RawFrames(tmp_path)
    raw.open()
    for i in range(10):
        raw.take(frame % i, NOW + i * S)
        raw.sync()
    raw.abandon()
    [part] = (tmp_path / "raw").iterdir()
    content = part.read_bytes()
    part.write_bytes(content[: len(content) - random.Random(1).randrange(1, 20)])
    again = RawFrames(tmp_path)
    again.open()
    [whole] = (tmp_path / "raw").iterdir()
    assert whole.name == "2024-10-04T010000.000.frames.jsonl.gz"
    [books] = BitoProFrames().read(whole, pairs, {})
    assert isinstance(books, BookColumns)
    assert len(books) in (9, 10)
    assert books.bid_ticks[:9, 0].tolist() == [8_600_000 + i for i in range(9)]


def test_the_lock_is_released_if_startup_fails(
    tmp_path: Path, pairs: Mapping[str, Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> list[str]:
        raise DataError("damaged")

    with monkeypatch.context() as patch:
        patch.setattr(recorder_module, "finalise", fail)
        with pytest.raises(DataError, match="damaged"):
            make(tmp_path, pairs).open(NOW)
    recorder = make(tmp_path, pairs)
    recorder.open(NOW)
    recorder.close()
