"""The ledger of looks, which records every combination that has been tried on a market's data.

The best of a thousand trials looks good on any market, so judging a result requires the number of trials behind it. A
look is a distinct combination of code, configuration (without its seed) and parameters, with its daily returns. It is
one look in however many spans it has been tried: over a longer tape, over the part before it was pruned, or in several
windows of a walk-forward. The best is chosen among configurations, and the same configuration on more days is not one
more to choose from. A look counts whenever the same strategy is judged on the same pairs over a span that overlaps the
look's span. New code adds looks and never removes any. Runs in tests and under other queue assumptions do not count.

Each user has one SQLite file, stored next to the bots' state. It contains no account data.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from botkit.errors import BotkitError
from botkit.model.clock import Nanos

__all__ = ["Look", "LookLedger", "LooksError", "Market", "content_hash", "is_test_running"]

FILE = "looks.sqlite"
_VERSION = 1
_PATIENCE_S = 30.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS looks (
    strategy TEXT NOT NULL, pairs TEXT NOT NULL, is_synthetic INTEGER NOT NULL,
    code TEXT NOT NULL, config TEXT NOT NULL, params TEXT NOT NULL,
    start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
    noted_ns INTEGER NOT NULL, command TEXT NOT NULL,
    first_day INTEGER NOT NULL, returns BLOB NOT NULL, trades INTEGER NOT NULL,
    PRIMARY KEY (strategy, pairs, is_synthetic, code, config, params, start_ns, end_ns)
) WITHOUT ROWID
"""


class LooksError(BotkitError):
    """Raised when the ledger of looks cannot be read or written. The run continues without the ledger and reports the
    error.
    """


class Market(msgspec.Struct, frozen=True):
    """The market to which a look applies: the strategy's registered name, its pairs, and whether the tape is
    synthetic.
    """

    strategy: str
    pairs: tuple[str, ...]
    is_synthetic: bool

    @classmethod
    def of(cls, strategies: Sequence[str], pairs: Sequence[str], *, is_synthetic: bool) -> Market:
        """Return the market of a run. The order of names does not matter."""
        return cls("+".join(sorted(set(strategies))), tuple(sorted(set(pairs))), is_synthetic)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """A combination of code, configuration and parameters that has been tried.

    ``code`` and ``config`` are hashes; ``params`` maps ``sma.fast`` to its value. ``returns`` are daily returns as
    fractions, starting on calendar day ``first_day`` (days since 1970-01-01 in UTC). A day without a return is NaN.
    """

    code: str
    config: str
    params: Mapping[str, Any]
    start: Nanos
    end: Nanos
    noted: Nanos
    command: str
    first_day: int
    returns: tuple[float, ...]
    trades: int


class LookLedger:
    """The current user's ledger of looks. Several processes may use the ledger at the same time."""

    def __init__(self, folder: Path) -> None:
        """Prepare the ledger in ``folder``, the state folder shared by all bots. No file is created until a look is
        recorded.
        """
        self.path = folder / FILE

    def note(self, market: Market, looks: Sequence[Look]) -> int:
        """Record looks and return the number of new ones. Raises LooksError."""
        if not looks:
            return 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LooksError(f"{self.path}: cannot be written ({error.strerror})") from None
        with self._open() as db:
            before = self._count(db)
            db.executemany(
                "INSERT OR REPLACE INTO looks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(*_key(market), *_row(look)) for look in looks],
            )
            db.commit()
            return self._count(db) - before

    def looks(self, market: Market, start: Nanos, end: Nanos) -> list[Look]:
        """Return the looks whose span overlaps [start, end), oldest first. Raises LooksError."""
        if not self.path.exists():
            return []
        with self._open() as db:
            rows = db.execute(
                "SELECT code, config, params, start_ns, end_ns, noted_ns, command, first_day, returns, trades "
                "FROM looks WHERE strategy = ? AND pairs = ? AND is_synthetic = ? AND start_ns < ? AND end_ns > ? "
                "ORDER BY noted_ns, params",
                (*_key(market), end, start),
            ).fetchall()
        return [_look(row) for row in rows]

    def markets(self) -> list[tuple[Market, int, Nanos, Nanos]]:
        """Return (market, number of looks, earliest start, latest end) for each market in the ledger. Raises
        LooksError.
        """
        if not self.path.exists():
            return []
        with self._open() as db:
            rows = db.execute(
                "SELECT strategy, pairs, is_synthetic, COUNT(DISTINCT code || config || params), MIN(start_ns), "
                "MAX(end_ns) FROM looks GROUP BY strategy, pairs, is_synthetic ORDER BY strategy, pairs"
            ).fetchall()
        return [
            (Market(strategy, tuple(json.loads(pairs)), bool(is_synthetic)), count, start, end)
            for strategy, pairs, is_synthetic, count, start, end in rows
        ]

    @staticmethod
    def _count(db: sqlite3.Connection) -> int:
        return int(db.execute("SELECT COUNT(*) FROM looks").fetchone()[0])

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=_PATIENCE_S)) as db:
                version = db.execute("PRAGMA user_version").fetchone()[0]
                if version > _VERSION:
                    raise LooksError(
                        f"{self.path}: written by a newer botkit; upgrade botkit, or move the file elsewhere"
                    )
                if version == 0:
                    db.execute(_SCHEMA)
                    db.execute(f"PRAGMA user_version = {_VERSION}")
                    db.commit()
                yield db
        except sqlite3.Error as error:
            raise LooksError(f"{self.path}: the ledger of looks cannot be used ({error}); move it elsewhere") from None


def distinct(looks: Sequence[Look]) -> list[Look]:
    """Return one look for each combination of code, configuration and parameters. It has the returns of all days on
    which the combination has been tried. A day in several spans has the return of the longest of them.
    """
    alike: dict[tuple[str, str, str], list[Look]] = {}
    for look in looks:
        alike.setdefault((look.code, look.config, _params(look.params)), []).append(look)
    return [_joined(spans) if len(spans) > 1 else spans[0] for spans in alike.values()]


def _joined(spans: Sequence[Look]) -> Look:
    by_length = sorted(spans, key=lambda look: look.start - look.end)  # the longest first, then the oldest
    known = [look for look in by_length if look.returns] or by_length
    first = min(look.first_day for look in known)
    returns = np.full(max(look.first_day + len(look.returns) for look in known) - first, np.nan)
    for look in known:
        days = returns[look.first_day - first :][: len(look.returns)]
        days[:] = np.where(np.isnan(days), look.returns, days)
    return msgspec.structs.replace(
        by_length[0],
        start=min(look.start for look in spans),
        end=max(look.end for look in spans),
        first_day=first,
        returns=tuple(returns.tolist()),
    )


def returns_matrix(looks: Sequence[Look], first_day: int, days: int) -> npt.NDArray[np.float64]:
    """Return an array of shape (days, looks) with daily returns, starting on ``first_day``. Returns are 0 on days
    outside a look's span.
    """
    matrix = np.zeros((days, len(looks)))
    for column, look in enumerate(looks):
        begin = max(first_day, look.first_day)
        end = min(first_day + days, look.first_day + len(look.returns))
        if begin < end:
            own = np.asarray(look.returns[begin - look.first_day : end - look.first_day])
            matrix[begin - first_day : end - first_day, column] = np.nan_to_num(own)
    return matrix


def content_hash(value: Any) -> str:
    """Return a short hash of plain data. The hash is identical on every machine."""
    text = json.dumps(value, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_test_running() -> bool:
    """Return True inside a pytest test, because runs in tests do not count as looks."""
    return "PYTEST_CURRENT_TEST" in os.environ


def _key(market: Market) -> tuple[str, str, int]:
    return market.strategy, json.dumps(list(market.pairs)), int(market.is_synthetic)


def _params(params: Mapping[str, Any]) -> str:
    return json.dumps(dict(params), sort_keys=True, default=str)


def _row(look: Look) -> tuple[Any, ...]:
    returns = np.asarray(look.returns, dtype="<f8").tobytes()
    return (
        *(look.code, look.config, _params(look.params), look.start, look.end),
        *(look.noted, look.command, look.first_day, returns, look.trades),
    )


def _look(row: Sequence[Any]) -> Look:
    code, config, params, start, end, noted, command, first_day, returns, trades = row
    return Look(
        code=code,
        config=config,
        params=json.loads(params),
        start=start,
        end=end,
        noted=noted,
        command=command,
        first_day=first_day,
        returns=tuple(np.frombuffer(returns, dtype="<f8").tolist()),
        trades=trades,
    )
