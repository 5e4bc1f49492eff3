"""Checks that an account's key works, using read requests only."""

from __future__ import annotations

from typing import Any

from botkit.live.limits.rate_limited_reads import RateLimitedReads
from botkit.live.panic import text_of
from botkit.live.refused_key import REFUSED_STATUS, key_refused
from botkit.model.events import BalanceReport, OrderReport
from botkit.model.extension import ExchangeFacts
from botkit.model.figures import fixed
from botkit.model.money import format_units
from botkit.model.requests import Ending, GetBalances, ListOpenOrders

#: a caution for the user: the exchange's API does not reveal a key's permissions
CANNOT_TELL = (
    "The API does not report a key's permissions. Create the key without withdrawal permission, and bind it to your IP "
    "address."
)


async def read_account(access: RateLimitedReads, facts: ExchangeFacts) -> dict[str, Any]:
    """Read the account's balances and open orders, estimate its fee rank, and return all of this as plain data.
    ``works`` is True if the exchange accepted the key.
    """
    balances = await access.send(GetBalances(id=-1))
    if balances.outcome is not Ending.OK or not isinstance(balances.body, BalanceReport):
        why = balances.text or balances.outcome.value
        if balances.status == REFUSED_STATUS:
            return {"works": False, "why": key_refused(f"{balances.status} {balances.text}", None)}
        if balances.outcome is Ending.REFUSED:
            return {"works": False, "why": f"the key does not work: {why}"}
        return {"works": False, "why": f"the exchange cannot be reached: {why}; the key may still work"}
    orders = await access.send(ListOpenOrders(id=-2))
    held = balances.body.balances
    fee_coins = held.get(facts.discount_currency, (0, 0))[0]
    by_coins = [r for r in facts.fee_ranks if not r.needs_both and r.held * 10**8 <= fee_coins]
    rank = max(by_coins, key=lambda r: r.rank, default=None)
    return {
        "works": True,
        "balances": {
            currency: {"total": format_units(total), "available": format_units(available)}
            for currency, (total, available) in held.items()
            if total
        },
        "open_orders": [text_of(row) for row in orders.body if isinstance(row, OrderReport)]
        if orders.outcome is Ending.OK and isinstance(orders.body, tuple)
        else None,
        "fee_rank": None if rank is None else rank.rank,
        "fee_rank_from": f"{facts.discount_currency} holdings alone; the 30-day volume may raise it",
        "skew_ms": access.sender.clock_skew_ms,
        "cannot_tell": CANNOT_TELL,
    }


def account_lines(found: dict[str, Any]) -> list[str]:
    """Format the result of `read_account`, with the account's name and its key's origin, as lines of text."""
    used = f"account {found['account']}, key from {found['key_from']}"
    if not found["works"]:
        return [used, str(found["why"])]
    lines = [used, "the key works"]
    lines += [f"  {c}: {row['total']} ({row['available']} available)" for c, row in found["balances"].items()]
    orders = found["open_orders"]
    lines.append(f"  {'?' if orders is None else len(orders)} open orders")
    lines += [f"    {text}" for text in (orders or [])[:20]]
    lines.append(f"  fee rank {found['fee_rank']} or higher, estimated from {found['fee_rank_from']}")
    if found["skew_ms"] is not None:
        skew = fixed(found["skew_ms"], 0, signed=True)
        lines.append(f"  this machine's clock is {skew} ms off the exchange's (accurate to within 1 s)")
    return [*lines, found["cannot_tell"]]
