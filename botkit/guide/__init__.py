"""The guide: Markdown chapters to read on the web or with ``botkit guide``.

Chapters are the ``.md`` files in this folder. ``python -m botkit.guide.reference`` generates one complete chapter and
part of another.
"""

from __future__ import annotations

import difflib
from importlib import resources

from botkit.errors import ConfigError

__all__ = ["CHAPTERS", "chapter"]

#: each topic with its summary, in reading order; the text is in TOPIC.md
CHAPTERS: dict[str, str] = {
    "start": "Install, run a first backtest, write a first strategy.",
    "strategies": "Callbacks, market data, indicators, orders, quotes, exits, state and timers.",
    "backtests": "What a simulation assumes, and how to read its results.",
    "research": "Backtests from Python, figures, searches, walk-forward, and a doctor for results.",
    "data": "Record, download, import and check market data.",
    "running": "Emulator, paper and live; restarts, halts, and what can go wrong.",
    "reliability": "Guarantees about orders, the tests behind them, and what is not covered.",
    "emulator": "BitoPro on your machine: endpoints, faults, and your own tests.",
    "limits": "Rate limits, and how bots share them.",
    "plugins": "Hooks, models, and adapters for other exchanges.",
    "configuration": "Every key in a configuration file.",
    "engine": "How a turn works.",
    "contributing": "Which files to change, and in which order.",
    "changes": "What is new in each version.",
    "reference": "Every public name, from its docstring.",
}


def chapter(topic: str, language: str = "en") -> str:
    """Return the Markdown text of a chapter in the given language, or in English if it has not been translated.

    Raises ConfigError if there is no such topic.
    """
    if topic not in CHAPTERS:
        near = difflib.get_close_matches(topic.lower(), CHAPTERS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(CHAPTERS)}"
        raise ConfigError(f"the guide has no chapter {topic!r}; {hint}")
    folder = resources.files("botkit.guide")
    translated = folder.joinpath(language, f"{topic}.md")
    return (translated if translated.is_file() else folder.joinpath(f"{topic}.md")).read_text(encoding="utf-8")
