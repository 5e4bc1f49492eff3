"""The synthetic market. It is generated once for many seeds, because generating it would dominate the duration of a
short run.
"""

from __future__ import annotations

import functools

from botkit.emulator.options import EmulatorOptions
from botkit.emulator.sources import SyntheticSource
from botkit.model.clock import NS_PER_DAY, NS_PER_S, Nanos
from botkit.model.columns import CandleColumns, MarketColumns
from botkit.model.extension import ExchangeFacts
from tests.shared_market import Market, Rows
from tests.simulation.plan import PAIRS

#: number of different markets; a seed selects one of them
MARKETS = 16
#: how far before the exchange's start the market starts, so that every book exists immediately
_EARLIER: Nanos = 5 * NS_PER_S


class PairsOfSeeds(SyntheticSource):
    """The synthetic market, limited to the pairs on which seeds trade."""

    def history(self) -> list[CandleColumns]:
        return [part for part in super().history() if part.pair in PAIRS]

    def chunk(self, until: Nanos) -> list[MarketColumns]:
        return [part for part in super().chunk(until) if part.pair in PAIRS]


@functools.cache
def _rows(number: int, start: Nanos) -> Rows:
    assert _FACTS is not None
    make = functools.partial(PairsOfSeeds, _FACTS.pairs, seed=number, start=start - _EARLIER, history_days=0.01)
    return Rows(make, kept=NS_PER_DAY)


_FACTS: ExchangeFacts | None = None


def market_source(facts: ExchangeFacts, options: EmulatorOptions, machine_now: Nanos) -> tuple[Market, Nanos]:
    """Return one of a few markets, and its start time. Replaces the emulator's built-in market."""
    global _FACTS
    _FACTS = _FACTS or facts
    return Market(_rows(options.seed % MARKETS, machine_now)), machine_now
