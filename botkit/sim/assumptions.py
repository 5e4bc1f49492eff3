"""What a simulated run assumes, as sentences for the report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from botkit.model.extension import LatencyModel, QueueModel
from botkit.sim.candles import CANDLE_ASSUMPTIONS
from botkit.sim.market import VenueMarket
from botkit.sim.matching import BOOK_ASSUMPTIONS, STOP_ASSUMPTION, TRADE_ASSUMPTIONS
from botkit.sim.order import Account


def assumptions_of(
    markets: Sequence[VenueMarket],
    accounts: Iterable[Account],
    *,
    queue: QueueModel,
    latency: LatencyModel,
    slippage_e8: int,
    max_book_age_s: int | None,
) -> list[str]:
    """Return each assumption once: those about the kinds of tape in use, then stops, latency and fees."""
    sentences: list[str] = []
    if any(market.books is not None for market in markets):
        sentences += BOOK_ASSUMPTIONS
        if max_book_age_s is not None:
            sentences.append(
                f"A book recorded more than {max_book_age_s} s ago is treated as stale: market orders are "
                "refused or cancelled, and limit orders rest."
            )
        sentences += queue.assumptions
    if any(market.trades is not None and market.books is None for market in markets):
        sentences += TRADE_ASSUMPTIONS
        sentences += queue.assumptions
    if any(market.candles is not None for market in markets):
        sentences += CANDLE_ASSUMPTIONS
    if any(market.books is None for market in markets):
        sentences.append(f"Slippage of takers on tapes without books: {slippage_e8 / 10**6:g} %.")
    sentences.append(STOP_ASSUMPTION)
    sentences += latency.assumptions
    for account in accounts:
        sentences += account.fees.assumptions
    return list(dict.fromkeys(sentences))
