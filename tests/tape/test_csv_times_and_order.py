"""CSV files as found in practice: sorted newest first, or with times that lack a time zone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from botkit.errors import DataError
from botkit.model.columns import CandleColumns, TradeColumns
from botkit.model.pairs import Pair
from botkit.tape.feed import FileSource
from botkit.tape.formats import CandleCsv, TradeCsv

HEADER = "date,open,high,low,close,volume\n"
START = 1_735_689_600


def rows(order: list[int]) -> str:
    return HEADER + "".join(f"{START + 60 * i},{i + 10},{i + 10},{i + 10},{i + 10},1\n" for i in order)


def candles(folder: Path, text: str, pairs: Mapping[str, Pair], **options: Any) -> CandleColumns:
    path = folder / "candles.csv"
    path.write_text(text, encoding="utf-8")
    (found,) = CandleCsv().read(path, pairs, {"pair": "btc_usdt", **options})
    assert isinstance(found, CandleColumns)
    return found


@pytest.mark.parametrize("resolution", [None, "1m"])
def test_a_file_sorted_newest_first_is_recognized(
    tmp_path: Path, pairs: Mapping[str, Pair], resolution: str | None
) -> None:
    with pytest.raises(DataError, match=r"csv:2: the rows run from newest to oldest; .*--sort"):
        candles(tmp_path, rows([3, 2, 1, 0]), pairs, resolution=resolution)


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [2, 0, 3, 1], [0, 1, 2, 3]])
def test_rows_are_sorted_if_requested(tmp_path: Path, pairs: Mapping[str, Pair], order: list[int]) -> None:
    found = candles(tmp_path, rows(order), pairs, sort=True)
    assert found.resolution == "1m"
    assert found.time.tolist() == [(START + 60 * i) * 10**9 for i in range(4)]
    assert found.close.tolist() == [1000, 1100, 1200, 1300]


def test_errors_in_a_sorted_file_state_the_original_line_number(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    text = HEADER + f"{START + 60},1,2,1,1,1\n{START},1,1,2,1,1\n"
    with pytest.raises(DataError, match="csv:3: the high is below the low"):
        candles(tmp_path, text, pairs, sort=True)


def test_trades_can_also_be_sorted_and_rows_with_equal_times_are_reversed(
    tmp_path: Path, pairs: Mapping[str, Pair]
) -> None:
    path = tmp_path / "trades.csv"
    path.write_text("time,price,amount,side\n1735689601,3,1,buy\n1735689600,2,1,sell\n1735689600,1,1,buy\n")
    with pytest.raises(DataError, match="from newest to oldest"):
        list(TradeCsv().read(path, pairs, {"pair": "btc_usdt"}))
    (found,) = TradeCsv().read(path, pairs, {"pair": "btc_usdt", "sort": True})
    assert isinstance(found, TradeColumns)
    assert found.ticks.tolist() == [100, 200, 300]
    assert found.side.tolist() == [1, -1, 1]


@pytest.mark.parametrize("stamp", ["2025-01-01 08:0{}:00", "2025-01-01T08:0{}"])
def test_times_without_an_offset_require_a_time_zone(tmp_path: Path, pairs: Mapping[str, Pair], stamp: str) -> None:
    text = HEADER + "".join(f"{stamp.format(i)},1,1,1,1,1\n" for i in range(3))
    with pytest.raises(DataError, match=r"csv:2: time '2025-01-01.08:00.*' has no time zone; .*--timezone UTC"):
        candles(tmp_path, text, pairs)
    assert candles(tmp_path, text, pairs, timezone="Asia/Taipei").time[0] == START * 10**9
    assert candles(tmp_path, text, pairs, timezone="UTC").time[0] == (START + 8 * 3600) * 10**9


def test_dates_without_a_time_also_require_a_time_zone(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    text = HEADER + "2025-01-01,1,1,1,1,1\n2025-01-02,1,1,1,1,1\n"
    with pytest.raises(DataError, match="has no time zone"):
        candles(tmp_path, text, pairs)
    assert candles(tmp_path, text, pairs, timezone="UTC").time[0] == START * 10**9


def test_times_with_and_without_an_offset_cannot_be_mixed(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    text = HEADER + "2025-01-01T00:00:00Z,1,1,1,1,1\n2025-01-01T00:01:00,1,1,1,1,1\n"
    with pytest.raises(DataError, match="csv:3: time '2025-01-01T00:01:00' has no offset, but other"):
        candles(tmp_path, text, pairs, timezone="UTC")


@pytest.mark.parametrize(
    "stamp", ["20250101T000000Z", "2025-01-01T00Z", "2025-01-01T08+08", "20250101T0800+0800", "2024-12-31 19:00 -05:00"]
)
@pytest.mark.parametrize("zone", [{}, {"timezone": "Asia/Taipei"}])
def test_an_offset_is_recognized_in_every_form_of_iso_8601(
    tmp_path: Path, pairs: Mapping[str, Pair], stamp: str, zone: dict[str, str]
) -> None:
    found = candles(tmp_path, HEADER + f"{stamp},1,1,1,1,1\n", pairs, resolution="1m", **zone)
    assert found.time.tolist() == [START * 10**9]


def test_times_may_have_different_offsets(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    text = HEADER + "2025-01-01T01:00:00+01:00,1,1,1,1,1\n2025-01-01T00:01:00Z,1,1,1,1,1\n"
    assert candles(tmp_path, text, pairs).time.tolist() == [START * 10**9, (START + 60) * 10**9]


def test_dates_without_dashes_are_dates_and_not_seconds(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    text = HEADER + "20250101,1,1,1,1,1\n20250102,1,1,1,1,1\n"
    with pytest.raises(DataError, match="csv:2: time '20250101' has no time zone"):
        candles(tmp_path, text, pairs)
    assert candles(tmp_path, text, pairs, timezone="UTC").time.tolist() == [START * 10**9, (START + 86_400) * 10**9]
    with pytest.raises(DataError, match="csv:4: time '1735862400' is a number, but the first one, '20250101', is a da"):
        candles(tmp_path, text + f"{START + 2 * 86_400},1,1,1,1,1\n", pairs, timezone="UTC")


@pytest.mark.parametrize("stamp", ["202501010000", "20250101000000"])
def test_a_date_and_a_time_of_day_without_separators_are_refused(
    tmp_path: Path, pairs: Mapping[str, Pair], stamp: str
) -> None:
    with pytest.raises(DataError, match=f"csv:2: time '{stamp}' looks like a date and a time of day without separ"):
        candles(tmp_path, HEADER + f"{stamp},1,1,1,1,1\n", pairs, timezone="UTC")


@pytest.mark.parametrize("word", ["now", "today", "NaT"])
@pytest.mark.parametrize("line", [2, 3])
def test_a_word_is_not_a_time(tmp_path: Path, pairs: Mapping[str, Pair], word: str, line: int) -> None:
    stamps = ["2025-01-01 00:00:00"] * (line - 2) + [word]
    text = HEADER + "".join(f"{stamp},1,1,1,1,1\n" for stamp in stamps)
    with pytest.raises(DataError, match=f"csv:{line}: time '{word}' is neither a number of seconds"):
        candles(tmp_path, text, pairs, timezone="UTC")


@pytest.mark.parametrize("sort", [True, False])
@pytest.mark.parametrize(
    ("stamps", "message"),
    [
        ([START * 1000, START + 60, START * 1000 + 120_000], "csv:3: time '1735689660' is in a different unit"),
        ([f"{START}000.5", f"{START}.5"], "csv:3: time '1735689600.5' is in a different unit"),
        ([START, START * 1000 + 60_000], "csv:3: time '1735689660000' is in a different unit"),
        ([START, -60], "csv:3: time '-60' lies outside the years 1970 to 2261"),
        (["-0.5"], "csv:2: time '-0.5' lies outside the years 1970 to 2261"),
    ],
)
def test_times_in_different_units_or_before_1970_are_refused(
    tmp_path: Path, pairs: Mapping[str, Pair], stamps: list[Any], message: str, sort: bool
) -> None:
    text = HEADER + "".join(f"{stamp},1,1,1,1,1\n" for stamp in stamps)
    with pytest.raises(DataError, match=message):
        candles(tmp_path, text, pairs, sort=sort)


@pytest.mark.parametrize("stamp", ["2024-03-10 02:30:00", "2024-11-03 01:30:00"])
def test_a_local_time_that_is_skipped_or_repeated_by_daylight_saving_is_reported(
    tmp_path: Path, pairs: Mapping[str, Pair], stamp: str
) -> None:
    text = HEADER + f"2024-01-01 00:00:00,1,1,1,1,1\n{stamp},1,1,1,1,1\n"
    told = rf"csv:3: time '{stamp}' is ambiguous or does not exist in America/New_York, because the clocks change then"
    with pytest.raises(DataError, match=told):
        candles(tmp_path, text, pairs, timezone="America/New_York")


def test_an_error_states_that_all_rows_have_the_same_time(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    text = HEADER + f"{START},1,1,1,1,1\n" * 2
    with pytest.raises(
        DataError, match=r"all rows have the time 2025-01-01T00:00:00\.000Z; each candle needs a different time"
    ):
        candles(tmp_path, text, pairs, resolution=None)


def test_a_duplicate_column_is_refused(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    text = HEADER.strip() + ",Close\n" + f"{START},1,1,1,1,1,1\n"
    with pytest.raises(DataError, match="csv:1: the header has the column 'close' twice; remove one"):
        candles(tmp_path, text, pairs)


def test_an_unknown_time_zone_is_refused(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    with pytest.raises(DataError, match="'Taipei' is not a time zone"):
        candles(tmp_path, rows([0, 1]), pairs, timezone="Taipei")


def test_numeric_times_need_no_time_zone(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    path = tmp_path / "candles.csv"
    path.write_text(rows([0, 1]))
    assert FileSource(path, CandleCsv(), pairs, {"pair": "btc_usdt"}).streams[0].rows == 2
