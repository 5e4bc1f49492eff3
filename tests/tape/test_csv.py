"""CSV files read into columns: exact values, every time format, and a clear error for every kind of mistake."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.errors import DataError
from botkit.model.columns import CandleColumns, TradeColumns
from botkit.model.pairs import Pair
from botkit.tape.feed import FileSource
from botkit.tape.formats import CandleCsv, TradeCsv
from botkit.tape.parquet import join

HEADER = "timestamp,open,high,low,close,volume\n"
ROWS = [
    "1735689600000,86000.5,86001,85999.99,86000,1.5",
    "1735689660000,86000,86000,86000,86000,0",
    "1735689720000,86000,86010.25,85990,86005.1,0.00000001",
]


def candles(tmp_path: Path, text: str, pairs: Mapping[str, Pair], **options: Any) -> CandleColumns:
    path = tmp_path / "candles.csv"
    path.write_text(text)
    columns = join(list(CandleCsv().read(path, pairs, {"pair": "btc_usdt", "resolution": "1m", **options})))
    assert isinstance(columns, CandleColumns)
    return columns


def trades(tmp_path: Path, text: str, pairs: Mapping[str, Pair]) -> TradeColumns:
    path = tmp_path / "trades.csv"
    path.write_text(text)
    columns = join(list(TradeCsv().read(path, pairs, {"pair": "btc_usdt"})))
    assert isinstance(columns, TradeColumns)
    return columns


def test_candles_have_exact_integers_and_a_receive_time_at_their_end(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    found = candles(tmp_path, HEADER + "\n".join(ROWS), pairs)
    assert found.open.tolist() == [8_600_050, 8_600_000, 8_600_000]
    assert found.high.tolist() == [8_600_100, 8_600_000, 8_601_025]
    assert found.low.tolist() == [8_599_999, 8_600_000, 8_599_000]
    assert found.lots.tolist() == [150_000_000, 0, 1]
    assert found.time[0] == 1_735_689_600_000_000_000
    assert (found.received - found.time).tolist() == [60 * 10**9] * 3


@pytest.mark.parametrize(
    "stamps",
    [
        ["1735689600", "1735689660", "1735689720"],
        ["1735689600.0", "1735689660.000", "1735689720.0"],
        ["1735689600000", "1735689660000", "1735689720000"],
        ["1735689600000000", "1735689660000000", "1735689720000000"],
        ["1735689600000000000", "1735689660000000000", "1735689720000000000"],
        ["2025-01-01T00:00:00Z", "2025-01-01T00:01:00Z", "2025-01-01T00:02:00Z"],
        ["2025-01-01T08:00+08:00", "2025-01-01T08:01+08:00", "2025-01-01T08:02+08:00"],
    ],
)
def test_time_formats_are_recognized_by_magnitude_or_as_iso(
    tmp_path: Path, pairs: Mapping[str, Pair], stamps: list[str]
) -> None:
    text = "date,open,high,low,close,volume\n" + "".join(f"{stamp},1,1,1,1,1\n" for stamp in stamps)
    found = candles(tmp_path, text, pairs)
    assert found.time.tolist() == [(1_735_689_600 + 60 * i) * 10**9 for i in range(3)]


def test_milliseconds_of_a_distant_year_are_read(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    found = candles(tmp_path, HEADER + "4102444800000,1,1,1,1,1\n4102444860000,1,1,1,1,1\n", pairs)
    assert found.time.tolist() == [4_102_444_800 * 10**9, 4_102_444_860 * 10**9]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.decimals("0.01", "99999999", places=2), min_size=1, max_size=8))
def test_every_price_within_the_pairs_precision_is_exact(
    tmp_path_factory: pytest.TempPathFactory, pairs: Mapping[str, Pair], prices: list[Decimal]
) -> None:
    path = tmp_path_factory.mktemp("csv")
    text = HEADER + "".join(f"{1735689600 + 60 * i},{p},{p},{p},{p},1\n" for i, p in enumerate(prices))
    assert candles(path, text, pairs).close.tolist() == [int(p * 100) for p in prices]


def test_prices_with_more_decimals_than_the_pair_are_rounded_and_counted(
    tmp_path: Path, pairs: Mapping[str, Pair]
) -> None:
    path = tmp_path / "candles.csv"
    price = "86000.1234567890123456789012"
    path.write_text(HEADER + f"1735689600,{price},86000.125,86000.115,86000.12,1e-05\n")
    source = FileSource(path, CandleCsv(), pairs, {"pair": "btc_usdt", "resolution": "1m"})
    columns = next(source.read(("btc_usdt", "candles", "1m"), None, None, 10))
    assert isinstance(columns, CandleColumns)
    assert (columns.open[0], columns.high[0], columns.low[0]) == (8_600_012, 8_600_013, 8_600_012)
    assert columns.lots[0] == 1000
    assert source.notes == ["3 prices had more decimals than btc_usdt allows (2) and were rounded to the nearest"]


def test_header_order_case_and_delimiter_are_flexible_and_gzip_and_bom_are_supported(
    tmp_path: Path, pairs: Mapping[str, Pair]
) -> None:
    path = tmp_path / "candles.csv.gz"
    text = '\ufeff"Close";Low;High;Open;VOL;extra;Time\r\n5;4;6;4.5;1;x;1735689600\r\n'
    path.write_bytes(gzip.compress(text.encode()))
    (found,) = CandleCsv().read(path, pairs, {"pair": "BTC_USDT", "resolution": "1m"})
    assert isinstance(found, CandleColumns)
    assert [int(c[0]) for c in (found.open, found.high, found.low, found.close)] == [450, 600, 400, 500]


def test_the_resolution_is_inferred_if_none_is_set(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    text = HEADER + "".join(f"{1735689600 + 900 * i},1,1,1,1,1\n" for i in (0, 1, 3))
    assert candles(tmp_path, text, pairs, resolution=None).resolution == "15m"


FIRST = "1735689600,10,11,9,10,1\n"
BAD_CANDLES = {
    "empty file": ("", "is empty"),
    "blank file": ("\n\n", "is empty"),
    "header alone": (HEADER, "a header but no rows"),
    "missing column": ("timestamp,open,high,low,volume\n1,2,3,4,5\n", r":1: column 'close' is missing; the header has"),
    "no header": (FIRST * 2, r":1: column 'time' is missing"),
    "unsorted": (HEADER + FIRST + "1735689540,10,11,9,10,1\n", r":3: 2024-12-31T23:59:00.000Z comes after"),
    "doubled": (HEADER + FIRST + FIRST, r":3: a second candle for .*, with the same figures; .*--drop-doubled"),
    "doubled with different figures": (HEADER + FIRST + "1735689600,10,12,9,10,1\n", r":3: .*with different figures"),
    "nan": (HEADER + FIRST + "1735689660,10,NaN,9,10,1\n", r":3: high 'NaN' is not a number"),
    "infinite": (HEADER + "1735689660,10,inf,9,10,1\n", r":2: high 'inf' is not a number"),
    "empty cell": (HEADER + FIRST + "1735689660,10,11,9,,1\n", r":3: close is empty"),
    "text": (HEADER + "1735689600,10,11,9,ten,1\n", r":2: close 'ten' is not a number"),
    "underscores": (HEADER + "1735689600,1_0,11,9,10,1\n", r":2: open '1_0' is not a number"),
    "arabic digits": (HEADER + "1735689600,١٠,11,9,10,1\n", r":2: open '١٠' is not a number"),
    "negative price": (HEADER + FIRST + "1735689660,10,11,-9,10,1\n", r":3: a price is zero or negative"),
    "zero price": (HEADER + "1735689600,0,11,0,10,1\n", r":2: a price is zero or negative"),
    "negative volume": (HEADER + "1735689600,10,11,9,10,-1\n", r":2: the volume is negative"),
    "high below low": (HEADER + "1735689600,10,9,11,10,1\n", r":2: the high is below the low"),
    "open outside": (HEADER + "1735689600,12,11,9,10,1\n", r":2: the open is not between"),
    "close outside": (HEADER + "1735689600,10,11,9,8,1\n", r":2: the close is not between"),
    "huge price": (HEADER + "1735689600,1e30,1e30,1e30,1e30,1\n", r":2: open '1e30' is"),
    "huge exponent": (HEADER + "1735689600,1e999999999,11,9,10,1\n", r":2: open '1e999999999' is not a number"),
    "short row": (HEADER + FIRST + "1735689660,10,11\n", "Expected 6 columns, got 3"),
    "bad time": (HEADER + "yesterday,10,11,9,10,1\n", r":2: time 'yesterday' is neither"),
    "far future": (
        HEADER + "9214646340000,10,11,9,10,1\n9214646400000,10,11,9,10,1\n",
        r":3: time '9214646400000' lies outside the years 1970 to 2261",
    ),
    "mixed units": (
        HEADER + FIRST + "1735689660000,10,11,9,10,1\n",
        r":3: time '1735689660000' is in a different unit",
    ),
    "coarser than set": (
        HEADER + "".join(f"{1735689600 + 300 * i},1,1,1,1,1\n" for i in range(4)),
        r":3: the resolution is set to 1m, but rows are 300 s apart",
    ),
    "finer than set": (
        HEADER + "".join(f"{1735689600 + 30 * i},1,1,1,1,1\n" for i in range(4)),
        r":3: the resolution is set to 1m, but rows are 30 s apart",
    ),
    "decimal comma": (
        "time;open;high;low;close;volume\n1735689600;10,5;11;9;10;1\n",
        r":2: open '10,5' is not a number; write it with a decimal point and without commas",
    ),
    "days of Excel": (
        HEADER + "".join(f"{45658 + i / 1440:.6f},1,1,1,1,1\n" for i in range(4)),
        r"s apart.*; the times look like Excel's numbers of days",
    ),
    "times of the closes": (
        HEADER + "".join(f"{1735689659999 + 60000 * i},1,1,1,1,1\n" for i in range(4)),
        r":2: .* is not the start of a 1m candle; the times look like those at which candles close",
    ),
    "off the grid": (HEADER + "1735689605,1,1,1,1,1\n", r":2: .* is not the start of a 1m candle"),
}


@pytest.mark.parametrize("name", BAD_CANDLES)
def test_invalid_candles_are_refused_with_file_and_line(tmp_path: Path, pairs: Mapping[str, Pair], name: str) -> None:
    text, message = BAD_CANDLES[name]
    with pytest.raises(DataError, match=message) as error:
        candles(tmp_path, text, pairs)
    assert "candles.csv" in str(error.value)


def test_the_error_for_an_unknown_pair_suggests_the_most_similar_name(
    tmp_path: Path, pairs: Mapping[str, Pair]
) -> None:
    with pytest.raises(DataError, match="no pair 'btc_usd'; did you mean btc_usdt"):
        candles(tmp_path, HEADER + FIRST, pairs, pair="btc_usd")
    with pytest.raises(DataError, match="does not name its pair"):
        candles(tmp_path, HEADER + FIRST, pairs, pair=None)


def test_an_unknown_resolution_is_refused(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    with pytest.raises(DataError, match="'2m' is not a resolution that the exchange offers"):
        candles(tmp_path, HEADER + FIRST, pairs, resolution="2m")


def test_exact_duplicates_of_candles_are_skipped_and_counted_if_requested(
    tmp_path: Path, pairs: Mapping[str, Pair]
) -> None:
    path = tmp_path / "candles.csv"
    path.write_text(HEADER + FIRST + FIRST + "1735689660,10,11,9,10,1\n" * 3)
    source = FileSource(path, CandleCsv(), pairs, {"pair": "btc_usdt", "resolution": "1m", "doubled": "drop"})
    assert source.streams[0].rows == 2
    assert source.findings == ["3 duplicate candles were skipped"]


@pytest.mark.parametrize("cut", [40, 64, 100, 333])
def test_mistakes_are_found_across_block_boundaries(
    tmp_path: Path, pairs: Mapping[str, Pair], monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """Check that adjacent rows in different blocks are also compared, and that line numbers continue across blocks."""
    from botkit.tape import csv_columns

    real = csv_columns.CsvFile.__init__

    def small(self: Any, path: Path, wanted: Any, **given: Any) -> None:
        real(self, path, wanted, **{**given, "block_bytes": cut})

    monkeypatch.setattr(csv_columns.CsvFile, "__init__", small)
    rows = [f"{1735689600 + 60 * i},10,11,9,10,1\n" for i in range(40)]
    assert len(candles(tmp_path, HEADER + "".join(rows), pairs)) == 40
    for at in (1, 7, 38):
        swapped = [*rows[:at], rows[at + 1], rows[at], *rows[at + 2 :]]
        with pytest.raises(DataError, match=rf":{at + 3}: .* comes after"):
            candles(tmp_path, HEADER + "".join(swapped), pairs)
        with pytest.raises(DataError, match=rf":{at + 3}: a second candle"):
            candles(tmp_path, HEADER + "".join([*rows[: at + 1], *rows[at:]]), pairs)


# -- trades -----------------------------------------------------------------------------------------------------------


def test_trades_have_exact_values_and_sides(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    text = (
        "time,price,amount,side\n1735689600.5,86000.01,0.5,buy\n1735689600.5,86000,0.00000001,SELL\n1735689601,1,1,\n"
    )
    found = trades(tmp_path, text, pairs)
    assert found.time.tolist() == [1_735_689_600_500_000_000] * 2 + [1_735_689_601_000_000_000]
    assert found.received.tolist() == found.time.tolist()
    assert found.ticks.tolist() == [8_600_001, 8_600_000, 100]
    assert found.lots.tolist() == [50_000_000, 1, 100_000_000]
    assert found.side.tolist() == [1, -1, 0]


def test_if_the_buyer_was_the_maker_the_taker_sold(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    text = "time,price,qty,is_buyer_maker\n1735689600,1,1,true\n1735689600,1,1,False\n"
    assert trades(tmp_path, text, pairs).side.tolist() == [-1, 1]


def test_receive_times_of_trades_are_kept(tmp_path: Path, pairs: Mapping[str, Pair]) -> None:
    text = "received,time,price,amount\n1735689600100,1735689600,1,1\n1735689600200,1735689599,1,1\n"
    found = trades(tmp_path, text, pairs)
    assert (found.received - found.time).tolist() == [100_000_000, 1_200_000_000]
    assert found.side.tolist() == [0, 0]


BAD_TRADES = {
    "unsorted": ("1735689600,1,1,buy\n1735689599,1,1,buy\n", r":3: this trade is older"),
    "side": ("1735689600,1,1,buy\n1735689600,1,1,hold\n", r":3: side 'hold' is neither buy nor sell"),
    "price": ("1735689600,-1,1,buy\n", r":2: the price is zero or negative"),
    "amount": ("1735689600,1,0,buy\n", r":2: the amount is zero"),
    "nan": ("1735689600,nan,1,buy\n", r":2: price 'nan' is not a number"),
    "nothing": ("", "a header but no rows"),
}


@pytest.mark.parametrize("name", BAD_TRADES)
def test_invalid_trades_are_refused_with_file_and_line(tmp_path: Path, pairs: Mapping[str, Pair], name: str) -> None:
    text, message = BAD_TRADES[name]
    with pytest.raises(DataError, match=message):
        trades(tmp_path, "time,price,amount,side\n" + text, pairs)
