"""Detects loops: chains of orders that convert one currency through others and back into the first.

A loop is three or four consecutive orders by one strategy, in different pairs. Each order spends the currency that the
previous one received, and the last order receives the currency that the first one spent. Each order passes on at least
half of its amount, and starts at most `LEG_GAP` after the previous one is complete. The part that is not passed on
(dust, or the remainder of a partly filled leg) stays an ordinary trade in its pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from botkit.model.clock import NS_PER_MINUTE, Nanos
from botkit.model.money import UNIT
from botkit.model.pairs import Pair
from botkit.model.results import FillRow
from botkit.model.row_columns import column_blocks

LENGTHS = (3, 4)
#: the maximum time between a leg's last fill and the next leg's first fill
LEG_GAP: Nanos = 10 * NS_PER_MINUTE


class Leg(msgspec.Struct):
    """The executions of one order. Base amounts are net of fees paid in base, and quote amounts are net of fees paid in
    quote.
    """

    strategy: str
    client_id: int
    pair: Pair
    #: +1 for a buy, -1 for a sell
    sign: int
    tag: str
    start: Nanos
    end: Nanos
    base_units: int = 0
    quote_units: int = 0
    #: base units at the fill prices, before fees
    gross_units: int = 0
    #: fees paid in a third currency, in the valuation currency
    other_fee: float = 0.0
    #: value of the executions in the valuation currency
    value: float = 0.0
    #: value of the executions in quote units
    value_units: int = 0

    @property
    def source(self) -> str:
        """The currency spent by the leg."""
        return self.pair.quote if self.sign > 0 else self.pair.base

    @property
    def target(self) -> str:
        """The currency received by the leg."""
        return self.pair.base if self.sign > 0 else self.pair.quote

    @property
    def spent(self) -> int:
        """Units of ``source``, including fees."""
        return self.quote_units if self.sign > 0 else self.base_units

    @property
    def got(self) -> int:
        """Units of ``target``, net of fees."""
        return self.base_units if self.sign > 0 else self.quote_units

    @property
    def quote_rate(self) -> float:
        """The value of one coin of the quote currency in the valuation currency, at the time of the fills."""
        return self.value * UNIT / self.value_units if self.value_units else 0.0

    @property
    def base_rate(self) -> float:
        """The value of one coin of the base currency in the valuation currency, at the time of the fills."""
        return self.value * UNIT / self.base_units if self.base_units else 0.0

    @property
    def net_units(self) -> int:
        """Quote units after all fees: the cost of a buy, or the proceeds of a sell."""
        return self.quote_units + self.sign * self.other_fee_units

    @property
    def other_fee_units(self) -> int:
        """Fees paid in a third currency, in quote units."""
        return round(self.other_fee / self.quote_rate * UNIT) if self.other_fee and self.quote_rate else 0

    def add(self, fill: FillRow) -> None:
        """Add an execution."""
        units, quote = fill.pair.rules.base_units(fill.lots), fill.value_units
        gross = quote
        if fill.fee_currency == fill.pair.base:
            net = units - self.sign * fill.fee_units
            gross = quote * net // units if units else 0
            units = net
        elif fill.fee_currency == fill.pair.quote:
            quote += self.sign * fill.fee_units
        elif fill.fee_units:
            self.other_fee += fill.fee_value
        self.base_units += units
        self.quote_units += quote
        self.gross_units += gross
        self.value += fill.value
        self.value_units += fill.value_units
        self.end = fill.time


class Loop(msgspec.Struct):
    """A closed chain of orders, with the units that each order passed on: (units spent, units received)."""

    legs: tuple[Leg, ...]
    passed: tuple[tuple[int, int], ...]

    @property
    def home(self) -> str:
        """The currency in which the loop starts and ends."""
        return self.legs[0].source

    @property
    def other_fee(self) -> float:
        """Fees paid in currencies outside the loop's pairs, in the valuation currency."""
        return sum(leg.other_fee for leg in self.legs)

    @property
    def home_rate(self) -> float:
        """The value of one coin of ``home`` in the valuation currency, at the end of the loop."""
        last = self.legs[-1]
        return last.base_rate if last.sign > 0 else last.quote_rate


def legs_of(fills: Iterable[FillRow]) -> list[Leg]:
    """Return one leg per order in ``fills``, sorted by each order's first fill."""
    found: dict[tuple[str, int], Leg] = {}
    for fill in fills:
        leg = found.get((fill.strategy, fill.client_id))
        if leg is None:
            found[fill.strategy, fill.client_id] = leg_of(fill)
        else:
            leg.add(fill)
    return list(found.values())


def leg_of(fill: FillRow) -> Leg:
    """Return the leg of an order with this one fill."""
    sign = 1 if fill.side == "buy" else -1
    leg = Leg(fill.strategy, fill.client_id, fill.pair, sign, fill.tag, fill.time, fill.time)
    leg.add(fill)
    return leg


def find_loops(fills: Sequence[FillRow]) -> list[Loop]:
    """Return all loops found in a run's fills, sorted by the time of their last fill."""
    pairs: dict[str, set[str]] = {}
    for strategies, of in column_blocks(fills, "strategy", "pair"):
        for strategy, pair in dict.fromkeys(zip(strategies, of, strict=True)):  # in order of the first fills
            pairs.setdefault(strategy, set()).add(pair)
    loops: list[Loop] = []
    for strategy, traded in pairs.items():
        if len(traded) < min(LENGTHS):
            continue
        legs = legs_of(fill for fill in fills if fill.strategy == strategy)
        at = 0
        while at < len(legs):
            loop = next((found for n in LENGTHS if (found := _loop_of(legs[at : at + n], n)) is not None), None)
            if loop is None:
                at += 1
            else:
                loops.append(loop)
                at += len(loop.legs)
    return sorted(loops, key=lambda loop: loop.legs[-1].end)


def _loop_of(legs: Sequence[Leg], length: int) -> Loop | None:
    if len(legs) < length or len({leg.pair for leg in legs}) < length:
        return None
    for leg, following in zip(legs, (*legs[1:], legs[0]), strict=True):
        if leg.target != following.source or not leg.spent or not leg.got:
            return None
    if any(after.start - leg.end > LEG_GAP for leg, after in pairwise(legs)):
        return None
    passed = _passed_through(legs)
    if any(2 * spent < leg.spent or 2 * got < leg.got for leg, (spent, got) in zip(legs, passed, strict=True)):
        return None
    return Loop(tuple(legs), passed)


def _passed_through(legs: Sequence[Leg]) -> tuple[tuple[int, int], ...]:
    """Return, for each leg, the (units spent, units received) that passed through the complete chain. Each leg spends
    the units that the previous leg received. Units are rounded so that the unused remainder of an order is either
    positive on both sides or zero on both sides.
    """
    received: list[int] = [legs[0].got]
    spent: list[int] = [legs[0].spent]
    for leg in legs[1:]:
        use = min(received[-1], leg.spent)
        spent.append(use)
        received.append(leg.got if use == leg.spent else leg.got * use // leg.spent)
    for index in range(len(legs) - 2, -1, -1):
        passed = spent[index + 1]
        if passed < received[index]:
            received[index] = passed
            spent[index] = legs[index].spent * passed // legs[index].got
    return tuple(zip(spent, received, strict=True))
