"""Registers the built-in data formats."""

from __future__ import annotations

from collections.abc import Callable

from botkit.model.extension import TapeFormat, hookimpl
from botkit.tape.formats import CandleCsv, TradeCsv


@hookimpl
def botkit_register_tape_formats(register: Callable[[str, TapeFormat], None]) -> None:
    """Register ``candles`` and ``trades``, which read CSV files."""
    register("candles", CandleCsv())
    register("trades", TradeCsv())
