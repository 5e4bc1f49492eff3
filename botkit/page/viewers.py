"""One open page: the bot it shows, the data already sent to it, and the data still to be sent.

The page specifies a bot, a pair and a candle length, and (after a lost connection) the rows of the run that it already
has. It receives only new data: complete sections that have changed, and added rows.
"""

from __future__ import annotations

from typing import Any

import msgspec

from botkit.page.bots import Bots, ShownBot
from botkit.page.candles import WIDTHS
from botkit.report.language import told

_encode = msgspec.json.Encoder().encode
#: the growing parts of a run, by their names in a message
_STREAMS = ("messages", "fills", "equity", "log", "lines")


class PageView(msgspec.Struct, frozen=True):
    """The view requested by a page. ``have`` contains the sequence numbers of the next rows, and is valid only for the
    given ``epoch``.
    """

    bot: str | None = None
    pair: str | None = None
    width: int = 60
    epoch: int | None = None
    have: dict[str, int] = {}


class Viewer:
    """The data already sent on one connection."""

    def __init__(self) -> None:
        self.look = PageView()
        self._sections: dict[str, bytes] = {}
        self._next: dict[str, int] = {}
        self._epoch: int | None = None
        self._candles: tuple[str, str | None, int, int] | None = None
        self._last_candle: Any = None

    def looks_at(self, look: PageView) -> None:
        """Switch to another view."""
        self._sections.clear()
        self._epoch, self._next = look.epoch, dict(look.have)
        self._candles = None
        self.look = look

    def news(self, bots: Bots, shown: list[ShownBot], runs: list[dict[str, Any]]) -> dict[str, Any] | None:
        """Return a message with all new data, or None if there is no new data."""
        message: dict[str, Any] = {}
        self._put(message, "bots", [bot.overview() for bot in shown])
        self._put(message, "runs", runs)
        bot = bots.get(self.look.bot)
        if bot is not None:
            if bot.epoch != self._epoch:
                self._epoch, self._candles = bot.epoch, None
                self._next.clear()
                message["begins"] = True
            sections: dict[str, Any] = {}
            for name, content in bot.sections().items():
                self._put(sections, name, content, f"{bot.id} {name}")
            for name in _STREAMS:
                self._rows(sections, name, bot)
            self._put_candles(sections, bot)
            if sections:
                message |= {"bot": bot.id, "sections": sections}
        return message or None

    def _put(self, into: dict[str, Any], name: str, content: Any, key: str = "") -> None:
        encoded = _encode(content)
        if self._sections.get(key or name) != encoded:
            self._sections[key or name] = encoded
            into[name] = msgspec.Raw(encoded)

    def _rows(self, into: dict[str, Any], name: str, bot: ShownBot) -> None:
        stream = getattr(bot, name)
        begin = self._next.get(name, 0)
        if stream.next > begin:
            rows = stream.after(begin)
            if name == "messages":
                rows = [[time, level, told(text)] for time, level, text in rows]
            into[name] = {"next": stream.next, "rows": rows}
            self._next[name] = stream.next

    def _put_candles(self, into: dict[str, Any], bot: ShownBot) -> None:
        look = self.look
        width = look.width if look.width in WIDTHS else WIDTHS[0]
        candles = bot.candles.get(look.pair or "")
        if candles is None:
            return
        key = (bot.id, look.pair, width, bot.epoch)
        is_whole = key != self._candles
        rows = candles.candles(width, 0 if is_whole else self._last_candle[0])
        if not rows or (not is_whole and rows == [self._last_candle]):
            return
        self._candles, self._last_candle = key, rows[-1]
        into["candles"] = {"pair": look.pair, "width": width, "whole": is_whole, "rows": rows}
