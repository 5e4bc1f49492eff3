"""Compares the fills of a real session with the fills of its simulation, order by order.

The session and the simulation contain the same orders, sent at the same times. The lots of each order are matched in
sequence: the first lots executed in the real session are compared with the first lots executed in the simulation, and
so on. Lots executed only in the real session are "missed"; lots executed only in the simulation are "extra".
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from botkit.model.clock import Nanos
from botkit.model.compared_fills import AuditFigures, FillLeg, FillPair
from botkit.model.money import UNIT
from botkit.model.order_spec import OrderSpec

_BPS = 10_000

#: returns the value of a fee in a third currency: (units, its currency, the quote currency, the time); None if unknown
FeeWorth: TypeAlias = Callable[[int, str, str, Nanos], float | None]


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of an order, partial or complete. ``time`` is when the bot received the execution."""

    client_id: int
    time: Nanos
    price_ticks: int
    lots: int
    fee_units: int
    fee_currency: str
    is_maker: bool


def pair_fills(
    orders: Mapping[int, OrderSpec],
    real: Iterable[Execution],
    simulated: Iterable[Execution],
    last: Mapping[str, float],
    fee_worth: FeeWorth = lambda units, currency, quote, time: None,
) -> list[FillPair]:
    """Match real executions with simulated ones, order by order, and sort the results by time. ``last`` maps each pair
    to its last price. ``fee_worth`` values fees that were paid in a third currency.
    """
    by_order: dict[int, tuple[list[Execution], list[Execution]]] = {}
    for place, executions in enumerate((real, simulated)):
        for execution in executions:
            by_order.setdefault(execution.client_id, ([], []))[place].append(execution)
    found = [
        pair
        for client_id, (ours, theirs) in by_order.items()
        for pair in _pairs_of(_Compared(orders[client_id], last, fee_worth), ours, theirs)
    ]
    return sorted(found, key=lambda pair: min(leg.time for leg in (pair.real, pair.simulated) if leg is not None))


class _Compared(msgspec.Struct, frozen=True):
    """An order, with what its executions are valued with."""

    order: OrderSpec
    last: Mapping[str, float]
    fee_worth: FeeWorth


def _pairs_of(order: _Compared, real: Sequence[Execution], simulated: Sequence[Execution]) -> list[FillPair]:
    found = []
    total = sum(one.lots for one in simulated)
    at = 0
    for one in real:
        covered = max(0, min(one.lots, total - at))
        if covered:
            found.append(_pair(order, covered, [(one, covered)], _stretch(simulated, at, at + covered)))
        if covered < one.lots:
            found.append(_pair(order, one.lots - covered, [(one, one.lots - covered)], []))
        at += one.lots
    return found + [_pair(order, lots, [], [(one, lots)]) for one, lots in _stretch(simulated, at, total)]


def _stretch(executions: Sequence[Execution], begin: int, end: int) -> list[tuple[Execution, int]]:
    """Return the executions that cover an order's lots from ``begin`` to ``end``, each with its number of lots within
    that range.
    """
    found, at = [], 0
    for one in executions:
        lots = min(end, at + one.lots) - max(begin, at)
        if lots > 0:
            found.append((one, lots))
        at += one.lots
    return found


def _pair(
    compared: _Compared,
    lots: int,
    real: Sequence[tuple[Execution, int]],
    simulated: Sequence[tuple[Execution, int]],
) -> FillPair:
    order = compared.order
    ours, theirs = _leg(compared, real), _leg(compared, simulated)
    amount = order.pair.rules.amount(lots)
    worth = {True: 0.0, False: 0.0}
    # if one side's fee is unknown, the other's alone would look like a difference
    has_fees = all(leg is None or leg.fee is not None for leg in (ours, theirs))
    for is_real, leg in ((True, ours), (False, theirs)):
        if leg is not None:
            price = compared.last.get(order.pair, leg.price)
            fee = leg.fee if has_fees and leg.fee is not None else 0.0
            worth[is_real] = order.side.sign * (price - leg.price) * amount - fee
    return FillPair(
        client_id=order.client_id,
        strategy=order.strategy,
        pair=str(order.pair),
        quote=order.pair.quote,
        side=order.side.value,
        kind="extra" if ours is None else "missed" if theirs is None else "matched",
        amount=amount,
        real=ours,
        simulated=theirs,
        money=worth[True] - worth[False],
    )


def _leg(compared: _Compared, parts: Sequence[tuple[Execution, int]]) -> FillLeg | None:
    if not parts:
        return None
    rules = compared.order.pair.rules
    lots = sum(part for _, part in parts)
    price = sum(rules.price(one.price_ticks) * part for one, part in parts) / lots
    fees = [_fee(compared, one, part) for one, part in parts]
    known = [fee for fee in fees if fee is not None]
    return FillLeg(
        price=price,
        fee=sum(known) if len(known) == len(fees) else None,
        time=parts[-1][0].time,
        is_maker=all(one.is_maker for one, _ in parts),
    )


def _fee(compared: _Compared, one: Execution, lots: int) -> float | None:
    """Return the fee for part of an execution in quote currency, or None if it was paid in a third currency that
    nothing values.
    """
    pair, share = compared.order.pair, lots / one.lots
    fee = one.fee_units / UNIT * share
    if not fee or one.fee_currency == pair.quote:
        return fee
    if one.fee_currency == pair.base:
        return fee * pair.rules.price(one.price_ticks)
    worth = compared.fee_worth(one.fee_units, one.fee_currency, pair.quote, one.time)
    return None if worth is None else worth * share


def figures_of(pairs: Sequence[FillPair], real_fills: int, simulated_fills: int) -> AuditFigures:
    """Return the totals over all compared fills. Values in different quote currencies are added without conversion, so
    ratios are exact only for bots with a single quote currency.
    """
    by_kind = {kind: [pair for pair in pairs if pair.kind == kind] for kind in ("matched", "missed", "extra")}
    value = {kind: sum(pair.value for pair in found) for kind, found in by_kind.items()}
    really = value["matched"] + value["missed"]
    whole = really or value["extra"] or 1.0
    matched = by_kind["matched"]
    later = [(pair.real.time - pair.simulated.time) / 1e9 for pair in matched if pair.real and pair.simulated]
    money: dict[str, float] = {}
    for pair in pairs:
        money[pair.quote] = money.get(pair.quote, 0.0) + pair.money
    return AuditFigures(
        real_fills=real_fills,
        simulated_fills=simulated_fills,
        matched=value["matched"] / whole,
        missed=value["missed"] / whole,
        extra=value["extra"] / whole,
        worse_bps=sum((pair.worse_bps or 0.0) * pair.value for pair in matched) / (value["matched"] or 1.0),
        later_s=statistics.median(later) if later else 0.0,
        roles_differ=sum(
            pair.real.is_maker != pair.simulated.is_maker for pair in matched if pair.real and pair.simulated
        ),
        money=money,
        money_bps=sum(money.values()) / whole * _BPS,
    )


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """The maximum differences between a real session and its simulation that are tolerated without being reported as
    drift.
    """

    missed_pct: float = 10.0
    extra_pct: float = 10.0
    price_bps: float = 3.0
    money_bps: float = 5.0

    def drifts(self, found: AuditFigures) -> list[str]:
        """Return a sentence for each value that exceeds its tolerance."""
        rows = (
            ("of the real value was missed by the simulation", found.missed * 100, self.missed_pct, "%"),
            ("of the real value was executed only in the simulation", found.extra * 100, self.extra_pct, "%"),
            ("difference between real and simulated prices", abs(found.worse_bps), self.price_bps, "bps"),
            (
                "difference between real and simulated money, relative to the real value",
                abs(found.money_bps),
                self.money_bps,
                "bps",
            ),
        )
        return [
            f"{value:.1f} {unit} {what}; the tolerance is {most:g} {unit}"
            for what, value, most, unit in rows
            if value > most
        ]


def shortfall(
    orders: Mapping[int, OrderSpec], real: Iterable[Execution], mids: Mapping[int, float]
) -> tuple[float, int] | None:
    """Return (shortfall, number of taker fills), or None if there were no taker fills. The shortfall is the
    value-weighted average of how much worse each taker fill's price was than the mid price when its order was sent, as
    a fraction. ``mids`` maps client ids to mid prices.
    """
    lost, value, count = 0.0, 0.0, 0
    for one in real:
        mid = mids.get(one.client_id)
        if one.is_maker or mid is None:
            continue
        order = orders[one.client_id]
        amount, price = order.pair.rules.amount(one.lots), order.pair.rules.price(one.price_ticks)
        lost += order.side.sign * (price - mid) * amount
        value += mid * amount
        count += 1
    return (lost / value, count) if value else None
