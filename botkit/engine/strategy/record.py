"""The record of one strategy instance: whether it is running, its saved state and its counts. Contains data only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

from botkit.model.reasons import kind_of

#: maximum number of skip or refusal reasons that are counted separately. Further reasons are counted by kind, because a
#: reason may contain figures, and the number of different reasons is then unlimited
REASONS_MAX = 1_000
_document = json.JSONEncoder(allow_nan=False).encode
_OTHER_REASONS = "(other reasons, too many to count separately)"


class StrategyRecord:
    """One strategy instance, without references to the engine."""

    __slots__ = (
        "active",
        "best_prices",
        "fills_count",
        "last_skip",
        "name",
        "orders_count",
        "random",
        "refusals",
        "refused_count",
        "refused_this_turn",
        "skips",
        "state",
        "stopped_because",
        "timer_rings",
        "unsent_count",
    )

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.active = True
        #: the reason why the strategy was stopped early
        self.stopped_because = ""
        self.random = Random(f"{seed}:{name}")
        self.state: dict[str, Any] = {}
        self.timer_rings: dict[str, int] = {}
        #: highest price of each protected position since it was opened, by pair
        self.best_prices: dict[str, float] = {}
        self.skips: dict[str, int] = {}
        self.last_skip: dict[str, dict[str, Any]] = {}
        self.refusals: dict[str, int] = {}
        self.refused_this_turn = 0
        #: orders that the strategy asked for, without refused quotes and protective exits
        self.orders_count = 0
        #: those of ``orders_count`` that were refused at once, so neither queued nor sent
        self.refused_count = 0
        #: those of ``orders_count`` that were queued and then withheld, or of which no byte was sent
        self.unsent_count = 0
        self.fills_count = 0

    def skip(self, reason: str, values: dict[str, Any]) -> None:
        """Count a decision not to trade."""
        self.last_skip[_count(self.skips, reason)] = values

    def refused(self, reason: str) -> None:
        """Count a refused order."""
        _count(self.refusals, reason)
        self.refused_this_turn += 1

    def kept(self) -> dict[str, Any]:
        """Return the data that a restart must restore. It is JSON-compatible if the strategy's own ``state`` is."""
        return {"state": self.state, "timers": self.timer_rings, "best": self.best_prices}

    def recall(self, kept: Mapping[str, Any]) -> None:
        """Restore the result of `kept`, before ``on_start``."""
        self.state.update(kept["state"])
        self.timer_rings.update(kept["timers"])
        self.best_prices.update(kept.get("best", {}))  # older journals lack this key


def _count(counts: dict[str, int], reason: str) -> str:
    """Count a reason. Returns the name under which the reason was counted."""
    if reason not in counts and len(counts) >= REASONS_MAX:
        kind = kind_of(reason)
        reason = kind if kind in counts or len(counts) < 2 * REASONS_MAX else _OTHER_REASONS
    counts[reason] = counts.get(reason, 0) + 1
    return reason


def unkept(state: Mapping[str, Any]) -> str | None:
    """Return the reason why a strategy's ``state`` would not come back from JSON as it is, naming the key, or None if
    it would. (Tuples come back as lists.)
    """
    for key, value in state.items():
        try:
            _document({key: value})
        except (TypeError, ValueError, RecursionError) as error:
            return f"{key!r}: {error}; store only numbers, text, lists and dicts"
    return changed_key(state)


def changed_key(state: Mapping[str, Any]) -> str | None:
    """Return a sentence about a dict in ``state`` with a key that is not text, or None if there is none. JSON turns
    such a key into text, so that a strategy would not find it after a restart.
    """
    for key, value in state.items():
        if type(key) is not str:
            return f"its key {key!r} would come back as text; use {str(key)!r}"
        for inner in (value,) if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
            why = changed_key(inner) if isinstance(inner, dict) else None
            if why is not None:
                return f"{key!r}: {why}"
    return None
