"""The coin in which an account may pay its fees at a discount, in a bot that trades no pair with it."""

from __future__ import annotations

import msgspec

from botkit.model.pairs import Pair


class FeeCoin(msgspec.Struct, frozen=True):
    """A coin in which fees may be paid. ``pairs`` are needed for nothing but to value it: a bot follows them if its
    configuration says that fees are paid in the coin, otherwise from the first such fee on.
    """

    currency: str
    pairs: tuple[Pair, ...]
