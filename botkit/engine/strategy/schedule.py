"""Timer schedules: a fixed interval, or a cron expression in a time zone. This module does only time arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos, from_datetime, to_datetime
from botkit.model.money import Number, to_decimal

#: maximum number of firings of a cron expression to count: counting one firing takes about 20 us, and large counts need
#: not be exact
COUNT_MOST = 10_000

_EXAMPLE = 'such as "0 9 * * 1" (minute, hour, day of month, month, day of week: Mondays at 9:00)'


class Schedule(Protocol):
    """A sequence of times at which a timer fires."""

    def next_after(self, time_ns: Nanos) -> Nanos:
        """Return the first firing strictly after ``time_ns``."""
        ...

    def count_between(self, after: Nanos, until: Nanos) -> int:
        """Count the firings after ``after``, up to and including ``until``."""
        ...


class EverySchedule:
    """Fires every ``every_s`` seconds, aligned to the epoch: ``every_s=60`` fires at the start of every UTC minute,
    regardless of when the bot started.
    """

    __slots__ = ("period_ns",)

    def __init__(self, every_s: Number) -> None:
        try:
            exact = to_decimal(every_s, "every_s") * NS_PER_S
        except TypeError as error:
            raise ValueError(f"{error}; write every_s=60 for once a minute") from None
        if exact < NS_PER_MS or exact != int(exact):
            raise ValueError(
                f"every_s must be a number of seconds of at least 0.001, in whole nanoseconds, not {every_s!r}; "
                "write every_s=60 for once a minute"
            )
        self.period_ns: Nanos = int(exact)

    def __repr__(self) -> str:
        return f"EverySchedule({self.period_ns / NS_PER_S:g})"

    def next_after(self, time_ns: Nanos) -> Nanos:
        """Return the first firing strictly after ``time_ns``."""
        return (time_ns // self.period_ns + 1) * self.period_ns

    def count_between(self, after: Nanos, until: Nanos) -> int:
        """Count the firings after ``after``, up to and including ``until``."""
        return max(0, until // self.period_ns - after // self.period_ns)


class CronSchedule:
    """A five-field cron expression in a time zone, with the daylight-saving rules of Debian's cron.

    A fixed time that is skipped by the spring clock change fires at the change; a time that is repeated in autumn fires
    only once, at its first occurrence. Expressions whose minute or hour starts with ``*`` follow elapsed time through
    both changes.
    """

    __slots__ = ("_at", "_rings", "expression", "zone")

    def __init__(self, expression: str, zone: tzinfo = UTC) -> None:
        if not isinstance(expression, str) or len(expression.split()) != 5:
            raise ValueError(f"cron={expression!r} must have five fields, {_EXAMPLE}")
        self.expression = expression
        self.zone = zone
        self._at: Nanos | None = None  # the latest firing returned by _rings; continuing from this firing is faster
        self._rings: Iterator[datetime] = iter(())
        try:
            self.next_after(from_datetime(datetime(2000, 1, 1, tzinfo=UTC)))
        except CronSimError as error:
            field = str(error).removeprefix("Bad ")
            raise ValueError(f"cron={expression!r}: the {field} is wrong; write an expression {_EXAMPLE}") from None
        except RuntimeError as error:
            raise ValueError(f"cron={expression!r} never fires: no day matches; write one {_EXAMPLE}") from error

    def __repr__(self) -> str:
        return f"CronSchedule({self.expression!r}, {self.zone})"

    def next_after(self, time_ns: Nanos) -> Nanos:
        """Return the first firing strictly after ``time_ns``."""
        if time_ns != self._at:
            self._rings = CronSim(self.expression, to_datetime(time_ns, self.zone))
        for ring in self._rings:
            at = from_datetime(ring.astimezone(UTC))
            # if the iterator starts in the second pass through an hour that a clock change repeats, it first returns a
            # firing from the first pass
            if at > time_ns:
                self._at = at
                return at
        raise RuntimeError(f"cron={self.expression!r} does not fire after {to_datetime(time_ns, self.zone)}")

    def count_between(self, after: Nanos, until: Nanos) -> int:
        """Count the firings after ``after``, up to and including ``until``. A result of COUNT_MOST means at least that
        many.
        """
        count = 0
        at = self.next_after(after)
        while at <= until and count < COUNT_MOST:
            count += 1
            at = self.next_after(at)
        return count


def parse_schedule(every_s: Number | None = None, cron: str | None = None, zone: tzinfo | str = UTC) -> Schedule:
    """Return the schedule for ``set_timer(every_s=...)`` or ``set_timer(cron=...)``.

    ``zone`` is a tzinfo or a name such as Asia/Taipei; only cron uses it. Raises ValueError for an invalid schedule,
    with a message that explains the fix.
    """
    if (every_s is None) == (cron is None):
        said = "both" if cron is not None else "neither"
        raise ValueError(f'a timer needs either every_s=60 or cron="0 9 * * 1", but was given {said}')
    if every_s is not None:
        return EverySchedule(every_s)
    assert cron is not None
    return CronSchedule(cron, _zone(zone) if isinstance(zone, str) else zone)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name is a folder in the time zone database
        raise ValueError(f"{name!r} is not a time zone; write a name such as Asia/Taipei or UTC") from None
