"""Writes the log file: one JSON object per line, rotated by size, without secrets, and without ever blocking the bot.

Records are formatted immediately and written by a separate thread, so a slow disk does not delay an order. If the queue
is full or the disk fails, records are dropped and counted, because logging must never stop the bot.
"""

from __future__ import annotations

import contextvars
import json
import logging
import logging.handlers
import queue
import traceback
from collections.abc import Iterable
from datetime import UTC, tzinfo
from pathlib import Path
from types import TracebackType
from typing import Any

from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_MS, format_time

BYTES_MAX = 10_000_000
FILES_KEPT = 5
_QUEUE_MAX = 10_000
_TEXT_MAX = 20_000
HIDDEN = "[hidden]"
#: the bot to which the running task belongs, if a process has several bots; records logged outside a bot's tasks are
#: written to the log files of all bots
CURRENT_BOT: contextvars.ContextVar[str | None] = contextvars.ContextVar("botkit_current_bot", default=None)
#: shorter values are not secrets, and replacing them would make sentences unreadable
_SECRET_LENGTH_MIN = 6


class Redactor:
    """Removes secrets from text. This is a second line of defense, because secrets should never reach the text at
    all.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # longest first, because one secret may be part of another
        self._secrets = sorted({s for s in secrets if len(s) >= _SECRET_LENGTH_MIN}, key=len, reverse=True)

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._secrets)}>"

    def clean(self, text: str) -> str:
        """Return the text with each secret replaced."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        return text


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON with time (in ``zone``, with its offset), level, logger and message, and for
    errors also file, line and traceback.
    """

    def __init__(self, redactor: Redactor, zone: tzinfo = UTC) -> None:
        super().__init__()
        self._redactor = redactor
        self._zone = zone

    def format(self, record: logging.LogRecord) -> str:
        """Format the record as a line without a newline."""
        row: dict[str, Any] = {
            "time": format_time(int(record.created * 1000) * NS_PER_MS, self._zone),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:_TEXT_MAX],
        }
        strategy = getattr(record, "strategy", None)
        if strategy is not None:
            row["strategy"] = str(strategy)
        if record.exc_info and record.exc_info[0] is not None:
            # without local variables, which may contain a key
            row["traceback"] = "".join(traceback.format_exception(*record.exc_info))[-_TEXT_MAX:]
        if record.levelno >= logging.WARNING:
            row["at"] = f"{record.filename}:{record.lineno}"
        # clean before encoding, because encoding could insert an escape sequence into a secret
        return json.dumps({key: self._redactor.clean(value) for key, value in row.items()}, ensure_ascii=False)


class _Queue(logging.handlers.QueueHandler):
    """Passes on formatted records and never blocks."""

    def __init__(self, waiting: queue.Queue[Any]) -> None:
        super().__init__(waiting)
        self.dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # format now, because the record's contents may have changed by the time the thread writes it
        line = self.format(record)
        return logging.makeLogRecord({"msg": line, "levelno": record.levelno, "name": record.name})

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's own name
        self.dropped += 1


class _File(logging.handlers.RotatingFileHandler):
    """Writes preformatted lines."""

    dropped = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        # on a full disk, the terminal should not show a traceback for each record that cannot be written
        self.dropped += 1


class LogFile:
    """The log file of a process. Call `open` to start, and `close` at the end to write pending records. It is a context
    manager.
    """

    def __init__(
        self,
        path: Path,
        *,
        level: str = "info",
        secrets: Iterable[str] = (),
        bytes_max: int = BYTES_MAX,
        files_kept: int = FILES_KEPT,
        logger: str = "botkit",
        bot: str | None = None,
        zone: tzinfo = UTC,
    ) -> None:
        """``level`` is debug, info, warning or error; ``zone`` is the time zone of the timestamps. Records from bots
        other than ``bot`` are not written.

        Raises ConfigError if the file cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _File(path, maxBytes=bytes_max, backupCount=files_kept, encoding="utf-8", errors="replace")
        except OSError as error:
            raise ConfigError(f"log: {path} cannot be written: {error.strerror or error}") from None
        self._file.setFormatter(logging.Formatter("%(message)s"))
        self._handler = _Queue(queue.Queue(_QUEUE_MAX))
        self._handler.setFormatter(JsonLines(Redactor(secrets), zone))
        self._handler.setLevel(level.upper())
        if bot is not None:
            self._handler.addFilter(lambda record: CURRENT_BOT.get() in (None, bot))
        self._listener = logging.handlers.QueueListener(self._handler.queue, self._file)
        self._logger = logging.getLogger(logger)
        self._level = level.upper()
        self._was = logging.NOTSET

    @property
    def dropped(self) -> int:
        """The number of records lost to a full queue or a failing disk."""
        return self._handler.dropped + self._file.dropped

    def open(self) -> None:
        """Start writing."""
        self._was = self._logger.level
        if self._logger.getEffectiveLevel() > logging.getLevelName(self._level):
            self._logger.setLevel(self._level)
        self._logger.addHandler(self._handler)
        self._listener.start()

    def close(self) -> None:
        """Write pending records and close the file."""
        self._logger.removeHandler(self._handler)
        self._logger.setLevel(self._was)
        self._listener.stop()
        self._file.close()

    def __enter__(self) -> LogFile:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
