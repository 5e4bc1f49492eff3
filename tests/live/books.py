"""Compares the records of the exchange and the bot at a single point in time."""

from __future__ import annotations

import collections
from typing import Any

from botkit.emulator import DEFAULT_ACCOUNT, Emulator
from botkit.live.bot import Bot
from botkit.model.orders import FINAL_STATES, RESTING_STATES
from tests.live.world import until


def exchange_rows(emulator: Emulator) -> list[Any]:
    """Return every order that the exchange has accepted."""
    return list(emulator.venue.kernel.orders(DEFAULT_ACCOUNT.email))


def open_rows(emulator: Emulator) -> list[Any]:
    """Return the orders resting at the exchange."""
    return [row for row in exchange_rows(emulator) if row.state in RESTING_STATES]


def differences(bot: Bot, emulator: Emulator) -> list[str]:
    """Return the current differences as sentences. Each starts with its kind: lost, doubled, orphaned or money."""
    rows = exchange_rows(emulator)
    view = bot.view
    known = {row["client_id"]: row for row in bot.journal.order_rows()}
    found = [f"lost: {row.client_id} is in no row" for row in rows if row.client_id not in known]
    counts = collections.Counter(row.client_id for row in rows)
    found += [f"doubled: {client_id} {count} times" for client_id, count in counts.items() if count > 1]
    there = {row.client_id for row in rows if row.state in RESTING_STATES}
    here = {order.client_id for order in view.open_orders()}
    found += [f"orphaned: {client_id} is open at the exchange alone" for client_id in sorted(there - here)]
    found += [f"orphaned: {client_id} is open in the books alone" for client_id in sorted(here - there)]
    for row in rows:
        order = view.order(row.client_id)
        journaled = int(known[row.client_id]["executed_lots"]) if row.client_id in known else 0
        executed = order.executed_lots if order is not None else journaled
        if executed != row.executed_lots:
            found.append(f"money: {row.client_id} executed {row.executed_lots} there and {executed} here")
    for currency, (total, _) in emulator.venue.kernel.account(DEFAULT_ACCOUNT.email).balances().balances.items():
        if view.money.account.get(currency, 0) != total:
            found.append(f"money: {currency} {total} there and {view.money.account.get(currency)} here")
    try:
        view.money.check()
    except AssertionError as error:
        found.append(f"money: {error}")
    final = {state.value for state in FINAL_STATES}
    found += [f"orphaned: the row of {i} is final" for i in sorted(there) if known.get(i, {}).get("state") in final]
    return found


async def compared(bot: Bot, timeout_s: float = 20.0) -> None:
    """Reconcile the bot with the exchange, and wait for the comparison to finish."""
    await until(lambda: not bot.view.checks.is_comparing, timeout_s)
    asked = bot.driver.now()
    bot.comparisons.at_once()
    await until(lambda: bot.comparisons.began >= asked, timeout_s)
