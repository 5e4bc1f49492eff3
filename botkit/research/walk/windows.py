"""Computes the windows of a walk-forward in full calendar days. Each training window is followed by a test window."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, tzinfo

import msgspec

from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_S, Nanos, to_datetime

__all__ = ["WalkWindow", "windows"]


class WalkWindow(msgspec.Struct, frozen=True):
    """One step of a walk-forward: a search on [train_start, train_end) and a test on [test_start, test_end). All times
    are local midnights in ``zone``.
    """

    number: int
    train_start: Nanos
    train_end: Nanos
    test_start: Nanos
    test_end: Nanos
    zone: tzinfo

    def tested_from(self, gap_days: int) -> Nanos:
        """Return the local midnight at which the test begins after a gap."""
        return _midnight(to_datetime(self.test_start, self.zone).date() + timedelta(days=gap_days), self.zone)


def windows(
    start: Nanos, end: Nanos, *, train_days: int, test_days: int, is_anchored: bool, zone: tzinfo
) -> list[WalkWindow]:
    """Return the windows in [start, end), in order. Days at the end that do not fill a complete test window are not
    used.

    If ``is_anchored``, every training window starts at ``start``; otherwise the training window moves forward. Raises
    ConfigError if not even one window fits.
    """
    if train_days < 1 or test_days < 1:
        raise ConfigError("--train and --test need at least a day each, such as --train 60d --test 20d")
    first, last = _next_midnight(start, zone), to_datetime(end, zone).date()
    found: list[WalkWindow] = []
    while True:
        number = len(found)
        begin = first + timedelta(days=number * test_days)
        test = begin + timedelta(days=train_days)
        test_end = test + timedelta(days=test_days)
        if test_end > last:
            break
        found.append(
            WalkWindow(
                number,
                _midnight(first if is_anchored else begin, zone),
                _midnight(test, zone),
                _midnight(test, zone),
                _midnight(test_end, zone),
                zone,
            )
        )
    if not found:
        have = max(0, (last - first).days)
        raise ConfigError(
            f"the data has {have} full days, but one window needs {train_days} + {test_days}; shorten --train or "
            "--test, or use more data"
        )
    return found


def _next_midnight(start: Nanos, zone: tzinfo) -> date:
    moment = to_datetime(start, zone)
    return moment.date() if moment.time() == time() else moment.date() + timedelta(days=1)


def _midnight(day: date, zone: tzinfo) -> Nanos:
    return round(datetime.combine(day, time(), zone).timestamp()) * NS_PER_S
