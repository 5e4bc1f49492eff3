"""What a turn brought about, for the user."""

from __future__ import annotations

from collections.abc import Iterable

from botkit.engine.outcome import StrategyFailure
from botkit.live.notices import Notices


def tell_failures(failures: Iterable[StrategyFailure], notices: Notices) -> list[str]:
    """Say which strategies were stopped by an exception, with their traceback; returns a sentence for each."""
    sentences = []
    for failure in failures:
        text = f"{failure.error} in {failure.callback} at {failure.where}\n{failure.text.rstrip()}"
        if failure.is_config:  # the user's own settings: a traceback explains nothing
            text = failure.error.partition(": ")[2]
        notices.tell("error", f"strategy {failure.strategy!r} was stopped: {text}")
        sentences.append(f"strategy {failure.strategy!r} cannot start: {text}")
    return sentences
