"""`botkit.load`: recorded data as DataFrames, which a backtest also accepts as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import botkit
from botkit import BotkitError, Pair, Strategy, Trade
from botkit.model.columns import BookColumns, CandleColumns, TradeColumns
from botkit.research.frames import frame_source
from botkit.research.tapes import LoadedTape
from tests.backtest_world import ROOT, write_candles
from tests.research_world import waves

TAPE = ROOT / "backtest_data"
UTC = "datetime64[ns, UTC]"


class Follower(Strategy):
    """Buys when a taker buys, and sells when a taker sells."""

    pair: Pair

    def on_start(self) -> None:
        self.subscribe_trades(self.pair)

    def on_trade(self, trade: Trade) -> None:
        if trade.side is None or self.open_orders():
            return
        if trade.side.value == "buy" and self.balance(self.pair.quote).available > 100:
            self.market_buy(self.pair, spend=50)
        elif trade.side.value == "sell" and self.position(self.pair).sellable:
            self.close(self.pair)


class Hourly(Strategy):
    """Subscribes to hourly bars and does nothing."""

    pair: Pair

    def on_start(self) -> None:
        self.subscribe_bars(self.pair, "1h")


ARGUMENTS: dict[str, Any] = {
    "params": {"pair": "btc_usdt"}, "balances": {"usdt": 10_000}, "slippage": 0.0002, "readings": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def tape() -> LoadedTape:
    return botkit.load(TAPE)


def test_the_streams_table_lists_the_streams_in_the_data(tape) -> None:
    frame = tape.streams
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "pair": "string", "kind": "string", "resolution": "string", "rows": "int64", "start": UTC, "end": UTC,
        "gaps": "int64",
    }  # fmt: skip
    assert len(frame) == 12
    assert set(frame["kind"]) == {"candles", "books", "trades"}
    assert tape.pairs["btc_usdt"].quote == "usdt"
    assert "btc_usdt candles 1m" in repr(tape)


def test_dataframes_contain_the_rows_of_the_tape(tape) -> None:
    candles, columns = tape.candles("btc_usdt", "1m"), tape.source.stream(("btc_usdt", "candles", "1m"))
    assert isinstance(columns, CandleColumns)
    assert candles.dtypes.astype(str).to_dict() == dict.fromkeys(["open", "high", "low", "close", "volume"], "float64")
    assert str(candles.index.dtype) == UTC
    assert candles.index.astype("int64").tolist() == columns.time.tolist()
    assert (candles["close"] * 100).round().astype(int).tolist() == columns.close.tolist()
    assert (candles["volume"] * 10**8).round().astype(int).tolist() == columns.lots.tolist()

    trades, columns = tape.trades("eth_twd"), tape.source.stream(("eth_twd", "trades", None))
    assert isinstance(columns, TradeColumns)
    assert trades.dtypes.astype(str).to_dict() == {
        "time": UTC, "price": "float64", "amount": "float64", "side": "string",
    }  # fmt: skip
    assert trades.index.astype("int64").tolist() == columns.received.tolist()
    assert trades["time"].astype("int64").tolist() == columns.time.tolist()
    assert trades["side"].map({"buy": 1, "sell": -1, "": 0}).tolist() == columns.side.tolist()

    books, columns = tape.books("usdt_twd"), tape.source.stream(("usdt_twd", "books", None))
    assert isinstance(columns, BookColumns)
    assert list(books.columns[:6]) == [
        "bid_price_1", "bid_amount_1", "ask_price_1", "ask_amount_1", "bid_price_2", "bid_amount_2",
    ]  # fmt: skip
    assert set(books.dtypes.astype(str)) == {"float64"}
    shown = columns.bid_lots[:, 0] > 0
    assert (books["bid_price_1"].dropna() * 1000).round().astype(int).tolist() == columns.bid_ticks[shown, 0].tolist()
    assert books["bid_price_1"].isna().tolist() == (~shown).tolist()
    assert np.nanmin(books["ask_price_1"] - books["bid_price_1"]) > 0


def test_a_backtest_on_a_dataframe_of_trades_equals_one_on_the_corresponding_file(tape, tmp_path: Path) -> None:
    trades = tape.trades("btc_usdt").iloc[:3_000]
    file = tmp_path / "trades.csv"
    trades.reset_index().assign(
        received=lambda rows: rows["received"].astype("int64"), time=lambda rows: rows["time"].astype("int64")
    ).to_csv(file, index=False)
    read = botkit.backtest(Follower, data=botkit.load(file, pair="btc_usdt", kind="trades"), **ARGUMENTS)
    held = botkit.backtest(Follower, data=trades, **ARGUMENTS)
    assert len(read.fills) > 50
    assert held.figures["journal_sha256"] == read.figures["journal_sha256"]
    # data without exchange timestamps and sides is also accepted
    bare = trades[["price", "amount"]]
    assert botkit.backtest(Follower, data=bare, **ARGUMENTS).figures["orders"] == 0


def test_a_tape_is_read_only_once_for_many_backtests(tape, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = botkit.load(TAPE)
    asked: list[object] = []
    inner = fresh.source._source
    read = inner.read
    monkeypatch.setattr(inner, "read", lambda *given: asked.append(given[0]) or read(*given))
    found = {
        botkit.backtest(
            Follower, data=fresh, start="2025-04-03T07:00", end="2025-04-03T07:05", **ARGUMENTS
        ).figures["journal_sha256"]
        for _ in range(3)
    }  # fmt: skip
    assert len(found) == 1
    assert sorted(map(str, asked)) == sorted(set(map(str, asked)))


def test_files_can_also_be_loaded(tmp_path: Path) -> None:
    closes = waves(30)
    file = write_candles(tmp_path / "btc.csv", closes)
    loaded = botkit.load(file, pair="btc_usdt")
    assert loaded.candles("btc_usdt")["close"].tolist() == [round(close, 2) for close in closes]
    assert loaded.streams["resolution"].tolist() == ["1m"]


def test_a_backtest_uses_the_finest_of_several_resolutions(tape) -> None:
    frame = tape.candles("btc_usdt").iloc[:120]
    hours = frame.resample("1h").agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})
    result = botkit.backtest(Hourly, data={"btc_usdt": [frame, hours]}, **ARGUMENTS)
    assert result.run.data.kinds == {"btc_usdt": "candles 1m"}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda tape: botkit.load("nowhere"), "there is no file or folder nowhere; check the path"),
        (
            lambda tape: botkit.load(ROOT / "pyproject.toml"),
            "pyproject.toml: botkit reads a tape's folder, or files in",
        ),
        (lambda tape: botkit.load(ROOT / "pyproject.toml", kind="x"), "kind: 'x' is not a format; use one of candles"),
        (lambda tape: botkit.load(ROOT / "configs"), "is not a tape: it has no manifest.json"),
        (lambda tape: tape.candles("btc_eur"), "has no btc_eur candles; it has btc_twd books, "),
        (lambda tape: tape.candles("btc_usdt", "1h"), "has no btc_usdt candles 1h; it has "),
        (lambda tape: tape.trades("ada_twd"), "has no ada_twd trades; it has "),
    ],
)
def test_missing_streams_and_pairs_are_named_in_the_error(tape, call: Any, said: str) -> None:
    with pytest.raises(BotkitError) as caught:
        call(tape)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_without_a_specified_pair_is_refused(tmp_path: Path) -> None:
    file = write_candles(tmp_path / "btc.csv", waves(30))
    with pytest.raises(BotkitError, match="does not name its pair"):
        botkit.load(file)


def test_times_can_be_numbers_or_strings(tape) -> None:
    frame = tape.candles("btc_usdt").iloc[:300]
    for times in (
        frame.index.astype("int64"),
        frame.index.astype("int64") // 10**6,
        frame.index.strftime("%Y-%m-%dT%H:%M:%SZ"),
        frame.index.tz_convert("Asia/Taipei"),
    ):
        given = frame.reset_index(drop=True).assign(Timestamp=times)
        source = frame_source(given, tape.pairs["btc_usdt"])
        (columns,) = source.read(source.streams[0].key, None, None, 1_000)
        assert isinstance(columns, CandleColumns)
        assert columns.time.tolist() == frame.index.astype("int64").tolist()
        assert (columns.close / 100).tolist() == frame["close"].tolist()
