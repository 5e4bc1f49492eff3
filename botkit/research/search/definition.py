"""Everything that determines a search's trials. Only a search with the same definition can be continued."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from botkit.errors import DataError
from botkit.model.clock import Nanos
from botkit.research.search.asked import Asked, SearchSettings
from botkit.research.search.noting import NotedLooks
from botkit.research.search.study import BATCH
from botkit.tape.feed import Feed
from botkit.version import __version__

__all__ = ["data_hash", "definition_of"]


def definition_of(
    settings: SearchSettings, wanted: Asked, looks: NotedLooks, feed: Feed, span: tuple[Nanos, Nanos]
) -> dict[str, Any]:
    """Return the definition of a search over ``span`` of a feed. Raises DataError if the data cannot be read."""
    start, end = span
    return {
        "botkit": __version__,
        "code": looks.code,
        "config": looks.config,
        "data": data_hash(feed),
        "seed": wanted.seed,
        "params": list(settings.params),
        "where": settings.where,
        "objective": settings.objective,
        "sampler": settings.sampler,
        "batch": BATCH,
        "min_trades": settings.min_trades,
        "prune": settings.prune,
        "start_ns": start,
        "end_ns": end,
        # the parameters that are not searched, such as "sma.fast"
        **{name: str(value) for name, value in wanted.fixed.items()},
    }


def data_hash(feed: Feed) -> str:
    """Return a short hash of the names and contents of all files behind a feed. Reading their rows costs more. Raises
    DataError if a file cannot be read.
    """
    digest = hashlib.sha256()
    for source in feed.sources:
        if not source.path:
            continue  # rows given in Python
        place = Path(source.path)
        files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
        for file in files:
            digest.update(f"{file.relative_to(place).as_posix()}\0".encode())
            try:
                with file.open("rb") as content:
                    digest.update(hashlib.file_digest(content, "sha256").digest())
            except OSError as error:
                raise DataError(f"{file}: cannot be read ({error.strerror})") from None
    return digest.hexdigest()[:16]
