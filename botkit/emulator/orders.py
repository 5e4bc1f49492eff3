"""Turns the body of a create request into a model order. Refuses any body that the exchange would refuse before
applying its rules.

Error texts are taken from the exchange where known (API 3.2); texts marked assumed follow the same pattern.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from botkit.emulator.replies import RefusedError
from botkit.exchange.bitopro.wire.bodies import CLIENT_ID_MAX, CreateBody
from botkit.model.money import UNIT_DECIMALS, parse_decimal, parse_scaled
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import Condition, OrderType, Side
from botkit.model.pairs import Pair
from botkit.sim.order import Account
from botkit.sim.rules import BAD_TYPE

_SIDES: Final = {"BUY": Side.BUY, "SELL": Side.SELL}
_TYPES: Final = {"LIMIT": OrderType.LIMIT, "MARKET": OrderType.MARKET, "STOP_LIMIT": OrderType.STOP_LIMIT}
_CONDITIONS: Final = {condition.value: condition for condition in Condition}


def find_pair(name: str, pairs: Mapping[str, Pair]) -> Pair:
    """Return the pair named in a path or body, ignoring case. Raises RefusedError."""
    pair = pairs.get(name.lower())
    if pair is None:
        raise RefusedError(f"Unsupported trading pair {name.lower()}.")
    return pair


def new_order(body: CreateBody, pair: Pair, account: Account, *, in_batch: bool = False) -> OrderSpec:
    """Return the order described by a request body. Raises RefusedError with the exchange's message."""
    side = _SIDES.get(body.action.upper())
    kind = _TYPES.get(body.type.upper())
    if side is None:
        raise RefusedError("Wrong parameter: action")
    if kind is None or (in_batch and kind is OrderType.STOP_LIMIT):
        raise RefusedError(BAD_TYPE)
    if body.timestamp is None:
        raise RefusedError("Wrong parameter: timestamp")
    force = (body.time_in_force or "GTC").upper()
    if force not in ("GTC", "POST_ONLY"):
        raise RefusedError("Wrong parameter: timeInForce")
    client_id = body.client_id or 0  # 0 means none
    if not 0 <= client_id <= CLIENT_ID_MAX:
        raise RefusedError("Wrong parameter: clientId")  # assumed (Q16)
    rules = pair.rules
    price = stop = lots = spend = 0
    condition = None
    if kind is not OrderType.MARKET:
        price = _number(body.price, "price", rules.price_decimals)
    if kind is OrderType.STOP_LIMIT:
        stop = _number(body.stop_price, "stopPrice", rules.price_decimals)
        condition = _CONDITIONS.get(body.condition or "")
        if condition is None:
            raise RefusedError("Wrong parameter: condition")
    if body.percentage:
        lots = _share(body.percentage, side, pair, account)
    elif kind is OrderType.MARKET and side is Side.BUY:
        spend = _number(body.amount, "amount", UNIT_DECIMALS)
    else:
        lots = _number(body.amount, "amount", rules.amount_decimals)
    return OrderSpec(
        client_id=client_id,
        pair=pair,
        side=side,
        type=kind,
        price_ticks=price,
        amount_lots=lots,
        spend_units=spend,
        stop_ticks=stop,
        condition=condition,
        # MARKET and STOP_LIMIT are always GTC (Q28)
        post_only=force == "POST_ONLY" and kind is OrderType.LIMIT,
    )


def _number(text: str | None, what: str, decimals: int) -> int:
    if not text:
        raise RefusedError(f"Wrong parameter: {what}")
    name = "stop price" if what == "stopPrice" else what
    try:
        return parse_scaled(text, decimals, what)
    except ValueError:
        pass
    shown = "".join(c for c in text[:40] if c.isprintable())
    try:
        parse_decimal(text)
    except ValueError:
        raise RefusedError(f"Invalid {name} {shown}.") from None
    raise RefusedError(f"Invalid {name} {shown}, decimal limit is {decimals}.")


def _share(percentage: int, side: Side, pair: Pair, account: Account) -> int:
    """Return the amount of a sell order given as a percentage of the available balance, rounded down (Q27)."""
    if side is not Side.SELL or not 1 <= percentage <= 100:
        raise RefusedError("Wrong parameter: percentage")
    return pair.rules.lots_of_units(account.available(pair.base) * percentage // 100)
