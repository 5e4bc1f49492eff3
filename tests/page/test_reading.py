"""The page server reads every row that a bot writes for its page exactly once, and only rows from the current run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from botkit.live.disk import REAL_DISK
from botkit.live.journal import Journal
from botkit.live.journal_decimals import follow_decimals
from botkit.live.notifications.lines import LINES, Lines, lines_in
from botkit.live.notifications.messages import MESSAGES, Messages
from botkit.live.notifications.minutes import MINUTES, Minutes
from botkit.live.notifications.page_feed import PageFeed
from botkit.live.page_files import PageFiles
from botkit.live.state_folder import StateFolder
from botkit.model.clock import NS_PER_S
from botkit.model.events import Fill
from botkit.model.orders import Order, OrderSpec, OrderType, Side
from botkit.model.pairs import Pair
from botkit.model.results import IndicatorLine
from botkit.page.access import kept_token
from botkit.page.bots import Bots, NumberedRows
from botkit.page.candles import CANDLES_MAX, PairCandles
from botkit.page.following import FollowedFile
from botkit.page.viewers import PageView, Viewer
from tests.sim.venue import BTC


def trade(time_s: int, price: float, amount: float = 1.0, pair: str = "btc_usdt") -> Any:
    return SimpleNamespace(pair=pair, time=time_s * NS_PER_S, price=price, amount=amount)


def rows_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_minute_row_summarizes_its_trades(tmp_path: Path) -> None:
    minutes = Minutes(tmp_path, REAL_DISK, lambda text: None)
    for time_s, price, amount in [(60, 10, 1), (80, 12, 2), (119, 9, 1), (121, 11, 4), (110, 15, 1)]:
        minutes.saw(trade(time_s, price, amount))
    minutes.worth(125 * NS_PER_S, 100.5, 0.5)
    minutes.worth(130 * NS_PER_S, 200.0, 100.0)
    minutes.worth(181 * NS_PER_S, None, None)
    minutes.flush()
    assert rows_of(tmp_path / MINUTES) == [["btc_usdt", 60, 10, 12, 9, 9, 4], ["", 120, 100.5, 0.5]]
    assert minutes.running() == [["btc_usdt", 120, 11, 15, 11, 15, 5]]
    minutes.close()
    assert rows_of(tmp_path / MINUTES)[2:] == [["btc_usdt", 120, 11, 15, 11, 15, 5]]


def test_a_line_keeps_its_last_value_within_each_minute(tmp_path: Path) -> None:
    lines = Lines(tmp_path, REAL_DISK, lambda text: None)

    def drawn(*points: tuple[int, float]) -> IndicatorLine:
        times = [time_s * NS_PER_S for time_s, _ in points]
        return IndicatorLine("btc_usdt", "maker", "BB(20)", "price", times, [value for _, value in points], "upper")

    lines.saw([drawn((60, 1.0), (80, 2.0))])
    lines.saw([drawn((80, 2.0), (119, 3.0), (120, 4.0))])
    lines.flush()
    assert rows_of(tmp_path / LINES) == [["maker", "btc_usdt", "BB(20) upper", "price", 60, 3.0]]
    lines.saw([drawn((119, 3.0), (120, 4.0))])
    lines.close()
    [line] = lines_in((tmp_path / LINES).read_bytes())
    assert (line.name, line.times, line.values) == ("BB(20) upper", [60 * NS_PER_S, 120 * NS_PER_S], [3.0, 4.0])


def test_a_full_disk_stops_the_minute_rows_with_a_single_message(tmp_path: Path) -> None:
    told: list[str] = []
    disk = SimpleNamespace(files=SimpleNamespace(remove=lambda path: None, append=lambda path: Full()))

    class Full:
        def write(self, content: bytes) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    minutes = Minutes(tmp_path, disk, told.append)  # type: ignore[arg-type]
    for minute in range(5):
        minutes.saw(trade(60 * minute, 10))
        minutes.flush()
    minutes.close()
    assert len(told) == 1
    assert "the live page's chart, ends here" in told[0]


def test_messages_are_kept_in_order_and_with_the_bots_timestamps(tmp_path: Path) -> None:
    messages = Messages(tmp_path, REAL_DISK, lambda: 7)
    messages.tell("warning", "one")
    messages.flush()
    messages.tell("info", "x" * 10_000)
    messages.close()
    messages.tell("info", "after the end")
    first, second = rows_of(tmp_path / MESSAGES)
    assert first == {"t": 7, "level": "warning", "text": "one"}
    assert len(second["text"]) == 4_000


def test_candles_are_built_from_minute_rows_and_the_last_candle_is_updated() -> None:
    candles = PairCandles()
    for minute in range(10):
        candles.add((minute * 60, 10.0 + minute, 20.0 + minute, 5.0 - minute, 11.0 + minute, 1.0))
    assert candles.candles(300) == [(0, 10, 24, 1, 15, 5), (300, 15, 29, -4, 20, 5)]
    candles.add((540, 19.0, 50.0, -9.0, 30.0, 3.0))
    assert candles.candles(300, since_s=300) == [(300, 15, 50, -9, 30, 7)]
    for minute in range(3_000):
        candles.add((minute * 60, 1.0, 1.0, 1.0, 1.0, 1.0))
    assert len(candles.candles(60)) == CANDLES_MAX
    assert candles.candles(60)[-1][0] == 2_999 * 60


def test_partial_lines_damaged_lines_and_a_new_run_are_handled_when_reading_a_growing_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    followed = FollowedFile(path)
    assert followed.new_rows() == (False, [])
    path.write_bytes(b'[1]\n[2]\n{"hal')
    assert followed.new_rows() == (False, [[1], [2]])
    with path.open("ab") as file:
        file.write(b'f": 3}\nnonsense\n[4]\n')
    assert followed.new_rows() == (False, [{"half": 3}, [4]])
    path.write_bytes(b"[5]\n")
    assert followed.new_rows() == (True, [[5]])
    tail = FollowedFile(path, tail_bytes=0)
    assert tail.new_rows() == (False, [])


def test_new_rows_are_identified_by_row_number_even_after_old_rows_are_dropped() -> None:
    rows = NumberedRows(3)
    for number in range(5):
        rows.add([number])
    assert rows.next == 5
    assert rows.after(4) == [[4]]
    assert rows.after(0) == [[2], [3], [4]]


def shown_bot(root: Path) -> Path:
    """Write the folder of a bot that has stopped."""
    folder = root / "demo" / "emulator" / "inside"
    run = folder / "runs" / "1"
    run.mkdir(parents=True)
    (folder / "journal.sqlite").write_bytes(b"")
    (folder / "lock").write_text(" \n")
    (folder / "status.json").write_text(json.dumps({"name": "demo", "fills": 0, "equity": 5.0, "ended": "signal"}))
    (run / MINUTES).write_text('["btc_usdt",60,1,2,0.5,1.5,3]\n["",60,5.0]\n')
    (run / MESSAGES).write_text('{"t":1,"level":"info","text":"first"}\n')
    return folder


def test_a_page_receives_all_data_once_and_only_new_data_afterwards(tmp_path: Path) -> None:
    folder = shown_bot(tmp_path)
    bots, viewer = Bots(tmp_path), Viewer()
    [bot] = bots.all()
    bot.look(whole=True)
    viewer.looks_at(PageView(bot=bot.id, pair="btc_usdt"))
    first = viewer.news(bots, bots.all(), [])
    assert first is not None
    assert first["begins"]
    assert first["sections"]["messages"] == {"next": 1, "rows": [[1, "info", "first"]]}
    assert first["sections"]["candles"]["rows"] == [(60, 1, 2, 0.5, 1.5, 3)]
    assert viewer.news(bots, bots.all(), []) is None
    with (folder / "runs" / "1" / MESSAGES).open("a") as file:
        file.write('{"t":2,"level":"error","text":"second"}\n')
    with (folder / "runs" / "1" / MINUTES).open("a") as file:
        file.write('["btc_usdt",120,1,1,1,1,1]\n')
    bot.look(whole=True)
    again = viewer.news(bots, bots.all(), [])
    assert again is not None
    assert again["sections"]["messages"] == {"next": 2, "rows": [[2, "error", "second"]]}
    assert again["sections"]["candles"]["rows"] == [(60, 1, 2, 0.5, 1.5, 3), (120, 1, 1, 1, 1, 1)]
    assert set(again["sections"]) == {"messages", "candles"}


def test_a_page_that_reconnects_receives_only_the_data_it_missed(tmp_path: Path) -> None:
    shown_bot(tmp_path)
    bots = Bots(tmp_path)
    [bot] = bots.all()
    bot.look(whole=True)
    viewer = Viewer()
    viewer.looks_at(PageView(bot=bot.id, epoch=bot.epoch, have={"messages": 1, "equity": 0}))
    found = viewer.news(bots, bots.all(), [])
    assert found is not None
    assert "begins" not in found
    assert "messages" not in found["sections"]
    assert found["sections"]["equity"]["rows"] == [[60, 5.0, None]]


def test_a_new_run_is_sent_from_the_beginning(tmp_path: Path) -> None:
    folder = shown_bot(tmp_path)
    bots, viewer = Bots(tmp_path), Viewer()
    [bot] = bots.all()
    bot.look(whole=True)
    viewer.looks_at(PageView(bot=bot.id))
    viewer.news(bots, bots.all(), [])
    second = folder / "runs" / "2"
    second.mkdir()
    (second / MESSAGES).write_text('{"t":9,"level":"info","text":"another run"}\n')
    bot.look(whole=True)
    found = viewer.news(bots, bots.all(), [])
    assert found is not None
    assert found["begins"]
    assert found["sections"]["messages"] == {"next": 1, "rows": [[9, "info", "another run"]]}


def test_a_bot_publishes_data_only_while_a_page_is_open(tmp_path: Path) -> None:
    seconds = 0.0
    clock = SimpleNamespace(monotonic_s=lambda: seconds)
    files = PageFiles(tmp_path, REAL_DISK)
    feed = PageFeed(files, None, None, None, clock=clock, control=False)  # type: ignore[arg-type]
    assert not feed.is_viewed()
    files.view(1)
    assert feed.is_viewed()
    seconds = 14.0
    assert feed.is_viewed()
    seconds = 16.0
    assert not feed.is_viewed()
    files.view(5)
    assert feed.is_viewed()


def test_the_token_is_kept_and_readable_only_by_its_owner(tmp_path: Path) -> None:
    token = kept_token(tmp_path / "state")
    assert len(token) >= 43
    assert kept_token(tmp_path / "state") == token
    path = tmp_path / "state" / "page-token"
    assert path.stat().st_mode & 0o077 == 0
    path.write_text("short")
    assert kept_token(tmp_path / "state") not in (token, "short")


@pytest.mark.parametrize("content", ["", "[]", "{", '"x"', "[" * 5_000, '{"picture": 5, "orders": {"a": 1}}'])
def test_a_damaged_page_file_causes_no_error(tmp_path: Path, content: str) -> None:
    folder = shown_bot(tmp_path)
    (folder / "page.json").write_text(content)
    (folder / "status.json").write_text(content)
    bots = Bots(tmp_path)
    [bot] = bots.all()
    bot.look(whole=True)
    viewer = Viewer()
    viewer.looks_at(PageView(bot=bot.id))
    assert viewer.news(bots, bots.all(), []) is not None
    assert StateFolder(folder).holder() is None


def test_a_minute_of_the_state_that_is_older_than_the_written_ones_changes_nothing() -> None:
    candles = PairCandles()
    for minute in range(3):
        candles.add((minute * 60, 10.0, 20.0, 5.0, 11.0, 4.0))
    for minute in (0, 2):  # published before the minute was finished, and left since nobody was looking
        candles.add((minute * 60, 10.0, 12.0, 9.0, 10.0, 1.0), is_finished=False)
    assert candles.candles(60) == [(minute * 60, 10.0, 20.0, 5.0, 11.0, 4.0) for minute in range(3)]
    candles.add((180, 11.0, 11.0, 11.0, 11.0, 1.0), is_finished=False)
    candles.add((180, 11.0, 13.0, 11.0, 12.0, 2.0), is_finished=False)
    assert candles.candles(60)[3:] == [(180, 11.0, 13.0, 11.0, 12.0, 2.0)]
    candles.add((180, 11.0, 13.0, 11.0, 12.5, 3.0))
    assert candles.candles(60)[3:] == [(180, 11.0, 13.0, 11.0, 12.5, 3.0)]


def test_fills_have_the_decimals_of_the_journal_even_before_a_restarted_bot_has_written_its_page(
    tmp_path: Path,
) -> None:
    folder = shown_bot(tmp_path)
    (folder / "journal.sqlite").unlink()
    rules = msgspec.structs.replace(BTC.rules, price_decimals=1, amount_decimals=6)
    pair = Pair("btc_usdt", rules)
    order = Order(OrderSpec(client_id=7, strategy="s", pair=pair, side=Side.BUY, type=OrderType.LIMIT, created=5))
    fill = Fill(
        order=order, pair=pair, side=Side.BUY, time=5, price_ticks=500_005, lots=2_500, value_units=0, fee_units=0,
        fee_currency="btc", is_maker=True, executed_lots=2_500,
    )  # fmt: skip
    journal = Journal.open(folder / "journal.sqlite")
    follow_decimals(journal, {"btc_usdt": pair}, 5)
    journal.commit(fills=[(fill, 5)])
    [bot] = Bots(tmp_path).all()
    bot.page, bot.status = {"decimals": {"btc_usdt": [2, 8]}}, {"fills": 1}
    bot._read_fills()
    journal.close()
    [row] = bot.fills.after(0)
    assert row[4:6] == [50_000.5, 0.0025]
