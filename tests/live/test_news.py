"""The user is notified about streams and orders in enough detail to act on, but in no more detail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.live.notifications import order_news
from botkit.live.notifications.order_news import OrderNews
from botkit.live.notifications.stream_news import StreamNews
from botkit.model.clock import NS_PER_MINUTE
from botkit.model.events import Connection, ConnectionState
from botkit.model.orders import Order, OrderSpec, OrderState, OrderType, Side

pytestmark = pytest.mark.virtual_time

PAIRS = packaged_pairs()
BTC, ETH = PAIRS["btc_twd"], PAIRS["eth_twd"]


class Heard:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.news = StreamNews(lambda level, text: self.texts.append(f"{level}: {text}"))

    def after(self, now: int, *events: Connection) -> list[str]:
        """Return the messages that result from several simultaneous events."""
        for event in events:
            self.news.changed(event)
        self.news.tell(now)
        found, self.texts = self.texts, []
        return found


def lost(stream: str, pair: object = None, detail: str = "closed; reconnecting now") -> Connection:
    return Connection(ConnectionState.LOST, stream, pair, detail)  # type: ignore[arg-type]


def back(stream: str, pair: object = None) -> Connection:
    return Connection(ConnectionState.CONNECTED, stream, pair)  # type: ignore[arg-type]


def test_pairs_on_one_connection_are_reported_together() -> None:
    heard = Heard()
    assert heard.after(0, lost("order_book", BTC), lost("order_book", ETH), lost("trades", BTC)) == [
        "warning: the stream order_book btc_twd, eth_twd was lost: closed; reconnecting now; "
        "missed data is fetched once it is back",
        "warning: the stream trades btc_twd was lost: closed; reconnecting now; missed data is fetched once it is back",
    ]
    assert heard.after(1, back("order_book", BTC), back("order_book", ETH)) == [
        "info: the stream order_book btc_twd, eth_twd is back"
    ]
    assert heard.after(2) == []


def test_an_unstable_stream_is_reported_at_most_once_every_ten_minutes_per_reason() -> None:
    heard = Heard()
    told = []
    for minute in range(21):
        told += heard.after(minute * NS_PER_MINUTE, lost("trades", BTC), back("trades", BTC))
    assert [text.partition(":")[0] for text in told] == ["warning", "info"] * 3
    other = heard.after(21 * NS_PER_MINUTE, lost("trades", BTC, "no name; reconnecting in 2.00 s"))
    assert len(other) == 1


def test_the_first_connection_is_not_reported_but_an_unreadable_frame_is() -> None:
    heard = Heard()
    assert heard.after(0, back("active_orders"), back("trades", BTC)) == []
    stale = Connection(ConnectionState.STALE, "active_orders", None, "status 9")
    assert heard.after(1, stale, stale) == [
        "warning: the stream active_orders sent data that cannot be read (status 9); it was skipped, and the bot is "
        "reconciled with the exchange. Check whether there is a newer botkit"
    ]
    assert heard.after(2, Connection(ConnectionState.STALE, "order_book", BTC, "price x")) == [
        "warning: the stream order_book btc_twd sent data that cannot be read (price x); it was skipped. "
        "Check whether there is a newer botkit"
    ]
    assert heard.news.summary() == "active_orders: status 9"


# -- orders -----------------------------------------------------------------------------------------------------------


class HandLoop:
    """The clock and timers of an event loop, advanced by the test."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Any, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[[], None]) -> Any:
        timer = _Timer()
        self.timers.append((self.now + seconds, timer, call))
        return timer

    def move(self, seconds: float) -> None:
        until = self.now + seconds
        while due := [row for row in self.timers if row[0] <= until and not row[1].cancelled]:
            first = min(due, key=lambda row: row[0])
            self.timers.remove(first)
            self.now = max(self.now, first[0])
            first[2]()
        self.now = until


class _Timer:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Doubts:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(order_news, "PATIENCE_S", 5.0)  # as in production
        self.loop: Any = HandLoop()
        self.told: list[str] = []
        self.news = OrderNews(lambda level, text: self.told.append(f"{level}: {text}"), loop=self.loop)

    def order(self, client_id: int) -> Order:
        return Order(
            OrderSpec(
                client_id=client_id, strategy="s", pair=BTC, side=Side.BUY, type=OrderType.LIMIT, created=5,
                price_ticks=100, amount_lots=10,
            )
        )  # fmt: skip

    def become(self, order: Order, state: OrderState) -> None:
        order.state = state
        self.news.changed(order, state)

    def take(self) -> list[str]:
        found, self.told[:] = list(self.told), []
        return found


@pytest.fixture
def doubts(monkeypatch: pytest.MonkeyPatch) -> Doubts:
    return Doubts(monkeypatch)


def test_unknown_outcomes_resolved_within_seconds_are_counted_instead_of_reported_individually(doubts: Doubts) -> None:
    for number in range(1, 201):  # ten minutes on a bad connection
        order = doubts.order(number)
        doubts.become(order, OrderState.UNKNOWN)
        doubts.loop.move(1.2 if number == 150 else 0.6)
        doubts.become(order, OrderState.OPEN)
        doubts.loop.move(2.4)
    assert doubts.take() == ["info: 2 orders were in an unknown state for up to 0.6 s; all outcomes are now known"]
    doubts.loop.move(600)
    assert doubts.take() == ["info: 198 orders were in an unknown state for up to 1.2 s; all outcomes are now known"]
    doubts.loop.move(6_000)
    assert doubts.take() == []


def test_a_lasting_unknown_outcome_is_reported_when_it_starts_and_when_it_is_resolved(doubts: Doubts) -> None:
    first, second = doubts.order(1), doubts.order(2)
    doubts.become(first, OrderState.UNKNOWN)
    doubts.loop.move(3)
    doubts.become(second, OrderState.UNKNOWN)
    assert doubts.take() == []
    doubts.loop.move(2)
    [text] = doubts.take()
    assert text.startswith("warning: ")
    assert "is unknown, and btc_twd accepts no new orders until it is known" in text
    doubts.become(first, OrderState.UNKNOWN)  # reported again, as during a comparison
    doubts.loop.move(1)
    doubts.become(second, OrderState.ABSENT)
    doubts.loop.move(100)
    assert doubts.take() == ["info: 1 order was in an unknown state for up to 3.0 s; all outcomes are now known"]
    doubts.become(first, OrderState.OPEN)
    [text] = doubts.take()
    assert text.endswith("is now known")
    assert text.startswith("info: ")


def test_an_order_rejected_after_a_briefly_unknown_outcome_is_reported_as_rejected(doubts: Doubts) -> None:
    order = doubts.order(1)
    doubts.become(order, OrderState.UNKNOWN)
    order.reason = "under maintenance"
    doubts.become(order, OrderState.REJECTED)
    [text] = doubts.take()
    assert "was rejected by the exchange: under maintenance" in text


def test_a_live_order_that_was_previously_assumed_absent_always_triggers_an_alert(doubts: Doubts) -> None:
    order = doubts.order(1)
    doubts.become(order, OrderState.UNKNOWN)
    doubts.become(order, OrderState.ABSENT)
    doubts.become(order, OrderState.OPEN)
    [text] = doubts.take()
    assert text.startswith("error: ")
    assert "was assumed absent, but is live at the exchange" in text


async def test_order_news_uses_timers_of_the_running_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_news, "PATIENCE_S", 0.01)
    told = asyncio.Event()
    news = OrderNews(lambda level, text: told.set())
    order = Doubts(monkeypatch).order(1)
    monkeypatch.setattr(order_news, "PATIENCE_S", 0.01)
    order.state = OrderState.UNKNOWN
    news.changed(order, order.state)
    await asyncio.wait_for(told.wait(), 10)
