"""Excursions and markouts, compared with references that read every row of a small tape."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.backtesting import second_look
from botkit.backtesting.making import maker_rows
from botkit.backtesting.plan import Plan
from botkit.backtesting.second_look import look_again
from botkit.backtesting.trades import match_trades
from botkit.engine.outcome_parts import Withheld
from botkit.model.columns import BookColumns, CandleColumns, MarketColumns, TradeColumns
from botkit.model.results import ClosedTrade, FillRow
from botkit.tape.feed import Feed, StreamKey
from botkit.tape.manifest import StreamInfo
from botkit.tape.parquet import kind_of, resolution_of
from tests.report.sample_result import pair

BTC = pair("btc_usdt", 2)
COIN, SECOND, MINUTE = 10**8, 10**9, 60 * 10**9


class Rows:
    """A data source that returns the given columns."""

    name, path, synthetic = "rows", "rows", False

    def __init__(self, *columns: MarketColumns) -> None:
        self._columns = {(str(c.pair), kind_of(c), resolution_of(c)): c for c in columns}

    @property
    def streams(self) -> list[StreamInfo]:
        return [
            StreamInfo(
                pair=key[0], kind=key[1], resolution=key[2], rows=len(c), start=int(c.received[0]),
                end=int(c.received[-1]), has_receive_times=True,
            )
            for key, c in self._columns.items()
        ]  # fmt: skip

    def read(self, key: StreamKey, start: int | None, end: int | None, rows_max: int) -> Iterator[MarketColumns]:
        columns = self._columns[key]
        low, high = np.searchsorted(columns.received, [start or 0, end if end is not None else 1 << 62])
        for at in range(int(low), int(high), rows_max):
            yield columns.rows(at, min(int(high), at + rows_max))


def fill(order: int, side: str, amount: float, ticks: int, time: int, *, is_maker: bool = False) -> FillRow:
    lots = round(amount * COIN)
    value = BTC.rules.value_units(ticks, lots)
    return FillRow(
        time, "s", order, "", BTC, side, is_maker, ticks, lots, value, value // 1000, "usdt", value / COIN,
        value / COIN / 1000, ""
    )  # fmt: skip


def trades_of(times: list[int], ticks: list[int]) -> TradeColumns:
    received = np.array(times, dtype=np.int64)
    return TradeColumns(
        BTC, received, received, np.array(ticks, dtype=np.int64), np.ones(len(times), np.int64),
        np.zeros(len(times), np.int8),
    )  # fmt: skip


def books_of(times: list[int], bids: list[int], asks: list[int]) -> BookColumns:
    received = np.array(times, dtype=np.int64)
    sides = [np.array(side, dtype=np.int64).reshape(-1, 1) for side in (bids, bids, asks, asks)]
    return BookColumns(BTC, received, received, *sides)


def looked(source: Rows, fills: list[FillRow], *, rows_max: int = 1_000, age_s: int = 300, withheld=()):
    keys = tuple(info.key for info in source.streams)
    end = max(info.end for info in source.streams) + 1
    plan = Plan({"btc_usdt": "market"}, keys, min(info.start for info in source.streams), end)
    found = match_trades(fills).trades
    return look_again(
        Feed([source]), plan, found, fills, withheld=withheld, max_book_age_s=age_s, rows_max=rows_max
    )  # fmt: skip


def worth(trade: ClosedTrade, time: int, price: float) -> float:
    """Return the profit of a trade, before fees, if it were closed at this time and price."""
    held = sum(units for at, units, _ in trade.steps if at < time)
    money = sum(value for at, _, value in trade.steps if at < time)
    return (money + held * price) / trade.entry_units


@settings(deadline=None, max_examples=120)
@given(st.integers(0, 10**6), st.sampled_from([3, 7, 50, 1_000]))
def test_excursions_match_a_brute_force_search_of_every_row(seed: int, rows_max: int) -> None:
    chance = random.Random(seed)
    times = sorted(chance.sample(range(1, 2_000), 60))
    ticks = [10_000 + chance.randrange(-900, 900) for _ in times]
    books = sorted(chance.sample(range(1, 2_000), 60))
    bids = [10_000 + chance.randrange(-900, 900) if chance.random() > 0.1 else 0 for _ in books]
    asks = [bid + chance.randrange(1, 30) if bid and chance.random() > 0.1 else 0 for bid in bids]
    moments = sorted(chance.sample(range(1, 2_000), 12))
    fills = [
        fill(n // 2, chance.choice(["buy", "sell"]), chance.randint(1, 5), 10_000 + chance.randrange(-900, 900), at)
        for n, at in enumerate(moments)
    ]
    for n in range(0, len(fills), 2):  # all fills of an order are on the same side
        fills[n + 1] = fill(n // 2, fills[n].side, 1.0, fills[n + 1].price_ticks, fills[n + 1].time)
    source = Rows(trades_of(times, ticks), books_of(books, bids, asks))
    for trade in looked(source, fills, rows_max=rows_max).trades:
        shown = bids if trade.kind == "long" else asks
        prices = [(at, price / 100) for at, price in zip(times, ticks, strict=True)]
        prices += [(at, price / 100) for at, price in zip(books, shown, strict=True) if price]
        prices += [(at, abs(money / units)) for at, units, money in trade.steps]
        seen = [worth(trade, at, price) for at, price in prices if trade.opened < at <= trade.closed]
        assert trade.mae == pytest.approx(min(0.0, *seen), abs=1e-9)
        assert trade.mfe == pytest.approx(max(0.0, *seen), abs=1e-9)


def test_only_candles_entirely_within_a_trade_are_used() -> None:
    starts = np.arange(5, dtype=np.int64) * MINUTE
    low, high = np.array([1, 9_000, 9_500, 9_100, 1]), np.array([99_999, 10_500, 11_000, 10_100, 99_999])
    flat = np.full(5, 10_000)
    candles = CandleColumns(BTC, "1m", starts + MINUTE, starts, flat, high, low, flat, flat)
    fills = [fill(1, "buy", 1, 10_000, MINUTE), fill(2, "sell", 1, 10_000, 4 * MINUTE)]
    (trade,) = looked(Rows(candles), fills).trades
    assert (trade.mae, trade.mfe) == (pytest.approx(-0.1), pytest.approx(0.1))
    # the trade now starts one second later, so the first candle starts before the trade and is excluded
    fills = [fill(1, "buy", 1, 10_000, MINUTE + SECOND), fill(2, "sell", 1, 10_000, 4 * MINUTE - SECOND)]
    (trade,) = looked(Rows(candles), fills).trades
    assert (trade.mae, trade.mfe) == (pytest.approx(-0.05), pytest.approx(0.1))


def test_prices_in_rows_that_the_bot_rejected_are_not_used() -> None:
    fills = [fill(1, "buy", 1, 10_000, SECOND), fill(2, "sell", 1, 10_000, 9 * SECOND)]
    source = Rows(trades_of([SECOND, 4 * SECOND, 5 * SECOND], [10_000, 5_000, 9_900]))
    (trade,) = looked(source, fills, withheld=[Withheld(BTC, 4 * SECOND, 50.0)]).trades
    assert trade.mae == pytest.approx(-0.01)


def test_long_segments_are_searched_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(3)
    times = [n * SECOND for n in range(1, 400)]
    ticks = [10_000 + chance.randrange(-900, 900) for _ in times]
    fills = [fill(n, side, 1, 10_000, (n * 37 + 5) * SECOND + 1) for n, side in enumerate(["buy", "sell"] * 4)]
    plain = looked(Rows(trades_of(times, ticks)), fills).trades
    monkeypatch.setattr(second_look, "_SHORT", 3)
    monkeypatch.setattr(second_look, "_BLOCK", 8)
    assert looked(Rows(trades_of(times, ticks)), fills).trades == plain
    assert all(trade.mae and trade.mfe for trade in plain)


def test_markouts_compare_the_mid_price_at_the_fill_with_later_mid_prices() -> None:
    times = [0, 10 * SECOND, 11 * SECOND, 20 * SECOND, 70 * SECOND, 400 * SECOND]
    mids = [10_000, 10_000, 10_010, 10_020, 9_990, 9_900]
    books = books_of(times, [mid - 5 for mid in mids], [mid + 5 for mid in mids])
    bid, ask = (
        fill(n, side, 1, ticks, 10 * SECOND, is_maker=True)
        for n, (side, ticks) in enumerate([("buy", 9_995), ("sell", 10_005)])
    )
    taken = fill(7, "buy", 2, 10_005, 12 * SECOND)
    # the book is too old, and the data ends soon afterwards
    last = fill(8, "sell", 1, 9_995, 399 * SECOND, is_maker=True)
    found = looked(Rows(books), [bid, ask, taken, last])
    assert found.marks[0].mid == 100.0
    assert found.marks[0].after == (100.1, 100.2, 99.9)
    assert found.marks[3].mid is None
    assert found.marks[3].after == (99.0, None, None)
    (row,) = maker_rows([bid, ask, taken, last], found.marks, 0, 400 * SECOND)
    assert row.fills == 3
    values = [99.95, 100.05, 99.95]
    assert row.spread_bps == pytest.approx(
        (values[0] * 0.05 / 99.95 + values[1] * 0.05 / 100.05) / sum(values[:2]) * 10_000
    )
    after = [(100.1, 100.1, 99.0), (100.2, 100.2, None), (99.9, 99.9, None)]
    for markout, mids_then in zip(row.markouts_bps, after, strict=True):
        edges = [
            (value, sign * (mid - price) / price)
            for value, sign, price, mid in zip(values, [1, -1, -1], [99.95, 100.05, 99.95], mids_then, strict=True)
            if mid is not None
        ]
        assert markout == pytest.approx(sum(v * e for v, e in edges) / sum(v for v, _ in edges) * 10_000)
    assert row.share == pytest.approx(sum(values) / (sum(values) + 2 * 100.05))
    assert row.fee_bps == pytest.approx(10)
    # inventory: +1 and -1 at 10 s, +2 from 12 s on, -1 at 399 s
    assert (row.inventory_least, row.inventory_most) == (0, 2)
    assert row.inventory_average == pytest.approx((2 * 387 + 1 * 1) / 400)


def test_without_books_there_are_no_markouts() -> None:
    fills = [fill(1, "buy", 1, 10_000, SECOND, is_maker=True)]
    found = looked(Rows(trades_of([SECOND], [10_000])), fills)
    assert found.marks == []
    assert maker_rows(fills, found.marks, 0, SECOND) == []
