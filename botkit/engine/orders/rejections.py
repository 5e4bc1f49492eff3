"""Counts the orders that the exchange rejects in a row, per pair, and holds a pair in which it rejects all of them.

A pair that the exchange suspends must not stop a bot that trades others: only that pair is held, and one order a minute
is sent as a trial. Rejections in several pairs without an acceptance between them point to the account, the key or the
bot itself, so they halt the bot.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import tzinfo
from typing import Final, Literal

from botkit.engine.agenda import BotClock
from botkit.engine.decisions import DecisionLog
from botkit.engine.orders.closed_pairs import ClosedPairs
from botkit.engine.outcome import Outbox
from botkit.model.clock import NS_PER_S, Nanos, format_time
from botkit.model.orders import Order, OrderState
from botkit.model.pairs import Pair

#: this many consecutive rejections by the exchange hold a pair or halt the bot
REJECTIONS_MAX = 10
#: how long a held pair waits before one order is tried, and again after each trial that is rejected
HOLD_NS: Final = 60 * NS_PER_S

#: states that prove that the exchange took a new order
_TAKEN = frozenset({OrderState.OPEN, OrderState.UNTRIGGERED})


class Hold:
    """A pair in which no new orders are sent."""

    __slots__ = ("reason", "since", "trial", "until")

    def __init__(self, since: Nanos, reason: str) -> None:
        self.since = since
        #: the exchange's reason for the latest rejection
        self.reason = reason
        #: from then on, one order may be sent
        self.until: Nanos = since + HOLD_NS
        #: the latest order that was sent as a trial
        self.trial: Order | None = None


class Rejections:
    """The rejections since the last acceptance, and the held pairs. Everything follows from orders' states and the time
    of the turn, so a replay decides the same.
    """

    def __init__(
        self,
        *,
        clock: BotClock,
        outbox: Outbox,
        decisions: DecisionLog,
        pairs: Collection[Pair],
        closed: ClosedPairs,
        zone: tzinfo,
    ) -> None:
        """``pairs`` are those that the bot's strategies are configured with. Rejections in the ``closed`` ones are
        explained, and do not count.
        """
        self._clock = clock
        self._outbox = outbox
        self._decisions = decisions
        self._pairs = frozenset(pairs)
        self._closed = closed.reasons
        self._zone = zone
        self.held: dict[Pair, Hold] = {}
        #: rejections in each pair since it last accepted an order
        self._in_pair: dict[Pair, int] = {}
        #: rejections in pairs that are not held, and those pairs, since an order was accepted in any pair
        self._in_row = 0
        self._row_pairs: set[Pair] = set()
        #: True if an order was accepted since a pair was last held
        self._is_taking = True
        #: False while there is nothing that an accepted order could change
        self.is_counting = False

    # -- what the exchange says -----------------------------------------------------------------------------------

    def accepted(self, order: Order) -> None:
        """Reset the counts, because the exchange accepted or filled an order, and end the hold of its pair."""
        self._in_pair.pop(order.pair, None)
        self._in_row = 0
        self._row_pairs.clear()
        self._is_taking = True
        if order.pair in self.held and order.state in _TAKEN:
            del self.held[order.pair]
            self._tell("info", f"{order.pair} is no longer held: the exchange accepted an order again")
        self.is_counting = bool(self.held or self._in_pair)

    def rejected(self, order: Order) -> str | None:
        """Count a rejection, and hold its pair if that many were in a row. Return why the bot must halt, if it must."""
        pair = order.pair
        if pair in self._closed:
            return None
        hold = self.held.get(pair)
        if hold is not None:
            # other orders were on their way when the hold began
            if hold.trial is order:
                hold.reason = order.reason
                hold.until = self._clock.now + HOLD_NS
            return None
        self.is_counting = True
        self._in_pair[pair] = self._in_pair.get(pair, 0) + 1
        self._in_row += 1
        self._row_pairs.add(pair)
        if self._in_row == REJECTIONS_MAX and not self._may_hold(pair):
            return f"the exchange rejected {REJECTIONS_MAX} orders in a row, most recently: {order.reason}"
        if self._in_pair[pair] >= REJECTIONS_MAX and self._may_hold(pair):
            self._hold(pair, order.reason)
        return None

    def forget(self, pair: Pair) -> None:
        """Forget a pair's rejections and end its hold, because the exchange has closed the pair."""
        self.held.pop(pair, None)
        self._in_pair.pop(pair, None)
        self._row_pairs.discard(pair)
        self._in_row = min(self._in_row, sum(self._in_pair.get(other, 0) for other in self._row_pairs))
        self.is_counting = bool(self.held or self._in_pair)

    @property
    def are_too_many(self) -> bool:
        """True while enough rejections in a row are counted to halt the bot."""
        return self._in_row >= REJECTIONS_MAX

    def _may_hold(self, pair: Pair) -> bool:
        """Return True if the rejections are in this pair alone, and another pair of the bot is left to trade."""
        others = self._pairs - self.held.keys() - self._closed.keys() - {pair}
        return self._is_taking and bool(others) and self._row_pairs <= {pair}

    def _hold(self, pair: Pair, reason: str) -> None:
        self.held[pair] = Hold(self._clock.now, reason)
        del self._in_pair[pair]
        self._in_row = 0
        self._row_pairs.clear()
        self._is_taking = False
        self._tell(
            "warning",
            f"{pair} is held: the exchange rejected {REJECTIONS_MAX} orders in a row, most recently: {reason}. Its new "
            f"orders are not sent, except one every {HOLD_NS // NS_PER_S} s as a trial, until one is accepted; other "
            "pairs go on",
        )

    def _tell(self, level: Literal["info", "warning"], text: str) -> None:
        self._decisions.note("hold", self._clock.now, text)
        self._outbox.note(level, text, "hold")

    # -- what orders may pass -------------------------------------------------------------------------------------

    def refusal(self, order: Order) -> str | None:
        """Return the reason to refuse a new order in a held pair, or None. Orders that reduce a position may pass."""
        hold = self.held.get(order.pair)
        if hold is None or order.reduces or hold.trial is order:
            return None
        trial = hold.trial
        is_tried = trial is not None and not trial.is_final
        if not is_tried and self._clock.now >= hold.until:
            return None
        return self.sentence(order.pair)

    def admit(self, order: Order) -> str | None:
        """Like `refusal`, but the order that may pass is the trial, until it ends or is accepted."""
        why = self.refusal(order)
        if why is None and not order.reduces:
            hold = self.held.get(order.pair)
            if hold is not None:
                hold.trial = order
        return why

    def sentence(self, pair: Pair) -> str:
        """Return why a pair is held, since when, and when one order is tried."""
        hold = self.held[pair]
        if hold.trial is not None and not hold.trial.is_final:
            then = "one order is being tried"
        else:
            then = f"one order is tried from {format_time(hold.until, self._zone)} on"
        return (
            f"{pair} is held since {format_time(hold.since, self._zone)}, because the exchange rejected "
            f"{REJECTIONS_MAX} orders in a row, most recently: {hold.reason}; {then}"
        )
