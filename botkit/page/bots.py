"""The bots on this machine, as described by the files in their folders."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from botkit.live.journal import Journal
from botkit.live.journal_decimals import decimals_of
from botkit.live.journal_reading import FillRecord
from botkit.live.journal_rows import JournalError
from botkit.live.notifications.lines import LINES
from botkit.live.notifications.messages import MESSAGES
from botkit.live.notifications.minutes import MINUTES
from botkit.live.notifications.page_feed import PageState
from botkit.live.notifications.unvalued_fees import unvalued_fees_sentence
from botkit.live.page_files import PageFiles
from botkit.live.state_folder import StateFolder
from botkit.model.money import UNIT, format_units
from botkit.page.candles import PairCandles, candle_of
from botkit.page.following import FollowedFile
from botkit.report.language import told

#: maximum numbers of messages, fills, log lines and equity points to keep and show per run
MESSAGES_MAX = 500
FILLS_MAX = 2_000
LOG_MAX = 500
_EQUITY_MAX = 20_000
_LINES_MAX = 10_000
#: a bot stamps its lock file every second; after this long without a stamp, its lock is tried
_SILENT_S = 5.0
#: the minimum interval between two reads of the journal while fills arrive
_JOURNAL_EVERY_S = 1.0


_decode_state = msgspec.json.Decoder(PageState).decode
#: errors that data from another version of botkit may raise
_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError, IndexError)


class NumberedRow(msgspec.Struct):
    """One fill, message or equity point, with its sequence number within the run. Numbers only increase."""

    number: int
    row: list[Any]


class NumberedRows:
    """The latest rows of one kind, numbered."""

    def __init__(self, most: int) -> None:
        self._rows: deque[NumberedRow] = deque(maxlen=most)
        self._next = 0

    def add(self, row: list[Any]) -> None:
        """Add a row."""
        self._rows.append(NumberedRow(self._next, row))
        self._next += 1

    def after(self, number: int) -> list[list[Any]]:
        """Return the rows numbered ``number`` and above."""
        return [shown.row for shown in self._rows if shown.number >= number]

    @property
    def next(self) -> int:
        """The number of the next row."""
        return self._next


class ShownBot:
    """One bot. `look` reads new data; the other methods return data for the page."""

    def __init__(self, folder: StateFolder) -> None:
        self.folder = folder
        self._page_files = PageFiles(folder.path, folder.disk)
        path = folder.path
        #: such as ``market-maker/emulator/inside``
        self.id = "/".join(path.parts[-3:])
        self.status: dict[str, Any] = {}
        self.page: dict[str, Any] = {}
        #: running, silent (the process exists but does nothing) or ended
        self.state = "ended"
        #: changes when another run starts, which restarts all streams
        self.epoch = 0
        self._run = 0
        self._run_key: tuple[object, ...] = ()
        self._page_id: tuple[int, int] | None = None
        self._status_id: tuple[int, int] | None = None
        self._beat: int | None = None
        self._beat_at = 0.0
        self._tried_at = -_SILENT_S
        self._is_held = False
        self._begin_run()

    def _begin_run(self) -> None:
        run = self.folder.path / "runs" / str(self._run)
        # sequence numbers from different servers are not comparable, even for the same run
        self.epoch = secrets.randbits(48)
        self.messages = NumberedRows(MESSAGES_MAX)
        self.fills = NumberedRows(FILLS_MAX)
        self.equity = NumberedRows(_EQUITY_MAX)
        #: the lines that strategies draw: strategy, pair, name, pane, minute (s), value
        self.lines = NumberedRows(_LINES_MAX)
        self.candles: dict[str, PairCandles] = {}
        self._lines_file = FollowedFile(run / LINES)
        self._minutes_file = FollowedFile(run / MINUTES)
        self._messages_file = FollowedFile(run / MESSAGES)
        self.log = NumberedRows(LOG_MAX)
        self._log_file: FollowedFile | None = None
        self._fills_seen: set[tuple[int, int]] = set()
        self._fills_count = -1
        self._fills_at = 0.0

    # -- reading --------------------------------------------------------------------------------------------------

    def look(self, *, whole: bool) -> None:
        """Read the status and, if ``whole`` is set, all other new data."""
        files = self.folder.disk.files
        with contextlib.suppress(OSError):
            found = files.identity(self.folder.path / "status.json")
            if found != self._status_id:
                self._status_id, self.status = found, self.folder.read_status() or {}
        self._look_for_life()
        if not whole:
            return
        with contextlib.suppress(OSError):
            found = files.identity(self._page_files.path)
            if found != self._page_id:
                self._page_id = found
                self._read_page()
        self._look_for_run()
        self._read_minutes()
        for row in self._rows_of(self._lines_file):
            if isinstance(row, list) and len(row) == 6:
                self.lines.add(row)
        for row in self._rows_of(self._messages_file):
            if isinstance(row, dict):
                self.messages.add([row.get("t", 0), str(row.get("level", "info")), str(row.get("text", ""))])
        self._read_log()
        self._read_fills()

    def _read_log(self) -> None:
        name = self.status.get("log_file")
        if not isinstance(name, str):
            return
        if self._log_file is None or str(self._log_file.path) != name:
            self._log_file = FollowedFile(Path(name), tail_bytes=LOG_MAX * 200)
        for row in self._log_file.new_rows()[1]:
            if isinstance(row, dict):
                text = str(row.get("message", "")) + ("\n" + str(row["traceback"]) if row.get("traceback") else "")
                self.log.add([str(row.get(key, "")) for key in ("time", "level", "logger")] + [text[:4_000]])

    def _read_page(self) -> None:
        content = self._page_files.read() or b""
        try:
            _decode_state(content)  # may be from another version of botkit
            self.page = msgspec.json.decode(content)
            self.status = self.page["status"]
        except (msgspec.DecodeError, RecursionError):
            self.page = {}

    def _look_for_life(self) -> None:
        """Determine whether the bot is running. A heartbeat that changes proves it; the bot's lock is looked at only if
        the heartbeat has stopped.
        """
        now, beat = time.monotonic(), self.folder.heartbeat()
        if beat != self._beat:
            if self._beat is not None:
                self._beat_at, self._is_held = now, True
            self._beat = beat
        if now - self._beat_at > _SILENT_S and now - self._tried_at > _SILENT_S:
            self._tried_at = now
            self._is_held = self.folder.holder() is not None
            if self._beat_at == 0.0:
                self._beat_at = now
        if self.status.get("ended"):  # written by a bot that stops cleanly, and overwritten by the next run
            self._is_held = False
        is_silent = now - self._beat_at > 2 * _SILENT_S
        self.state = "ended" if not self._is_held else "silent" if is_silent else "running"

    def _look_for_run(self) -> None:
        runs = self.folder.disk.files.names(self.folder.path / "runs")
        latest = max((int(name) for name in runs if name.isdigit()), default=0)
        # if the emulator exits with its bot, run numbers restart at 1
        found = (latest, self.status.get("since"), self.status.get("process"))
        if found != self._run_key:
            self._run, self._run_key = latest, found
            self._begin_run()

    def _rows_of(self, followed: FollowedFile) -> list[Any]:
        begins, rows = followed.new_rows()
        if begins:  # another emulator's run with the same run number
            self._begin_run()
        return rows

    def _read_minutes(self) -> None:
        for row in self._rows_of(self._minutes_file):
            self._add_minute(row, is_finished=True)
        for row in self.page.get("minutes", ()) if self.state != "ended" else ():
            self._add_minute(row, is_finished=False)

    def _add_minute(self, row: Any, *, is_finished: bool) -> None:
        with contextlib.suppress(ValueError, TypeError, IndexError):
            if row[0]:
                self.candles.setdefault(str(row[0]), PairCandles()).add(candle_of(row), is_finished=is_finished)
            else:
                profit = row[3] if len(row) > 3 else None  # runs of an older botkit did not write it
                self.equity.add([int(row[1]), float(row[2]), None if profit is None else float(profit)])

    def _read_fills(self) -> None:
        count, decimals = self.status.get("fills", 0), self.page.get("decimals")
        if not decimals or count == self._fills_count or time.monotonic() - self._fills_at < _JOURNAL_EVERY_S:
            return
        self._fills_at = time.monotonic()
        try:
            journal = Journal.open(self.folder.journal, read_only=True)
        except JournalError:
            return
        try:
            rows = journal.fills(since=int(self.status.get("since") or 0))
            # a bot that is just starting may have converted its journal before it writes its page
            decimals = {**decimals, **{name: own for name, own in decimals_of(journal).items() if name in decimals}}
        except JournalError:
            return
        finally:
            journal.close()
        self._fills_count = count
        for fill in rows:
            key = (fill.client_id, fill.executed_lots)
            if fill.pair in decimals and key not in self._fills_seen:
                self._fills_seen.add(key)
                self.fills.add(fill_row(fill, decimals[fill.pair]))

    def show_viewer(self) -> None:
        """Signal to the bot that it is being shown on a page."""
        with contextlib.suppress(OSError):
            self._page_files.view(time.time_ns())

    @property
    def name(self) -> str:
        """The bot's name."""
        return self.id.split("/")[0]

    # -- showing --------------------------------------------------------------------------------------------------

    def overview(self) -> dict[str, Any]:
        """Return the bot's row in the list of all bots."""
        try:
            return self._overview(self.status)
        except _UNREADABLE:
            return self._overview({"ended": "its figures were written by another version of botkit"})

    def _overview(self, status: dict[str, Any]) -> dict[str, Any]:
        strategies = status.get("strategies", {})
        halt = self.folder.halt()
        return {
            "id": self.id,
            "name": self.name,
            "mode": self.id.split("/")[1],
            "state": self.state,
            "ended": str(status.get("ended") or ""),
            "time": status.get("time"),
            "currency": status.get("currency", ""),
            "equity": status.get("equity"),
            "pnl": status.get("pnl"),
            "opening": status.get("opening_equity"),
            "day": status.get("day_pnl"),
            "open": status.get("open_orders", 0),
            "fills": status.get("fills", 0),
            "stopped": [
                f"{name}: {told(str(row.get('stopped')))}" for name, row in strategies.items() if not row.get("active")
            ],
            "halted": None if halt is None else f"{told(halt.kind)}: {told(halt.reason)}",
        }

    def sections(self) -> dict[str, Any]:
        """Return the bot's data for the page, by section. A section is sent again only when it changes."""
        try:
            return self._sections(self.status, self.page)
        except _UNREADABLE:
            return self._sections({}, {})

    def _sections(self, status: dict[str, Any], page: dict[str, Any]) -> dict[str, Any]:
        picture = page.get("picture") or {}
        is_live = self.state == "running"
        facts = page.get("facts", {})
        strategies = [
            {
                **row,
                "stopped": told(row.get("stopped", "")),
                "why_not": told(row.get("why_not", "")),
                "skipped": _told_keys((status.get("strategies", {}).get(row["name"]) or {}).get("skips", {})),
                "refused": _told_keys((status.get("strategies", {}).get(row["name"]) or {}).get("refusals", {})),
                "facts": _told_keys(facts.get(row["name"], {})),
            }
            for row in picture.get("strategies", ())
        ]
        return {
            "head": {
                "epoch": self.epoch,
                "run": self._run,
                "zone": status.get("timezone", "Asia/Taipei"),
                "time": status.get("time"),
                "since": status.get("since"),
                "uptime": int(status.get("uptime_s") or 0),
                "control": bool(page.get("control")) and is_live,
                "faults": [told(text) for text in picture.get("faults", [])],
                "unvalued": told(unvalued_fees_sentence(status.get("unvalued_fees", {}))),
                "lost": [told(name) for name in picture.get("lost_streams", [])] if is_live else [],
                "streams": picture.get("connected_streams", 0),
                "unknown": status.get("unknown_orders", 0),
                "foreign": status.get("foreign_orders", 0),
                "profits": status.get("profits", []),
                "decimals": page.get("decimals", {}),
            },
            "prices": picture.get("prices", []),
            "positions": picture.get("positions", []),
            "balances": status.get("balances", {}),
            "orders": page.get("orders", []) if is_live else [],
            "strategies": strategies,
            "limits": picture.get("limits", []),
            "parameters": page.get("parameters", []),
            "plots": page.get("plots", []),
        }


def _told_keys(by_sentence: dict[str, Any]) -> dict[str, Any]:
    return {told(sentence): value for sentence, value in by_sentence.items()}


def fill_row(fill: FillRecord, decimals: Sequence[int]) -> list[Any]:
    """Return a fill for the page: time (ns), strategy, pair, side, price, amount, value, fee, fee currency, maker."""
    price, amount = fill.price_ticks / 10 ** decimals[0], fill.lots / 10 ** decimals[1]
    return [
        *(fill.time, fill.strategy, fill.pair, fill.side, price, amount, fill.value_units / UNIT),
        *(format_units(fill.fee_units), fill.fee_currency, fill.is_maker),
    ]


class Bots:
    """The bots to show: those in ``folders`` or, if None, all bots that have ever run on this machine."""

    def __init__(self, root: Path, folders: Sequence[Path] | None = None) -> None:
        self._root = root
        self._folders = folders
        self._known: dict[str, ShownBot] = {}

    def all(self) -> list[ShownBot]:
        """Check for new bots, and return all bots."""
        for path in self._places():
            bot = ShownBot(StateFolder(path, root=self._root))
            self._known.setdefault(bot.id, bot)
        return list(self._known.values())

    def get(self, bot_id: object) -> ShownBot | None:
        """Return the bot with this id."""
        return self._known.get(bot_id) if isinstance(bot_id, str) else None

    def hosts(self) -> set[str]:
        """Return additional Host names allowed by the bots' configurations."""
        return {str(host) for bot in self._known.values() for host in bot.status.get("page_hosts", ())}

    def _places(self) -> Iterable[Path]:
        if self._folders is not None:
            return self._folders
        return sorted({path.parent for path in self._root.glob("*/*/*/journal.sqlite")})
