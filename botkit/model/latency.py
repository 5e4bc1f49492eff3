"""A run's latency file. A running bot writes the file to the run's folder, and a backtest reads it.

The file is a single JSON object. A distribution is a list of `STEPS` + 1 evenly spaced quantiles in microseconds, from
the shortest to the longest. The list is empty if there were no measurements. ``order_us`` and ``round_trip_us`` have a
distribution for each of `REQUESTS`, ``answer_us`` has a distribution for each of `NEWS`, and ``feed_us`` is a single
distribution.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TypeAlias

import msgspec

__all__ = [
    "CANCEL",
    "CREATE",
    "FILL",
    "FORMAT",
    "LATENCIES",
    "NEWS",
    "REQUESTS",
    "STEPS",
    "MeasuredLatencies",
    "Quantiles",
    "kind_of",
]

#: the file's name in a run's folder
LATENCIES = "latency.json"
FORMAT = 1
#: the number of steps in a distribution
STEPS = 1000
#: the kinds of requests to distinguish; single requests and batches are the same kind
CREATE = "create"
CANCEL = "cancel"
REQUESTS = (CREATE, CANCEL)
#: the kinds of news that a bot receives: an order was accepted, cancelled, or filled by other traders
FILL = "fill"
NEWS = (CREATE, CANCEL, FILL)

Quantiles: TypeAlias = tuple[int, ...]


def kind_of(endpoint: str) -> str:
    """Return the kind of a request to an endpoint. Requests other than cancels are treated as creates."""
    return CANCEL if endpoint.startswith("cancel_") else CREATE


class MeasuredLatencies(msgspec.Struct, frozen=True, kw_only=True):
    """The latencies measured in a run. ``is_stamped`` is True if the exchange's timestamps allow order latencies and
    response latencies to be measured separately.
    """

    format: int
    bot: str
    mode: str
    speed: float = 1.0
    is_stamped: bool
    exchange_ahead_us: int = 0
    order_us: dict[str, Quantiles]
    answer_us: dict[str, Quantiles]
    feed_us: Quantiles
    round_trip_us: dict[str, Quantiles]
    #: the number of measurements, by distribution and kind
    counts: dict[str, dict[str, int]]

    @classmethod
    def read(cls, path: Path) -> MeasuredLatencies:
        """Read a latency file, given its path, the run's folder, or a bot's state folder. In a state folder, the newest
        run with measurements is read.

        Raises ValueError with a message for the user.
        """
        file = _file(path)
        try:
            found = msgspec.json.decode(file.read_bytes(), type=cls)
        except OSError as error:
            raise ValueError(f"{file} cannot be read: {error.strerror}") from None
        except msgspec.DecodeError as error:
            raise ValueError(f"{file} is not a latency file: {error}") from None
        if found.format != FORMAT:
            raise ValueError(
                f"{file} has format {found.format}, written by another version of botkit; measure again with this one"
            )
        for us in (*found.order_us.values(), *found.answer_us.values(), found.feed_us):
            if us and (len(us) != STEPS + 1 or any(first > second for first, second in itertools.pairwise(us))):
                raise ValueError(f"{file} is damaged: a distribution must be {STEPS + 1} durations in ascending order")
        if not any(found.order_us.values()) or not any(found.answer_us.values()):
            raise ValueError(
                f"{file}: the exchange answered no orders in that run, so it has no measurements; use a run that traded"
            )
        return found


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    if (path / LATENCIES).exists():
        return path / LATENCIES
    found = [file for file in path.glob(f"runs/*/{LATENCIES}") if file.parent.name.isdigit()]
    if found:
        return max(found, key=lambda file: int(file.parent.name))
    raise ValueError(
        f"{path} contains no {LATENCIES}; give the folder of a run that has traded, such as runs/12 in the state "
        f"folder "
        f"that `botkit run` prints"
    )
