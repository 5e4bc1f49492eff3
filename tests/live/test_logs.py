"""The log file contains one JSON object per line, is rotated, contains no secrets, and never blocks the bot."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime
from logging.handlers import QueueHandler
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from botkit.errors import ConfigError
from botkit.live.notifications.logs import HIDDEN, LogFile, Redactor

SECRET = "canary-5f1d0c"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("botkit.test_logs")
    found.propagate = False
    yield found
    found.handlers.clear()


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def opened(path: Path, **given: Any) -> LogFile:
    return LogFile(path, logger="botkit.test_logs", **given)


def test_a_record_is_one_line_of_json_with_its_location_and_traceback(tmp_path: Path, logger: logging.Logger) -> None:
    path = tmp_path / "logs" / "bot.jsonl"
    with opened(path):
        logger.debug("not logged at this level")
        logger.info("two lines\nand %s", "an ü")
        logger.getChild("inner").info("with a strategy", extra={"strategy": "sma"})
        try:
            raise ValueError("broken")
        except ValueError:
            logger.exception("it failed")
    first, second, third = rows(path)
    assert first["message"] == "two lines\nand an ü"
    assert first["level"] == "info"
    assert first["time"].endswith("Z")
    assert "at" not in first
    assert (second["logger"], second["strategy"]) == ("botkit.test_logs.inner", "sma")
    assert third["level"] == "error"
    assert third["at"].startswith("test_logs.py:")
    assert "ValueError: broken" in third["traceback"]


def test_no_part_of_a_log_record_leaks_a_secret_into_the_file(tmp_path: Path, logger: logging.Logger) -> None:
    path = tmp_path / "bot.jsonl"
    quoted = 'with "quotes" \\ and ü'
    with opened(path, secrets=[SECRET, quoted, "no"]):
        logger.warning("the key is %s", SECRET)
        logger.warning("and %s", quoted)
        try:
            raise RuntimeError(f"https://example.org/{SECRET}/send")
        except RuntimeError:
            logger.exception("failed")
        logger.error("to", extra={"strategy": SECRET})
    text = path.read_text(encoding="utf-8")
    assert SECRET not in text
    assert "quotes" not in text
    assert text.count(HIDDEN) == 4
    assert '"message": "to"' in text  # text that is too short to be a secret is not redacted


def test_times_are_in_the_bots_time_zone_and_include_its_offset(tmp_path: Path, logger: logging.Logger) -> None:
    path = tmp_path / "bot.jsonl"
    with opened(path, zone=ZoneInfo("Asia/Taipei")):
        logger.warning("now")
    (row,) = rows(path)
    assert row["time"].endswith("+08:00")
    assert abs(datetime.fromisoformat(row["time"]).timestamp() - path.stat().st_mtime) < 600


def test_a_secret_that_contains_another_is_redacted_completely() -> None:
    redactor = Redactor(["abcdef", "abcdefgh"])
    assert redactor.clean("x abcdefgh y abcdef") == f"x {HIDDEN} y {HIDDEN}"
    assert "abcdef" not in repr(redactor)


def test_log_files_are_rotated_by_size_and_the_oldest_are_deleted(tmp_path: Path, logger: logging.Logger) -> None:
    path = tmp_path / "bot.jsonl"
    with opened(path, bytes_max=2_000, files_kept=2):
        for i in range(100):
            logger.info("record %d %s", i, "x" * 50)
    files = sorted(p.name for p in tmp_path.iterdir())
    assert files == ["bot.jsonl", "bot.jsonl.1", "bot.jsonl.2"]
    assert all(p.stat().st_size <= 2_000 for p in tmp_path.iterdir())
    assert rows(path)[-1]["message"].startswith("record 99 ")


def test_on_a_failing_disk_log_records_are_lost_but_no_error_is_raised(
    tmp_path: Path, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log = opened(tmp_path / "bot.jsonl")

    def full(_: str) -> None:
        raise OSError(28, "No space left on device")

    with log:
        stream: Any = log._file.stream
        log._file.stream = type(
            "Full",
            (),
            {"write": full, "flush": stream.flush, "close": stream.close, "seek": stream.seek, "tell": stream.tell},
        )()
        for i in range(10):
            logger.info("record %d", i)
    stream.close()
    assert log.dropped == 10
    assert capsys.readouterr().err == ""


def test_the_log_level_is_restored_when_the_log_file_closes(tmp_path: Path, logger: logging.Logger) -> None:
    logger.setLevel(logging.ERROR)
    with opened(tmp_path / "bot.jsonl", level="debug"):
        logger.debug("now it is logged")
    assert logger.level == logging.ERROR
    assert not any(isinstance(handler, QueueHandler) for handler in logger.handlers)
    assert len(rows(tmp_path / "bot.jsonl")) == 1


def test_an_unwritable_log_file_is_reported_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"log: .* cannot be written"):
        LogFile(tmp_path / "file" / "bot.jsonl")
