"""Converts orders and fills to journal rows and back."""

from __future__ import annotations

from typing import Any

import msgspec

from botkit.errors import BotkitError
from botkit.model.clock import Nanos
from botkit.model.events import Fill
from botkit.model.orders import FINAL_STATES, Condition, Order, OrderSpec, OrderState, OrderType, Side
from botkit.model.pairs import Pair

#: the fields of an order's state, which are stored after those of its spec
_STATE_FIELDS = (
    *("sent", "updated", "state", "reason", "order_id", "executed_lots", "executed_units", "fee_units"),
    *("cancel_requested", "final"),
)
#: an order's columns, in the order of `order_row`
ORDER_FIELDS = (*OrderSpec.__struct_fields__, *_STATE_FIELDS)
#: figures that may exceed SQLite's integer range and are therefore stored as text
_AS_TEXT = frozenset({"amount_lots", "spend_units"})
_ENUMS: dict[str, type[Side] | type[OrderType] | type[Condition]] = {
    "side": Side,
    "type": OrderType,
    "condition": Condition,
}
_FLAGS = frozenset({"post_only", "reduces", "is_quote"})
# the positions of these fields in a spec, computed once because an order waits while its row is built
_TEXT_PLACES, _FLAG_PLACES, _ENUM_PLACES = (
    tuple(place for place, name in enumerate(OrderSpec.__struct_fields__) if name in names)
    for names in ({*_AS_TEXT, "pair"}, _FLAGS, _ENUMS)
)
_VALUES: dict[Any, str | None] = {None: None} | {one: one.value for kind in _ENUMS.values() for one in kind}


class JournalError(BotkitError):
    """The journal cannot be read or written. No new orders are sent without it, but cancels continue."""


def order_row(order: Order) -> tuple[Any, ...]:
    """Convert an order to a journal row: the fields of its spec, then its state."""
    asked = list(msgspec.structs.astuple(order.spec))
    for place in _TEXT_PLACES:
        asked[place] = str(asked[place])
    for place in _FLAG_PLACES:
        asked[place] = int(asked[place])
    for place in _ENUM_PLACES:
        asked[place] = _VALUES[asked[place]]
    return (
        *asked,
        order.sent,
        order.updated,
        order.state._value_,  # `value` is a property written in Python
        order.reason,
        order.order_id,
        str(order.executed_lots),
        str(order.executed_units),
        str(order.fee_units),
        int(order.cancel_requested),
        int(order.state in FINAL_STATES),
    )


def _default(name: str, value: Any) -> Any:
    if name in _AS_TEXT:
        return str(value)
    if name in _FLAGS:
        return int(value)
    return _VALUES[value] if name in _ENUMS else value


#: defaults for fields that are missing from older rows
FIELD_DEFAULTS = {
    field.name: _default(field.name, field.default)
    for field in msgspec.structs.fields(OrderSpec)
    if field.default is not msgspec.NODEFAULT
}


def _read(name: str, value: Any, pairs: dict[str, Pair]) -> Any:
    if name == "pair":
        return pairs[value]
    if name in _AS_TEXT:
        return int(value)
    if name in _FLAGS:
        return bool(value)
    kind = _ENUMS.get(name)
    return value if kind is None or value is None else kind(value)


def order_of(row: dict[str, Any], pairs: dict[str, Pair]) -> Order:
    """Convert a journal row to an order. Raises JournalError if the exchange no longer lists the pair."""
    if row["pair"] not in pairs:
        raise JournalError(f"order {row['client_id']} in the journal is for {row['pair']}, which is no longer a pair")
    order = Order(OrderSpec(**{name: _read(name, row[name], pairs) for name in OrderSpec.__struct_fields__}))
    order.sent, order.updated = row["sent"], row["updated"]
    order.state, order.reason, order.order_id = OrderState(row["state"]), row["reason"], row["order_id"]
    order.executed_lots, order.executed_units = int(row["executed_lots"]), int(row["executed_units"])
    order.fee_units, order.cancel_requested = int(row["fee_units"]), bool(row["cancel_requested"])
    return order


def fill_row(fill: Fill, now: Nanos) -> tuple[Any, ...]:
    """Convert a fill, booked at ``now``, to a journal row."""
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
