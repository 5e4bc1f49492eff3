"""Provides the facts about BitoPro that ship with botkit (pairs, fees, limits), and the function that connects to
BitoPro.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Literal, cast

from botkit.errors import ConfigError
from botkit.exchange.bitopro.wire.endpoints import REST_BASE
from botkit.model.adapter import Adapter
from botkit.model.extension import ExchangeFacts, FeeRank, Options
from botkit.model.pairs import Pair, pairs_from_wire

NAME = "bitopro"


def _rank(rank: int, volume: int, held: int, maker: int, taker: int, maker_bito: int, taker_bito: int) -> FeeRank:
    # rates below are in millionths, so the table reads like the exchange's own table
    return FeeRank(
        rank=rank,
        volume=volume,
        held=held,
        needs_both=rank >= 5,
        maker_e8=maker * 100,
        taker_e8=taker * 100,
        discounted_maker_e8=maker_bito * 100,
        discounted_taker_e8=taker_bito * 100,
    )


#: the public fee table as of 2026-09-23; rates in millionths. Ranks 5 and 6 require a minimum volume *and* a BITO
#: holding.
FEE_RANKS: tuple[FeeRank, ...] = (
    _rank(0, 0, 0, 1000, 2000, 800, 1600),
    _rank(1, 3_000_000, 3_000, 900, 1800, 720, 1440),
    _rank(2, 10_000_000, 10_000, 700, 1400, 560, 1120),
    _rank(3, 30_000_000, 20_000, 600, 1200, 480, 960),
    _rank(4, 150_000_000, 30_000, 125, 1000, 100, 800),
    _rank(5, 300_000_000, 40_000, 125, 875, 100, 700),
    _rank(6, 600_000_000, 50_000, 125, 450, 100, 360),
)


#: the options that a configuration may set, and the options that botkit itself passes to `connect`
_WRITTEN = ("rest", "ws", "amount_step", "limits")
_OPTIONS = frozenset(_WRITTEN) | {
    "account",
    "clock",
    "frame_tap",
    "pairs",
    "patience",
    "public",
    "random",
    "resynchronise",
    "speed",
}


@cache
def packaged_pairs(amount_step: Literal["base", "amount"] = "base") -> Mapping[str, Pair]:
    """Return the pairs that ship with botkit, keyed by lowercase name.

    Most of the rules were read from the exchange between 2024 and 2026. A few are estimates. A live bot reads the
    current rules from the exchange.
    """
    text = resources.files("botkit.exchange.bitopro").joinpath("trading_pairs.json").read_text(encoding="utf-8")
    return pairs_from_wire(json.loads(text)["data"], amount_step=amount_step)


class BitoPro:
    """The exchange, registered as ``bitopro``. ``facts`` has two options. ``amount_step`` (base or amount) selects the
    precision to which order amounts are rounded (Q11). ``limits`` is ``strict`` for the strictest documented figure of
    each endpoint, or a mapping endpoint -> figure.
    """

    name = NAME

    def facts(self, options: Options) -> ExchangeFacts:
        """Return pairs, rate limits and fees. Raises ConfigError for an invalid option."""
        # imported here because the table needs YAML, and the client must work without YAML when used without botkit
        from botkit.exchange.bitopro.limit_table import load_limit_table

        unknown = sorted(set(options) - _OPTIONS)
        if unknown:  # with a misspelt `rest`, the bot would silently connect to the real exchange
            near = difflib.get_close_matches(unknown[0], _WRITTEN, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"it has {', '.join(_WRITTEN)}"
            raise ConfigError(f"exchange: bitopro has no option `{unknown[0]}`; {hint}")
        step = options.get("amount_step", "base")
        if step not in ("base", "amount"):
            raise ConfigError(
                f"exchange: amount_step is {step!r}; use base (basePrecision) or amount (amountPrecision)"
            )
        limits = options.get("limits")
        if limits is not None and limits != "strict" and not isinstance(limits, Mapping):
            raise ConfigError(f"exchange: limits is {limits!r}; use strict, or a mapping of endpoints to figures")
        return ExchangeFacts(
            name=NAME,
            pairs=packaged_pairs(cast(Literal["base", "amount"], step)),
            limits=load_limit_table(
                strict=limits == "strict", overrides=limits if isinstance(limits, Mapping) else None
            ),
            fee_ranks=FEE_RANKS,
            volume_currency="twd",
            discount_currency="bito",
            address=REST_BASE,
        )

    def connect(self, options: Options) -> Adapter:
        """Create an adapter without opening it (`botkit.exchange.bitopro.adapter.connect`). Raises ConfigError."""
        from botkit.exchange.bitopro.adapter import connect

        limits = self.facts(options).limits if "limits" in options else None
        return connect(options, limits)
