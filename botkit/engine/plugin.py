"""The engine's own plugin, which registers the built-in risk rules in the same way as any other plugin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botkit.engine.risk.rules import BUILT_IN
from botkit.model.extension import RiskRule, hookimpl


@hookimpl
def botkit_register_risk_rules(register: Callable[[str, Callable[[Any], RiskRule]], None]) -> None:
    """Register the built-in rules."""
    for name, rule in BUILT_IN.items():
        register(name, rule)
