"""Differences between the exchange's balances and our books."""

from __future__ import annotations

import msgspec

from botkit.model.money import format_units


class Shortage(msgspec.Struct, frozen=True):
    """The account has less of a currency than its strategies own in total. New orders are halted until the missing
    money has been returned.
    """

    currency: str
    missing_units: int

    def __str__(self) -> str:
        return (
            f"the account has {format_units(self.missing_units)} {self.currency} less than its strategies own: it was "
            f"withdrawn or traded manually. Return it, or take capital from a strategy."
        )


class Discrepancy(msgspec.Struct, frozen=True):
    """A difference between a reported balance and our books. ``adopted_units`` of the difference were booked to
    unassigned.
    """

    currency: str
    expected_units: int
    actual_units: int
    adopted_units: int
    shortage: Shortage | None = None
