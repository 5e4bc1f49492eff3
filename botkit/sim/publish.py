"""The exchange's output in total order, by the time at which the bot receives it.

When times are equal, account events (including answers) come first, then books, then trades, by pair.
"""

from __future__ import annotations

import functools
import heapq
import itertools
from collections.abc import Callable, Sequence
from typing import TypeAlias

from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import BalanceReport, OrderReport, Trade, TradeReport
from botkit.model.pairs import Pair
from botkit.sim.market import VenueMarket
from botkit.sim.publication import AccountEvent, Publication

#: the ranks of the kernel's output in the total order; 1 is for completed bars, which the driver creates
ACCOUNT_EVENTS, BOOKS, TRADES = 0, 2, 3


def in_one(before: tuple[AccountEvent, ...], after: tuple[AccountEvent, ...]) -> tuple[AccountEvent, ...]:
    """Merge the effects of two simultaneous matches, keeping the later state of each order and balance."""
    executions: list[AccountEvent] = []
    orders: dict[str, OrderReport] = {}
    balances: dict[str, tuple[int, int]] = {}
    for event in before + after:
        if isinstance(event, TradeReport):
            executions.append(event)
        elif isinstance(event, OrderReport):
            orders[event.order_id] = event
        else:
            balances.update(event.balances)
    return (*executions, *orders.values(), *((BalanceReport(balances),) if balances else ()))


#: the time at which the delivery becomes known, its kind, the pair (for public events), the delivery's number, and its
#: events
_Delivery: TypeAlias = tuple[Nanos, int, str, int, list[Publication]]


class Deliveries:
    """The events in transit to the bots."""

    def __init__(self) -> None:
        #: a heap whose first item is the next to become known
        self.due: list[_Delivery] = []
        #: adds a delivery, which consists of events that become known at the same time, in order
        self.put: Callable[[_Delivery], None] = functools.partial(heapq.heappush, self.due)
        #: numbers the deliveries, so that those with equal time, kind and pair keep their order
        self.number: Callable[[], int] = itertools.count().__next__

    def until(self, to: Nanos, taken: Sequence[Publication] = ()) -> list[Publication]:
        """Remove all events known by ``to`` and return them in order, after the events in ``taken``."""
        due = self.due
        result: list[Publication] = [*taken]
        while due and due[0][0] <= to:
            for told in heapq.heappop(due)[4]:
                last = result[-1] if result else None
                if (
                    last is not None
                    and isinstance(told.event, tuple)
                    and isinstance(last.event, tuple)
                    and (last.at, last.account) == (told.at, told.account)
                ):
                    result[-1] = Publication(told.at, told.account, in_one(last.event, told.event), told.acted)
                else:
                    result.append(told)
        return result


def prints_of(market: VenueMarket, pair: Pair, now: Nanos) -> list[Trade]:
    """Remove our executions and return them as public trades. On the wire, trade timestamps are in whole seconds."""
    rules = pair.rules
    second = now - now % NS_PER_S
    trades = [Trade(pair, second, rules.price(p.ticks), rules.amount(p.lots), p.side) for p in market.prints]
    market.prints.clear()
    return trades
