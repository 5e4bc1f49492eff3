"""The sentence about fees that are in no figure, because the coin in which they were paid has no price."""

from __future__ import annotations

from collections.abc import Mapping

from botkit.model.figures import separated


def unvalued_fees_sentence(fees: Mapping[str, str]) -> str:
    """Return the sentence beside the figures of a running bot, or "" without such fees. ``fees`` are amounts by
    currency.
    """
    if not fees:
        return ""
    return f"fees of {_amounts(fees)} are in no profit, equity or loss limit, as the bot has no price of {_coins(fees)}"


def unvalued_fees_caution(fees: Mapping[str, str]) -> str:
    """Return the same for a report."""
    return (
        f"fees of {_amounts(fees)} are in no figure of this report, as the session recorded no price of {_coins(fees)}"
    )


def _amounts(fees: Mapping[str, str]) -> str:
    return " and ".join(f"{separated(amount)} {currency.upper()}" for currency, amount in fees.items())


def _coins(fees: Mapping[str, str]) -> str:
    return " and ".join(currency.upper() for currency in fees)
