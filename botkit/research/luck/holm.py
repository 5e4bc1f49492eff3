"""Holm's step-down (1979): which of several tests on the same data hold together."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["holm"]


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return the adjusted p-values under the same names: at most ``a`` means that the test holds at ``a``."""
    adjusted: dict[str, float] = {}
    running = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        running = max(running, min(1.0, p * (len(p_values) - rank)))
        adjusted[name] = running
    return {name: adjusted[name] for name in p_values}
