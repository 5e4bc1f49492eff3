"""Builds a standalone emulator: a local BitoPro."""

from __future__ import annotations

from botkit.emulator.faults import FAULT_KINDS
from botkit.emulator.options import EmulatorOptions, check_options, emulator_options
from botkit.emulator.server import Emulator
from botkit.emulator.switches import help_lines
from botkit.exchange.bitopro.facts import BitoPro
from botkit.model.extension import ExchangeFacts

__all__ = ["FAULT_KINDS", "Emulator", "emulator_options", "help_lines", "make_emulator"]


def make_emulator(options: EmulatorOptions | None = None, facts: ExchangeFacts | None = None) -> Emulator:
    """Return a standalone emulator that has not been started; start it with ``async with make_emulator() as emulator``.
    Raises ConfigError.
    """
    options = options or EmulatorOptions()
    check_options(options)
    return Emulator(facts or BitoPro().facts({}), options)
