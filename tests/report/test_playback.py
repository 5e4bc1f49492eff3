"""The playback page shows the run's events frame by frame. These tests are skipped if chromium is missing."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from pathlib import Path

import pytest

from botkit.assembly.backtest import backtest_into
from botkit.assembly.playback import PlayedPart
from botkit.errors import ConfigError
from botkit.model.columns import BookColumns, TradeColumns
from botkit.model.results import BacktestResult, OrderRow
from botkit.project.data import backtest_feed
from botkit.project.project import Project
from botkit.report.playback import render_playback
from tests.report.browser import Browser
from tests.report.sample_playback import hostile_playback
from tests.report.test_crosshair import nanos, number
from tests.research_world import write_crossing

ROOT = Path(__file__).parent.parent.parent
CONFIG = ROOT / "configs" / "market_maker.yaml"
BEGIN, END = "2025-04-03T07:00", "2025-04-03T07:10"
SPAN = {"start": BEGIN, "end": END, "readings": False}


#: quotes at the second-best prices, and occasionally cancels and rejoins the end of the queue
JOINING = """
from botkit import Pair, Strategy, hookimpl


class Joining(Strategy):
    pair: Pair

    def on_start(self):
        self.subscribe_book(self.pair, depth=5)
        self.books = 0

    def on_book(self, book):
        self.books += 1
        if self.books % 25 == 0:
            for order in self.open_orders(self.pair):
                self.cancel(order)
        elif not self.open_orders(self.pair) and book.best_bid and book.best_ask:
            self.buy(self.pair, amount=0.005, price=book.bids[1].price, post_only=True)
            self.sell(self.pair, amount=0.005, price=book.asks[1].price, post_only=True)


@hookimpl
def botkit_register_strategies(register):
    register("joining", Joining)
"""


class Played:
    """A run, its page, and its recorded books and trades."""

    def __init__(self, folder: Path, config: Path = CONFIG) -> None:
        self.result, _, _ = backtest_into(config, out=folder, playback=PlayedPart(), **SPAN)  # type: ignore[arg-type]
        self.page = folder / "playback.html"
        feed = backtest_feed(Project.load(CONFIG), None)
        keys = [("btc_usdt", "books", None), ("btc_usdt", "trades", None)]
        self.books: list[BookColumns] = []
        self.trades: list[TradeColumns] = []
        for piece in feed.slices(keys, self.result.start, self.result.end, rows_max=1_000_000):
            for columns in piece.columns:
                (self.books if isinstance(columns, BookColumns) else self.trades).append(columns)  # type: ignore[arg-type]

    def best(self, before: int) -> tuple[int, int]:
        """Return the best bid and ask, in ticks, of the last book received before a given time."""
        (books,) = self.books
        row = int(books.received.searchsorted(before, side="left")) - 1
        return int(books.bid_ticks[row, 0]), int(books.ask_ticks[row, 0])

    def last(self, before: int) -> int:
        """Return the last trade price, in ticks, before a given time, including our own executions."""
        (trades,) = self.trades
        row = int(trades.received.searchsorted(before, side="left")) - 1
        return int(trades.ticks[row])


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return Played(tmp_path_factory.mktemp("playback") / "run")


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("joined")
    (folder / "joining.py").write_text(JOINING)
    config = folder / "bot.yaml"
    config.write_text(
        "name: joining\nplugins: [joining.py]\n"
        "strategies: [{use: joining, params: {pair: btc_usdt}, capital: {usdt: '9000', btc: '0.1'}}]\n"
        f"backtest: {{data: {json.dumps(str(ROOT / 'backtest_data'))}, latency: {{order_ms: 100, answer_ms: 100}}}}\n"
    )
    return Played(folder / "run", config)


@pytest.fixture
def page(browser: Browser, played: Played) -> Browser:
    browser.open(played.page)
    assert browser.console == []
    return browser


def enter(browser: Browser, name: str, value: str, event: str) -> None:
    """Set a control to a value, as a user would."""
    control = f"document.getElementById('{name}')"
    browser.run(f"{control}.value = '{value}'; {control}.dispatchEvent(new Event('{event}'))")


def seek(browser: Browser, frame: int) -> int:
    """Move the slider to a frame. Return the time that the page shows for this frame."""
    enter(browser, "time", str(frame), "input")
    browser.settle()
    return nanos(browser.texts("#clock")[0])


def cards(browser: Browser) -> dict[str, str]:
    return dict(zip(browser.texts("#cards dt"), browser.texts("#cards dd"), strict=True))


def held(result: BacktestResult, before: int) -> tuple[float, float]:
    """Return (USDT, BTC) after the fills before a given time."""
    money, coins = result.opening["usdt"], result.opening["btc"]
    for fill in result.fills:
        if fill.time < before:
            sign = 1 if fill.side == "buy" else -1
            coins += sign * fill.pair.rules.base_units(fill.lots)
            money -= sign * fill.value_units
            coins -= fill.fee_units if fill.fee_currency == "btc" else 0
            money -= fill.fee_units if fill.fee_currency == "usdt" else 0
    return money / 1e8, coins / 1e8


FRAMES = (0, 137, 411, 852, 1_400, 1_955, 2_399)


def test_the_page_requests_only_its_own_file_and_its_console_stays_empty(page: Browser, played: Played) -> None:
    assert [address for address in page.requests if not address.startswith("data:")] == [played.page.as_uri()]
    assert played.page.stat().st_size < 1_500_000


def test_the_displayed_book_and_last_price_match_the_tape(page: Browser, played: Played) -> None:
    for frame in FRAMES[1:]:
        now = seek(page, frame)
        said = dict(re.findall(r"(bid|ask|last) ([\d,.]+)", " ".join(page.texts("#readout span"))))
        bid, ask = played.best(now)
        assert (number(said["bid"]), number(said["ask"])) == (bid / 100, ask / 100)
        assert number(said["last"]) == played.last(now) / 100
        prices = [number(text) for text in page.texts("#ladder tr.ask:not(.own) th, #ladder tr.bid:not(.own) th")]
        assert prices == sorted(prices, reverse=True)
        assert {bid / 100, ask / 100} <= {number(text) for text in page.texts("#ladder tbody th")}


def test_displayed_values_match_the_fills_and_the_tape(page: Browser, played: Played) -> None:
    traded = set()
    for frame in FRAMES:
        now = seek(page, frame)
        done = sum(fill.time < now for fill in played.result.fills)
        said = cards(page)
        assert said["Fills so far"] == str(done)
        traded.add(done)
        money, coins = held(played.result, now)
        assert said["Holdings"].split("\n") == [f"{coins:.8f}".rstrip("0") + " BTC", f"{money:,.2f} USDT"] or said[
            "Holdings"
        ].split("\n") == [f"{money:,.2f} USDT", f"{coins:.8f}".rstrip("0") + " BTC"]
        if frame:
            equity = money + coins * played.last(now) / 100
            assert number(said["Equity USDT"]) == pytest.approx(equity, abs=0.011)
    assert len(traded) > 3


def resting(rows: list[OrderRow], now: int) -> dict[int, OrderRow]:
    """Return the orders that were certainly in the book at a given time: those that had reached the exchange and were
    not yet known to be final.
    """
    way = 100 * 10**6
    return {
        row.spec.client_id: row
        for row in rows
        if row.sent and row.sent + way < now and (row.updated - way > now or row.state not in ("filled", "cancelled"))
    }


def shown_at(books: BookColumns, index: int, ticks: int, is_buy: bool) -> int | None:
    """Return the lots that a recorded book shows at a price: 0 between its levels, None beyond its depth."""
    side = (books.bid_ticks, books.bid_lots) if is_buy else (books.ask_ticks, books.ask_lots)
    levels = {int(price): int(lots) for price, lots in zip(side[0][index], side[1][index], strict=True) if lots}
    beyond = not levels or (ticks < min(levels) if is_buy else ticks > max(levels))
    return None if beyond else levels.get(ticks, 0)


def ahead_of(played: Played, row: OrderRow, now: int) -> int | None:
    """Return the lots ahead of an order according to the documented assumption, processing the recorded rows one by
    one.
    """
    (books,), (trades,) = played.books, played.trades
    spec, arrived = row.spec, row.sent + 100 * 10**6
    is_buy = spec.side.value == "buy"
    before = int(books.received.searchsorted(arrived, side="right")) - 1
    ahead = shown_at(books, before, spec.price_ticks, is_buy)
    later = [(int(at), 0, index) for index, at in enumerate(books.received) if arrived < at < now]
    later += [
        (int(at), 1, index)
        for index, at in enumerate(trades.received)
        if arrived <= at < now
        and trades.ticks[index] == spec.price_ticks
        and trades.side[index] in (0, -1 if is_buy else 1)
    ]
    for _, is_trade, index in sorted(later):
        if is_trade:
            ahead = None if ahead is None else max(0, ahead - int(trades.lots[index]))
        elif (shown := shown_at(books, index, spec.price_ticks, is_buy)) is not None:
            ahead = shown if ahead is None else min(ahead, shown)
    return ahead


@pytest.mark.parametrize("run", ["played", "joined"])
def test_the_queue_positions_of_own_orders_match_the_simulator(
    browser: Browser, run: str, request: pytest.FixtureRequest
) -> None:
    played: Played = request.getfixturevalue(run)
    page = browser
    page.open(played.page)
    behind, seen = 0, 0
    for frame in (*FRAMES[1:], *range(150, 2_400, 150)):
        now = seek(page, frame)
        expected = []
        for row in resting(played.result.orders, now).values():
            ahead = ahead_of(played, row, now)
            expected.append((row.spec.price_ticks / 100, -1 if ahead is None else ahead / 10**8))
            behind += bool(ahead)
        columns = [page.texts(f"#own tbody td:nth-child({place})") for place in (3, 5)]
        shown = [
            (number(price), -1.0 if ahead == "–" else number(ahead)) for price, ahead in zip(*columns, strict=True)
        ]
        assert sorted(shown) == sorted(expected)
        seen += len(shown)
    assert seen > 12
    assert run == "played" or behind > 12


def test_limits_in_use_match_the_requests_within_the_last_window(page: Browser, played: Played) -> None:
    log = [json.loads(line) for line in (played.page.parent / "decisions.jsonl").read_text().splitlines()]
    answered = {line["id"]: line["t"] for line in log if line["k"] == "answer"}
    for frame in (100, 1_300, 2_399):
        now = seek(page, frame)
        held_now = 0
        for line in log:
            if line["k"] == "request" and line["endpoint"] == "create_order" and line["t"] < now:
                # a slot is occupied for one window after the answer
                held_now += answered[line["id"]] + 60 * 10**9 * 1.0001 + 2 * 10**6 >= now
        names = page.texts("#gauges .gauge b")
        assert page.texts("#gauges .gauge span")[names.index("create order")] == f"{held_now} of 1,200"


def test_a_click_on_a_decision_shows_the_data_that_was_available_to_the_strategy(page: Browser, played: Played) -> None:
    seek(page, 200)
    enter(page, "filter", "orders", "change")
    page.settle()
    page.click("document.querySelectorAll('#steps tbody th button')[4]")
    page.settle()
    heading = page.texts("#seen h3")[0]
    at = nanos(heading.removesuffix(" order"))
    row = next(row for row in played.result.orders if row.spec.created == at and _text(row) in page.texts("#seen p")[0])
    assert nanos(page.texts("#clock")[0]) == at
    facts = dict(zip(page.texts("#seen dt"), page.texts("#seen dd"), strict=True))
    assert facts["Order"] == str(row.spec.client_id)
    assert facts["Sent"] == "+0 ms"
    assert facts["Known to be open"] == "+200 ms"
    assert (row.state in facts) is (row.state in ("filled", "cancelled"))
    money, coins = held(played.result, at + 1)
    assert number(facts["BTC"]) == pytest.approx(coins, abs=1e-8)
    assert number(facts["USDT"]) == pytest.approx(money, abs=1e-8)
    inventory = next(line for line in played.result.indicators if line.name == "inventory")
    point = bisect_right(inventory.times, at) - 1
    assert number(facts["inventory"]) == pytest.approx(inventory.values[point], abs=1e-7)
    # every level in the book that was delivered to the strategy comes from the tape or from one of its own orders
    (books,) = played.books
    index = int(books.received.searchsorted(at, side="right")) - 1
    tape = {int(ticks) / 100 for ticks in (*books.bid_ticks[index], *books.ask_ticks[index])}
    own = {row.spec.price_ticks / 100 for row in played.result.orders}
    prices = {number(text) for text in page.texts("#seen tbody th")}
    assert prices
    assert prices <= tape | own


def _text(row: OrderRow) -> str:
    return f"{row.spec.side.value} {row.spec.amount_lots / 1e8:.8f}".rstrip("0")


def test_keys_start_and_stop_the_playback_and_step_through_it(page: Browser, played: Played) -> None:
    start = seek(page, 100)
    second = 10**9

    def now(key: str) -> int:
        page.press(key)
        page.settle()
        return nanos(page.texts("#clock")[0])

    step = seek(page, 101) - seek(page, 100)
    assert step in (second // 4, second // 2, second)
    assert now("ArrowRight") == start + step
    assert now("ArrowLeft") == start
    decided = sorted({row.spec.created for row in played.result.orders})
    after = now("ArrowDown")
    assert after > start
    assert page.texts("#seen h3")
    assert now("ArrowUp") <= after
    first = now("Home")
    assert first == played.result.start
    assert now("End") > decided[-1] - 60 * second
    page.press("Home")
    page.press(" ")
    page.until(f"Number(document.getElementById('player').dataset.at) > {5 * step // 10**6}")
    assert page.run("document.getElementById('play').getAttribute('aria-label')") == "Pause"
    page.press(" ")
    page.settle()
    assert page.run("document.getElementById('play').getAttribute('aria-label')") == "Play"
    stopped = page.texts("#clock")
    page.settle()
    assert page.texts("#clock") == stopped
    assert page.console == []


def test_a_click_on_the_map_moves_the_playback_to_that_time(page: Browser, played: Played) -> None:
    before = seek(page, 300)
    x, y, width = page.run(
        "(() => { const b = document.getElementById('map').getBoundingClientRect(); return [b.x, b.y, b.width]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        page._call("Input.dispatchMouseEvent", type=kind, x=x + 0.1 * width, y=y + 40, button="left", clickCount=1)
    page.settle()
    assert nanos(page.texts("#clock")[0]) < before
    page.move(x + 200, y + 200)
    page.settle()
    assert re.match(r"2025-04-03 0\d:\d\d:\d\d", page.texts("#readout .name")[0])


def test_the_page_does_not_scroll_sideways_on_a_phone(page: Browser) -> None:
    page.resize(390, 800)
    assert page.run("document.documentElement.scrollWidth <= innerWidth && innerWidth === 390")
    page.resize(1200, 900)


def test_recording_a_playback_changes_no_decision(played: Played, tmp_path: Path) -> None:
    plain, _, _ = backtest_into(CONFIG, out=tmp_path / "plain", **SPAN)  # type: ignore[arg-type]
    sha256 = plain.summary["journal_sha256"]
    assert played.result.summary["journal_sha256"] == sha256
    part = PlayedPart("2025-04-03T07:02", "2025-04-03T07:04")
    result, folder, _ = backtest_into(CONFIG, out=tmp_path / "part", playback=part, **SPAN)  # type: ignore[arg-type]
    assert result.summary["journal_sha256"] == sha256
    assert (folder / "playback.html").stat().st_size < played.page.stat().st_size


@pytest.mark.parametrize(
    ("asked", "says"),
    [(PlayedPart("yesterday"), "--playback-from"), (PlayedPart("2025-04-03T09:00"), "exclude the entire run")],
)
def test_a_playback_range_outside_the_run_is_refused(asked: PlayedPart, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        backtest_into(CONFIG, out=tmp_path / "run", playback=asked, **SPAN)  # type: ignore[arg-type]


def test_a_playback_of_a_run_on_candles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs order books or trades"):
        backtest_into(write_crossing(tmp_path), out=tmp_path / "run", playback=PlayedPart())


def test_names_in_the_run_are_shown_as_plain_text(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "hostile.html"
    hostile, text = hostile_playback()
    page.write_text(render_playback(hostile), encoding="utf-8")
    browser.open(page)
    browser.press("ArrowDown")
    browser.settle()
    assert browser.run("document.title") == f"{text} · playback"
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert text in browser.texts("#steps tbody td")[0]
    assert browser.console == []
