"""Repeated trade lists: no trade is duplicated or lost, and gaps are detected."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.exchange.bitopro.trade_lists import Aligned, TradeListAligner, overlap_at


def newest_first(text: str) -> list[str]:
    return list(reversed(text))


def test_only_rows_before_the_overlap_are_new_and_the_oldest_is_returned_first() -> None:
    aligner: TradeListAligner[str] = TradeListAligner(lambda row: row)
    assert aligner.feed(newest_first("abc")) == Aligned((), gap=False)  # trades from before the stream connected
    assert aligner.feed(newest_first("bcde")) == Aligned(("d", "e"), gap=False)
    assert aligner.feed(newest_first("bcde")) == Aligned((), gap=False)


def test_rows_without_an_overlap_are_new_and_a_gap_is_reported() -> None:
    aligner: TradeListAligner[str] = TradeListAligner(lambda row: row)
    aligner.feed(newest_first("abc"))
    assert aligner.feed(newest_first("xyz")) == Aligned(("x", "y", "z"), gap=True)


def test_consecutive_identical_trades_are_all_counted_and_not_merged() -> None:
    aligner: TradeListAligner[str] = TradeListAligner(lambda row: row)
    aligner.feed(newest_first("ab"))
    assert aligner.feed(newest_first("abb")).new == ("b",)
    assert aligner.feed(newest_first("abbbb")).new == ("b", "b")


def test_a_stream_whose_first_list_is_empty_has_no_history() -> None:
    aligner: TradeListAligner[str] = TradeListAligner(lambda row: row)
    assert aligner.feed([]).new == ()
    assert aligner.feed(newest_first("ab")) == Aligned(("a", "b"), gap=False)
    assert aligner.feed([]) == Aligned((), gap=False)
    assert aligner.feed(newest_first("abc")).new == ("c",)


def test_the_first_list_can_be_treated_as_new() -> None:
    aligner: TradeListAligner[str] = TradeListAligner(lambda row: row, first_is_new=True)
    assert aligner.feed(newest_first("ab")).new == ("a", "b")


def test_a_trade_whose_amount_is_rounded_in_a_later_list_is_recognized_by_its_key() -> None:
    aligner: TradeListAligner[tuple[int, float]] = TradeListAligner(lambda row: (row[0], round(row[1], 1)))
    aligner.feed([(1, 0.14)])
    assert aligner.feed([(2, 0.5), (1, 0.1)]).new == ((2, 0.5),)


def test_a_truncated_list_still_overlaps() -> None:
    assert overlap_at(newest_first("abcdef"), newest_first("efg")) == 1
    assert overlap_at(newest_first("abc"), newest_first("xyz")) is None


@settings(deadline=None, max_examples=200)
@given(
    history=st.integers(0, 8),
    batches=st.lists(st.integers(0, 6), min_size=1, max_size=12),
    depth=st.integers(6, 12),
)
def test_distinct_trades_are_each_returned_exactly_once_and_in_order(
    history: int, batches: list[int], depth: int
) -> None:
    aligner: TradeListAligner[int] = TradeListAligner(lambda row: row)
    trades = list(range(history))
    aligner.feed(trades[::-1][:depth])
    told: list[int] = []
    for count in batches:
        before = len(trades)
        trades += range(before, before + count)
        aligned = aligner.feed(trades[::-1][:depth])
        told += aligned.new
        # if every row is new, the lists do not overlap, and a gap is reported
        assert aligned.gap == (count >= depth and before > 0)
    assert told == trades[history:]


@settings(deadline=None, max_examples=200)
@given(
    rows=st.lists(st.sampled_from("ab"), min_size=0, max_size=25),
    batches=st.lists(st.integers(1, 4), min_size=1, max_size=8),
)
def test_repeating_trades_in_a_growing_list_are_all_returned(rows: list[str], batches: list[int]) -> None:
    # the list is never truncated, so the aligner receives the complete history
    aligner: TradeListAligner[str] = TradeListAligner(lambda row: row)
    aligner.feed([])
    told: list[str] = []
    at = 0
    for count in batches:
        at = min(at + count, len(rows))
        told += aligner.feed(rows[:at][::-1]).new
    assert told == rows[:at]
