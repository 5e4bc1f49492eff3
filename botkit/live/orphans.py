"""Open orders of strategies that are gone: they block the start until the user has said what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botkit.model.inputs import SentBefore
from botkit.errors import BotkitError
from botkit.model.events import OrderReport
from botkit.model.orders import Order
from botkit.model.requests import CancelOrder, ListOpenOrders, Outcome

if TYPE_CHECKING:
    from botkit.live.bot import Bot


class StartRefused(BotkitError):
    """The bot cannot start as things stand. The message says why and what to do."""


async def end_orphans(bot: Bot, orphans: list[Order]) -> None:
    """Do with the orders of strategies that are gone what the user said, once."""
    if not orphans:
        return
    ids = {order.client_id for order in orphans}
    known = {order.order_id for order in orphans if order.order_id}
    if bot.orphans == "cancel":
        listed = await bot.driver.ask(lambda i: ListOpenOrders(id=i), ListOpenOrders.endpoint)
        rows = listed.body if listed.outcome is Outcome.OK and isinstance(listed.body, tuple) else None
        if rows is None:
            raise StartRefused(f"the open orders cannot be read: {listed.text}")
        theirs = [r for r in rows if isinstance(r, OrderReport) and (r.order_id in known or r.client_id in ids)]
        async with bot.parts.aside() as aside:
            for row in theirs:
                sent = bot.driver.now()
                answer = await aside.send(CancelOrder(id=-100, pair=row.pair, order_id=row.order_id), urgent=True)
                if answer.outcome is not Outcome.OK:
                    raise StartRefused(f"order {row.order_id} could not be cancelled: {answer.text}")
                done = SentBefore(endpoint=CancelOrder.endpoint, sent=sent, answered=bot.driver.now())
                bot.engine.router.cool_down([done], bot.driver.now())
    what = "cancelled" if bot.orphans == "cancel" else "left standing as foreign orders"
    bot.journal.let_go(ids, what)
    bot.notices.tell("warning", f"{len(orphans)} orders of strategies that are gone were {what}")
