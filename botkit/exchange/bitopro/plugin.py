"""Registers the BitoPro exchange and the format of its recorded frames."""

from __future__ import annotations

from collections.abc import Callable

from botkit.exchange.bitopro.capture import BitoProFrames
from botkit.exchange.bitopro.facts import BitoPro
from botkit.model.extension import Exchange, TapeFormat, hookimpl


@hookimpl
def botkit_register_exchanges(register: Callable[[str, Exchange], None]) -> None:
    """Register the exchange as ``bitopro``."""
    register("bitopro", BitoPro())


@hookimpl
def botkit_register_tape_formats(register: Callable[[str, TapeFormat], None]) -> None:
    """Register the format of recorded frames as ``frames``."""
    register("frames", BitoProFrames())
