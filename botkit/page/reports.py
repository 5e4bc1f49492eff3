"""Finished backtests and their reports.

A report is HTML read from disk, so it is served as untrusted content. Its policy puts it in a sandbox without an
origin, in which it can run its script but can neither access the page nor load anything.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from pathlib import Path
from typing import Any

from botkit.backtesting.kept_runs import kept_runs

REPORT = "report.html"
POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_RUNS_MAX = 200
_TICKET_S = 60.0
_TICKETS_MAX = 100
_BYTES_MAX = 64 << 20


class Reports:
    """The backtests below a folder. Each ticket opens one report, once. Tickets are needed because a frame cannot send
    the token in a header.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._tickets: dict[str, tuple[Path, float]] = {}
        self._found: dict[str, Path] = {}

    def all(self) -> list[dict[str, Any]]:
        """Return the latest backtests with their metrics, newest first."""
        rows: list[dict[str, Any]] = []
        self._found.clear()
        for run in kept_runs(self._out):
            path = self._inside(run.folder / REPORT)
            if path is None:
                continue
            run_id = f"{run.folder.parent.name}/{run.number}"
            self._found[run_id] = path
            rows.append(
                {
                    "id": run_id,
                    "name": run.name,
                    "finished": int(path.stat().st_mtime),
                    **{key: run.summary.get(key) for key in ("start_ns", "end_ns", "return", "max_drawdown", "fills")},
                }
            )
        rows.sort(key=lambda row: -row["finished"])
        return rows[:_RUNS_MAX]

    def ticket(self, run_id: object) -> str | None:
        """Return a ticket for a run's report, or None if there is no such run. The ticket can be used once, within one
        minute.
        """
        if not isinstance(run_id, str):
            return None
        if run_id not in self._found:
            self.all()
        path = self._found.get(run_id)
        if path is None:
            return None
        now = time.monotonic()
        self._tickets = {ticket: kept for ticket, kept in self._tickets.items() if kept[1] > now}
        while len(self._tickets) >= _TICKETS_MAX:
            del self._tickets[next(iter(self._tickets))]
        ticket = secrets.token_urlsafe(32)
        self._tickets[ticket] = (path, now + _TICKET_S)
        return ticket

    def take(self, ticket: str) -> bytes | None:
        """Return the report for a ticket and invalidate the ticket. Return None if the ticket is not valid."""
        path, until = self._tickets.pop(ticket, (None, 0.0))
        if path is None or until < time.monotonic() or self._inside(path) is None:
            return None
        with contextlib.suppress(OSError):
            return path.read_bytes()
        return None

    def _inside(self, path: Path) -> Path | None:
        """Return the path if it is a file inside the folder, not a link to a file elsewhere. Otherwise return None."""
        with contextlib.suppress(OSError):
            found = path.resolve(strict=True)
            if found.is_relative_to(self._out.resolve()) and found.is_file() and found.stat().st_size <= _BYTES_MAX:
                return found
        return None
