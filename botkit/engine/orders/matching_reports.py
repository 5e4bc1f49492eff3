"""Decides whether a row from the exchange can describe one of our orders."""

from __future__ import annotations

from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import OrderReport
from botkit.model.orders import Order, OrderType

#: a row created more than this long before an order was sent does not describe that order: clocks may differ by one
#: second, and the exchange's timestamps may be rounded to seconds
CREATED_SLACK: Nanos = 2 * NS_PER_S


def is_same_order(order: Order, report: OrderReport) -> bool:
    """Return True if the report can describe this order: pair, side, type, price and amount agree.

    A market order is matched without price and amount, because the exchange's row for a market buy shows neither value
    as it was sent (Q12).
    """
    if report.pair != order.pair or report.side is not order.side or report.type is not order.type:
        return False
    if order.type is OrderType.MARKET:
        return True
    return report.price_ticks == order.price_ticks and report.original_lots == order.amount_lots


def is_too_old(order: Order, report: OrderReport) -> bool:
    """Return True if the reported order was created before this one was sent. A report without a time is never
    too old.
    """
    return 0 < report.created < order.sent - CREATED_SLACK
