"""What the user hears of streams and orders: enough to act on, and no more."""

from __future__ import annotations

from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.live.telling.stream_news import StreamNews
from botkit.model.clock import NS_PER_MINUTE
from botkit.model.events import Connection, ConnectionState

PAIRS = packaged_pairs()
BTC, ETH = PAIRS["btc_twd"], PAIRS["eth_twd"]


class Heard:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.news = StreamNews(lambda level, text: self.texts.append(f"{level}: {text}"))

    def after(self, now: int, *events: Connection) -> list[str]:
        """What is heard of events that came together."""
        for event in events:
            self.news.changed(event)
        self.news.tell(now)
        found, self.texts = self.texts, []
        return found


def lost(stream: str, pair: object = None, detail: str = "closed; connecting again at once") -> Connection:
    return Connection(ConnectionState.LOST, stream, pair, detail)  # type: ignore[arg-type]


def back(stream: str, pair: object = None) -> Connection:
    return Connection(ConnectionState.CONNECTED, stream, pair)  # type: ignore[arg-type]


def test_the_pairs_of_one_connection_are_told_of_together() -> None:
    heard = Heard()
    assert heard.after(0, lost("order_book", BTC), lost("order_book", ETH), lost("trades", BTC)) == [
        "warning: the stream order_book btc_twd, eth_twd was lost: closed; connecting again at once; "
        "what it missed is read when it is back",
        "warning: the stream trades btc_twd was lost: closed; connecting again at once; "
        "what it missed is read when it is back",
    ]
    assert heard.after(1, back("order_book", BTC), back("order_book", ETH)) == [
        "info: the stream order_book btc_twd, eth_twd is back"
    ]
    assert heard.after(2) == []


def test_a_stream_that_comes_and_goes_is_told_of_once_in_ten_minutes_for_each_reason() -> None:
    heard = Heard()
    told = []
    for minute in range(21):
        told += heard.after(minute * NS_PER_MINUTE, lost("trades", BTC), back("trades", BTC))
    assert [text.partition(":")[0] for text in told] == ["warning", "info"] * 3
    other = heard.after(21 * NS_PER_MINUTE, lost("trades", BTC, "no name; connecting again in 2.00 s"))
    assert len(other) == 1


def test_the_first_connection_is_no_news_and_a_frame_nobody_can_read_is() -> None:
    heard = Heard()
    assert heard.after(0, back("active_orders"), back("trades", BTC)) == []
    stale = Connection(ConnectionState.STALE, "active_orders", None, "status 9")
    assert heard.after(1, stale, stale) == [
        "warning: the stream active_orders sent what cannot be read (status 9); it was left out, and the books are "
        "compared with the exchange's. Look whether there is a newer botkit"
    ]
    assert heard.after(2, Connection(ConnectionState.STALE, "order_book", BTC, "price x")) == [
        "warning: the stream order_book btc_twd sent what cannot be read (price x); it was left out. "
        "Look whether there is a newer botkit"
    ]
    assert heard.news.summary() == "active_orders: status 9"
