"""Reports strategies that failed in a turn."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from botkit.engine.outcome_parts import StrategyFailure
from botkit.live.notices import Notices

log = logging.getLogger("botkit.live")


def tell_failures(failures: Iterable[StrategyFailure], notices: Notices) -> list[str]:
    """Report strategies that were stopped by an exception, with their tracebacks. Return a sentence for each."""
    sentences = []
    for failure in failures:
        text = f"{failure.error} in {failure.callback} at {failure.where}\n{failure.text.rstrip()}"
        if failure.is_config:  # the user's settings are wrong, so a traceback does not help
            text = failure.error.partition(": ")[2]
        elif failure.is_argument:
            log.info("%s", text)  # the log keeps the traceback
            text = f"{failure.where}: {failure.error.partition(': ')[2]}"
        notices.tell("error", f"strategy {failure.strategy!r} was stopped: {text}")
        sentences.append(f"strategy {failure.strategy!r} cannot start: {text}")
    return sentences
