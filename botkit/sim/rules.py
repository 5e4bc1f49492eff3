"""The exchange's refusals at order entry, in the exchange's wording where it is known.

Sources: the error texts collected from the exchange and from client libraries (``Invalid amount ...``, ``Invalid price
...``, ``Balance for ... not enough``, ``Unsupported ...``). Texts marked assumed are ours; they keep the prefixes that
clients match. Every refusal has status 422.
"""

from __future__ import annotations

from collections.abc import Mapping

from botkit.model.money import UNIT_DECIMALS, format_units
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import BUY, MARKET, SELL, STOP_LIMIT
from botkit.model.pairs import Pair
from botkit.sim.order import Account

CLIENT_ID_MAX = 2_147_483_647
BATCH_MAX = 10
UNKNOWN_ORDER = "Invalid order id."  # assumed (Q8)
BAD_BODY = "Invalid body"
BAD_TYPE = "Unsupported order type"


def _bad_amount(new: OrderSpec, pair: Pair) -> str | None:
    rules = pair.rules
    if new.type is MARKET and new.side is BUY:
        spend = new.spend_units
        if spend % 10 ** (UNIT_DECIMALS - rules.price_decimals):
            return f"Invalid amount {format_units(spend)}, decimal limit is {rules.price_decimals}."
        if spend <= 0 or spend < rules.least_spend_units:
            least = format_units(rules.least_spend_units)
            return f"Invalid amount {format_units(spend)} less than min {least}."
        return None
    lots = new.amount_lots
    if lots > 0 and rules.least_lots <= lots <= rules.most_lots and not lots % rules.amount_step:
        return None
    text = rules.amount_text(lots)
    if lots % rules.amount_step:
        return f"Invalid amount {text}, decimal limit is {rules.display_decimals}."
    if lots <= 0 or lots < rules.least_lots:
        return f"Invalid amount {text} less than min {rules.amount_text(rules.least_lots)}."
    return f"Invalid amount {text}, maximum is {rules.amount_text(rules.most_lots)}."  # assumed


def entry_refusal(new: OrderSpec, pairs: Mapping[str, Pair], account: Account, queued: int = 0) -> str | None:
    """Return the refusal of an order that violates a rule of its pair, or None. `balance_refusal` checks balances.

    ``queued`` is the number of earlier orders in the same batch and pair.
    """
    pair = pairs.get(new.pair)
    if pair is None:
        return f"Unsupported trading pair {new.pair}."
    rules = pair.rules
    if rules.maintenance:
        return f"Trading pair {pair} is under maintenance."  # assumed
    if not 0 <= new.client_id <= CLIENT_ID_MAX:
        return "Invalid client id."  # assumed (Q16)
    lots = new.amount_lots
    if new.type is MARKET or not rules.least_lots <= lots <= rules.most_lots or lots <= 0 or lots % rules.amount_step:
        amount = _bad_amount(new, pair)
        if amount is not None or new.type is MARKET:
            return amount
    if new.price_ticks <= 0:
        return f"Invalid price {rules.price_text(new.price_ticks)}."
    if new.type is STOP_LIMIT:
        if new.stop_ticks <= 0:
            return f"Invalid stop price {rules.price_text(new.stop_ticks)}."  # assumed
        if new.condition is None:
            return "Wrong parameter: condition"
    # only resting orders and untriggered stops count toward the limit (Q15, assumed)
    if account.open_count.get(pair, 0) + queued >= rules.open_orders_max:
        return f"Open orders of {pair} exceed the limit of {rules.open_orders_max}."  # assumed
    return None


def lock_of(new: OrderSpec) -> tuple[str, int]:
    """Return the (currency, units) that an order locks: for a limit buy, its value at the limit price, rounded up; for
    a market buy, the amount to spend; for a sell, its amount of base currency.
    """
    pair = new.pair
    if new.side is SELL:
        return pair.base, new.amount_lots * pair.lot_units
    if new.type is MARKET:
        return pair.quote, new.spend_units
    return pair.quote, -(-new.price_ticks * new.amount_lots * pair.value_times // pair.value_over)


def balance_refusal(currency: str, units: int, available: int) -> str | None:
    """Return the refusal if the available balance does not cover the order's lock, or None if it does."""
    if units <= available:
        return None
    have, ordered = format_units(available), format_units(units)
    return f"Balance for {currency.upper()} not enough, only has {have}, but ordered {ordered}."
