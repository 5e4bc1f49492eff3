"""The plan of a run: data kinds, streams, time span, and required data."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from botkit.backtesting.plan import Plan, Source, make_plan, partial_streams
from botkit.errors import ConfigError, DataError
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_MINUTE, format_time
from botkit.model.columns import BookColumns
from botkit.tape.feed import Feed, TapeSource
from botkit.tape.writer import TapeWriter
from tests.benchmarks import market_data

PAIRS = packaged_pairs()


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    market_data.write_tape(tmp_path / "candles", market_data.candles(600))
    market_data.write_tape(tmp_path / "trades", market_data.trades(5_000))
    return Feed([TapeSource(tmp_path / name, PAIRS) for name in ("candles", "trades")])


def plan(feed: Feed, sources: dict[str, Source], *resolutions: str, **more: object) -> Plan:
    wanted = dict.fromkeys(sources, resolutions)
    options: dict[str, object] = {"currency": "usdt", "held": ["usdt"], "start": None, "end": None, **more}
    return make_plan(feed, sources, wanted, pairs=PAIRS, **options)  # type: ignore[arg-type]


def test_a_run_uses_candles_if_it_needs_only_bars_and_otherwise_books_and_trades(feed: Feed) -> None:
    bars = plan(feed, {"btc_usdt": "candles"}, "1m", "1h")
    assert bars.keys == (("btc_usdt", "candles", "1m"),)
    assert bars.candle_pairs == {"btc_usdt"}
    assert not bars.is_market
    market = plan(feed, {"btc_usdt": "market"}, "1m")
    assert market.keys == (("btc_usdt", "trades", None),)
    assert market.candle_pairs == frozenset()
    assert market.is_market
    assert market.described() == {"btc_usdt": "trades"}


def test_a_run_on_candles_starts_when_the_first_candle_opens(feed: Feed) -> None:
    whole = plan(feed, {"btc_usdt": "candles"}, "1m")
    assert whole.start == market_data.START
    assert whole.end == market_data.START + 600 * NS_PER_MINUTE + 1
    start, end = whole.start + 5 * NS_PER_MINUTE, whole.start + 9 * NS_PER_MINUTE
    cut = plan(feed, {"btc_usdt": "candles"}, "1m", start=start, end=end)
    assert (cut.start, cut.end) == (start, end)


def test_a_run_spans_all_rows_of_its_pairs_and_reports_streams_that_start_late_or_end_early(tmp_path: Path) -> None:
    market_data.write_tape(tmp_path / "trades", market_data.trades(9_000))
    info = Feed([TapeSource(tmp_path / "trades", PAIRS)]).streams[0]
    third = (info.end - info.start) // 3
    assert third > 3 * NS_PER_MINUTE
    book = np.array([[100]], dtype=np.int64)
    with TapeWriter(tmp_path / "trades", source="made up", recorded="by hand", synthetic=True) as writer:
        for at in (info.start + third, info.end - third):
            moment = np.array([at], dtype=np.int64)
            writer.write(BookColumns(PAIRS["btc_usdt"], moment, moment, book, book, book + 1, book))
    feed = Feed([TapeSource(tmp_path / "trades", PAIRS)])
    whole = plan(feed, {"btc_usdt": "market"})
    assert (whole.start, whole.end) == (info.start, info.end + 1)
    begins, ends = format_time(info.start + third), format_time(info.end - third)
    (sentence,) = partial_streams(feed, whole)
    assert sentence.startswith(f"btc_usdt books does not start until {begins} and ends at {ends}, but the run covers")
    assert (
        partial_streams(feed, plan(feed, {"btc_usdt": "market"}, start=info.start + third, end=info.end - third)) == []
    )


def test_pairs_needed_only_for_valuation_do_not_extend_the_run(feed: Feed, tmp_path: Path) -> None:
    candles = market_data.candles(5_000)
    market_data.write_tape(tmp_path / "twd", msgspec.structs.replace(candles, pair=PAIRS["usdt_twd"]))
    both = Feed([*feed.sources, TapeSource(tmp_path / "twd", PAIRS)])
    valued = plan(both, {"btc_usdt": "candles"}, "1m", currency="twd")
    assert ("usdt_twd", "candles", "1m") in valued.keys
    assert valued.end == market_data.START + 600 * NS_PER_MINUTE + 1


def test_a_requested_span_outside_the_data_is_an_error_that_states_both_spans(feed: Feed) -> None:
    late = market_data.START + 10_000 * NS_PER_MINUTE
    with pytest.raises(DataError, match=r"2024-01-07T22:40.* candles 1m .*2024-01-01T10:00"):
        plan(feed, {"btc_usdt": "candles"}, "1m", start=late, end=late + NS_PER_MINUTE)


def test_a_missing_pair_is_an_error_that_lists_the_available_pairs(feed: Feed) -> None:
    with pytest.raises(DataError, match=r"no data for eth_usdt; the data contains btc_usdt"):
        plan(feed, {"eth_usdt": "candles"}, "1m")


def test_a_subscription_to_trades_with_only_candles_is_an_error(tmp_path: Path) -> None:
    market_data.write_tape(tmp_path / "candles", market_data.candles(60))
    alone = Feed([TapeSource(tmp_path / "candles", PAIRS)])
    with pytest.raises(DataError, match="subscribed to trades or books of btc_usdt"):
        plan(alone, {"btc_usdt": "market"})


@pytest.mark.parametrize(("first", "last"), [(700, None), (700, 800), (None, -5), (-9, -5)])
def test_a_span_before_or_after_the_data_is_reported_in_the_users_time_zone(
    feed: Feed, first: int | None, last: int | None
) -> None:
    start, end = (None if m is None else market_data.START + m * NS_PER_MINUTE for m in (first, last))
    zone = ZoneInfo("Asia/Taipei")
    with pytest.raises(DataError, match=r"the backtest covers .* change --from and --to, or the data") as refused:
        plan(feed, {"btc_usdt": "candles"}, "1m", start=start, end=end, zone=zone)
    said = str(refused.value)
    for moment in (start, end, market_data.START, market_data.START + 600 * NS_PER_MINUTE):
        assert moment is None or format_time(moment, zone) in said
    assert "but the data for btc_usdt candles 1m covers" in said


def test_a_strategy_without_subscriptions_is_an_error(feed: Feed) -> None:
    with pytest.raises(ConfigError, match="no strategy subscribed"):
        plan(feed, {})


def test_a_currency_that_no_pair_connects_to_the_valuation_currency_is_an_error(feed: Feed) -> None:
    with pytest.raises((ConfigError, ValueError), match="usdt"):
        make_plan(
            feed, {"btc_usdt": "candles"}, {"btc_usdt": ["1m"]}, currency="doge", held=["usdt"],
            pairs={"btc_usdt": PAIRS["btc_usdt"]}, start=None, end=None,
        )  # fmt: skip
