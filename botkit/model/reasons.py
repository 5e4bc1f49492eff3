"""Groups the reasons why strategies did not trade. Reasons that differ only in their numbers are grouped together."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["FIGURE", "grouped", "kind_of"]

#: a standalone number: 12.5, -3, 1,000,000 or 0.05%; not the 5 in "5m" or "sma_5"
_FIGURE = re.compile(r"(?<![\w.])[-+\u2212]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.]*\w)")
#: replaces each number in a reason, to form the reason's kind
FIGURE = "…"


def kind_of(reason: str) -> str:
    """Return the reason with every number replaced by ``…``."""
    return _FIGURE.sub(FIGURE, reason)


def grouped(counts: Mapping[str, int]) -> dict[str, int]:
    """Group counts by kind, most frequent first. If all reasons of a kind are identical, the numbers in the reason are
    kept.
    """
    kinds: dict[str, int] = {}
    wordings: dict[str, list[str]] = {}
    for reason, count in counts.items():
        kind = kind_of(reason)
        kinds[kind] = kinds.get(kind, 0) + count
        wordings.setdefault(kind, []).append(reason)
    named = {wordings[kind][0] if len(wordings[kind]) == 1 else kind: count for kind, count in kinds.items()}
    return dict(sorted(named.items(), key=lambda item: -item[1]))
