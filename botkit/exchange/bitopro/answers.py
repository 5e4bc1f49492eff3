"""The answers to requests: what an error means for a request, and whether an order was acknowledged as it was sent."""

from __future__ import annotations

import logging

from botkit.errors import OutcomeUnknown, RateLimited, Refused, RequestError
from botkit.exchange.bitopro import translate
from botkit.exchange.bitopro.transport import NothingSent
from botkit.exchange.bitopro.wire.account import CreateReply
from botkit.exchange.bitopro.wire.codec import WireError, scaled
from botkit.model.events import OrderReport
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import OrderType, Side
from botkit.model.requests import Answer, Ending, OrderAck, Request

log = logging.getLogger("botkit.bitopro")


class IncompleteError(WireError):
    """Some rows of a listing cannot be read. ``reports`` are the others. They show that an order exists, but never that
    it does not.
    """

    def __init__(self, problem: str, reports: tuple[OrderReport, ...]) -> None:
        super().__init__(problem)
        self.reports = reports


def failed(request: Request, error: Exception) -> Answer:
    """Return the answer for a request that ended in an error."""
    match error:
        case NothingSent():
            return _answer(request, Ending.NOT_SENT, error)
        case RateLimited():
            return _answer(request, Ending.RATE_LIMITED, error)
        case Refused():
            return _answer(request, Ending.REFUSED, error)
        case RequestError():
            return _answer(request, Ending.UNKNOWN, error)
        case IncompleteError(reports=reports):
            text = str(error)
            return Answer(request_id=request.id, outcome=Ending.UNKNOWN, status=200, text=text, body=reports or None)
        case WireError():  # an unreadable response
            return Answer(request_id=request.id, outcome=Ending.UNKNOWN, status=200, text=str(error))
    # this is a bug in botkit; return an answer anyway, so that the bot looks up the order instead of waiting forever
    log.error("%s %d could not be sent", request.endpoint, request.id, exc_info=error)
    return Answer(request_id=request.id, outcome=Ending.UNKNOWN, text=f"{type(error).__name__}: {error}")


def acknowledged(reply: CreateReply, order: OrderSpec) -> OrderAck:
    """Return the acknowledgement if it echoes this order. Raises OutcomeUnknown if it echoes a different order."""
    rules = order.pair.rules
    spends = order.type is OrderType.MARKET and order.side is Side.BUY
    decimals = 8 if spends else rules.amount_decimals
    fits = (
        translate.side_of(reply.action) is order.side
        and reply.client in (None, order.client_id)
        and scaled(reply.amount, decimals, "amount") == (order.spend_units if spends else order.amount_lots)
        and (
            reply.price is None
            or order.type is OrderType.MARKET
            or scaled(reply.price, rules.price_decimals, "price") == order.price_ticks
        )
    )
    if not fits:
        asked = translate.create_body(order, 0, in_batch=True)
        raise OutcomeUnknown(
            f"the exchange answered for another order: {reply.action} {reply.amount} at {reply.price}, "
            f"client id {reply.client}, instead of {asked.action} {asked.amount} at {asked.price}, {asked.client_id}",
            status=200,
        )
    return OrderAck(str(reply.order_id), reply.client)


def _answer(request: Request, outcome: Ending, error: RequestError) -> Answer:
    return Answer(request_id=request.id, outcome=outcome, status=error.status, text=error.text or str(error))
