"""Wires the emulator: the facts of BitoPro, and options from texts as on a command line or in a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from botkit.config.secrets import check_private
from botkit.emulator.faults import GLOBAL_KINDS, HANDSHAKE_KINDS, PING_KINDS, REQUEST_KINDS, STREAM_KINDS
from botkit.emulator.options import EmulatorOptions, check_options, parse_account, parse_balances, read_accounts
from botkit.emulator.server import Emulator
from botkit.emulator.switches import choose, help_lines
from botkit.exchange.bitopro.facts import BitoPro
from botkit.model.extension import ExchangeFacts

__all__ = ["FAULT_KINDS", "Emulator", "emulator_options", "help_lines", "make_emulator"]

#: place -> kind of fault -> what it does
FAULT_KINDS: dict[str, dict[str, str]] = {
    "requests": REQUEST_KINDS,
    "sockets": STREAM_KINDS | PING_KINDS | HANDSHAKE_KINDS,
    "the whole exchange": GLOBAL_KINDS,
}


def make_emulator(options: EmulatorOptions | None = None, facts: ExchangeFacts | None = None) -> Emulator:
    """BitoPro on this machine, not yet started: ``async with make_emulator() as emulator``. Raises ConfigError."""
    options = options or EmulatorOptions()
    check_options(options)
    return Emulator(facts or BitoPro().facts({}), options)


def emulator_options(
    *,
    accounts: Sequence[str] = (),
    accounts_file: Path | None = None,
    balance: str | None = None,
    switches: Sequence[str] | Mapping[str, str] = (),
    as_set: str | None = None,
    **more: Any,
) -> EmulatorOptions:
    """Options from texts: ``EMAIL:KEY:SECRET``, ``twd=1000,btc=1``, ``name=value``; ``more`` are other fields.

    ``accounts_file`` holds more accounts, a line each, and must be readable by its owner alone.

    Raises ConfigError.
    """
    known = [parse_account(text) for text in accounts]
    if accounts_file is not None:
        check_private(accounts_file, "--accounts", holds="lines EMAIL:KEY:SECRET")
        known += read_accounts(accounts_file)
    return EmulatorOptions(
        accounts=tuple(known),
        balances=None if balance is None else parse_balances(balance),
        switches=choose(switches, as_set),
        **more,
    )
