"""The initial state of an account."""

from __future__ import annotations

import msgspec

from botkit.model.extension import FeeModel


class AccountSetup(msgspec.Struct):
    """The initial state of an account: balances in units of 1e-8 by lowercase currency, and its fee model.

    ``address`` is the IP address from which the account's requests are sent, for per-IP limits; accounts share one
    address by default.
    """

    balances: dict[str, int]
    fees: FeeModel
    address: str = ""
