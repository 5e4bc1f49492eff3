"""Rows stored in files that multiple processes map into memory."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.columns import MarketColumns
from botkit.tape import mapped
from botkit.tape.feed import TapeSource
from botkit.tape.held import HeldSource
from botkit.tape.mapped import MappedRows
from botkit.tape.parquet import COLUMNS, kind_of, resolution_of
from botkit.tape.tape import Tape
from tests.benchmarks import market_data

PAIRS = packaged_pairs()


def held(tape: Path, shared: Path) -> HeldSource:
    return HeldSource(TapeSource(tape, PAIRS), MappedRows(shared, PAIRS))


def arrays(columns: MarketColumns) -> dict[str, np.ndarray]:
    return {name: getattr(columns, name) for name in COLUMNS[kind_of(columns)]}


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return market_data.write_tape(tmp_path / "tape", market_data.candles(300), *market_data.books_and_trades(100, 2))


def test_mapped_rows_equal_the_rows_of_the_tape(tape: Path, tmp_path: Path) -> None:
    plain = HeldSource(TapeSource(tape, PAIRS))
    # the second source finds the existing files
    for source in (held(tape, tmp_path / "shared"), held(tape, tmp_path / "shared")):
        for info in plain.streams:
            expected, found = plain.stream(info.key), source.stream(info.key)
            assert expected is not None
            assert found is not None
            assert (found.pair, resolution_of(found)) == (expected.pair, info.resolution)
            for name, values in arrays(expected).items():
                assert np.array_equal(getattr(found, name), values)
                assert not getattr(found, name).flags.writeable


def test_the_tape_is_read_once_for_any_number_of_sources(
    tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[object] = []
    read = Tape.read
    monkeypatch.setattr(Tape, "read", lambda *given, **more: reads.append(given) or read(*given, **more))
    key = ("btc_usdt", "candles", "1m")
    for _ in range(3):
        assert len(held(tape, tmp_path / "shared").stream(key) or ()) == 300
    assert len(reads) == 1


def test_two_simultaneous_reads_create_only_one_copy(tape: Path, tmp_path: Path) -> None:
    shared, key = tmp_path / "shared", ("btc_usdt", "candles", "1m")
    first, second = held(tape, shared), HeldSource(TapeSource(tape, PAIRS))

    def read() -> MarketColumns | None:
        first.stream(key)  # the first source finishes before this one starts
        return second.stream(key)

    found = MappedRows(shared, PAIRS).stream(key, read)
    assert len(found or ()) == 300
    assert len(list(shared.iterdir())) == 1


def test_without_disk_space_for_a_copy_the_rows_are_kept_in_memory(
    tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mapped.np, "save", full)
    assert len(held(tape, tmp_path / "shared").stream(("btc_usdt", "candles", "1m")) or ()) == 300
    assert not list((tmp_path / "shared").iterdir())


def _rows(tape: Path, shared: Path) -> int:
    return len(held(tape, shared).stream(("btc_usdt", "trades", None)) or ())


def test_other_processes_use_the_mapped_rows(tape: Path, tmp_path: Path) -> None:
    assert _rows(tape, tmp_path / "shared") == 200
    for file in tape.rglob("*.parquet"):
        file.unlink()
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(_rows, (tape, tmp_path / "shared")) == 200
