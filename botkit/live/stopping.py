"""Stops a run cleanly: first the strategies, then their orders, then, if configured, their positions."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from functools import partial

from botkit.engine.view import MoneyView
from botkit.engine.view_values import PositionView
from botkit.live.bot import Bot
from botkit.live.parts import OnStop
from botkit.model.counts import counted
from botkit.model.inputs import Flatten, Stop
from botkit.model.orders import Order, OrderState
from botkit.model.pairs import Pair
from botkit.model.requests import CancelBatch, CancelOrder, Ending, Request

#: number of attempts to sell a position at the end; an unsold remainder is kept and reported
_FLATTEN_ROUNDS = 10


def orders_at_stop(on_stop: Mapping[str, OnStop]) -> str:
    """Say what becomes of the open orders at a stop. ``on_stop`` has every strategy's choice."""
    keeping = [name for name, choice in on_stop.items() if choice == "keep"]
    if not keeping:
        return "cancelling open orders"
    if len(keeping) == len(on_stop):
        return "open orders stay open (on_stop: keep)"
    return f"cancelling open orders, except those of {', '.join(keeping)} (on_stop: keep)"


async def stop(bot: Bot, *, wait_s: float = 15.0) -> None:
    """Stop the strategies, handle their orders as configured, and wait until the orders are final."""
    driver = bot.driver
    keep = frozenset(name for name, choice in bot.parts.on_stop.items() if choice == "keep")
    if driver.fault is not None:
        await _cancel_directly(bot, keep)
    else:
        bot.say(Stop(withdraws=True, keep=keep))
        await _ends(bot, keep, wait_s)
        for name in [name for name, choice in bot.parts.on_stop.items() if choice == "flatten"]:
            await _flatten(bot, name, keep, wait_s)
    await driver.close(grace_s=2.0 if driver.fault is None else 0.0)


async def _cancel_directly(bot: Bot, keep: frozenset[str]) -> None:
    """Cancel the engine's last known open orders directly, after an engine fault."""
    standing = [order for order in bot.view.open_orders() if order.order_id and order.strategy not in keep]
    if not standing:
        return
    async with bot.parts.outside_router(hurries=True, say=partial(bot.notices.tell, "warning")) as sender:
        size = bot.parts.adapter.capabilities.batch_cancel_max
        for start in range(0, len(standing), size or 1):
            part = standing[start : start + (size or 1)]
            request: Request = CancelBatch(id=-1 - start, orders=tuple((order.pair, order.order_id) for order in part))
            if not size:
                request = CancelOrder(id=-1 - start, pair=part[0].pair, order_id=part[0].order_id)
            answer = await sender.send(request, urgent=True)
            if answer.outcome is not Ending.OK:
                bot.notices.tell(
                    "error", f"{counted(len(part), 'order')} could not be cancelled: {answer.text}; see `botkit panic`"
                )


async def _ends(bot: Bot, keep: frozenset[str], wait_s: float, pairs: Collection[Pair] = ()) -> None:
    """Wait until all orders are final, except those that are to be left open. In ``pairs``, wait for the outcome of
    these too.
    """
    waited = 0.0
    while waited < wait_s and bot.driver.fault is None:
        orders = bot.view.open_orders()
        if all(order.strategy in keep for order in orders) and not _unknown(orders, pairs):
            return
        await asyncio.sleep(0.01)
        waited += 0.01


def _unknown(orders: Iterable[Order], pairs: Collection[Pair]) -> set[Pair]:
    """Return the pairs in which the outcome of an order is unknown, so that no market order can be sent there."""
    return {order.pair for order in orders if order.state is OrderState.UNKNOWN and order.pair in pairs}


async def _flatten(bot: Bot, strategy: str, keep: frozenset[str], wait_s: float) -> None:
    """Trade back to the holdings that were assigned to a strategy. Each order is limited to the amount that the visible
    book can absorb within the slippage limit. What remains to be traded is computed once no order of unknown outcome,
    whichever strategy's, can change it or be in its way.
    """
    refused = ""
    money = bot.view.money
    for number in range(_FLATTEN_ROUNDS + 1):
        pairs = {position.pair for position, _ in _away(money, strategy)}
        await _ends(bot, keep, wait_s, pairs)
        if number == _FLATTEN_ROUNDS or not _away(money, strategy):
            break
        if number:
            await bot.driver.wait(1.0)
        unknown = _unknown(bot.view.open_orders(), pairs)
        if unknown >= pairs:
            refused = f"the outcome of an order for {', '.join(sorted(unknown))} is unknown"
        else:
            reply = bot.say(Flatten(strategy))
            refused = next(iter(reply.value or ()), "")
    for position, lots in _away(money, strategy):
        why = refused or "the book could not absorb it"
        amount = position.pair.rules.amount_text(abs(lots))
        bot.notices.tell(
            "warning", f"{amount} of {position.pair} could not be {'sold' if lots > 0 else 'bought back'}: {why}"
        )


def _away(money: MoneyView, strategy: str) -> list[tuple[PositionView, int]]:
    """Return the positions that differ from the given holdings by enough for an order, with the difference in lots."""
    found = []
    for position, units in money.surplus(strategy):
        rules = position.pair.rules
        lots = rules.lots_of_units(abs(units))
        if lots >= rules.least_lots:
            found.append((position, lots if units > 0 else -lots))
    return found
