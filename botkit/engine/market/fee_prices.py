"""Reads the first prices of pairs that a running bot follows only to value fees.

Such a pair may trade once an hour, and a stream of trades begins with the next one. So the last price is taken from the
day's candle, or from that of the day before.
"""

from __future__ import annotations

from botkit.engine.agenda import BotClock
from botkit.engine.money.portfolio import Portfolio
from botkit.engine.orders.reads import Reads
from botkit.engine.outcome import Outbox
from botkit.engine.outcome_parts import HistoryWanted
from botkit.engine.strategy.past_reads import PastReads
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.inputs import History, PastBars

#: the resolution of the candles that contain the last price of a pair that trades rarely
RESOLUTION = "1d"
#: the time between two attempts, while a fee waits for its price
_AGAIN: Nanos = 60 * NS_PER_S


class FeePrices:
    """Reads what is missing, again and again while a fee waits for it."""

    def __init__(self, *, clock: BotClock, portfolio: Portfolio, reads: Reads, outbox: Outbox) -> None:
        self._clock = clock
        self._portfolio = portfolio
        self._reads = reads
        self._outbox = outbox
        self._is_under_way = False

    def look(self, now: Nanos) -> None:
        """Read the prices that fees wait for, unless that is under way."""
        fees = self._portfolio.fees
        missing = fees.unpriced()
        if self._is_under_way or not missing or not self._portfolio.ledger.has(fees.coin):
            return
        self._is_under_way = True
        wanted = [HistoryWanted(pair, RESOLUTION, 1) for pair in missing]
        PastReads(wanted, self._reads, self._outbox, now, self._take)

    def _take(self, history: History) -> None:
        missing = self._portfolio.fees.unpriced()
        for past in history.bars:
            price = last_price(past)
            if price is not None and past.pair in missing:
                self._portfolio.mark(past.pair, price)
        self._reads.later(self._clock.now + _AGAIN, self._again)

    def _again(self, now: Nanos) -> None:
        self._is_under_way = False
        self.look(now)


def last_price(past: PastBars) -> float | None:
    """Return the last price of a pair's bars, of which the running one may have no trade yet."""
    if past.running is not None and not past.running.empty:
        return past.running.close
    return past.bars[-1].close if past.bars else None
