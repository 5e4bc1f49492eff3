"""Equity at every price: exact values in examples, and the fast paths compared with a naive computation."""

from __future__ import annotations

from datetime import UTC
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.backtesting.downsample import CandleSampler, CurveSampler
from botkit.backtesting.equity import Change, EquityCurve
from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S, parse_time
from botkit.model.pairs import Pair
from tests.report.sample_result import pair

BTC = pair("btc_usdt", 2, least_lots=10_000)
ETH = pair("eth_usdt", 2)
USDT = pair("usdt_twd", 3)
COIN = 10**8
START = parse_time("2025-03-01T00:00+08:00")


def column(*rows: tuple[int, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([START + t for t, _ in rows], dtype=np.int64), np.array([p for _, p in rows], dtype=np.float64)


def curve(
    opening: dict[str, int],
    *,
    pairs: tuple[Pair, ...] = (BTC,),
    currency: str = "usdt",
    zone: str = "Asia/Taipei",
    first_prices: dict[str, float] | None = None,
    begin: int | None = None,
) -> EquityCurve:
    return EquityCurve(
        pairs=pairs, currency=currency, zone=ZoneInfo(zone), opening=opening, first_prices=first_prices, begin=begin
    )


def test_equity_is_cash_plus_coins_at_every_price() -> None:
    c = curve({"usdt": 1_000 * COIN, "btc": 2 * COIN})
    c.add_slice({"btc_usdt": column((0, 100.0), (NS_PER_S, 150.0), (2 * NS_PER_S, 50.0), (3 * NS_PER_S, 120.0))})
    assert c.opening == 1_200.0
    assert c.final == 1_240.0
    assert c.curve().values == [1_200.0, 1_300.0, 1_100.0, 1_240.0]
    assert c.drawdown.fraction == pytest.approx(200 / 1300)
    assert (c.drawdown.peak_time, c.drawdown.trough_time) == (START + NS_PER_S, START + 2 * NS_PER_S)
    assert c.drawdown.recovered is None


def test_a_fill_and_its_fee_change_the_equity_immediately() -> None:
    c = curve({"usdt": 1_000 * COIN})
    at = START + NS_PER_S
    buy: list[Change] = [(at, "usdt", -500 * COIN), (at, "btc", 5 * COIN), (at, "btc", -COIN // 100)]
    c.add_slice({"btc_usdt": column((0, 100.0), (NS_PER_S, 100.0), (2 * NS_PER_S, 110.0))}, buy)
    # at the fill: 500 + 4.99 x 100; at the next price: 500 + 4.99 x 110
    assert c.curve().values == pytest.approx([1_000.0, 1_000.0, 999.0, 1_048.9], abs=1e-9)
    assert c.final == pytest.approx(1_048.9, abs=1e-9)
    assert c.drawdown.fraction == pytest.approx(0.001)


def test_a_balance_change_after_the_last_price_is_part_of_the_final_equity() -> None:
    c = curve({"usdt": 1_000 * COIN})
    c.add_slice({"btc_usdt": column((0, 100.0))})
    c.add_slice({}, [(START + 5, "usdt", -2 * COIN)])
    assert c.final == 998.0
    assert c.end == START + 5


def test_a_recovery_from_a_drawdown_is_recorded_even_several_slices_later() -> None:
    c = curve({"btc": COIN})
    for i, price in enumerate([100.0, 80.0, 90.0, 99.0, 100.0, 130.0]):
        c.add_slice({"btc_usdt": column((i * NS_PER_S, price))})
    assert c.drawdown.fraction == pytest.approx(0.2)
    assert c.drawdown.recovered == START + 4 * NS_PER_S


def test_a_drawdown_and_its_recovery_can_occur_in_one_slice() -> None:
    c = curve({"btc": COIN})
    c.add_slice({"btc_usdt": column(*((i, p) for i, p in enumerate([90.0, 100.0, 95.0, 70.0, 99.0, 100.0, 101.0])))})
    fall = c.drawdown
    assert (fall.fraction, fall.peak_time, fall.trough_time) == (pytest.approx(0.3), START + 1, START + 3)
    assert fall.recovered == START + 5


def test_days_close_at_midnight_in_the_configured_time_zone() -> None:
    noon = parse_time("2025-03-01T12:00+08:00") - START
    c = curve({"btc": COIN})
    rows = [
        (noon, 100.0),
        (noon + 11 * NS_PER_HOUR, 110.0),
        (noon + 13 * NS_PER_HOUR, 121.0),
        (noon + 60 * NS_PER_HOUR, 121.0),
    ]
    c.add_slice({"btc_usdt": column(*rows)})
    assert [(day.end, day.equity) for day in c.days()] == [
        (START + NS_PER_DAY, 110.0),
        (START + 2 * NS_PER_DAY, 121.0),
        (START + 3 * NS_PER_DAY, 121.0),
    ]
    # the half days at the start and at the end have no return
    assert c.daily_returns() == pytest.approx([0.10, 0.0])


def test_every_calendar_day_is_counted_even_without_a_price_change() -> None:
    """Three flat days, one day with trades and three more flat days yield seven daily closes, whether in one slice or
    in many.
    """
    bought = START + 3 * NS_PER_DAY + NS_PER_HOUR
    sold = bought + 5 * NS_PER_HOUR
    changes: list[Change] = [
        (bought, "usdt", -1_000 * COIN), (bought, "btc", 10 * COIN),
        (sold, "btc", -10 * COIN), (sold, "usdt", 900 * COIN),
    ]  # fmt: skip
    times = START + NS_PER_HOUR * np.arange(1, 7 * 24, dtype=np.int64)
    for rows in (1_000, 24, 7, 1):
        c = curve({"usdt": 1_000 * COIN}, begin=START)
        for at in range(0, len(times), rows):
            part = times[at : at + rows]
            last = int(times[at + rows]) if at + rows < len(times) else int(part[-1]) + 1
            first = int(part[0])
            own = [change for change in changes if first <= change[0] < last]
            c.add_slice({"btc_usdt": (part, np.where(part < sold, 100.0, 90.0))}, own)
        c.finish(START + 7 * NS_PER_DAY)
        assert c.daily_returns() == [0.0, 0.0, 0.0, pytest.approx(-0.1), 0.0, 0.0, 0.0], rows
        assert [row.date for row in c.days()] == [f"2025-03-0{i}" for i in range(1, 8)]


def test_every_day_of_a_run_without_trades_has_a_zero_return() -> None:
    c = curve({"usdt": 1_000 * COIN}, begin=START)
    c.add_slice({"btc_usdt": column((NS_PER_HOUR, 100.0), (NS_PER_DAY, 100.0))})
    c.finish(START + 2 * NS_PER_DAY + NS_PER_HOUR)
    assert c.daily_returns() == [0.0, 0.0]
    assert [(row.equity, row.return_) for row in c.days()] == [(1_000.0, 0.0), (1_000.0, 0.0), (1_000.0, None)]


def test_a_partial_first_or_last_day_has_a_row_but_no_return() -> None:
    c = curve({"btc": COIN}, begin=START + 10 * NS_PER_HOUR)
    c.add_slice({"btc_usdt": column(*((h * NS_PER_HOUR, 100.0 + h) for h in range(10, 60)))})
    c.finish(START + 60 * NS_PER_HOUR)
    assert [(row.date, row.equity, row.return_) for row in c.days()] == [
        ("2025-03-01", 123.0, None),
        ("2025-03-02", 147.0, pytest.approx(147 / 123 - 1)),
        ("2025-03-03", 159.0, None),
    ]
    assert c.daily_returns() == [pytest.approx(147 / 123 - 1)]


def test_the_first_day_has_no_return_if_its_first_price_comes_late() -> None:
    c = curve({"btc": COIN}, begin=START)
    late = 23 * NS_PER_HOUR
    c.add_slice({"btc_usdt": column((late, 100.0), (late + NS_PER_S, 110.0), (NS_PER_DAY + late, 121.0))})
    c.finish(START + 2 * NS_PER_DAY)
    assert [(row.date, row.return_) for row in c.days()] == [("2025-03-01", None), ("2025-03-02", pytest.approx(0.1))]


@pytest.mark.parametrize(("late_s", "is_whole"), [(0, True), (60, True), (300, True), (301, False)])
def test_the_first_day_has_a_return_if_its_first_price_comes_with_the_first_minutes(
    late_s: int, is_whole: bool
) -> None:
    c = curve({"btc": COIN}, begin=START)
    c.add_slice({"btc_usdt": column((late_s * NS_PER_S, 100.0), (NS_PER_HOUR, 110.0))})
    c.finish(START + NS_PER_DAY)
    assert c.daily_returns() == ([pytest.approx(0.1)] if is_whole else [])


def test_the_second_day_has_a_return_if_the_first_price_is_the_first_days_close() -> None:
    c = curve({"btc": COIN}, begin=START)
    c.add_slice({"btc_usdt": column((NS_PER_DAY, 100.0), (2 * NS_PER_DAY - 1, 110.0))})
    c.finish(START + 2 * NS_PER_DAY)
    assert [(row.date, row.return_) for row in c.days()] == [("2025-03-02", pytest.approx(0.1))]


def test_a_day_with_a_daylight_saving_change_ends_at_local_midnight() -> None:
    c = curve({"btc": COIN}, zone="Europe/Berlin")
    first = parse_time("2025-03-30T00:30+01:00")
    times = np.array([first, first + 22 * NS_PER_HOUR, first + 23 * NS_PER_HOUR], dtype=np.int64)
    c.add_slice({"btc_usdt": (times, np.array([1.0, 2.0, 3.0]))})
    assert [(day.end, day.equity) for day in c.days()[:-1]] == [(parse_time("2025-03-31T00:00+02:00"), 2.0)]


def test_holdings_are_valued_through_a_chain_of_pairs() -> None:
    c = curve({"btc": COIN}, pairs=(BTC, USDT), currency="twd")
    c.add_slice({"btc_usdt": column((0, 100.0), (2, 200.0)), "usdt_twd": column((1, 30.0), (3, 31.0))})
    assert c.opening == 3_000.0  # the first time at which both prices are known
    assert c.final == 6_200.0
    assert c.start == START


def test_a_currency_can_be_valued_through_an_inverted_pair() -> None:
    c = curve({"twd": 6_000 * COIN}, pairs=(USDT,), currency="usdt")
    c.add_slice({"usdt_twd": column((0, 30.0), (1, 40.0))})
    assert (c.opening, c.final) == (200.0, 150.0)


def test_a_run_can_start_before_the_first_row_of_a_pair_if_its_first_price_is_given() -> None:
    c = curve({"btc": COIN}, pairs=(BTC, USDT), currency="twd", first_prices={"usdt_twd": 30.0})
    c.add_slice({"btc_usdt": column((0, 100.0))})
    assert c.opening == 3_000.0


def test_a_currency_that_cannot_be_valued_is_named_in_the_error() -> None:
    with pytest.raises(ConfigError, match="bito cannot be valued in usdt"):
        curve({"bito": COIN})


def test_exposure_is_the_fraction_of_time_with_a_position_larger_than_dust() -> None:
    c = curve({"usdt": 1_000 * COIN, "btc": 9_999})
    c.add_slice({"btc_usdt": column((0, 100.0))})
    c.add_slice({}, [(START + 10, "btc", COIN), (START + 10, "usdt", -100 * COIN)])
    c.add_slice({}, [(START + 35, "btc", -COIN), (START + 35, "usdt", 100 * COIN)])
    c.add_slice({"btc_usdt": column((100, 100.0))})
    assert c.exposure == 0.25


def test_initial_coins_count_as_a_position_from_the_first_row() -> None:
    c = curve({"btc": COIN})
    c.add_slice(
        {"btc_usdt": column((0, 100.0), (100, 100.0))}, [(START + 40, "btc", -COIN), (START + 40, "usdt", COIN)]
    )
    assert c.exposure == 0.4
    c = curve({"btc": COIN})
    c.add_slice({"btc_usdt": column((0, 100.0), (100, 100.0))})
    assert c.exposure == 1.0


def test_exposure_is_measured_over_the_whole_run_and_not_only_over_its_rows() -> None:
    c = curve({"usdt": 1_000 * COIN}, begin=START)
    c.add_slice(
        {"btc_usdt": column((2, 100.0), (4, 100.0))}, [(START + 4, "usdt", -100 * COIN), (START + 4, "btc", COIN)]
    )
    c.finish(START + 10)
    assert c.exposure == 0.6
    c = curve({"btc": COIN}, begin=START)
    c.add_slice({"btc_usdt": column((5, 100.0))}, [(START + 8, "btc", -COIN), (START + 8, "usdt", 100 * COIN)])
    c.finish(START + 10)
    assert c.exposure == 0.8


def test_the_buy_and_hold_benchmark_weights_the_traded_coins_equally() -> None:
    c = curve({"usdt": COIN}, pairs=(BTC, ETH))
    c.add_slice({"btc_usdt": column((0, 100.0), (5, 120.0)), "eth_usdt": column((1, 10.0), (5, 9.0))})
    assert c.buy_and_hold_return == pytest.approx(0.05)


def test_without_any_price_the_metrics_are_none() -> None:
    c = curve({"btc": COIN})
    c.add_slice({})
    assert (c.opening, c.final, c.exposure, c.buy_and_hold_return, c.daily_returns()) == (None, None, None, None, [])
    assert c.curve().times == []


def test_fills_are_valued_at_the_prices_at_fill_time() -> None:
    c = curve({"usdt": COIN}, pairs=(BTC, USDT), currency="twd")
    c.add_slice({"btc_usdt": column((0, 100.0), (10, 200.0)), "usdt_twd": column((0, 30.0))})
    c.add_slice({"btc_usdt": column((20, 300.0))})
    assert c.value_at("btc", [START + 15, START + 20]).tolist() == [6_000.0, 9_000.0]
    assert c.value_at("twd", [START]).tolist() == [1.0]


# -- against a plain computation ---------------------------------------------------------------------------------------

events = st.lists(
    st.tuples(
        st.integers(0, 3),  # time since the last event
        st.sampled_from(["btc_usdt", "eth_usdt", "usdt_twd", "fill"]),
        st.integers(1, 400),
    ),
    min_size=1,
    max_size=60,
)


def plain(rows: list[tuple[int, str, int]], opening: dict[str, int]) -> list[tuple[int, float]]:
    """Compute (time, equity in usdt) after every row and every batch of balance changes, processing one event at a
    time.
    """
    held, price, out = dict(opening), {}, []
    for i, (time, what, figure) in enumerate(rows):
        if what == "fill":
            held["btc"] = held.get("btc", 0) + figure * COIN // 100
            held["usdt"] = held.get("usdt", 0) - figure * COIN
            if i + 1 < len(rows) and rows[i + 1][:2] == (time, "fill"):
                continue  # balance changes with equal timestamps form a single event
        else:
            price[what] = figure / 4
        if any(units and c != "usdt" and f"{c}_usdt" not in price for c, units in held.items()):
            continue
        out.append((time, sum(u / COIN * (1 if c == "usdt" else price[f"{c}_usdt"]) for c, u in held.items() if u)))
    return out


@settings(deadline=None, max_examples=120)
@given(events, st.lists(st.integers(0, 60), max_size=4), st.booleans())
def test_results_do_not_depend_on_slices_pair_order_or_fast_paths(
    drawn: list[tuple[int, str, int]], cuts: list[int], with_eth: bool
) -> None:
    time, rows = START, []
    for step, what, figure in drawn:
        time += step * 20 * NS_PER_MINUTE
        rows.append((time, what, figure))
    # documented order for equal timestamps: rows by pair, then balance changes; a fill can be valued only if an earlier
    # price is known
    rows.sort(key=lambda r: (r[0], r[1] == "fill", r[1]))
    rows = [(START - 1, "btc_usdt", 7), *rows]
    opening = {"usdt": 5_000 * COIN, "btc": 3 * COIN} | ({"eth": 2 * COIN} if with_eth else {})
    c = curve(opening, pairs=(BTC, ETH))
    bounds = sorted({0, len(rows), *(min(cut, len(rows)) for cut in cuts)})
    # a slice must not split events with equal timestamps
    bounds = [b for b in bounds if b in (0, len(rows)) or rows[b - 1][0] < rows[b][0]]
    for a, b in pairwise(bounds):
        part = rows[a:b]
        prices = {}
        for name in ("btc_usdt", "eth_usdt"):
            own = [(t, f / 4) for t, what, f in part if what == name]
            prices[name] = (np.array([t for t, _ in own], dtype=np.int64), np.array([p for _, p in own]))
        changes: list[Change] = []
        for t, what, figure in part:
            if what == "fill":
                changes += [(t, "btc", figure * COIN // 100), (t, "usdt", -figure * COIN)]
        c.add_slice(prices, changes)
    expected = plain([r for r in rows if r[1] != "usdt_twd"], opening)
    if not expected:
        assert c.final is None
        return
    values = [value for _, value in expected]
    assert c.final == pytest.approx(values[-1], rel=1e-12, abs=1e-9)
    peak, worst = 0.0, 0.0
    for value in [c.opening, *values]:
        assert value is not None
        peak = max(peak, value)
        worst = max(worst, 1 - value / peak) if peak > 0 else worst
    assert c.drawdown.fraction == pytest.approx(worst, abs=1e-9)
    assert max(c.curve().values) == pytest.approx(max([c.opening or 0.0, *values]), rel=1e-9, abs=1e-6)
    assert min(c.curve().values) == pytest.approx(min([c.opening or 0.0, *values]), rel=1e-9, abs=1e-6)


def test_the_fast_path_for_long_slices_with_few_changes_yields_identical_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noise = np.random.default_rng(3)
    times = START + np.cumsum(noise.integers(0, NS_PER_MINUTE, 20_000)).astype(np.int64)
    prices = 100 * np.exp(np.cumsum(noise.normal(0, 0.001, 20_000)))
    changes: list[Change] = []
    for i in range(60):
        t, sign = int(times[100 + 300 * i]) + i % 2, 1 if i % 2 else -1
        changes += [(t, "btc", sign * COIN), (t, "usdt", -sign * 100 * COIN)]

    def run() -> EquityCurve:
        c = curve({"usdt": 10_000 * COIN, "btc": 5 * COIN}, pairs=(BTC, ETH))
        for lo, hi in pairwise([0, 300, 7_000, 20_000]):
            part = [x for x in changes if (lo == 0 or x[0] > times[lo - 1]) and x[0] <= times[hi - 1]]
            c.add_slice({"btc_usdt": (times[lo:hi], prices[lo:hi])}, part)
        return c

    short = run()
    monkeypatch.setattr(EquityCurve, "_evaluate_line", lambda *_: False)
    general = run()
    assert short.final == pytest.approx(general.final, rel=1e-12)
    assert short.drawdown.fraction == pytest.approx(general.drawdown.fraction, rel=1e-9)
    assert short.drawdown.trough_time == general.drawdown.trough_time
    assert short.curve().times == general.curve().times
    assert short.curve().values == pytest.approx(general.curve().values, rel=1e-12)
    assert short.daily_returns() == pytest.approx(general.daily_returns(), abs=1e-12)


# -- samplers ----------------------------------------------------------------------------------------------------------


def test_a_curve_with_a_single_timestamp_keeps_its_extremes_and_its_last_value() -> None:
    sampler = CurveSampler()
    sampler.add(np.array([START] * 3, dtype=np.int64), np.array([5.0, 3.0, 4.0]))
    assert sampler.curve().values == [5.0, 3.0, 4.0]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 10**13), st.floats(-1e6, 1e6)), min_size=1, max_size=300), st.integers(2, 30))
def test_a_downsampled_curve_is_short_and_chronological_and_keeps_the_extremes(
    rows: list[tuple[int, float]], most: int
) -> None:
    rows.sort(key=lambda r: r[0])
    times = np.array([START + t for t, _ in rows], dtype=np.int64)
    values = np.array([v for _, v in rows])
    sampler = CurveSampler(most)
    for a in range(0, len(rows), 7):
        sampler.add(times[a : a + 7], values[a : a + 7])
    got = sampler.curve()
    assert len(got.times) <= 2 * most + 2
    assert all(a < b for a, b in pairwise(got.times))
    assert got.values[-1] == values[-1]
    assert 0 <= got.times[-1] - times[-1] <= 2
    if len(set(times.tolist())) == len(times):
        assert (min(got.values), max(got.values)) == (values.min(), values.max())


def test_an_interval_without_rows_repeats_the_previous_value() -> None:
    sampler = CurveSampler(10)
    sampler.add(np.array([START, START + 8 * NS_PER_S], dtype=np.int64), np.array([5.0, 7.0]))
    got = sampler.curve()
    assert got.values == [5.0] * 8 + [7.0]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 10**13), st.floats(1, 1e6)), min_size=1, max_size=300), st.integers(2, 30))
def test_downsampled_candles_match_the_rows_in_their_buckets(rows: list[tuple[int, float]], most: int) -> None:
    rows.sort(key=lambda r: r[0])
    times = np.array([START + t for t, _ in rows], dtype=np.int64)
    values = np.array([v for _, v in rows])
    sampler = CandleSampler(BTC, most)
    for a in range(0, len(rows), 11):
        sampler.add(times[a : a + 11], values[a : a + 11], volume=np.ones(len(values[a : a + 11])))
    got = sampler.candles()
    assert len(got.times) <= most
    for i, start in enumerate(got.times):
        inside = values[(times >= start) & (times < start + got.width)]
        assert (got.open[i], got.high[i], got.low[i], got.close[i]) == (
            inside[0],
            inside.max(),
            inside.min(),
            inside[-1],
        )
        assert got.volume[i] == len(inside)
    assert sum(((times >= s) & (times < s + got.width)).sum() for s in got.times) == len(times)


def test_utc_is_accepted_as_a_time_zone() -> None:
    c = EquityCurve(pairs=(BTC,), currency="usdt", zone=UTC, opening={"btc": COIN})
    c.add_slice({"btc_usdt": column((0, 1.0), (9 * NS_PER_HOUR, 2.0))})
    assert [day.end for day in c.days()[:-1]] == [parse_time("2025-03-01T00:00Z")]


def test_the_curve_keeps_both_the_opening_value_and_a_fill_with_the_same_timestamp() -> None:
    c = curve({"usdt": 5_000 * COIN, "btc": 3 * COIN, "eth": 2 * COIN}, pairs=(BTC, ETH))
    c.add_slice(
        {
            "btc_usdt": (np.array([START - 1]), np.array([1.75])),
            "eth_usdt": (np.array([START]), np.array([0.25])),
        },
        [(START, "btc", COIN // 100), (START, "usdt", -COIN)],
    )
    values = c.curve().values
    assert (max(values), min(values)) == (pytest.approx(5005.75), pytest.approx(5004.7675))


def test_the_curve_keeps_an_extreme_at_its_last_timestamp() -> None:
    sampler = CurveSampler()
    sampler.add(np.array([START, START + 5, START + 5, START + 5]), np.array([10.0, 12.0, 4.0, 7.0]))
    curve_of_three = sampler.curve()
    assert (max(curve_of_three.values), min(curve_of_three.values), curve_of_three.values[-1]) == (12.0, 4.0, 7.0)
    assert curve_of_three.times == sorted(set(curve_of_three.times))
