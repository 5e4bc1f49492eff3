"""Decides which of the parameters that were set by hand in earlier runs (`botkit set`) still apply.

A value that was set by hand survives restarts. It ends when the configuration gives the parameter another value than
it did at that time, or when the strategy's code no longer allows it. The user is told whenever a parameter differs
from the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import tzinfo
from typing import Any

import msgspec

from botkit.engine.strategy.parameters import check_live_parameter
from botkit.engine.view_values import StrategyView
from botkit.live.journal import Journal
from botkit.live.notifications.page_feed import spelled
from botkit.model.clock import Nanos, format_time
from botkit.model.pairs import Pair

Configured = Mapping[str, Mapping[str, str]]


def configured_values(strategies: list[StrategyView]) -> Configured:
    """Return the values of all parameters as text, by strategy. Call this before any is set by hand."""
    return {
        strategy.name: {name: spelled(value) for name, value in strategy.parameters.items()} for strategy in strategies
    }


class _Origin(msgspec.Struct, frozen=True):
    """What the journal has beside the latest setting of a parameter, that of ``time``."""

    time: Nanos = 0
    #: what the configuration said at that time; unknown for settings of older versions
    configured: str | None = None
    #: True once the configuration's value applies again
    ended: bool = False


def origin(strategy: str, name: str, configured: Configured, now: Nanos) -> dict[str, bytes]:
    """Return the document to be journaled with a parameter that is set by hand."""
    return {_key(strategy, name): msgspec.json.encode(_Origin(now, configured.get(strategy, {}).get(name)))}


def _key(strategy: str, name: str) -> str:
    return f"configured:{strategy}.{name}"


def still_set(
    journal: Journal,
    strategies: list[StrategyView],
    pairs: Mapping[str, Pair],
    zone: tzinfo,
    tell: Callable[[str, str], None],
) -> Iterator[tuple[str, str, Any]]:
    """Yield (strategy, name, value) for each parameter whose value from `botkit set` still applies. Raises
    JournalError.
    """
    present, configured = {strategy.name: strategy for strategy in strategies}, configured_values(strategies)
    latest = {(strategy, name): (time, value) for time, strategy, name, value in journal.parameters()}
    for (strategy, name), (time, value) in latest.items():
        key = _key(strategy, name)
        with journal.reading(f"document {key}"):
            set_when = msgspec.convert(journal.document(key) or {}, _Origin)
        if set_when.time != time:
            set_when = _Origin(time)
        if strategy not in present or set_when.ended:
            continue
        says = configured[strategy].get(name)
        was = f"was set to {value} by hand on {format_time(time, zone)}"
        ended = {key: msgspec.json.encode(_Origin(time, ended=True))}
        try:
            checked = check_live_parameter(present[strategy].declared, strategy, name, value, pairs)
        except ValueError as error:
            now = "" if says is None else f"; it is {says}, as configured"
            tell("warning", f"{strategy}.{name} {was}, which is ignored from now on: {error}{now}")
            journal.put_meta(ended)
            continue
        if set_when.configured not in (None, says):
            tell(
                "warning",
                f"{strategy}.{name} is {says}, as the configuration now says; it {was}, when the configuration said "
                f"{set_when.configured}, and that has ended",
            )
            journal.put_meta(ended)
            continue
        if spelled(checked) != says:
            tell(
                "info",
                f"{strategy}.{name} is {spelled(checked)}, set by hand on {format_time(time, zone)}; the configuration "
                f"says {says}. `botkit set CONFIG {strategy}.{name}={says}` returns to it",
            )
        yield strategy, name, value
