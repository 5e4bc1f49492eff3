"""Operations on running bots for the command line, gathered from `botkit.live` and the wiring in this package."""

from __future__ import annotations

from botkit.assembly.account import account_access, named_account
from botkit.live.account import account_lines, read_account
from botkit.live.capital import kept_positions, move_stopped, parse_amounts, parse_cost
from botkit.live.commands import ask
from botkit.live.journal import Journal
from botkit.live.journal_decimals import pairs_of_journal
from botkit.live.journal_rows import JournalError
from botkit.live.latch import lift
from botkit.live.limits.sharing import ledger_usage
from botkit.live.machine import this_machine
from botkit.live.notifications.status_text import (
    reasons_of,
    standstills_of,
    status_lines,
    status_of,
    stopped_of,
    why_lines,
)
from botkit.live.notifications.summary import summary_lines
from botkit.live.panic import OwnOrders, hold_back, outcome_of, own_orders, panic
from botkit.live.state_folder import StateFolder, state_root

__all__ = [
    "Journal",
    "JournalError",
    "OwnOrders",
    "StateFolder",
    "account_access",
    "account_lines",
    "ask",
    "hold_back",
    "kept_positions",
    "ledger_usage",
    "lift",
    "move_stopped",
    "named_account",
    "outcome_of",
    "own_orders",
    "pairs_of_journal",
    "panic",
    "parse_amounts",
    "parse_cost",
    "read_account",
    "reasons_of",
    "standstills_of",
    "state_root",
    "status_lines",
    "status_of",
    "stopped_of",
    "summary_lines",
    "this_machine",
    "why_lines",
]
