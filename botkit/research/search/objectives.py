"""The objective that a search maximizes: a metric of the summary, or the user's own function."""

from __future__ import annotations

import difflib
import importlib
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from botkit.errors import ConfigError

__all__ = ["FIGURES", "Objective"]

#: the metrics that a search can optimize: 1 if higher is better, -1 if lower is better
FIGURES: dict[str, int] = {
    "sharpe": 1,
    "sortino": 1,
    "calmar": 1,
    "return": 1,
    "pnl": 1,
    "final_equity": 1,
    "profit_factor": 1,
    "expectancy": 1,
    "win_rate": 1,
    "max_drawdown": -1,
    "volatility": -1,
}

#: ratios to what was lost, which have no value if nothing was: why, and a figure that a trial with enough data has
_NOTHING_LOST = {
    "profit_factor": ("no trade lost", "win_rate"),
    "sortino": ("no day lost", "cagr"),
    "calmar": ("equity never fell", "cagr"),
}


class Objective:
    """Computes the objective of a trial from its summary."""

    def __init__(self, text: str, function: Callable[[dict[str, Any]], Any] | None = None) -> None:
        """Create an objective. ``text`` is one of `FIGURES`, ``module:function``, or the name of ``function``.

        A function takes the summary as a dict and returns a number, or None if the objective is undefined. Raises
        ConfigError.
        """
        self.text = text
        self._function = _function(text) if function is None and ":" in text else function
        if self._function is None and text not in FIGURES:
            close = difflib.get_close_matches(text, FIGURES, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(
                f"--objective {text}: there is no such figure{hint}; choose {', '.join(FIGURES)}, or write "
                "module:function"
            )

    def figure(self, summary: Mapping[str, Any]) -> float | None:
        """Return the objective with its usual sign (a drawdown is positive), or None if it is undefined."""
        if self._function is None:
            value = summary.get(self.text)
        else:
            try:
                value = self._function(dict(summary))
            except Exception as error:
                raise ConfigError(f"--objective {self.text}: it raised {type(error).__name__}: {error}") from error
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"--objective {self.text}: it returned {value!r}, which is not a number")
        return float(value) if math.isfinite(value) else None

    def nothing_lost(self, summary: Mapping[str, Any]) -> str | None:
        """Return why the objective has no value if it is a ratio to losses and the trial had none. Otherwise None."""
        why, given = _NOTHING_LOST.get(self.text, ("", ""))
        return why if why and summary.get(self.text) is None and summary.get(given) is not None else None

    def rank(self, figure: float | None) -> float | None:
        """Return ``figure`` with its sign changed if lower values are better."""
        if figure is None:
            return None
        return figure * FIGURES.get(self.text, 1)


def _function(text: str) -> Callable[[dict[str, Any]], Any]:
    module_name, _, name = text.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # also import from the current folder, like `python -m`
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"--objective {text}: the module {module_name!r} cannot be imported: {error}") from None
    except Exception as error:
        raise ConfigError(f"--objective {text}: importing {module_name!r} raised {error!r}") from error
    function = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(
            f"--objective {text}: {module_name} has no function {name!r}; it has {', '.join(known) or 'none'}"
        )
    return function  # type: ignore[no-any-return]
