"""What all sections of a configuration are made of: their base class, and the types of single values."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from botkit.config.decode import Bound, FieldError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
NAME_WANTED = "a name is 1 to 64 letters, digits, - and _ (it is also used for folders and journal rows)"

Name: TypeAlias = Annotated[str, Meta(pattern=NAME_PATTERN, extra={"wanted": NAME_WANTED})]
Currency: TypeAlias = Annotated[
    str, Meta(pattern=r"^[a-z0-9]{1,20}$", extra={"wanted": "a currency is written like twd or btc"})
]
PairName: TypeAlias = Annotated[
    str, Meta(pattern=r"^[a-z0-9]{1,20}_[a-z0-9]{1,20}$", extra={"wanted": "a pair is written like btc_twd"})
]
Amount: TypeAlias = Annotated[Decimal, Bound(least=0)]
OnStop: TypeAlias = Literal["keep", "cancel", "flatten"]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base class for all sections."""


def check_slippage(slippage: Decimal | None) -> None:
    """Refuse a slippage that is not a fraction from 0 to 0.1. Raises `FieldError`."""
    if slippage is not None and not 0 <= slippage <= Decimal("0.1"):
        if slippage < 0:
            raise FieldError("slippage", f"{slippage} is below 0; slippage makes prices worse, so write 0 or more")
        raise FieldError(
            "slippage", f"{slippage} would be {slippage * 100:f} %; slippage is a fraction: 0.0002 is 0.02 %"
        )
