"""The guide: Markdown chapters, read on the web or with ``botkit guide``.

Chapters are the ``.md`` files beside this one. Two of them are generated, wholly or in part, by
``python -m botkit.guide.reference``.
"""

from __future__ import annotations

import difflib
from importlib import resources

from botkit.errors import ConfigError

__all__ = ["CHAPTERS", "chapter"]

#: topic -> what it is about, in reading order; the text is in TOPIC.md
CHAPTERS: dict[str, str] = {
    "start": "Install, run a first backtest, write a first strategy.",
    "strategies": "Callbacks, market data, indicators, orders, quotes, exits, state and timers.",
    "backtests": "What a simulation assumes, and how to read its result.",
    "data": "Record, download, import and check market data.",
    "running": "Emulator, paper and live; restarts, halts, and what can happen.",
    "emulator": "BitoPro on your machine: endpoints, faults, and your own tests.",
    "limits": "Rate limits, and how bots share them.",
    "plugins": "Hooks, models, and an adapter for another exchange.",
    "configuration": "Every key of a configuration file.",
    "engine": "How a turn works.",
    "contributing": "Which files to change, in which order.",
    "changes": "What is new in each version.",
    "reference": "Every public name, from its docstring.",
}


def chapter(topic: str) -> str:
    """The Markdown text of a chapter. Raises ConfigError for a topic that does not exist."""
    if topic not in CHAPTERS:
        near = difflib.get_close_matches(topic.lower(), CHAPTERS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(CHAPTERS)}"
        raise ConfigError(f"the guide has no chapter {topic!r}; {hint}")
    return resources.files("botkit.guide").joinpath(f"{topic}.md").read_text(encoding="utf-8")
