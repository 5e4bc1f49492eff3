"""Reads recorded frames as columns, and reports damaged frames."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from botkit.errors import DataError
from botkit.exchange.bitopro.capture import BitoProFrames
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.columns import BookColumns, MarketColumns, TradeColumns
from botkit.model.extension import TapeFormat

SHARED = Path(__file__).parents[3] / "shared/data/btc_usdt-2024-08-08.frames.jsonl.gz"
T0 = 1_790_300_000_000


def level(price: str, amount: str) -> dict[str, Any]:
    return {"price": price, "amount": amount, "count": 1, "total": amount}


def book(received: int, bids: list[tuple[str, str]], asks: list[tuple[str, str]], pair: str = "BTC_USDT") -> str:
    frame = {"event": "ORDER_BOOK", "timestamp": received - 5, "pair": pair, "limit": 5, "scale": 0}
    frame |= {"bids": [level(*b) for b in bids], "asks": [level(*a) for a in asks]}
    return json.dumps({"received": received, "frame": frame})


def trades(received: int, rows: list[tuple[int, str, str, bool]], pair: str = "BTC_USDT") -> str:
    data = [{"timestamp": t, "price": p, "amount": a, "isBuyer": b} for t, p, a, b in rows]
    return json.dumps(
        {"received": received, "frame": {"event": "TRADE", "timestamp": received, "pair": pair, "data": data}}
    )


def read(tmp_path: Path, lines: list[str], **options: Any) -> list[MarketColumns]:
    path = tmp_path / "day.frames.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return list(BitoProFrames(options.pop("chunk_rows", 20_000)).read(path, packaged_pairs(), options))


def test_frames_is_one_of_the_tape_formats() -> None:
    form: TapeFormat = BitoProFrames()
    assert ".frames.jsonl.gz" in form.endings


def test_books_are_converted_to_padded_rows_of_ticks_and_lots(tmp_path: Path) -> None:
    (columns,) = read(
        tmp_path,
        [
            book(T0, [("100.10", "0.5"), ("100", "1")], [("100.20", "0.00000001")]),
            book(T0 + 200, [], [("100.2", "2")]),
        ],
    )
    assert isinstance(columns, BookColumns)
    assert columns.depth == 5
    assert columns.received.tolist() == [T0 * NS_PER_MS, (T0 + 200) * NS_PER_MS]
    assert columns.time.tolist() == [(T0 - 5) * NS_PER_MS, (T0 + 195) * NS_PER_MS]
    assert columns.bid_ticks.tolist() == [[10010, 10000, 0, 0, 0], [0] * 5]
    assert columns.bid_lots[0].tolist() == [50_000_000, 100_000_000, 0, 0, 0]
    assert columns.ask_lots[:, 0].tolist() == [1, 200_000_000]


def test_trades_that_are_repeated_in_lists_are_read_once(tmp_path: Path) -> None:
    second = T0 // 1000
    a, b, c = (second, "100.5", "0.1", True), (second, "100.5", "0.1", True), (second + 1, "100.25", "0.2", False)
    (columns,) = read(
        tmp_path, [trades(T0, []), trades(T0 + 10, [a]), trades(T0 + 20, [b, a]), trades(T0 + 30, [c, b, a])]
    )
    assert isinstance(columns, TradeColumns)
    assert columns.received.tolist() == [(T0 + ms) * NS_PER_MS for ms in (10, 20, 30)]
    assert columns.time.tolist() == [second * NS_PER_S, second * NS_PER_S, (second + 1) * NS_PER_S]
    assert columns.ticks.tolist() == [10050, 10050, 10025]
    assert columns.lots.tolist() == [10_000_000, 10_000_000, 20_000_000]
    assert columns.side.tolist() == [1, 1, -1]


def test_trades_in_the_first_list_predate_the_recording(tmp_path: Path) -> None:
    old, new = (1, "100", "1", True), (2, "101", "1", True)
    (columns,) = read(tmp_path, [trades(T0, [old]), trades(T0 + 1, [new, old])])
    assert len(columns) == 1


def test_single_trade_mode_accepts_repeated_trades(tmp_path: Path) -> None:
    row = (1_790_300_000, "100", "1", True)
    (columns,) = read(tmp_path, [trades(T0, [row]), trades(T0 + 1, [row])], trades="single")
    assert len(columns) == 2
    with pytest.raises(DataError, match=r"day.frames.jsonl:1: a frame has 2 trades, .* trades: list"):
        read(tmp_path, [trades(T0, [row, row])], trades="single")


def test_chunks_have_a_maximum_size_and_all_streams_are_flushed_at_the_same_time(tmp_path: Path) -> None:
    lines = []
    for i in range(25):
        lines.append(book(T0 + 10 * i, [("1", "1")], [("2", "1")]))
        if i % 5 == 0:
            lines.append(trades(T0 + 10 * i, [(i, "1", "1", True)]))
    chunks = read(tmp_path, lines, chunk_rows=10, trades="single")
    assert [(c.kind, len(c)) for c in chunks if c.kind == "books"] == [("books", 10), ("books", 10), ("books", 5)]
    assert max(map(len, chunks)) == 10
    assert sum(len(c) for c in chunks if c.kind == "trades") == 5
    latest = 0
    for chunk in chunks:
        assert chunk.received[-1] >= latest or chunk.kind == "trades"
        latest = max(latest, int(chunk.received[-1]))


def test_the_pair_option_reads_only_that_pair_and_skips_other_events(tmp_path: Path) -> None:
    other = json.dumps({"received": T0, "frame": {"event": "TICKER", "timestamp": 1, "lastPrice": "1"}})
    unknown = json.dumps({"received": T0, "frame": {"event": "NEW_THING", "what": [1]}})
    lines = [other, unknown, "", book(T0, [("1", "1")], []), book(T0, [("1", "1")], [], pair="NOPE_TWD")]
    (columns,) = read(tmp_path, lines, pair="btc_usdt")
    assert (str(columns.pair), len(columns)) == ("btc_usdt", 1)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("not json", "2: "),
        ('{"received": 1}', "frame"),
        ('{"received": "x", "frame": {"event": "TICKER"}}', "received"),
        ('{"received": 5, "frame": {"event": "TRADE", "timestamp": 1, "pair": "BTC_USDT", "data": 3}}', "TRADE frame"),
        (book(T0 - 1, [("1", "1")], []), "received before the previous line"),
        (book(T0, [("1", "1")], [], pair="BTC_USDC"), "unknown pair 'btc_usdc'; did you mean btc_usdt?"),
        (book(T0, [("1.001", "1")], []), "'1.001' has more than 2 decimals"),
        (book(T0, [("-1", "1")], []), "is not a valid book level"),
        (book(T0, [("NaN", "1")], []), "'NaN' is not a plain decimal"),
        (book(T0, [("1", "1"), ("2", "1")], []), "bids must be in descending"),
        (book(T0, [], [("2", "1"), ("1", "1")]), "asks must be in ascending"),
        (trades(T0, [(1, "0", "1", True)]), "must be positive"),
        (trades(T0, [(-5, "1", "1", True)]), "not a plausible time"),
        (trades(10**15, []), "not a plausible time"),
    ],
)
def test_an_invalid_line_is_reported_with_file_and_line(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, [book(T0, [("1", "1")], [("2", "1")]), line])
    assert "day.frames.jsonl:2: " in str(caught.value)
    assert says in str(caught.value)


def test_empty_missing_and_truncated_files_are_named_in_the_error(tmp_path: Path) -> None:
    form = BitoProFrames()
    empty = tmp_path / "empty.frames.jsonl"
    empty.touch()
    with pytest.raises(DataError, match=r"empty.frames.jsonl: the file is empty"):
        list(form.read(empty, packaged_pairs(), {}))
    with pytest.raises(DataError, match=r"missing.jsonl: No such file"):
        list(form.read(tmp_path / "missing.jsonl", packaged_pairs(), {}))
    torn = tmp_path / "torn.jsonl.gz"
    torn.write_bytes(gzip.compress(b"\n".join(book(T0 + i, [("1", "1")], []).encode() for i in range(500)))[:-20])
    with pytest.raises(DataError, match=r"torn.jsonl.gz:\d+: the compressed file is damaged or cut short"):
        list(form.read(torn, packaged_pairs(), {}))
    with pytest.raises(DataError, match="'lists' is not valid; use list or single"):
        list(form.read(empty, packaged_pairs(), {"trades": "lists"}))


A, B, C, D, E = ((T0 // 1000 + i, f"10{i}", "0.1", i % 2 == 0) for i in range(5))


class Listener:
    """Collects the notes and gaps reported by a format."""

    def __init__(self) -> None:
        self.gaps: list[tuple[str, str, int, int]] = []
        self.notes: list[str] = []

    def options(self) -> dict[str, Any]:
        return {"gap": lambda *gap: self.gaps.append(gap), "note": self.notes.append}


def test_files_with_single_trades_are_distinguished_from_files_with_trade_lists(tmp_path: Path) -> None:
    (columns,) = read(tmp_path, [trades(T0, [A]), trades(T0 + 1, [A]), trades(T0 + 2, [B])])
    assert columns.received.tolist() == [(T0 + i) * NS_PER_MS for i in range(3)]
    heard = Listener()
    (columns,) = read(tmp_path, [trades(T0, [A]), trades(T0 + 1, [A]), trades(T0 + 2, [B, A])], **heard.options())
    assert columns.received.tolist() == [(T0 + 2) * NS_PER_MS]
    assert heard.notes == ["btc_usdt: skipped 1 trade in the first list, from before the recording"]
    # a file that contains an empty list holds trade lists, because a single-trade frame always contains a trade
    (columns,) = read(tmp_path, [trades(T0, []), trades(T0 + 1, [A]), trades(T0 + 2, [A])])
    assert len(columns) == 1


@pytest.mark.parametrize(
    "frames",
    [
        [[A], [B], [D, C]],
        [[C, B, A], [D]],
        [[C, B, A], [C]],
    ],
)
def test_a_file_with_both_single_trades_and_trade_lists_is_refused(tmp_path: Path, frames: list[list[Any]]) -> None:
    lines = [trades(T0 + i, rows) for i, rows in enumerate(frames)]
    with pytest.raises(DataError, match=r"day.frames.jsonl:2: .* single trade .* --trades"):
        read(tmp_path, lines)


def test_non_overlapping_lists_are_reported_as_a_gap_but_no_trade_is_dropped(tmp_path: Path) -> None:
    heard = Listener()
    (columns,) = read(tmp_path, [trades(T0, []), trades(T0 + 5, [B, A]), trades(T0 + 9, [E, D])], **heard.options())
    assert len(columns) == 4
    assert heard.gaps == [("btc_usdt", "trades", (T0 + 5) * NS_PER_MS, (T0 + 9) * NS_PER_MS)]


@pytest.mark.skipif(not SHARED.exists(), reason="the recorded market data is not on this machine")
@pytest.mark.parametrize("options", [{}, {"trades": "single"}])
def test_the_recorded_market_data_is_read_completely(options: dict[str, Any]) -> None:
    rows = {"trades": 0, "books": 0}
    for columns in BitoProFrames().read(SHARED, packaged_pairs(), options):
        rows[columns.kind] += len(columns)
        assert (columns.received[1:] >= columns.received[:-1]).all()
    with gzip.open(SHARED, "rt", encoding="utf-8") as lines:
        events = [json.loads(line)["frame"]["event"] for line in lines]
    assert rows == {"trades": events.count("TRADE"), "books": events.count("ORDER_BOOK")}
    assert rows["trades"] == 9757
