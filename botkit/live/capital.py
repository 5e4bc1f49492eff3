"""Moves unassigned money to a strategy, or a strategy's money back (``botkit capital add|take``), whether the bot is
running or stopped.

A running bot moves the money itself when it finds the command file. For a stopped bot, the books in its journal are
changed while its folder is locked. In both cases the new books and a note are written in one journal transaction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from botkit.engine.money.portfolio import Portfolio
from botkit.errors import ConfigError
from botkit.live.bot import Bot
from botkit.live.by_hand import tell_moved
from botkit.live.claims import Claims
from botkit.live.journal import Journal
from botkit.live.journal_decimals import pairs_of_journal
from botkit.live.journal_rows import JournalError
from botkit.live.persistence import without_locks
from botkit.live.state_folder import StateFolder
from botkit.model.clock import Nanos
from botkit.model.inputs import MoveCapital
from botkit.model.money import UNIT, UNIT_DECIMALS, format_units, parse_scaled
from botkit.model.orders import LIVE_STATES
from botkit.model.pairs import Pair

_AMOUNT = re.compile(r"([A-Za-z0-9]{1,20})=(.*)\Z", re.ASCII | re.DOTALL)
#: far above any real balance, yet low enough to catch a typo
_MOST_UNITS = 10**15 * UNIT


def parse_amounts(texts: Iterable[str]) -> dict[str, int]:
    """Parse amounts such as ``twd=5000`` into units by currency. Raises ConfigError with an explanation."""
    found: dict[str, int] = {}
    for text in texts:
        match = _AMOUNT.match(text)
        if match is None:
            raise ConfigError(f"{text!r}: write CURRENCY=AMOUNT, such as twd=5000")
        currency = match[1].lower()
        try:
            units = parse_scaled(match[2], UNIT_DECIMALS, f"the amount of {currency}")
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if not 0 < units <= _MOST_UNITS:
            raise ConfigError(f"the amount of {currency} is {match[2]}; it must be above 0 and a realistic amount")
        if currency in found:
            raise ConfigError(f"{currency} is given twice; name each currency once")
        found[currency] = units
    if not found:
        raise ConfigError("no amount was given; write CURRENCY=AMOUNT, such as twd=5000")
    return found


def parse_cost(text: str) -> int:
    """Parse the cost of one coin into units of quote currency. Raises ConfigError with an explanation."""
    try:
        cost_e8 = parse_scaled(text, UNIT_DECIMALS, "the cost")
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if not 0 < cost_e8 <= _MOST_UNITS:
        raise ConfigError(f"the cost is {text}; it must be the price of one coin, above 0")
    return cost_e8


def move(
    bot: Bot,
    target: str,
    units_by_currency: Mapping[str, Any],
    cost_e8: int | None = None,
    *,
    place: str = "the command line",
) -> str:
    """Move capital in a running bot and return a sentence for the user. Negative amounts are taken from the strategy.

    ``cost_e8`` is the cost of each added coin, in units of quote currency. None means the last price. Raises ValueError
    if the move is not possible, and JournalError if it cannot be journaled. In both cases nothing is moved.
    """
    units = {str(currency): change for currency, change in units_by_currency.items()}
    if not units or not all(type(change) is int and change for change in units.values()):
        raise ValueError(f"{dict(units_by_currency)!r} must be whole amounts")
    if cost_e8 is not None and (type(cost_e8) is not int or cost_e8 <= 0):
        raise ValueError(f"{cost_e8!r} is not a cost")
    if bot.claims is None:
        return _move(bot, target, units, cost_e8, place)
    money = bot.view.money
    with bot.claims.adding(units, {currency: money.free_units(currency) for currency in units}) as refusal:
        if refusal is not None:
            raise ValueError(refusal)
        told = _move(bot, target, units, cost_e8, place)
        bot.keep_claim()
    return told


def _move(bot: Bot, target: str, units: Mapping[str, int], cost_e8: int | None, place: str) -> str:
    money = bot.view.money
    before, given = money.equity(), money.capital_given(target)
    reply = bot.say(MoveCapital(target, units, cost_e8))
    if reply.refusal is not None:
        raise ValueError(reply.refusal)
    after, now = money.equity(), bot.driver.now()
    try:
        bot.persistence.commit((), now, notes=[("capital", _note(target, units, cost_e8), now)])
    except JournalError:
        bot.say(MoveCapital(target, {currency: -change for currency, change in units.items()}))
        raise
    if bot.opening_equity is not None and before is not None and after is not None:
        bot.opening_equity += after - before  # profit is measured against the capital, so both are updated
    moved = " and ".join(_changes(units, cost_e8))
    tell_moved(bot, target, moved, (given, money.capital_given(target)), place)
    return _told(money.capital_given(target), target, units)


def kept_positions(folder: StateFolder) -> dict[str, list[str]]:
    """Return, for each strategy, the pairs in which a stopped bot's books contain positions. Raises JournalError."""
    journal = Journal.open(folder.journal, read_only=True)
    try:
        with journal.reading("document portfolio"):
            positions = (journal.document("portfolio") or {}).get("positions", {})
            return {name: list(pairs) for name, pairs in positions.items()}
    finally:
        journal.close()


def move_stopped(
    folder: StateFolder,
    portfolio: Portfolio,
    pairs: Mapping[str, Pair],
    target: str,
    units_by_currency: Mapping[str, int],
    now: Nanos,
    cost_e8: int | None = None,
) -> str:
    """Move capital in a stopped bot's books and return a sentence for the user.

    ``portfolio`` is built in the same way as for a running bot. Raises ConfigError if the move is not possible. Also
    raises AlreadyRunning and JournalError.
    """
    folder.lock()
    try:
        journal = Journal.open(folder.journal, disk=folder.disk)
        try:
            if journal.damage is not None:
                raise JournalError(f"{journal.damage}; start the bot, which will halt, and check its records first")
            document = journal.document("portfolio")
            if document is None:
                raise ConfigError(
                    "this bot has not traded yet, so no capital is allocated yet; change its `capital:` instead"
                )
            with journal.reading("document portfolio"):
                portfolio.restore(without_locks(document), starting=False)
            refusal = _lock_what_stands(portfolio, journal, pairs, target)
            refusal = refusal or portfolio.transfers.refusal(target, units_by_currency)
            if refusal is None and cost_e8 is not None:
                refusal = portfolio.transfers.wrong_cost(target, units_by_currency)
            free = {currency: portfolio.ownership.free_units(currency) for currency in units_by_currency}
            with Claims(folder).adding(units_by_currency, free) as others:
                if refusal or others:
                    raise ConfigError(refusal or str(others))
                portfolio.transfers.move(target, units_by_currency, cost_e8)
                text = json.dumps(without_locks(portfolio.state()), separators=(",", ":"), allow_nan=False).encode()
                note = ("capital", _note(target, units_by_currency, cost_e8), now)
                journal.commit(states=[("portfolio", text)], notes=[note])
        finally:
            journal.close()
    finally:
        folder.unlock()
    return _told(portfolio.capital.given.get(target, {}), target, units_by_currency)


def _lock_what_stands(portfolio: Portfolio, journal: Journal, pairs: Mapping[str, Pair], target: str) -> str | None:
    """Lock the money of every order that is, or may be, at the exchange. The books are saved without locks, so without
    this step that money would appear to be missing at the next start.
    """
    for order in journal.orders(pairs_of_journal(journal, pairs)):
        if order.state not in LIVE_STATES:
            continue
        if order.strategy in portfolio.strategies:
            portfolio.relock(order)
        elif order.strategy == target:
            return (
                f"{target} is no longer in the configuration, but its orders may still be open; start the bot once "
                "with --cancel to cancel them, or with --adopt to leave them open"
            )
    return None


def _note(target: str, units: Mapping[str, int], cost_e8: int | None) -> str:
    figures = [f"{c} {'+' if change > 0 else ''}{format_units(change)}" for c, change in units.items()]
    return " ".join([target, *figures, *([] if cost_e8 is None else [f"at {format_units(cost_e8)}"])])


def _changes(units: Mapping[str, int], cost_e8: int | None) -> list[str]:
    cost = "" if cost_e8 is None else f" at {format_units(cost_e8)}"
    return [f"{'+' if change > 0 else ''}{format_units(change)} {c}{cost}" for c, change in units.items()]


def _told(given: Mapping[str, int], target: str, units: Mapping[str, int]) -> str:
    parts = []
    for verb, sign in (("was given", 1), ("gave back", -1)):
        figures = " and ".join(f"{format_units(abs(change))} {c}" for c, change in units.items() if change * sign > 0)
        if figures:
            parts.append(f"{verb} {figures}")
    total = {currency: units_given for currency, units_given in given.items() if units_given}
    text = f"{target} {' and '.join(parts)}"
    if total and min(total.values()) > 0:
        figures = ", ".join(f'{currency}: "{format_units(have)}"' for currency, have in total.items())
        text += f"; its `capital:` may stay unchanged, or become {{{figures}}}"
    return text
