"""Orders and fills as rows of the journal, and back."""

from __future__ import annotations

from typing import Any

from botkit.errors import BotkitError
from botkit.model.clock import Nanos
from botkit.model.events import Fill
from botkit.model.orders import FINAL_STATES, Condition, Order, OrderState, OrderType, Side
from botkit.model.pairs import Pair

#: the columns of an order, in the order of `order_row`
ORDER_FIELDS = (
    "client_id",
    "strategy",
    "pair",
    "side",
    "type",
    "price_ticks",
    "amount_lots",
    "spend_units",
    "stop_ticks",
    "condition",
    "post_only",
    "expires",
    "max_slippage_pct",
    "tag",
    "reduces",
    "created",
    "sent",
    "updated",
    "state",
    "reason",
    "order_id",
    "executed_lots",
    "executed_units",
    "fee_units",
    "cancel_requested",
    "final",
    "is_quote",
)


class JournalError(BotkitError):
    """The journal cannot be read or written. Nothing new is sent without it; cancels go on."""


def order_row(order: Order) -> tuple[Any, ...]:
    """An order as a row of the journal."""
    return (
        order.client_id,
        order.strategy,
        str(order.pair),
        order.side.value,
        order.type.value,
        order.price_ticks,
        str(order.amount_lots),
        str(order.spend_units),
        order.stop_ticks,
        order.condition.value if order.condition else None,
        int(order.post_only),
        order.expires,
        order.max_slippage_pct,
        order.tag,
        int(order.reduces),
        order.created,
        order.sent,
        order.updated,
        order.state.value,
        order.reason,
        order.order_id,
        str(order.executed_lots),
        str(order.executed_units),
        str(order.fee_units),
        int(order.cancel_requested),
        int(order.state in FINAL_STATES),
        int(order.is_quote),
    )


def order_of(row: dict[str, Any], pairs: dict[str, Pair]) -> Order:
    """The order of a row. Raises JournalError for a pair that the exchange does not have any more."""
    pair = pairs.get(row["pair"])
    if pair is None:
        raise JournalError(f"order {row['client_id']} of the journal is of {row['pair']}, which is no pair any more")
    order = Order(
        client_id=row["client_id"],
        strategy=row["strategy"],
        pair=pair,
        side=Side(row["side"]),
        type=OrderType(row["type"]),
        created=row["created"],
        price_ticks=row["price_ticks"],
        amount_lots=int(row["amount_lots"]),
        spend_units=int(row["spend_units"]),
        stop_ticks=row["stop_ticks"],
        condition=Condition(row["condition"]) if row["condition"] else None,
        post_only=bool(row["post_only"]),
        expires=row["expires"],
        max_slippage_pct=row["max_slippage_pct"],
        tag=row["tag"],
        reduces=bool(row["reduces"]),
        is_quote=bool(row["is_quote"]),
    )
    order.sent, order.updated = row["sent"], row["updated"]
    order.state, order.reason, order.order_id = OrderState(row["state"]), row["reason"], row["order_id"]
    order.executed_lots, order.executed_units = int(row["executed_lots"]), int(row["executed_units"])
    order.fee_units, order.cancel_requested = int(row["fee_units"]), bool(row["cancel_requested"])
    return order


def fill_row(fill: Fill, now: Nanos) -> tuple[Any, ...]:
    """A fill as a row of the journal, booked at ``now``."""
    return (
        fill.order.client_id,
        str(fill.executed_lots),
        now,
        fill.order.strategy,
        str(fill.pair),
        fill.side.value,
        fill.price_ticks,
        str(fill.lots),
        str(fill.value_units),
        str(fill.fee_units),
        fill.fee_currency,
        int(fill.is_maker),
        fill.order.order_id,
    )
